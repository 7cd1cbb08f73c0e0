"""Two or three runs of a few rows each, told in as few words as possible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan.compare import Comparison, Snapshot, compare
from orgscan.schema import ACCESS_KEYS, ACCOUNTS, CREDENTIALS, FINDINGS, Table, Type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Q1, Q2, Q3, Q4 = (datetime(2026, 1, 10, tzinfo=UTC) + n * timedelta(days=91) for n in range(4))
OLD = Q1 - timedelta(days=400)
_DTYPES: Mapping[Type, Any] = {
    Type.STRING: pd.StringDtype(na_value=float("nan")),
    Type.BOOLEAN: "boolean",
    Type.INTEGER: "Int64",
    Type.NUMBER: "Float64",
    Type.TIMESTAMP: "datetime64[us, UTC]",
}


def frame(table: Table, rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as ``table`` types them; what a row leaves out is null."""
    return pd.DataFrame(
        {
            column.name: pd.Series(
                [row.get(column.name) for row in rows], dtype=_DTYPES[column.type]
            )
            for column in table
        }
    )


def account(identity: str = "1", coverage: str = "COMPLETE", missing: str = "") -> dict[str, Any]:
    return {
        "account_id": identity,
        "account_name": f"account {identity}",
        "ou_path": "Root/A",
        "coverage": coverage,
        "missing": missing or None,
    }


def user(name: str = "ann", identity: str = "1", source: str = "both") -> dict[str, Any]:
    return {"account_id": identity, "user": name, "is_root": False, "source": source}


def key(
    key_id: str | None = "AKIA1",
    status: str = "Active",
    *,
    created: datetime = OLD,
    slot: int | None = 1,
    match: str = "matched",
    name: str = "ann",
    identity: str = "1",
) -> dict[str, Any]:
    return {
        "account_id": identity,
        "user": name,
        "is_root": False,
        "access_key_id": key_id,
        "slot": slot,
        "match": match,
        "status": status,
        "created_at": created,
    }


def finding(
    status: str = "FAIL",
    key_id: str | None = None,
    *,
    slot: int | None = None,
    name: str | None = None,
    identity: str = "1",
    control: str = "rotation",
    seen: datetime | None = None,
) -> dict[str, Any]:
    about_key = key_id or slot
    name = name or ("ann" if about_key else None)
    return {
        "finding_id": f"{control}/{identity}/{name}/{key_id or slot or ''}",
        "control_id": control,
        "severity": "medium",
        "status": status,
        "account_id": identity,
        "account_name": f"account {identity}",
        "ou_path": "Root/A",
        "user": name,
        "access_key_id": key_id,
        "slot": slot,
        "threshold": None,
        "first_seen_at": seen,
    }


def run(
    as_of: datetime,
    *findings: Mapping[str, Any],
    accounts: Sequence[Mapping[str, Any]] | None = None,
    users: Sequence[Mapping[str, Any]] | None = None,
    keys: Sequence[Mapping[str, Any]] = (),
    **more: Any,
) -> Snapshot:
    """A run with one account of one user unless told otherwise.

    A PASS of another resource keeps each control judged.
    """
    judged = {str(row["control_id"]): row for row in findings} or {"rotation": {}}
    others = [finding("PASS", identity="0", control=name) for name in judged]
    rows = [{**row, "first_seen_at": row.get("first_seen_at") or as_of} for row in findings]
    return Snapshot(
        **{
            "as_of": as_of,
            "started_at": as_of,
            "accounts": frame(
                ACCOUNTS, [account("0"), *([account()] if accounts is None else accounts)]
            ),
            "credentials": frame(CREDENTIALS, [user()] if users is None else users),
            "access_keys": frame(ACCESS_KEYS, keys),
            "findings": frame(FINDINGS, [*others, *rows]),
            "controls": frozenset(judged),
            **more,
        }
    )


def compared(previous: Snapshot, current: Snapshot) -> dict[str, str]:
    """What became of each finding, by its id."""
    changes = compare(previous, current).changes
    assert changes["finding_id"].is_unique
    return dict(zip(changes["finding_id"], changes["change"], strict=True))


def single(previous: Snapshot, current: Snapshot) -> Any:
    """The only change there is."""
    changes = compare(previous, current).changes
    assert len(changes) == 1, changes[["finding_id", "change"]]
    return changes.iloc[0]


def after(comparison: Comparison, snapshot: Snapshot) -> Snapshot:
    """The run as a later one finds it: with its memory and its first seen times."""
    return Snapshot(
        as_of=snapshot.as_of,
        started_at=snapshot.started_at,
        accounts=snapshot.accounts,
        credentials=snapshot.credentials,
        access_keys=snapshot.access_keys,
        findings=comparison.findings,
        controls=snapshot.controls,
        enumerated=snapshot.enumerated,
        thresholds=snapshot.thresholds,
        changes=comparison.changes,
        continues=True,
    )


def chain(*snapshots: Snapshot) -> Comparison:
    """Each compared with the one before it; the last comparison."""
    previous = snapshots[0]
    for snapshot in snapshots[1:]:
        comparison = compare(previous, snapshot)
        previous = after(comparison, snapshot)
    return comparison
