"""The credentials table of one batch: report rows and live users, joined by name and creation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.models import ROOT_USER, STATUSES, ReportWord
from orgscan.tables import words
from orgscan.tables.report import ReportCells, read_cells
from orgscan.tables.typed import flags, label, overlay, present, strings, take

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from orgscan.tables.batch import Batch, MoreCredentials

_SEVERAL = 2
_CERTIFICATES = 2
_NO_CERTIFICATES: tuple[dict[str, Any], ...] = ({}, {})
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
    keys_listed: NDArray[np.bool_]
    """All of its keys are known: one that is not listed does not exist."""
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
    of_row = pa.array(batch.report_account, pa.int64())
    report = read_cells(
        batch.report_rows,
        accounts.account_id.take(of_row),
        generated_at=accounts.generated_at.take(of_row),
    )
    name = strings(source.name)
    is_root = flags(pc.equal(name, ROOT_USER))
    reported = report_row >= 0
    live = live_row >= 0
    # A user known by its keys alone exists as surely as a listed one.
    keyed = np.bincount(np.array(batch.keys.principal, dtype=np.int64), minlength=len(name)) > 0
    superseded = np.array(source.superseded, dtype=np.bool_)
    exists = ~is_root & ~superseded & (live | keyed | ~accounts.users_listed[account])
    unlisted = np.array(source.keys_unlisted, dtype=np.bool_)
    keys_listed = superseded | (accounts.keys_listed[account] & ~unlisted)
    readable = np.append(~report.unreadable, [False])  # -1 picks this last one
    row = np.where(readable[report_row], report_row, -1)
    columns = {
        "account_id": take(accounts.account_id, account),
        "account_name": take(accounts.account_name, account),
        "ou_path": take(accounts.ou_path, account),
        "user": name,
        "user_id": strings(source.user_id),
        "is_root": pa.array(is_root),
        "exists": pa.array(exists | is_root),
        "source": label(np.select([reported & live, reported], [0, 1], 2), _SOURCES),
        "report_generated_at": take(accounts.generated_at, np.where(row >= 0, account, -1)),
        "details_source": label(np.where(row >= 0, 0, 1), ("report", None)),
        **_report_columns(report, row),
        **_live_columns(batch, report, row, live_row),
        "additional_credentials_info": strings(source.additional),
    }
    if batch.details.principal:
        columns |= _direct_columns(batch, columns, live_row)
    # Signed in since the report, a user had a password: the denial is in doubt.
    used = take(words.read_times(strings(batch.users.password_last_used)).values, live_row)
    signed_in = flags(pc.greater(used, take(accounts.generated_at, account)))
    enabled = columns["password_enabled"]
    doubtful = signed_in & present(enabled) & ~flags(enabled)
    columns["password_enabled"] = pc.if_else(pa.array(doubtful), None, enabled)
    return People(account, is_root, live | keyed, row >= 0, exists, keys_listed, columns)


def _direct_columns(
    batch: Batch, columns: dict[str, pa.Array], live_row: NDArray[np.int64]
) -> dict[str, pa.Array]:
    """The columns in which direct answers take the report's place."""
    details, rows = batch.details, batch.details.principal
    enabled = [text is not None for text in details.password_set]
    used = [batch.users.password_last_used[live_row[place]] for place in rows]
    certificates = [[*ones[:_CERTIFICATES], *_NO_CERTIFICATES] for ones in details.certificates]
    # A password that is not there has no use; one without a recorded use was never used.
    never = [
        None if text else ReportWord.NO_INFORMATION if has else ReportWord.NOT_APPLICABLE
        for text, has in zip(used, enabled, strict=True)
    ]
    values: dict[str, Any] = {
        "details_source": ["live"] * len(rows),
        "password_enabled": enabled,
        "password_enabled_note": [None] * len(rows),
        "password_last_used_at": _times(
            text if has else None for text, has in zip(used, enabled, strict=True)
        ),
        "password_last_used_note": [
            word if has else ReportWord.NOT_APPLICABLE
            for word, has in zip(never, enabled, strict=True)
        ],
        "password_last_changed_at": _times(details.password_set),
        "password_last_changed_note": [None] * len(rows),
        "password_next_rotation_at": [None] * len(rows),
        "password_next_rotation_note": [None] * len(rows),
        "mfa_active": details.mfa,
    }
    for number in range(_CERTIFICATES):
        ones = [pair[number] for pair in certificates]
        values[f"cert_{number + 1}_active"] = [_is_active(one.get("Status")) for one in ones]
        values[f"cert_{number + 1}_last_rotated_at"] = _times(one.get("UploadDate") for one in ones)
    return {name: overlay(columns[name], rows, column) for name, column in values.items()}


def _is_active(status: str | None) -> bool | None:
    """Whether a certificate of this status can be used; None for a status that is not known."""
    known = {"Active": True, "Inactive": False, "Expired": False, None: False}
    return known.get(status)


def _times(texts: Iterable[str | None]) -> list[Any]:
    times: list[Any] = words.read_times(strings(texts)).values.to_pylist()
    return times


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
        "arn": pc.coalesce(
            take(strings(batch.users.arn), live_row), take(report.cells["arn"].values, row)
        ),
        "user_created_at": pc.coalesce(take(created, live_row), take(reported, row)),
    }


def key_counts(batch: Batch, folk: People) -> dict[str, pa.Array]:
    """Numbers of credentials per principal.

    For access keys the live listing counts where it covers the principal, else the report's
    active flags, and only if it gives both.
    """
    size = len(folk.account)
    owner = np.array(batch.keys.principal, dtype=np.int64)
    active = np.array([status == "Active" for status in batch.keys.status], dtype=np.bool_)
    strange = np.array([status not in STATUSES for status in batch.keys.status], dtype=np.bool_)
    listed = np.bincount(owner, minlength=size)
    listed_active = np.bincount(owner[active], minlength=size)
    covered = folk.live & (folk.keys_listed | (listed > 0))
    one, two = folk.columns["access_key_1_active"], folk.columns["access_key_2_active"]
    reported = flags(one).astype(np.int64) + flags(two)
    # A key of an unknown status may be active: the count stands only where it decides nothing.
    unclear = (np.bincount(owner[strange], minlength=size) > 0) & (listed_active < _SEVERAL)
    known = (covered & ~unclear) | (~covered & present(one) & present(two))
    return {
        "access_keys_listed": pa.array(listed, pa.int64(), mask=~covered),
        "active_access_keys": pa.array(
            np.where(covered, listed_active, reported), pa.int64(), mask=~known
        ),
        "active_service_credentials": _counted(batch.service_counts, size),
        "active_ssh_public_keys": _counted(batch.ssh_counts, size),
    }


def _counted(counts: MoreCredentials, size: int) -> pa.Array:
    """Active credentials per principal; null where they were not listed."""
    return overlay(pa.nulls(size, pa.int64()), counts.principal, counts.active)
