"""What a scan would meet, told before it begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan import settings
from orgscan.collect import collectors
from orgscan.errors import ExitCode, UsageError
from orgscan.models import AccountState, Credentials, Observer
from orgscan.pipeline.check import STEPS
from orgscan.pipeline.check import check as check_organization
from orgscan.role.policy import declared_actions
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator
from orgscan.simulator.world import CallerKey, Role
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orgscan.pipeline.check import Readiness
    from orgscan.simulator import World

    Check = Callable[..., Awaitable[tuple[Readiness, Simulator]]]

DENIED = faults.Error("AccessDenied", 403, "Not for you.")
_NO_PERMISSION = faults.Error("AccessDeniedException", 400, "You may not.")


@pytest.fixture
def check(hurried: Any) -> Check:
    """Check a world; what was found, and the simulator that was asked."""

    async def run(
        world: World, *, account: str | None = None, skew: timedelta | None = None,
        strike: tuple[Fault, ...] = (), **options: Any,
    ) -> tuple[Readiness, Simulator]:  # fmt: skip
        async with Simulator(world, faults=strike, skew=skew) as simulator:
            key, secret, token = simulator.credentials
            chosen = {"role_name": AUDIT_ROLE, "endpoint_url": simulator.endpoint_url, **options}
            found = await check_organization(
                settings.load(environment={}, **chosen),
                clock=hurried(),
                observer=Observer(),
                account=account,
                credentials=Credentials(key, secret, token or ""),
            )
        assert tuple(step.name for step in found.steps) == STEPS
        return found, simulator

    return run


def states(found: Readiness) -> dict[str, str]:
    return {step.name: str(step.state) for step in found.steps}


def failing(found: Readiness) -> dict[str, str]:
    """The details of the steps that failed."""
    return {step.name: step.detail for step in found.steps if step.state == "FAILED"}


def detail(found: Readiness, name: str) -> str:
    return next(step.detail for step in found.steps if step.name == name)


def with_role(world: World, **changes: Any) -> World:
    """The world with another audit role in its member accounts."""
    changed = [
        replace(account, roles=tuple(replace(role, **changes) for role in account.roles))
        for account in world.accounts
    ]
    return replace(world, accounts=tuple(changed))


async def test_all_is_ready_and_each_declared_action_was_called(check: Check) -> None:
    found, simulator = await check(WORLDS["small"](), account_tags=True)

    assert found.exit_code == ExitCode.OK
    assert states(found) == dict.fromkeys(STEPS, "OK") | {"management account": "NOT CHECKED"}
    assert {call.name for call in simulator.calls} == declared_actions()
    assert simulator.undeclared == []
    assert detail(found, "account list") == "at least 4 accounts"
    own = simulator.world.management_account_id
    assert own in detail(found, "caller")
    trial = next(call.target for call in simulator.calls if call.action == "AssumeRole")
    assert trial in detail(found, "member account")
    assert {call.account for call in simulator.calls if call.service == "iam"} == {own, trial}


async def test_a_large_organization_costs_no_more_than_a_small_one(check: Check) -> None:
    _, small = await check(WORLDS["small"]())
    found, large = await check(WORLDS["uniform"](accounts=500, users=2))

    assert found.exit_code == ExitCode.OK
    assert detail(found, "account list") == "at least 20 accounts"
    assert len(large.calls) == len(small.calls) < 2 * len(declared_actions())


async def test_what_a_scan_calls_is_told_by_service(check: Check) -> None:
    found, _ = await check(WORLDS["small"]())
    told = {f"{service}:{name}" for service, names in found.actions.items() for name in names}
    assert told == declared_actions()


async def test_a_denied_role_is_a_gap_and_hides_nothing_else(check: Check) -> None:
    found, simulator = await check(WORLDS["small"](), external_id="wrong", role_name="Other")

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"audit role"}
    assert "external id; see `orgscan role cloudformation`" in failing(found)["audit role"]
    assert states(found)["member account"] == "NOT CHECKED"
    assert states(found)["own account"] == "OK"
    assert simulator.count(action="AssumeRole") == 1


@pytest.mark.parametrize("action", collectors.ACTIONS)
async def test_an_action_denied_to_the_role_is_named(check: Check, action: str) -> None:
    world = with_role(WORLDS["small"](), denied_actions=frozenset({action}))
    found, _ = await check(world)

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"member account"}
    assert f"cannot call {action}: " in failing(found)["member account"]
    assert "`orgscan role policy`" in failing(found)["member account"]


async def test_every_action_that_an_older_role_lacks_is_named(check: Check) -> None:
    lacking = frozenset(
        {
            "iam:GetAccessKeyLastUsed",
            "iam:GetLoginProfile",
            "iam:ListMFADevices",
            "iam:ListSSHPublicKeys",
            "iam:ListServiceSpecificCredentials",
            "iam:ListSigningCertificates",
        }
    )
    found, simulator = await check(with_role(WORLDS["small"](), denied_actions=lacking))

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"member account"}
    text = failing(found)["member account"]
    named = {action for action in collectors.ACTIONS if action in text}
    assert named == lacking
    assert "`orgscan role policy`" in text
    # The old actions were tried, too.
    trial = next(call.target for call in simulator.calls if call.action == "AssumeRole")
    tried = {call.name for call in simulator.calls if call.account == trial}
    assert tried >= set(collectors.ACTIONS)


async def test_an_action_denied_to_the_caller_is_missed_in_its_own_account(check: Check) -> None:
    world = WORLDS["small"]()
    lacking = frozenset({"iam:ListUsers", "iam:GetAccountSummary"})
    caller = CallerKey(account_id=world.management_account_id, denied_actions=lacking)
    found, _ = await check(replace(world, callers=(caller,)))

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"own account"}
    for action in lacking:
        assert action in failing(found)["own account"]
    assert "`orgscan role policy --caller`" in failing(found)["own account"]


@pytest.mark.parametrize("minutes", [10, -10])
async def test_a_clock_that_is_off_is_told_with_the_difference(check: Check, minutes: int) -> None:
    found, simulator = await check(WORLDS["small"](), skew=timedelta(minutes=minutes))

    assert found.exit_code == ExitCode.USAGE
    assert set(failing(found)) == {"caller", "clock"}
    assert "set the clock" in failing(found)["caller"]
    where = "behind" if minutes > 0 else "ahead of"
    assert failing(found)["clock"].startswith("this machine's clock is ")
    assert f" seconds {where} AWS's clock; correct it" in failing(found)["clock"]
    seconds = int(failing(found)["clock"].split()[4])
    assert abs(seconds - 600) <= 2
    assert set(list(states(found).values())[2:]) == {"NOT CHECKED"}
    assert len(simulator.calls) == 1


async def test_a_clock_that_is_off_a_little_is_told_and_accepted(check: Check) -> None:
    found, _ = await check(WORLDS["small"](), skew=timedelta(minutes=2))

    assert found.exit_code == ExitCode.OK
    assert "seconds behind AWS's clock; AWS allows 300 seconds" in detail(found, "clock")


async def test_an_expired_caller_is_asked_to_sign_in(check: Check) -> None:
    found, simulator = await check(
        WORLDS["small"](),
        strike=(Fault(effect=faults.ExpireCallers(), action="GetCallerIdentity"),),
    )

    assert found.exit_code == ExitCode.USAGE
    assert "sign in again" in failing(found)["caller"]
    assert states(found)["clock"] == "OK"
    assert len(simulator.calls) == 1


async def test_a_caller_that_expires_on_the_way_stops_what_comes_behind(check: Check) -> None:
    found, _ = await check(
        WORLDS["small"](), strike=(Fault(effect=faults.ExpireCallers(), action="ListRoots"),)
    )

    assert found.exit_code == ExitCode.USAGE
    assert set(failing(found)) == {"OU tree"}
    assert "sign in again" in failing(found)["OU tree"]
    assert states(found)["account list"] == "OK"
    assert set(list(states(found).values())[5:]) == {"NOT CHECKED"}


async def test_an_endpoint_nobody_serves_is_told(check: Check) -> None:
    found, _ = await check(WORLDS["small"](), endpoint_url="http://127.0.0.1:9")

    assert found.exit_code == ExitCode.USAGE
    assert set(failing(found)) == {"caller"}
    assert "cannot reach http://127.0.0.1:9" in failing(found)["caller"]
    assert detail(found, "clock") == "the AWS response contains no time to compare with"


async def test_an_organization_that_cannot_be_read_fails_a_scan(check: Check) -> None:
    world = WORLDS["small"]()
    stranger = CallerKey(account_id=world.accounts[1].id)
    found, _ = await check(replace(world, callers=(stranger,)))

    assert found.exit_code == ExitCode.RUN_FAILED
    # That the management account has no role is told all the same.
    assert set(failing(found)) == {"account list", "OU tree", "management account"}
    assert "a delegated administrator" in failing(found)["account list"]
    assert "there is nothing to scan" in failing(found)["OU tree"]
    assert "name an account with --account" in detail(found, "audit role")
    assert states(found)["own account"] == "OK"


async def test_an_organization_that_cannot_be_described_hides_not_its_lists(check: Check) -> None:
    found, _ = await check(
        WORLDS["small"](), strike=(Fault(effect=_NO_PERMISSION, action="DescribeOrganization"),)
    )

    assert found.exit_code == ExitCode.RUN_FAILED
    assert set(failing(found)) == {"organization"}
    assert states(found)["member account"] == "OK"


@pytest.mark.parametrize(
    "action", ["ListRoots", "ListOrganizationalUnitsForParent", "ListAccountsForParent"]
)
async def test_an_unreadable_tree_is_a_gap_unless_the_scope_needs_it(
    check: Check, action: str
) -> None:
    strike = (Fault(effect=_NO_PERMISSION, action=action),)
    found, _ = await check(WORLDS["small"](), strike=strike)
    scoped, _ = await check(WORLDS["small"](), strike=strike, include_ous=("Root/Workloads",))

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"OU tree"}
    assert f"organizations:{action} is for" in failing(found)["OU tree"]
    assert scoped.exit_code == ExitCode.USAGE
    assert "--include-ou requires it" in failing(scoped)["OU tree"]


async def test_an_unreadable_list_leaves_the_tree_to_find_an_account(check: Check) -> None:
    found, simulator = await check(
        WORLDS["small"](), strike=(Fault(effect=_NO_PERMISSION, action="ListAccounts"),)
    )

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"account list"}
    # Directly below the root there is the caller's own account only.
    assert simulator.world.accounts[1].id in detail(found, "member account")


async def test_tags_that_cannot_be_read_are_a_gap_where_they_are_asked_for(check: Check) -> None:
    strike = (Fault(effect=_NO_PERMISSION, action="ListTagsForResource"),)
    asked, _ = await check(WORLDS["small"](), strike=strike, account_tags=True)
    unasked, _ = await check(WORLDS["small"](), strike=strike)

    assert asked.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(asked)) == {"account tags"}
    assert unasked.exit_code == ExitCode.OK


async def test_a_failing_service_is_told_as_such(check: Check) -> None:
    found, _ = await check(
        WORLDS["small"](), strike=(Fault(effect=faults.SERVICE_FAILURE, action="ListAccounts"),)
    )

    assert found.exit_code == ExitCode.RUN_FAILED
    assert failing(found)["account list"].endswith("; try again")


async def test_a_session_of_another_account_is_an_integrity_failure(check: Check) -> None:
    world = WORLDS["small"]()
    effect = faults.OtherAccount(world.accounts[0].id)
    found, simulator = await check(world, strike=(Fault(effect=effect, action="AssumeRole"),))

    assert found.exit_code == ExitCode.INTEGRITY
    assert set(failing(found)) == {"audit role"}
    called = {call.account for call in simulator.calls if call.service == "iam"}
    assert called == {world.management_account_id}


async def test_a_management_account_alone_is_ready(check: Check) -> None:
    world = WORLDS["small"]()
    found, simulator = await check(replace(world, accounts=world.accounts[:1]))

    assert found.exit_code == ExitCode.OK
    assert detail(found, "account list") == "1 account"
    assert detail(found, "audit role") == "no member account is in scope"
    assert states(found)["own account"] == "OK"
    assert simulator.count(action="AssumeRole") == 0


async def test_a_delegated_administrator_needs_the_role_in_the_management_account(
    check: Check,
) -> None:
    world = WORLDS["delegated"]()
    found, _ = await check(world)
    without = (replace(world.accounts[0], roles=()), *world.accounts[1:])
    lacking, _ = await check(replace(world, accounts=without))

    assert found.exit_code == ExitCode.OK
    own = world.management_account_id
    assert detail(found, "management account") == f"{own}: all 13 actions are allowed"
    assert lacking.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(lacking)) == {"management account"}


@pytest.mark.parametrize("action", collectors.ACTIONS)
async def test_an_action_denied_to_the_role_of_the_management_account_is_named(
    check: Check, action: str
) -> None:
    world = WORLDS["delegated"]()
    management = replace(world.accounts[0], roles=(Role(denied_actions=frozenset({action})),))
    found, _ = await check(replace(world, accounts=(management, *world.accounts[1:])))

    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(found)) == {"management account"}
    assert f"cannot call {action}: " in failing(found)["management account"]


async def test_the_account_to_try_can_be_named(check: Check) -> None:
    world = WORLDS["small"]()
    found, _ = await check(world, account=world.accounts[3].id)
    assert found.exit_code == ExitCode.OK
    assert world.accounts[3].id in detail(found, "member account")


async def test_an_account_that_cannot_be_tried_is_refused(check: Check) -> None:
    world = WORLDS["small"]()
    closed = replace(world.accounts[2], state=AccountState.SUSPENDED)
    world = replace(world, accounts=(*world.accounts[:2], closed, world.accounts[3]))
    for account, told in (
        ("000000000000", "is not in the organization"),
        (world.management_account_id, "is the caller's own"),
        (closed.id, "the account is SUSPENDED"),
    ):
        found, simulator = await check(world, account=account)
        assert found.exit_code == ExitCode.USAGE
        assert told in failing(found)["audit role"]
        assert simulator.count(action="AssumeRole") == 0


async def test_the_account_tried_is_one_a_scan_would_read(check: Check) -> None:
    world = WORLDS["small"]()
    closed = replace(world.accounts[1], state=AccountState.CLOSED)
    world = replace(world, accounts=(world.accounts[0], closed, *world.accounts[2:]))
    last = world.accounts[3].id
    for options in (
        {"exclude_accounts": (world.accounts[2].id,)},
        {"accounts": (last,)},
        {"include_ous": (world.accounts[3].ou,)},
    ):
        found, _ = await check(world, **options)
        assert found.exit_code == ExitCode.OK, failing(found)
        assert last in detail(found, "member account")


async def test_a_role_with_an_external_id_and_a_path_is_assumed_by_both(check: Check) -> None:
    world = with_role(WORLDS["small"](), external_id="let-me-in", path="/audit/")
    found, _ = await check(world, external_id="let-me-in", role_path="/audit/")
    assert found.exit_code == ExitCode.OK
    assert "let-me-in" not in "".join(step.detail for step in found.steps)


async def test_a_session_longer_than_the_role_grants_is_told_in_aws_s_words(check: Check) -> None:
    found, _ = await check(WORLDS["small"](), session_duration_seconds=7_200)
    assert found.exit_code == ExitCode.COVERAGE_GAPS
    assert "MaxSessionDuration" in failing(found)["audit role"]
    assert failing(found)["audit role"].endswith(
        "; correct the problem that AWS reports and try again"
    )


async def test_a_report_that_is_not_ready_shows_the_permission(check: Check) -> None:
    found, _ = await check(
        WORLDS["small"](),
        strike=(Fault(effect=faults.REPORT_IN_PROGRESS, action="GetCredentialReport"),),
    )
    assert found.exit_code == ExitCode.OK


async def test_without_a_role_name_nothing_is_asked(check: Check) -> None:
    with pytest.raises(UsageError, match="--role-name NAME"):
        await check(WORLDS["small"](), role_name=None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"frameworks": ("nope",)}, "unknown framework 'nope'"),
        ({"framework_files": ("nope.toml",)}, "nope.toml: cannot be read"),
    ],
)
async def test_what_cannot_be_judged_by_is_refused_before_anything_is_asked(
    check: Check, options: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        await check(WORLDS["small"](), **options)


NOBODY = "000000000000"
_INSIDE = "Root/Workloads"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"accounts": (NOBODY,)}, f"account {NOBODY} is not in the organization"),
        ({"exclude_accounts": (NOBODY,)}, f"account {NOBODY} is not in the organization"),
        ({"include_ous": ("Root/Nope",)}, "OU 'Root/Nope' does not exist"),
        ({"include_ous": (_INSIDE, "Root/Nope")}, "OU 'Root/Nope' does not exist"),
        ({"include_ous": (_INSIDE,), "exclude_accounts": (NOBODY,)}, f"account {NOBODY} is not"),
    ],
)
@pytest.mark.parametrize("denied", ["", "ListAccounts"])
async def test_a_scope_that_names_what_is_not_there_is_refused_as_a_scan_does(
    check: Check, options: dict[str, Any], told: str, denied: str
) -> None:
    strike = (Fault(effect=_NO_PERMISSION, action="ListAccounts"),) if denied else ()
    found, _ = await check(WORLDS["small"](), strike=strike, **options)

    assert found.exit_code == ExitCode.USAGE
    assert set(failing(found)) == {"scope"} | ({"account list"} if denied else set())
    assert told in failing(found)["scope"]


async def test_the_known_one_of_two_named_accounts_is_tried_all_the_same(check: Check) -> None:
    world = WORLDS["small"]()
    found, _ = await check(world, accounts=(NOBODY, world.accounts[3].id))

    assert found.exit_code == ExitCode.USAGE
    assert world.accounts[3].id in detail(found, "member account")


async def test_a_scope_that_leaves_nothing_fails_as_a_scan_does(check: Check) -> None:
    world = WORLDS["small"]()
    ids = tuple(account.id for account in world.accounts)
    closed = replace(world.accounts[2], state=AccountState.SUSPENDED)
    world = replace(world, accounts=(*world.accounts[:2], closed, world.accounts[3]))
    for options in (
        {"exclude_accounts": ids},
        {"accounts": (closed.id,)},
        {"include_ous": (closed.ou,)},
        {"include_ous": (_INSIDE,), "accounts": (ids[1],)},
    ):
        found, simulator = await check(world, **options)
        assert found.exit_code == ExitCode.RUN_FAILED, options
        assert set(failing(found)) == {"scope"}
        assert failing(found)["scope"].startswith("no account is in scope")
        assert simulator.count(action="AssumeRole") == 0


async def test_an_account_outside_the_units_of_the_settings_is_not_asked(check: Check) -> None:
    found, simulator = await check(WORLDS["small"](), include_ous=(_INSIDE,))

    assert found.exit_code == ExitCode.OK
    assert detail(found, "scope") == "every account and OU in the settings exists"
    assert detail(found, "own account") == "outside the organizational units named in the settings"
    own = simulator.world.management_account_id
    assert own not in {call.account for call in simulator.calls if call.service == "iam"}


async def test_an_account_at_the_end_of_a_long_list_is_tried_where_it_is_named(
    check: Check,
) -> None:
    world = WORLDS["uniform"](accounts=250, users=1)
    last = world.accounts[-1].id
    found, simulator = await check(world, accounts=(last,))
    nobody, _ = await check(world, accounts=(NOBODY,))
    excluded, _ = await check(world, accounts=(last,), exclude_accounts=(last,))

    assert found.exit_code == ExitCode.OK
    assert states(found)["scope"] == "NOT CHECKED"
    assert f"{last} is not in the part that was checked" in detail(found, "scope")
    assert last in detail(found, "member account")
    assert simulator.count(action="ListAccounts") == 10
    assert nobody.exit_code == ExitCode.COVERAGE_GAPS
    assert set(failing(nobody)) == {"audit role"}
    assert "name an account with --account" in detail(excluded, "audit role")


async def test_a_suspended_account_alone_leaves_nothing_however_long_the_list(
    check: Check,
) -> None:
    world = WORLDS["uniform"](accounts=250, users=1)
    first, second, *rest = world.accounts
    closed = replace(second, state=AccountState.CLOSED)
    found, simulator = await check(
        replace(world, accounts=(first, closed, *rest)), accounts=(closed.id,)
    )

    assert found.exit_code == ExitCode.RUN_FAILED
    assert set(failing(found)) == {"scope"}
    assert simulator.count(action="ListAccounts") == 1


async def test_a_long_list_is_not_searched_to_its_end(check: Check) -> None:
    world = WORLDS["uniform"](accounts=500, users=1)
    closed = [replace(account, state=AccountState.CLOSED) for account in world.accounts[1:]]
    found, simulator = await check(replace(world, accounts=(world.accounts[0], *closed)))

    assert found.exit_code == ExitCode.OK
    assert states(found)["audit role"] == "NOT CHECKED"
    assert "none of the first 200 accounts" in detail(found, "audit role")
    assert "name an account with --account" in detail(found, "audit role")
    assert simulator.count(action="ListAccounts") == 10


async def test_a_large_tree_is_not_searched_to_its_end(check: Check) -> None:
    world = WORLDS["small"]()
    crowd = tuple(f"Root/Teams/T{number:03d}/Prod" for number in range(100))
    world = replace(world, empty_ous=crowd)
    deep, simulator = await check(world, include_ous=("Root/Teams/T099/Prod",))
    near, _ = await check(world, include_ous=("Root/Workloads/Prod",))

    assert deep.exit_code == ExitCode.OK
    assert "T099/Prod is not in the part that was checked" in detail(deep, "scope")
    assert "name an account with --account" in detail(deep, "audit role")
    assert simulator.count(action="ListOrganizationalUnitsForParent") < 60
    assert near.exit_code == ExitCode.OK
    assert world.accounts[2].id in detail(near, "member account")


@pytest.mark.parametrize("page", ["empty-for-ever", "same-marker"])
async def test_a_list_without_an_end_is_no_list(check: Check, page: str) -> None:
    found, simulator = await check(
        WORLDS["small"](),
        strike=(Fault(effect=faults.PAGE_EDITS[page], action="ListAccounts"),),
        exclude_accounts=(NOBODY,),
    )

    assert found.exit_code in {ExitCode.RUN_FAILED, ExitCode.USAGE}
    told = (
        "the account list is empty"
        if page == "empty-for-ever"
        else "the same page marker came twice"
    )
    assert told in failing(found)["account list"]
    assert simulator.count(action="ListAccounts") <= 10
    # The tree knows an account, too.
    assert states(found)["member account"] == "OK"


async def test_a_list_of_nobody_fails_as_a_scan_does(check: Check) -> None:
    found, _ = await check(
        WORLDS["small"](),
        strike=(Fault(effect=faults.PAGE_EDITS["empty-for-ever"], action="ListAccounts"),),
    )
    assert found.exit_code == ExitCode.RUN_FAILED
    assert set(failing(found)) == {"account list"}


async def test_an_answer_that_is_not_aws_s_leaves_nothing_to_ask(check: Check) -> None:
    found, _ = await check(
        WORLDS["small"](), strike=(Fault(effect=faults.HTML, action="GetCallerIdentity"),)
    )
    assert found.exit_code == ExitCode.RUN_FAILED
    assert "returned an invalid response" in failing(found)["caller"]
    assert set(list(states(found).values())[2:]) == {"NOT CHECKED"}


@pytest.mark.parametrize("name", ["demo", "denied", "states", "paging", "hostile"])
async def test_nothing_undeclared_is_called_and_no_secret_told_whatever_the_world(
    check: Check, name: str
) -> None:
    chance = Fault(effect=faults.SERVICE_FAILURE, probability=0.05, seed=4)
    found, simulator = await check(
        WORLDS[name](), strike=(chance,), account_tags=True, external_id="kept-to-ourselves"
    )

    assert found.exit_code in {ExitCode.OK, ExitCode.COVERAGE_GAPS}
    assert simulator.undeclared == []
    assert {call.name for call in simulator.calls} <= declared_actions()
    told = "".join(step.detail for step in found.steps)
    for secret in (*simulator.secrets, "kept-to-ourselves"):
        assert secret not in told
