from __future__ import annotations

import csv
import re
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.simulator import DEMO_EXCLUDED_ACCOUNT, DEMO_LEADING_ZEROS
from orgscan.simulator.query import stamp
from orgscan.simulator.report import render
from orgscan.simulator.world import BEDROCK, View
from tests.kit.worlds import WORLDS

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
        users = account.all_users()
        for hidden in (View.LIVE_ONLY, View.REPORT_ONLY):
            names = [
                user.name if hidden is View.REPORT_ONLY else user.first_name
                for user in users
                if user.view is not hidden
            ]
            assert len(set(names)) == len(names)
            assert all(map(USER_NAME.fullmatch, names))
        if name not in {"changing", "contradictory"}:
            assert len({user.name for user in users}) == len(users)


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


def test_the_changing_world_changes_as_many_as_asked(now: datetime) -> None:
    world = WORLDS["changing"](now=now, accounts=300, users=10)
    assert len(world.accounts) == 300
    assert all(
        account.report_age and timedelta() < account.report_age < timedelta(hours=4)
        for account in world.accounts
    )
    users = [user for account in world.accounts for user in account.all_users()]
    pairs = Counter((user.name, user.created) for user in users)
    assert max(pairs.values()) == 1
    changed = [user for user in users if user.view is not View.BOTH or user.name_in_report]
    assert {user.view for user in changed} == set(View)
    assert 0.005 < len(changed) / len(users) < 0.02
    keys = [key for user in users if user.view is View.BOTH for key in user.keys]
    moved = [key for key in keys if key.view is not View.BOTH or key.active_in_report is not None]
    assert {key.view for key in moved} == set(View)
    assert 0.005 < len(moved) / len(keys) < 0.025
    assert any(key.active_in_report is not None for key in moved)


def test_no_report_of_the_changing_world_knows_what_came_after_it(now: datetime) -> None:
    world = WORLDS["changing"](now=now, accounts=300, users=10)
    for account in world.accounts:
        assert account.report_age is not None
        text = render(account, account.all_users(), partition="aws", stored=True).decode()
        then = stamp(now - account.report_age)
        for row in csv.DictReader(text.splitlines()):
            times = {cell for cell in row.values() if cell[:3] == "202"}
            assert max(times) <= then, row["user"]


def test_the_changing_world_has_users_created_again_and_renamed(now: datetime) -> None:
    world = WORLDS["changing"](now=now, accounts=40, users=10, share=0.5)
    again = 0
    for account in world.accounts:
        users = account.all_users()
        assert account.report_age
        generated = now - account.report_age
        named = Counter(user.name for user in users)
        again += sum(number == 2 for number in named.values())
        for user in users:
            assert (user.created > generated) == (user.view is View.LIVE_ONLY)
            for key in user.keys:
                assert key.created >= user.created
                assert (key.created > generated) == (key.view is View.LIVE_ONLY)
        assert sum(user.view is not View.LIVE_ONLY for user in users) <= 10
    assert again
    assert any(user.name_in_report for one in world.accounts for user in one.all_users())


def test_nothing_changes_where_no_share_does(now: datetime) -> None:
    calm = WORLDS["changing"](now=now, accounts=5, users=10, share=0.0)
    same = WORLDS["uniform"](now=now, accounts=5, users=10)
    assert [one.all_users() for one in calm.accounts] == [one.all_users() for one in same.accounts]


def test_the_contradictory_world_has_every_case_once(now: datetime) -> None:
    world = WORLDS["contradictory"](now=now)
    accounts = {account.name: account for account in world.accounts}
    assert len(accounts) == len(world.accounts)
    keys = {key for account in world.accounts for key, value in account.summary.items() if value}
    lacks = {
        key for account in world.accounts for key, value in account.summary.items() if value == 0
    }
    each = {
        "AccountMFAEnabled",
        "AccountPasswordPresent",
        "AccountAccessKeysPresent",
        "AccountSigningCertificatesPresent",
    }
    assert each <= keys
    assert each <= lacks
    assert any(certificate.active for certificate in accounts["root-certificate"].root.certificates)
    old, new = accounts["created-again"].all_users()
    assert {old.view, new.view} == {View.REPORT_ONLY, View.LIVE_ONLY}
    assert {one.mfa.value for one in (old, new) if one.view is View.LIVE_ONLY} == {"none"}
    credentials = [
        credential
        for user in accounts["service-credentials"].users
        for credential in user.service_credentials
    ]
    lives = {
        (one.expires - one.created).days if one.expires else None
        for one in credentials
        if one.service == BEDROCK and one.active
    }
    assert lives == {None, 30, 36_600}
    assert {one.status for one in credentials} == {"", "Expired"}
    assert {fault.account for fault in world.faults} == {accounts["device-without-user"].id}
    assert accounts["ssh-only"].users[0].ssh_keys
    assert accounts["additional-of-root"].root.additional
    assert not accounts["no-service-credentials"].supports_service_credentials
