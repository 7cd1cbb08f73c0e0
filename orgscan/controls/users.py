"""Controls on IAM users as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import OTHERWISE, Case, Cases, Control, Unit, count
from orgscan.controls.masks import Mask, known, truth
from orgscan.controls.reported import without_report_row
from orgscan.controls.sentences import Figures
from orgscan.models import Kind, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits

_KEYS = (Kind.CREDENTIAL_REPORT, Kind.USERS, Kind.ACCESS_KEYS)
_TWO = 2
_NOT_LISTED = "the access keys of the user were not listed; the report shows no second active key"
_ADDITIONAL = "the report names additional credentials of the user that it does not describe"


def _active_keys(frame: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(frame["active_access_keys"].fillna(0), dtype=np.int64)


def _no_keys(frame: pd.DataFrame) -> Mask:
    """No key at all: by the live listing where it covers the user, else by the report."""
    listed = frame["access_keys_listed"]
    slots = np.zeros(len(frame), dtype=np.bool_)
    for slot in (1, 2):
        slots |= known(frame[f"access_key_{slot}_last_rotated_at"])
        slots |= truth(frame[f"access_key_{slot}_active"])
    return np.where(known(listed), np.asarray(listed.fillna(0)) == 0, ~slots)


def _some(counted: pd.Series) -> Mask:
    """Where a count is known and not zero."""
    return np.asarray(counted.fillna(0), dtype=np.int64) > 0


def _single_active_key(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    active = _active_keys(frame)
    return (
        Case(active >= _TWO, Status.FAIL, Figures(lambda n: f"{n} active access keys", active)),
        Case(
            ~known(frame["active_access_keys"]) & known(frame["access_keys_listed"]),
            Status.UNKNOWN,
            "the status of an access key is not known",
        ),
        Case(
            ~known(frame["active_access_keys"]),
            Status.UNKNOWN,
            "neither the access keys nor a readable report row of the user were collected",
        ),
        Case(_no_keys(frame), Status.NOT_APPLICABLE, "the user has no access key"),
        # A key created or activated since the report would be the second one.
        Case(~known(frame["access_keys_listed"]), Status.UNKNOWN, _NOT_LISTED),
        Case(OTHERWISE, Status.PASS, "the user has no more than one active access key"),
    )


def _certificates(frame: pd.DataFrame) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Mask]:
    """How many signing certificates are active, and where the report does not say."""
    first, second = frame["cert_1_active"], frame["cert_2_active"]
    return truth(first).astype(np.int64) + truth(second), ~(known(first) & known(second))


def _without_credentials(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    certificates, unclear = _certificates(frame)
    password = frame["password_enabled"]
    unclear = unclear | ~known(password) | ~known(frame["active_access_keys"])
    service, ssh = frame["active_service_credentials"], frame["active_ssh_public_keys"]
    unlisted = truth(frame["more_credentials_requested"]) & ~(known(service) & known(ssh))
    return (
        Case(_active_keys(frame) > 0, Status.PASS, "the user has an active access key"),
        *without_report_row(frame),
        Case(truth(password), Status.PASS, "the user has a console password"),
        Case(certificates > 0, Status.PASS, "the user has an active signing certificate"),
        Case(_some(service), Status.PASS, "the user has an active service-specific credential"),
        Case(_some(ssh), Status.PASS, "the user has an active SSH public key"),
        Case(unclear, Status.UNKNOWN, "the report does not say which credentials the user has"),
        Case(
            unlisted,
            Status.UNKNOWN,
            "service-specific credentials or SSH public keys of the user could not be listed",
        ),
        Case(known(frame["additional_credentials_info"]), Status.UNKNOWN, _ADDITIONAL),
        Case(
            OTHERWISE,
            Status.FAIL,
            "the user has no password, no active access key and no active certificate",
        ),
    )


def _signing_certificate(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    active, unclear = _certificates(frame)
    return (
        *without_report_row(frame),
        Case(
            active > 0,
            Status.FAIL,
            Figures(lambda n: f"{count(n, 'active signing certificate')}", active),
        ),
        Case(unclear, Status.UNKNOWN, "the report does not say whether certificates are active"),
        Case(known(frame["additional_credentials_info"]), Status.UNKNOWN, _ADDITIONAL),
        Case(OTHERWISE, Status.NOT_APPLICABLE, "the user has no active signing certificate"),
    )


CONTROLS = (
    Control(
        id="single-active-access-key",
        title="No user has two active access keys",
        severity=Severity.LOW,
        unit=Unit.USER,
        needs=_KEYS,
        judge=_single_active_key,
        description="The second key exists for the moment of rotation. Two keys active for long "
        "double what can leak and hide which one is in use.",
        remediation="Find the key that is in use and young enough, deactivate the other, watch for "
        "breakage, then delete it.",
    ),
    Control(
        id="user-without-credentials",
        title="No IAM user is without credentials",
        severity=Severity.LOW,
        unit=Unit.USER,
        needs=_KEYS,
        judge=_without_credentials,
        description="A user that cannot sign in or call AWS has no purpose, but still holds "
        "permissions. Anyone who can add a credential to it can use them.",
        remediation="Confirm that nothing needs the user, then delete it.",
    ),
    Control(
        id="signing-certificate",
        title="No signing certificates are active",
        severity=Severity.LOW,
        unit=Unit.USER,
        needs=(Kind.CREDENTIAL_REPORT,),
        judge=_signing_certificate,
        description="X.509 signing certificates belong to retired interfaces and are long-lived "
        "credentials all the same.",
        remediation="Deactivate the certificate, watch for breakage, then delete it.",
    ),
)
