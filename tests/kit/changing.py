"""The changing world: a large organization whose reports are some hours old.

About one user and one access key in a hundred was created, deleted, created again, renamed or
toggled since, as happens in any organization during a scan.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orgscan.simulator.draw import digest
from orgscan.simulator.people import populate
from orgscan.simulator.world import Mfa, Password, View

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orgscan.simulator.world import Account, Key, User, World

_SHORTEST_AGE, _LONGEST_AGE = 600, 13_800
"""The age of a stored report in seconds: from 10 minutes to 3 h 50 min."""


def changing_world(world: World, *, name: str, users: int, share: float) -> World:
    """``world`` with stored reports, ``users`` users in each account and their changes since.

    ``share`` is the part of the users and of the keys that changed. The accounts must generate
    their users.
    """
    accounts = tuple(
        _drifting(account, world.seed, world.now, users, share) for account in world.accounts
    )
    return replace(world, name=name, accounts=accounts)


def _drifting(account: Account, seed: int, now: datetime, count: int, share: float) -> Account:
    span = _LONGEST_AGE - _SHORTEST_AGE
    age = timedelta(seconds=_SHORTEST_AGE + digest(seed, account.id, "report age") % span)
    changes = partial(_Changes, seed=seed, account_id=account.id, now=now, age=age, share=share)
    make = partial(_changed_users, changes, count)
    return replace(account, report_age=age, generate=make)


def _changed_users(begin: Callable[[], _Changes], count: int) -> tuple[User, ...]:
    changes = begin()
    return tuple(one for user in changes.before(count) for one in changes.user(user))


class _Changes:
    """What may happen to users and keys between the report and now."""

    def __init__(
        self, *, seed: int, account_id: str, now: datetime, age: timedelta, share: float
    ) -> None:
        """The same arguments give the same changes."""
        self._draw = random.Random(digest(seed, account_id, "changes"))
        self._origin = (seed, account_id)
        self._now = now
        self._age = age
        self._share = share

    def before(self, count: int) -> tuple[User, ...]:
        """The users of the account if nothing had changed; the report knows all about them."""
        return tuple(map(self._known_then, populate(*self._origin, count, self._now)))

    def _known_then(self, user: User) -> User:
        """The user with no time later than the report, which could not show it."""
        then = self._now - self._age
        keys = tuple(
            replace(
                key,
                created=min(key.created, then),
                last_used=key.last_used and min(key.last_used, then),
            )
            for key in user.keys
        )
        password = user.password
        if password is not None and password.last_used is not None:
            password = replace(password, last_used=min(password.last_used, then))
        return replace(user, keys=keys, password=password)

    def user(self, user: User) -> list[User]:
        """The user as it is in either view: two users where it was created again."""
        changed = [user]
        if self._strikes():
            happened = self._draw.choice((self._created, self._deleted, self._again, self._renamed))
            changed = happened(user)
        return [self._with_keys(one) for one in changed]

    def _strikes(self) -> bool:
        return self._draw.random() < self._share

    def _recently(self) -> datetime:
        """After the report, to the second."""
        passed = self._draw.uniform(0.0, 0.9) * self._age.total_seconds()
        return self._now - timedelta(seconds=int(passed))

    def _created(self, user: User) -> list[User]:
        """The user, its password and its keys are all younger than the report."""
        born = self._recently()
        keys = tuple(self._fresh(key, born) for key in user.keys)
        password = user.password and Password(changed=born)
        return [replace(user, created=born, keys=keys, password=password, view=View.LIVE_ONLY)]

    def _deleted(self, user: User) -> list[User]:
        return [replace(user, view=View.REPORT_ONLY)]

    def _again(self, user: User) -> list[User]:
        """Deleted and created again under the same name, now without MFA."""
        return [*self._deleted(user), *self._created(replace(user, mfa=Mfa.NONE))]

    def _renamed(self, user: User) -> list[User]:
        return [replace(user, name=f"{user.name}-renamed", name_in_report=user.name)]

    def _with_keys(self, user: User) -> User:
        if user.view is not View.BOTH:
            return user
        keys = tuple(
            one for key in user.keys for one in (self._key(key) if self._strikes() else (key,))
        )
        return replace(user, keys=keys)

    def _key(self, key: Key) -> tuple[Key, ...]:
        """Never more keys in one view than there were: IAM allows two."""
        deleted = replace(key, view=View.REPORT_ONLY)
        fresh = self._fresh(key, self._recently())
        toggled = replace(key, active_in_report=not key.active)
        ways: tuple[tuple[Key, ...], ...] = ((fresh,), (deleted,), (deleted, fresh), (toggled,))
        return self._draw.choice(ways)

    def _fresh(self, key: Key, born: datetime) -> Key:
        used = born if self._draw.random() < 0.5 else None
        return replace(key, created=born, last_used=used, view=View.LIVE_ONLY)
