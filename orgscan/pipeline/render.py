"""From an evidence store to the files people read; offline, and as often as wanted."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from orgscan import files, reports
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.criteria import Criteria
from orgscan.controls.frameworks.reading import shipped
from orgscan.endpoint import is_simulated
from orgscan.errors import UsageError
from orgscan.pipeline.judgement import Terms, judge
from orgscan.pipeline.manifest import describe, versions
from orgscan.pipeline.memory import give_back
from orgscan.pipeline.previous import open_snapshot
from orgscan.reports.formats import Results, check_formats, write_formats
from orgscan.runs import parquet, rundir
from orgscan.runs.publication import Publication
from orgscan.runs.sealed import sealed_evidence
from orgscan.schema import CHANGES, TABLES
from orgscan.version import __version__
from orgscan.waivers.entries import Decisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from orgscan.controls.frameworks.framework import Framework
    from orgscan.models import Clock, Observer, RunInfo
    from orgscan.pipeline.judgement import Judgement
    from orgscan.settings import Settings, Thresholds


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
    :data:`orgscan.reports.formats.FORMATS` to write beside; files of others are removed. An
    earlier signature is removed with what it signed. Returns the directory written to.

    Raises :class:`orgscan.errors.UsageError`, :class:`orgscan.errors.IntegrityError`, and
    :class:`orgscan.errors.RunError` where the disk is full; the directory is then as it was.
    """
    check_formats(formats)
    terms = Terms(
        criteria=partial(
            Criteria.of_run,
            settings=settings,
            frameworks=frameworks,
            framework_files=framework_files,
        ),
        decisions=decisions or Decisions(),
        as_of=as_of,
        earlier=None if previous is None else open_snapshot(previous),
    )
    elsewhere = output is not None and output.resolve() != run.resolve()
    if output is not None and run.resolve() in output.resolve().parents:
        message = (
            f"{output}: lies in the run itself, which would not be whole with it; choose another"
        )
        raise UsageError(message)
    with files.locked(run, shared=elsewhere):
        evidence = sealed_evidence(run)
        observer.phase("Judging the evidence")
        give_back()
        judgement = judge(run, evidence, terms, clock=clock)
        del terms  # the tables of an earlier run with it
        give_back()
        if output is None or not elsewhere:
            _publish(judgement, run, run, observer, formats)
            return run
        rundir.create(output)
        try:
            with files.locked(output):
                _publish(judgement, run, output, observer, formats)
        except BaseException:
            with suppress(OSError):
                output.rmdir()
            raise
        return output


def _publish(
    judgement: Judgement,
    run: Path,
    directory: Path,
    observer: Observer,
    formats: Sequence[str],
) -> None:
    observer.phase("Writing the reports")
    remedy = f"the evidence is kept, `orgscan report {run}` writes again"
    metadata = parquet_metadata(judgement.info, judgement.criteria.effective)
    with Publication(directory, remedy=remedy) as publication:
        for table in TABLES:
            with publication.file(f"{table.name}.parquet") as path:
                parquet.write(judgement.frames[table.name], table, path, metadata=metadata)
        if judgement.changes is not None:
            with publication.file(f"{CHANGES.name}.parquet") as path:
                parquet.write(judgement.changes, CHANGES, path, metadata=metadata)
        made = Results(judgement.info, judgement.criteria, judgement.frames, judgement.changes)
        write_formats(formats, made, publication)
        hashes = {rundir.EVIDENCE: judgement.evidence.sha256}
        hashes |= {name: record.sha256 for name, record in publication.files.items()}
        give_back()  # what writing left
        content = reports.condensed(_workbook_content(judgement, hashes))
        judgement.frames["findings"] = content.findings
        give_back()
        with publication.file(rundir.workbook_name(judgement.info)) as path:
            reports.write_workbook(path, content)
        written = dict(publication.files)
        if directory == run:
            written[rundir.EVIDENCE] = judgement.evidence
        publication.commit(describe(judgement, written))


def parquet_metadata(info: RunInfo, thresholds: Thresholds) -> dict[str, str]:
    """What every Parquet file says of its origin; nothing that differs between renderings."""
    return {
        "orgscan.version": __version__,
        "orgscan.run_id": info.run_id,
        "orgscan.organization_id": info.organization.id,
        "orgscan.as_of": info.as_of.isoformat(),
        "orgscan.enumerated": str(info.enumerated).lower(),
        "orgscan.simulated": str(is_simulated(info.endpoint_url)).lower(),
        "orgscan.thresholds": thresholds.model_dump_json(),
    }


def _workbook_content(judgement: Judgement, hashes: Mapping[str, str]) -> reports.WorkbookContent:
    return reports.WorkbookContent(
        run=judgement.info,
        rendered_at=judgement.judged_at,
        accounts=judgement.frames["accounts"],
        credentials=judgement.frames["credentials"],
        access_keys=judgement.frames["access_keys"],
        service_credentials=judgement.frames["service_credentials"],
        findings=judgement.frames["findings"],
        controls=CATALOGUE,
        frameworks=_frameworks(judgement.criteria),
        assessments=judgement.assessments,
        thresholds=judgement.criteria.for_reading(),
        versions=versions(),
        hashes=dict(hashes),
        notes=judgement.notes,
        waivers=judgement.results,
        entries=judgement.decisions.entries,
        due_days=judgement.due_days,
        changes=_changes_content(judgement),
        accounts_enumerated=judgement.accounts_enumerated,
        simulated=is_simulated(judgement.info.endpoint_url),
    )


def _frameworks(criteria: Criteria) -> tuple[Framework, ...]:
    """All that come with orgscan, and the run's own."""
    own = {framework.key: framework for framework in criteria.frameworks}
    return tuple({**shipped(), **own}.values())


def _changes_content(judgement: Judgement) -> reports.ChangesContent | None:
    changes, coverage = judgement.changes, judgement.coverage
    previous = judgement.previous
    if changes is None or coverage is None or previous is None:
        return None
    return reports.ChangesContent(
        run_id=previous.run_id,
        as_of=previous.as_of,
        changes=changes,
        coverage=coverage,
    )
