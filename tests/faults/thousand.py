"""1,000 accounts with 2 % transient faults on all calls give the tables of a calm run.

``python -m tests.faults.thousand [ACCOUNTS]``; takes some minutes. Leaves with 1 where a single
cell differs. Not collected by pytest.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from orgscan.simulator import Fault, Simulator
from tests.kit import faults
from tests.kit.clocks import HurriedClock
from tests.kit.scans import (
    NOW,
    Judged,
    assert_same_tables,
    collect,
)
from tests.kit.worlds import WORLDS

SHARE = 0.02


def script() -> list[Fault]:
    """Each kind of transient fault with its part of the share, on every call alike."""
    each = SHARE / len(faults.TRANSIENT)
    return [
        Fault(effect=effect, probability=each, seed=seed)
        for seed, effect in enumerate(faults.TRANSIENT.values())
    ]


def scanned(directory: Path, accounts: int, scripted: list[Fault]) -> tuple[Judged, Simulator]:
    """A collection of the fleet, judged, and what it asked."""

    async def work() -> Simulator:
        world = WORLDS["uniform"](accounts=accounts, users=5, now=NOW)
        async with Simulator(world, faults=scripted) as simulator:
            await collect(simulator, directory, clock=HurriedClock(NOW))
            return simulator

    simulator = asyncio.run(work())
    return Judged(directory), simulator


def main() -> int:
    accounts = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    with tempfile.TemporaryDirectory() as place:
        began = time.monotonic()
        calm, asked = scanned(Path(place) / "calm", accounts, [])
        middle = time.monotonic()
        faulty, asked_more = scanned(Path(place) / "faulty", accounts, script())
        ended = time.monotonic()
    failed = [call for call in asked_more.calls if call.status != 200]
    calls, more = len(asked.calls), len(asked_more.calls)
    print(f"calm:   {accounts} accounts, {calls} calls, {middle - began:.1f} s")  # noqa: T201
    print(  # noqa: T201
        f"faulty: {accounts} accounts, {more} calls, {ended - middle:.1f} s, "
        f"{len(failed)} answered with an error, {more - calls} repeated"
    )
    coverage = faulty.accounts["coverage"].value_counts().to_dict()
    print(f"coverage: {coverage}; {len(faulty.findings)} findings")  # noqa: T201
    try:
        assert_same_tables(faulty, calm)
    except AssertionError as error:
        print(f"the tables differ: {error}")  # noqa: T201
        return 1
    print("the tables are the same")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
