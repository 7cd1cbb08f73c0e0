"""What changed since the earlier run: the lines above the Changes sheet, and the cover's."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from orgscan import frames
from orgscan.models import Change
from orgscan.reports import look
from orgscan.reports.look import BODY, HEADING, LABEL, PLAIN
from orgscan.reports.meanings import CHANGE_MEANINGS, COVERAGE_CHANGE_MEANINGS
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
    found: Counter[tuple[str, ...]] = Counter()
    for piece in as_rows(content.changes).pieces():
        found += frames.counts(piece, "change")
    return {change: found[change.value,] for change in Change}


def shown(content: ChangesContent) -> int:
    """How many of the rows are shown: all but the last, which an earlier run saw resolved."""
    number = counts(content)
    return sum(number.values()) - number[Change.RESOLVED_EARLIER]


def sentences(content: ChangesContent) -> list[str]:
    """The changes in a few sentences, with every figure that is not zero."""
    number = counts(content)
    resolved = {change: n for change, n in number.items() if change.is_resolved and n}
    kinds = [
        f"{number[change]:,} {_words(change)}"
        for change in Change
        if number[change] and not change.is_resolved and change is not Change.RESOLVED_EARLIER
    ]
    reasons = ", ".join(f"{n:,} {_words(change)}" for change, n in resolved.items())
    found = [f"Findings: {', '.join(kinds) or 'none open, then or now'}."]
    if resolved:
        found.append(f"{sum(resolved.values()):,} resolved or no longer judged: {reasons}.")
    if number[Change.NOT_COMPARED]:
        found.append("What could not be compared counts as open: nobody has seen it resolved.")
    moved = _coverage_counts(content)
    if moved:
        words = ", ".join(f"{n:,} {word}" for word, n in moved.items())
        found.append(f"Accounts whose coverage changed: {words}.")
    return found


def preface(content: ChangesContent) -> tuple[Line, ...]:
    """The story above the table: findings by kind, then accounts by coverage."""
    return (*_kinds(content), (), *_coverage(content), ())


def _kinds(content: ChangesContent) -> Iterator[Line]:
    yield ((f"Changes since the run of {content.as_of:%Y-%m-%d %H:%M} UTC", HEADING),)
    yield ((f"Compared with run {content.run_id}. Every finding stands here once.", LABEL),)
    yield ()
    for change, number in counts(content).items():
        if number:
            badge = BODY.badge(change.value)
            yield ((change.value, badge), (number, _COUNT), (CHANGE_MEANINGS[change], _TEXT))
    if not sum(counts(content).values()):
        yield (("Nothing is open, and nothing was.", PLAIN),)


def _coverage(content: ChangesContent) -> Iterator[Line]:
    moved = _coverage_counts(content)
    if not moved:
        yield (("The coverage of no account has changed.", PLAIN),)
        return
    for word, number in moved.items():
        meaning = f"Accounts: {COVERAGE_CHANGE_MEANINGS[word]}."
        yield ((word, BODY), (number, _COUNT), (meaning, _TEXT))
    rows = content.coverage[content.coverage["change"] != "same"]
    for row in rows.head(_ACCOUNTS_SHOWN).itertuples():
        was, is_now = row.previous_coverage or "not listed", row.coverage or "not listed"
        text = f"{row.account_id!s} {row.account_name!s}: {was!s}, now {is_now!s}"
        yield ((str(row.change), BODY), (None, BODY), (text, _TEXT))
    if len(rows) > _ACCOUNTS_SHOWN:
        yield ((f"... and {len(rows) - _ACCOUNTS_SHOWN:,} more accounts", LABEL),)


def _coverage_counts(content: ChangesContent) -> dict[str, int]:
    found = content.coverage["change"].value_counts()
    return {word: int(found[word]) for word in COVERAGE_CHANGE_MEANINGS if word in found}


def _words(change: Change) -> str:
    return change.value.replace("_", " ")
