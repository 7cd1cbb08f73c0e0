"""What changed since the earlier run: the lines above the Changes sheet, and the cover's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orgscan import frames
from orgscan.models import Change, CoverageChange
from orgscan.reports import look
from orgscan.reports.look import BODY, HEADING, LABEL, PLAIN
from orgscan.reports.rows import as_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orgscan.reports.content import ChangesContent
    from orgscan.reports.datasheet import Line

_ACCOUNTS_SHOWN = 25
_COUNT = replace(BODY, number_format=look.COUNT_FORMAT, horizontal="right")
_TEXT = replace(PLAIN, indent=1)


def counts(content: ChangesContent) -> Mapping[Change, int]:
    """How many findings of each kind there are; every kind present."""
    sizes: Counter[tuple[str, ...]] = Counter()
    for piece in as_rows(content.changes).pieces():
        sizes += frames.counts(piece, "change")
    return {change: sizes[change.value,] for change in Change}


def shown(content: ChangesContent) -> int:
    """How many rows are shown: all except the last, which were resolved in an earlier run."""
    number = counts(content)
    return sum(number.values()) - number[Change.RESOLVED_EARLIER]


def sentences(content: ChangesContent) -> list[str]:
    """The changes in a few sentences, with every figure that is not zero."""
    number = counts(content)
    resolved = {change: n for change, n in number.items() if change.is_resolved and n}
    kinds = [
        f"{number[change]:,} {change.label.lower()}"
        for change in Change
        if number[change] and not change.is_resolved and change is not Change.RESOLVED_EARLIER
    ]
    lines = [f"Findings: {', '.join(kinds) or 'none open, in either run'}."]
    if resolved:
        reasons = ", ".join(f"{change.label.lower()} {n:,}" for change, n in resolved.items())
        lines.append(f"{sum(resolved.values()):,} resolved or no longer evaluated: {reasons}.")
    if number[Change.NOT_COMPARED]:
        lines.append("Findings that could not be compared count as open.")
    if moved := _coverage_counts(content):
        words = ", ".join(f"{n:,} {change.label.lower()}" for change, n in moved.items())
        lines.append(f"Accounts whose coverage changed: {words}.")
    return lines


def preface(content: ChangesContent) -> tuple[Line, ...]:
    """The lines above the table: findings by kind, then accounts by coverage."""
    return (*_kinds(content), (), *_coverage(content), ())


def _kinds(content: ChangesContent) -> Iterator[Line]:
    yield ((f"Changes since the run of {content.as_of:%Y-%m-%d %H:%M} UTC", HEADING),)
    yield ((f"Compared with run {content.run_id}. Every finding appears once.", LABEL),)
    yield ()
    for change, number in counts(content).items():
        if number:
            badge = BODY.badge(change.label)
            yield ((change.label, badge), (number, _COUNT), (change.meaning, _TEXT))
    if not sum(counts(content).values()):
        yield (("No finding is open, in either run.", PLAIN),)


def _coverage(content: ChangesContent) -> Iterator[Line]:
    moved = _coverage_counts(content)
    if not moved:
        yield (("The coverage of no account has changed.", PLAIN),)
        return
    for change, number in moved.items():
        yield ((change.label, BODY), (number, _COUNT), (f"Accounts: {change.meaning}", _TEXT))
    rows = content.coverage[content.coverage["change"] != CoverageChange.SAME.value]
    labels = {change.value: change.label for change in CoverageChange}
    for row in rows.head(_ACCOUNTS_SHOWN).itertuples():
        before, now = row.previous_coverage or "not listed", row.coverage or "not listed"
        text = f"{row.account_id!s} {row.account_name!s}: {before!s}, now {now!s}"
        yield ((labels[str(row.change)], BODY), (None, BODY), (text, _TEXT))
    if len(rows) > _ACCOUNTS_SHOWN:
        yield ((f"... and {len(rows) - _ACCOUNTS_SHOWN:,} more accounts", LABEL),)


def _coverage_counts(content: ChangesContent) -> dict[CoverageChange, int]:
    """Accounts by how their coverage changed; only what occurs."""
    sizes = content.coverage["change"].value_counts()
    return {
        change: int(sizes[change.value])
        for change in CoverageChange
        if change is not CoverageChange.SAME and change.value in sizes
    }
