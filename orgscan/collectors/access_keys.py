"""The live list of access keys, user by user: the only source of key ids.

A user deleted since the listing is a fact, not an error.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orgscan.collectors.document import LIST_PAGE, document, unique
from orgscan.collectors.trial import Trial
from orgscan.errors import Absent, Malformed
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.models import Calls, Clock

KIND = Kind.ACCESS_KEYS
ACTIONS = ("iam:ListAccessKeys",)
TRIALS = (
    Trial(
        action=ACTIONS[0],
        result="AccessKeyMetadata",
        # Nobody has to exist; without a name IAM would look for keys of the role itself.
        parameters={"UserName": "orgscan-check", "MaxItems": 1},
    ),
)
_MEMBERS = {"AccessKeyId": str, "Status": str, "CreateDate": datetime}
_AT_ONCE = 8
"""Users asked about at the same time; the account's pace is the real limit."""


async def collect(calls: Calls, clock: Clock, users: list[str]) -> Evidence:
    """The keys of ``users``, in their order.

    Raises :class:`orgscan.errors.CallError`: a listing with a hole is no listing.
    """
    found: dict[str, _Keys | None] = {}
    names = iter(users)
    workers = [asyncio.create_task(_work(calls, names, found)) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    content = {
        "keys": [key for name in users if (listed := found[name]) for key in listed.keys],
        "deleted_users": [name for name in users if found[name] is None],
    }
    return Evidence(
        kind=KIND,
        content=document(content),
        collected_at=clock.now(),
        repeated=sum(listed.repeated for listed in found.values() if listed),
    )


class _Keys(NamedTuple):
    keys: list[dict[str, Any]]
    repeated: int


async def _work(calls: Calls, names: Iterator[str], found: dict[str, _Keys | None]) -> None:
    for name in names:
        try:
            found[name] = await _keys_of(calls, name)
        except Absent:
            found[name] = None


async def _keys_of(calls: Calls, user: str) -> _Keys:
    pages = [
        page
        async for page in calls.pages(
            "ListAccessKeys", "AccessKeyMetadata", UserName=user, MaxItems=LIST_PAGE
        )
    ]
    found, repeated = unique(pages, _MEMBERS, ACTIONS[0])
    if any(key.get("UserName", user) != user for key in found):
        text = f"{ACTIONS[0]}: the answer holds a key of another user than was asked for"
        raise Malformed(text, code="MalformedAnswer", action=ACTIONS[0])
    keys = [{name: key[name] for name in _MEMBERS} | {"UserName": user} for key in found]
    return _Keys(keys, repeated)
