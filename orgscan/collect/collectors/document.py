"""How answers become evidence bytes: the same answer always gives the same bytes."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from orgscan.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from orgscan.models import Calls, Clock

T = TypeVar("T")

LIST_PAGE = 1_000
"""IAM's largest page."""

DISAGREE = "ListingsDisagree"
"""The code of listings of which no two in a row agree."""

_LISTINGS = 4
_CLOCKS_DIFFER = timedelta(hours=1)
"""More than the difference to this machine's clock with which AWS accepts a request."""
_is_id = re.compile(r"\w{16,128}", re.ASCII).fullmatch


def is_text(value: object) -> bool:
    """Whether a member is text, and not empty."""
    return isinstance(value, str) and value != ""


def is_id(value: object) -> bool:
    """Whether a member is an id of IAM: 16 to 128 letters, digits or ``_`` (botocore's model)."""
    return isinstance(value, str) and _is_id(value) is not None


def is_time(value: object) -> bool:
    """Whether a member is a time."""
    return isinstance(value, datetime)


def document(answer: Any) -> bytes:
    """Canonical JSON of an answer: sorted keys, ASCII, times in ISO 8601 UTC.

    Raises :class:`orgscan.errors.Malformed` for a type that no answer in use contains.
    """
    return json.dumps(answer, sort_keys=True, separators=(",", ":"), default=_iso_time).encode()


async def list_items(
    calls: Calls,
    action: str,
    result: str,
    members: Mapping[str, Callable[[object], bool]],
    **parameters: Any,
) -> tuple[list[dict[str, Any]], int]:
    """The items of a list of IAM, each once, and the number of repetitions.

    ``members`` are those every item must have, with their tests; the first one identifies an
    item. A page answered twice doubles nothing.

    Raises :class:`orgscan.errors.CallError`; an item that lacks a member, comes twice with
    different members or is another user's than ``UserName`` is malformed: evaluated without it,
    the verdict would be wrong.
    """
    _service, _, operation = action.partition(":")
    pages = [
        page async for page in calls.pages(operation, result, MaxItems=LIST_PAGE, **parameters)
    ]
    key = next(iter(members))
    items: dict[str, dict[str, Any]] = {}
    for page in pages:
        for item in page:
            for name, is_valid in members.items():
                if not isinstance(item, dict) or not is_valid(item.get(name)):
                    raise malformed(action, f"the answer contains an item without a valid {name}")
            known = items.setdefault(item[key], item)
            if known is not item and any(known[name] != item[name] for name in members):
                raise malformed(action, f"the answer describes one {key} in two ways")
    user = parameters.get("UserName")
    if user is not None and any(item.get("UserName", user) != user for item in items.values()):
        raise malformed(action, "the answer contains an item of another user")
    return list(items.values()), sum(map(len, pages)) - len(items)


def refuse_future(action: str, clock: Clock, moments: Iterable[datetime]) -> None:
    """Raise :class:`orgscan.errors.Malformed` if a time of creation or use lies in the future.

    It is wrong, and would make a credential look younger or more used than it is.
    """
    latest = clock.now() + _CLOCKS_DIFFER
    if any(moment > latest for moment in moments):
        raise malformed(action, "the answer contains a time in the future")


def malformed(action: str, problem: str) -> Malformed:
    """The error for an answer that parses but cannot be right."""
    return Malformed(f"{action}: {problem}", code="MalformedAnswer", action=action)


async def agreed(ask: Callable[[], Awaitable[T]], action: str, first: T | None = None) -> T:
    """The answer that two consecutive listings agree on; ``first`` counts as one of them.

    For listings that no other source confirms. Raises :class:`orgscan.errors.Malformed` with
    the code ``ListingsDisagree`` where four listings bring no agreement.
    """
    latest = await ask() if first is None else first
    for _ in range(_LISTINGS - 1):
        before, latest = latest, await ask()
        if before == latest:
            return latest
    raise Malformed(
        f"{action}: {_LISTINGS} listings in a row disagree", code=DISAGREE, action=action
    )


def _iso_time(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise malformed(
        "iam", f"the answer contains {type(value).__name__}, which has no place in evidence"
    )
