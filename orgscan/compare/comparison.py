"""The comparison of two runs: rows, kinds, ages, coverage, notes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orgscan.compare.coverage import coverage_changes
from orgscan.compare.deciding import decide
from orgscan.compare.matching import counterparts
from orgscan.compare.notes import notes
from orgscan.compare.snapshot import among, seconds, texts
from orgscan.models import Change, Severity
from orgscan.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orgscan.compare.snapshot import Snapshot

QUARTER = pd.Timedelta(days=91)
_PENDING = (Change.NOT_COMPARED.value, Change.OUT_OF_SCOPE.value)
_RESOLVED = tuple(
    change.value
    for change in Change
    if (change.is_resolved and change is not Change.OUT_OF_SCOPE)
    or change in {Change.RESOLVED_EARLIER, Change.KEY_REACTIVATED}
)
_IDENTITY = [
    "finding_id",
    "control_id",
    "severity",
    "account_id",
    "account_name",
    "ou_path",
    "user",
    "access_key_id",
    "slot",
    "created",
]
_MEMORY = [*_IDENTITY, "known", "previous_status", "first_seen_at", "last_seen_at"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of the findings of an earlier run.

    ``changes`` has the columns of :data:`orgscan.schema.CHANGES`; every finding that is open in
    either run stands in it once, and those resolved earlier. ``coverage`` has a row per account
    of either run: account_id, account_name, ou_path, previous_coverage, coverage and change
    (better, worse, same, joined, left, or scope where an account began or ceased to be judged).
    ``findings`` are the current ones with ``first_seen_at`` set. ``renamed`` is the id and
    the access key id now, by the id then, of findings that have another one.
    """

    changes: pd.DataFrame
    coverage: pd.DataFrame
    findings: pd.DataFrame
    notes: tuple[str, ...]
    renamed: Mapping[str, tuple[str, str]]


def compare(previous: Snapshot, current: Snapshot) -> Comparison:
    """Tell what changed from ``previous`` to ``current``; neither is altered."""
    now = current.open_findings()
    rows, renamed = _rows(previous, current, now)
    rows = _dated(decide(rows, previous, current), current)
    changes = _changes(rows)
    return Comparison(
        changes=changes,
        coverage=coverage_changes(previous, current),
        findings=_first_seen(current.findings, now, rows),
        notes=notes(previous, current),
        renamed=renamed,
    )


def _remembered(previous: Snapshot) -> pd.DataFrame:
    """What was open in the earlier run, and what it remembered: ``known`` says which.

    ``known`` is open, pending (open when last seen, not judged since) or resolved.
    """
    found = previous.open_findings()
    found = found.assign(
        known="open",
        previous_status=found["status"],
        first_seen_at=found["first_seen_at"].fillna(previous.as_of),
        last_seen_at=pd.Timestamp(previous.as_of),
    )[_MEMORY]
    if previous.changes is None or previous.changes.empty:
        return found
    memory = previous.changes.assign(
        created=seconds(previous.changes["key_created_at"]),
        slot=previous.changes["slot"].fillna(0).astype("int64"),
        known=np.select(
            [previous.changes["change"].isin(names) for names in (_PENDING, _RESOLVED)],
            ["pending", "resolved"],
            "",
        ),
    )
    for name in (*_IDENTITY, "previous_status"):
        if name not in {"slot", "created"}:
            memory[name] = texts(memory[name])
    memory = memory[(memory["known"] != "") & ~memory["finding_id"].isin(found["finding_id"])]
    return pd.concat([found, memory[_MEMORY]], ignore_index=True)


def _rows(
    previous: Snapshot, current: Snapshot, now: pd.DataFrame
) -> tuple[pd.DataFrame, dict[str, tuple[str, str]]]:
    """Every finding to tell about once: the remembered ones and those open now.

    Adds ``status`` (now; empty where the run has no such finding) to the columns of memory;
    ``known`` is empty for what nobody remembers, whose ``previous_status`` is looked up. Beside
    them the ids that have changed: id and key id now, by the id then.
    """
    memory = _remembered(previous)
    pairs = counterparts(memory, current)
    memory = memory.merge(pairs, on="finding_id", how="left")
    memory["status"] = texts(memory.pop("other_status"))
    other = memory[memory["other_key"].notna()]
    now_known_as = zip(other["other_id"], other["other_key"], strict=True)
    renamed = dict(zip(other["finding_id"], now_known_as, strict=True))
    memory["access_key_id"] = memory.pop("other_key").fillna(memory["access_key_id"])
    memory["finding_id"] = memory.pop("other_id").fillna(memory["finding_id"])
    memory = memory.drop_duplicates("finding_id")
    fresh = now[~among(now["finding_id"], memory["finding_id"])]
    before = counterparts(fresh, previous)
    fresh = fresh.merge(before, on="finding_id", how="left")
    fresh = fresh.assign(
        known="",
        previous_status=texts(fresh["other_status"]),
        first_seen_at=pd.Timestamp(current.as_of),
        last_seen_at=pd.Timestamp(current.as_of),
    )
    joined = pd.concat([memory, fresh[[*_MEMORY, "status"]]], ignore_index=True)
    return _located(joined, current), renamed


def _located(rows: pd.DataFrame, current: Snapshot) -> pd.DataFrame:
    """Accounts by the name and place they have now, where they are still there."""
    accounts = current.accounts.drop_duplicates("account_id").set_index("account_id")
    for name in ("account_name", "ou_path"):
        known = rows["account_id"].isin(accounts.index)
        rows[name] = texts(rows["account_id"].map(texts(accounts[name]))).where(known, rows[name])
    return rows


def _dated(rows: pd.DataFrame, current: Snapshot) -> pd.DataFrame:
    as_of = pd.Timestamp(current.as_of)
    change = rows["change"]
    is_open = change.isin([kind.value for kind in Change if kind.is_open])
    began = change.isin([Change.NEW.value, Change.FIRST_COMPARED.value, Change.REOPENED.value])
    first = pd.to_datetime(rows["first_seen_at"], utc=True).mask(began, as_of)
    # Judged for an earlier moment, a finding cannot have been seen later than that.
    first = first.where(~is_open | (first <= as_of), as_of)
    last = pd.to_datetime(rows["last_seen_at"], utc=True).mask(is_open, as_of)
    until = last.mask(change == Change.NOT_COMPARED.value, as_of)
    age = ((until - first) // QUARTER).clip(lower=0).astype("Int64")
    return rows.assign(first_seen_at=first, last_seen_at=last, age_quarters=age)


def _changes(rows: pd.DataFrame) -> pd.DataFrame:
    """As the schema has it: most telling kinds first, then by severity, control and account."""
    kind = rows["change"].map({change.value: place for place, change in enumerate(Change)})
    rank = rows["severity"].map({severity.value: severity.rank for severity in Severity})
    order = rows.assign(_kind=kind, _rank=rank.fillna(len(Severity))).sort_values(
        ["_kind", "_rank", "control_id", "account_id", "user", "finding_id"], ignore_index=True
    )
    order["key_created_at"] = order["created"].where(order["created"] > pd.Timestamp(0, tz="UTC"))
    order["slot"] = order["slot"].astype("Int64").mask(order["slot"] == 0)
    for name in ("account_name", "ou_path", "user", "access_key_id", "previous_status", "status"):
        order[name] = order[name].where(order[name] != "", None)
    for name in ("key_created_at", "first_seen_at", "last_seen_at"):
        order[name] = order[name].astype("datetime64[us, UTC]")
    return order[CHANGES.column_names]


def _first_seen(findings: pd.DataFrame, now: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The findings with the time each open one was first seen; the others keep theirs."""
    known = now[["finding_id", "position"]].merge(rows[["finding_id", "first_seen_at"]])
    column = findings["first_seen_at"].astype("datetime64[us, UTC]")
    values = column.dt.tz_localize(None).to_numpy(copy=True)
    values[known["position"]] = known["first_seen_at"].dt.tz_localize(None).to_numpy()
    times = pd.Series(values, index=findings.index).dt.tz_localize("UTC")
    return findings.assign(first_seen_at=times)
