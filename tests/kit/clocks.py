"""Clocks for tests."""

from __future__ import annotations

import asyncio
import heapq
import random
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

from orgscan.models import Clock

if TYPE_CHECKING:
    from collections.abc import Callable


class HurriedClock(Clock):
    """Waiting takes no time, yet time has passed afterwards.

    The calendar stands still at ``now``; without one it is the machine's.
    """

    def __init__(self, now: datetime | None = None) -> None:
        self.waited = 0.0
        self._now = now

    def now(self) -> datetime:
        return self._now or super().now()

    def monotonic(self) -> float:
        return super().monotonic() + self.waited

    async def sleep(self, seconds: float) -> None:
        self.waited += max(seconds, 0.0)
        await asyncio.sleep(0)


class FakeClock(Clock):
    """Time that passes only when everybody sleeps, and then at once.

    A sleeper wakes when the loop has had :data:`GRACE` rounds with nothing earlier to wake, so
    that requests in flight over real sockets get their turn before time moves.
    """

    GRACE = 3

    def __init__(self, *, seed: int = 0) -> None:
        self.elapsed = 0.0
        self.slept: list[float] = []
        """Every sleep asked for, in the order of asking."""
        self.dice: Callable[[], float] = random.Random(seed).random
        self._started = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = count()
        self._ticking = False

    def now(self) -> datetime:
        return self._started + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return 1_000.0 + self.elapsed

    def jitter(self) -> float:
        return self.dice()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        woken = asyncio.get_running_loop().create_future()
        until = self.elapsed + max(0.0, seconds)
        heapq.heappush(self._sleepers, (until, next(self._order), woken))
        if not self._ticking:
            self._ticking = True
            self._tick(self.GRACE)
        await woken

    def _tick(self, grace: int) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            self._ticking = False
            return
        if grace:
            asyncio.get_running_loop().call_soon(self._tick, grace - 1)
            return
        until, _, woken = heapq.heappop(self._sleepers)
        self.elapsed = max(self.elapsed, until)
        woken.set_result(None)
        asyncio.get_running_loop().call_soon(self._tick, self.GRACE)
