"""What a waiver is: a FAIL somebody accepted, for whom, why, and until when."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_CONTROL = "*"
"""In place of control ids: whatever the control is."""


class State(StrEnum):
    """Where a moment lies in the life of a waiver."""

    NOT_YET_VALID = "not yet valid"
    IN_FORCE = "in force"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One accepted risk. It holds from ``start`` inclusive to ``expires`` exclusive, both UTC.

    The scope (``account``, ``ou``, ``user``, ``access_key_id``, ``tag``) is empty text where it
    is not narrowed; all that is given must hold.
    """

    id: str
    controls: tuple[str, ...]
    """Control ids, or :data:`EVERY_CONTROL` alone."""
    account: str = ""
    """Account id."""
    ou: str = ""
    """Path of an organizational unit, as in ``Root/Workloads/Prod``; what is below is included."""
    user: str = ""
    """Shell pattern (``*``, ``?``, ``[...]``) for the whole user name; case matters."""
    access_key_id: str = ""
    tag: str = ""
    """``KEY=VALUE`` of an account tag."""
    owner: str
    reason: str
    ticket: str = ""
    approved_by: str
    start: datetime | None = None
    expires: datetime
    place: str = field(default="", compare=False)
    """Where it was read, for messages."""

    def state(self, as_of: datetime) -> State:
        """Exact at both ends: in force at ``start``, expired at ``expires``."""
        if as_of >= self.expires:
            return State.EXPIRED
        if self.start is not None and as_of < self.start:
            return State.NOT_YET_VALID
        return State.IN_FORCE

    def lasts_longer_than(self, days: float, as_of: datetime) -> bool:
        """Whether it runs for more than ``days`` from its start, or from ``as_of`` without one."""
        return self.expires - (self.start or as_of) > timedelta(days=days)

    @property
    def is_narrowed(self) -> bool:
        """Whether anything but controls narrows it; the whole root or any user does not."""
        below_root = "/" in self.ou
        some_users = bool(self.user.strip("*"))
        return bool(self.account or self.access_key_id or self.tag or below_root or some_users)

    @property
    def names_one(self) -> bool:
        """Whether it is about one account or key, however small the organization is."""
        return bool(self.account or self.access_key_id)

    def matches_ou(self, ou_path: str) -> bool:
        """Whether ``ou_path`` is the unit or lies below it."""
        return ou_path == self.ou or ou_path.startswith(f"{self.ou}/")

    def user_pattern(self) -> Callable[[str], object]:
        """What tells whether a user name matches; truthy where it does."""
        return re.compile(translate(self.user)).match


def moment(value: datetime) -> str:
    """An instant as people write it: a date where it is midnight UTC, else with the time."""
    value = value.astimezone(UTC)
    if not (value.hour or value.minute or value.second):
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
