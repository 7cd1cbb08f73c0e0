"""Realistic frames for the reports: what tables and controls would hand over."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan.controls.control import Control, Unit
from orgscan.controls.frameworks.framework import Framework
from orgscan.models import (
    Assessment,
    Caller,
    Coverage,
    Organization,
    Requirement,
    RequirementStatus,
    RunInfo,
    Severity,
    Status,
)
from orgscan.reports.content import WorkbookContent
from orgscan.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    CREDENTIALS,
    FINDINGS,
    SERVICE_CREDENTIALS,
    Table,
    Type,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AS_OF = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DTYPES: Mapping[Type, Any] = {
    Type.STRING: pd.StringDtype(na_value=float("nan")),
    Type.BOOLEAN: "boolean",
    Type.INTEGER: "Int64",
    Type.NUMBER: "Float64",
    Type.TIMESTAMP: "datetime64[us, UTC]",
}
OUS = (
    "Root",
    "Root/Workloads/Prod",
    "Root/Workloads/Test",
    "Root/Security",
    "Root/Sandbox",
    "Root/Infrastructure/Network",
    "Root/Suspended",
)
NAMES = ("deploy", "backup", "ci-runner", "alice.miller", "bob", "terraform", "jenkins", "s3-sync")
CONTROLS = (
    ("root-access-key", "critical", "root", "The root user has no access key"),
    ("root-mfa", "critical", "root", "The root user signs in with MFA"),
    ("console-mfa", "high", "user", "Users with a console password have MFA"),
    ("root-usage", "high", "root", "The root user is not used for daily work"),
    ("access-key-rotation", "medium", "access key", "Access keys are replaced every 90 days"),
    ("unused-access-key", "medium", "access key", "Access keys not used for 45 days are off"),
    ("single-active-access-key", "low", "user", "A user has one active access key at most"),
    ("console-user", "informational", "user", "People sign in through the identity provider"),
)


def typed(table: Table, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A frame with the columns and dtypes of ``table``; what a row leaves out is null."""
    return pd.DataFrame(
        {
            column.name: pd.Series(
                [row.get(column.name) for row in rows], dtype=DTYPES[column.type]
            )
            for column in table
        }
    )


def run_info(**changes: Any) -> RunInfo:
    given = {
        "run_id": "20261120T093000Z-4f1c",
        "organization": Organization(id="o-exampleorg1", management_account_id="000000000001"),
        "caller": Caller(
            account_id="000000000001",
            arn="arn:aws:sts::000000000001:assumed-role/Auditor/jane",
            partition="aws",
        ),
        "started_at": AS_OF,
        "as_of": AS_OF,
        "version": "0.1.0",
        "role_name": "OrgScanAudit",
        "enumerated": True,
        "finished_at": AS_OF + timedelta(minutes=4, seconds=12),
    }
    return RunInfo(**{**given, **changes})


def controls() -> list[Control]:
    return [
        Control(
            id=control,
            title=title,
            severity=Severity(severity),
            unit=Unit(unit),
            needs=(),
            judge=lambda *_: (),
            description=f"{title}. Long-lived credentials are what attackers look for first.",
            remediation="Remove the credential; where it is still needed, use a role instead.",
        )
        for control, severity, unit, title in CONTROLS
    ]


def frameworks() -> list[Framework]:
    """Two frameworks that both have an id for each control."""
    numbered = list(enumerate((control[0] for control in CONTROLS), 3))
    return [
        Framework(
            key=key,
            title=title,
            version=version,
            controls={control: (f"{prefix}.{number}",) for number, control in numbered},
        )
        for key, title, version, prefix in (
            ("cis-5.0", "CIS", "5.0", "1"),
            ("security-hub", "Security Hub", "", "IAM"),
        )
    ]


def assessments() -> tuple[Assessment, ...]:
    """One framework with a requirement of two controls, one met and one nobody judges."""

    def counts(**told: int) -> dict[Status, int]:
        return {status: told.get(status.value, 0) for status in Status}

    return (
        Assessment(
            key="cis-7.0",
            title="CIS AWS Foundations Benchmark",
            version="7.0.0",
            related=False,
            requirements=(
                Requirement(id="2.1.1", status=RequirementStatus.NOT_JUDGED),
                Requirement(
                    id="2.10",
                    status=RequirementStatus.MET,
                    counts={"console-mfa": counts(PASS=7, NOT_APPLICABLE=2)},
                ),
                Requirement(
                    id="2.11",
                    status=RequirementStatus.NOT_MET,
                    counts={
                        "unused-password": counts(PASS=3, WAIVED=1),
                        "unused-access-key": counts(FAIL=4, UNKNOWN=1),
                    },
                    limits={"unused-access-key": "45 days (default)"},
                ),
            ),
        ),
    )


def account_row(number: int, coverage: str, draw: random.Random) -> dict[str, Any]:
    gap = coverage in {"PARTIAL", "DENIED", "FAILED", "NOT_ATTEMPTED"}
    reasons = {
        "PARTIAL": "ListAccessKeys was refused: AccessDenied by a service control policy.",
        "DENIED": "The audit role OrgScanAudit could not be assumed: AccessDenied. Is the role "
        "deployed in this account, and does it trust the caller?",
        "FAILED": "The credential report was not ready within 300 seconds.",
    }
    return {
        "account_id": f"{number:012d}",
        "account_name": f"{draw.choice(['payments', 'data', 'web', 'ml'])}-{number}",
        "account_email": f"aws+{number}@example.com",
        "state": "SUSPENDED" if coverage == "NOT_ACTIVE" else "ACTIVE",
        "is_management": number == 1,
        "ou_id": f"ou-ab12-{number:08d}",
        "ou_path": OUS[number % len(OUS)],
        "joined_at": AS_OF - timedelta(days=draw.randint(30, 2000)),
        "coverage": coverage,
        "reason": reasons.get(coverage),
        "error_code": "AccessDenied" if gap else None,
        "missing": "access_keys" if coverage == "PARTIAL" else None,
        "attempts": draw.randint(3, 40),
        "report_generated_at": None if gap else AS_OF - timedelta(minutes=draw.randint(0, 200)),
        "users": None if gap else draw.randint(0, 9),
        "access_keys": None if gap else draw.randint(0, 12),
        "service_credentials": None if gap else number % 5,
        "started_at": AS_OF,
        "duration_seconds": draw.random() * 9,
        "evidence_sha256": f"{draw.getrandbits(256):064x}",
    }


def who(account: Mapping[str, Any], user: str) -> dict[str, Any]:
    return {
        "account_id": account["account_id"],
        "account_name": account["account_name"],
        "ou_path": account["ou_path"],
        "user": user,
        "arn": f"arn:aws:iam::{account['account_id']}:user/{user}",
        "is_root": user == "<root_account>",
        "report_generated_at": account["report_generated_at"],
    }


def credential_row(person: Mapping[str, Any], draw: random.Random) -> dict[str, Any]:
    key = draw.random() < 0.7
    return {
        **person,
        "user_id": f"AIDA{draw.getrandbits(64):016X}",
        "source": "both",
        "user_created_at": AS_OF
        - timedelta(days=draw.randint(10, 1500), seconds=draw.randint(0, 9999)),
        "password_enabled": draw.random() < 0.4,
        "password_last_used_at": AS_OF - timedelta(hours=draw.randint(1, 9000)),
        "mfa_active": draw.random() < 0.5,
        "access_key_1_active": key,
        "access_key_1_last_rotated_at": AS_OF - timedelta(days=draw.randint(1, 900))
        if key
        else None,
        "access_key_1_last_used_at": AS_OF - timedelta(days=draw.randint(0, 400)) if key else None,
        "access_key_1_last_used_region": "eu-central-1" if key else None,
        "access_key_1_last_used_service": "s3" if key else None,
        "access_key_2_active": False,
        "cert_1_active": False,
        "cert_2_active": False,
        "access_keys_listed": int(key),
        "active_access_keys": int(key),
    }


def key_row(person: Mapping[str, Any], draw: random.Random) -> dict[str, Any]:
    age = draw.random() * 900
    return {
        **person,
        "access_key_id": f"AKIA{draw.getrandbits(64):016X}",
        "slot": 1,
        "match": draw.choice(["matched", "matched", "matched", "ambiguous", "live_only"]),
        "status": draw.choice(["Active", "Active", "Inactive"]),
        "created_at": AS_OF - timedelta(days=age),
        "last_used_at": AS_OF - timedelta(days=age / 3),
        "last_used_region": "us-east-1",
        "last_used_service": draw.choice(["s3", "ec2", "sts"]),
        "age_days": age,
        "idle_days": age / 3,
    }


def service_row(person: Mapping[str, Any], number: int) -> dict[str, Any]:
    return {
        **person,
        "credential_id": f"ACCA{number:017d}",
        "service": ("bedrock.amazonaws.com", "codecommit.amazonaws.com")[number % 2],
        "status": ("Active", "Inactive")[number % 3 == 0],
        "created_at": AS_OF - timedelta(days=number % 700),
        "expires_at": None if number % 2 else AS_OF + timedelta(days=30),
        "age_days": float(number % 700),
    }


def finding_row(
    person: Mapping[str, Any], control: Sequence[str], status: str, draw: random.Random
) -> dict[str, Any]:
    return {
        **person,
        "finding_id": f"{draw.getrandbits(128):032x}",
        "control_id": control[0],
        "severity": control[1],
        "status": status,
        "access_key_id": f"AKIA{draw.getrandbits(64):016X}" if control[2] == "access key" else None,
        "reason": {
            "UNKNOWN": "the credential report could not be read",
            "PASS": "meets the control",
        }.get(status, f"active for {draw.randint(91, 900)} days, limit 90"),
        "threshold": "90 days",
        "evidence_sha256": f"{draw.getrandbits(256):064x}",
        "as_of": AS_OF,
        "waiver_id": "W-2026-004" if status == "WAIVED" else None,
        "first_seen_at": AS_OF - timedelta(days=92),
    }


def content(
    accounts: int = 40,
    users: int = 4,
    *,
    coverages: Sequence[str] = ("COMPLETE",),
    statuses: Sequence[str] = ("PASS", "PASS", "PASS", "FAIL", "NOT_APPLICABLE", "WAIVED"),
    seed: int = 1,
    run: RunInfo | None = None,
) -> WorkbookContent:
    """A whole workbook's content, drawn from a seed."""
    draw = random.Random(seed)
    rows: dict[str, list[dict[str, Any]]] = {"a": [], "c": [], "k": [], "s": [], "f": []}
    for number in range(1, accounts + 1):
        account = account_row(number, coverages[number % len(coverages)], draw)
        rows["a"].append(account)
        gap = Coverage(account["coverage"]).is_gap
        if not Coverage(account["coverage"]).in_scope:
            continue
        for name in ("<root_account>", *draw.sample(NAMES, min(users, len(NAMES)))):
            person = who(account, name)
            root = name == "<root_account>"
            if not gap:
                rows["c"].append(credential_row(person, draw))
                if not root:
                    rows["k"].append(key_row(person, draw))
                    rows["s"].append(service_row(person, len(rows["s"])))
            for control in CONTROLS:
                if (control[2] == "root") == root and (root or not gap):
                    status = "UNKNOWN" if gap else draw.choice(statuses)
                    rows["f"].append(finding_row(person, control, status, draw))
    return WorkbookContent(
        run=run or run_info(),
        rendered_at=AS_OF + timedelta(hours=1),
        accounts=typed(ACCOUNTS, rows["a"]),
        credentials=typed(CREDENTIALS, rows["c"]),
        access_keys=typed(ACCESS_KEYS, rows["k"]),
        service_credentials=typed(SERVICE_CREDENTIALS, rows["s"]),
        findings=typed(FINDINGS, rows["f"]),
        controls=controls(),
        frameworks=frameworks(),
        assessments=assessments(),
        thresholds={"Unused credentials": "45 days", "Access key age": "90 days"},
        versions={"orgscan": "0.1.0", "Table schema": "1", "Python": "3.11.7"},
        hashes={
            name: f"{draw.getrandbits(256):064x}"
            for name in ("evidence.sqlite", "accounts.parquet", "findings.parquet")
        },
        notes=("Organizational units of 2 accounts could not be read.",),
        accounts_enumerated=accounts,
    )


def severities() -> list[str]:
    return [severity.value for severity in Severity]
