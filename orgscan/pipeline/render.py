"""From an evidence store to the files people read; offline, and as often as wanted."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from orgscan import files, reports
from orgscan.compare import EarlierRun
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.criteria import Criteria
from orgscan.controls.frameworks.reading import shipped
from orgscan.endpoint import is_simulated
from orgscan.errors import UsageError
from orgscan.pipeline.judgement import Terms, judge
from orgscan.pipeline.manifest import Effort, describe, versions
from orgscan.reports.formats import Results, check_formats, write_formats
from orgscan.runs import rundir
from orgscan.runs.publication import Publication
from orgscan.runs.sealed import sealed_evidence
from orgscan.runs.spool import Spool
from orgscan.schema import CHANGES
from orgscan.tables import PARTITION
from orgscan.waivers.entries import Decisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from orgscan.controls.frameworks.framework import Framework
    from orgscan.files import FileRecord
    from orgscan.models import Clock, Observer, Severity
    from orgscan.pipeline.judgement import Judgement
    from orgscan.schema import Table
    from orgscan.settings import Settings


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
    fail_on: Severity | None = None,
    partition: int = PARTITION,
) -> Path:
    """Judge the evidence of ``run`` and publish Parquet, workbook and, last, the manifest.

    ``output`` defaults to the run directory itself; ``as_of`` to the run's own. The limits and
    frameworks are those of ``settings`` or, without, those the run was scanned with;
    ``frameworks`` (keys) and ``framework_files`` come before either. ``previous`` is the earlier
    run to compare with, which the manifest continues; without it nothing is compared, and the
    manifest goes on naming the one it names. ``decisions`` are the waivers to apply and the
    entries to carry forward; by default there are none. ``formats`` are those of
    :data:`orgscan.reports.formats.FORMATS` to write beside; files of others are removed. An
    earlier signature is removed with what it signed. ``fail_on`` counts for the exit code in the
    manifest. ``partition`` is how many accounts and principals are judged at a time; the results
    do not depend on it. Returns the directory written to.

    Raises :class:`orgscan.errors.UsageError`, :class:`orgscan.errors.IntegrityError`, and
    :class:`orgscan.errors.RunError` where the disk is full; the directory is then as it was.
    """
    check_formats(formats)
    effort = Effort(clock, observer, fail_on)
    terms = Terms(
        criteria=partial(
            Criteria.of_run,
            settings=settings,
            frameworks=frameworks,
            framework_files=framework_files,
        ),
        decisions=decisions or Decisions(),
        as_of=as_of,
        earlier=None if previous is None else EarlierRun(previous, directory=output or run),
        partition=partition,
    )
    elsewhere = output is not None and output.resolve() != run.resolve()
    if output is not None and run.resolve() in output.resolve().parents:
        message = (
            f"{output}: is inside the run directory, which must contain only its own files; "
            "choose another --output"
        )
        raise UsageError(message)
    with files.locked(run, shared=elsewhere):
        evidence = sealed_evidence(run)
        publish = partial(
            _publish,
            run,
            evidence,
            terms,
            observer=observer,
            formats=formats,
            clock=clock,
            effort=effort,
        )
        if output is None or not elsewhere:
            publish(directory=run)
            return run
        rundir.create(output)
        try:
            with files.locked(output):
                publish(directory=output)
        except BaseException:
            with suppress(OSError):
                output.rmdir()
            raise
        return output


def _publish(
    run: Path,
    evidence: FileRecord,
    terms: Terms,
    directory: Path,
    *,
    observer: Observer,
    formats: Sequence[str],
    clock: Clock,
    effort: Effort,
) -> None:
    remedy = f"the evidence is kept; run `orgscan report {run}` to write the reports again"
    with (
        files.writing(directory, remedy),  # the spools are written there, too
        Publication(directory, remedy=remedy) as publication,
        ExitStack() as stack,
    ):

        def spool(table: Table) -> Spool:
            return stack.enter_context(Spool(table.columns, directory))

        observer.phase("Evaluating controls")
        judgement = judge(run, evidence, terms, publication, spool, clock=clock)
        observer.started(judgement.info)
        effort.end("evaluate")
        observer.phase("Writing the reports")
        made = Results(judgement.info, judgement.criteria, judgement.accounts, judgement.tables)
        write_formats(formats, made, publication)
        hashes = {rundir.EVIDENCE: judgement.evidence.sha256}
        hashes |= {name: record.sha256 for name, record in publication.files.items()}
        with publication.file(rundir.workbook_name(judgement.info)) as path:
            reports.write_workbook(path, _workbook_content(judgement, hashes))
        written = dict(publication.files)
        if directory == run:
            written[rundir.EVIDENCE] = judgement.evidence
        effort.end("write")
        publication.commit(effort.added_to(describe(judgement, written), judgement.info))


def _workbook_content(judgement: Judgement, hashes: Mapping[str, str]) -> reports.WorkbookContent:
    return reports.WorkbookContent(
        run=judgement.info,
        rendered_at=judgement.judged_at,
        accounts=judgement.accounts,
        credentials=judgement.tables["credentials"],
        access_keys=judgement.tables["access_keys"],
        service_credentials=judgement.tables["service_credentials"],
        findings=judgement.listed,
        tally=judgement.tally,
        overdue=judgement.overdue,
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
    changes, coverage = judgement.tables.get(CHANGES.name), judgement.coverage
    previous = judgement.previous
    if changes is None or coverage is None or previous is None:
        return None
    return reports.ChangesContent(
        run_id=previous.run_id,
        as_of=previous.as_of,
        changes=changes,
        coverage=coverage,
    )
