"""Faults with which well-formed answers contradict each other or the truth."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from orgscan.simulator import Fault
from tests.kit import faults
from tests.kit.elements import Mutation, element_paths, without_members
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orgscan.simulator import Simulator, World


@pytest.fixture
def world(now: datetime) -> World:
    """Accounts of seven users, three on a page."""
    built: World = WORLDS["paging"](now=now)
    return built


@pytest.fixture
def ask(
    world: World, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> Callable[..., Any]:
    """boto3's IAM client in one account, with these faults."""

    def start(*scripted: Fault) -> Any:
        return member(serve(world, faults=scripted), world.accounts[5].id)

    return start


def sizes(pages: list[dict[str, Any]]) -> list[int]:
    return [len(page["Users"]) for page in pages]


def read(iam: Any) -> list[dict[str, Any]]:
    """Every page there is, whatever IsTruncated says."""
    pages = [iam.list_users()]
    while "Marker" in pages[-1]:
        pages.append(iam.list_users(Marker=pages[-1]["Marker"]))
    return pages


def test_a_list_can_lose_its_last_page(ask: Callable[..., Any]) -> None:
    assert sizes(read(ask())) == [3, 3, 1]
    pages = read(ask(Fault(effect=faults.DropLastPage(), action="ListUsers")))
    assert sizes(pages) == [3, 3]
    assert [page["IsTruncated"] for page in pages] == [True, False]


def test_a_list_of_one_page_keeps_it(ask: Callable[..., Any], world: World) -> None:
    iam = ask(Fault(effect=faults.DropLastPage(), action="ListAccessKeys"))
    for user in world.accounts[5].all_users():
        answer = iam.list_access_keys(UserName=user.name)
        assert len(answer["AccessKeyMetadata"]) == len(user.keys)


def test_a_list_can_be_empty_in_either_protocol(
    world: World,
    serve: Callable[..., Simulator],
    client: Callable[..., Any],
    member: Callable[..., Any],
) -> None:
    simulator = serve(
        world,
        faults=[
            Fault(effect=faults.EmptyList(), action="ListUsers"),
            Fault(effect=faults.EmptyList(), action="ListServiceSpecificCredentials"),
            Fault(effect=faults.EmptyList(), action="ListAccounts"),
        ],
    )
    iam = member(simulator, world.accounts[5].id)
    answer = iam.list_users()
    assert (answer["Users"], answer["IsTruncated"], "Marker" in answer) == ([], False, False)
    answer = iam.list_service_specific_credentials(AllUsers=True)
    assert (answer["ServiceSpecificCredentials"], answer["IsTruncated"]) == ([], False)
    answer = client(simulator, "organizations").list_accounts()
    assert answer["Accounts"] == []
    assert "NextToken" not in answer


@pytest.mark.parametrize(
    ("name", "flags", "markers"),
    [
        ("marker-not-truncated", [False, False, False], [True, True, False]),
        ("marker-without-flag", [None, None, False], [True, True, False]),
        ("neither", [None], [False]),
    ],
)
def test_paging_elements_can_contradict_each_other(
    ask: Callable[..., Any], name: str, flags: list[bool | None], markers: list[bool]
) -> None:
    pages = read(ask(Fault(effect=faults.PAGING_EDITS[name], action="ListUsers")))
    assert [page.get("IsTruncated") for page in pages] == flags
    assert ["Marker" in page for page in pages] == markers


def test_one_element_of_an_answer_can_be_changed(ask: Callable[..., Any]) -> None:
    calm = ask().list_users()["Users"]
    path = "ListUsersResult/Users/member[2]/UserName"
    halved = ask(Fault(effect=faults.MutateElement(path, Mutation.HALVED), action="ListUsers"))
    first, second, _ = halved.list_users()["Users"]
    assert first == calm[0]
    whole = calm[1]["UserName"]
    assert second["UserName"] == whole[: len(whole) // 2]
    once = Fault(
        effect=faults.MutateElement("ListUsersResult/Users", Mutation.EMPTIED),
        action="ListUsers",
        times=1,
    )
    iam = ask(once)
    assert [len(iam.list_users()["Users"]) for _ in range(2)] == [0, 3]
    with pytest.raises(ValueError, match="path"):
        faults.MutateElement("ListUsersResult//Users", Mutation.DROPPED)


def test_every_answer_of_iam_can_be_taken_apart_and_put_together(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    bodies: dict[str, bytes] = {}

    def keep(body: bytes) -> bytes:
        bodies[body.partition(b"Response")[0].decode()[1:]] = body
        return body

    world = WORLDS["demo"](now=now)
    account = next(one for one in world.accounts if one.name == "tidewater-legacy")
    iam = member(serve(world, faults=[Fault(effect=faults.Edit(keep), service="iam")]), account.id)
    iam.generate_credential_report()
    iam.get_account_summary()
    iam.list_virtual_mfa_devices()
    (key, *_) = iam.list_access_keys(UserName="admin")["AccessKeyMetadata"]
    iam.get_access_key_last_used(AccessKeyId=key["AccessKeyId"])
    iam.get_login_profile(UserName="admin")
    iam.list_signing_certificates(UserName="edi_bridge")
    iam.list_users()
    assert len(bodies) == 8
    for action, body in bodies.items():
        assert without_members(body, "no such text") == body, action
        paths = element_paths(body)
        assert len(set(paths)) == len(paths) > 3, action
        assert paths[0] == f"{action}Result"
    assert "ListUsersResult/Users/member[2]/CreateDate" in element_paths(bodies["ListUsers"])
    assert "GetAccountSummaryResult/SummaryMap/entry[3]/value" in element_paths(
        bodies["GetAccountSummary"]
    )


def test_a_user_can_be_missing_from_the_list_once(ask: Callable[..., Any], world: World) -> None:
    name = world.accounts[5].all_users()[0].name
    iam = ask(Fault(effect=faults.HideMember(name), action="ListUsers", times=1))
    seen = [name in {user["UserName"] for user in iam.list_users()["Users"]} for _ in range(2)]
    assert seen == [False, True]


def test_a_device_may_not_name_its_user(
    now: datetime, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["contradictory"](now=now)
    account = next(one for one in world.accounts if one.name == "device-without-user")
    answer = member(serve(world), account.id).list_virtual_mfa_devices(AssignmentStatus="Assigned")
    (device,) = answer["VirtualMFADevices"]
    assert "User" not in device
    assert device["SerialNumber"]


def codes(iam: Any, name: str, calls: int) -> list[str]:
    """The error codes of so many calls about one user; empty where it is known."""
    found = []
    for place in range(calls):
        call = iam.list_access_keys if place % 2 else iam.list_mfa_devices
        try:
            call(UserName=name)
        except ClientError as error:
            found.append(error.response["Error"]["Code"])
        else:
            found.append("")
    return found


def test_a_user_that_exists_can_be_unknown_at_first(ask: Callable[..., Any], world: World) -> None:
    one, other, *_ = (user.name for user in world.accounts[5].all_users())
    iam = ask(faults.lagging(2, user=one))
    assert codes(iam, one, 4) == ["NoSuchEntity", "NoSuchEntity", "", ""]
    assert codes(iam, other, 2) == ["", ""]
    iam = ask(faults.lagging(1))
    assert len(iam.list_users()["Users"]) == 3
    assert codes(iam, one, 2) == ["NoSuchEntity", ""]
    assert codes(iam, other, 2) == ["NoSuchEntity", ""]
    elsewhere = ask(faults.lagging(1, account=world.accounts[6].id))
    assert codes(elsewhere, one, 1) == [""]


@pytest.mark.parametrize("age", [timedelta(days=3), timedelta(hours=-1)])
def test_a_report_can_be_older_or_from_the_future(
    ask: Callable[..., Any], now: datetime, age: timedelta
) -> None:
    iam = ask(Fault(effect=faults.ShiftReport(age), action="GetCredentialReport"))
    while iam.generate_credential_report()["State"] != "COMPLETE":
        pass
    answer = iam.get_credential_report()
    assert answer["GeneratedTime"] == now - age
    assert answer["Content"].startswith(b"user,arn,")


def test_the_tree_and_the_list_can_disagree(
    now: datetime, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["small"](now=now)
    one, other = world.accounts[2].id, world.accounts[3].id
    simulator = serve(
        world,
        faults=[
            Fault(effect=faults.ListedState(one, "SUSPENDED"), action="ListAccountsForParent"),
            Fault(effect=faults.HideAccount(other), action="ListAccounts"),
        ],
    )
    organizations = client(simulator, "organizations")
    listed = {account["Id"]: account["State"] for account in pages_of(organizations)}
    assert listed[one] == "ACTIVE"
    assert other not in listed
    tree = {account["Id"]: account["State"] for account in children_of(organizations)}
    assert (tree[one], tree[other]) == ("SUSPENDED", "ACTIVE")
    assert tree.keys() - listed.keys() == {other}


def pages_of(organizations: Any) -> list[dict[str, Any]]:
    return [
        account
        for page in organizations.get_paginator("list_accounts").paginate()
        for account in page["Accounts"]
    ]


def children_of(organizations: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    parents = [organizations.list_roots()["Roots"][0]["Id"]]
    while parents:
        parent = parents.pop()
        found += organizations.list_accounts_for_parent(ParentId=parent)["Accounts"]
        units = organizations.list_organizational_units_for_parent(ParentId=parent)
        parents += [unit["Id"] for unit in units["OrganizationalUnits"]]
    return found
