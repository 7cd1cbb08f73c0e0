"""The demo: the real pipeline against a simulated organization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan import settings as settings_module
from orgscan import simulator
from orgscan.files import published
from orgscan.models import Clock, Credentials
from orgscan.pipeline.scan import collect
from orgscan.runs import rundir
from orgscan.simulator.demo import DEMO_EXCLUDED_ACCOUNT, demo

if TYPE_CHECKING:
    import asyncio
    from datetime import datetime, timedelta
    from pathlib import Path

    from orgscan.models import Observer


async def collect_demo(
    output: Path,
    *,
    clock: Clock,
    observer: Observer,
    accounts: int | None = None,
    quarter: simulator.Quarter | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Collect the simulated organization's evidence into ``output``; needs no AWS and touches none.

    ``quarter`` is one of :func:`demo_quarters`, in place of the organization as it is.

    Raises as :func:`orgscan.pipeline.scan.collect` does.
    """
    if quarter is None:
        world = demo() if accounts is None else demo(accounts=accounts)
        excluded: tuple[str, ...] = (DEMO_EXCLUDED_ACCOUNT,)
    else:
        world, excluded = quarter.world, quarter.excluded
    # A demo cut short may have lost them.
    known = {account.id for account in world.accounts}
    async with simulator.Simulator(world, record=False) as simulated:
        keys = simulated.credentials
        await collect(
            settings_module.load(
                environment={},
                role_name=simulator.AUDIT_ROLE,
                endpoint_url=simulated.endpoint_url,
                exclude_accounts=tuple(account for account in excluded if account in known),
            ),
            output,
            clock=clock,
            observer=observer,
            stop=stop,
            credentials=Credentials(
                keys.access_key_id, keys.secret_access_key, keys.session_token or ""
            ),
        )


def demo_quarters(
    count: int, *, clock: Clock, accounts: int | None = None
) -> list[tuple[simulator.Quarter, Clock]]:
    """The organization at the end of ``count`` quarters, each with the clock of its day."""
    now = clock.now()
    quarters = simulator.quarters(count, now=now.replace(microsecond=0), accounts=accounts)
    last = quarters[-1].world.now
    return [(quarter, _Earlier(clock, last - quarter.world.now)) for quarter in quarters]


def write_demo_waivers(directory: Path, first: simulator.Quarter) -> Path | None:
    """Write the risks the demo's people accept to ``waivers.toml`` in the new ``directory``.

    None where a demo cut short lacks the accounts.

    Raises :class:`orgscan.errors.UsageError` where the directory holds something already.
    """
    rundir.create(directory)
    waivers = simulator.accepted_risks(first)
    if not waivers:
        return None
    path = directory / "waivers.toml"
    with published(path) as draft:
        draft.write_text(waivers, "utf-8")
    return path


class _Earlier(Clock):
    """The clock of a day gone by."""

    def __init__(self, clock: Clock, behind: timedelta) -> None:
        self._clock = clock
        self._behind = behind

    def now(self) -> datetime:
        """The time it was then."""
        return self._clock.now() - self._behind

    def monotonic(self) -> float:
        """Waiting is as it is today."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Waiting is as it is today."""
        await self._clock.sleep(seconds)

    def jitter(self) -> float:
        """Chance is as it is today."""
        return self._clock.jitter()
