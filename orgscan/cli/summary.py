"""The result on standard output: coverage first, then what fails, then where the files are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.models import Coverage, RequirementStatus, Status
from orgscan.text import minute, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.runs.manifest import Framework
    from orgscan.runs.run import Run

_GAPS_SHOWN = 50
_CAUSES_SHOWN = 10


def lines(run: Run) -> Iterator[str]:
    """The summary of a finished run, line by line."""
    details = run.details
    if details.simulated:
        yield f"SIMULATED: this data comes from {printable(details.endpoint_url)}, not from AWS"
    yield f"Organization {details.organization_id}, as of {minute(details.as_of)}"
    yield ""
    yield from _coverage(run)
    yield ""
    yield from _findings(run)
    yield ""
    yield from map(_framework, details.frameworks)
    yield ""
    yield from _changes(run)
    yield from (f"Note: {printable(note)}" for note in details.notes)
    yield f"Workbook  {run.workbook}"
    yield f"Parquet   {run.path}/{{accounts,credentials,access_keys,findings}}.parquet"
    if run.changes is not None:
        yield f"Changes   {run.path}/changes.parquet"
    for label, ending in (("OCSF", ".ocsf.jsonl"), ("CSV", ".csv")):
        names = [name.removesuffix(ending) for name in details.files if name.endswith(ending)]
        if names:
            stem = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
            yield f"{label:<9} {run.path}/{stem}{ending}"


def _coverage(run: Run) -> Iterator[str]:
    details, gaps = run.details, run.gaps
    yield f"Coverage: {details.accounts} accounts"
    for coverage in Coverage:
        count = details.coverage[coverage]
        if count:
            mark = "  <- gap" if coverage.is_gap else ""
            yield f"  {coverage.value:<14} {count:>6}{mark}"
    if not details.enumerated:
        yield "  The account list is INCOMPLETE: there may be more accounts."
    if gaps.empty:
        return
    yield f"Accounts with gaps: {len(gaps)}"
    for row in gaps.head(_GAPS_SHOWN).itertuples():
        name = printable(row.account_name)
        yield f"  {row.account_id} {name} {row.coverage}: {printable(row.reason)}"
    if len(gaps) > _GAPS_SHOWN:
        yield f"  ... and {len(gaps) - _GAPS_SHOWN} more; see the Coverage sheet"


def _findings(run: Run) -> Iterator[str]:
    details = run.details
    total, unknown, waived = map(details.count, (Status.FAIL, Status.UNKNOWN, Status.WAIVED))
    failing = {
        name: count for name, of in details.findings.items() if (count := of.get(Status.FAIL, 0))
    }
    more = f", {waived} WAIVED" if waived else ""
    yield f"Findings: {total} FAIL, {unknown} UNKNOWN (not enough evidence){more}"

    def rank(name: str) -> int:
        return details.severity(name).rank

    for name in sorted(failing, key=rank):
        yield f"  {details.severity(name):<13} {name:<26} {failing[name]:>6}"
    causes = list(details.unknown.items())
    for cause, count in causes[:_CAUSES_SHOWN]:
        yield f"  {'UNKNOWN':<13} {printable(cause)}: {count}"
    if len(causes) > _CAUSES_SHOWN:
        yield f"  ... and {len(causes) - _CAUSES_SHOWN} more causes; see manifest.json, unknown"
    if details.overdue:
        parts = ", ".join(f"{count} {severity}" for severity, count in details.overdue.items())
        yield f"  Overdue: {sum(details.overdue.values())} ({parts})"
    if not total:
        yield f"  {_without_fail(run, unknown)}"


def _without_fail(run: Run, unknown: int) -> str:
    if run.exit_code() or unknown:
        return "No failures, but not everything could be evaluated."
    if left_out := run.details.coverage[Coverage.EXCLUDED]:
        return f"No failures in the evaluated accounts; {left_out} accounts are excluded."
    return "No failures."


def _framework(framework: Framework) -> str:
    """Where the requirements of one framework stand, in one line."""
    counts = framework.totals
    totals = [f"{counts[status]} {status}" for status in RequirementStatus if status in counts]
    name = f"{printable(f'{framework.title} {framework.version}')} ({framework.key})"
    size = len(framework.requirements)
    scope = f", {framework.scope}" if framework.scope else ""
    return f"{name}, {size} requirements on credentials{scope}: {', '.join(totals)}"


def _changes(run: Run) -> Iterator[str]:
    previous = run.details.previous
    if run.changes is None or previous is None:
        return
    from orgscan.cli.compare import kinds

    yield f"Since the run as of {minute(previous.as_of)}"
    yield from kinds(run.changes)
    yield ""
