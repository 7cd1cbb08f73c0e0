"""``orgscan demo``: the real pipeline on a simulated organization."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from orgscan.models import Clock, Observer


def demo(
    accounts: int | None = typer.Option(
        None, min=1, max=50_000, help="How many accounts.  [default: about 25]"
    ),
    output: Path | None = typer.Option(
        None,
        help="Run directory, new or empty; with --quarters what the runs' directories go into.  "
        "[default: orgscan-runs/<UTC time>]",
    ),
    quarters: int | None = typer.Option(
        None, min=1, max=8, help="So many quarters in a row, each compared with the one before."
    ),
    quiet: bool = typer.Option(False, "--quiet", help="No progress."),
) -> None:
    """Audit a simulated organization; needs no AWS and leaves with 0."""
    from orgscan import pipeline
    from orgscan.cli import running
    from orgscan.models import Clock

    clock = Clock()
    directory = output or pipeline.default_output(clock)
    with running.observer(quiet=quiet, log_format="text") as observer:
        if quarters is not None:
            directory = _quarters(quarters, directory, accounts, clock, observer)
        else:
            work = partial(
                pipeline.collect_demo, directory, accounts=accounts, clock=clock, observer=observer
            )
            running.collect(lambda stop: work(stop=stop), directory)
            with running.rendering(directory):
                pipeline.render(directory, clock=clock, observer=observer)
    # The demo's gaps are there on purpose.
    running.show(directory)


def _quarters(
    count: int, parent: Path, accounts: int | None, clock: Clock, observer: Observer
) -> Path:
    """A run for each quarter in a directory of its own below ``parent``; the last one."""
    from orgscan import pipeline
    from orgscan.cli import running

    quarters = pipeline.demo_quarters(count, clock=clock, accounts=accounts)
    waivers = pipeline.write_demo_waivers(parent, quarters)
    decisions = pipeline.read_decisions(waivers, None)
    previous = None
    for quarter, then in quarters:
        run = parent / quarter.name
        work = partial(pipeline.collect_demo, run, quarter=quarter, clock=then, observer=observer)
        running.collect(partial(_until, work), run)
        with running.rendering(run):
            pipeline.render(
                run, clock=then, observer=observer, previous=previous, decisions=decisions
            )
        previous = run
    return run


def _until(
    work: Callable[..., Coroutine[Any, Any, None]], stop: asyncio.Event
) -> Coroutine[Any, Any, None]:
    return work(stop=stop)
