from __future__ import annotations

import functools
import gc
import os
import pickle
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aioboto3  # noqa: F401 - see below
import botocore.session
import hypothesis
import openpyxl  # noqa: F401
import pandas as pd  # noqa: F401
import pytest

from orgscan.models import Credentials
from tests.kit.clocks import FakeClock
from tests.kit.earlier import reports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from distributed import LocalCluster, Scheduler

    from orgscan.aws import Aws
    from orgscan.models import Clock
    from orgscan.simulator import Simulator, World

# How long an example takes says nothing on a machine that others use too.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# The SDK reads its service definitions anew for each session; here once for the process.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)


def pytest_collection_finish() -> None:
    """What was imported lives as long as the process: the garbage collector need not look at it."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests of an earlier process (EARLIER_RESULTS, a JUnit file) in the last line."""
    if path := os.environ.get("EARLIER_RESULTS"):
        for report in reports(Path(path)):
            terminalreporter.stats.setdefault(report.outcome, []).append(report)


_PREFIXES = ("AWS_", "ORGSCAN_")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="session")
def nowhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home; whoever looks for settings of the machine finds none."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def cut_off(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    """No test sees the AWS or orgscan settings of the machine, and none asks its metadata."""
    for name in [*os.environ]:
        if name.startswith(_PREFIXES) or name.lower() in _PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(nowhere))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def new_clock() -> Callable[..., FakeClock]:
    """For tests that need a clock per example."""
    return FakeClock


@pytest.fixture
async def entered() -> AsyncIterator[AsyncExitStack]:
    """Whatever a test enters here is left when the test ends."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def simulate(entered: AsyncExitStack) -> Callable[..., Awaitable[Simulator]]:
    """Serve a world in the loop of the test."""

    async def start(world: World, **options: Any) -> Simulator:
        from orgscan.simulator import Simulator  # noqa: PLC0415 - most tests need none

        return await entered.enter_async_context(Simulator(world, **options))

    return start


@pytest.fixture
def connect(entered: AsyncExitStack, clock: FakeClock) -> Callable[..., Awaitable[Aws]]:
    """An open door to a simulator, with the simulated caller's credentials and fake time."""

    async def start(simulator: Simulator, *, time: Clock | None = None, **options: Any) -> Aws:
        from orgscan import settings  # noqa: PLC0415 - most tests need none
        from orgscan.aws import Aws  # noqa: PLC0415

        chosen = settings.load(environment={}, endpoint_url=simulator.endpoint_url, **options)
        key, secret, token = simulator.credentials
        credentials = Credentials(key, secret, token or "")
        return await entered.enter_async_context(Aws(chosen, time or clock, credentials))

    return start


@pytest.fixture
def foreign(entered: AsyncExitStack) -> Callable[..., Awaitable[LocalCluster]]:
    """Somebody else's Dask cluster, in the loop of the test, over real connections."""

    async def start(workers: int = 2) -> LocalCluster:
        from distributed import LocalCluster  # noqa: PLC0415 - most tests need none

        return await entered.enter_async_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=4,
                processes=False,
                protocol="tcp",
                asynchronous=True,
                dashboard_address=None,
                scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            )
        )

    return start


@pytest.fixture
def scheduler() -> Callable[[], Scheduler]:
    """The Dask scheduler that runs in this process."""

    def find() -> Scheduler:
        from distributed import Scheduler  # noqa: PLC0415 - most tests need none

        (found,) = (one for one in Scheduler._instances if one.status.name == "running")
        return found

    return find


@pytest.fixture
def known_to() -> Callable[[Scheduler], bytes]:
    """What Dask holds, shows, dumps or logs of its work, as bytes to search for secrets."""

    def known(scheduler: Scheduler) -> bytes:
        state = {
            "identity": scheduler.identity(),
            "transitions": list(scheduler.transition_log),
            "events": [scheduler.get_events(topic) for topic in scheduler._broker._topics],
            "logs": scheduler.get_logs(),
            "tasks": [(repr(task), repr(task.annotations)) for task in scheduler.tasks.values()],
        }
        specs = [task.run_spec for task in scheduler.tasks.values()]
        plugins = [*scheduler.worker_plugins.values(), *scheduler.nanny_plugins.values()]
        return b"".join([repr(state).encode(), pickle.dumps(specs), *plugins])

    return known
