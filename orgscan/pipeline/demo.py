"""The demo: the real pipeline against a simulated organization."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan import settings as settings_module
from orgscan import simulator
from orgscan.models import Credentials
from orgscan.pipeline.scan import collect

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from orgscan.models import Clock, Observer


async def collect_demo(
    output: Path,
    *,
    clock: Clock,
    observer: Observer,
    accounts: int | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Collect the simulated organization's evidence into ``output``; needs no AWS and touches none.

    Raises as :func:`orgscan.pipeline.scan.collect` does.
    """
    make = simulator.WORLDS["demo"]
    world = make() if accounts is None else make(accounts=accounts)
    async with simulator.Simulator(world, record=False) as simulated:
        keys = simulated.credentials
        await collect(
            settings_module.load(
                environment={},
                role_name=simulator.AUDIT_ROLE,
                endpoint_url=simulated.endpoint_url,
                exclude_accounts=(simulator.DEMO_EXCLUDED_ACCOUNT,),
            ),
            output,
            clock=clock,
            observer=observer,
            stop=stop,
            credentials=Credentials(
                keys.access_key_id, keys.secret_access_key, keys.session_token or ""
            ),
        )
