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
from orgscan.compare.snapshot import seconds, texts
from orgscan.frames import among
from orgscan.models import Change, Severity
from orgscan.schema import CHANGES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orgscan.compare.earlier import EarlierRun
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
_TOGETHER = 4_000
"""Accounts and users compared at a time."""
_MEMORY = [*_IDENTITY, "known", "previous_status", "first_seen_at", "last_seen_at"]


@dataclass(frozen=True, slots=True)
class Differences:
    """What became of the findings of some accounts.

    ``changes`` has the columns of :data:`orgscan.schema.CHANGES`; every finding that is open in
    either run stands in it once, and those resolved earlier. ``findings`` are the current ones
    with ``first_seen_at`` set. ``renamed`` is the id and the access key id now, by the id then, of
    findings that have another one.
    """

    changes: pd.DataFrame
    findings: pd.DataFrame
    renamed: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Comparison(Differences):
    """What became of the findings of an earlier run.

    ``coverage`` has a row per account of either run: account_id, account_name, ou_path,
    previous_coverage, coverage and change (better, worse, same, joined, left, or scope where an
    account began or ceased to be judged).
    """

    coverage: pd.DataFrame
    notes: tuple[str, ...]


def compare(previous: Snapshot, current: Snapshot) -> Comparison:
    """Tell what changed from ``previous`` to ``current``; neither is altered."""
    found = differences(previous, current)
    return Comparison(
        changes=found.changes,
        findings=found.findings,
        renamed=found.renamed,
        coverage=coverage_changes(previous, current),
        notes=notes(previous, current),
    )


def compare_runs(previous: EarlierRun, current: EarlierRun) -> Comparison:
    """Tell what changed between two finished runs, a few accounts at a time.

    ``findings`` and ``renamed`` are empty: this comparison does not need them.
    """
    accounts = current.summary.accounts
    sizes = accounts["users"].fillna(0).astype("int64") + 1
    ends = accounts["account_id"][(sizes.cumsum() // _TOGETHER).diff(-1) != 0]
    parts = [
        differences(previous.until(end), current.until(end)).changes
        for end in (*ends.tolist(), None)
    ]
    snapshots = previous.summary, current.summary
    return Comparison(
        changes=in_order(pd.concat(parts, ignore_index=True)),
        findings=current.summary.findings,
        renamed={},
        coverage=coverage_changes(*snapshots),
        notes=notes(*snapshots),
    )


def differences(previous: Snapshot, current: Snapshot) -> Differences:
    """Tell what became of the findings of the accounts that the two snapshots hold.

    An account's differences do not depend on other accounts: of all or of some, they are the same.
    """
    now = current.open_findings()
    rows, renamed = _rows(previous, current, now)
    rows = _dated(decide(rows, previous, current), current)
    return Differences(
        changes=in_order(_as_changes(rows)),
        findings=_first_seen(current.findings, now, rows),
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


def _as_changes(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as the schema has them."""
    rows = rows.assign(
        key_created_at=rows["created"].where(rows["created"] > pd.Timestamp(0, tz="UTC")),
        slot=rows["slot"].astype("Int64").mask(rows["slot"] == 0),
    )
    for name in ("account_name", "ou_path", "user", "access_key_id", "previous_status", "status"):
        rows[name] = rows[name].where(rows[name] != "", None)
    for name in ("key_created_at", "first_seen_at", "last_seen_at"):
        rows[name] = rows[name].astype("datetime64[us, UTC]")
    return rows[CHANGES.column_names]


def ranks(changes: pd.DataFrame) -> pd.DataFrame:
    """What changes are ordered by first: most telling kinds, then severity, then control."""
    kinds = {change.value: number for number, change in enumerate(Change)}
    severities = {severity.value: severity.rank for severity in Severity}
    return pd.DataFrame(
        {
            "kind": changes["change"].map(kinds).astype("int64"),
            "severity": changes["severity"].map(severities).fillna(len(Severity)).astype("int64"),
            "control_id": changes["control_id"].astype(object),
        }
    )


def in_order(changes: pd.DataFrame) -> pd.DataFrame:
    """Changes as they are listed: by :func:`ranks`, then by account, user and finding."""
    rest = ["account_id", "user", "finding_id"]
    keys = ranks(changes).assign(**{name: texts(changes[name]) for name in rest})
    order = keys.sort_values([*keys], kind="stable").index
    return changes.loc[order].reset_index(drop=True)


def _first_seen(findings: pd.DataFrame, now: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The findings with the time each open one was first seen; the others keep theirs."""
    known = now[["finding_id", "position"]].merge(rows[["finding_id", "first_seen_at"]])
    column = findings["first_seen_at"].astype("datetime64[us, UTC]")
    values = column.dt.tz_localize(None).to_numpy(copy=True)
    values[known["position"]] = known["first_seen_at"].dt.tz_localize(None).to_numpy()
    times = pd.Series(values, index=findings.index).dt.tz_localize("UTC")
    return findings.assign(first_seen_at=times)
