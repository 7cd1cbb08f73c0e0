"""Controls on an account's password policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import OTHERWISE, Case, Cases, Control, Unit, setting_text
from orgscan.controls.masks import falsehood, known, truth
from orgscan.controls.sentences import Figures
from orgscan.models import Kind, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits


def _without_policy(frame: pd.DataFrame) -> tuple[Case, ...]:
    return (
        Case(
            ~truth(frame["has_policy_answer"]),
            Status.UNKNOWN,
            "the password policy was not collected",
        ),
        Case(falsehood(frame["policy_exists"]), Status.FAIL, "the account has no password policy"),
    )


def _length(frame: pd.DataFrame, limits: Limits, _as_of: np.int64) -> Cases:
    limit = limits.of("password_minimum_length", frame)
    stated = frame["policy_minimum_length"]
    length = np.asarray(stated.fillna(0), dtype=np.int64)
    return (
        *_without_policy(frame),
        Case(~known(stated), Status.FAIL, "the password policy states no minimum length"),
        Case(
            length < limit,
            Status.FAIL,
            Figures(
                lambda n, at: f"passwords of {n} characters allowed, limit {at}", length, limit
            ),
        ),
        Case(OTHERWISE, Status.PASS, "the minimum length meets the limit"),
    )


def _reuse(frame: pd.DataFrame, limits: Limits, _as_of: np.int64) -> Cases:
    limit = limits.of("password_reuse_prevention", frame)
    stated = frame["policy_reuse_prevention"]
    remembered = np.asarray(stated.fillna(0), dtype=np.int64)
    return (
        *_without_policy(frame),
        Case(~known(stated), Status.FAIL, "the password policy does not prevent reuse"),
        Case(
            remembered < limit,
            Status.FAIL,
            Figures(lambda n, at: f"{n} passwords remembered, limit {at}", remembered, limit),
        ),
        Case(OTHERWISE, Status.PASS, "enough passwords are remembered"),
    )


CONTROLS = (
    Control(
        id="password-length",
        title="Passwords have a minimum length",
        severity=Severity.MEDIUM,
        unit=Unit.ACCOUNT,
        needs=(Kind.PASSWORD_POLICY,),
        judge=_length,
        threshold_text=setting_text("password_minimum_length", "character"),
        thresholds=("password_minimum_length",),
        description="The account's password policy must refuse short passwords; without a policy "
        "AWS's weak default applies.",
        remediation="Set the minimum length in the account's password policy (IAM, account "
        "settings).",
    ),
    Control(
        id="password-reuse",
        title="Old passwords cannot be used again",
        severity=Severity.LOW,
        unit=Unit.ACCOUNT,
        needs=(Kind.PASSWORD_POLICY,),
        judge=_reuse,
        threshold_text=setting_text("password_reuse_prevention", "password"),
        thresholds=("password_reuse_prevention",),
        description="The account's password policy must remember enough passwords that a leaked "
        "one does not come back.",
        remediation="Turn on reuse prevention in the account's password policy and set how many "
        "passwords it remembers.",
    ),
)
