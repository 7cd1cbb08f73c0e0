"""Readings made from small dicts; no AWS, no clock."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from orgscan.models import ROOT_USER, Account, Coverage, Evidence, Gap, Kind, Outcome, Reading

AS_OF = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
GENERATED = AS_OF - timedelta(hours=1)
ACCOUNT = "012345678901"
COLUMNS = [
    "user",
    "arn",
    "user_creation_time",
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
    "mfa_active",
    "access_key_1_active",
    "access_key_1_last_rotated",
    "access_key_1_last_used_date",
    "access_key_1_last_used_region",
    "access_key_1_last_used_service",
    "access_key_2_active",
    "access_key_2_last_rotated",
    "access_key_2_last_used_date",
    "access_key_2_last_used_region",
    "access_key_2_last_used_service",
    "cert_1_active",
    "cert_1_last_rotated",
    "cert_2_active",
    "cert_2_last_rotated",
]
_BOOLEANS = {name for name in COLUMNS if name.endswith(("_active", "_enabled"))}


def stamp(moment: datetime | str) -> str:
    if isinstance(moment, str):
        return moment
    return moment.isoformat().replace("+00:00", "Z")


def ago(**delta: float) -> datetime:
    return AS_OF - timedelta(**delta)


def row(user: str = "alice", account: str = ACCOUNT, **cells: Any) -> dict[str, str]:
    """A report row; cells not given say that nothing exists. Times may be datetimes."""
    resource = "root" if user == ROOT_USER else f"user/{user}"
    values = dict.fromkeys(COLUMNS, "N/A") | dict.fromkeys(_BOOLEANS, "false")
    values |= {
        "user": user,
        "arn": f"arn:aws:iam::{account}:{resource}",
        "user_creation_time": stamp(ago(days=400)),
    }
    for name, value in cells.items():
        if name not in values:
            raise KeyError(name)
        values[name] = str(value).lower() if isinstance(value, bool) else stamp(value)
    return values


def slot(
    number: int, *, active: bool, created: Any, used: Any = "N/A", **more: str
) -> dict[str, Any]:
    """The cells of one key slot, for ``row(**slot(1, ...))``."""
    used_somewhere = used != "N/A"
    return {
        f"access_key_{number}_active": active,
        f"access_key_{number}_last_rotated": created,
        f"access_key_{number}_last_used_date": used,
        f"access_key_{number}_last_used_region": more.get(
            "region", "us-east-1" if used_somewhere else "N/A"
        ),
        f"access_key_{number}_last_used_service": more.get(
            "service", "s3" if used_somewhere else "N/A"
        ),
    }


def root(account: str = ACCOUNT, **cells: Any) -> dict[str, str]:
    given = {"password_enabled": True, "password_last_used": "no_information", "mfa_active": True}
    return row(ROOT_USER, account, **(given | cells))


def render(
    rows: list[dict[str, str]], columns: tuple[str, ...] | list[str] = tuple(COLUMNS)
) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([[r.get(name, "") for name in columns] for r in rows])
    return text.getvalue().rstrip("\n").encode()


def user(name: str = "alice", account: str = ACCOUNT, created: Any = None) -> dict[str, str]:
    return {
        "Arn": f"arn:aws:iam::{account}:user/{name}",
        "CreateDate": stamp(created or ago(days=400)),
        "Path": "/",
        "UserId": f"AIDA{name}",
        "UserName": name,
    }


def key(key_id: str, created: Any, name: str = "alice", status: str = "Active") -> dict[str, str]:
    return {
        "AccessKeyId": key_id,
        "CreateDate": stamp(created),
        "Status": status,
        "UserName": name,
    }


UNSET: Any = object()


def service_credential(
    number: int = 1,
    name: str = "alice",
    *,
    created: Any,
    service: str = "bedrock.amazonaws.com",
    expires: Any = None,
    status: str = "Active",
) -> dict[str, str]:
    expiry = {} if expires is None else {"ExpirationDate": stamp(expires)}
    return {
        "ServiceSpecificCredentialId": f"ACCAEXAMPLE00000{number:04d}",
        "UserName": name,
        "ServiceName": service,
        "Status": status,
        "CreateDate": stamp(created),
        **expiry,
    }


def reading(
    account: str = ACCOUNT,
    *,
    report: list[dict[str, str]] | bytes | None = UNSET,
    users: list[dict[str, str]] | None = UNSET,
    keys: list[dict[str, str]] | None = UNSET,
    deleted: list[str] | None = None,
    summary: dict[str, int] | None = UNSET,
    policy: Any = UNSET,
    devices: list[dict[str, Any]] | None = UNSET,
    details: dict[str, Any] | None = UNSET,
    service_credentials: list[dict[str, Any]] | None = UNSET,
    ssh_keys: dict[str, Any] | None = UNSET,
    coverage: Coverage | None = None,
    gaps: tuple[Gap, ...] = (),
    generated: datetime | None = GENERATED,
    **more: Any,
) -> Reading:
    """An account's reading; None means that the kind was not collected.

    The last three kinds are requested only where they are given.
    """
    report = [root(account)] if report is UNSET else report
    users = [] if users is UNSET else users
    keys = [] if keys is UNSET else keys
    content: dict[Kind, bytes | None] = {
        Kind.CREDENTIAL_REPORT: render(report) if isinstance(report, list) else report,
        Kind.USERS: _json(users),
        Kind.ACCESS_KEYS: None
        if keys is None
        else _json({"keys": keys, "deleted_users": deleted or []}),
        Kind.ACCOUNT_SUMMARY: _json(_summary(report, users) if summary is UNSET else summary),
        Kind.PASSWORD_POLICY: None
        if policy is None
        else _json(
            {"MinimumPasswordLength": 14, "PasswordReusePrevention": 24}
            if policy is UNSET
            else policy
        ),
        Kind.VIRTUAL_MFA_DEVICES: _json([] if devices is UNSET else devices),
    }
    later = {
        Kind.USER_DETAILS: details,
        Kind.SERVICE_SPECIFIC_CREDENTIALS: service_credentials,
        Kind.SSH_PUBLIC_KEYS: ssh_keys,
    }
    content |= {kind: _json(value) for kind, value in later.items() if value is not UNSET}
    if policy == "no policy":
        content[Kind.PASSWORD_POLICY] = b"null"
    evidence = tuple(
        Evidence(
            kind=kind,
            content=data,
            collected_at=AS_OF,
            generated_at=generated if kind == Kind.CREDENTIAL_REPORT else None,
        )
        for kind, data in content.items()
        if data is not None
    )
    absent = tuple(
        Gap(kind=kind, code="AccessDenied", reason="denied")
        for kind, data in content.items()
        if data is None
    )
    gaps = (*gaps, *absent)
    return Reading(
        account=Account(
            account_id=account,
            name=more.get("name", f"name-{account}"),
            ou_path="Root/Prod",
            arn=more.get("arn", ""),
        ),
        outcome=Outcome(
            account_id=account,
            coverage=coverage or (Coverage.PARTIAL if gaps else Coverage.COMPLETE),
            evidence=evidence,
            gaps=gaps,
        ),
        evidence_sha256="0" * 64 if evidence else None,
    )


def _summary(report: Any, users: Any) -> dict[str, int]:
    """What IAM counts where the report tells the truth about root."""
    rows = report if isinstance(report, list) else []
    cells = next((one for one in rows if one["user"] == ROOT_USER), root())

    def any_of(*names: str) -> int:
        return int(any(cells[name] not in {"false", "N/A"} for name in names))

    slots = (f"access_key_{slot}_{name}" for slot in (1, 2) for name in ("active", "last_rotated"))
    return {
        "Users": len(users or ()),
        "AccountMFAEnabled": int(cells["mfa_active"] != "false"),
        "AccountPasswordPresent": any_of("password_enabled"),
        "AccountAccessKeysPresent": any_of(*slots),
        "AccountSigningCertificatesPresent": any_of("cert_1_active", "cert_2_active"),
    }


def unread(account: str = ACCOUNT, coverage: Coverage = Coverage.DENIED) -> Reading:
    """An account of which nothing could be read."""
    return Reading(
        account=Account(account_id=account, name="unread"),
        outcome=Outcome(
            account_id=account, coverage=coverage, reason="no", error_code="AccessDenied"
        ),
    )


def _json(value: Any) -> bytes | None:
    return None if value is None else json.dumps(value, sort_keys=True).encode()
