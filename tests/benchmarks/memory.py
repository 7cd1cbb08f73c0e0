"""(e) Memory of whole scans, collection and rendering, and whether every row arrives."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from orgscan.simulator import AUDIT_ROLE
from tests.benchmarks.measure import NONE_LOST, Figure, Stopwatch, alone, now_mb, peak_mb
from tests.kit.serving import SimulatorProcess
from tests.kit.worlds import WORLDS

_USERS = 10
_CEILING_MB = 350
_GROWTH_MB = 64
"""Between a quarter of the accounts and all of them: caches settle, queues swing."""
_WARM = 0.25


def run(*, quick: bool) -> list[Figure]:
    figures = []
    for accounts in (5, 12) if quick else (100, 1_000, 10_000):
        largest = accounts in {12, 10_000}
        large = (30 if quick else 5_000) if largest else 0
        options = {"accounts": accounts, "users": _USERS, "large": large}
        with SimulatorProcess("uniform", **options) as simulator:
            keys = [key or "" for key in simulator.credentials]
            found = alone(
                "memory:scan", endpoint=simulator.endpoint_url, keys=keys, accounts=accounts
            )
        figures += _figures(found, _expected(options), accounts, large)
    return figures


def _expected(options: dict[str, int]) -> dict[str, int]:
    """The rows there must be, from the world itself."""
    world = WORLDS["uniform"](**options)
    users = [user for account in world.accounts for user in account.all_users()]
    return {
        "accounts": len(world.accounts),
        "credentials": len(world.accounts) + len(users),
        "access_keys": sum(len(user.keys) for user in users),
    }


def _figures(
    found: dict[str, Any], expected: dict[str, int], accounts: int, large: int
) -> list[Figure]:
    name = f"{accounts:,} accounts x {_USERS} users" + (f", one of {large:,}" if large else "")
    peak, growth = found["peak"], found["last"] - found["warm"]
    whole = found["rows"] == expected and found["complete"] == accounts
    rows = ", ".join(f"{count:,} {table}" for table, count in found["rows"].items())
    collected = found["collected"]
    return [
        Figure(
            f"{name}: peak memory collecting",
            f"{collected:,.0f} MB",
            f"< {_CEILING_MB} MB",
            collected < _CEILING_MB,
        ),
        Figure(
            f"{name}: peak memory with the reports",
            f"{peak:,.0f} MB; {found['wall']:,.0f} s in all",
            f"< {_CEILING_MB} MB",
            peak < _CEILING_MB,
        ),
        Figure(
            f"{name}: growth after warm-up",
            f"{growth:+,.0f} MB",
            f"flat (< {_GROWTH_MB} MB)",
            growth < _GROWTH_MB,
        ),
        Figure(f"{name}: rows", rows, NONE_LOST, whole),
    ]


def scan(endpoint: str, keys: list[str], accounts: int) -> dict[str, Any]:
    from orgscan import settings  # noqa: PLC0415
    from orgscan.collect.engines import new_event_loop  # noqa: PLC0415
    from orgscan.models import Clock, Credentials, Observer, Outcome  # noqa: PLC0415
    from orgscan.pipeline.render import render  # noqa: PLC0415
    from orgscan.pipeline.scan import collect  # noqa: PLC0415
    from orgscan.runs.run import Run  # noqa: PLC0415

    class Watcher(Observer):
        settled_count = 0
        warm = last = 0.0

        def settled(self, outcome: Outcome) -> None:  # noqa: ARG002
            self.settled_count += 1
            self.last = now_mb() if self.settled_count % 50 == 0 else self.last
            if self.settled_count >= accounts * _WARM and not self.warm:
                self.warm = self.last = now_mb()

    watcher, watch = Watcher(), Stopwatch()
    chosen = settings.load(environment={}, role_name=AUDIT_ROLE, endpoint_url=endpoint)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run"
        work = collect(
            chosen, path, clock=Clock(), observer=watcher, credentials=Credentials(*keys)
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(work)
        collected = peak_mb()
        render(path, clock=Clock(), observer=watcher)
        told = watch.read() | {"collected": collected, "peak": peak_mb()}
        told |= {"warm": watcher.warm, "last": watcher.last}
        run = Run(path)
        return told | {
            "complete": int((run.accounts["coverage"] == "COMPLETE").sum()),
            "rows": {
                "accounts": len(run.accounts),
                "credentials": len(run.credentials),
                "access_keys": len(run.access_keys),
            },
        }
