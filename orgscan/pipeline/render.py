"""From an evidence store to the files people read; offline, and as often as wanted."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orgscan import compare, controls, reports, rundir, tables, waivers
from orgscan.errors import UsageError
from orgscan.evidence import EvidenceStore
from orgscan.models import INTEGRITY_FAILURE, Coverage, RunInfo, Status
from orgscan.pipeline import decisions as decided
from orgscan.pipeline.catalogue import catalogue
from orgscan.pipeline.chain import MANIFEST_FORMAT, Link
from orgscan.pipeline.criteria import Criteria
from orgscan.pipeline.formats import Results, check_formats, write_formats
from orgscan.pipeline.previous import open_snapshot
from orgscan.pipeline.sealed import sealed_evidence
from orgscan.schema import CHANGES, SCHEMA_VERSION, TABLES
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from orgscan.models import Assessment, Clock, Observer
    from orgscan.pipeline.decisions import Decisions
    from orgscan.settings import Settings, Thresholds
    from orgscan.waivers import Result

_REPORT_LIFETIME = timedelta(hours=4, minutes=15)
_REPORTED_VERSIONS = ("aioboto3", "botocore", "openpyxl", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rendering:
    """What one rendering is made of."""

    info: RunInfo
    rendered_at: datetime
    criteria: Criteria
    assessments: tuple[Assessment, ...]
    accounts_enumerated: int
    evidence: rundir.FileRecord
    previous: dict[str, Any] | None
    frames: Mapping[str, pd.DataFrame]
    decisions: Decisions
    results: tuple[Result, ...]
    due_days: Mapping[str, int]
    notes: tuple[str, ...]
    """The run's notes, and what the tables and decisions tell."""
    comparison: compare.Comparison | None = None
    """With the previous run; None where none was given."""


def render(
    run: Path,
    *,
    clock: Clock,
    observer: Observer,
    output: Path | None = None,
    as_of: datetime | None = None,
    settings: Settings | None = None,
    frameworks: Sequence[str] = (),
    framework_files: Sequence[str | Path] = (),
    previous: Path | None = None,
    decisions: Decisions | None = None,
    formats: Sequence[str] = (),
) -> Path:
    """Judge the evidence of ``run`` and publish Parquet, workbook and, last, the manifest.

    ``output`` defaults to the run directory itself; ``as_of`` to the run's own. The limits and
    frameworks are those of ``settings`` or, without, those the run was scanned with;
    ``frameworks`` (keys) and ``framework_files`` come before either. ``previous`` is the earlier
    run to compare with, which the manifest continues; without it nothing is compared, and the
    manifest goes on naming the one it names. ``decisions`` are the waivers to apply and the
    entries to carry forward; by default there are none. ``formats`` are those of
    :data:`orgscan.pipeline.formats.FORMATS` to write beside; files of others are removed. An
    earlier signature is removed with what it signed. Returns the directory written to.

    Raises :class:`orgscan.errors.UsageError`, :class:`orgscan.errors.IntegrityError`, and
    :class:`orgscan.errors.RunError` where the disk is full; the directory is then as it was.
    """
    check_formats(formats)
    earlier = None if previous is None else open_snapshot(previous)
    elsewhere = output is not None and output.resolve() != run.resolve()
    if output is not None and run.resolve() in output.resolve().parents:
        message = (
            f"{output}: lies in the run itself, which would not be whole with it; choose another"
        )
        raise UsageError(message)
    with rundir.locked(run, shared=elsewhere):
        evidence = sealed_evidence(run)
        rendering = _judge(
            run,
            evidence,
            clock=clock,
            observer=observer,
            as_of=as_of,
            criteria=partial(
                Criteria.of_run,
                settings=settings,
                frameworks=frameworks,
                framework_files=framework_files,
            ),
            earlier=earlier,
            decisions=decisions or decided.Decisions(),
        )
        if output is None or not elsewhere:
            _publish(rendering, run, run, observer, formats)
            return run
        rundir.create(output)
        try:
            with rundir.locked(output):
                _publish(rendering, run, output, observer, formats)
        except BaseException:
            with suppress(OSError):
                output.rmdir()
            raise
        return output


def _judge(
    run: Path,
    evidence: rundir.FileRecord,
    *,
    clock: Clock,
    observer: Observer,
    as_of: datetime | None,
    criteria: Callable[[RunInfo], Criteria],
    earlier: tuple[Link, compare.Snapshot] | None,
    decisions: Decisions,
) -> _Rendering:
    link = None if earlier is None else earlier[0]
    observer.phase("Judging the evidence")
    with EvidenceStore.read(run / rundir.EVIDENCE) as store:
        info = store.info
        if link is not None:
            link.must_be_of(info.organization)
            link.must_precede(info.run_id, info.started_at)
        info = replace(info, as_of=as_of or info.as_of)
        judged_by = criteria(info)
        max_days = decisions.max_days or decided.stored_max_days(info.settings)
        waivers.check(decisions.waivers, as_of=info.as_of, max_days=max_days)
        built = tables.build(store, as_of=info.as_of)
        accounts_enumerated = len(store)
    judge = partial(
        controls.evaluate,
        built.accounts,
        built.credentials,
        built.access_keys,
        built.facts,
        organization_id=info.organization.id,
        as_of=info.as_of,
        thresholds=judged_by.thresholds,
        overrides=judged_by.overrides,
    )
    waive = partial(_waived, run, built.accounts, decisions, info.as_of)
    applied = waive(judge(framework=judged_by.frameworks[0]))
    findings = applied.findings
    comparison = None
    if earlier is not None:
        now = compare.Snapshot(
            as_of=info.as_of,
            started_at=info.started_at,
            accounts=built.accounts,
            credentials=built.credentials,
            access_keys=built.access_keys,
            findings=findings,
            enumerated=info.enumerated,
            thresholds=judged_by.effective.model_dump(),
        )
        comparison = compare.compare(earlier[1], now)
        findings = comparison.findings
    previous = _known_previous(run) if link is None else link.entry()
    due_days = decisions.due_days or decided.stored_due_days(info.settings)
    return _Rendering(
        info=info,
        rendered_at=clock.now(),
        criteria=judged_by,
        assessments=judged_by.assess(
            findings,
            # Frameworks with limits of their own have some controls judged again.
            lambda **which: waive(judge(**which)).findings,
            whole=info.enumerated and not _has_gaps(built.accounts),
        ),
        accounts_enumerated=accounts_enumerated,
        evidence=evidence,
        previous=previous,
        frames={
            "accounts": built.accounts,
            "credentials": built.credentials,
            "access_keys": built.access_keys,
            "findings": findings,
        },
        decisions=decisions,
        results=applied.results,
        due_days=due_days.model_dump(),
        notes=(
            *info.notes,
            *_stale_reports(built.accounts),
            *controls.override_notes(judged_by.overrides, built.accounts),
            *decisions.notes,
            *decided.waiver_notes(applied.results, built.accounts),
            *decided.entry_notes(decisions, findings),
            *(comparison.notes if comparison else _not_compared(previous)),
            *decided.forgotten(decisions, _known(run)),
        ),
        comparison=comparison,
    )


def _has_gaps(accounts: pd.DataFrame) -> bool:
    gaps = [coverage.value for coverage in Coverage if coverage.is_gap]
    return bool(accounts["coverage"].isin(gaps).any())


def _waived(
    run: Path,
    accounts: pd.DataFrame,
    decisions: Decisions,
    as_of: datetime,
    findings: pd.DataFrame,
) -> waivers.Applied:
    try:
        return waivers.apply(findings, accounts, decisions.waivers, as_of=as_of)
    except UsageError as error:
        # Only now are the accounts known; a scan is not in vain for that.
        message = f"{error}; the evidence is kept, `orgscan report {run} --waivers FILE` goes on"
        raise UsageError(message) from None


def _known_previous(run: Path) -> dict[str, Any] | None:
    """The earlier run that the run's manifest already names: rendering again keeps the chain."""
    known = _known(run).get("previous")
    return known if isinstance(known, dict) else None


def _known(run: Path) -> dict[str, Any]:
    """The manifest the run has already; empty where it has none that can be trusted."""
    content, fault = rundir.read_sealed(run / rundir.MANIFEST)
    return content if content and not fault else {}


def _publish(
    rendering: _Rendering,
    run: Path,
    directory: Path,
    observer: Observer,
    formats: Sequence[str],
) -> None:
    observer.phase("Writing the reports")
    remedy = f"the evidence is kept, `orgscan report {run}` writes again"
    metadata = parquet_metadata(rendering.info, rendering.criteria.effective)
    with rundir.Publication(directory, remedy=remedy) as publication:
        for table in TABLES:
            with publication.file(f"{table.name}.parquet") as path:
                reports.write_parquet(rendering.frames[table.name], table, path, metadata=metadata)
        if rendering.comparison is not None:
            with publication.file(f"{CHANGES.name}.parquet") as path:
                reports.write_parquet(
                    rendering.comparison.changes, CHANGES, path, metadata=metadata
                )
        changes = None if rendering.comparison is None else rendering.comparison.changes
        made = Results(rendering.info, rendering.criteria, rendering.frames, changes)
        write_formats(formats, made, publication)
        hashes = {rundir.EVIDENCE: rendering.evidence.sha256}
        hashes |= {name: record.sha256 for name, record in publication.files.items()}
        with publication.file(rundir.workbook_name(rendering.info)) as path:
            reports.write_workbook(path, _workbook_content(rendering, hashes))
        files = dict(publication.files)
        if directory == run:
            files[rundir.EVIDENCE] = rendering.evidence
        publication.commit(_manifest(rendering, files))


def _not_compared(previous: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A run rendered again without its earlier run must not look like one without changes."""
    if previous is None:
        return ()
    note = (
        f"This run continues run {previous.get('run_id')}, which was not given when these files "
        "were written: nothing is compared, and findings are first seen by this run. "
        "`orgscan report --previous` compares."
    )
    return (note,)


def _stale_reports(accounts: pd.DataFrame) -> list[str]:
    """AWS hands a report out for four hours; an older one says nothing of the time since."""
    age = accounts["started_at"] - accounts["report_generated_at"]
    stale = accounts[age > _REPORT_LIFETIME]
    if stale.empty:
        return []
    oldest = stale["report_generated_at"].min()
    note = (
        f"{len(stale)} accounts handed out a credential report more than 4 hours old (oldest "
        f"{oldest:%Y-%m-%d %H:%M} UTC): passwords, MFA and last use are as of then."
    )
    return [note]


def parquet_metadata(info: RunInfo, thresholds: Thresholds) -> dict[str, str]:
    """What every Parquet file says of its origin; nothing that differs between renderings."""
    return {
        "orgscan.version": __version__,
        "orgscan.run_id": info.run_id,
        "orgscan.organization_id": info.organization.id,
        "orgscan.as_of": info.as_of.isoformat(),
        "orgscan.enumerated": str(info.enumerated).lower(),
        "orgscan.thresholds": thresholds.model_dump_json(),
    }


def _workbook_content(rendering: _Rendering, hashes: Mapping[str, str]) -> reports.WorkbookContent:
    return reports.WorkbookContent(
        run=rendering.info,
        rendered_at=rendering.rendered_at,
        accounts=rendering.frames["accounts"],
        credentials=rendering.frames["credentials"],
        access_keys=rendering.frames["access_keys"],
        findings=rendering.frames["findings"],
        controls=_control_entries(rendering.criteria),
        assessments=rendering.assessments,
        thresholds=rendering.criteria.told(),
        versions=_versions(),
        hashes=dict(hashes),
        notes=rendering.notes,
        waivers=decided.waiver_entries(rendering.results),
        entries=rendering.decisions.entries,
        due_days=rendering.due_days,
        changes=_changes_content(rendering),
        accounts_enumerated=rendering.accounts_enumerated,
    )


def _control_entries(criteria: Criteria) -> list[reports.ControlEntry]:
    return [reports.ControlEntry(**asdict(entry)) for entry in catalogue(*criteria.frameworks)]


def _changes_content(rendering: _Rendering) -> reports.ChangesContent | None:
    comparison, previous = rendering.comparison, rendering.previous
    if comparison is None or previous is None:
        return None
    return reports.ChangesContent(
        run_id=previous["run_id"],
        as_of=datetime.fromisoformat(previous["as_of"]),
        changes=comparison.changes,
        coverage=comparison.coverage,
    )


def _versions() -> dict[str, str]:
    return {
        "orgscan": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _REPORTED_VERSIONS},
    }


def _manifest(rendering: _Rendering, files: Mapping[str, rundir.FileRecord]) -> dict[str, Any]:
    info, accounts = rendering.info, rendering.frames["accounts"]
    coverage = accounts["coverage"].value_counts()
    counts = rendering.frames["findings"].groupby(["control_id", "status"], observed=True).size()
    findings: dict[str, dict[str, int]] = {}
    for control in controls.CATALOGUE:
        findings[control.id] = {
            status.value: int(counts.get((control.id, status.value), 0)) for status in Status
        }
    return {
        "format": MANIFEST_FORMAT,
        "schema": SCHEMA_VERSION,
        "run_id": info.run_id,
        "organization_id": info.organization.id,
        "management_account_id": info.organization.management_account_id,
        "caller": info.caller.arn,
        "partition": info.caller.partition,
        "role_name": info.role_name,
        "endpoint_url": info.endpoint_url,
        "scope": dict(info.scope),
        "settings": dict(info.settings),
        "external_id_used": info.external_id_used,
        "collected_by": info.version,
        "started_at": info.started_at.isoformat(),
        "finished_at": info.finished_at.isoformat() if info.finished_at else None,
        "as_of": info.as_of.isoformat(),
        "rendered_at": rendering.rendered_at.isoformat(),
        "enumerated": info.enumerated,
        "accounts": rendering.accounts_enumerated,
        "coverage": {value.value: int(coverage.get(value.value, 0)) for value in Coverage},
        "integrity_failures": sorted(
            accounts.loc[accounts["error_code"] == INTEGRITY_FAILURE, "account_id"]
        ),
        "findings": findings,
        "severities": {control.id: control.severity.value for control in controls.CATALOGUE},
        "thresholds": rendering.criteria.effective.model_dump(),
        "frameworks": [_assessed(assessment) for assessment in rendering.assessments],
        **decided.manifest_part(
            rendering.decisions, rendering.results, rendering.frames["findings"]
        ),
        "due_days": dict(rendering.due_days),
        "overdue": _overdue(rendering),
        "notes": list(rendering.notes),
        "versions": _versions(),
        "files": {name: asdict(record) for name, record in sorted(files.items())},
        "evidence": {
            **asdict(rendering.evidence),
            "external": rundir.EVIDENCE not in files,
            "accounts": _evidence_hashes(accounts),
        },
        "previous": rendering.previous,
    }


def _assessed(assessment: Assessment) -> dict[str, Any]:
    """A framework as the manifest counts it."""
    return {
        "key": assessment.key,
        "title": assessment.title,
        "version": assessment.version,
        "related": assessment.related,
        "totals": {status.value: count for status, count in assessment.totals.items()},
        "requirements": {
            one.id: {
                "status": one.status.value,
                "controls": list(one.counts),
                "findings": {
                    status.value: sum(counts[status] for counts in one.counts.values())
                    for status in Status
                },
                "limits": dict(one.limits),
            }
            for one in assessment.requirements
        },
    }


def _overdue(rendering: _Rendering) -> dict[str, int]:
    """Overdue failures by severity."""
    entries = rendering.decisions.entries
    agreed = {entry.finding_id: entry.due for entry in entries if entry.due is not None}
    due = reports.DueDates(rendering.info.as_of, rendering.due_days, agreed)
    return due.count(rendering.frames["findings"])


def _evidence_hashes(accounts: pd.DataFrame) -> dict[str, str | None]:
    pairs = zip(accounts["account_id"], accounts["evidence_sha256"], strict=True)
    return {account: digest if isinstance(digest, str) else None for account, digest in pairs}
