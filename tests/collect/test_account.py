"""One account from its number to its outcome, against the simulator."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collect import collectors, sessions
from orgscan.collect.account import AccountReader, unread
from orgscan.errors import CallerBroken
from orgscan.models import INTEGRITY_FAILURE, Account, AccountState, Coverage, Kind
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator, World
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.kit.clocks import FakeClock

LIMITS = collectors.AccountBudget(report_seconds=300, account_seconds=20, calls_per_second=20)


class Bench:
    """A reader on a simulator."""

    def __init__(self, simulator: Simulator, reader: AccountReader) -> None:
        self.simulator = simulator
        self.reader = reader

    async def read(self, name: str, **more: Any) -> Any:
        account_id = next(one.id for one in self.simulator.world.accounts if one.name == name)
        return await self.reader.read(Account(account_id=account_id, **more))


@pytest.fixture
def bench(simulate: Any, connect: Any, clock: FakeClock) -> Callable[..., Awaitable[Bench]]:
    async def make(world: World, *scripted: Fault) -> Bench:
        simulator = await simulate(world, faults=scripted)
        aws = await connect(simulator)
        caller = await sessions.identify(aws.sts)
        made = sessions.Sessions(
            aws.sts,
            partition=caller.partition,
            role_name=AUDIT_ROLE,
            actions=collectors.ACTIONS,
        )
        reader = AccountReader(
            aws=aws,
            sessions=made,
            caller=caller,
            clock=clock,
            budget=LIMITS,
        )
        return Bench(simulator, reader)

    return make


@pytest.fixture
def small() -> World:
    return WORLDS["small"]()


async def test_all_evidence_makes_it_complete(bench: Any, small: World, clock: FakeClock) -> None:
    ready = await bench(small)
    outcome = await ready.read("tidy-staging")
    assert (outcome.coverage, outcome.reason, outcome.error_code) == (Coverage.COMPLETE, "", "")
    assert [item.kind for item in outcome.evidence] == [*Kind]
    assert (outcome.gaps, outcome.missing, outcome.attempts) == ((), "", 1)
    assert outcome.started_at <= clock.now()
    assert outcome.duration_seconds > 0


async def test_the_callers_own_account_is_read_without_a_role(bench: Any, small: World) -> None:
    ready = await bench(small)
    outcome = await ready.read("tidy-management")
    assert outcome.coverage is Coverage.COMPLETE
    assert ready.simulator.count(action="AssumeRole") == 0


def test_out_of_scope_it_is_not_read() -> None:
    outcome = unread(Account(account_id="0" * 12, state=AccountState.SUSPENDED), "not wanted")
    assert outcome
    assert (outcome.coverage, outcome.reason) == (Coverage.EXCLUDED, "not wanted")
    assert (outcome.attempts, outcome.started_at, outcome.duration_seconds) == (0, None, None)


@pytest.mark.parametrize(
    "state", sorted(set(AccountState) - {AccountState.ACTIVE, AccountState.UNKNOWN})
)
def test_not_active_it_is_not_read(state: str) -> None:
    outcome = unread(Account(account_id="0" * 12, state=state), "")
    assert outcome
    assert (outcome.coverage, outcome.reason) == (Coverage.NOT_ACTIVE, f"the account is {state}")


@pytest.mark.parametrize("state", [AccountState.ACTIVE, AccountState.UNKNOWN])
def test_active_or_unknown_and_in_scope_it_is_to_be_read(state: str) -> None:
    assert unread(Account(account_id="0" * 12, state=state), "") is None


async def test_in_a_state_nobody_knows_it_is_read_and_flagged(bench: Any, small: World) -> None:
    ready = await bench(small)
    outcome = await ready.read("tidy-staging", state=AccountState.UNKNOWN)
    assert outcome.coverage is Coverage.COMPLETE
    assert outcome.reason == "AWS gave no account state that is known; read as if active"


@pytest.mark.parametrize("name", ["no-role", "external-id", "other-path"])
async def test_without_a_way_in_it_is_denied_after_one_call(bench: Any, name: str) -> None:
    ready = await bench(WORLDS["denied"]())
    outcome = await ready.read(name)
    assert (outcome.coverage, outcome.error_code) == (Coverage.DENIED, "AccessDenied")
    assert outcome.reason.startswith("the audit role could not be assumed (sts:AssumeRole: User")
    assert outcome.missing == ",".join(Kind)
    assert outcome.evidence == ()
    assert ready.simulator.count(action="AssumeRole", target=outcome.account_id) == 1


async def test_suspended_between_enumeration_and_entering_it_is_denied(
    bench: Any, small: World
) -> None:
    account = small.accounts[3]
    suspended = faults.SetState(account.id, AccountState.SUSPENDED)
    ready = await bench(small, Fault(effect=suspended, action="AssumeRole"))
    assert (await ready.read(account.name)).coverage is Coverage.DENIED


async def test_a_denied_action_makes_it_partial_and_names_the_kind(
    bench: Any, clock: FakeClock
) -> None:
    ready = await bench(WORLDS["denied"](now=clock.now()))
    outcome = await ready.read("no-ListAccessKeys")
    assert (outcome.coverage, outcome.missing) == (Coverage.PARTIAL, "access_keys")
    assert outcome.error_code == "AccessDenied"
    assert outcome.reason.startswith("access_keys: iam:ListAccessKeys: User: arn:aws:sts::")
    assert len(outcome.evidence) == len(Kind) - 1


async def test_nothing_readable_makes_it_failed(bench: Any) -> None:
    ready = await bench(WORLDS["denied"]())
    outcome = await ready.read("everything")
    assert (outcome.coverage, outcome.evidence) == (Coverage.FAILED, ())
    assert outcome.missing == ",".join(Kind)


async def test_no_service_makes_it_failed_with_the_request_id(bench: Any, small: World) -> None:
    ready = await bench(small, Fault(effect=faults.SERVICE_FAILURE, action="AssumeRole"))
    outcome = await ready.read("tidy-staging")
    assert (outcome.coverage, outcome.error_code) == (Coverage.FAILED, "ServiceFailure")
    assert "(request id " in outcome.reason


async def test_a_session_of_another_account_is_an_integrity_failure_and_nothing_is_kept(
    bench: Any, small: World
) -> None:
    other = faults.OtherAccount(small.accounts[1].id)
    ready = await bench(small, Fault(effect=other, action="AssumeRole"))
    outcome = await ready.read("tidy-staging")
    assert (outcome.coverage, outcome.error_code) == (Coverage.FAILED, INTEGRITY_FAILURE)
    assert outcome.evidence == ()
    assert ready.simulator.count(service="iam") == 0


async def test_a_renewed_session_of_another_account_is_one_too(bench: Any, small: World) -> None:
    staging = small.accounts[3]
    ready = await bench(
        small,
        Fault(effect=faults.OtherAccount(small.accounts[1].id), action="AssumeRole", nth=2),
        Fault(effect=faults.ExpireSessions(), action="ListAccessKeys", nth=1),
    )
    outcome = await ready.read(staging.name)
    assert (outcome.coverage, outcome.error_code) == (Coverage.FAILED, INTEGRITY_FAILURE)
    assert outcome.evidence == ()


async def test_a_session_that_ends_in_the_middle_is_renewed_and_nothing_doubled(
    bench: Any, small: World
) -> None:
    ready = await bench(
        small, Fault(effect=faults.ExpireSessions(), action="ListAccessKeys", nth=1)
    )
    outcome = await ready.read("tidy-staging")
    assert outcome.coverage is Coverage.COMPLETE
    assert ready.simulator.count(action="AssumeRole") == 2
    by_kind = {item.kind: json.loads(item.content) for item in outcome.evidence[1:]}
    assert len(by_kind[Kind.USERS]) == 2
    assert len(by_kind[Kind.ACCESS_KEYS]["keys"]) == 2


async def test_a_caller_whose_credentials_end_is_no_fault_of_the_account(
    bench: Any, small: World
) -> None:
    ready = await bench(small)
    ready.simulator.cloud.expire_callers()
    for name in ("tidy-staging", "tidy-management"):
        with pytest.raises(CallerBroken):
            await ready.read(name)


async def test_a_caller_whose_credentials_end_while_reading_is_none_either(
    bench: Any, small: World
) -> None:
    ready = await bench(
        small,
        Fault(effect=faults.ExpireSessions(), action="ListAccessKeys", nth=1),
        Fault(effect=faults.EXPIRED_TOKEN, action="AssumeRole", nth=2),
    )
    with pytest.raises(CallerBroken):
        await ready.read("tidy-staging")


@pytest.mark.parametrize("damage", sorted(set(faults.REPORT_EDITS) - {"bad-base64"}))
async def test_a_damaged_report_never_passes_for_a_whole_one(
    bench: Any, small: World, damage: str
) -> None:
    legal = {"extra-column", "reordered-columns", "byte-order-mark", "carriage-returns"}
    ready = await bench(
        small, Fault(effect=faults.REPORT_EDITS[damage], action="GetCredentialReport")
    )
    outcome = await ready.read("tidy-staging")
    if damage in legal and outcome.coverage is Coverage.COMPLETE:
        return
    assert (outcome.coverage, outcome.missing) == (Coverage.PARTIAL, "credential_report")
    assert outcome.reason.startswith("credential_report: ")
    assert len(outcome.evidence) == len(Kind)  # what AWS gave is kept as it is


async def test_garbage_instead_of_a_report_is_a_gap(bench: Any, small: World) -> None:
    bad = Fault(effect=faults.BAD_BASE64, action="GetCredentialReport")
    outcome = await (await bench(small, bad)).read("tidy-staging")
    assert (outcome.coverage, outcome.missing) == (Coverage.PARTIAL, "credential_report")


async def test_reasons_and_codes_are_one_line_without_secrets(bench: Any) -> None:
    world = WORLDS["denied"]()
    ready = await bench(replace(world, faults=(Fault(effect=faults.DENIED_AT_LENGTH, nth=5),)))
    for account in world.accounts[1:]:
        outcome = await ready.read(account.name)
        for text in (outcome.reason, *(gap.reason for gap in outcome.gaps)):
            assert len(text.splitlines()) <= 1
            assert not any(secret in text for secret in ready.simulator.secrets)
