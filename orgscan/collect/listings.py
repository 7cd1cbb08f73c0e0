"""Whose a listing is: looked at as it is collected, like the report."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from orgscan.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterator

_match_owner = re.compile(
    r"arn:(?P<partition>[a-z-]+):iam::(?P<account>\d{12}):.+", re.ASCII | re.DOTALL
).fullmatch


def refuse_foreign(content: bytes, account_id: str, partition: str) -> None:
    """Look at the ARNs of a list of users or MFA devices.

    Raises :class:`orgscan.errors.IntegrityError` when one is another account's or partition's:
    judged with it, a missing device would pass for a hardware one.
    """
    for arn in _arns(json.loads(content)):
        owner = _match_owner(arn)
        if owner and (owner["account"], owner["partition"]) != (account_id, partition):
            raise IntegrityError(f"a listing of account {account_id} holds {arn}")


def _arns(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        user = item.get("User")
        owner = user.get("Arn") if isinstance(user, dict) else None
        for value in (item.get("Arn"), item.get("SerialNumber"), owner):
            if isinstance(value, str):
                yield value
