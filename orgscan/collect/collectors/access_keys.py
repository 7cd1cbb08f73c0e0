"""The live list of access keys, user by user: the only source of key ids."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    DISAGREE,
    agreed,
    document,
    is_id,
    is_text,
    is_time,
    list_items,
    malformed,
)
from orgscan.collect.collectors.patience import until_found
from orgscan.collect.collectors.trial import Trial
from orgscan.errors import Absent, Malformed
from orgscan.models import Evidence, Gap, Kind
from orgscan.report import to_second

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from orgscan.models import Calls, Clock

KIND = Kind.ACCESS_KEYS
ACTIONS = ("iam:ListAccessKeys",)
TRIALS = (
    Trial(
        action=ACTIONS[0],
        result="AccessKeyMetadata",
        # The user need not exist; without a name IAM would look for keys of the role itself.
        parameters={"UserName": "orgscan-check", "MaxItems": 1},
    ),
)
_MEMBERS = {"AccessKeyId": is_id, "Status": is_text, "CreateDate": is_time}
_AT_ONCE = 8
"""Users asked about at the same time; the account's pace is the real limit."""
_NAMED = 3
CONTRADICT = "KeysContradictReport"
_NEVER = datetime.max.replace(tzinfo=UTC)
_NOT_FOUND = "UserNotFound"
_SHARED = "KeyOfSeveralUsers"

Keys = list[dict[str, Any]]


@dataclass(slots=True)
class KeyListing:
    """The keys of one account's users."""

    keys: dict[str, Keys] = field(default_factory=dict)
    """By user, in the order of the user listing; users that could not be listed are left out."""
    deleted: list[str] = field(default_factory=list)
    """Users deleted between the listing of users and that of their keys."""
    unlisted: dict[str, str] = field(default_factory=dict)
    """Users that exist, and whose keys could not be listed, with the code that says why."""
    repeated: int = 0

    def evidence(self, clock: Clock) -> Evidence:
        """The listing as it is stored."""
        content = {
            "keys": [key for keys in self.keys.values() for key in keys],
            "deleted_users": self.deleted,
            "unlisted_users": list(self.unlisted),
        }
        return Evidence(
            kind=KIND, content=document(content), collected_at=clock.now(), repeated=self.repeated
        )

    @property
    def gap(self) -> Gap | None:
        """The gap that :attr:`unlisted` users are; the keys of all others may be evaluated."""
        if not self.unlisted:
            return None
        count, named = len(self.unlisted), ", ".join(map(repr, list(self.unlisted)[:_NAMED]))
        reason = (
            f"the keys of {count} {'user' if count == 1 else 'users'} could not be listed: {named}"
            + (f" and {count - _NAMED} more" if count > _NAMED else "")
        )
        code = next(iter(self.unlisted.values()))
        return Gap(kind=KIND, code=code, reason=reason, usable=True)

    def distrust(self, users: Collection[str], code: str) -> None:
        """Count the keys listed for ``users`` as not listed."""
        for user in users:
            self.keys.pop(user, None)
            self.unlisted.setdefault(user, code)

    def used_before_creation(self, uses: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """The users with a key that was used before the listing says it was created.

        ``uses`` are GetAccessKeyLastUsed's answers by key id. The creation time is wrong then.
        """
        return [
            user
            for user, keys in self.keys.items()
            if any(
                key["CreateDate"] > uses.get(key["AccessKeyId"], {}).get("LastUsedDate", _NEVER)
                for key in keys
            )
        ]

    @property
    def sharing(self) -> list[str]:
        """The users with a key that is listed for another user, too."""
        owners = Counter(key["AccessKeyId"] for keys in self.keys.values() for key in keys)
        return [
            user
            for user, keys in self.keys.items()
            if any(owners[key["AccessKeyId"]] > 1 for key in keys)
        ]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the credential report says about the keys of the listed users."""

    slots: Mapping[str, Sequence[str] | None]
    """By user, when the keys in its report row were created, to the second; None without a row."""
    complete_until: str = ""
    """A key created before this second is in the report; empty where that is not known."""
    latest: str = "~"
    """No key can have been created later: the report is a few hours old at most."""

    def lacks(self, user: str, keys: Keys) -> bool:
        """Whether the report confirms the user's keys and one of them is not listed."""
        slots, listed = self.slots[user] or (), _seconds(keys)
        return any(listed.count(second) < slots.count(second) for second in slots)

    def contradicts(self, user: str, keys: Keys) -> bool:
        """Whether a key of the report is not listed and one is listed that it must contain.

        A key that only was replaced is newer than the report.
        """
        slots = self.slots[user] or ()
        return self.lacks(user, keys) and any(
            second < self.complete_until and second not in slots for second in _seconds(keys)
        )


def _seconds(keys: Keys) -> list[str]:
    return [to_second(key["CreateDate"]) for key in keys]


async def list_keys(
    calls: Calls,
    clock: Clock,
    expected: Expected,
    confirm_deleted: Callable[[Collection[str]], Awaitable[Collection[str]]],
) -> KeyListing:
    """The keys of the users in ``expected``, in their order.

    A user whose listing lacks a key of the report, or that no report row confirms, is listed
    until two listings agree. ``confirm_deleted`` is given the users that
    IAM did not find and returns those that were really deleted; the others are asked about again,
    because a new user takes a while to become visible everywhere.

    Raises :class:`orgscan.errors.CallError`: an incomplete listing is no listing.
    """
    listing = KeyListing()
    absent = await _list_all(calls, expected.slots, expected, listing)
    if absent:
        deleted = await confirm_deleted(absent)
        listing.deleted = [name for name in absent if name in deleted]
        absent = [name for name in absent if name not in deleted]

        async def again() -> None:
            absent[:] = await _list_all(calls, absent, expected, listing)
            if absent:
                raise Absent(
                    f"{ACTIONS[0]}: {len(absent)} users were not found",
                    code=_NOT_FOUND,
                    action=ACTIONS[0],
                )

        try:
            await until_found(again, clock)
        except Absent:
            listing.unlisted |= dict.fromkeys(absent, _NOT_FOUND)
    if sharing := listing.sharing:
        # A key has one owner: one of the answers hides another key.
        for user in sharing:
            del listing.keys[user]
        listing.distrust(await _list_all(calls, sharing, expected, listing), _NOT_FOUND)
        listing.distrust(listing.sharing, _SHARED)
    order = list(expected.slots)
    listing.keys = {name: listing.keys[name] for name in order if name in listing.keys}
    listing.unlisted = {name: listing.unlisted[name] for name in order if name in listing.unlisted}
    return listing


async def _list_all(
    calls: Calls,
    names: Iterable[str],
    expected: Expected,
    listing: KeyListing,
) -> list[str]:
    """List the keys of ``names`` into ``listing``; those that IAM did not find, in their order."""
    absent: set[str] = set()
    names = list(names)
    left = iter(names)

    async def work() -> None:
        for name in left:
            try:
                listing.keys[name] = await _confirmed(calls, name, expected, listing)
            except Absent:
                absent.add(name)
            except Malformed as error:
                if error.code not in {DISAGREE, CONTRADICT}:
                    raise
                # This user alone cannot be listed; the keys of the others are.
                listing.unlisted[name] = error.code

    workers = [asyncio.create_task(work()) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return [name for name in names if name in absent]


async def _confirmed(calls: Calls, user: str, expected: Expected, listing: KeyListing) -> Keys:
    """The keys of one user, listed again where the report knows a key that is missing."""
    keys = await _keys_of(calls, user, listing)
    if any(second > expected.latest for second in _seconds(keys)):
        raise malformed(ACTIONS[0], "the answer contains a key created in the future")
    if expected.slots[user] is not None and not expected.lacks(user, keys):
        return keys
    keys = await agreed(lambda: _keys_of(calls, user, listing), ACTIONS[0], keys)
    if expected.contradicts(user, keys):
        raise Malformed(
            f"{ACTIONS[0]}: the creation times contradict the credential report",
            code=CONTRADICT,
            action=ACTIONS[0],
        )
    return keys


async def _keys_of(calls: Calls, user: str, listing: KeyListing) -> Keys:
    keys, repeated = await list_items(
        calls, ACTIONS[0], "AccessKeyMetadata", _MEMBERS, UserName=user
    )
    listing.repeated += repeated
    return [{name: key[name] for name in _MEMBERS} | {"UserName": user} for key in keys]
