"""How answers become evidence bytes: the same answer always gives the same bytes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orgscan.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

LIST_PAGE = 1_000
"""IAM's largest page."""


def document(answer: Any) -> bytes:
    """Canonical JSON of an answer: sorted keys, ASCII, times in ISO 8601 UTC.

    Raises :class:`orgscan.errors.Malformed` for what no answer in use holds.
    """
    return json.dumps(answer, sort_keys=True, separators=(",", ":"), default=_plain).encode()


def unique(
    pages: list[list[dict[str, Any]]], members: Mapping[str, type], action: str
) -> tuple[list[dict[str, Any]], int]:
    """The items of all pages, each once, and how many came again.

    ``members`` are those every item must have, with their types; the first tells items apart. A
    page answered twice doubles nothing.

    Raises :class:`orgscan.errors.Malformed` where an item lacks a member: judged without it, it
    would be judged wrongly.
    """
    key = next(iter(members))
    items: dict[str, dict[str, Any]] = {}
    for page in pages:
        for item in page:
            for name, kind in members.items():
                if not isinstance(item.get(name), kind):
                    text = f"{action}: the answer holds an item without {name}"
                    raise Malformed(text, code="MalformedAnswer", action=action)
            items.setdefault(item[key], item)
    return list(items.values()), sum(map(len, pages)) - len(items)


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    text = f"the answer holds {type(value).__name__}, which no evidence has a place for"
    raise Malformed(text, code="MalformedAnswer", action="iam")
