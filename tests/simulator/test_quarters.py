"""The demo organization moves on: possible worlds, the same every time, and nothing by chance."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from orgscan.simulator import DEMO_EXCLUDED_ACCOUNT, Deed, quarters
from orgscan.simulator.quarters import quarter_name
from orgscan.simulator.world import View

if TYPE_CHECKING:
    from orgscan.simulator import Quarter, World
    from orgscan.simulator.world import Account, Key, User

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def eight() -> tuple[Quarter, ...]:
    return quarters(8, now=NOW)


def account(world: World, identity: str) -> Account:
    return next(one for one in world.accounts if one.id == identity)


def user(world: World, identity: str, name: str) -> User:
    return next(one for one in account(world, identity).users if one.name == name)


def key(world: World, identity: str, name: str, key_id: str) -> Key:
    return next(one for one in user(world, identity, name).keys if one.id == key_id)


@pytest.mark.parametrize(
    ("now", "back", "name"),
    [
        (datetime(2026, 1, 1, tzinfo=UTC), 0, "2026-Q1"),
        (datetime(2026, 3, 31, tzinfo=UTC), 1, "2025-Q4"),
        (datetime(2026, 12, 31, tzinfo=UTC), 1, "2026-Q3"),
        (datetime(2026, 7, 1, tzinfo=UTC), 7, "2024-Q4"),
    ],
)
def test_names(now: datetime, back: int, name: str) -> None:
    assert quarter_name(now, back) == name


def test_quarters_are_91_days_apart_and_named_apart(eight: tuple[Quarter, ...]) -> None:
    times = [quarter.world.now for quarter in eight]
    assert times[-1] == NOW
    assert {later - sooner for sooner, later in zip(times, times[1:], strict=False)} == {  # noqa: RUF007
        timedelta(days=91)
    }
    assert len({quarter.name for quarter in eight}) == 8
    assert eight[0].events == ()


def test_every_world_is_possible(eight: tuple[Quarter, ...]) -> None:
    for quarter in eight:
        world = quarter.world
        assert len({one.id for one in world.accounts}) == len(world.accounts)
        for one in world.accounts:
            people = one.all_users()
            assert len({person.name for person in people}) == len(people)
            ids = [held.id for person in people for held in person.keys if held.id]
            assert len(set(ids)) == len(ids)
            for person in people:
                for hidden in (View.LIVE_ONLY, View.REPORT_ONLY):
                    assert sum(held.view is not hidden for held in person.keys) <= 2
                for held in person.keys:
                    assert held.created <= world.now
                    assert held.last_used is None or held.created <= held.last_used <= world.now


def test_the_same_every_time(eight: tuple[Quarter, ...]) -> None:
    again = quarters(8, now=NOW)
    assert [quarter.events for quarter in again] == [quarter.events for quarter in eight]
    for one, other in zip(again, eight, strict=True):
        assert [a.all_users() for a in one.world.accounts] == [
            a.all_users() for a in other.world.accounts
        ]


def test_every_deed_is_in_the_script_and_was_done(eight: tuple[Quarter, ...]) -> None:
    second = eight[1]
    assert {event.deed for quarter in eight for event in quarter.events} == set(Deed)
    world = second.world
    for event in second.events:
        ids = {one.id for one in world.accounts}
        assert (event.account_id in ids) == (event.deed is not Deed.ACCOUNT_LEFT)
        match event.deed:
            case Deed.KEY_ROTATED | Deed.KEY_DELETED:
                held = {one.id for one in user(world, event.account_id, event.user).keys}
                assert event.access_key_id not in held
                assert not event.new_access_key_id or event.new_access_key_id in held
            case Deed.KEY_REPLACED | Deed.KEY_DEACTIVATED:
                assert not key(world, event.account_id, event.user, event.access_key_id).active
            case Deed.KEY_REACTIVATED:
                assert key(world, event.account_id, event.user, event.access_key_id).active
            case Deed.USER_DELETED:
                names = {one.name for one in account(world, event.account_id).users}
                assert event.user not in names
            case Deed.ROLE_REMOVED:
                assert account(world, event.account_id).roles == ()
            case Deed.ACCOUNT_EXCLUDED:
                assert second.excluded == (DEMO_EXCLUDED_ACCOUNT, event.account_id)


def test_keys_keep_their_ids_when_others_go(eight: tuple[Quarter, ...]) -> None:
    def ids(quarter: Quarter) -> set[str]:
        return {
            held.id
            for one in quarter.world.accounts
            if one.name != "harborline-robotics"  # new then: its keys have no ids of their own
            for person in one.all_users()
            for held in person.keys
        }

    second, third = ids(eight[1]), ids(eight[2])
    rotated = {event.new_access_key_id for event in eight[2].events} - {""}
    assert third - second == rotated


def test_a_world_cut_short_makes_only_the_moves_it_can() -> None:
    first, second = quarters(2, now=NOW, accounts=3)
    assert len(first.world.accounts) == 3
    known = {one.id for one in second.world.accounts}
    assert {event.account_id for event in second.events} <= known
    assert 0 < len(second.events) < 18
