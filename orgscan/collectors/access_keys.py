"""The live list of access keys, user by user: the only source of key ids.

A user deleted since the listing is a fact, not an error.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from orgscan.collectors.document import LIST_PAGE, document, unique
from orgscan.errors import Absent
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.models import Calls, Clock

KIND = Kind.ACCESS_KEYS
ACTIONS = ("iam:ListAccessKeys",)
_KEPT = ("AccessKeyId", "Status", "CreateDate")
_AT_ONCE = 8
"""Users asked about at the same time; the account's pace is the real limit."""


async def collect(calls: Calls, clock: Clock, users: list[str]) -> Evidence:
    """The keys of ``users``, in their order.

    Raises :class:`orgscan.errors.CallError`: a listing with a hole is no listing.
    """
    found: dict[str, list[dict[str, Any]] | None] = {}
    names = iter(users)
    workers = [asyncio.create_task(_work(calls, names, found)) for _ in range(_AT_ONCE)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    content = {
        "keys": [key for name in users for key in found[name] or ()],
        "deleted_users": [name for name in users if found[name] is None],
    }
    return Evidence(kind=KIND, content=document(content), collected_at=clock.now())


async def _work(
    calls: Calls, names: Iterator[str], found: dict[str, list[dict[str, Any]] | None]
) -> None:
    for name in names:
        try:
            found[name] = await _keys_of(calls, name)
        except Absent:
            found[name] = None


async def _keys_of(calls: Calls, user: str) -> list[dict[str, Any]]:
    pages = [
        page
        async for page in calls.pages(
            "ListAccessKeys", "AccessKeyMetadata", UserName=user, MaxItems=LIST_PAGE
        )
    ]
    # The name asked for is the name filed under, whatever the answer repeats.
    return [
        {name: key[name] for name in _KEPT if name in key} | {"UserName": user}
        for key in unique(pages, "AccessKeyId", ACTIONS[0])
    ]
