"""How commands run the pipeline: signals, progress, and the way from a run to an exit code."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from orgscan import log
from orgscan.cli.usage import complain
from orgscan.errors import RunInterrupted
from orgscan.models import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    from orgscan.log import RunLog
    from orgscan.models import Clock, Observer
    from orgscan.pipeline.run_plan import RunPlan
    from orgscan.runs.run import Run
    from orgscan.settings import Settings

    Read = Callable[..., Coroutine[Any, Any, None]]

_FIRST = "stopping after the accounts in progress; press Ctrl-C again to stop immediately"


def collect(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], output: Path) -> None:
    """Run ``work`` on an event loop; the first signal asks it to stop, the second makes it.

    Leaves with 130 or 143 where a signal ended the work early.
    """
    from orgscan.collect.engines import new_event_loop

    received: list[signal.Signals] = []
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_until_stopped(work, received))
    except (RunInterrupted, asyncio.CancelledError):
        if not received:
            raise
        complain(
            f"interrupted; evidence is kept. Resume with `orgscan scan --resume {output}`, "
            f"or report with `orgscan report {output}`"
        )
        raise typer.Exit(128 + received[0]) from None


async def _until_stopped(
    work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], received: list[signal.Signals]
) -> None:
    stop = asyncio.Event()
    task = asyncio.ensure_future(work(stop))

    def on_signal(number: signal.Signals) -> None:
        received.append(number)
        if len(received) > 1:
            task.cancel()
        else:
            stop.set()
            complain(_FIRST)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    try:
        await task
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextmanager
def rendering(output: Path) -> Iterator[None]:
    """Say what to do where writing the reports is cut short; the evidence is whole by then."""
    try:
        yield
    except KeyboardInterrupt:
        complain(
            f"interrupted while writing reports; run `orgscan report {output}` to write them again"
        )
        raise typer.Exit(128 + signal.SIGINT) from None


def carry_out(plan: RunPlan, read: Read, *, clock: Clock, observer: Observer) -> None:
    """Collect the evidence with ``read``, evaluate it and write the reports."""
    from orgscan.pipeline import scan as scanning

    collect(lambda stop: read(clock=clock, observer=observer, stop=stop), plan.directory)
    with rendering(plan.directory):
        scanning.write(plan, clock=clock, observer=observer)


def begin(log_format: str | None) -> None:
    """Write errors as asked for from here on; the settings file is not read yet."""
    from orgscan.settings import ENV_PREFIX

    chosen = log_format or os.environ.get(f"{ENV_PREFIX}LOG_FORMAT")
    log.configure(as_json=chosen == "json")


@contextmanager
def progress(settings: Settings) -> Iterator[RunLog]:
    """Show progress on standard error in the form that the settings ask for."""
    from orgscan.cli.progress import choose

    as_json, verbose = settings.log_format == "json", settings.verbose
    with choose(quiet=settings.quiet, as_json=as_json, verbose=verbose) as observer:
        log.configure(as_json=as_json, quiet=settings.quiet, verbose=verbose, run=observer)
        yield observer


def show(directory: Path) -> Run:
    """Print the summary of the finished run in ``directory``."""
    from orgscan.cli import summary
    from orgscan.runs.run import Run

    run = Run(directory)
    for line in summary.lines(run):
        typer.echo(line)
    return run


def conclude(plan: RunPlan, directory: Path, observer: RunLog) -> None:
    """Print the summary, sign and publish if asked to, exit with the code of the run.

    The summary comes first: a run that could not be signed or published is finished all the same.
    """
    from orgscan.models import Clock
    from orgscan.pipeline.publish import publish
    from orgscan.pipeline.sign import sign

    run, settings = show(directory), plan.settings
    observer.totals = {
        "accounts": run.details.accounts,
        "coverage": run.details.coverage,
        "findings": {status.value: run.details.count(status) for status in Status},
    }
    if key := settings.sign_with_kms:
        asyncio.run(sign(directory, key, settings, clock=Clock(), observer=observer))
        typer.echo(f"Signed    {directory}/manifest.sig.json")
    if settings.publish:
        publish(directory, settings.publish, observer=observer, settings=settings)
        typer.echo(f"Published {settings.publish}")
    raise typer.Exit(run.exit_code(settings.fail_on))
