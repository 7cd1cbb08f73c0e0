"""Observers of runs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orgscan.models import Observer

if TYPE_CHECKING:
    from orgscan.models import Outcome


class StopAfter(Observer):
    """Asks for a stop once so many accounts are settled."""

    def __init__(self, accounts: int) -> None:
        self.stop = asyncio.Event()
        self.seen: list[str] = []
        self._left = accounts

    def settled(self, outcome: Outcome) -> None:
        self.seen.append(outcome.account_id)
        self._left -= 1
        if self._left == 0:
            self.stop.set()
