from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.simulator import DEMO_EXCLUDED_ACCOUNT, DEMO_LEADING_ZEROS, WORLDS
from orgscan.simulator.report import render
from orgscan.simulator.world import View

if TYPE_CHECKING:
    from datetime import datetime

    from orgscan.simulator import World

USER_NAME = re.compile(r"[\w+=,.@-]{1,64}", re.ASCII)

every_world = pytest.mark.parametrize("name", sorted(WORLDS))


def text_of(world: World) -> list[bytes]:
    return [
        render(account, account.all_users(), partition=world.partition, stored=stored)
        for account in world.accounts
        for stored in (False, True)
    ]


@every_world
def test_the_same_seed_gives_the_same_world(name: str, now: datetime) -> None:
    build = WORLDS[name]
    assert text_of(build(now=now, seed=4)) == text_of(build(now=now, seed=4))
    assert text_of(build(now=now, seed=4)) != text_of(build(now=now, seed=5))


@every_world
def test_a_world_is_possible(name: str, now: datetime) -> None:
    world = WORLDS[name](now=now)
    ids = [account.id for account in world.accounts]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"\d{12}", identity) for identity in ids)
    for account in world.accounts:
        assert account.ou.split("/")[0] == "Root"
        assert account.ou.count("/") <= 5
        assert account.joined <= now
        names = [user.name for user in account.all_users()]
        assert len(set(names)) == len(names)
        assert all(map(USER_NAME.fullmatch, names))


@every_world
def test_nobody_has_more_than_two_keys_at_a_time(name: str, now: datetime) -> None:
    for account in WORLDS[name](now=now).accounts:
        for owner in (account.root, *account.all_users()):
            for hidden in (View.LIVE_ONLY, View.REPORT_ONLY):
                assert sum(key.view is not hidden for key in owner.keys) <= 2
            assert all(key.created <= now for key in owner.keys)
            assert all(not key.last_used or key.last_used >= key.created for key in owner.keys)


@pytest.mark.parametrize("count", [1, 10, 25, 60, 400])
def test_the_demo_world_has_as_many_accounts_as_asked(count: int) -> None:
    world = WORLDS["demo"](accounts=count)
    assert len(world.accounts) == count
    assert len({account.name for account in world.accounts}) == count


def test_the_demo_world_holds_its_promises(now: datetime) -> None:
    world = WORLDS["demo"](now=now)
    accounts = {account.id: account for account in world.accounts}
    assert len(accounts) == 25
    assert accounts[DEMO_EXCLUDED_ACCOUNT].name == "sandbox-training"
    assert DEMO_LEADING_ZEROS in accounts
    assert world.accounts[0].roles == ()
    assert {fault.account for fault in world.faults} < accounts.keys()
    states = Counter(account.state for account in world.accounts)
    assert states == {"ACTIVE": 23, "SUSPENDED": 1, "PENDING_CLOSURE": 1}
    roles = [role for account in world.accounts for role in account.roles]
    assert any(role.denied_actions for role in roles)
    assert any(role.blocked_actions for role in roles)
    users = [user for account in world.accounts for user in account.all_users()]
    keys = [key for user in users for key in user.keys]
    assert {thing.view for thing in users} == set(View)
    assert {thing.view for thing in keys} == set(View)
    toggled = {key.active for key in keys if key.active_in_report not in {None, key.active}}
    assert toggled == {True, False}
    assert {user.path for user in users} > {"/", "/service/"}


@pytest.mark.parametrize(("accounts", "users", "large"), [(300, 10, 0), (40, 2, 500)])
def test_the_load_world_has_the_asked_size(accounts: int, users: int, large: int) -> None:
    world = WORLDS["uniform"](accounts=accounts, users=users, large=large)
    counts = Counter(len(account.all_users()) for account in world.accounts)
    expected: dict[int, Any] = {users: accounts - bool(large)}
    assert counts == (expected | {large: 1} if large else expected)
