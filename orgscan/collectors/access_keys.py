"""The live list of access keys, user by user: the only source of key ids."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from orgscan.collectors.document import (
    LIST_PAGE,
    agreed,
    document,
    is_id,
    is_text,
    is_time,
    malformed,
    unique,
)
from orgscan.collectors.patience import until_found
from orgscan.collectors.trial import Trial
from orgscan.errors import Absent, Malformed
from orgscan.models import Evidence, Gap, Kind
from orgscan.report import to_second

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence

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

Keys = list[dict[str, Any]]


@dataclass(slots=True)
class KeyListing:
    """The keys of one account's users."""

    keys: dict[str, Keys] = field(default_factory=dict)
    """By user, in the order of the user listing; users that could not be listed are left out."""
    deleted: list[str] = field(default_factory=list)
    """Users deleted between the listing of users and that of their keys."""
    unlisted: list[str] = field(default_factory=list)
    """Users that exist, and whose keys could not be listed."""
    repeated: int = 0

    def evidence(self, clock: Clock) -> Evidence:
        """The listing as it is stored."""
        content = {
            "keys": [key for keys in self.keys.values() for key in keys],
            "deleted_users": self.deleted,
            "unlisted_users": self.unlisted,
        }
        return Evidence(
            kind=KIND, content=document(content), collected_at=clock.now(), repeated=self.repeated
        )

    @property
    def gap(self) -> Gap | None:
        """The gap that :attr:`unlisted` users are; the keys of all others may be evaluated."""
        if not self.unlisted:
            return None
        named = ", ".join(sorted(self.unlisted)[:_NAMED])
        more = len(self.unlisted) - _NAMED
        number = len(self.unlisted)
        users = "1 listed user" if number == 1 else f"{number} listed users"
        reason = f"the keys of {users} could not be listed: {named}" + (
            f" and {more} more" if more > 0 else ""
        )
        return Gap(kind=KIND, code="UserNotFound", reason=reason, usable=True)


async def list_keys(
    calls: Calls,
    clock: Clock,
    expected: Mapping[str, Sequence[str] | None],
    confirm_deleted: Callable[[Collection[str]], Awaitable[set[str]]],
) -> KeyListing:
    """The keys of the users in ``expected``, in their order.

    ``expected`` maps each user to the creation times (to the second) of the keys in its report
    row, and to None where it has no row. A user whose listing lacks one of them, or that no report
    row confirms, is listed until two listings agree. ``confirm_deleted`` is given the users that
    IAM did not find and returns those that were really deleted; the others are asked about again,
    because a new user takes a while to become visible everywhere.

    Raises :class:`orgscan.errors.CallError`: an incomplete listing is no listing.
    """
    found: dict[str, Keys | None] = {}
    listing = KeyListing()
    names = iter(expected)
    workers = [
        asyncio.create_task(_work(calls, names, expected, found, listing)) for _ in range(_AT_ONCE)
    ]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    absent = [name for name in expected if name in found and found[name] is None]
    if absent:
        deleted = await confirm_deleted(absent)
        listing.deleted = [name for name in absent if name in deleted]
        for name in (name for name in absent if name not in deleted):
            try:
                found[name] = await until_found(
                    partial(_confirmed, calls, name, expected[name], listing), clock
                )
            except (Absent, Malformed) as error:
                _only_disagreement(error)
                listing.unlisted.append(name)
    for name in expected:
        keys = found.get(name)
        if keys is not None:
            listing.keys[name] = keys
    return listing


async def _work(
    calls: Calls,
    names: Iterator[str],
    expected: Mapping[str, Sequence[str] | None],
    found: dict[str, Keys | None],
    listing: KeyListing,
) -> None:
    for name in names:
        try:
            found[name] = await _confirmed(calls, name, expected[name], listing)
        except Absent:
            found[name] = None
        except Malformed as error:
            _only_disagreement(error)
            listing.unlisted.append(name)


def _only_disagreement(error: Absent | Malformed) -> None:
    """Raise the error unless it is about this one user."""
    if isinstance(error, Malformed) and error.code != "ListingsDisagree":
        raise error


async def _confirmed(
    calls: Calls, user: str, expected: Sequence[str] | None, listing: KeyListing
) -> Keys:
    """The keys of one user, listed again where the report knows a key that is missing."""
    keys = await _keys_of(calls, user, listing)
    listed = [to_second(key["CreateDate"]) for key in keys]
    if expected is not None and all(
        listed.count(second) >= expected.count(second) for second in expected
    ):
        return keys
    return await agreed(lambda: _keys_of(calls, user, listing), ACTIONS[0], keys)


async def _keys_of(calls: Calls, user: str, listing: KeyListing) -> Keys:
    pages = [
        page
        async for page in calls.pages(
            "ListAccessKeys", "AccessKeyMetadata", UserName=user, MaxItems=LIST_PAGE
        )
    ]
    found, repeated = unique(pages, _MEMBERS, ACTIONS[0])
    if any(key.get("UserName", user) != user for key in found):
        raise malformed(ACTIONS[0], "the answer contains a key of another user")
    listing.repeated += repeated
    return [{name: key[name] for name in _MEMBERS} | {"UserName": user} for key in found]
