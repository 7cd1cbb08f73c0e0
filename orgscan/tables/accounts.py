"""The accounts table of one batch, and the facts the controls need beside the tables."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.models import Kind
from orgscan.schema import ACCOUNTS, Column, Type
from orgscan.tables.typed import typed_frame

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from orgscan.models import Reading
    from orgscan.tables.access_keys import KeyRows
    from orgscan.tables.batch import Batch
    from orgscan.tables.credentials import AccountColumns, People

FACTS: tuple[Column, ...] = (
    Column("account_id", Type.STRING, "An account in scope.", required=True),
    Column("has_report", Type.BOOLEAN, "A credential report that can be judged exists."),
    Column("has_root_row", Type.BOOLEAN, "It has a readable row for root."),
    Column("root_not_reported", Type.BOOLEAN, "Reports of the partition have no root row."),
    Column("users_listed", Type.BOOLEAN, "ListUsers was read in full."),
    Column("keys_listed", Type.BOOLEAN, "ListUsers and ListAccessKeys were read."),
    Column("has_summary", Type.BOOLEAN, "GetAccountSummary was read."),
    Column("summary_at", Type.TIMESTAMP, "When it was read."),
    Column("summary_root_keys", Type.INTEGER, "AccountAccessKeysPresent.", "keys"),
    Column("summary_root_mfa", Type.INTEGER, "AccountMFAEnabled."),
    Column("summary_root_password", Type.INTEGER, "AccountPasswordPresent."),
    Column("summary_root_certificates", Type.INTEGER, "AccountSigningCertificatesPresent."),
    Column(
        "more_credentials_requested",
        Type.BOOLEAN,
        "The run required service-specific credentials and SSH keys.",
    ),
    Column("has_policy_answer", Type.BOOLEAN, "GetAccountPasswordPolicy was answered."),
    Column("policy_exists", Type.BOOLEAN, "The account has a password policy."),
    Column("policy_minimum_length", Type.INTEGER, "MinimumPasswordLength.", "characters"),
    Column("policy_reuse_prevention", Type.INTEGER, "PasswordReusePrevention.", "passwords"),
    Column("has_virtual_mfa", Type.BOOLEAN, "ListVirtualMFADevices was read."),
    Column("root_virtual_mfa", Type.BOOLEAN, "A virtual MFA device is assigned to root."),
    Column("evidence_sha256", Type.STRING, "As in accounts."),
)
"""The internal facts frame: one row per account that is in scope, sorted by account_id."""


_SUMMARY = (
    "summary_root_keys",
    "summary_root_mfa",
    "summary_root_password",
    "summary_root_certificates",
)


def account_rows(
    batch: Batch, accounts: AccountColumns, folk: People, keys: KeyRows
) -> dict[str, Any]:
    """The accounts table's columns for the batch's accounts, in their order."""
    readings, size = batch.readings, len(batch.readings)
    columns: dict[str, Any] = {
        name: [value(reading) for reading in readings] for name, value in _FROM_READING.items()
    }
    has_report = np.asarray(accounts.generated_at.is_valid().to_numpy(zero_copy_only=False))
    users = np.bincount(folk.account[folk.exists], minlength=size)
    key_count = np.bincount(keys.account[keys.exists], minlength=size)
    keys_read = np.array(
        [reading.usable(Kind.ACCESS_KEYS) is not None for reading in readings], dtype=np.bool_
    )
    return columns | {
        "account_id": accounts.account_id,
        "account_name": accounts.account_name,
        "ou_path": accounts.ou_path,
        "report_generated_at": accounts.generated_at,
        "users": pa.array(users, pa.int64(), mask=~(accounts.users_listed | has_report)),
        "access_keys": pa.array(key_count, pa.int64(), mask=~(keys_read | has_report)),
        "service_credentials": pa.array(
            np.bincount(np.array(batch.service_credentials.account, np.int64), minlength=size),
            pa.int64(),
            mask=~np.array([facts.service_credentials_listed for facts in batch.facts], np.bool_),
        ),
    }


def _tags(reading: Reading) -> str | None:
    tags = reading.account.tags
    if tags is None:
        return None
    return json.dumps(dict(tags), sort_keys=True, ensure_ascii=False)


_FROM_READING: Mapping[str, Any] = {
    "account_email": lambda r: r.account.email or None,
    "state": lambda r: str(r.account.state),
    "is_management": lambda r: r.account.is_management,
    "ou_id": lambda r: r.account.ou_id or None,
    "joined_at": lambda r: r.account.joined_at,
    "tags": _tags,
    "coverage": lambda r: str(r.outcome.coverage),
    "reason": lambda r: r.outcome.reason or None,
    "error_code": lambda r: r.outcome.error_code or None,
    "missing": lambda r: r.outcome.missing or None,
    "attempts": lambda r: r.outcome.attempts,
    "started_at": lambda r: r.outcome.started_at,
    "duration_seconds": lambda r: r.outcome.duration_seconds,
    "evidence_sha256": lambda r: r.evidence_sha256,
}


_NAMES: Mapping[str, Any] = {
    "account_id": lambda r: r.account.account_id,
    "account_name": lambda r: r.account.name or None,
    "ou_path": lambda r: r.account.ou_path or None,
}


def recorded(readings: Sequence[Reading]) -> pd.DataFrame:
    """What accounts repeats from the enumeration and the outcomes; a row per reading, in order.

    The columns of :data:`orgscan.schema.ACCOUNTS` that need no evidence to be looked at.
    """
    sources = {**_NAMES, **_FROM_READING}
    del sources["evidence_sha256"]
    columns = [column for column in ACCOUNTS if column.name in sources]
    values = {name: [value(reading) for reading in readings] for name, value in sources.items()}
    return typed_frame(columns, values)


def fact_rows(batch: Batch, accounts: AccountColumns, folk: People) -> dict[str, Any]:
    """The :data:`FACTS` columns for those of the batch's accounts that are in scope."""
    rooted: NDArray[np.bool_] = np.zeros(len(batch.readings), dtype=np.bool_)
    rooted[folk.account[folk.is_root & folk.in_report]] = True
    facts = batch.facts
    columns = {
        "account_id": accounts.account_id,
        "has_report": accounts.generated_at.is_valid(),
        "has_root_row": pa.array(rooted),
        "users_listed": pa.array(accounts.users_listed),
        "keys_listed": pa.array(accounts.keys_listed),
        "has_summary": pa.array([fact.has_summary for fact in facts], pa.bool_()),
        "summary_at": pa.array([fact.summary_at for fact in facts], pa.timestamp("us", "UTC")),
        "root_not_reported": pa.array([fact.root_not_reported for fact in facts], pa.bool_()),
        "more_credentials_requested": pa.array(
            [fact.more_credentials_requested for fact in facts], pa.bool_()
        ),
        **{
            name: pa.array([getattr(fact, name) for fact in facts], pa.int64()) for name in _SUMMARY
        },
        "has_policy_answer": pa.array([fact.has_policy_answer for fact in facts], pa.bool_()),
        "policy_exists": pa.array([fact.policy_exists for fact in facts], pa.bool_()),
        "policy_minimum_length": pa.array(
            [fact.policy_minimum_length for fact in facts], pa.int64()
        ),
        "policy_reuse_prevention": pa.array(
            [fact.policy_reuse_prevention for fact in facts], pa.int64()
        ),
        "has_virtual_mfa": pa.array(
            [fact.root_virtual_mfa is not None for fact in facts], pa.bool_()
        ),
        "root_virtual_mfa": pa.array([fact.root_virtual_mfa for fact in facts], pa.bool_()),
        "evidence_sha256": pa.array(
            [reading.evidence_sha256 for reading in batch.readings], pa.large_string()
        ),
    }
    scope = pa.array([r.outcome.coverage.in_scope for r in batch.readings], pa.bool_())
    return {name: pc.filter(values, scope) for name, values in columns.items()}
