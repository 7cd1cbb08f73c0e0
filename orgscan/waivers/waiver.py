"""What a waiver is: a FAIL somebody accepted, for whom, why, and until when."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import translate
from typing import TYPE_CHECKING

from orgscan.models import ROOT_USER

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_CONTROL = "*"
"""In place of control ids: whatever the control is."""

_PATTERN_CHARACTERS = frozenset("*?![]")
"""None of them occurs in the name of an IAM user."""


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
    """Shell pattern (``*``, ``?``, ``[...]``) for the whole user name; case matters.

    Only the exact name ``<root_account>`` means root; no pattern matches it.
    """
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
        """Whether anything but controls narrows it; the whole root does not."""
        below_root = "/" in self.ou
        return bool(self.account or self.access_key_id or self.tag or below_root or self.user)

    @property
    def names_one(self) -> bool:
        """Whether it is about one account or key, however small the organization is."""
        return bool(self.account or self.access_key_id)

    @property
    def has_user_pattern(self) -> bool:
        """Whether ``user`` may match more than one name."""
        return bool(_PATTERN_CHARACTERS & set(self.user))

    @property
    def may_waive_every_control(self) -> bool:
        """Whether its scope is small enough for :data:`EVERY_CONTROL`.

        It names an account, an access key or one user. An organizational unit, a tag and a user
        pattern may come to match anything later on.
        """
        return self.names_one or bool(self.user and not self.has_user_pattern)

    @property
    def is_self_approved(self) -> bool:
        """Whether the owner approved it, whatever the case and spacing of the two names."""
        return _person(self.owner) == _person(self.approved_by)

    def user_pattern(self) -> Callable[[str], object]:
        """The test of whether a user name matches; truthy where it does."""
        if not self.has_user_pattern:
            return self.user.__eq__
        matches = re.compile(translate(self.user)).match
        return lambda name: name != ROOT_USER and matches(name)


def _person(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).split()).casefold()


def moment(value: datetime) -> str:
    """An instant as people write it: a date where it is midnight UTC, else with the time."""
    value = value.astimezone(UTC)
    if not (value.hour or value.minute or value.second):
        return f"{value:%Y-%m-%d}"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC"
