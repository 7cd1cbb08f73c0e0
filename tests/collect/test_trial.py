"""Whether each declared action can be called, told by one small request of each."""

from __future__ import annotations

from typing import Any

import pytest

from orgscan.collect import collectors
from orgscan.errors import Absent, CallerBroken, CallError, Denied, IntegrityError, Refused
from tests.kit.worlds import WORLDS


class Iam:
    """IAM that grants everything but what a test says."""

    def __init__(self, **errors: Exception) -> None:
        self.asked: dict[str, dict[str, Any]] = {}
        self._errors = errors

    async def call(self, action: str, result: str, /, **parameters: Any) -> dict[str, Any]:
        assert action not in self.asked
        self.asked[action] = parameters
        if action in self._errors:
            raise self._errors[action]
        return {result: "dropped"}

    def pages(self, action: str, _result: str, /, **_parameters: Any) -> Any:
        raise NotImplementedError(action)


def told(code: str, kind: type[CallError]) -> CallError:
    return kind(f"it said {code}", code=code, action="iam:X")


async def test_each_declared_action_is_called_once_and_for_little() -> None:
    iam = Iam()
    assert await collectors.try_out(iam) == {}
    assert sorted(f"iam:{action}" for action in iam.asked) == list(collectors.ACTIONS)
    for action, parameters in iam.asked.items():
        assert parameters.get("MaxItems", 1) == 1, action


@pytest.mark.parametrize("action", collectors.ACTIONS)
@pytest.mark.parametrize(("code", "kind"), [("AccessDenied", Denied), ("Odd", Refused)])
async def test_what_fails_is_named_and_hides_nothing(
    action: str, code: str, kind: type[CallError]
) -> None:
    iam = Iam(**{action.removeprefix("iam:"): told(code, kind)})
    failures = await collectors.try_out(iam)
    assert {name: error.code for name, error in failures.items()} == {action: code}
    assert len(iam.asked) == len(collectors.ACTIONS)


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("ListAccessKeys", told("NoSuchEntity", Absent)),
        ("GetAccountPasswordPolicy", told("NoSuchEntity", Absent)),
        ("GetCredentialReport", told("ReportInProgress", Refused)),
        ("GetCredentialReport", told("ReportNotPresent", Refused)),
        ("GetCredentialReport", told("ReportExpired", Refused)),
    ],
)
async def test_that_there_is_nothing_is_told_to_those_who_may_ask(
    action: str, error: CallError
) -> None:
    assert await collectors.try_out(Iam(**{action: error})) == {}


@pytest.mark.parametrize("error", [told("ExpiredToken", CallerBroken), IntegrityError("another")])
async def test_what_would_fail_every_account_is_raised(error: Exception) -> None:
    with pytest.raises(type(error)):
        await collectors.try_out(Iam(ListUsers=error))


async def test_against_the_simulator(simulate: Any, connect: Any) -> None:
    simulator = await simulate(WORLDS["small"]())
    aws = await connect(simulator)
    assert await collectors.try_out(aws.own_account()) == {}
    called = [call.name for call in simulator.calls if call.service == "iam"]
    assert sorted(called) == list(collectors.ACTIONS)
