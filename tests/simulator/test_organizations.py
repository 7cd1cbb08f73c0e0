from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from orgscan.simulator.world import CallerKey
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orgscan.simulator import Simulator


def accounts_of(organizations: Any) -> list[dict[str, Any]]:
    pages = organizations.get_paginator("list_accounts").paginate()
    return [account for page in pages for account in page["Accounts"]]


def test_an_organization_is_described_to_any_account(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["small"]()
    world = replace(world, callers=(CallerKey(account_id=world.accounts[2].id),))
    organizations = client(serve(world), "organizations")
    described = organizations.describe_organization()["Organization"]
    assert described["MasterAccountId"] == world.accounts[0].id
    assert described["Id"] == world.organization_id
    with pytest.raises(ClientError) as caught:
        organizations.list_accounts()
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


def test_a_delegated_administrator_may_list(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["delegated"]()
    simulator = serve(world)
    assert len(accounts_of(client(simulator, "organizations"))) == len(world.accounts)
    assert simulator.credentials.session_token is not None


@pytest.mark.parametrize("name", ["demo", "paging", "hostile"])
def test_pages_give_every_account_once(
    name: str, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS[name]()
    found = accounts_of(client(serve(world), "organizations"))
    assert [account["Id"] for account in found] == [account.id for account in world.accounts]
    assert [account["Name"] for account in found] == [account.name for account in world.accounts]


def test_pages_hold_twenty_at_most_and_fewer_on_demand(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    organizations = client(serve(WORLDS["demo"]()), "organizations")
    assert len(organizations.list_accounts()["Accounts"]) == 20
    assert len(organizations.list_accounts(MaxResults=3)["Accounts"]) == 3


def test_an_empty_page_with_a_token_appears_where_the_world_says_so(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    organizations = client(serve(WORLDS["paging"]()), "organizations")
    pages = list(organizations.get_paginator("list_accounts").paginate())
    empty = [page for page in pages if not page["Accounts"]]
    assert empty
    assert all("NextToken" in page for page in empty)


def test_a_foreign_token_is_refused(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    organizations = client(serve(WORLDS["demo"]()), "organizations")
    token = organizations.list_accounts()["NextToken"]
    parent = organizations.list_roots()["Roots"][0]["Id"]
    for wrong in ("", "zzz", "-", token):
        with pytest.raises(ClientError, match="InvalidInputException"):
            organizations.list_accounts_for_parent(ParentId=parent, NextToken=wrong)


def walk(organizations: Any, parent: str, path: str) -> dict[str, str]:
    found = {}
    pages = organizations.get_paginator("list_accounts_for_parent").paginate(ParentId=parent)
    for page in pages:
        found.update({account["Id"]: path for account in page["Accounts"]})
    units = organizations.get_paginator("list_organizational_units_for_parent")
    for page in units.paginate(ParentId=parent):
        for unit in page["OrganizationalUnits"]:
            found.update(walk(organizations, unit["Id"], f"{path}/{unit['Name']}"))
    return found


@pytest.mark.parametrize("name", ["demo", "paging"])
def test_the_tree_leads_to_every_account(
    name: str, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS[name]()
    organizations = client(serve(world), "organizations")
    (root,) = organizations.list_roots()["Roots"]
    found = walk(organizations, root["Id"], root["Name"])
    assert found == {account.id: account.ou for account in world.accounts}
    with pytest.raises(ClientError, match="ParentNotFoundException"):
        organizations.list_accounts_for_parent(ParentId="ou-abcd-12345678")


def test_states_come_in_either_field_both_or_none(
    serve: Callable[..., Simulator],
) -> None:
    # botocore drops values it does not know of nothing, but an older model drops State itself.
    world = WORLDS["states"]()
    simulator = serve(world)
    session = simulator.cloud.callers[0]
    assert session.account_id == world.management_account_id
    shapes = {
        account.name: simulator._organizations._account(account) for account in world.accounts
    }
    assert shapes["state-closed"]["State"] == "CLOSED"
    assert "Status" not in shapes["state-closed"]
    assert shapes["status-suspended"]["Status"] == "SUSPENDED"
    assert "State" not in shapes["status-suspended"]
    assert shapes["both-closed"]["State"] == "CLOSED"
    assert shapes["both-closed"]["Status"] == "SUSPENDED"
    assert not {"State", "Status"} & shapes["neither-field"].keys()
    assert shapes["unheard-of"]["State"] == "HIBERNATING"


def test_times_are_epoch_seconds_and_tags_are_listed(
    now: datetime, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["demo"](now=now)
    organizations = client(serve(world), "organizations")
    first = organizations.list_accounts()["Accounts"][0]
    assert first["JoinedTimestamp"].astimezone(UTC) == world.accounts[0].joined
    tagged = next(account for account in world.accounts if account.tags)
    tags = organizations.list_tags_for_resource(ResourceId=tagged.id)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags} == tagged.tags
