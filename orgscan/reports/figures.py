"""The figures of the cover and the summary, computed once and free of any layout."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import pandas as pd

from orgscan import frames
from orgscan.controls.due import DueDates
from orgscan.controls.tally import Tally
from orgscan.models import Coverage, Severity, Status
from orgscan.reports.rows import as_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orgscan.reports.content import WorkbookContent

OU_NOT_KNOWN = "(not known)"
_OU_DEPTH = 2
_LISTED_BY = {
    "user": "users",
    "access key": "access_keys",
    "service-specific credential": "service_credentials",
}
"""Unit of a control: the column of accounts that is null where what it judges is not known."""


class Tone(StrEnum):
    """How the verdict is coloured; only CLEAN may look reassuring."""

    CLEAN = "clean"
    CAUTION = "caution"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict in plain words: one line, and the sentences that back it."""

    tone: Tone
    headline: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ControlRow:
    """The results of one control, by status."""

    id: str
    title: str
    severity: str
    unit: str
    counts: Mapping[str, int]
    unread: int = 0
    """Accounts in scope whose users or keys, which the control judges, are not known at all: not
    even UNKNOWN stands for them in ``counts``."""

    @property
    def total(self) -> int:
        """All results, NOT_APPLICABLE included."""
        return sum(self.counts.values())

    @property
    def pass_rate(self) -> float | None:
        """See :func:`pass_rate`."""
        return pass_rate(self.counts)


@dataclass(frozen=True, slots=True)
class OuRow:
    """One top-level organizational unit: its accounts and its open results."""

    ou: str
    accounts: int
    gaps: int
    fails: Mapping[str, int]
    unknown: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of a workbook."""

    coverage: Mapping[str, int]
    """Accounts by coverage value, every value present."""
    control_total: int
    """Accounts enumerated."""
    by_severity: Mapping[str, Mapping[str, int]]
    by_control: tuple[ControlRow, ...]
    by_ou: tuple[OuRow, ...]
    unjudged: int
    """Accounts in scope without a single result."""
    foreign: int
    """Accounts with results that the coverage table does not hold."""
    state: Mapping[str, int]
    """All results by status."""
    overdue: Mapping[str, int] = field(default_factory=dict)
    """Overdue failures by severity; only those that occur."""

    @property
    def coverage_sum(self) -> int:
        """Accounts in the coverage table."""
        return sum(self.coverage.values())

    @property
    def reconciled(self) -> bool:
        """Whether the coverage table holds exactly the accounts enumerated."""
        return self.coverage_sum == self.control_total

    @property
    def gaps(self) -> Mapping[str, int]:
        """The coverage values that are gaps and occur."""
        return {
            value: count
            for value, count in self.coverage.items()
            if count and (value not in set(Coverage) or Coverage(value).is_gap)
        }


def pass_rate(counts: Mapping[str, int]) -> float | None:
    """PASS as a share of everything the control applies to; None where it applies to nothing.

    FAIL, WAIVED and UNKNOWN all count against it: an accepted risk is no compliance, and missing
    evidence is no pass. Rounded down to 0.1 %, so 100 % means all.
    """
    judged = sum(counts.get(status, 0) for status in Status if status != Status.NOT_APPLICABLE)
    if not judged:
        return None
    return math.floor(counts.get(Status.PASS, 0) * 1000 / judged) / 1000


def compute(content: WorkbookContent) -> Figures:
    """Count everything once."""
    accounts = content.accounts
    ids = accounts["account_id"].astype(str)
    coverages = dict(zip(ids, accounts["coverage"].astype(str), strict=True))
    paths = accounts["ou_path"].astype(object).where(accounts["ou_path"].notna(), "")
    tops = dict(zip(ids, map(top_level, paths), strict=True))
    tally = content.tally
    if tally is None and isinstance(content.findings, pd.DataFrame):
        tally = Tally.of(content.findings)
    tally = tally or Tally()
    open_by_ou: Counter[tuple[str, ...]] = Counter()
    for piece in as_rows(content.findings).pieces():
        for (account, severity, status), count in frames.counts(
            piece, "account_id", "severity", "status"
        ).items():
            open_by_ou[tops.get(account, OU_NOT_KNOWN), severity, status] += count
    in_scope = {account for account, value in coverages.items() if _in_scope(value)}
    by_severity: dict[str, Counter[str]] = {severity: Counter() for severity in Severity}
    state: Counter[str] = Counter()
    for (_control, severity, status), count in tally.results.items():
        by_severity.setdefault(severity, Counter())[status] += count
        state[status] += count
    enumerated = content.accounts_enumerated
    return Figures(
        coverage={**dict.fromkeys(map(str, Coverage), 0), **Counter(accounts["coverage"])},
        control_total=len(coverages) if enumerated is None else enumerated,
        by_severity=by_severity,
        by_control=_by_control(content, tally.results, _unread(accounts)),
        by_ou=_by_ou(tops, coverages, open_by_ou),
        unjudged=len(in_scope - tally.accounts),
        foreign=len(tally.accounts - coverages.keys()),
        state=state,
        overdue=due_dates(content).count(as_rows(content.findings).pieces())
        if content.overdue is None
        else content.overdue,
    )


def due_dates(content: WorkbookContent) -> DueDates:
    """The due dates of the content's findings."""
    agreed = {entry.finding_id: entry.due for entry in content.entries if entry.due is not None}
    return DueDates(content.run.as_of, content.due_days, agreed)


def _in_scope(value: str) -> bool:
    return value not in set(Coverage) or Coverage(value).in_scope


def _unread(accounts: pd.DataFrame) -> dict[str, int]:
    """Accounts in scope without a list of what is judged, by unit."""
    in_scope = accounts["coverage"].astype(str).map(_in_scope).astype(bool)
    return {
        unit: int((in_scope & accounts[column].isna()).sum()) for unit, column in _LISTED_BY.items()
    }


def _by_control(
    content: WorkbookContent,
    results: Mapping[tuple[str, ...], int],
    unread: Mapping[str, int],
) -> tuple[ControlRow, ...]:
    counts: dict[str, Counter[str]] = {entry.id: Counter() for entry in content.controls}
    severities = {entry.id: str(entry.severity) for entry in content.controls}
    words = {entry.id: (entry.title, entry.unit) for entry in content.controls}
    for (control, severity, status), count in results.items():
        counts.setdefault(control, Counter())[status] += count
        severities.setdefault(control, severity)
    rows = []
    for control, statuses in counts.items():
        title, unit = words.get(control, ("", ""))
        missing = unread.get(unit, 0)
        rows.append(ControlRow(control, title, severities[control], unit, statuses, missing))
    return tuple(sorted(rows, key=lambda row: (severity_rank(row.severity), row.id)))


def severity_rank(severity: str) -> int:
    """0 for the worst; a word not known sorts last."""
    return Severity(severity).rank if severity in set(Severity) else len(Severity)


def _by_ou(
    tops: Mapping[str, str],
    coverages: Mapping[str, str],
    results: Mapping[tuple[str, ...], int],
) -> tuple[OuRow, ...]:
    sizes = Counter(tops.values())
    gaps = Counter(
        top for account, top in tops.items() if _is_gap(coverages.get(account, "missing"))
    )
    fails: dict[str, Counter[str]] = {}
    unknown: Counter[str] = Counter()
    for (top, severity, status), count in results.items():
        if status == Status.FAIL:
            fails.setdefault(top, Counter())[severity] += count
        elif status == Status.UNKNOWN:
            unknown[top] += count
    names = sorted(sizes.keys() | fails.keys() | unknown.keys())
    return tuple(
        OuRow(name, sizes[name], gaps[name], fails.get(name, {}), unknown[name]) for name in names
    )


def _is_gap(value: str) -> bool:
    return value not in set(Coverage) or Coverage(value).is_gap


def top_level(ou_path: str) -> str:
    """The root and the first organizational unit below it: ``Root/Workloads``."""
    return "/".join(ou_path.split("/")[:_OU_DEPTH]) or OU_NOT_KNOWN


def verdict(content: WorkbookContent, figures: Figures) -> Verdict:
    """The line an officer reads first; never reassuring while anything is missing."""
    doubts = _doubts(content, figures)
    fails, waived = figures.state.get(Status.FAIL, 0), figures.state.get(Status.WAIVED, 0)
    facts = _facts(figures)
    if doubts:
        found = f"{_number(fails, 'failure')} found so far" if fails else "no verdict can be given"
        tone = Tone.BAD if fails else Tone.CAUTION
        return Verdict(tone, f"INCOMPLETE: {found}", (*doubts, *facts))
    if fails:
        return Verdict(Tone.BAD, f"FAILED: {_number(fails, 'failure')}", facts)
    if waived:
        headline = f"NO OPEN FAILURE, but {_number(waived, 'failure')} waived"
        return Verdict(Tone.CAUTION, headline, facts)
    if left_out := figures.coverage.get(Coverage.EXCLUDED, 0):
        headline = f"NO FAILURE in what was judged; {_number(left_out, 'account')} left out"
        return Verdict(Tone.CAUTION, headline, facts)
    return Verdict(Tone.CLEAN, "PASSED: no failure found", facts)


def _doubts(content: WorkbookContent, figures: Figures) -> list[str]:
    """What forbids a clean verdict, whatever was judged."""
    unknown = figures.state.get(Status.UNKNOWN, 0)
    judged = figures.state.get(Status.PASS, 0) + figures.state.get(Status.FAIL, 0)
    judged += figures.state.get(Status.WAIVED, 0)
    gaps = ", ".join(f"{count:,} {value}" for value, count in figures.gaps.items())
    gap_count = sum(figures.gaps.values())
    cases = (
        (
            not content.run.enumerated,
            "The account list was not read to its end: accounts may be missing here.",
        ),
        (content.run.finished_at is None, "The run did not finish."),
        (
            not figures.reconciled,
            (
                f"The coverage table holds {figures.coverage_sum:,} accounts, "
                f"but {figures.control_total:,} were enumerated."
            ),
        ),
        (
            gap_count > 0,
            (
                f"{gap_count:,} of {_number(figures.coverage_sum, 'account')} could not be read "
                f"in full ({gaps})."
            ),
        ),
        (
            figures.unjudged > 0,
            f"{_number(figures.unjudged, 'account')} in scope without any result.",
        ),
        (
            figures.foreign > 0,
            f"{_number(figures.foreign, 'account')} with results but not in the coverage table.",
        ),
        (
            unknown > 0,
            (
                f"{_number(unknown, 'result')} UNKNOWN: the evidence was missing or unreadable. "
                "UNKNOWN is not a pass."
            ),
        ),
        (judged == 0, "Nothing was judged."),
    )
    return [sentence for applies, sentence in cases if applies]


def _facts(figures: Figures) -> tuple[str, ...]:
    fails = ", ".join(
        f"{counts[Status.FAIL]:,} {severity}"
        for severity, counts in figures.by_severity.items()
        if counts.get(Status.FAIL, 0)
    )
    waived = figures.state.get(Status.WAIVED, 0)
    outside = [
        f"{figures.coverage.get(value, 0):,} {value}"
        for value in (Coverage.NOT_ACTIVE, Coverage.EXCLUDED)
        if figures.coverage.get(value, 0)
    ]
    passed = figures.state.get(Status.PASS, 0)
    sentences = [
        f"{_number(passed, 'result')} passed, {_number(waived, 'failure')} waived.",
        f"Failures by severity: {fails}." if fails else "",
        f"{_number(sum(figures.overdue.values()), 'failure')} overdue." if figures.overdue else "",
        f"Accounts not judged because they are outside the scope: {', '.join(outside)}."
        if outside
        else "",
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
