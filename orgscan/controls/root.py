"""Controls on the root user of an account."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from orgscan.controls.control import OTHERWISE, Case, Cases, Control, Unit, count, setting_text
from orgscan.controls.masks import (
    DAY,
    NULL,
    SECOND,
    Mask,
    elapsed,
    equals,
    falsehood,
    known,
    micros,
    truth,
)
from orgscan.controls.sentences import Figures
from orgscan.models import Kind, ReportWord, Severity, Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits

_BOTH = (Kind.CREDENTIAL_REPORT, Kind.ACCOUNT_SUMMARY)
_NOT_SUPPORTED = ReportWord.NOT_SUPPORTED
_NO_ROOT = "no readable root row in a credential report was collected"
_NO_ROOT_USER = "credential reports of the China partition describe no root user"
_NO_SUMMARY = "the account summary, which must confirm the report, was not collected"
_NO_COUNT = "the account summary, which must confirm the report, lacks a count of root credentials"
_NO_CREDENTIALS = "root has no password, no access key and no certificate"
_CREDENTIALS_UNCLEAR = "the report does not say which credentials root has"
_ADDITIONAL = "the report names additional credentials of root that it does not describe"


@dataclass(frozen=True, slots=True)
class _Statement:
    """What both sources say about one fact of root.

    The account summary is collected after the report was generated, so it is the newer source
    (in runs of orgscan 0.1.0 it may be older by seconds; its time is compared). The newer source
    alone can prove a FAIL. No source proves a PASS against the other.
    """

    name: str
    reported: Mask
    """The report says yes."""
    denied: Mask
    """The report says no."""
    counted: Mask
    """The summary says yes."""
    uncounted: Mask
    """The summary says no."""

    @property
    def contradicted(self) -> Mask:
        """The two sources differ."""
        return (self.reported & self.uncounted) | (self.denied & self.counted)

    @property
    def agreed_no(self) -> Mask:
        """Both sources say no."""
        return self.denied & self.uncounted


def _statement(
    frame: pd.DataFrame,
    name: str,
    column: str,
    yes: Mask,
    no: Mask,
    *,
    explained: Mask | bool = False,
) -> _Statement:
    """``explained`` is where the summary counts something that the report shows as unusable."""
    flag = frame[column]
    value = np.where(explained, 0, np.asarray(flag.fillna(0), dtype=np.int64))
    rooted = truth(frame["has_root_row"])
    return _Statement(name, yes & rooted, no & rooted, value > 0, known(flag) & (value == 0))


def _mfa(frame: pd.DataFrame) -> _Statement:
    mfa = frame["root_mfa_active"]
    return _statement(frame, "an MFA device", "summary_root_mfa", truth(mfa), falsehood(mfa))


def _password(frame: pd.DataFrame) -> _Statement:
    enabled = frame["root_password_enabled"]
    # Asked about root, older reports and GovCloud answer not_supported: root has a password.
    yes = truth(enabled) | equals(frame["root_password_enabled_note"], _NOT_SUPPORTED)
    return _statement(frame, "a password", "summary_root_password", yes, falsehood(enabled))


def _keys(frame: pd.DataFrame) -> _Statement:
    yes = _slot(frame, 1) | _slot(frame, 2)
    return _statement(frame, "access keys", "summary_root_keys", yes, ~yes & ~_slots_unclear(frame))


def _certificates(frame: pd.DataFrame) -> _Statement:
    first, second = frame["root_cert_1_active"], frame["root_cert_2_active"]
    yes, no = truth(first) | truth(second), falsehood(first) & falsehood(second)
    dated = known(frame["root_cert_1_last_rotated_at"]) | known(
        frame["root_cert_2_last_rotated_at"]
    )
    # The summary counts inactive certificates, too.
    return _statement(
        frame,
        "signing certificates",
        "summary_root_certificates",
        yes,
        no,
        explained=no & dated,
    )


def _credentials(frame: pd.DataFrame) -> tuple[_Statement, ...]:
    return _password(frame), _keys(frame), _certificates(frame)


def _contradictions(frame: pd.DataFrame, *statements: _Statement) -> tuple[Case, ...]:
    """UNKNOWN, with both values and times, wherever the sources differ."""
    when = _times(frame)
    return tuple(
        Case(
            statement.contradicted,
            Status.UNKNOWN,
            Figures(partial(_contradiction_text, statement.name), statement.reported, *when),
        )
        for statement in statements
    )


def _times(frame: pd.DataFrame) -> tuple[Any, Any]:
    return micros(frame["report_generated_at"]), micros(frame["summary_at"])


def _contradiction_text(name: str, reported: bool, report_at: int, summary_at: int) -> str:  # noqa: FBT001
    verbs = ("has", "does not have")
    report, summary = verbs if reported else verbs[::-1]
    return (
        f"sources contradict each other: root {report} {name} according to the credential report "
        f"of {_moment(report_at)}, and {summary} {name} according to the account summary of "
        f"{_moment(summary_at)}"
    )


def _moment(micros_since_1970: int) -> str:
    moment = datetime.fromtimestamp(micros_since_1970 / SECOND, UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _unproven(frame: pd.DataFrame) -> tuple[Case, ...]:
    """UNKNOWN where one of the two sources is missing, or speaks of more than it describes."""
    rooted = truth(frame["has_root_row"])
    return (
        Case(
            ~rooted & truth(frame["root_not_reported"]) & _counts_nothing(frame),
            Status.NOT_APPLICABLE,
            _NO_ROOT_USER,
        ),
        Case(~rooted, Status.UNKNOWN, _NO_ROOT),
        Case(
            ~truth(frame["has_summary"]) | ~known(frame["summary_root_mfa"]),
            Status.UNKNOWN,
            _NO_SUMMARY,
        ),
    )


def _counts_nothing(frame: pd.DataFrame) -> Mask:
    """Where the account summary was read and counts no credential of root."""
    nothing = known(frame["summary_root_keys"])
    for statement in _credentials(frame):
        nothing = nothing & ~statement.counted
    return nothing


def _uncounted_credentials(frame: pd.DataFrame) -> Case:
    """UNKNOWN where the summary lacks a count, so that nothing confirms the report."""
    names = ("summary_root_password", "summary_root_keys", "summary_root_certificates")
    counted = np.logical_and.reduce([known(frame[name]) for name in names])
    return Case(~counted, Status.UNKNOWN, _NO_COUNT)


def _additional(frame: pd.DataFrame) -> Mask:
    return known(frame["root_additional_credentials_info"])


def _slot(frame: pd.DataFrame, number: int) -> Mask:
    """A key exists when it has a date (inactive keys keep theirs) or is active."""
    name = f"root_access_key_{number}"
    return known(frame[f"{name}_last_rotated_at"]) | truth(frame[f"{name}_active"])


def _slots_unclear(frame: pd.DataFrame) -> Mask:
    return ~(known(frame["root_access_key_1_active"]) & known(frame["root_access_key_2_active"]))


def _has_credentials(frame: pd.DataFrame) -> Mask:
    """A source says that root has one."""
    has = _additional(frame)
    for statement in _credentials(frame):
        has = has | statement.reported | statement.counted
    return has


def _has_none(frame: pd.DataFrame) -> Mask:
    """Both sources say that root has none."""
    password, keys, certificates = (statement.agreed_no for statement in _credentials(frame))
    return password & keys & certificates & ~_additional(frame)


def _without_mfa(frame: pd.DataFrame) -> tuple[Case, ...]:
    """FAIL where the newer source alone proves it, or one source and the other does not deny it."""
    mfa, credentials = _mfa(frame), _credentials(frame)
    report_at, summary_at = _times(frame)
    newer = summary_at >= report_at
    counted = np.logical_or.reduce([credential.counted for credential in credentials])
    reported = np.logical_or.reduce([credential.reported for credential in credentials])
    undenied = np.logical_or.reduce(
        [credential.reported & ~credential.uncounted for credential in credentials]
    )
    by_report = mfa.denied & ((undenied & ~mfa.counted) | (reported & ~newer))
    return (
        Case(by_report, Status.FAIL, "root has credentials and no MFA device"),
        Case(
            newer & counted & mfa.uncounted,
            Status.FAIL,
            "the account summary counts credentials of root and no MFA device",
        ),
    )


def _root_access_key(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    keys = _keys(frame)
    slots = _slot(frame, 1).astype(int) + _slot(frame, 2)
    active = truth(frame["root_access_key_1_active"]).astype(int)
    active = active + truth(frame["root_access_key_2_active"])
    counted = frame["summary_root_keys"]
    summed = np.asarray(counted.fillna(0), dtype=np.int64)
    return (
        Case((slots > 0) & ~keys.uncounted, Status.FAIL, Figures(_root_keys_text, slots, active)),
        Case(
            summed > 0,
            Status.FAIL,
            Figures(lambda n: f"the account summary counts {count(n, 'root access key')}", summed),
        ),
        *_contradictions(frame, keys),
        *_unproven(frame),
        Case(
            _slots_unclear(frame),
            Status.UNKNOWN,
            "the report does not say whether root has access keys",
        ),
        Case(~known(counted), Status.UNKNOWN, _NO_SUMMARY),
        Case(_additional(frame), Status.UNKNOWN, _ADDITIONAL),
        Case(OTHERWISE, Status.PASS, "report and account summary show no root access key"),
    )


def _root_keys_text(slots: int, active: int) -> str:
    exist = f"{count(slots, 'root access key')} {'exists' if slots == 1 else 'exist'}"
    if slots == 1:
        return f"{exist}, {'active' if active else 'inactive: it can be activated at any time'}"
    return f"{exist}, {active} active and {slots - active} inactive"


def _root_mfa(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    mfa, has = _mfa(frame), _has_credentials(frame)
    return (
        *_without_mfa(frame),
        *_unproven(frame),
        Case(_has_none(frame), Status.NOT_APPLICABLE, _NO_CREDENTIALS),
        *_contradictions(frame, mfa, *_credentials(frame)),
        _uncounted_credentials(frame),
        Case(has & mfa.reported & mfa.counted, Status.PASS, "root has an MFA device"),
        Case(_additional(frame) & mfa.agreed_no, Status.UNKNOWN, _ADDITIONAL),
        Case(has, Status.UNKNOWN, "the report does not say whether root has an MFA device"),
        Case(OTHERWISE, Status.UNKNOWN, _CREDENTIALS_UNCLEAR),
    )


def _root_hardware_mfa(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    mfa, virtual, has = _mfa(frame), frame["root_virtual_mfa"], _has_credentials(frame)
    return (
        *_without_mfa(frame),
        *_unproven(frame),
        Case(_has_none(frame), Status.NOT_APPLICABLE, _NO_CREDENTIALS),
        Case(has & truth(virtual), Status.FAIL, "root's MFA device is a virtual one"),
        *_contradictions(frame, mfa, *_credentials(frame)),
        Case(~has, Status.UNKNOWN, _CREDENTIALS_UNCLEAR),
        _uncounted_credentials(frame),
        Case(_additional(frame) & mfa.agreed_no, Status.UNKNOWN, _ADDITIONAL),
        Case(
            ~mfa.reported | ~mfa.counted,
            Status.UNKNOWN,
            "the report does not say whether root has an MFA device",
        ),
        Case(
            ~truth(frame["has_virtual_mfa"]),
            Status.UNKNOWN,
            "the virtual MFA devices were not listed",
        ),
        Case(
            ~known(virtual),
            Status.UNKNOWN,
            "a virtual MFA device is assigned, and AWS does not say to whom",
        ),
        Case(OTHERWISE, Status.PASS, "root has an MFA device and no virtual one"),
    )


def _root_usage(frame: pd.DataFrame, limits: Limits, as_of: np.int64) -> Cases:
    limit, days = limits.micros("root_usage_days", frame), limits.of("root_usage_days", frame)
    uses = ("password_last_used_at", "access_key_1_last_used_at", "access_key_2_last_used_at")
    latest = np.max([micros(frame[f"root_{name}"]) for name in uses], axis=0)
    age, used = elapsed(latest, as_of), latest != NULL
    unsaid = equals(frame["root_password_last_used_note"], _NOT_SUPPORTED)
    return (
        Case(
            used & (latest > as_of),
            Status.FAIL,
            "root was used after the as-of time; counted as used 0 days ago",
        ),
        Case(used & (age < limit), Status.FAIL, Figures(_usage_text, age // DAY, days)),
        *_unproven(frame),
        # Whatever changed root's credentials since the report may have been root itself.
        *_contradictions(frame, *_credentials(frame)),
        Case(
            unsaid,
            Status.UNKNOWN,
            "the report does not say when root's password was last used",
        ),
        _uncounted_credentials(frame),
        Case(
            equals(frame["root_password_last_used_note"], ReportWord.NOT_APPLICABLE)
            & _password(frame).reported,
            Status.UNKNOWN,
            "the report says both that root has a password and that it has none",
        ),
        Case(~used, Status.PASS, "no use of root is recorded"),
        Case(OTHERWISE, Status.PASS, "root was last used longer ago than the limit"),
    )


def _usage_text(days: int, limit: float) -> str:
    ago = f"{count(days, 'day')} ago" if days else "less than a day ago"
    return f"root was last used {ago}, limit {limit:.12g}"


def _root_signing_certificate(frame: pd.DataFrame, _limits: Limits, _as_of: np.int64) -> Cases:
    certificates = _certificates(frame)
    summary = known(frame["summary_root_certificates"])
    return (
        Case(
            certificates.reported & ~certificates.uncounted,
            Status.FAIL,
            "root has an active X.509 signing certificate",
        ),
        Case(
            certificates.counted,
            Status.FAIL,
            "the account summary counts a signing certificate of root",
        ),
        *_contradictions(frame, certificates),
        *_unproven(frame),
        Case(~summary, Status.UNKNOWN, _NO_SUMMARY),
        Case(
            ~certificates.denied,
            Status.UNKNOWN,
            "the report does not say whether root has signing certificates",
        ),
        Case(_additional(frame), Status.UNKNOWN, _ADDITIONAL),
        Case(OTHERWISE, Status.PASS, "report and account summary show no root signing certificate"),
    )


CONTROLS = (
    Control(
        id="root-access-key",
        title="Root has no access keys",
        severity=Severity.CRITICAL,
        unit=Unit.ROOT,
        needs=_BOTH,
        judge=_root_access_key,
        description="A root access key can do anything in the account and cannot be restricted by "
        "IAM policies. An inactive one counts too: it can be switched on at any time.",
        remediation="Find what uses the key, move it to a role, deactivate the key, then delete it "
        "from root's security credentials page or by removing root credentials centrally.",
    ),
    Control(
        id="root-mfa",
        title="Root signs in with MFA",
        severity=Severity.CRITICAL,
        unit=Unit.ROOT,
        needs=_BOTH,
        judge=_root_mfa,
        description="Where root has a credential, a second factor must protect it. An account "
        "without root credentials has nothing to protect.",
        remediation="Assign an MFA device to root, or remove root's credentials centrally from the "
        "management account.",
    ),
    Control(
        id="root-hardware-mfa",
        title="Root's MFA device is a physical one",
        severity=Severity.HIGH,
        unit=Unit.ROOT,
        needs=(*_BOTH, Kind.VIRTUAL_MFA_DEVICES),
        judge=_root_hardware_mfa,
        description="A virtual device is a secret that can be copied with the phone that holds it. "
        "Root deserves a security key or a hardware token.",
        remediation="Replace root's virtual MFA device by a security key kept in a safe place, or "
        "remove root's credentials centrally.",
    ),
    Control(
        id="root-usage",
        title="Root is not in everyday use",
        severity=Severity.HIGH,
        unit=Unit.ROOT,
        needs=_BOTH,
        judge=_root_usage,
        threshold_text=setting_text("root_usage_days", "day"),
        thresholds=("root_usage_days",),
        description="Root is for the few tasks nothing else can do. A recent sign-in or use of a "
        "root key needs an explanation.",
        remediation="Ask who used root and for what; give them a role that can do it, and keep "
        "root's credentials for emergencies.",
    ),
    Control(
        id="root-signing-certificate",
        title="Root has no signing certificate",
        severity=Severity.HIGH,
        unit=Unit.ROOT,
        needs=_BOTH,
        judge=_root_signing_certificate,
        description="An active X.509 signing certificate of root signs requests with root's full "
        "rights, and MFA does not protect it.",
        remediation="Find what uses the certificate, move it to a role, deactivate the "
        "certificate, then delete it from root's security credentials page or by removing root "
        "credentials centrally.",
    ),
)
