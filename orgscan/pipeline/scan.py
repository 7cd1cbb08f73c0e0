"""A whole scan: read the organization, evaluate the evidence, write, sign, publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.collect import preflight
from orgscan.collect.collection import resume, start
from orgscan.controls.criteria import Criteria
from orgscan.pipeline.publish import publish
from orgscan.pipeline.render import render
from orgscan.pipeline.sign import sign
from orgscan.runs.chain import Link
from orgscan.runs.run import Run
from orgscan.waivers.entries import check_entries

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from orgscan.collect.engines import Cluster
    from orgscan.models import Clock, Credentials, Observer, Organization
    from orgscan.pipeline.run_plan import RunPlan
    from orgscan.settings import Settings
    from orgscan.waivers.entries import Decisions


async def scan(
    plan: RunPlan, *, clock: Clock, observer: Observer, stop: asyncio.Event | None = None
) -> Run:
    """Do all that ``plan`` asks for.

    Raises as :func:`read` and :func:`write` do.
    """
    await read(plan, clock=clock, observer=observer, stop=stop)
    run = Run(write(plan, clock=clock, observer=observer))
    settings = plan.settings
    if settings.sign_with_kms is not None:
        await sign(run.path, settings.sign_with_kms, settings, clock=clock, observer=observer)
    if settings.publish is not None:
        publish(run.path, settings.publish, observer=observer, settings=settings)
    return run


async def read(
    plan: RunPlan,
    *,
    clock: Clock,
    observer: Observer,
    stop: asyncio.Event | None = None,
    credentials: Credentials | None = None,
) -> None:
    """Collect the evidence, or the part of it that is still missing.

    Raises as :func:`collect` and :func:`resume` do.
    """
    settings, cluster = plan.settings, plan.cluster
    if settings.resume is not None:
        await resume(
            settings,
            settings.resume,
            retry_gaps=settings.retry_gaps,
            clock=clock,
            observer=observer,
            stop=stop,
            credentials=credentials,
            cluster=cluster,
        )
    else:
        await collect(
            settings,
            plan.directory,
            clock=clock,
            observer=observer,
            stop=stop,
            credentials=credentials,
            cluster=cluster,
            previous=settings.previous,
            decisions=plan.decisions,
        )


def write(plan: RunPlan, *, clock: Clock, observer: Observer) -> Path:
    """Evaluate the evidence and write the reports; the directory they are in.

    Raises as :func:`orgscan.pipeline.render.render` does.
    """
    return render(
        plan.directory,
        clock=clock,
        observer=observer,
        output=plan.output,
        as_of=plan.as_of,
        settings=plan.criteria,
        frameworks=plan.frameworks,
        framework_files=plan.framework_files,
        previous=plan.settings.previous,
        decisions=plan.decisions,
        formats=plan.settings.formats,
        fail_on=plan.settings.fail_on,
    )


async def collect(
    settings: Settings,
    output: Path,
    *,
    clock: Clock,
    observer: Observer,
    stop: asyncio.Event | None = None,
    credentials: Credentials | None = None,
    cluster: Cluster | None = None,
    previous: Path | None = None,
    decisions: Decisions | None = None,
) -> None:
    """Read the organization into the evidence store of ``output``, a new run directory.

    Setting ``stop`` ends the run early: accounts in flight are drained, evidence is kept and
    :class:`orgscan.errors.RunInterrupted` is raised. ``credentials`` are the caller's; by
    default AWS's usual chain finds them. With a ``cluster`` its workers read the accounts, and
    this process enumerates and stores. ``previous`` is the earlier run that the manifest will
    name, and ``decisions`` what will be rendered with; what is wrong with either is told before
    anything is read.

    Raises :class:`orgscan.errors.UsageError` before anything was read,
    :class:`orgscan.errors.RunError` where the account list could not be read to its end or
    holds no account in scope.
    """
    preflight.require_role(settings)
    criteria = Criteria.of_settings(settings)
    link = None if previous is None else Link.to(previous)

    def accept(organization: Organization) -> None:
        if link is not None:
            link.must_be_of(organization)
        if decisions is not None:
            check_entries(decisions.entries, organization.id)

    await start(
        settings,
        output,
        frameworks=criteria.definitions,
        accept=accept,
        clock=clock,
        observer=observer,
        stop=stop,
        credentials=credentials,
        cluster=cluster,
    )
