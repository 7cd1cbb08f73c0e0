"""(d) An organization far away: 50 ms a call and AWS's published rates, beside the best there is.

The bound takes nothing but waiting: the calls that must follow one another, and the bucket of
the Organizations action that is asked for most. Nobody can be faster, whatever their CPU.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import Counter
from math import ceil
from pathlib import Path
from statistics import median

from orgscan.simulator import AUDIT_ROLE
from orgscan.simulator.rates import PUBLISHED
from tests.benchmarks.measure import Figure, alone
from tests.kit.serving import SimulatorProcess
from tests.kit.worlds import WORLDS

_USERS = 10
_PAGE = 20
_AT_ONCE = 8
"""Users orgscan asks about at the same time."""


def run(*, quick: bool) -> list[Figure]:
    accounts, latency, repeats = (5, 0.01, 1) if quick else (400, 0.05, 3)
    bound = _bound(accounts, latency)
    options = {"latency": latency, "limits": True}
    taken = []
    for _ in range(repeats):
        # Full buckets each time.
        with SimulatorProcess("uniform", accounts=accounts, users=_USERS, **options) as simulator:
            keys = [key or "" for key in simulator.credentials]
            where = {"endpoint": simulator.endpoint_url, "keys": keys}
            taken.append(alone("latency:collect", here=quick, **where))
    wall = median(run["wall"] for run in taken)
    cpu = median(run["cpu"] for run in taken)
    over = wall / bound
    text = f"{wall:.1f} s, bound {bound:.1f} s: {over:.2f} x (CPU {cpu:.1f} s)"
    what = f"{accounts} accounts at {latency * 1000:.0f} ms a call and AWS's rates"
    return [Figure(what, text)]


def _bound(accounts: int, latency: float) -> float:
    world = WORLDS["uniform"](accounts=accounts, users=_USERS)
    sizes = Counter(account.ou for account in world.accounts)
    # Each OU above an account is asked for its accounts and for its own OUs.
    paths = {"/".join(ou.split("/")[:depth]) for ou in sizes for depth in (1, 2, 3)}
    calls = {
        "organizations:ListAccountsForParent": sum(
            max(1, ceil(sizes[path] / _PAGE)) for path in paths
        ),
        "organizations:ListOrganizationalUnitsForParent": len(paths),
        "organizations:ListAccounts": ceil(accounts / _PAGE),
    }
    waiting = max(
        (count - PUBLISHED[name].burst) / PUBLISHED[name].per_second
        for name, count in calls.items()
    )
    # GetCallerIdentity, DescribeOrganization and ListRoots come before all else. Of an account:
    # AssumeRole, the report made and fetched, ListUsers, then the users' keys.
    chain = 3 + 1 + 4 + ceil(_USERS / _AT_ONCE)
    return max(0.0, waiting) + chain * latency


def collect(endpoint: str, keys: list[str]) -> dict[str, float]:
    from orgscan import settings  # noqa: PLC0415
    from orgscan.collect.engines import new_event_loop  # noqa: PLC0415
    from orgscan.models import Clock, Credentials, Observer  # noqa: PLC0415
    from orgscan.pipeline.scan import collect as collect_run  # noqa: PLC0415

    class Begin(Observer):
        wall = cpu = 0.0

        def phase(self, text: str) -> None:
            if text.startswith("Identifying the caller"):  # the clients are made
                self.wall, self.cpu = time.perf_counter(), time.process_time()

    begin = Begin()
    chosen = settings.load(environment={}, role_name=AUDIT_ROLE, endpoint_url=endpoint)
    with tempfile.TemporaryDirectory() as directory:
        work = collect_run(
            chosen,
            Path(directory) / "run",
            clock=Clock(),
            observer=begin,
            credentials=Credentials(*keys),
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(work)
    return {"wall": time.perf_counter() - begin.wall, "cpu": time.process_time() - begin.cpu}
