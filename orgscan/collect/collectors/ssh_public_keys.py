"""SSH public keys of users without other credentials: a credential the report does not show."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    agreed,
    document,
    is_id,
    is_text,
    list_items,
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


async def collect_ssh_public_keys(calls: Calls, clock: Clock, users: Iterable[str]) -> Evidence:
    """The SSH public keys of ``users``, by user.

    No other source knows them, so they are listed until two listings agree.

    Raises :class:`orgscan.errors.CallError`.
    """
    keys = {}
    for name in users:
        ask = partial(_keys_of, calls, name)
        keys[name] = await until_found(partial(agreed, ask, ACTIONS[0]), clock)
    return Evidence(kind=KIND, content=document(keys), collected_at=clock.now())


async def _keys_of(calls: Calls, user: str) -> list[dict[str, Any]]:
    keys, _repeated = await list_items(calls, ACTIONS[0], "SSHPublicKeys", _MEMBERS, UserName=user)
    return [{name: key[name] for name in _MEMBERS} for key in keys]
