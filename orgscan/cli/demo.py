"""``orgscan demo``: a whole scan of a simulated organization."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from orgscan.models import Clock, Observer


def demo(
    accounts: int | None = typer.Option(
        None, min=1, max=50_000, help="Number of simulated accounts.  [default: about 25]"
    ),
    output: Path | None = typer.Option(
        None,
        help="Write to this new or empty directory; with --quarters, a subdirectory per quarter.  "
        "[default: orgscan-runs/<UTC time>]",
    ),
    quarters: int | None = typer.Option(
        None,
        min=1,
        max=8,
        help="Simulate this many quarters, each compared with the previous one.  "
        "[default: one run]",
    ),
    quiet: bool = typer.Option(False, "--quiet", help="Hide progress; still show errors."),
) -> None:
    """Audit a simulated organization; needs no AWS account.

    Exits with 0; the gaps of the demo are intentional.
    """
    from orgscan import settings
    from orgscan.cli import running
    from orgscan.models import Clock
    from orgscan.pipeline.demo import collect_demo
    from orgscan.pipeline.run_plan import RunPlan

    clock = Clock()
    with running.progress(settings.load(environment={}, quiet=quiet)) as observer:
        # Settings of the machine are those of real scans.
        plan = RunPlan.for_scan(environment={}, clock=clock, output=output)
        directory = plan.directory
        if quarters is not None:
            directory = _quarters(quarters, directory, accounts, clock, observer)
        else:
            read = partial(collect_demo, directory, accounts=accounts)
            running.carry_out(plan, read, clock=clock, observer=observer)
    # The demo's gaps are intentional.
    running.show(directory)


def _quarters(
    count: int, parent: Path, accounts: int | None, clock: Clock, observer: Observer
) -> Path:
    """A run for each quarter in a directory of its own below ``parent``; the last one."""
    from orgscan.cli import running
    from orgscan.pipeline.demo import collect_demo, demo_quarters, write_demo_waivers
    from orgscan.pipeline.run_plan import RunPlan

    quarters = demo_quarters(count, clock=clock, accounts=accounts)
    waivers = write_demo_waivers(parent, quarters[0][0])
    run = None
    for quarter, then in quarters:
        plan = RunPlan.for_scan(
            environment={},
            clock=then,
            output=parent / quarter.name,
            previous=run,
            waivers=waivers,
        )
        read = partial(collect_demo, plan.directory, quarter=quarter)
        running.carry_out(plan, read, clock=then, observer=observer)
        run = plan.directory
    return run or parent
