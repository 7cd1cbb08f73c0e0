"""Waiting for eventual consistency: IAM may not yet know what another answer of IAM named."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from orgscan.errors import Absent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orgscan.models import Clock

T = TypeVar("T")

_WAITS = (1.0, 2.0, 4.0, 8.0)
"""Seconds before each further try. IAM's changes are usually visible within seconds."""
_CONFIRMATIONS = 2


async def until_found(ask: Callable[[], Awaitable[T]], clock: Clock) -> T:
    """Ask again, with growing waits, while the answer is that the thing does not exist.

    Raises :class:`orgscan.errors.Absent` where it never appears.
    """
    for wait in _WAITS:
        try:
            return await ask()
        except Absent:
            await clock.sleep(wait * (0.5 + clock.jitter() / 2))
    return await ask()


async def or_none(ask: Callable[[], Awaitable[T]], clock: Clock, noun: str) -> T | None:
    """The answer, or None where three answers in a row say that there is no ``noun``.

    Raises :class:`orgscan.errors.Absent` where AWS says that anything else does not exist, such
    as the user who was asked about.
    """
    for wait in (0.0, *_WAITS[:_CONFIRMATIONS]):
        if wait:
            await clock.sleep(wait * (0.5 + clock.jitter() / 2))
        try:
            return await ask()
        except Absent as error:
            if noun not in str(error).lower():
                raise
    return None
