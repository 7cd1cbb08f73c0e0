from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from orgscan.simulator.world import Account, Mfa, Root, User, World
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orgscan.simulator import Simulator


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def single(now: datetime, **values: Any) -> World:
    """A management account and one member."""
    old = now - timedelta(days=900)
    return World(
        name="single",
        now=now,
        accounts=(
            Account(id="111111111111", name="management", joined=old),
            Account(id="222222222222", name="member", joined=old, **values),
        ),
    )


def test_a_report_is_started_made_and_complete(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    simulator = serve(single(now, report_rounds=2))
    iam = member(simulator, "222222222222")
    assert refusal(iam.get_credential_report) == ("ReportNotPresent", 410)
    states = [iam.generate_credential_report()["State"] for _ in range(4)]
    assert states == ["STARTED", "INPROGRESS", "INPROGRESS", "COMPLETE"]
    answer = iam.get_credential_report()
    assert answer["GeneratedTime"] == now
    assert answer["ReportFormat"] == "text/csv"
    assert answer["Content"].startswith(b"user,arn,")


def test_a_report_in_the_making_is_told_apart(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    iam = member(serve(single(now, report_rounds=1)), "222222222222")
    iam.generate_credential_report()
    assert refusal(iam.get_credential_report) == ("ReportInProgress", 404)
    assert iam.get_credential_report()["GeneratedTime"] == now


def test_a_stored_report_is_reused_for_four_hours(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    age = timedelta(hours=3, minutes=30)
    times = [1_800_000_000.0]
    simulator = serve(single(now, report_age=age), clock=lambda: times[0])
    iam = member(simulator, "222222222222")
    assert iam.generate_credential_report()["State"] == "COMPLETE"
    assert iam.get_credential_report()["GeneratedTime"] == now - age
    times[0] += 3600
    iam = member(simulator, "222222222222")
    assert refusal(iam.get_credential_report) == ("ReportExpired", 410)
    assert iam.generate_credential_report()["State"] == "STARTED"
    assert iam.generate_credential_report()["State"] == "INPROGRESS"
    assert iam.get_credential_report()["GeneratedTime"] == now + timedelta(hours=1)


def test_the_report_and_the_present_disagree_in_the_drift_world(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["drift"](now=now)
    simulator = serve(world)
    iam = member(simulator, world.accounts[1].id)
    iam.generate_credential_report()
    report = iam.get_credential_report()["Content"].decode()
    live = {user["UserName"] for user in iam.list_users()["Users"]}
    assert "drift-user-deleted" in report
    assert "drift-user-deleted" not in live
    assert "drift-user-created" not in report
    assert "drift-user-created" in live
    gone = refusal(iam.list_access_keys, UserName="drift-user-deleted")
    assert gone == ("NoSuchEntity", 404)
    (key,) = iam.list_access_keys(UserName="drift-key-off")["AccessKeyMetadata"]
    assert key["Status"] == "Inactive"
    row = next(line for line in report.split("\n") if line.startswith("drift-key-off,"))
    assert row.split(",")[8] == "true"


def test_a_report_made_anew_shows_the_present(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["drift"](now=now)
    iam = member(serve(world), world.accounts[2].id)
    while iam.generate_credential_report()["State"] != "COMPLETE":
        pass
    report = iam.get_credential_report()["Content"].decode()
    assert "drift-user-created" in report
    assert "drift-user-deleted" not in report


def test_lists_are_paged_by_marker(
    serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["paging"]()
    account = world.accounts[5]
    iam = member(serve(world), account.id)
    pages = list(iam.get_paginator("list_users").paginate())
    assert [len(page["Users"]) for page in pages] == [3, 3, 1]
    names = [user["UserName"] for page in pages for user in page["Users"]]
    assert names == [user.name for user in account.all_users()]
    assert refusal(iam.list_users, Marker="nonsense") == ("ValidationError", 400)


def test_a_page_holds_a_hundred_unless_more_is_asked(
    serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["uniform"](accounts=3, users=1, large=250)
    iam = member(serve(world), world.accounts[1].id)
    assert len(iam.list_users()["Users"]) == 100
    assert len(iam.list_users(MaxItems=1000)["Users"]) == 250
    assert len(iam.list_users(MaxItems=7)["Users"]) == 7


def test_names_and_times_survive_the_xml(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["hostile"](now=now)
    account = world.accounts[1]
    iam = member(serve(world), account.id)
    users = iam.list_users(MaxItems=1000)["Users"]
    assert [(user["UserName"], user["Path"]) for user in users] == [
        (user.name, user.path) for user in account.all_users()
    ]
    assert {user["CreateDate"] for user in users} == {now - timedelta(days=300)}
    for user in users:
        keys = iam.list_access_keys(UserName=user["UserName"])["AccessKeyMetadata"]
        assert all(key["UserName"] == user["UserName"] for key in keys)


def test_root_is_seen_in_summary_policy_and_devices(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    someone = User(name="a", created=now, mfa=Mfa.VIRTUAL)
    world = single(now, root=Root(mfa=Mfa.VIRTUAL), users=(someone,), password_policy=None)
    iam = member(serve(world), "222222222222")
    summary = iam.get_account_summary()["SummaryMap"]
    assert (summary["AccountMFAEnabled"], summary["AccountAccessKeysPresent"]) == (1, 0)
    assert refusal(iam.get_account_password_policy) == ("NoSuchEntity", 404)
    devices = iam.list_virtual_mfa_devices(AssignmentStatus="Assigned")["VirtualMFADevices"]
    arns = [device["User"]["Arn"] for device in devices]
    assert arns == ["arn:aws:iam::222222222222:root", "arn:aws:iam::222222222222:user/a"]
    assert not iam.list_virtual_mfa_devices(AssignmentStatus="Unassigned")["VirtualMFADevices"]


def test_a_password_policy_has_its_figures(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    iam = member(serve(single(now)), "222222222222")
    policy = iam.get_account_password_policy()["PasswordPolicy"]
    assert policy["MinimumPasswordLength"] == 14
    assert policy["PasswordReusePrevention"] == 24
    assert policy["ExpirePasswords"] is False


@pytest.mark.parametrize(
    "action",
    ["GenerateCredentialReport", "ListUsers", "GetAccountSummary", "GetAccountPasswordPolicy"],
)
def test_a_role_may_lack_an_action(
    action: str, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["denied"]()
    account = next(account for account in world.accounts if account.name == f"no-{action}")
    iam = member(serve(world), account.id)
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action)
    assert refusal(getattr(iam, snake.lstrip("_"))) == ("AccessDenied", 403)


def test_what_is_not_declared_is_refused_and_remembered(
    now: datetime, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    simulator = serve(single(now), record=False)
    iam = client(simulator, "iam")
    assert refusal(iam.delete_user, UserName="anyone") == ("AccessDenied", 403)
    assert refusal(iam.list_roles) == ("AccessDenied", 403)
    assert [call.name for call in simulator.undeclared] == ["iam:DeleteUser", "iam:ListRoles"]


def test_the_caller_reads_its_own_account(
    now: datetime, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = single(now)
    someone = (User(name="a", created=now.astimezone(UTC)),)
    management = replace(world.accounts[0], users=someone)
    world = replace(world, accounts=(management, world.accounts[1]))
    users = client(serve(world), "iam").list_users()["Users"]
    assert [user["UserName"] for user in users] == ["a"]
