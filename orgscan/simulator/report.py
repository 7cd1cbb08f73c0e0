"""Renders the credential report byte for byte as IAM does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from orgscan.models import ROOT_USER
from orgscan.simulator.world import View

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from orgscan.simulator.world import Account, Certificate, Key, Password, ReportStyle, Root, User

ABSENT = "N/A"
NEVER = "no_information"
UNSUPPORTED = "not_supported"
SLOTS = 2
ALL_COLUMNS = 23
_SPECIAL = frozenset(',"\n\r')

HEADER = (
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    *(
        f"access_key_{slot}_{part}"
        for slot in (1, 2)
        for part in (
            "active",
            "last_rotated",
            "last_used_date",
            "last_used_region",
            "last_used_service",
        )
    ),
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
    "additional_credentials_info",
)


def render(account: Account, users: Iterable[User], *, partition: str, stored: bool) -> bytes:
    """The report as CSV: LF between lines and none at the end.

    ``stored`` chooses the view: what was true when the stored report was generated, or what a
    report generated now would say.
    """
    style = account.style
    writer = _Row(style, stored=stored)
    arn = f"arn:{partition}:iam::{account.id}:"
    policy = account.password_policy
    max_age = policy.maximum_age_days if policy else None
    lines = [",".join(HEADER[: style.columns])]
    if style.root_row:
        lines.append(writer.root(account.root, arn, account.joined))
    lines += [writer.user(user, arn, max_age) for user in _shown(users, stored=stored)]
    return "\n".join(lines).encode()


def _shown(users: Iterable[User], *, stored: bool) -> list[User]:
    """The users of one view, under the names and in the order they had then."""
    hidden = View.LIVE_ONLY if stored else View.REPORT_ONLY
    shown = [user for user in users if user.view is not hidden]
    if stored and any(user.name_in_report for user in shown):
        shown = [replace(user, name=user.first_name) for user in shown]
        shown.sort(key=lambda user: (user.name.lower(), user.name))
    return shown


class _Row:
    """Writes rows in one account's style and one of the two views."""

    def __init__(self, style: ReportStyle, *, stored: bool) -> None:
        self._booleans = ("FALSE", "TRUE") if style.upper_case else ("false", "true")
        self._suffix = "+00:00" if style.offset else "Z"
        self._columns = style.columns
        self._additional = style.additional
        self._stored = stored
        self._hidden = View.LIVE_ONLY if stored else View.REPORT_ONLY

    def root(self, root: Root, arn: str, joined: datetime) -> str:
        """The first row; root's password never rotates by policy."""
        if root.password_word:
            last_used = root.password.last_used if root.password else None
            password = [root.password_word, self._time(last_used, NEVER), UNSUPPORTED]
        else:
            password = self._password(root.password)
        cells = [ROOT_USER, f"{arn}root", self._time(joined), *password, UNSUPPORTED]
        return self._line(cells, has_mfa=root.mfa.value != "none", owner=root)

    def user(self, user: User, arn: str, max_age_days: int | None) -> str:
        """One user's row."""
        rotation = ABSENT
        if user.password and max_age_days:
            rotation = self._time(user.password.changed + timedelta(days=max_age_days))
        cells = [
            _quoted(user.name),
            _quoted(f"{arn}user{user.path}{user.name}"),
            self._time(user.created),
            *self._password(user.password),
            rotation,
        ]
        return self._line(cells, has_mfa=user.mfa.value != "none", owner=user)

    def _line(self, cells: list[str], *, has_mfa: bool, owner: Root | User) -> str:
        cells.append(self._booleans[has_mfa])
        keys = [key for key in owner.keys if key.view is not self._hidden]
        for slot in range(SLOTS):
            cells += self._key(keys[slot] if slot < len(keys) else None)
        for slot in range(SLOTS):
            certificates = owner.certificates
            cells += self._certificate(certificates[slot] if slot < len(certificates) else None)
        if self._columns >= ALL_COLUMNS:
            cells.append(_quoted(owner.additional or self._additional))
        return ",".join(cells)

    def _password(self, password: Password | None) -> list[str]:
        if password is None:
            return [self._booleans[0], ABSENT, ABSENT]
        return [
            self._booleans[1],
            self._time(password.last_used, NEVER),
            self._time(password.changed),
        ]

    def _key(self, key: Key | None) -> list[str]:
        if key is None:
            return [self._booleans[0], ABSENT, ABSENT, ABSENT, ABSENT]
        active = key.active
        if self._stored and key.active_in_report is not None:
            active = key.active_in_report
        used = [ABSENT, ABSENT, ABSENT]
        if key.last_used:
            used = [self._time(key.last_used), key.region, key.service]
        return [self._booleans[active], self._time(key.created), *used]

    def _certificate(self, certificate: Certificate | None) -> list[str]:
        if certificate is None:
            return [self._booleans[0], ABSENT]
        return [self._booleans[certificate.active], self._time(certificate.created)]

    def _time(self, moment: datetime | None, otherwise: str = ABSENT) -> str:
        if moment is None:
            return otherwise
        return moment.isoformat(timespec="seconds")[:19] + self._suffix


def _quoted(text: str) -> str:
    """CSV quoting where it is necessary: names may hold commas."""
    if not _SPECIAL.intersection(text):
        return text
    return '"' + text.replace('"', '""') + '"'
