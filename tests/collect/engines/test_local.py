from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgscan.collect import engines as engine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable


@pytest.fixture
def stop() -> asyncio.Event:
    return asyncio.Event()


async def run(
    items: AsyncGenerator[int],
    work: Callable[[int], Coroutine[Any, Any, None]],
    *,
    concurrency: int,
    stop: asyncio.Event,
    drain_seconds: float = 10.0,
) -> bool:
    """The engine, held to leaving no task behind, however it ends."""
    before = asyncio.all_tasks()
    try:
        return await engine.run(
            items, work, concurrency=concurrency, stop=stop, drain_seconds=drain_seconds
        )
    finally:
        assert asyncio.all_tasks() <= before


class Source:
    """Items that arrive one by one; knows what was asked of it."""

    def __init__(self, items: Iterable[int], error: Exception | None = None) -> None:
        self.given: list[int] = []
        self.closed = False
        self._items = items
        self._error = error

    async def __call__(self) -> AsyncGenerator[int]:
        try:
            for item in self._items:
                self.given.append(item)
                yield item
            if self._error:
                raise self._error
        finally:
            self.closed = True


async def test_every_item_is_worked_once(stop: asyncio.Event) -> None:
    worked: list[int] = []

    async def work(item: int) -> None:
        await asyncio.sleep(0)
        worked.append(item)

    source = Source(range(100))
    assert await run(source(), work, concurrency=7, stop=stop)
    assert sorted(worked) == list(range(100))
    assert source.closed


@given(rounds=st.lists(st.integers(0, 5), max_size=30), concurrency=st.integers(1, 8))
async def test_never_more_in_flight_than_allowed_and_never_less_than_possible(
    rounds: list[int], concurrency: int
) -> None:
    flying, most = 0, 0

    async def work(item: int) -> None:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        for _ in range(rounds[item] + 10):
            await asyncio.sleep(0)
        flying -= 1

    assert await run(
        Source(range(len(rounds)))(),
        work,
        concurrency=concurrency,
        stop=asyncio.Event(),
    )
    assert most == min(concurrency, len(rounds))


async def test_no_items_are_whole(stop: asyncio.Event) -> None:
    async def work(_item: int) -> None:
        pytest.fail("there is nothing to do")

    assert await run(Source(())(), work, concurrency=1, stop=stop)


async def test_work_begins_before_the_items_are_known(stop: asyncio.Event) -> None:
    begun = asyncio.Event()

    async def items() -> AsyncGenerator[int]:
        yield 1
        await begun.wait()  # would never come if the items were read to their end first

    async def work(_item: int) -> None:
        begun.set()

    assert await run(items(), work, concurrency=1, stop=stop)


async def test_items_are_not_read_further_ahead_than_they_are_worked(stop: asyncio.Event) -> None:
    source = Source(range(1000))

    async def work(_item: int) -> None:
        assert len(source.given) <= 4  # three in flight, one waiting for a slot
        if len(source.given) == 4:
            stop.set()
        await asyncio.sleep(0)

    await run(source(), work, concurrency=3, stop=stop)
    assert len(source.given) <= 5


@pytest.mark.parametrize("items", [3, 10], ids=["all admitted", "more to come"])
async def test_the_first_failure_of_work_cancels_the_rest_and_is_raised_alone(
    stop: asyncio.Event, items: int
) -> None:
    cancelled: list[int] = []

    async def work(item: int) -> None:
        if item == 2:
            await asyncio.sleep(0)
            raise LookupError(item)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    source = Source(range(items))
    with pytest.raises(LookupError, match="2"):
        await run(source(), work, concurrency=3, stop=stop)
    assert {0, 1} <= set(cancelled)
    assert 2 not in cancelled
    assert source.closed


async def test_of_several_failures_one_is_raised(stop: asyncio.Event) -> None:
    async def work(item: int) -> None:
        raise LookupError(item)

    with pytest.raises(LookupError):
        await run(Source(range(5))(), work, concurrency=5, stop=stop)


async def test_failures_while_being_cancelled_are_not_lost_in_the_loop(
    stop: asyncio.Event,
) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))

    async def work(item: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError(item)

    asyncio.get_running_loop().call_soon(stop.set)
    await run(Source(range(2))(), work, concurrency=2, stop=stop)
    gc.collect()
    await asyncio.sleep(0)
    assert told == []


async def test_a_failure_of_the_items_cancels_the_work_and_is_raised(stop: asyncio.Event) -> None:
    cancelled = asyncio.Event()

    async def work(_item: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    source = Source(range(2), error=LookupError("the list broke"))
    with pytest.raises(LookupError, match="the list broke"):
        await run(source(), work, concurrency=5, stop=stop)
    assert cancelled.is_set()


async def test_a_stop_drains_what_is_in_flight_and_admits_nothing_more(
    stop: asyncio.Event,
) -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        stop.set()
        for _ in range(10):
            await asyncio.sleep(0)
        ended.append(item)

    source = Source(range(100))
    whole = await run(source(), work, concurrency=3, stop=stop)
    assert whole is False
    assert 1 <= len(ended) <= 3
    assert source.closed


async def test_a_stop_before_the_start_admits_nothing(stop: asyncio.Event) -> None:
    async def work(_item: int) -> None:
        pytest.fail("nothing may be admitted")

    stop.set()
    whole = await run(Source(range(9))(), work, concurrency=3, stop=stop)
    assert whole is False


async def test_a_stop_while_the_items_are_awaited_ends_the_run(stop: asyncio.Event) -> None:
    async def items() -> AsyncGenerator[int]:
        stop.set()
        await asyncio.Event().wait()
        yield 1

    async def work(_item: int) -> None:
        pytest.fail("no item came")

    assert not await run(items(), work, concurrency=1, stop=stop)


async def test_a_stop_after_the_last_item_still_lets_the_work_be_whole(
    stop: asyncio.Event,
) -> None:
    async def work(_item: int) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        stop.set()
        await asyncio.sleep(0)

    assert await run(Source([1])(), work, concurrency=2, stop=stop)


@pytest.mark.parametrize("items", [1, 9], ids=["all admitted", "more to come"])
async def test_what_does_not_end_in_time_is_cancelled(stop: asyncio.Event, items: int) -> None:
    cancelled: list[int] = []

    async def work(item: int) -> None:
        stop.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    whole = await run(Source(range(items))(), work, concurrency=2, stop=stop, drain_seconds=0.001)
    assert whole is False
    assert 0 in cancelled


async def test_a_failure_while_draining_is_raised(stop: asyncio.Event) -> None:
    async def work(item: int) -> None:
        stop.set()
        for _ in range(10):
            await asyncio.sleep(0)
        raise LookupError(item)

    with pytest.raises(LookupError):
        await run(Source(range(9))(), work, concurrency=1, stop=stop)


async def test_being_cancelled_cancels_the_work(stop: asyncio.Event) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(_item: int) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    task = asyncio.create_task(run(Source(range(9))(), work, concurrency=1, stop=stop))
    await begun.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert cancelled.is_set()
