"""The whole pipeline on simulated organizations."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from orgscan import settings
from orgscan.collect.collection import resume as resume_run
from orgscan.models import Clock, Credentials, Observer
from orgscan.pipeline.demo import collect_demo, demo_quarters
from orgscan.pipeline.render import render
from orgscan.pipeline.run_plan import stored_settings
from orgscan.pipeline.scan import collect as collect_run
from orgscan.runs.run import Run
from orgscan.simulator import AUDIT_ROLE, Simulator
from tests.kit.clocks import HurriedClock
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from orgscan.collect.engines import Cluster
    from orgscan.simulator import World


@pytest.fixture
def hurried() -> type[HurriedClock]:
    return HurriedClock


@pytest.fixture
def collect() -> Callable[..., Any]:
    """Collect a world into a directory; yields the simulator that was asked."""

    @asynccontextmanager
    async def run(
        world: str | World,
        output: Path,
        *,
        faults: Any = (),
        clock: Clock | None = None,
        stop: asyncio.Event | None = None,
        observer: Observer | None = None,
        cluster: Cluster | None = None,
        **options: Any,
    ) -> AsyncIterator[Simulator]:
        made = WORLDS[world]() if isinstance(world, str) else world
        async with Simulator(made, faults=faults) as simulator:
            keys = simulator.credentials
            await collect_run(
                settings.load(
                    environment={},
                    **{
                        "role_name": AUDIT_ROLE,
                        "endpoint_url": simulator.endpoint_url,
                        **options,
                    },
                ),
                output,
                clock=clock or HurriedClock(),
                observer=observer or Observer(),
                stop=stop,
                credentials=Credentials(
                    keys.access_key_id, keys.secret_access_key, keys.session_token or ""
                ),
                cluster=cluster,
            )
            yield simulator

    return run


@pytest.fixture
def scan(collect: Callable[..., Any], tmp_path: Path) -> Callable[..., Awaitable[Run]]:
    """Scan a world: collect, judge, write; returns the finished run."""

    async def run(world: str | World, name: str = "run", **options: Any) -> Run:
        output = tmp_path / name
        async with collect(world, output, **options):
            pass
        render(output, clock=Clock(), observer=Observer())
        return Run(output)

    return run


@pytest.fixture
def resume() -> Callable[..., Awaitable[None]]:
    """Go on with a run against a simulator, with the settings it began with."""

    async def run(simulator: Simulator, directory: Path, **options: Any) -> None:
        keys = simulator.credentials
        retry_gaps = options.pop("retry_gaps", False)
        await resume_run(
            settings.load(
                environment={},
                stored=stored_settings(directory),
                endpoint_url=simulator.endpoint_url,
                **options,
            ),
            directory,
            retry_gaps=retry_gaps,
            clock=HurriedClock(),
            observer=Observer(),
            credentials=Credentials(keys.access_key_id, keys.secret_access_key, ""),
        )

    return run


@pytest.fixture(scope="session")
def two_quarters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``2026-Q3`` and ``2026-Q4`` of a few accounts of the demo; the later one compared with the
    earlier, both in every format. Not to be altered.
    """
    parent = tmp_path_factory.mktemp("quarters")
    now = HurriedClock(datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    previous = None
    for quarter, clock in demo_quarters(2, clock=now, accounts=6):
        run = parent / quarter.name
        asyncio.run(collect_demo(run, quarter=quarter, clock=clock, observer=Observer()))
        render(run, clock=clock, observer=Observer(), previous=previous, formats=["ocsf", "csv"])
        previous = run
    return parent
