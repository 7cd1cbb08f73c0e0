"""SSH public keys of users without other credentials: a credential the report does not show."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    LIST_PAGE,
    agreed,
    document,
    is_id,
    is_text,
    malformed,
    unique,
)
from orgscan.collect.collectors.patience import until_found
from orgscan.collect.collectors.trial import Trial
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orgscan.models import Calls, Clock

KIND = Kind.SSH_PUBLIC_KEYS
ACTIONS = ("iam:ListSSHPublicKeys",)
TRIALS = (
    Trial(
        action=ACTIONS[0],
        result="SSHPublicKeys",
        parameters={"UserName": "orgscan-check", "MaxItems": 1},
    ),
)
_MEMBERS = {"SSHPublicKeyId": is_id, "Status": is_text}


async def collect(calls: Calls, clock: Clock, users: Iterable[str]) -> Evidence:
    """The SSH public keys of ``users``, by user.

    No other source knows them, so they are listed until two listings agree.

    Raises :class:`orgscan.errors.CallError`.
    """
    found = {}
    for name in users:
        ask = partial(_keys_of, calls, name)
        found[name] = await until_found(partial(agreed, ask, ACTIONS[0]), clock)
    return Evidence(kind=KIND, content=document(found), collected_at=clock.now())


async def _keys_of(calls: Calls, user: str) -> list[dict[str, Any]]:
    pages = [
        page
        async for page in calls.pages(
            "ListSSHPublicKeys", "SSHPublicKeys", UserName=user, MaxItems=LIST_PAGE
        )
    ]
    found, _repeated = unique(pages, _MEMBERS, ACTIONS[0])
    if any(key.get("UserName", user) != user for key in found):
        raise malformed(ACTIONS[0], "the answer contains a key of another user")
    return [{name: key[name] for name in _MEMBERS} for key in found]
