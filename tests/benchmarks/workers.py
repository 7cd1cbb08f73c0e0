"""(f) Two worker processes against one, in the same run, on the same simulated organization.

On a machine whose cores the simulator and this process fill as well, workers have little left:
what shows then is what they take off the one process that enumerates and stores.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from orgscan.simulator import AUDIT_ROLE
from tests.benchmarks.measure import Figure, Stopwatch, alone
from tests.kit.serving import SimulatorProcess

_USERS = 10


def run(*, quick: bool) -> list[Figure]:
    accounts, repeats = (5, 1) if quick else (600, 3)
    taken: dict[int, list[dict[str, float]]] = {0: [], 1: [], 2: []}
    with SimulatorProcess("uniform", accounts=accounts, users=_USERS) as simulator:
        keys = [key or "" for key in simulator.credentials]
        for _ in range(repeats):
            for workers, runs in taken.items():
                where: dict[str, Any] = {"endpoint": simulator.endpoint_url, "keys": keys}
                runs.append(alone("workers:collect", workers=workers, **where))
    wall = {workers: median(run["wall"] for run in runs) for workers, runs in taken.items()}
    cpu = {workers: median(run["cpu"] for run in runs) for workers, runs in taken.items()}
    name = f"{accounts} accounts x {_USERS} users"
    told = ", ".join(f"{wall[count]:.1f} s with {count or 'no'} workers" for count in taken)
    each = ", ".join(
        f"{cpu[count] / accounts * 1000:.1f} ms with {count or 'no'}" for count in taken
    )
    return [
        Figure(f"{name}, wall time on {os.cpu_count()} cores, simulator included", told),
        Figure("CPU of the enumerating process, per account", each),
        Figure("Wall, 1 worker to 2", f"{wall[1] / wall[2]:.2f} x"),
    ]


def collect(endpoint: str, keys: list[str], workers: int) -> dict[str, float]:
    from orgscan import settings  # noqa: PLC0415
    from orgscan.collect.engines import (  # noqa: PLC0415
        Cluster,
        new_event_loop,
    )
    from orgscan.models import Clock, Credentials, Observer  # noqa: PLC0415
    from orgscan.pipeline.scan import collect as collect_run  # noqa: PLC0415

    class Begin(Observer):
        watch: Stopwatch

        def phase(self, text: str) -> None:
            if text == "Reading accounts":  # the workers are up
                self.watch = Stopwatch()

    begin = Begin()
    chosen = settings.load(environment={}, role_name=AUDIT_ROLE, endpoint_url=endpoint)
    with tempfile.TemporaryDirectory() as directory:
        work = collect_run(
            chosen,
            Path(directory) / "run",
            clock=Clock(),
            observer=begin,
            credentials=Credentials(*keys),
            cluster=Cluster(workers) if workers else None,
        )
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(work)
        return begin.watch.read()
