"""The credentials table of one batch: report rows and live users, joined by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.models import ROOT_USER
from orgscan.tables import words
from orgscan.tables.report import ReportCells, read_cells
from orgscan.tables.typed import flags, label, present, strings, take

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orgscan.tables.batch import Batch

_SOURCES = ("both", "report_only", "live_only")
# Report column -> table column; a note column follows where the schema has one.
_RENAMED = {
    "password_enabled": "password_enabled",
    "password_last_used": "password_last_used_at",
    "password_last_changed": "password_last_changed_at",
    "password_next_rotation": "password_next_rotation_at",
    "mfa_active": "mfa_active",
    **{
        f"access_key_{slot}_{name}": f"access_key_{slot}_{column}"
        for slot in (1, 2)
        for name, column in (
            ("active", "active"),
            ("last_rotated", "last_rotated_at"),
            ("last_used_date", "last_used_at"),
            ("last_used_region", "last_used_region"),
            ("last_used_service", "last_used_service"),
        )
    },
    **{
        f"cert_{number}_{name}": f"cert_{number}_{column}"
        for number in (1, 2)
        for name, column in (("active", "active"), ("last_rotated", "last_rotated_at"))
    },
}
_NOTED = (
    "password_enabled",
    "password_last_used",
    "password_last_changed",
    "password_next_rotation",
)


@dataclass(frozen=True, slots=True)
class AccountColumns:
    """Per account of a batch: what many rows repeat, and which listings exist."""

    account_id: pa.Array
    account_name: pa.Array
    ou_path: pa.Array
    generated_at: pa.Array
    users_listed: NDArray[np.bool_]
    keys_listed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class People:
    """The batch's principals: arrays aligned with one another, sorted by account and name."""

    account: NDArray[np.int64]
    is_root: NDArray[np.bool_]
    live: NDArray[np.bool_]
    """In the live listing."""
    in_report: NDArray[np.bool_]
    """Has a readable report row."""
    exists: NDArray[np.bool_]
    """IAM users that exist, as far as the newest source says; root is never one."""
    columns: dict[str, pa.Array]


def account_columns(batch: Batch) -> AccountColumns:
    """The account columns that principals and keys repeat."""
    accounts = [reading.account for reading in batch.readings]
    return AccountColumns(
        account_id=strings(account.account_id for account in accounts),
        account_name=strings(account.name or None for account in accounts),
        ou_path=strings(account.ou_path or None for account in accounts),
        generated_at=pa.array([f.generated_at for f in batch.facts], pa.timestamp("us", "UTC")),
        users_listed=np.array([facts.users_listed for facts in batch.facts], dtype=np.bool_),
        keys_listed=np.array([facts.keys_listed for facts in batch.facts], dtype=np.bool_),
    )


def people(batch: Batch, accounts: AccountColumns) -> People:
    """Type the batch's report rows and put them beside the live users.

    Raises :class:`orgscan.errors.IntegrityError` for a report row of another account.
    """
    source = batch.principals
    account = np.array(source.account, dtype=np.int64)
    report_row = np.array(source.report_row, dtype=np.int64)
    live_row = np.array(source.live_row, dtype=np.int64)
    owners = accounts.account_id.take(pa.array(batch.report_account, pa.int64()))
    report = read_cells(batch.report_rows, owners)
    name = strings(source.name)
    is_root = flags(pc.equal(name, ROOT_USER))
    reported = report_row >= 0
    live = live_row >= 0
    # A user known by its keys alone exists as surely as a listed one.
    keyed = np.bincount(np.array(batch.keys.principal, dtype=np.int64), minlength=len(name)) > 0
    exists = ~is_root & (live | keyed | ~accounts.users_listed[account])
    readable = np.append(~report.unreadable, [False])  # -1 picks this last one
    row = np.where(readable[report_row], report_row, -1)
    columns = {
        "account_id": take(accounts.account_id, account),
        "account_name": take(accounts.account_name, account),
        "ou_path": take(accounts.ou_path, account),
        "user": name,
        "is_root": pa.array(is_root),
        "source": label(np.select([reported & live, reported], [0, 1], 2), _SOURCES),
        "report_generated_at": take(accounts.generated_at, np.where(row >= 0, account, -1)),
        **_report_columns(report, row),
        **_live_columns(batch, report, row, live_row),
    }
    return People(account, is_root, live | keyed, row >= 0, exists, columns)


def _report_columns(report: ReportCells, row: NDArray[np.int64]) -> dict[str, pa.Array]:
    columns = {new: take(report.cells[old].values, row) for old, new in _RENAMED.items()}
    for name in _NOTED:
        columns[f"{name}_note"] = take(report.cells[name].notes, row)
    return columns


def _live_columns(
    batch: Batch, report: ReportCells, row: NDArray[np.int64], live_row: NDArray[np.int64]
) -> dict[str, pa.Array]:
    created = words.read_times(strings(batch.users.created)).values
    reported = report.cells["user_creation_time"].values
    return {
        "user_id": take(strings(batch.users.user_id), live_row),
        "arn": pc.coalesce(
            take(strings(batch.users.arn), live_row), take(report.cells["arn"].values, row)
        ),
        "user_created_at": pc.coalesce(take(created, live_row), take(reported, row)),
    }


def key_counts(batch: Batch, accounts: AccountColumns, folk: People) -> dict[str, pa.Array]:
    """``access_keys_listed`` and ``active_access_keys`` per principal.

    The live listing counts where it covers the principal, else the report's active flags, and
    only if it gives both.
    """
    size = len(folk.account)
    owner = np.array(batch.keys.principal, dtype=np.int64)
    active = np.array([status == "Active" for status in batch.keys.status], dtype=np.bool_)
    listed = np.bincount(owner, minlength=size)
    listed_active = np.bincount(owner[active], minlength=size)
    covered = folk.live & (accounts.keys_listed[folk.account] | (listed > 0))
    one, two = folk.columns["access_key_1_active"], folk.columns["access_key_2_active"]
    reported = flags(one).astype(np.int64) + flags(two)
    known = covered | (present(one) & present(two))
    return {
        "access_keys_listed": pa.array(listed, pa.int64(), mask=~covered),
        "active_access_keys": pa.array(
            np.where(covered, listed_active, reported), pa.int64(), mask=~known
        ),
    }
