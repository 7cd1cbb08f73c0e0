"""An evidence store of any size, as a scan would have left it; no AWS and no simulator."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orgscan.models import (
    Account,
    Caller,
    Coverage,
    Evidence,
    Kind,
    Organization,
    Outcome,
    RunInfo,
)
from orgscan.report import COLUMNS
from orgscan.runs.evidence import EvidenceStore

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
GENERATED = NOW - timedelta(hours=1)
USERS = 10
_ROOT = (
    "<root_account>,arn:aws:iam::{account}:root,2020-01-01T00:00:00Z,true,no_information,N/A,"
    "not_supported,true,false,N/A,N/A,N/A,N/A,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A"
)
_USER = (
    "{name},arn:aws:iam::{account}:user/{name},2021-01-01T00:00:0{digit}Z,{human},{used},{used},"
    "N/A,true,{active},{made}Z,{used},us-east-1,s3,false,N/A,N/A,N/A,N/A,false,N/A,false,N/A"
)


def info() -> RunInfo:
    account = "0" * 12
    return RunInfo(
        run_id="00000000-0000-0000-0000-000000000000",
        organization=Organization("o-benchmark0", account),
        caller=Caller(account, f"arn:aws:iam::{account}:user/auditor", "aws"),
        started_at=NOW,
        as_of=NOW,
        version="0",
        role_name="OrgScanAudit",
        enumerated=True,
        finished_at=NOW,
    )


def fill(path: Path, principals: int) -> int:
    """A store of accounts of ten users and root each; how many principals it holds."""
    accounts = max(1, round(principals / (USERS + 1)))
    draw = random.Random(1)
    with EvidenceStore.create(path, info()) as store:
        # Nothing here is worth waiting for the disk.
        store._connection.execute("PRAGMA synchronous=OFF")
        for start in range(0, accounts, 1000):
            ids = [f"{number:012d}" for number in range(start, min(start + 1000, accounts))]
            store.add_accounts(
                Account(account_id=i, name=f"account {i}", ou_path=f"Root/Unit {i[-2:]}/Prod")
                for i in ids
            )
            for account_id in ids:
                store.keep(_outcome(account_id, draw))
    return accounts * (USERS + 1)


def _outcome(account: str, draw: random.Random) -> Outcome:
    rows, users, keys = [",".join(COLUMNS), _ROOT.format(account=account)], [], []
    for number in range(USERS):
        name = f"user-{number}-{draw.randrange(10**6)}"
        made = (
            f"202{draw.randrange(2, 7)}-0{draw.randrange(1, 9)}-1{draw.randrange(9)}"
            f"T0{draw.randrange(9)}:1{draw.randrange(9)}:2{draw.randrange(9)}"
        )
        active = number % 3 > 0
        values = {
            "digit": number,
            "human": str(number % 2 > 0).lower(),
            "used": "2026-09-10T10:00:00Z" if number % 2 else "N/A",
            "active": str(active).lower(),
        }
        rows.append(_USER.format(name=name, account=account, made=made, **values))
        users.append(
            {
                "Arn": f"arn:aws:iam::{account}:user/{name}",
                "CreateDate": f"2021-01-01T00:00:0{number}+00:00",
                "Path": "/",
                "UserId": f"AIDA{account}{number}",
                "UserName": name,
            }
        )
        # Every fifth user made a second key since the report.
        for place, when in enumerate([made, "2026-11-01T11:30:00"][: 2 if number % 5 == 0 else 1]):
            keys.append(
                {
                    "AccessKeyId": f"AKIA{account}{number:02d}{place}",
                    "CreateDate": f"{when}+00:00",
                    "Status": "Active" if active else "Inactive",
                    "UserName": name,
                }
            )
    answers = {
        Kind.USERS: users,
        Kind.ACCESS_KEYS: {"deleted_users": [], "keys": keys},
        Kind.ACCOUNT_SUMMARY: {"AccountAccessKeysPresent": 0, "Users": USERS},
        Kind.PASSWORD_POLICY: {"MinimumPasswordLength": 8},
        Kind.VIRTUAL_MFA_DEVICES: [],
        Kind.USER_DETAILS: {
            "keys": {
                key["AccessKeyId"]: {"Region": "N/A", "ServiceName": "N/A"}
                for key in keys
                if key["CreateDate"] > GENERATED.isoformat()
            },
            "users": {},
        },
        Kind.SERVICE_SPECIFIC_CREDENTIALS: [],
        Kind.SSH_PUBLIC_KEYS: {},
    }
    contents = {kind: json.dumps(answer).encode() for kind, answer in answers.items()}
    contents[Kind.CREDENTIAL_REPORT] = "\n".join(rows).encode()
    return Outcome(
        account_id=account,
        coverage=Coverage.COMPLETE,
        attempts=1,
        started_at=NOW,
        duration_seconds=1.0,
        evidence=tuple(
            Evidence(
                kind=kind,
                content=contents[kind],
                collected_at=NOW,
                generated_at=GENERATED if kind is Kind.CREDENTIAL_REPORT else None,
            )
            for kind in Kind
        ),
    )
