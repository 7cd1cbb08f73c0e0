"""Jobs for worker processes, which can only be given what they can import."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@dataclass(frozen=True)
class EchoJob:
    """Answers with the item, the process, and between how many workers rates are shared.

    Items that are words ask for something else: ``fail``, ``hang``, ``die``; ``secret`` asks for
    what the worker was told.
    """

    journal: Path
    secret: str = field(default="", repr=False)
    refusal: str = ""

    def bare(self) -> Self:
        return replace(self, secret="")

    def lost(self, item: object) -> Any:
        return ("lost", item)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Callable[[Any, int], Awaitable[Any]]]:
        if self.refusal:
            raise UsageError(self.refusal)
        self._note("opened")
        try:
            yield self._work
        finally:
            self._note("closed")

    async def _work(self, item: Any, workers: int) -> Any:
        match item:
            case "fail":
                raise LookupError(item)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "secret":
                return self.secret
            case "hang":
                self._note("hanging")
                try:
                    await asyncio.Event().wait()
                finally:
                    self._note("cancelled")
        await asyncio.sleep(0)
        return (item, os.getpid(), workers)

    def _note(self, what: str) -> None:
        with self.journal.open("a") as file:
            file.write(f"{what} {os.getpid()}\n")
