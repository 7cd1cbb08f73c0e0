"""From an evidence store to the files people read; offline, and as often as wanted."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orgscan import compare, controls, reports, rundir, tables
from orgscan.errors import IntegrityError
from orgscan.evidence import EvidenceStore
from orgscan.models import INTEGRITY_FAILURE, Coverage, RunInfo, Status
from orgscan.pipeline.catalogue import catalogue
from orgscan.pipeline.chain import MANIFEST_FORMAT, Link
from orgscan.pipeline.previous import open_snapshot
from orgscan.schema import CHANGES, SCHEMA_VERSION, TABLES
from orgscan.settings import Thresholds
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from orgscan.models import Clock, Observer

_REPORT_LIFETIME = timedelta(hours=4, minutes=15)
_REPORTED_VERSIONS = ("aioboto3", "botocore", "openpyxl", "pandas", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rendering:
    """What one rendering is made of."""

    info: RunInfo
    rendered_at: datetime
    thresholds: Thresholds
    accounts_enumerated: int
    evidence: rundir.FileRecord
    previous: dict[str, Any] | None
    frames: Mapping[str, pd.DataFrame]
    comparison: compare.Comparison | None = None
    """With the previous run; None where none was given."""

    @property
    def notes(self) -> tuple[str, ...]:
        """The run's notes, and what the tables themselves tell."""
        compared = self.comparison.notes if self.comparison else _not_compared(self.previous)
        return (*self.info.notes, *_stale_reports(self.frames["accounts"]), *compared)


def render(
    run: Path,
    *,
    clock: Clock,
    observer: Observer,
    output: Path | None = None,
    as_of: datetime | None = None,
    thresholds: Thresholds | None = None,
    previous: Path | None = None,
) -> Path:
    """Judge the evidence of ``run`` and publish Parquet, workbook and, last, the manifest.

    ``output`` defaults to the run directory itself; ``as_of`` and ``thresholds`` default to the
    run's own. ``previous`` is the earlier run to compare with, which the manifest continues;
    without it nothing is compared, and the manifest goes on naming the one it names. An earlier
    signature is removed with what it signed. Returns the directory written to.

    Raises :class:`orgscan.errors.UsageError`, :class:`orgscan.errors.IntegrityError`, and
    :class:`orgscan.errors.RunError` where the disk is full; the directory is then as it was.
    """
    earlier = None if previous is None else open_snapshot(previous)
    elsewhere = output is not None and output.resolve() != run.resolve()
    with rundir.locked(run, shared=elsewhere):
        evidence = _evidence(run)
        rendering = _judge(
            run,
            evidence,
            clock=clock,
            observer=observer,
            as_of=as_of,
            thresholds=thresholds,
            earlier=earlier,
        )
        if output is None or not elsewhere:
            _publish(rendering, run, run, observer)
            return run
        rundir.create(output)
        try:
            with rundir.locked(output):
                _publish(rendering, run, output, observer)
        except BaseException:
            with suppress(OSError):
                output.rmdir()
            raise
        return output


def _evidence(run: Path) -> rundir.FileRecord:
    """The evidence as it is, which must be as the run's manifest says, where there is one."""
    path = run / rundir.EVIDENCE
    with EvidenceStore.read(path):
        pass  # folds in what a killed process left, so that the file is the whole evidence
    found = rundir.record(path)
    content, fault = rundir.read_sealed(run / rundir.MANIFEST)
    told = content.get("evidence") if content and not fault else None
    if isinstance(told, dict) and told.get("sha256") != found.sha256:
        message = (
            f"{path}: was changed after the run was finished; restore it from a backup, or remove "
            f"{rundir.MANIFEST} to judge it as it is"
        )
        raise IntegrityError(message)
    return found


def _judge(
    run: Path,
    evidence: rundir.FileRecord,
    *,
    clock: Clock,
    observer: Observer,
    as_of: datetime | None,
    thresholds: Thresholds | None,
    earlier: tuple[Link, compare.Snapshot] | None,
) -> _Rendering:
    link = None if earlier is None else earlier[0]
    observer.phase("Judging the evidence")
    with EvidenceStore.read(run / rundir.EVIDENCE) as store:
        info = store.info
        if link is not None:
            link.must_be_of(info.organization)
            link.must_precede(info.run_id, info.started_at)
        info = replace(info, as_of=as_of or info.as_of)
        limits = thresholds or Thresholds(**info.thresholds)
        built = tables.build(store, as_of=info.as_of)
        accounts_enumerated = len(store)
    findings = controls.evaluate(
        built.accounts,
        built.credentials,
        built.access_keys,
        built.facts,
        organization_id=info.organization.id,
        as_of=info.as_of,
        thresholds=limits,
    )
    comparison = None
    if earlier is not None:
        comparison = compare.compare(
            earlier[1],
            compare.Snapshot(
                as_of=info.as_of,
                started_at=info.started_at,
                accounts=built.accounts,
                credentials=built.credentials,
                access_keys=built.access_keys,
                findings=findings,
                enumerated=info.enumerated,
                thresholds=limits.model_dump(),
            ),
        )
        findings = comparison.findings
    return _Rendering(
        info=info,
        rendered_at=clock.now(),
        thresholds=limits,
        accounts_enumerated=accounts_enumerated,
        evidence=evidence,
        previous=_known_previous(run) if link is None else link.entry(),
        frames={
            "accounts": built.accounts,
            "credentials": built.credentials,
            "access_keys": built.access_keys,
            "findings": findings,
        },
        comparison=comparison,
    )


def _known_previous(run: Path) -> dict[str, Any] | None:
    """The earlier run that the run's manifest already names: rendering again keeps the chain."""
    content, fault = rundir.read_sealed(run / rundir.MANIFEST)
    known = content.get("previous") if content and not fault else None
    return known if isinstance(known, dict) else None


def _publish(rendering: _Rendering, run: Path, directory: Path, observer: Observer) -> None:
    observer.phase("Writing the reports")
    remedy = f"the evidence is kept, `orgscan report {run}` writes again"
    metadata = parquet_metadata(rendering.info, rendering.thresholds)
    with rundir.Publication(directory, remedy=remedy) as publication:
        for table in TABLES:
            with publication.file(f"{table.name}.parquet") as path:
                reports.write_parquet(rendering.frames[table.name], table, path, metadata=metadata)
        if rendering.comparison is not None:
            with publication.file(f"{CHANGES.name}.parquet") as path:
                reports.write_parquet(
                    rendering.comparison.changes, CHANGES, path, metadata=metadata
                )
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
        controls=_control_entries(),
        thresholds={
            name.replace("_", " "): f"{value:g}" if isinstance(value, float) else str(value)
            for name, value in rendering.thresholds.model_dump().items()
        },
        versions=_versions(),
        hashes=dict(hashes),
        notes=rendering.notes,
        changes=_changes_content(rendering),
        accounts_enumerated=rendering.accounts_enumerated,
    )


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


def _control_entries() -> list[reports.ControlEntry]:
    return [reports.ControlEntry(**asdict(entry)) for entry in catalogue()]


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
        "thresholds": rendering.thresholds.model_dump(),
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


def _evidence_hashes(accounts: pd.DataFrame) -> dict[str, str | None]:
    pairs = zip(accounts["account_id"], accounts["evidence_sha256"], strict=True)
    return {account: digest if isinstance(digest, str) else None for account, digest in pairs}
