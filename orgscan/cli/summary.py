"""The result on standard output: coverage first, then what fails, then where the files are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.models import Coverage, RequirementStatus, Severity, Status
from orgscan.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orgscan.runs.run import Run

_GAPS_SHOWN = 50
_CAUSES_SHOWN = 10


def lines(run: Run) -> Iterator[str]:
    """The summary of a finished run, line by line."""
    manifest = run.manifest
    if manifest.get("simulated"):
        yield f"SIMULATED: this data comes from {printable(manifest['endpoint_url'])}, not from AWS"
    yield f"Organization {manifest['organization_id']}, as of {manifest['as_of']}"
    yield ""
    yield from _coverage(run)
    yield ""
    yield from _findings(run)
    yield ""
    yield from map(_framework, manifest["frameworks"])
    yield ""
    yield from _changes(run)
    yield from (f"Note: {printable(note)}" for note in manifest["notes"])
    yield f"Workbook  {run.workbook}"
    yield f"Parquet   {run.path}/{{accounts,credentials,access_keys,findings}}.parquet"
    if run.changes is not None:
        yield f"Changes   {run.path}/changes.parquet"
    for label, ending in (("OCSF", ".ocsf.jsonl"), ("CSV", ".csv")):
        names = [name.removesuffix(ending) for name in manifest["files"] if name.endswith(ending)]
        if names:
            stem = names[0] if len(names) == 1 else f"{{{','.join(names)}}}"
            yield f"{label:<9} {run.path}/{stem}{ending}"


def _coverage(run: Run) -> Iterator[str]:
    manifest = run.manifest
    total = manifest["accounts"]
    gaps = run.gaps
    yield f"Coverage: {total} accounts"
    for coverage in Coverage:
        count = manifest["coverage"][coverage.value]
        if count:
            mark = "  <- gap" if coverage.is_gap else ""
            yield f"  {coverage.value:<14} {count:>6}{mark}"
    if not manifest["enumerated"]:
        yield "  The account list was NOT read to its end: there may be more accounts."
    if gaps.empty:
        return
    yield f"Accounts with gaps: {len(gaps)}"
    for row in gaps.head(_GAPS_SHOWN).itertuples():
        name = printable(row.account_name)
        yield f"  {row.account_id} {name} {row.coverage}: {printable(row.reason)}"
    if len(gaps) > _GAPS_SHOWN:
        yield f"  ... and {len(gaps) - _GAPS_SHOWN} more; see the Coverage sheet"


def _findings(run: Run) -> Iterator[str]:
    manifest = run.manifest
    counts = manifest["findings"]
    unknown = sum(of[Status.UNKNOWN.value] for of in counts.values())
    failing = {name: of for name, of in counts.items() if of[Status.FAIL.value]}
    total = sum(of[Status.FAIL.value] for of in failing.values())
    waived = sum(of[Status.WAIVED.value] for of in counts.values())
    more = f", {waived} WAIVED" if waived else ""
    yield f"Findings: {total} FAIL, {unknown} UNKNOWN (not enough evidence){more}"

    def rank(name: str) -> int:
        return Severity(manifest["severities"][name]).rank

    for name in sorted(failing, key=rank):
        severity = manifest["severities"][name]
        yield f"  {severity:<13} {name:<26} {failing[name][Status.FAIL.value]:>6}"
    causes = list(manifest.get("unknown", {}).items())
    for cause, count in causes[:_CAUSES_SHOWN]:
        yield f"  {'UNKNOWN':<13} {printable(cause)}: {count}"
    if len(causes) > _CAUSES_SHOWN:
        yield f"  ... and {len(causes) - _CAUSES_SHOWN} more causes; see manifest.json, unknown"
    if overdue := manifest.get("overdue"):
        parts = ", ".join(f"{count} {severity}" for severity, count in overdue.items())
        yield f"  Overdue: {sum(overdue.values())} ({parts})"
    if not total:
        yield f"  {_without_fail(run, unknown)}"


def _without_fail(run: Run, unknown: int) -> str:
    if run.exit_code() or unknown:
        return "No FAIL, but not everything could be judged."
    if left_out := run.manifest["coverage"][Coverage.EXCLUDED.value]:
        return f"Nothing fails in what was judged; {left_out} accounts were left out."
    return "Nothing fails."


def _framework(told: Mapping[str, Any]) -> str:
    """Where the requirements of one framework stand, in one line."""
    counts = told["totals"]
    totals = [f"{counts[status]} {status}" for status in RequirementStatus if status in counts]
    name = printable(f"{told['title']} {told['version']}")
    size = len(told["requirements"])
    where = f", {told['scope']}" if told["scope"] else ""
    return f"{name} ({told['key']}), {size} requirements on credentials{where}: {', '.join(totals)}"


def _changes(run: Run) -> Iterator[str]:
    if run.changes is None:
        return
    from orgscan.cli.compare import kinds

    yield f"Since the run as of {run.manifest['previous']['as_of']}"
    yield from kinds(run.changes)
    yield ""
