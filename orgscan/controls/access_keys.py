"""Controls on single access keys of IAM users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import (
    OTHERWISE,
    Case,
    Cases,
    Control,
    Unit,
    count,
    over,
    setting_text,
)
from orgscan.controls.masks import (
    DAY,
    MINUTE,
    NULL,
    Mask,
    Micros,
    elapsed,
    equals,
    falsehood,
    known,
    micros,
)
from orgscan.controls.reported import without_report_row
from orgscan.controls.sentences import Figures
from orgscan.models import Kind, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits

_KEYS = (Kind.CREDENTIAL_REPORT, Kind.USERS, Kind.ACCESS_KEYS)
_USE_UNKNOWN = "the key is not in the credential report, and its last use could not be read"
_UNDECIDED = "two keys were created in the same second and the report tells them apart no further"
_EXPIRED = "the key has expired and cannot be used"
_FUTURE = "the key was created after the as-of time; age counted as 0"


def _not_active(frame: pd.DataFrame) -> tuple[Case, ...]:
    """What leaves only active keys with a known time of creation."""
    status = frame["status"]
    return (
        Case(equals(status, "Inactive"), Status.NOT_APPLICABLE, "the key is inactive"),
        Case(equals(status, "Expired"), Status.NOT_APPLICABLE, _EXPIRED),
        Case(~equals(status, "Active"), Status.UNKNOWN, "the key's status is not known"),
        Case(
            ~known(frame["created_at"]),
            Status.UNKNOWN,
            "it is not known when the key was created",
        ),
    )


def _newer(frame: pd.DataFrame) -> Mask:
    """Created after the account's report was generated: rightly not in it."""
    generated = micros(frame["account_generated_at"])
    later: Mask = (generated != NULL) & (micros(frame["created_at"]) > generated)
    return later


def _undescribed(frame: pd.DataFrame) -> Mask:
    """Not in the report, and AWS did not tell the last use when asked directly."""
    silent: Mask = equals(frame["match"], "live_only") & ~np.asarray(
        frame["use_known"], dtype=np.bool_
    )
    return silent


def _unmatched(frame: pd.DataFrame) -> tuple[Case, ...]:
    """UNKNOWN for keys that nothing describes although they are no newer than the report."""
    silent = _undescribed(frame) & ~_newer(frame)
    return (*without_report_row(frame, silent), Case(silent, Status.UNKNOWN, _USE_UNKNOWN))


def _use(frame: pd.DataFrame) -> tuple[Mask, Micros, Micros]:
    """Whether last use is known, and both readings of it (equal unless ambiguous)."""
    sure = np.asarray(frame["use_known"], dtype=np.bool_)
    return sure, micros(frame["used_one"]), micros(frame["used_two"])


def _unused(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit = limits.micros("unused_credential_days", frame)
    days = limits.of("unused_credential_days", frame)
    created, newer = micros(frame["created_at"]), _newer(frame)
    sure, *uses = _use(frame)
    first, second = (elapsed(np.where(used == NULL, created, used), as_of) for used in uses)
    age, live_only = elapsed(created, as_of), _undescribed(frame)
    idle = np.where(live_only, age, np.minimum(first, second))
    future = np.maximum(created, np.maximum(*uses)) > as_of
    never = sure & (uses[0] == NULL) & (uses[1] == NULL)
    return (
        *_not_active(frame),
        *_unmatched(frame),
        Case(live_only & newer & (age < limit), Status.PASS, "the key is younger than the limit"),
        Case(~(live_only | sure), Status.UNKNOWN, _UNDECIDED),
        Case((first >= limit) != (second >= limit), Status.UNKNOWN, _UNDECIDED),
        Case((idle >= limit) & never, Status.FAIL, over(idle, days, "never used, idle for {}")),
        Case(idle >= limit, Status.FAIL, over(idle, days, "idle for {}")),
        Case(
            future,
            Status.PASS,
            "creation or last use of the key lies after the as-of time; idle time counted as 0",
        ),
        Case(OTHERWISE, Status.PASS, "the key was idle for less than the limit"),
    )


def _rotation(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit = limits.micros("access_key_max_age_days", frame)
    days = limits.of("access_key_max_age_days", frame)
    created = micros(frame["created_at"])
    age = elapsed(created, as_of)
    return (
        *_not_active(frame),
        Case(age > limit, Status.FAIL, over(age, days, "active for {}")),
        Case(created > as_of, Status.PASS, _FUTURE),
        Case(OTHERWISE, Status.PASS, "the key's age is within the limit"),
    )


def _setup(frame: pd.DataFrame, limits: Limits, _as_of: np.int64) -> Cases:
    window = limits.micros("setup_window_minutes", frame, MINUTE)
    any_time = np.asarray(limits.of("setup_rule", frame)) == "never-used"
    password = frame["password_enabled"]
    created, user = micros(frame["created_at"]), micros(frame["user_created_at"])
    user_known = user != NULL
    later = user_known & ~any_time & (created - np.where(user_known, user, 0) > window)
    sure, first, second = _use(frame)
    return (
        *_not_active(frame),
        *without_report_row(frame),
        Case(falsehood(password), Status.NOT_APPLICABLE, "the user has no console password"),
        Case(
            ~known(password),
            Status.UNKNOWN,
            "the report does not say whether the user has a console password",
        ),
        *_unmatched(frame),
        Case(later, Status.PASS, "the key was created some time after the user"),
        Case(_undescribed(frame), Status.UNKNOWN, _USE_UNKNOWN),
        Case(~sure | ((first == NULL) != (second == NULL)), Status.UNKNOWN, _UNDECIDED),
        Case(first != NULL, Status.PASS, "the key has been used"),
        Case(~(any_time | user_known), Status.UNKNOWN, "it is not known when the user was created"),
        Case(
            any_time | np.zeros(len(frame), dtype=np.bool_),
            Status.FAIL,
            "a console user holds an active access key that was never used",
        ),
        Case(OTHERWISE, Status.FAIL, "made along with the console user and never used"),
    )


def _setup_text(frame: pd.DataFrame, limits: Limits) -> Figures:
    names = ("setup_rule", "setup_window_minutes")

    def text(rule: str, minutes: float, of_rule: int, of_minutes: int) -> str:
        if rule == "never-used":
            return f"never used ({limits.source(names[0], of_rule)})"
        return f"{count(minutes, 'minute')} ({limits.source(names[1], of_minutes)})"

    values = [limits.of(name, frame) for name in names]
    return Figures(text, *values, *(limits.numbers(name, frame) for name in names))


def _never_used(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit = limits.micros("new_key_grace_days", frame)
    days = limits.of("new_key_grace_days", frame)
    created = micros(frame["created_at"])
    age = elapsed(created, as_of)
    sure, first, second = _use(frame)
    return (
        *_not_active(frame),
        *_unmatched(frame),
        Case(created > as_of, Status.PASS, _FUTURE),
        Case(age <= limit, Status.PASS, "the key is new"),
        Case(_undescribed(frame), Status.UNKNOWN, _USE_UNKNOWN),
        Case(~sure | ((first == NULL) != (second == NULL)), Status.UNKNOWN, _UNDECIDED),
        Case(first != NULL, Status.PASS, "the key has been used"),
        Case(OTHERWISE, Status.FAIL, over(age, days, "never used in {}")),
    )


def _inactive(frame: pd.DataFrame, _limits: Limits, as_of: np.int64) -> Cases:
    status, created = frame["status"], micros(frame["created_at"])
    age = elapsed(created, as_of) // DAY
    return (
        Case(equals(status, "Active"), Status.NOT_APPLICABLE, "the key is active"),
        Case(equals(status, "Expired"), Status.NOT_APPLICABLE, _EXPIRED),
        Case(~equals(status, "Inactive"), Status.UNKNOWN, "the key's status is not known"),
        Case(created == NULL, Status.FAIL, "the key is inactive but was not deleted"),
        Case(OTHERWISE, Status.FAIL, Figures(_inactive_text, age)),
    )


def _inactive_text(days: int) -> str:
    return f"inactive but not deleted, created {count(days, 'day')} ago"


CONTROLS = (
    Control(
        id="unused-access-key",
        title="Active access keys are in use",
        severity=Severity.MEDIUM,
        unit=Unit.ACCESS_KEY,
        needs=_KEYS,
        judge=_unused,
        threshold_text=setting_text("unused_credential_days", "day"),
        thresholds=("unused_credential_days",),
        description="An unused active key is a risk without a benefit. Idle time runs from the "
        "last use; if there was none, from creation.",
        remediation="Confirm with the owner, deactivate the key, watch for breakage, then delete "
        "it.",
    ),
    Control(
        id="access-key-rotation",
        title="Active access keys are rotated",
        severity=Severity.MEDIUM,
        unit=Unit.ACCESS_KEY,
        needs=_KEYS,
        judge=_rotation,
        threshold_text=setting_text("access_key_max_age_days", "day"),
        thresholds=("access_key_max_age_days",),
        description="The longer a key lives, the more places hold a copy of it. A key of exactly "
        "the limit still passes.",
        remediation="Better than rotating: replace the key by a role. Otherwise create a second "
        "key, switch its users over, deactivate the old one, then delete it.",
    ),
    Control(
        id="setup-access-key",
        title="No access key is made along with a console user",
        severity=Severity.LOW,
        unit=Unit.ACCESS_KEY,
        needs=_KEYS,
        judge=_setup,
        threshold_text=_setup_text,
        thresholds=("setup_rule", "setup_window_minutes"),
        description="Access keys created by default with a console user are rarely "
        "needed. Create a key only when a user needs one.",
        remediation="Delete the key; have the user create one when there is a use for it.",
    ),
    Control(
        id="never-used-access-key",
        title="Access keys are used soon after they are made",
        severity=Severity.MEDIUM,
        unit=Unit.ACCESS_KEY,
        needs=_KEYS,
        judge=_never_used,
        threshold_text=setting_text("new_key_grace_days", "day"),
        thresholds=("new_key_grace_days",),
        description="A key that was never used since it was made was not needed, or lies forgotten "
        "in somebody's downloads.",
        remediation="Deactivate the key and delete it; nothing depends on it.",
    ),
    Control(
        id="inactive-access-key",
        title="Inactive access keys are deleted",
        severity=Severity.LOW,
        unit=Unit.ACCESS_KEY,
        needs=_KEYS,
        judge=_inactive,
        description="An inactive key can be reactivated at any time by anyone who can edit the "
        "user; only a deleted key is gone.",
        remediation="Delete the key once nothing has missed it.",
    ),
)
