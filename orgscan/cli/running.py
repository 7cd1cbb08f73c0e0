"""How commands run the pipeline: signals, progress, and the way from a run to an exit code."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import typer

from orgscan.cli.usage import complain
from orgscan.errors import RunInterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    from orgscan.models import Observer, Severity
    from orgscan.pipeline import Run
    from orgscan.settings import Settings

_FIRST = "stopping: accounts in flight are finished first; once more to stop now"


def collect(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]], output: Path) -> None:
    """Run ``work`` on an event loop; the first signal asks it to stop, the second makes it.

    Leaves with 130 or 143 where a signal ended the work early.
    """
    from orgscan import pipeline

    received: list[signal.Signals] = []
    try:
        with asyncio.Runner(loop_factory=pipeline.new_event_loop) as runner:
            runner.run(_until_stopped(work, received))
    except (RunInterrupted, asyncio.CancelledError):
        if not received:
            raise
        complain(
            f"interrupted; what was read is kept: `orgscan scan --resume {output}` goes on, "
            f"`orgscan report {output}` shows it"
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
        complain(f"interrupted while writing; run `orgscan report {output}` to write again")
        raise typer.Exit(128 + signal.SIGINT) from None


def observer(*, quiet: bool, log_format: str) -> AbstractContextManager[Observer]:
    """The progress display that fits standard error and the options."""
    from orgscan.cli.progress import choose

    return choose(quiet=quiet, log_format=log_format)


def show(directory: Path) -> Run:
    """Print the summary of the finished run in ``directory``."""
    from orgscan.cli import summary
    from orgscan.pipeline import Run

    run = Run(directory)
    for line in summary.lines(run):
        typer.echo(line)
    return run


def conclude(
    directory: Path,
    fail_on: Severity | None,
    *,
    sign_with: str | None = None,
    publish_to: str | None = None,
    settings: Settings | None = None,
) -> None:
    """Print the summary, sign and publish if asked to, leave with the code of the run.

    The summary comes first: a run that could not be signed or published is finished all the same.
    """
    run = show(directory)
    if sign_with is not None and settings is not None:
        from orgscan import pipeline
        from orgscan.models import Clock, Observer

        asyncio.run(
            pipeline.sign(directory, sign_with, settings, clock=Clock(), observer=Observer())
        )
        typer.echo(f"Signed    {directory}/manifest.sig.json")
    if publish_to is not None:
        from orgscan import pipeline
        from orgscan.models import Observer

        pipeline.publish(
            directory,
            publish_to,
            observer=Observer(),
            profile=None if settings is None else settings.profile,
            timeout=None if settings is None else settings.call_timeout_seconds,
        )
        typer.echo(f"Published {publish_to}")
    raise typer.Exit(run.exit_code(fail_on))
