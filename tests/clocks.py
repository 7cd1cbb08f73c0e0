"""Clocks for tests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orgscan.models import Clock

if TYPE_CHECKING:
    from datetime import datetime


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
