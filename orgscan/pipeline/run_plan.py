"""What a command was asked to do, as one value that is checked once, before anything is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from orgscan import settings as settings_module
from orgscan.collect.engines import Cluster
from orgscan.controls.criteria import check_criteria
from orgscan.pipeline.previous import check_previous
from orgscan.pipeline.publish import check_destination
from orgscan.reports.formats import check_formats
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.signing import key_region
from orgscan.waivers.entries import check_decisions, read_decisions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from orgscan.models import Clock
    from orgscan.settings import Settings
    from orgscan.waivers.entries import Decisions


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """A scan, or a report on the evidence of one. Everything in it is checked.

    Build it with :meth:`for_scan` or :meth:`for_report`. Both take the settings by name, as the
    command line or a notebook gives them, and merge the environment and the settings file.
    """

    settings: Settings
    directory: Path
    """The run directory, where the evidence is."""
    decisions: Decisions
    cluster: Cluster | None = None
    output: Path | None = None
    """Where the reports go; None for the run directory. A scan's always go there."""
    as_of: datetime | None = None
    criteria: Settings | None = None
    """Settings whose thresholds and frameworks replace the run's own; None where they hold."""
    frameworks: Sequence[str] = ()
    """Frameworks named for this command only; they come before either. So do their files."""
    framework_files: Sequence[str] = ()

    @classmethod
    def for_scan(
        cls,
        config: Path | None = None,
        *,
        clock: Clock,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """The plan of a new scan, or of the continuation of one.

        Raises :class:`orgscan.errors.UsageError`.
        """
        settings = settings_module.load(
            config, environment=environment, stored=stored_settings, **options
        )
        run = settings.resume
        directory = run or settings.output or rundir.default_path(clock.now())
        _check_results(settings, [directory])
        frameworks = options.get("frameworks") or ()
        framework_files = options.get("framework_files") or ()
        if run is not None:
            check_criteria(run, frameworks=frameworks, framework_files=framework_files)
        decisions = read_decisions(settings.waivers, settings.carry, settings)
        check_decisions(decisions, clock=clock, run=run)
        cluster = None
        if settings.workers is not None or settings.scheduler is not None:
            cluster = Cluster(settings.workers or 0, settings.scheduler or "")
        return cls(
            settings=settings,
            directory=directory,
            decisions=decisions,
            cluster=cluster,
            frameworks=frameworks,
            framework_files=framework_files,
        )

    @classmethod
    def for_report(
        cls,
        run: Path,
        config: Path | None = None,
        *,
        output: Path | None = None,
        as_of: datetime | None = None,
        environment: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Self:
        """The plan of a report on the evidence in ``run``.

        Only a settings file replaces the thresholds, frameworks and days the run has: what the
        environment says of these holds where there is such a file. Settings about collecting
        count for nothing.

        Raises :class:`orgscan.errors.UsageError`.
        """
        settings = settings_module.load(config, environment=environment, **options)
        chosen = settings_module.settings_file(config, environment)
        _check_results(settings, [run, output])
        criteria = None if chosen is None else settings
        return cls(
            settings=settings,
            directory=run,
            decisions=read_decisions(settings.waivers, settings.carry, criteria),
            output=output,
            as_of=as_of,
            criteria=criteria,
            frameworks=options.get("frameworks") or (),
            framework_files=options.get("framework_files") or (),
        )


def stored_settings(run: Path) -> dict[str, Any]:
    """The settings a run began with; the external id is never among them.

    Raises as :meth:`orgscan.runs.evidence.EvidenceStore.read` does.
    """
    with EvidenceStore.read(run / rundir.EVIDENCE) as store:
        return dict(store.info.settings)


def _check_results(settings: Settings, directories: Sequence[Path | None]) -> None:
    """Refuse now what would fail only once the work is done."""
    check_formats(settings.formats)
    check_previous(settings.previous)
    if settings.sign_with_kms is not None:
        key_region(settings.sign_with_kms)
    check_destination(settings.publish, apart_from=[*directories, settings.previous])
