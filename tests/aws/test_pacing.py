from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from orgscan.aws.pacing import BucketPace, Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.kit.clocks import FakeClock

GAPS = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.05, 0.3, 1.0, 2.5]), min_size=1, max_size=60)


async def passed(pace: Pace, clock: FakeClock, gaps: list[float]) -> list[tuple[float, int]]:
    """When each of the tasks that came in these intervals was let through, and which it was."""
    through: list[tuple[float, int]] = []

    async def one(number: int) -> None:
        await pace.acquire()
        through.append((clock.monotonic(), number))

    tasks = []
    for number, gap in enumerate(gaps):
        if gap:
            await clock.sleep(gap)
        tasks.append(asyncio.create_task(one(number)))
    await asyncio.gather(*tasks)
    return through


@given(gaps=GAPS, limit=st.integers(1, 8), period=st.sampled_from([0.5, 1.0, 1.6]))
async def test_first_come_first_served_and_never_more_than_the_limit_in_any_window(
    new_clock: Callable[[], FakeClock], gaps: list[float], limit: int, period: float
) -> None:
    clock = new_clock()
    through = await passed(Pace(limit, period, clock), clock, gaps)
    assert [number for _, number in through] == list(range(len(gaps)))
    times = [time for time, _ in through]
    for place in range(limit, len(times)):
        assert times[place] - times[place - limit] > period


@given(
    gaps=GAPS,
    bucket=st.sampled_from([(1, 2), (8, 12), (5, 8), (10, 15), (2, 2)]),
)
async def test_a_published_token_bucket_is_never_asked_for_more_than_it_holds(
    new_clock: Callable[[], FakeClock], gaps: list[float], bucket: tuple[int, int]
) -> None:
    rate, burst = bucket
    clock = new_clock()
    through = await passed(BucketPace(rate, burst, clock), clock, gaps)
    assert [number for _, number in through] == list(range(len(gaps)))
    tokens, before = float(burst), through[0][0]
    for time, _ in through:
        tokens = min(burst, tokens + (time - before) * rate)
        before = time
        tokens -= 1
        assert tokens > -1e-6


async def test_a_token_bucket_is_used_evenly_and_to_the_full(clock: FakeClock) -> None:
    through = await passed(BucketPace(5, 8, clock), clock, [0.0] * 57)
    times = [time - through[0][0] for time, _ in through]
    assert times[6] == 0.0
    assert all(0.199 < later - earlier < 0.202 for earlier, later in pairwise(times[6:]))
    await clock.sleep(100)
    again = await passed(BucketPace(5, 8, clock), clock, [0.0] * 7)
    assert again[0][0] == again[-1][0]


async def test_a_throttled_bucket_refills_at_half_the_rate(clock: FakeClock) -> None:
    pace = BucketPace(5, 9, clock)
    await passed(pace, clock, [0.0] * 8)
    pace.slow_down()
    times = [time for time, _ in await passed(pace, clock, [0.0] * 4)]
    assert all(0.399 < later - earlier < 0.402 for earlier, later in pairwise(times))


async def test_within_the_limit_nobody_waits(clock: FakeClock) -> None:
    pace = Pace(5, 1.0, clock)
    for _ in range(5):
        await pace.acquire()
    assert clock.slept == []


async def test_the_rate_is_used_to_the_full(clock: FakeClock) -> None:
    await passed(Pace(20, 1.0, clock), clock, [0.0] * 201)
    assert 10.0 < clock.elapsed < 10.1


async def test_ten_thousand_waiters_sleep_as_often_as_windows_pass_and_do_not_poll(
    clock: FakeClock,
) -> None:
    await passed(Pace(500, 1.0, clock), clock, [0.0] * 10_000)
    assert len(clock.slept) == 19
    assert 19.0 < clock.elapsed < 19.1


async def test_a_waiter_that_gives_up_does_not_hold_up_the_next(clock: FakeClock) -> None:
    pace = Pace(1, 1.0, clock)
    await pace.acquire()
    first, second = (asyncio.create_task(pace.acquire()) for _ in range(2))
    await clock.sleep(0.1)
    first.cancel()
    await second
    assert first.cancelled()
    assert 1.0 < clock.elapsed < 1.1


async def test_slowing_down_halves_the_rate_once_per_period(clock: FakeClock) -> None:
    pace = Pace(40, 1.0, clock)
    rates = []
    for _ in range(3):
        for _refusals_of_one_burst in range(30):
            pace.slow_down()
        rates.append(pace.rate_limit)
        await clock.sleep(1.0)
    assert rates == [20, 10, 5]


async def test_the_rate_never_falls_to_nothing(clock: FakeClock) -> None:
    pace = Pace(3, 1.0, clock)
    for _ in range(5):
        pace.slow_down()
        await clock.sleep(1.0)
    assert pace.rate_limit == 1
    await passed(pace, clock, [0.0] * 3)


async def test_successes_win_the_rate_back_one_by_one_up_to_the_ceiling(clock: FakeClock) -> None:
    pace = Pace(8, 1.0, clock)
    pace.slow_down()
    rates = []
    for _ in range(100):
        pace.speed_up()
        rates.append(pace.rate_limit)
    assert all(0 <= later - earlier <= 1 for earlier, later in pairwise(rates))
    assert [rates.index(rate) + 1 for rate in (5, 6, 7, 8)] == [4, 9, 15, 22]
    assert rates[-1] == 8


async def test_a_refusal_starts_the_counting_of_successes_anew(clock: FakeClock) -> None:
    pace = Pace(4, 1.0, clock)
    pace.slow_down()
    pace.speed_up()
    pace.slow_down()
    pace.speed_up()
    assert pace.rate_limit == 2
    pace.speed_up()
    assert pace.rate_limit == 3


async def test_a_lowered_rate_holds_for_those_who_already_wait(clock: FakeClock) -> None:
    pace = Pace(4, 1.0, clock)
    await passed(pace, clock, [0.0] * 4)
    pace.slow_down()
    through = [time for time, _ in await passed(pace, clock, [0.0] * 6)]
    for place in range(2, len(through)):
        assert through[place] - through[place - 2] > 1.0


async def test_a_lower_ceiling_holds_at_once_and_a_higher_one_is_taken(clock: FakeClock) -> None:
    pace = Pace(600, 1.0, clock)
    pace.cap(150)
    await passed(pace, clock, [0.0] * 301)
    assert 2.0 < clock.elapsed < 2.1
    pace.cap(300)
    assert pace.rate_limit == 300


async def test_after_throttling_a_new_ceiling_is_grown_to(clock: FakeClock) -> None:
    pace = Pace(600, 1.0, clock)
    pace.slow_down()
    for ceiling, rate in ((600, 300), (400, 300), (200, 200), (600, 600)):
        pace.cap(ceiling)
        assert pace.rate_limit == rate
