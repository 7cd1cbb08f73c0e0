"""Pacing: how fast calls may start, and how that rate bends under throttling.

asyncio-throttle gives the sliding window; the subclass makes it first come, first served and
lets waiters sleep instead of polling (2,000 polling waiters keep a whole core busy).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from asyncio_throttle.throttler import Throttler

if TYPE_CHECKING:
    from orgscan.models import Clock

_SLACK = 0.001
"""Seconds added to each wait: the window is open-ended, waking exactly on its edge is too soon."""


class Pace(Throttler):
    """At most ``rate_limit`` starts in any ``period`` seconds, in the order of asking.

    Additive increase, multiplicative decrease: :meth:`slow_down` halves the rate,
    :meth:`speed_up` wins it back one start at a time.
    """

    def __init__(self, rate_limit: int, period: float, clock: Clock) -> None:
        """``rate_limit`` is also the ceiling the pace grows back to."""
        super().__init__(rate_limit=rate_limit, period=period)
        self._ceiling = rate_limit
        self._clock = clock
        self._turn = asyncio.Lock()
        self._halved_at = float("-inf")
        self._since_change = 0

    def flush(self) -> None:
        """Forget the starts that have left the window."""
        oldest = self._clock.monotonic() - self.period
        while self._task_logs and self._task_logs[0] < oldest:
            self._task_logs.popleft()

    async def acquire(self) -> None:
        """Wait for a turn; waiters are served in the order in which they came."""
        async with self._turn:
            self.flush()
            while (over := len(self._task_logs) - self.rate_limit) >= 0:
                leaves = self._task_logs[over] + self.period
                await self._clock.sleep(leaves - self._clock.monotonic() + _SLACK)
                self.flush()
            self._task_logs.append(self._clock.monotonic())

    def cap(self, ceiling: int) -> None:
        """Grow back to ``ceiling`` from now on; what is at the old one follows at once."""
        whole = self.rate_limit >= self._ceiling
        self._ceiling = ceiling
        self.rate_limit = ceiling if whole else min(self.rate_limit, ceiling)

    def slow_down(self) -> None:
        """Halve the rate, once per period: a burst of refusals is one piece of news."""
        now = self._clock.monotonic()
        if now - self._halved_at >= self.period:
            self.rate_limit = max(1, self.rate_limit // 2)
            self._halved_at = now
        self._since_change = 0

    def speed_up(self) -> None:
        """Count a success; a windowful of them raises the rate by one."""
        if self.rate_limit >= self._ceiling:
            return
        self._since_change += 1
        if self._since_change >= self.rate_limit:
            self.rate_limit += 1
            self._since_change = 0


class BucketPace(Pace):
    """The pace of a token bucket whose size AWS has published: a burst, then an even rate.

    A window would let through a bucketful, wait until all of it is refilled, and let through
    the next: what is fetched arrives in heaps, and a call more than a bucketful waits for the
    whole of the next one. One token is always left in the bucket, because calls do not arrive as
    evenly as they leave.
    """

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        """``rate`` is what the bucket is refilled with a second, ``burst`` what it holds."""
        limit = max(1, burst - 1)
        super().__init__(limit, limit / rate, clock)
        self._full_at = float("-inf")

    async def acquire(self) -> None:
        """Wait for a turn; waiters are served in the order in which they came."""
        async with self._turn:
            # Throttling may have lowered the rate since: then the same bucket refills slower.
            refill = self.period / self.rate_limit
            wait = self._full_at - (self.period - refill) - self._clock.monotonic()
            if wait > _SLACK:  # less than that is rounding, and a token is left
                await self._clock.sleep(wait)
            self._full_at = max(self._full_at, self._clock.monotonic()) + refill
