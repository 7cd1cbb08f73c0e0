from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgscan.aws.pacing import Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import FakeClock

# The clocks of the tests are made within the examples, hence the fixture is a class.
GAPS = st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=40)


async def arrivals(pace: Pace, clock: FakeClock, gaps: list[float]) -> list[tuple[float, int]]:
    """When each of the tasks that came in these intervals was let through, in that order."""
    passed: list[tuple[float, int]] = []

    async def one(number: int) -> None:
        await pace.acquire()
        passed.append((clock.monotonic(), number))

    tasks = []
    for number, gap in enumerate(gaps):
        if gap:
            await clock.sleep(gap)
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return passed


@pytest.fixture(scope="session")
def clocks() -> Callable[[], FakeClock]:
    from tests.conftest import FakeClock  # noqa: PLC0415

    return FakeClock
