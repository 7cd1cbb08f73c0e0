"""Controls on the root user of an account."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import (
    DAY,
    NULL,
    OTHERWISE,
    Case,
    Cases,
    Control,
    Figures,
    Mask,
    Unit,
    count,
    elapsed,
    falsehood,
    known,
    limit_text,
    micros,
    truth,
)
from orgscan.models import Kind, ReportWord, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits

_NOT_SUPPORTED = ReportWord.NOT_SUPPORTED
_NO_ROOT = "no readable root row in a credential report was collected"
_NO_CREDENTIALS = "root has no password, no access key and no certificate"
_CREDENTIALS_UNCLEAR = "the report does not say which credentials root has"


def _said(note: pd.Series, word: str) -> Mask:
    return np.asarray(note == word, dtype=np.bool_)


def _without_root_row(frame: pd.DataFrame) -> Case:
    return Case(~truth(frame["has_root_row"]), Status.UNKNOWN, _NO_ROOT)


def _slot(frame: pd.DataFrame, number: int) -> Mask:
    """A key exists when it has a date (inactive keys keep theirs) or is active."""
    name = f"root_access_key_{number}"
    return known(frame[f"{name}_last_rotated_at"]) | truth(frame[f"{name}_active"])


def _slots_unclear(frame: pd.DataFrame) -> Mask:
    return ~(known(frame["root_access_key_1_active"]) & known(frame["root_access_key_2_active"]))


def _has_credentials(frame: pd.DataFrame) -> Mask:
    return (
        truth(frame["root_password_enabled"])
        # Asked of root, older reports and GovCloud answer not_supported: root has a password.
        | _said(frame["root_password_enabled_note"], _NOT_SUPPORTED)
        | _slot(frame, 1)
        | _slot(frame, 2)
        | truth(frame["root_cert_1_active"])
        | truth(frame["root_cert_2_active"])
    )


def _has_none(frame: pd.DataFrame) -> Mask:
    certain = falsehood(frame["root_password_enabled"]) & ~_slots_unclear(frame)
    certain &= falsehood(frame["root_cert_1_active"]) & falsehood(frame["root_cert_2_active"])
    return certain & ~_has_credentials(frame)


def _root_access_key(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    slots = _slot(frame, 1).astype(int) + _slot(frame, 2)
    active = truth(frame["root_access_key_1_active"]).astype(int)
    active = active + truth(frame["root_access_key_2_active"])
    counted = frame["summary_root_keys"]
    summed = np.asarray(counted.fillna(0), dtype=np.int64)
    return (
        Case(slots > 0, Status.FAIL, Figures(_root_keys_text, slots, active)),
        Case(
            summed > 0,
            Status.FAIL,
            Figures(lambda n: f"the account summary counts {count(n, 'root access key')}", summed),
        ),
        _without_root_row(frame),
        Case(
            _slots_unclear(frame),
            Status.UNKNOWN,
            "the report does not say whether root has access keys",
        ),
        Case(~known(counted), Status.UNKNOWN, "the account summary was not collected"),
        Case(OTHERWISE, Status.PASS, "report and account summary show no root access key"),
    )


def _root_keys_text(slots: int, active: int) -> str:
    exist = f"{count(slots, 'root access key')} {'exists' if slots == 1 else 'exist'}"
    if slots == 1:
        return f"{exist}, {'active' if active else 'inactive: it can be activated at any time'}"
    return f"{exist}, {active} active and {slots - active} inactive"


def _root_mfa(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    mfa, has = frame["root_mfa_active"], _has_credentials(frame)
    return (
        _without_root_row(frame),
        Case(has & falsehood(mfa), Status.FAIL, "root has credentials and no MFA device"),
        Case(has & truth(mfa), Status.PASS, "root has an MFA device"),
        Case(_has_none(frame), Status.NOT_APPLICABLE, _NO_CREDENTIALS),
        Case(has, Status.UNKNOWN, "the report does not say whether root has an MFA device"),
        Case(OTHERWISE, Status.UNKNOWN, _CREDENTIALS_UNCLEAR),
    )


def _root_hardware_mfa(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    mfa, virtual = frame["root_mfa_active"], frame["root_virtual_mfa"]
    return (
        _without_root_row(frame),
        Case(_has_none(frame), Status.NOT_APPLICABLE, _NO_CREDENTIALS),
        Case(~_has_credentials(frame), Status.UNKNOWN, _CREDENTIALS_UNCLEAR),
        Case(falsehood(mfa), Status.FAIL, "root has credentials and no MFA device"),
        Case(truth(virtual), Status.FAIL, "root's MFA device is a virtual one"),
        Case(~known(mfa), Status.UNKNOWN, "the report does not say whether root has an MFA device"),
        Case(~known(virtual), Status.UNKNOWN, "the virtual MFA devices were not listed"),
        Case(OTHERWISE, Status.PASS, "root has an MFA device and no virtual one"),
    )


def _root_usage(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit, days = limits.micros("root_usage_days", frame), limits.of("root_usage_days", frame)
    uses = ("password_last_used_at", "access_key_1_last_used_at", "access_key_2_last_used_at")
    latest = np.max([micros(frame[f"root_{name}"]) for name in uses], axis=0)
    age, used = elapsed(latest, as_of), latest != NULL
    unsaid = _said(frame["root_password_last_used_note"], _NOT_SUPPORTED)
    return (
        _without_root_row(frame),
        Case(
            used & (latest > as_of),
            Status.FAIL,
            "root was used after the as-of time; counted as used 0 days ago",
        ),
        Case(used & (age < limit), Status.FAIL, Figures(_usage_text, age // DAY, days)),
        Case(
            unsaid,
            Status.UNKNOWN,
            "the report does not say when root's password was last used",
        ),
        Case(~used, Status.PASS, "no use of root is recorded"),
        Case(OTHERWISE, Status.PASS, "root was last used longer ago than the limit"),
    )


def _usage_text(days: int, limit: float) -> str:
    ago = f"{count(days, 'day')} ago" if days else "less than a day ago"
    return f"root was last used {ago}, limit {limit:.12g}"


ROOT_ACCESS_KEY = Control(
    id="root-access-key",
    title="Root has no access keys",
    severity=Severity.CRITICAL,
    unit=Unit.ROOT,
    needs=(Kind.CREDENTIAL_REPORT, Kind.ACCOUNT_SUMMARY),
    judge=_root_access_key,
    description="A root access key can do anything in the account and cannot be restricted by "
    "IAM policies. An inactive one counts too: it can be switched on at any time.",
    remediation="Find what uses the key, move it to a role, deactivate the key, then delete it "
    "from root's security credentials page or by removing root credentials centrally.",
)
ROOT_MFA = Control(
    id="root-mfa",
    title="Root signs in with MFA",
    severity=Severity.CRITICAL,
    unit=Unit.ROOT,
    needs=(Kind.CREDENTIAL_REPORT,),
    judge=_root_mfa,
    description="Where root has a credential, a second factor must protect it. An account "
    "without root credentials has nothing to protect.",
    remediation="Assign an MFA device to root, or remove root's credentials centrally from the "
    "management account.",
)
ROOT_HARDWARE_MFA = Control(
    id="root-hardware-mfa",
    title="Root's MFA device is a physical one",
    severity=Severity.HIGH,
    unit=Unit.ROOT,
    needs=(Kind.CREDENTIAL_REPORT, Kind.VIRTUAL_MFA_DEVICES),
    judge=_root_hardware_mfa,
    description="A virtual device is a secret that can be copied with the phone that holds it. "
    "Root deserves a security key or a hardware token.",
    remediation="Replace root's virtual MFA device by a security key kept in a safe place, or "
    "remove root's credentials centrally.",
)
ROOT_USAGE = Control(
    id="root-usage",
    title="Root is not in everyday use",
    severity=Severity.HIGH,
    unit=Unit.ROOT,
    needs=(Kind.CREDENTIAL_REPORT,),
    judge=_root_usage,
    threshold=limit_text("root_usage_days", "day"),
    limits=("root_usage_days",),
    description="Root is for the few tasks nothing else can do. A recent sign-in or use of a "
    "root key needs an explanation.",
    remediation="Ask who used root and for what; give them a role that can do it, and keep "
    "root's credentials for emergencies.",
)
CONTROLS = (ROOT_ACCESS_KEY, ROOT_MFA, ROOT_HARDWARE_MFA, ROOT_USAGE)
