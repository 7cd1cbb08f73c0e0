"""Controls on console passwords of IAM users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import OTHERWISE, Case, Cases, Control, Unit, over, setting_text
from orgscan.controls.masks import NULL, elapsed, falsehood, known, micros, truth
from orgscan.controls.reported import without_report_row
from orgscan.models import Kind, ReportWord, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits

_NEVER_USED = (ReportWord.NO_INFORMATION, ReportWord.NOT_APPLICABLE)


def _password_cases(frame: pd.DataFrame) -> tuple[Case, ...]:
    """What leaves only users known to have a password."""
    password = frame["password_enabled"]
    return (
        *without_report_row(frame),
        Case(falsehood(password), Status.NOT_APPLICABLE, "the user has no console password"),
        Case(
            ~known(password),
            Status.UNKNOWN,
            "the report does not say whether the user has a console password",
        ),
    )


def _console_mfa(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    mfa = frame["mfa_active"]
    return (
        *_password_cases(frame),
        Case(falsehood(mfa), Status.FAIL, "the user has a console password and no MFA device"),
        Case(truth(mfa), Status.PASS, "the user has an MFA device"),
        Case(
            OTHERWISE, Status.UNKNOWN, "the report does not say whether the user has an MFA device"
        ),
    )


def _unused_password(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit = limits.micros("unused_credential_days", frame)
    days = limits.of("unused_credential_days", frame)
    used = micros(frame["password_last_used_at"])
    changed, created = micros(frame["password_last_changed_at"]), micros(frame["user_created_at"])
    since = np.select([used != NULL, changed != NULL], [used, changed], created)
    idle = elapsed(since, as_of)
    word = frame["password_last_used_note"].isin(_NEVER_USED).to_numpy(dtype=bool)
    never = used == NULL
    return (
        *_password_cases(frame),
        Case(
            (never & ~word) | (since == NULL),
            Status.UNKNOWN,
            "the report does not say since when the password is idle",
        ),
        Case(
            (idle >= limit) & never,
            Status.FAIL,
            over(idle, days, "console password never used, idle for {}"),
        ),
        Case(idle >= limit, Status.FAIL, over(idle, days, "console password idle for {}")),
        Case(
            since > as_of,
            Status.PASS,
            "last use or change of the password lies after the as-of time; idle time counted as 0",
        ),
        Case(OTHERWISE, Status.PASS, "the console password was idle for less than the limit"),
    )


def _console_user(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    return (
        *without_report_row(frame),
        Case(
            truth(frame["password_enabled"]),
            Status.FAIL,
            "an IAM user signs in to the console with a password",
        ),
        Case(
            ~known(frame["password_enabled"]),
            Status.UNKNOWN,
            "the report does not say whether the user has a console password",
        ),
        Case(OTHERWISE, Status.PASS, "the user has no console password"),
    )


CONTROLS = (
    Control(
        id="console-mfa",
        title="Console users have MFA",
        severity=Severity.HIGH,
        unit=Unit.USER,
        needs=(Kind.CREDENTIAL_REPORT,),
        judge=_console_mfa,
        description="A password alone can be guessed, phished or reused; every user who can sign "
        "in to the console needs a second factor.",
        remediation="Have the user register an MFA device, or delete the console password and use "
        "the identity provider instead.",
    ),
    Control(
        id="unused-password",
        title="Console passwords are in use",
        severity=Severity.MEDIUM,
        unit=Unit.USER,
        needs=(Kind.CREDENTIAL_REPORT,),
        judge=_unused_password,
        threshold_text=setting_text("unused_credential_days", "day"),
        thresholds=("unused_credential_days",),
        description="Misuse of an unused password is easily overlooked. Idle time runs from the "
        "last sign-in; if there was none, from when the password was set.",
        remediation="Confirm with the user, then delete the console password (login profile).",
    ),
    Control(
        id="console-user",
        title="People sign in through the identity provider",
        severity=Severity.INFORMATIONAL,
        unit=Unit.USER,
        needs=(Kind.CREDENTIAL_REPORT,),
        judge=_console_user,
        description="An IAM user with a console password is a person outside the identity "
        "provider: leaving the company does not end this access.",
        remediation="Give the person access through the identity provider, then delete the console "
        "password.",
    ),
)
