"""The demo: the real pipeline against a simulated organization."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from orgscan import settings as settings_module
from orgscan import simulator
from orgscan.files import published
from orgscan.models import Clock, Credentials
from orgscan.pipeline.scan import collect
from orgscan.runs import rundir

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from datetime import datetime
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
        make = simulator.WORLDS["demo"]
        world = make() if accounts is None else make(accounts=accounts)
        excluded: tuple[str, ...] = (simulator.DEMO_EXCLUDED_ACCOUNT,)
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
                exclude_accounts=tuple(one for one in excluded if one in known),
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


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A risk the demo's people accept, by names of theirs."""

    id: str
    control: str
    account: str
    user: str
    reason: str
    start: timedelta
    """From the end of the second quarter; so is ``expires``."""
    expires: timedelta


_ACCEPTED = (
    _Accepted(
        "W-1", "signing-certificate", "tidewater-legacy", "edi_bridge",
        "The partner's gateway speaks nothing newer until it is replaced.",
        timedelta(days=-120), timedelta(days=-30),
    ),
    _Accepted(
        "W-2", "console-user", "data-platform-prod", "zofia.novak",
        "Leaves the warehouse project at the end of the year.",
        timedelta(days=-20), timedelta(days=120),
    ),
)  # fmt: skip
"""One expires in the second quarter, one begins in it."""

_WAIVER = """\
[[waiver]]
id = "{id}"
control = "{control}"
account = "{account_id}"
user = "{user}"
owner = "Mirela Kovac"
reason = "{reason}"
ticket = "RISK-{number}"
approved_by = "Greta Lindqvist"
start = {start:%Y-%m-%d}
expires = {expires:%Y-%m-%d}
"""


def write_demo_waivers(
    directory: Path, quarters: Sequence[tuple[simulator.Quarter, Clock]]
) -> Path | None:
    """``waivers.toml`` in ``directory``, which is made: the risks the demo's people accept.

    None where a demo cut short lacks the accounts.

    Raises :class:`orgscan.errors.UsageError` where the directory holds something already.
    """
    rundir.create(directory)
    first = quarters[0][0].world
    ids = {account.name: account.id for account in first.accounts}
    end = first.now + simulator.QUARTER
    entries = [
        _WAIVER.format(
            id=one.id,
            control=one.control,
            account_id=ids[one.account],
            user=one.user,
            reason=one.reason,
            number=number,
            start=end + one.start,
            expires=end + one.expires,
        )
        for number, one in enumerate(_ACCEPTED, 101)
        if one.account in ids
    ]
    if not entries:
        return None
    path = directory / "waivers.toml"
    with published(path) as draft:
        draft.write_text("\n".join(entries), "utf-8")
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
