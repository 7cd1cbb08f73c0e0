"""Everything read from one account, from the simulator and from a door of a few lines."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collect import collectors, sessions
from orgscan.collect.collectors import credential_report, user_details
from orgscan.errors import (
    Absent,
    CallerBroken,
    CallError,
    Denied,
    IntegrityError,
    Malformed,
    Refused,
)
from orgscan.models import Kind
from orgscan.simulator import AUDIT_ROLE, Fault
from orgscan.simulator.world import User, View
from tests.kit import faults
from tests.kit.iam import (
    LIMITS,
    NOW,
    REPORT,
    Iam,
    InTurn,
    key,
    key_id,
    refused,
    report,
    row,
    sent,
    summary,
    user,
)
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from orgscan.collect.collectors import AccountBudget
    from orgscan.models import Calls
    from orgscan.simulator import Simulator, World
    from orgscan.simulator.world import Account
    from tests.kit.clocks import FakeClock


async def collect(
    iam: Any, clock: FakeClock, limits: AccountBudget = LIMITS, usable: Collection[Kind] = ()
) -> tuple[dict[Kind, bytes], dict[Kind, tuple[str, str]]]:
    """Content and gaps by kind; each kind is in exactly one of them, unless it is ``usable``."""
    before = asyncio.all_tasks()
    try:
        evidence, gaps = await collectors.collect_evidence(iam, clock, limits)
    finally:
        assert asyncio.all_tasks() <= before
    kept = {item.kind: item.content for item in evidence}
    missing = {gap.kind: (gap.code, gap.reason) for gap in gaps}
    assert sorted([*kept, *missing]) == sorted([*Kind, *usable])
    assert len(evidence) + len(gaps) == len(Kind) + len(usable)
    assert [*kept] == [kind for kind in Kind if kind in kept]
    assert [gap.kind for gap in gaps if gap.usable] == [*usable]
    return kept, missing


class TestDocuments:
    async def test_are_these_bytes(self, clock: FakeClock) -> None:
        content = report(row(user("b"), key("b")), row(user("a"), key("a")))
        iam = Iam(
            GetCredentialReport=sent(content),
            ListUsers=[user("b"), user("a")],
            ListAccessKeys=lambda UserName, MaxItems: answer([key(UserName)]),  # noqa: ARG005, N803
            ListVirtualMFADevices=[{"SerialNumber": "arn:mfa/ü", "EnableDate": NOW}],
        )
        kept, missing = await collect(iam, clock)
        assert missing == {}
        at = '"CreateDate":"2026-11-03T12:00:00+00:00"'
        expected = {
            Kind.CREDENTIAL_REPORT: content.decode(),
            Kind.USERS: f'[{{"Arn":"arn:aws:iam::012345678901:user/b",{at},'
            '"UserId":"AIDABXXXXXXXXXXXXXXX0","UserName":"b"},'
            f'{{"Arn":"arn:aws:iam::012345678901:user/a",{at},'
            '"UserId":"AIDAAXXXXXXXXXXXXXXX0","UserName":"a"}]',
            Kind.ACCESS_KEYS: '{"deleted_users":[],"keys":['
            f'{{"AccessKeyId":"AKIA000000000000000b",{at},"Status":"Active","UserName":"b"}},'
            f'{{"AccessKeyId":"AKIA000000000000000a",{at},"Status":"Active","UserName":"a"}}],'
            '"unlisted_users":[]}',
            Kind.ACCOUNT_SUMMARY: '{"AccountAccessKeysPresent":0,"AccountMFAEnabled":0,"Users":2}',
            Kind.PASSWORD_POLICY: '{"MinimumPasswordLength":14}',
            Kind.VIRTUAL_MFA_DEVICES: '[{"EnableDate":"2026-11-03T12:00:00+00:00",'
            '"SerialNumber":"arn:mfa/\\u00fc"}]',
            Kind.USER_DETAILS: '{"keys":{},"users":{}}',
            Kind.SERVICE_SPECIFIC_CREDENTIALS: "[]",
            Kind.SSH_PUBLIC_KEYS: "{}",
        }
        assert {kind: content.decode() for kind, content in kept.items()} == expected

    async def test_an_account_without_a_password_policy_says_null(self, clock: FakeClock) -> None:
        kept, _ = await collect(
            Iam(GetAccountPasswordPolicy=refused("NoSuchEntity", Absent)), clock
        )
        assert kept[Kind.PASSWORD_POLICY] == b"null"

    async def test_know_when_they_were_collected_and_the_report_when_it_was_made(
        self, clock: FakeClock
    ) -> None:
        evidence, _ = await collectors.collect_evidence(Iam(), clock, LIMITS)
        assert {item.collected_at for item in evidence} == {clock.now()}
        assert {item.kind: item.generated_at for item in evidence if item.generated_at} == {
            Kind.CREDENTIAL_REPORT: NOW
        }

    async def test_hold_what_came_twice_once(self, clock: FakeClock) -> None:
        page = [user("a")]
        iam = Iam(
            ListUsers=[page, page],
            ListAccessKeys=[[key("1")], [key("1"), key("2")]],
            ListVirtualMFADevices=[[{"SerialNumber": "1"}], [{"SerialNumber": "1"}]],
        )
        kept, _ = await collect(iam, clock)
        assert len(json.loads(kept[Kind.USERS])) == 1
        keys = json.loads(kept[Kind.ACCESS_KEYS])["keys"]
        found = [(item["UserName"], item["AccessKeyId"]) for item in keys]
        assert found == [("a", key_id(number)) for number in "12"]
        assert json.loads(kept[Kind.VIRTUAL_MFA_DEVICES]) == [{"SerialNumber": "1"}]
        assert iam.count("ListAccessKeys") == 1

    async def test_file_keys_under_the_name_that_was_asked_for(self, clock: FakeClock) -> None:
        iam = Iam(ListUsers=[user("a")], ListAccessKeys=[key("1")])
        kept, _ = await collect(iam, clock)
        assert json.loads(kept[Kind.ACCESS_KEYS])["keys"][0]["UserName"] == "a"

    async def test_of_another_user_than_was_asked_for_are_none(self, clock: FakeClock) -> None:
        iam = Iam(ListUsers=[user("a")], ListAccessKeys=[key("1", UserName="another")])
        kept, gaps = await collect(iam, clock)
        assert Kind.ACCESS_KEYS not in kept
        assert "another user" in gaps[Kind.ACCESS_KEYS][1]

    @pytest.mark.parametrize(
        ("action", "item", "kind"),
        [
            ("ListUsers", {}, Kind.USERS),
            ("ListUsers", {"UserName": None}, Kind.USERS),
            ("ListAccessKeys", {"Status": "Active"}, Kind.ACCESS_KEYS),
            ("ListVirtualMFADevices", {"User": {}}, Kind.VIRTUAL_MFA_DEVICES),
        ],
    )
    async def test_of_items_without_a_name_are_none(
        self, clock: FakeClock, action: str, item: dict[str, Any], kind: Kind
    ) -> None:
        _, missing = await collect(Iam(**{"ListUsers": [user("a")], action: [item]}), clock)
        assert missing[kind][0] == "MalformedAnswer"


async def answer(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


class TestGaps:
    @pytest.mark.parametrize(
        ("action", "kinds"),
        [
            ("GenerateCredentialReport", {Kind.CREDENTIAL_REPORT}),
            ("GetCredentialReport", {Kind.CREDENTIAL_REPORT}),
            ("ListUsers", {Kind.USERS, Kind.ACCESS_KEYS}),
            ("ListAccessKeys", {Kind.ACCESS_KEYS}),
            ("GetAccountSummary", {Kind.ACCOUNT_SUMMARY}),
            ("GetAccountPasswordPolicy", {Kind.PASSWORD_POLICY}),
            ("ListVirtualMFADevices", {Kind.VIRTUAL_MFA_DEVICES}),
        ],
    )
    async def test_a_denied_action_costs_its_kind_and_no_other(
        self, clock: FakeClock, action: str, kinds: set[Kind]
    ) -> None:
        denied = refused("AccessDenied", Denied)
        iam = Iam(**{"ListUsers": [user("a")], action: denied})
        _, missing = await collect(iam, clock)
        assert set(missing) == kinds
        (first, *_) = missing.values()
        assert first == ("AccessDenied", "it said AccessDenied")

    async def test_without_users_no_key_was_looked_for_and_the_gap_says_so(
        self, clock: FakeClock
    ) -> None:
        iam = Iam(ListUsers=refused("AccessDenied", Denied))
        _, missing = await collect(iam, clock)
        code, reason = missing[Kind.ACCESS_KEYS]
        assert (code, iam.count("ListAccessKeys")) == ("UsersNotListed", 0)
        assert "the users could not be listed" in reason

    async def test_one_user_whose_keys_are_denied_makes_the_whole_listing_a_gap(
        self, clock: FakeClock
    ) -> None:
        async def keys(UserName: str, MaxItems: int) -> Any:  # noqa: ARG001, N803
            return refused("AccessDenied", Denied) if UserName == "u7" else [key("1")]

        iam = Iam(ListUsers=[user(f"u{number}") for number in range(20)], ListAccessKeys=keys)
        kept, missing = await collect(iam, clock)
        assert missing[Kind.ACCESS_KEYS][0] == "AccessDenied"
        assert Kind.USERS in kept

    async def test_everything_may_fail_at_once(self, clock: FakeClock) -> None:
        _, missing = await collect(
            Iam(**dict.fromkeys(Iam()._answers, refused("ServiceFailure"))), clock
        )
        assert set(missing) == set(Kind)

    async def test_a_user_deleted_since_the_listing_is_a_fact_and_no_error(
        self, clock: FakeClock
    ) -> None:
        async def keys(UserName: str, MaxItems: int) -> Any:  # noqa: ARG001, N803
            return refused("NoSuchEntity", Absent) if UserName == "gone" else [key("1")]

        iam = Iam(
            ListUsers=InTurn([user("gone"), user("here")], [user("here")]),
            GetAccountSummary=InTurn(summary(2), summary(1)),
            ListAccessKeys=keys,
        )
        kept, missing = await collect(iam, clock)
        found = json.loads(kept[Kind.ACCESS_KEYS])
        assert missing == {}
        assert found["deleted_users"] == ["gone"]
        assert [item["UserName"] for item in found["keys"]] == ["here"]

    async def test_a_broken_caller_is_raised_alone(self, clock: FakeClock) -> None:
        broken = refused("ExpiredToken", CallerBroken)
        with pytest.raises(CallerBroken):
            await collect(Iam(GetAccountSummary=broken, ListUsers=broken), clock)

    async def test_a_session_of_another_account_is_raised_alone(self, clock: FakeClock) -> None:
        wrong = IntegrityError("another account")
        broken = refused("ExpiredToken", CallerBroken)
        with pytest.raises(IntegrityError, match="another account"):
            await collect(Iam(GetAccountSummary=wrong, ListVirtualMFADevices=broken), clock)

    async def test_a_mistake_of_ours_is_loud(self, clock: FakeClock) -> None:
        with pytest.raises(ExceptionGroup):
            await collect(Iam(GetAccountSummary=ZeroDivisionError("ours")), clock)


class TestDeadlines:
    async def test_a_kind_that_hangs_is_a_gap_and_the_others_are_kept(
        self, clock: FakeClock
    ) -> None:
        async def hang() -> None:
            await asyncio.Event().wait()

        limits = replace(LIMITS, account_seconds=0.01)
        kept, missing = await collect(Iam(GetAccountSummary=hang), clock, limits)
        said = ("Timeout", "not collected within 0 seconds")
        assert missing == {Kind.ACCOUNT_SUMMARY: said}
        assert len(kept) == len(Kind) - 1

    async def test_grow_with_the_number_of_users(self, clock: FakeClock) -> None:
        # With no time at all for an account only what the users add can save their keys.
        limits = replace(LIMITS, account_seconds=0.0)
        iam = Iam(
            ListUsers=[user(f"u{number}") for number in range(5_000)],
            ListAccessKeys=lambda UserName, MaxItems: answer([]),  # noqa: ARG005, N803
            GetAccountSummary=lambda: asyncio.sleep(1),
        )
        kept, missing = await collect(iam, clock, limits)
        assert set(missing) == {Kind.ACCOUNT_SUMMARY}
        assert Kind.ACCESS_KEYS in kept
        assert iam.count("ListAccessKeys") == 5_000

    async def test_only_so_many_users_are_asked_about_at_once(self, clock: FakeClock) -> None:
        flying, most = 0, 0

        async def keys(**_parameters: Any) -> list[Any]:
            nonlocal flying, most
            flying += 1
            most = max(most, flying)
            await asyncio.sleep(0)
            flying -= 1
            return []

        iam = Iam(ListUsers=[user(f"u{number}") for number in range(99)], ListAccessKeys=keys)
        await collect(iam, clock)
        assert most == 8


def states(*names: str) -> InTurn:
    return InTurn(*({"State": name} for name in names))


class TestReport:
    async def test_is_waited_for_longer_and_longer(self, clock: FakeClock) -> None:
        iam = Iam(GenerateCredentialReport=states("STARTED", *["INPROGRESS"] * 6, "COMPLETE"))
        evidence = await credential_report.collect_credential_report(iam, clock, timeout=300)
        assert (evidence.content, evidence.generated_at) == (REPORT, NOW)
        assert clock.slept == [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
        assert iam.count("GetCredentialReport") == 1

    async def test_that_is_there_is_not_waited_for(self, clock: FakeClock) -> None:
        await credential_report.collect_credential_report(Iam(), clock, timeout=300)
        assert clock.slept == []

    async def test_never_ready_is_a_gap_in_time(self, clock: FakeClock) -> None:
        iam = Iam(GenerateCredentialReport=states("STARTED", "INPROGRESS"))
        kept, missing = await collect(iam, clock)
        said = "AWS had not finished the credential report after 300 seconds"
        assert missing == {Kind.CREDENTIAL_REPORT: ("ReportNotReady", said)}
        assert 290 < clock.elapsed <= 300
        assert Kind.ACCESS_KEYS in kept

    @pytest.mark.parametrize("code", ["ReportNotPresent", "ReportExpired"])
    async def test_gone_is_generated_anew_at_most_twice(self, clock: FakeClock, code: str) -> None:
        twice = InTurn(refused(code), refused(code), sent())
        iam = Iam(GetCredentialReport=twice)
        assert (
            await credential_report.collect_credential_report(iam, clock, timeout=300)
        ).content == REPORT
        iam = Iam(GetCredentialReport=refused(code))
        with pytest.raises(Refused) as caught:
            await credential_report.collect_credential_report(iam, clock, timeout=300)
        assert caught.value.code == code
        assert iam.count("GenerateCredentialReport") == iam.count("GetCredentialReport") == 3

    async def test_in_progress_when_fetched_is_waited_for(self, clock: FakeClock) -> None:
        busy = [refused("ReportInProgress")] * 9
        iam = Iam(GetCredentialReport=InTurn(*busy, sent()))
        assert (
            await credential_report.collect_credential_report(iam, clock, timeout=300)
        ).content == REPORT
        iam = Iam(GetCredentialReport=busy[0])
        with pytest.raises(CallError) as caught:
            await credential_report.collect_credential_report(iam, clock, timeout=30)
        assert caught.value.code == "ReportNotReady"

    @pytest.mark.parametrize(
        "given",
        [
            {"Content": None, "GeneratedTime": NOW},
            {"Content": "text", "GeneratedTime": NOW},
            {"Content": REPORT},
        ],
        ids=str,
    )
    async def test_without_content_or_time_is_malformed(
        self, clock: FakeClock, given: dict[str, Any]
    ) -> None:
        with pytest.raises(Malformed):
            await credential_report.collect_credential_report(
                Iam(GetCredentialReport={"ResponseMetadata": sent()["ResponseMetadata"], **given}),
                clock,
                timeout=300,
            )


@pytest.fixture
def enter(
    simulate: Callable[..., Awaitable[Simulator]], connect: Callable[..., Awaitable[Any]]
) -> Callable[..., Awaitable[tuple[Simulator, Calls]]]:
    """Serve a world and enter the account of that name through the audit role."""

    async def start(world: World, name: str, *scripted: Fault) -> tuple[Simulator, Calls]:
        simulator = await simulate(world, faults=scripted)
        aws = await connect(simulator)
        account_id = next(account.id for account in world.accounts if account.name == name)
        made = sessions.Sessions(
            aws.sts, partition="aws", role_name=AUDIT_ROLE, actions=collectors.ACTIONS
        )
        return simulator, await aws.member_account(lambda: made.assume(account_id))

    return start


def with_changes(world: World, name: str) -> World:
    """The account's report is three hours old; since then it got a bare user and a key.

    The last of several users is made the new one.
    """

    def changed(account: Account) -> Account:
        first, *others = account.all_users()
        recent = world.now - timedelta(hours=1)
        key = replace(first.keys[0], created=recent, last_used=None, view=View.LIVE_ONLY)
        bare = User(name=others[-1].name if others else "bare", created=recent, view=View.LIVE_ONLY)
        users = (replace(first, keys=(*first.keys, key)), *others[:-1], bare)
        return replace(account, users=users, report_age=timedelta(hours=3))

    return replace(
        world,
        accounts=tuple(changed(one) if one.name == name else one for one in world.accounts),
    )


class TestAgainstTheSimulator:
    async def test_exactly_the_declared_actions_are_called(
        self, enter: Any, clock: FakeClock
    ) -> None:
        # Only users and keys that are newer than the report are asked about directly.
        world = with_changes(WORLDS["small"](now=clock.now()), "tidy-staging")
        simulator, iam = await enter(world, "tidy-staging")
        kept, missing = await collect(iam, clock)
        assert missing == {}
        called = {call.name for call in simulator.calls if call.service == "iam"}
        assert called == set(collectors.ACTIONS)
        assert simulator.undeclared == []
        assert {user["UserName"] for user in json.loads(kept[Kind.USERS])} == {
            "ci-deploy",
            "backup-agent",
        }

    async def test_the_report_is_kept_byte_for_byte(self, enter: Any, clock: FakeClock) -> None:
        simulator, iam = await enter(WORLDS["small"](), "tidy-staging")
        kept, _ = await collect(iam, clock)
        lines = kept[Kind.CREDENTIAL_REPORT].split(b"\n")
        assert lines[0].startswith(b"user,arn,user_creation_time,")
        assert lines[1].startswith(b"<root_account>,")
        assert len(lines) == 4
        assert simulator.count(action="GetCredentialReport") == 1

    @pytest.mark.parametrize("action", sorted(collectors.ACTIONS))
    async def test_an_action_the_role_lacks_leaves_a_gap_with_aws_words(
        self, enter: Any, clock: FakeClock, action: str
    ) -> None:
        name = f"no-{action.removeprefix('iam:')}"
        _, iam = await enter(with_changes(WORLDS["denied"](now=clock.now()), name), name)
        # The other answers about new users and keys may be evaluated.
        usable = [Kind.USER_DETAILS] if action in user_details.ACTIONS else []
        _, missing = await collect(iam, clock, usable=usable)
        codes = Counter(code for code, _ in missing.values())
        assert codes == {"AccessDenied": 1, **({"UsersNotListed": 1} if "Users" in action else {})}
        assert any(action in reason for _, reason in missing.values())

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            (Fault(effect=faults.NEVER_READY, action="GenerateCredentialReport"), "ReportNotReady"),
            (Fault(effect=faults.REPORT_EXPIRED, action="GetCredentialReport"), "ReportExpired"),
            (Fault(effect=faults.LoseReport(), action="GetCredentialReport"), "ReportNotPresent"),
            (Fault(effect=faults.HTML, action="GetCredentialReport"), "MalformedAnswer"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    async def test_a_report_that_does_not_come_leaves_the_live_listing(
        self, enter: Any, clock: FakeClock, fault: Fault, code: str
    ) -> None:
        _, iam = await enter(WORLDS["small"](), "tidy-staging", fault)
        kept, missing = await collect(iam, clock)
        assert {kind: found for kind, (found, _) in missing.items()} == {
            Kind.CREDENTIAL_REPORT: code
        }
        assert json.loads(kept[Kind.ACCESS_KEYS])["keys"]

    async def test_transient_faults_change_no_byte(self, enter: Any, clock: FakeClock) -> None:
        world = WORLDS["small"](now=NOW)
        _, iam = await enter(world, "tidy-staging")
        whole, _ = await collect(iam, clock)
        scripted = [
            Fault(effect=effect, service="iam", times=1, per=faults.Per.CALL)
            for effect in faults.TRANSIENT.values()
        ]
        scripted += [
            Fault(effect=faults.LIMIT_EXCEEDED, action="GenerateCredentialReport", times=5),
            Fault(effect=faults.PAGE_EDITS["duplicate-page"], action="ListUsers"),
            Fault(effect=faults.PAGE_EDITS["empty-page"], action="ListAccessKeys"),
        ]
        _, struck = await enter(world, "tidy-staging", *scripted)
        found, missing = await collect(struck, clock)
        assert (found, missing) == (whole, {})
