"""The demo organization quarter by quarter: what its people do in 91 days, and proof of it.

A script of moves for each quarter, applied to a world by a pure function; what was done comes
back as events, so that a comparison of two runs can be held to it. What is in use stays in use,
all else grows older.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from orgscan.models import AccountState
from orgscan.simulator.demo import DEMO_EXCLUDED_ACCOUNT, demo
from orgscan.simulator.draw import letters
from orgscan.simulator.people import Ages, account
from orgscan.simulator.world import AUDIT_ROLES, STRONG_POLICY, Mfa, View, real_now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from orgscan.simulator.world import Account, Key, Root, User, World

QUARTER = timedelta(days=91)
_IN_USE = timedelta(days=35)
"""What was used this recently is used on."""


class Deed(StrEnum):
    """What somebody did."""

    KEY_ROTATED = "key_rotated"
    """A new key, the old one deleted."""
    KEY_REPLACED = "key_replaced"
    """A new key, the old one deactivated."""
    KEY_DELETED = "key_deleted"
    KEY_DEACTIVATED = "key_deactivated"
    KEY_REACTIVATED = "key_reactivated"
    USER_DELETED = "user_deleted"
    PASSWORD_REMOVED = "password_removed"  # noqa: S105 - a deed
    MFA_ENABLED = "mfa_enabled"
    MFA_REMOVED = "mfa_removed"
    POLICY_SET = "policy_set"
    ROLE_GRANTED = "role_granted"
    """The audit role can be assumed and may do all it should."""
    ROLE_REMOVED = "role_removed"
    ACCOUNT_JOINED = "account_joined"
    ACCOUNT_LEFT = "account_left"
    ACCOUNT_SUSPENDED = "account_suspended"
    ACCOUNT_EXCLUDED = "account_excluded"
    """Left out of the scope of this quarter's run alone."""


@dataclass(frozen=True, slots=True)
class Move:
    """One line of the script: a deed, and whom it concerns."""

    deed: Deed
    account: str
    """Its name."""
    user: str = ""
    key: int = 0
    """Place of the key among the user's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A move that was made, with the ids AWS would know it by."""

    deed: Deed
    account_id: str
    user: str = ""
    access_key_id: str = ""
    new_access_key_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarter:
    """The organization at the end of a quarter, and how it came to be so."""

    name: str
    """Calendar quarter, ``2026-Q4``."""
    world: World
    events: tuple[Event, ...] = ()
    excluded: tuple[str, ...] = (DEMO_EXCLUDED_ACCOUNT,)
    """Account ids that this quarter's run leaves out of its scope."""


_SCRIPT: tuple[tuple[Move, ...], ...] = (
    (
        Move(Deed.KEY_ROTATED, "storefront-prod", "ses-smtp"),
        Move(Deed.KEY_REPLACED, "tidewater-legacy", "erp-sync"),
        Move(Deed.KEY_DELETED, "tidewater-legacy", "s3-mirror"),
        Move(Deed.KEY_DEACTIVATED, "data-platform-prod", "null"),
        Move(Deed.KEY_REACTIVATED, "storefront-prod", "cdn-purge"),
        Move(Deed.USER_DELETED, "tidewater-legacy", "bob"),
        Move(Deed.USER_DELETED, "tidewater-legacy", "intern-2019"),
        Move(Deed.PASSWORD_REMOVED, "storefront-dev", "oskar.dahl"),
        Move(Deed.MFA_ENABLED, "tidewater-legacy", "carla.mendes"),
        Move(Deed.MFA_REMOVED, "data-platform-prod", "zofia.novak"),
        Move(Deed.POLICY_SET, "tidewater-legacy"),
        Move(Deed.ROLE_GRANTED, "tidewater-erp"),
        Move(Deed.ROLE_GRANTED, "payments-staging"),
        Move(Deed.ROLE_REMOVED, "warehouse-prod"),
        Move(Deed.ACCOUNT_JOINED, "harborline-robotics"),
        Move(Deed.ACCOUNT_LEFT, "shared-services"),
        Move(Deed.ACCOUNT_SUSPENDED, "sandbox-mirela"),
        Move(Deed.ACCOUNT_EXCLUDED, "warehouse-staging"),
    ),
    (
        Move(Deed.KEY_ROTATED, "storefront-prod", "ci-deploy"),
        Move(Deed.KEY_REACTIVATED, "data-platform-prod", "null"),
        Move(Deed.KEY_DEACTIVATED, "data-platform-prod", "etl-nightly"),
        Move(Deed.USER_DELETED, "tidewater-legacy", "mailer"),
        Move(Deed.MFA_ENABLED, "data-platform-prod", "zofia.novak"),
        Move(Deed.ROLE_GRANTED, "warehouse-prod"),
        Move(Deed.ROLE_REMOVED, "storefront-dev"),
    ),
    (
        Move(Deed.KEY_ROTATED, "storefront-prod", "ses-smtp"),
        Move(Deed.KEY_DELETED, "data-platform-prod", "null"),
        Move(Deed.USER_DELETED, "tidewater-legacy", "edi_bridge"),
        Move(Deed.ROLE_GRANTED, "storefront-dev"),
        Move(Deed.ROLE_REMOVED, "mobile-api-prod"),
    ),
    (
        Move(Deed.KEY_ROTATED, "storefront-prod", "ci-deploy"),
        Move(Deed.ROLE_GRANTED, "mobile-api-prod"),
    ),
)
"""What happens in the second quarter, the third, ...; after the last line only time passes."""


def quarters(
    count: int, *, seed: int = 0, now: datetime | None = None, accounts: int | None = None
) -> tuple[Quarter, ...]:
    """The demo world at the end of ``count`` quarters in a row, the last one at ``now``.

    Each is 91 days after the one before. They are named by counting back from the calendar
    quarter of ``now``.
    """
    now = now or real_now()
    world = demo(seed=seed, now=now - (count - 1) * QUARTER, accounts=accounts)
    made = [Quarter(name=quarter_name(now, count - 1), world=world)]
    for number in range(1, count):
        script = _SCRIPT[number - 1] if number <= len(_SCRIPT) else ()
        made.append(next_quarter(made[-1].world, script, quarter_name(now, count - 1 - number)))
    return tuple(made)


def quarter_name(now: datetime, back: int = 0) -> str:
    """The calendar quarter of ``now``, or one so many before it: ``2026-Q4``."""
    year, quarter = divmod(now.year * 4 + (now.month - 1) // 3 - back, 4)
    return f"{year}-Q{quarter + 1}"


def next_quarter(world: World, script: Sequence[Move], name: str) -> Quarter:
    """The world 91 days on, with the moves of ``script`` that concern accounts it has."""
    aged = replace(
        world,
        now=world.now + QUARTER,
        accounts=tuple(_grown_older(account, world.seed, world.now) for account in world.accounts),
    )
    events: list[Event] = []
    for move in script:
        aged, event = _make(aged, move)
        events += [event] if event else []
    excluded = [event.account_id for event in events if event.deed is Deed.ACCOUNT_EXCLUDED]
    return Quarter(
        name=name,
        world=aged,
        events=tuple(events),
        excluded=(DEMO_EXCLUDED_ACCOUNT, *excluded),
    )


def _grown_older(account: Account, seed: int, then: datetime) -> Account:
    make = partial(_live_on_all, seed=seed, account_id=account.id, then=then)
    generate = account.generate
    return replace(
        account,
        root=_root_lives_on(account.root, then),
        users=make(account.users),
        generate=None if generate is None else partial(_generated, generate, make),
    )


def _generated(
    generate: Callable[[], tuple[User, ...]],
    live_on: Callable[[tuple[User, ...]], tuple[User, ...]],
) -> tuple[User, ...]:
    return live_on(generate())


def _live_on_all(
    users: tuple[User, ...], *, seed: int, account_id: str, then: datetime
) -> tuple[User, ...]:
    """Users after a quarter: what the report then did not know yet is known, the deleted gone."""
    return tuple(
        _lives_on(user, seed, account_id, then)
        for user in users
        if user.view is not View.REPORT_ONLY
    )


def _lives_on(user: User, seed: int, account_id: str, then: datetime) -> User:
    keys = [
        _key_lives_on(
            replace(key, id=key.id or "AKIA" + letters(16, seed, account_id, user.name, number)),
            then,
        )
        for number, key in enumerate(user.keys)
        if key.view is not View.REPORT_ONLY
    ]
    password = user.password
    if password:
        password = replace(password, last_used=_used_on(password.last_used, then))
    return replace(user, keys=tuple(keys), password=password, view=View.BOTH)


def _root_lives_on(root: Root, then: datetime) -> Root:
    keys = tuple(_key_lives_on(key, then) for key in root.keys)
    return replace(root, keys=keys)


def _key_lives_on(key: Key, then: datetime) -> Key:
    used = _used_on(key.last_used, then) if key.active else key.last_used
    return replace(key, last_used=used, view=View.BOTH, active_in_report=None)


def _used_on(last_used: datetime | None, then: datetime) -> datetime | None:
    if last_used is None or then - last_used > _IN_USE:
        return last_used
    return last_used + QUARTER


def _make(world: World, move: Move) -> tuple[World, Event | None]:
    """Make a move; None where the world has no such account."""
    if move.deed is Deed.ACCOUNT_JOINED:
        joined = _newcomer(world, move.account)
        event = Event(deed=move.deed, account_id=joined.id)
        return replace(world, accounts=(*world.accounts, joined)), event
    chosen = next((account for account in world.accounts if account.name == move.account), None)
    if chosen is None:
        return world, None
    event = Event(deed=move.deed, account_id=chosen.id, user=move.user)
    if move.deed is Deed.ACCOUNT_LEFT:
        rest = tuple(account for account in world.accounts if account is not chosen)
        return replace(world, accounts=rest), event
    changed = chosen
    if move.user:
        changed, event = _personal(chosen, move, event, Ages(world.now))
    elif move.deed in _ACCOUNT_DEEDS:
        changed = replace(chosen, **_ACCOUNT_DEEDS[move.deed])  # type: ignore[arg-type]
    accounts = tuple(changed if account is chosen else account for account in world.accounts)
    return replace(world, accounts=accounts), event


_ACCOUNT_DEEDS: dict[Deed, dict[str, object]] = {
    Deed.POLICY_SET: {"password_policy": STRONG_POLICY},
    Deed.ROLE_GRANTED: {"roles": AUDIT_ROLES},
    Deed.ROLE_REMOVED: {"roles": ()},
    Deed.ACCOUNT_SUSPENDED: {"state": AccountState.SUSPENDED},
}


def _newcomer(world: World, name: str) -> Account:
    """An account bought with its credentials, the older ones among them."""
    ago = Ages(world.now)
    users = (
        ago.human("otto.brandt", 1500, 12, mfa=Mfa.NONE),
        ago.service("cnc-gateway", 1400, ago.key(1400, 0.3), ago.key(15, 1)),
    )
    return account(world.seed, name, "Root/Acquired", ago(40), users=users)


def _personal(account: Account, move: Move, event: Event, ago: Ages) -> tuple[Account, Event]:
    user = next(user for user in account.users if user.name == move.user)
    rest = tuple(other for other in account.users if other is not user)
    if move.deed is Deed.USER_DELETED:
        return replace(account, users=rest), event
    if move.deed in _USER_DEEDS:
        changed = replace(user, **_USER_DEEDS[move.deed])  # type: ignore[arg-type]
    else:
        changed, event = _with_keys(user, move, event, ago)
    return replace(account, users=(*rest, changed)), event


_USER_DEEDS: dict[Deed, dict[str, object]] = {
    Deed.PASSWORD_REMOVED: {"password": None, "mfa": Mfa.NONE},
    Deed.MFA_ENABLED: {"mfa": Mfa.VIRTUAL},
    Deed.MFA_REMOVED: {"mfa": Mfa.NONE},
}


def _with_keys(user: User, move: Move, event: Event, ago: Ages) -> tuple[User, Event]:
    old = user.keys[move.key]
    others = tuple(key for key in user.keys if key is not old)
    event = replace(event, access_key_id=old.id)
    new = replace(ago.key(20, 0.2), id="AKIA" + letters(16, old.id, "next"))
    if move.deed in {Deed.KEY_ROTATED, Deed.KEY_REPLACED}:
        event = replace(event, new_access_key_id=new.id)
        others = (*others, new)
    kept = {
        Deed.KEY_REPLACED: (replace(old, active=False),),
        Deed.KEY_DEACTIVATED: (replace(old, active=False),),
        Deed.KEY_REACTIVATED: (replace(old, active=True),),
    }.get(move.deed, ())
    return replace(user, keys=(*kept, *others)), event
