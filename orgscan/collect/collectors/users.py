"""The live list of IAM users: newer than the report, it decides which users exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    document,
    is_id,
    is_text,
    is_time,
    list_items,
    malformed,
    refuse_future,
)
from orgscan.collect.collectors.trial import Trial
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.USERS
ACTIONS = ("iam:ListUsers",)
TRIALS = (Trial(action=ACTIONS[0], result="Users", parameters={"MaxItems": 1}),)
_MEMBERS = {"UserName": is_text, "UserId": is_id, "Arn": is_text, "CreateDate": is_time}


@dataclass(frozen=True, slots=True)
class Listing:
    """The users of one account, in AWS's order."""

    users: tuple[dict[str, Any], ...]
    repeated: int = 0

    @property
    def created(self) -> dict[str, str]:
        """CreateDate by name, ISO 8601."""
        return {user["UserName"]: user["CreateDate"].isoformat() for user in self.users}

    def evidence(self, clock: Clock) -> Evidence:
        """The listing as it is stored."""
        return Evidence(
            kind=KIND,
            content=document(list(self.users)),
            collected_at=clock.now(),
            repeated=self.repeated,
        )

    def with_those_of(self, other: Listing) -> Listing:
        """The users of both listings, ``other``'s where both have one."""
        users = {user["UserName"]: user for user in (*self.users, *other.users)}
        return Listing(tuple(users.values()), other.repeated)


async def list_users(calls: Calls, clock: Clock) -> Listing:
    """Every user.

    Raises :class:`orgscan.errors.CallError`.
    """
    listed, repeated = await list_items(calls, ACTIONS[0], "Users", _MEMBERS)
    for user in listed:
        if not user["Arn"].endswith(f"/{user['UserName']}"):
            raise malformed(ACTIONS[0], "the answer contains a user with the ARN of another")
    used = (user["PasswordLastUsed"] for user in listed if is_time(user.get("PasswordLastUsed")))
    refuse_future(ACTIONS[0], clock, (*used, *(user["CreateDate"] for user in listed)))
    if len({user["UserId"] for user in listed}) < len(listed):
        raise malformed(ACTIONS[0], "the answer gives one UserId to several users")
    return Listing(tuple(listed), repeated)
