"""The control on service-specific credentials of IAM users."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import OTHERWISE, Case, Cases, Control, Unit, over, setting_text
from orgscan.controls.masks import DAY, NULL, elapsed, equals, known, micros
from orgscan.models import Kind, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits

_FOREVER = 10_000 * DAY
"""AWS accepts up to 36,600 days: an expiry further ahead than this is none."""
_WITHOUT_EXPIRY = ("codecommit.", "cassandra.")
"""The services whose credentials are passwords, which AWS cannot let expire. API keys of any
other service can: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_api_keys_for_aws_services.html"""


def _judge(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit = limits.micros("access_key_max_age_days", frame)
    days = limits.of("access_key_max_age_days", frame)
    status, created = frame["status"], micros(frame["created_at"])
    expires, age = micros(frame["expires_at"]), elapsed(created, as_of)
    expired = (expires != NULL) & (expires <= as_of)
    can_expire = ~np.asarray(
        frame["service"].fillna("").str.startswith(_WITHOUT_EXPIRY), dtype=np.bool_
    )
    endless = np.where(expires == NULL, as_of, expires) - as_of > _FOREVER
    return (
        Case(equals(status, "Inactive"), Status.NOT_APPLICABLE, "the credential is inactive"),
        Case(equals(status, "Expired"), Status.NOT_APPLICABLE, "the credential has expired"),
        Case(~equals(status, "Active"), Status.UNKNOWN, "the credential's status is not known"),
        Case(
            expired,
            Status.UNKNOWN,
            "sources contradict each other: the credential is active and its expiration date is "
            "past",
        ),
        Case(
            can_expire & (expires == NULL),
            Status.FAIL,
            "the credential never expires although its service supports an expiration date",
        ),
        Case(
            can_expire & endless,
            Status.FAIL,
            "the credential expires in more than 10,000 days, which is never",
        ),
        Case(
            ~known(frame["created_at"]),
            Status.UNKNOWN,
            "it is not known when the credential was created",
        ),
        Case(age > limit, Status.FAIL, over(age, days, "active for {}")),
        Case(OTHERWISE, Status.PASS, "the credential's age is within the limit"),
    )


CONTROLS = (
    Control(
        id="service-specific-credential",
        title="Service-specific credentials expire and are rotated",
        severity=Severity.MEDIUM,
        unit=Unit.SERVICE_CREDENTIAL,
        needs=(Kind.SERVICE_SPECIFIC_CREDENTIALS,),
        requires=(Kind.SERVICE_SPECIFIC_CREDENTIALS,),
        judge=_judge,
        threshold_text=setting_text("access_key_max_age_days", "day"),
        thresholds=("access_key_max_age_days",),
        description="API keys for a single service (Amazon Bedrock, CloudWatch Logs) and passwords "
        "for CodeCommit and Keyspaces are long-lived credentials that the credential report does "
        "not show. Where the service supports an expiration date, the key must have one.",
        remediation="Replace the credential with a role or a short-term API key. Otherwise create "
        "a new one with an expiration date, move its users, deactivate the old one, then delete "
        "it.",
    ),
)
