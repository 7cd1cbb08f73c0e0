"""What runs in a worker process: the job, opened once, and a task for each item."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from orgscan.errors import OrgscanError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from distributed import Worker

    from orgscan.collect.engines.job import Job

_rooms: dict[str, Room] = {}
"""The jobs of this process by name; several commands may share a cluster."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why a worker cannot do its work. A value: many exceptions do not survive pickling."""

    why: str


class Room(WorkerPlugin):
    """A job's place in a worker process.

    A plugin, because Dask then sets it up wherever a worker starts, also in place of one that
    died, and tears it down at the end. It reaches workers started here along with their
    process, through multiprocessing's pipe, and others through their scheduler.
    """

    def __init__(self, name: str, job: Job[Any, Any], *, ours: bool) -> None:
        """``ours``: the process was started by this command and ends with it."""
        self.name = name
        self._job = job
        self._ours = ours

    async def setup(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's signature
        """Take place; nothing is opened before it is needed."""
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._running: set[asyncio.Future[Any]] = set()
        self._work: Callable[[Any, int], Awaitable[Any]] | None = None
        _rooms.setdefault(self.name, self)
        if self._ours:
            # A terminal's Ctrl-C and a service manager's stop go to the whole group; accounts
            # in flight are to be drained. The process cannot outlive the command: it ends when
            # the pipe between the two closes.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's signature
        """Cancel what is still running and close the job."""
        if _rooms.get(self.name) is self:
            del _rooms[self.name]
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._stack.aclose()

    async def opened(self) -> Callable[[Any, int], Awaitable[Any]]:
        """The job's work.

        Raises :class:`orgscan.errors.OrgscanError`.
        """
        async with self._opening:
            if self._work is None:
                self._work = await self._stack.enter_async_context(self._job.open())
        return self._work

    async def work(self, item: Any, workers: int) -> Any:
        """Work on one item, or say why that cannot be done here."""
        try:
            work = await self.opened()
        except OrgscanError as error:
            return Unusable(str(error))
        task = asyncio.ensure_future(work(item, workers))
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.wait({task})
        return Unusable("the command has ended") if task.cancelled() else task.result()

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # heard, even where Dask no longer waits for it


async def work(item: Any, *, room: str, workers: int) -> Any:
    """The task Dask runs for each item, on the worker's event loop."""
    return await _rooms[room].work(item, workers)


async def ready(room: str) -> Unusable | None:
    """Open the job on this worker; None where it is usable."""
    try:
        await _rooms[room].opened()
    except OrgscanError as error:
        return Unusable(str(error))
    return None
