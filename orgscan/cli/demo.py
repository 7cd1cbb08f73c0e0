"""``orgscan demo``: the real pipeline on a simulated organization."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import typer


def demo(
    accounts: int | None = typer.Option(
        None, min=1, max=50_000, help="How many accounts.  [default: about 25]"
    ),
    output: Path | None = typer.Option(
        None, help="Run directory, new or empty.  [default: orgscan-runs/<UTC time>]"
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
        work = partial(
            pipeline.collect_demo, directory, accounts=accounts, clock=clock, observer=observer
        )
        running.collect(lambda stop: work(stop=stop), directory)
        with running.rendering(directory):
            pipeline.render(directory, clock=clock, observer=observer)
    # The demo's gaps are there on purpose.
    running.show(directory)
