"""Collection in this process: a bounded number of accounts in flight."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

_Item = TypeVar("_Item")


async def run(
    items: AsyncGenerator[_Item],
    work: Callable[[_Item], Coroutine[Any, Any, None]],
    *,
    concurrency: int,
    stop: asyncio.Event,
    drain_seconds: float,
) -> bool:
    """Do ``work`` for every item, at most ``concurrency`` at a time, as items arrive.

    Once ``stop`` is set no further item is admitted; work in flight has ``drain_seconds`` to
    end and is cancelled then. Returns whether every item was worked to its end. The first
    exception of ``work`` or of ``items`` cancels the rest and is raised.
    """
    flight = _Flight(work, concurrency, stop)
    admission = asyncio.create_task(flight.admit(items))
    halt = asyncio.create_task(stop.wait())
    landing: asyncio.Task[None] | None = None
    try:
        await _first(admission, halt, flight.failure)
        if not halt.done():
            landing = asyncio.create_task(flight.landed())
            await _first(landing, halt, flight.failure)
        if halt.done():
            admission.cancel()
            # Even now a failure must be heard: the store may be full.
            landing = landing or asyncio.create_task(flight.landed())
            await _first(landing, flight.failure, timeout=drain_seconds)
        whole = admission.done() and not admission.cancelled() and admission.result()
        return whole and not flight.running
    finally:
        left = {admission, halt, *flight.running, *([landing] if landing else [])}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        if not flight.failure.cancel():
            flight.failure.exception()


class _Flight(Generic[_Item]):
    """The items being worked on."""

    def __init__(
        self,
        work: Callable[[_Item], Coroutine[Any, Any, None]],
        concurrency: int,
        stop: asyncio.Event,
    ) -> None:
        self._work = work
        self._stop = stop
        self._slots = asyncio.Semaphore(concurrency)
        self.running: set[asyncio.Task[None]] = set()
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def admit(self, items: AsyncGenerator[_Item]) -> bool:
        """Start work on each item as soon as a slot is free; never reads further ahead.

        Returns whether every item was admitted.
        """
        async with aclosing(items):
            async for item in items:
                await self._slots.acquire()
                if self._stop.is_set():
                    return False
                task = asyncio.create_task(self._work(item))
                self.running.add(task)
                task.add_done_callback(self._land)
        return True

    async def landed(self) -> None:
        """Wait for all work in flight."""
        while self.running:
            await asyncio.wait(self.running)

    def _land(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        self.running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failure.done():
            self.failure.set_exception(error)


async def _first(*awaited: asyncio.Future[Any], timeout: float | None = None) -> None:  # noqa: ASYNC109
    """Wait for the first to end, but no longer than ``timeout``, and raise what it raised."""
    done, _ = await asyncio.wait(awaited, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for future in done:
        future.result()
