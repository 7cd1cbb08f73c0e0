"""Retries, patience and paging, against an SDK of a few lines."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from orgscan.aws.calls import JSON_PAGING, MAX_ALIKE, MAX_PAGES, QUERY_PAGING, Paging, ServiceCalls
from orgscan.aws.pacing import Pace
from orgscan.aws.wire import UnparsableError
from orgscan.errors import (
    CallerBroken,
    CallError,
    CredentialsExpired,
    Denied,
    Malformed,
    Throttled,
    Transient,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.kit.clocks import FakeClock

Door = Any


def error(code: str, status: int = 400) -> ClientError:
    metadata = {"HTTPStatusCode": status}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata}, "X")


class Sdk:
    """Answers in the given order; the last one for ever."""

    def __init__(self, *answers: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answers = answers

    async def __call__(self, **parameters: Any) -> dict[str, Any]:
        answer = self._answers[min(len(self.asked), len(self._answers) - 1)]
        self.asked.append(parameters)
        await asyncio.sleep(0)
        if isinstance(answer, BaseException):
            raise answer
        return dict(answer)


@pytest.fixture
def door(clock: FakeClock) -> Callable[..., ServiceCalls]:
    def make(sdk: Any, *, paging: Paging = QUERY_PAGING, **more: Any) -> ServiceCalls:
        pace = Pace(1_000_000, 1.0, clock)
        values = {
            "service": "iam",
            "operation": lambda _action: sdk,
            "pace": lambda _action: pace,
            "paging": paging,
            "slots": asyncio.Semaphore(10),
            "timeout": 5.0,
            "clock": clock,
            "signed": nullcontext,
        }
        return ServiceCalls(**{**values, **more})

    return make


OK = {"Result": 1}


class TestRetries:
    async def test_one_repetition_overcomes_one_failure(self, door: Door) -> None:
        sdk = Sdk(error("ServiceFailure", 500), error("Throttling"), OSError("reset"), {}, OK)
        calls = door(sdk)
        assert await calls.call("X", "Result", A=1) == OK
        assert sdk.asked == [{"A": 1}] * 5
        assert calls.traffic.calls == 5

    @pytest.mark.parametrize("late", [OSError("reset"), TimeoutError(), {}], ids=str)
    async def test_a_failure_after_much_throttling_is_only_the_first_of_its_kind(
        self, door: Door, late: Any
    ) -> None:
        sdk = Sdk(*[error("Throttling")] * 10, late, late, OK)
        assert await door(sdk).call("X", "Result") == OK

    @pytest.mark.parametrize(
        ("answer", "kind", "tries"),
        [
            (error("ServiceFailure", 500), Transient, 6),
            (OSError("reset"), Transient, 6),
            (TimeoutError(), Transient, 3),
            ({}, Malformed, 3),
            (UnparsableError("KeyError"), Malformed, 3),
            (error("AccessDenied", 403), Denied, 1),
            (error("ValidationError"), CallError, 1),
            (error("SignatureDoesNotMatch", 403), CallerBroken, 1),
            (error("ExpiredToken", 403), CallerBroken, 1),
        ],
        ids=str,
    )
    async def test_are_bounded(self, door: Door, answer: Any, kind: Any, tries: int) -> None:
        sdk = Sdk(answer)
        with pytest.raises(kind):
            await door(sdk).call("X", "Result")
        assert len(sdk.asked) == tries

    @pytest.mark.parametrize(
        "kind", [AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError]
    )
    async def test_are_not_for_our_own_errors(
        self, door: Door, clock: FakeClock, kind: type[Exception]
    ) -> None:
        sdk = Sdk(kind("ours"))
        with pytest.raises(kind, match="ours"):
            await door(sdk).call("X", "Result")
        assert (len(sdk.asked), clock.slept) == (1, [])

    async def test_wait_longer_and_longer_within_bounds(self, door: Door, clock: FakeClock) -> None:
        for dice, first, last in ((0.0, 0.08, 1.28), (0.999999, 0.4, 6.4)):
            clock.slept.clear()
            clock.dice = lambda dice=dice: dice
            with pytest.raises(Transient):
                await door(Sdk(OSError("reset"))).call("X", "Result")
            assert clock.slept == sorted(clock.slept)
            assert (clock.slept[0], clock.slept[-1]) == pytest.approx((first, last), rel=1e-5)

    async def test_are_spread_by_dice(self, door: Door, clock: FakeClock) -> None:
        with pytest.raises(Throttled):
            await door(Sdk(error("Throttling"))).call("X", "Result")
        assert len(set(clock.slept)) == len(clock.slept)

    async def test_throttling_is_borne_by_time_and_not_by_tries(
        self, door: Door, clock: FakeClock
    ) -> None:
        sdk = Sdk(*[error("Throttling")] * 20, OK)
        assert await door(sdk).call("X", "Result") == OK
        assert len(sdk.asked) == 21
        sdk, began = Sdk(error("Throttling")), clock.elapsed
        with pytest.raises(Throttled):
            await door(sdk).call("X", "Result")
        assert 180 < clock.elapsed - began < 195

    async def test_no_capacity_for_a_report_is_waited_out(self, door: Door) -> None:
        sdk = Sdk(*[error("LimitExceeded", 409)] * 8, {"State": "STARTED"})
        answer = await door(sdk).call("GenerateCredentialReport", "State")
        assert answer["State"] == "STARTED"

    async def test_throttling_slows_the_pace_and_success_quickens_it(
        self, door: Door, clock: FakeClock
    ) -> None:
        pace = Pace(8, 1.0, clock)
        sdk = Sdk(error("Throttling"), OK)
        calls = door(sdk, pace=lambda _action: pace)
        await calls.call("X", "Result")
        assert pace.rate_limit == 4
        for _ in range(3):
            await calls.call("X", "Result")
        assert pace.rate_limit == 5

    async def test_other_failures_leave_the_pace_alone(self, door: Door, clock: FakeClock) -> None:
        pace = Pace(8, 1.0, clock)
        with pytest.raises(Transient):
            await door(Sdk(error("ServiceFailure", 500)), pace=lambda _action: pace).call("X", "R")
        assert pace.rate_limit == 8

    async def test_a_mistake_of_ours_is_not_retried_but_loud(self, door: Door) -> None:
        sdk = Sdk(RuntimeError("ours"))
        with pytest.raises(RuntimeError, match="ours"):
            await door(sdk).call("X", "Result")
        assert len(sdk.asked) == 1

    async def test_never_more_requests_in_flight_than_slots(self, door: Door) -> None:
        flying, most = 0, 0

        async def sdk() -> dict[str, Any]:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0)
            flying -= 1
            return OK

        calls = door(sdk, slots=asyncio.Semaphore(3))
        await asyncio.gather(*(calls.call("X", "Result") for _ in range(20)))
        assert most == 3

    async def test_a_call_that_hangs_gives_its_slot_back(self, door: Door) -> None:
        async def sdk(*, hang: bool) -> dict[str, Any]:
            await (asyncio.Event().wait() if hang else asyncio.sleep(0))
            return OK

        calls = door(sdk, slots=asyncio.Semaphore(1), timeout=0.001)
        with pytest.raises(Transient) as caught:
            await calls.call("X", "Result", hang=True)
        assert caught.value.code == "Timeout"
        assert await calls.call("X", "Result", hang=False) == OK

    async def test_being_cancelled_gives_the_slot_back(self, door: Door) -> None:
        slots = asyncio.Semaphore(1)

        async def sdk() -> dict[str, Any]:
            await asyncio.Event().wait()
            return OK

        task = asyncio.create_task(door(sdk, slots=slots).call("X", "Result"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert slots.locked()
        task.cancel()
        await asyncio.wait([task])
        assert not slots.locked()


def page(*items: int, marker: str | None = None, truncated: bool | None = None) -> dict[str, Any]:
    answer: dict[str, Any] = {"Items": [*items], "IsTruncated": bool(marker)}
    if truncated is not None:
        answer["IsTruncated"] = truncated
    return answer | ({"Marker": marker} if marker else {})


async def read(calls: ServiceCalls, **parameters: Any) -> list[list[int]]:
    return [items async for items in calls.pages("List", "Items", **parameters)]


class TestPages:
    async def test_short_and_empty_ones_are_no_end(self, door: Door) -> None:
        sdk = Sdk(page(1, marker="a"), page(marker="b"), page(marker="c"), page(2, 3))
        assert await read(door(sdk), MaxItems=9) == [[1], [], [], [2, 3]]
        assert [asked.pop("Marker", None) for asked in sdk.asked] == [None, "a", "b", "c"]
        assert sdk.asked == [{"MaxItems": 9}] * 4

    async def test_of_json_services_end_where_no_token_is(self, door: Door) -> None:
        sdk = Sdk({"Items": [], "NextToken": "a"}, {"Items": [1], "NextToken": None})
        assert await read(door(sdk, paging=JSON_PAGING)) == [[], [1]]
        assert sdk.asked == [{}, {"NextToken": "a"}]

    @pytest.mark.parametrize(
        ("answers", "pages"),
        [
            ([page(1, marker="A")], 2),
            ([page(1, marker="A"), page(2, marker="B"), page(1, marker="A")], 3),
            ([page(1, truncated=True)], 1),
        ],
        ids=["A,A", "A,B,A,B", "truncated without marker"],
    )
    async def test_that_lead_nowhere_are_malformed(
        self, door: Door, answers: list[Any], pages: int
    ) -> None:
        sdk = Sdk(*answers)
        with pytest.raises(Malformed) as caught:
            await read(door(sdk))
        assert caught.value.code == "MalformedAnswer"
        assert len(sdk.asked) == pages

    @pytest.mark.parametrize("flag", [{"IsTruncated": False}, {}], ids=["false", "missing"])
    async def test_a_marker_leads_to_the_next_page_whatever_the_flag_says(
        self, door: Door, flag: dict[str, bool]
    ) -> None:
        sdk = Sdk({"Items": [1], "Marker": "a", **flag}, page(2))
        assert await read(door(sdk)) == [[1], [2]]
        assert [asked.get("Marker") for asked in sdk.asked] == [None, "a"]

    @pytest.mark.parametrize("marker", [{}, {"Marker": ""}, {"Marker": None}], ids=str)
    async def test_a_page_with_neither_flag_nor_marker_is_malformed(
        self, door: Door, marker: dict[str, Any]
    ) -> None:
        sdk = Sdk(page(1, marker="a"), {"Items": [2], **marker})
        with pytest.raises(Malformed, match=r"iam:List: .*IsTruncated") as caught:
            await read(door(sdk))
        assert caught.value.code == "MalformedAnswer"

    async def test_a_page_that_is_not_truncated_and_has_no_marker_is_the_last(
        self, door: Door
    ) -> None:
        sdk = Sdk(page(1, truncated=False))
        assert await read(door(sdk)) == [[1]]

    async def test_a_repeated_token_of_json_services_is_malformed(self, door: Door) -> None:
        with pytest.raises(Malformed):
            await read(door(Sdk({"Items": [], "NextToken": "a"}), paging=JSON_PAGING))

    async def test_without_end_are_cut_off(self, door: Door) -> None:
        asked = 0

        async def sdk(**_parameters: Any) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return page(asked, marker=str(asked))

        with pytest.raises(Malformed, match=f"no end after {MAX_PAGES} pages"):
            await read(door(sdk))
        assert asked == MAX_PAGES

    async def test_that_are_the_same_over_and_over_are_cut_off_soon(self, door: Door) -> None:
        asked = 0

        async def sdk(**_parameters: Any) -> dict[str, Any]:
            nonlocal asked
            asked += 1
            return page("the same", marker=str(asked))

        with pytest.raises(Malformed, match="the same page came"):
            await read(door(sdk))
        assert asked == MAX_ALIKE + 1

    async def test_without_their_list_are_malformed(self, door: Door) -> None:
        sdk = Sdk(page(1, marker="a"), {"IsTruncated": False})
        with pytest.raises(Malformed, match="iam:List: the answer has no Items"):
            await read(door(sdk))
        assert len(sdk.asked) == 4

    async def test_a_failure_in_the_middle_is_retried_there(self, door: Door) -> None:
        sdk = Sdk(page(1, marker="a"), error("Throttling"), page(2))
        assert await read(door(sdk)) == [[1], [2]]
        assert [asked.get("Marker") for asked in sdk.asked] == [None, "a", "a"]


class Sessions:
    """Hands out sessions 1, 2, 3 ...; the service knows which of them have ended."""

    def __init__(self) -> None:
        self.current = 1
        self.renewals = 0
        self.ended: set[int] = set()
        self.error: CallError | None = None

    def signed(self) -> Any:
        return nullcontext(self.current)

    async def renew(self, expired: object) -> None:
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        if expired == self.current:
            self.renewals += 1
            self.current += 1


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    return Sessions()


class TestRenewal:
    async def test_an_ended_session_is_renewed_and_the_call_repeated(
        self, door: Door, sessions: Sessions
    ) -> None:
        sdk = Sdk(error("ExpiredToken", 403), OK)
        calls = door(sdk, signed=sessions.signed, renew=sessions.renew)
        assert await calls.call("X", "Result") == OK
        assert sessions.renewals == 1

    async def test_once_for_each_call(self, door: Door, sessions: Sessions) -> None:
        sdk = Sdk(error("ExpiredToken", 403))
        with pytest.raises(CredentialsExpired):
            await door(sdk, signed=sessions.signed, renew=sessions.renew).call("X", "Result")
        assert len(sdk.asked) == 2
        assert sessions.renewals == 1

    async def test_that_fails_is_the_failure_of_the_call(
        self, door: Door, sessions: Sessions
    ) -> None:
        sessions.error = Denied("no more", code="AccessDenied", action="sts:AssumeRole")
        calls = door(Sdk(error("ExpiredToken", 403)), signed=sessions.signed, renew=sessions.renew)
        with pytest.raises(Denied, match="no more"):
            await calls.call("X", "Result")

    async def test_tells_which_session_had_ended(self, door: Door, sessions: Sessions) -> None:
        told: list[object] = []
        ended = error("ExpiredToken", 403)

        async def renew(expired: object) -> None:
            told.append(expired)
            sessions.current += 1

        async def sdk() -> dict[str, Any]:
            signed_with = sessions.current
            await asyncio.sleep(0)
            sessions.current = 7  # somebody else renewed while this one was under way
            if signed_with == 1:
                raise ended
            return OK

        await door(sdk, signed=sessions.signed, renew=renew).call("X", "Result")
        assert told == [1]
