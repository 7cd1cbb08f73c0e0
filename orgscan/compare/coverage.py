"""Which accounts are read better or worse than they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.compare.snapshot import texts
from orgscan.models import Coverage

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.compare.snapshot import Snapshot

_COMPLETE, _PARTIAL, _UNREAD = 0, 1, 2
_COLUMNS = ["account_name", "ou_path", "coverage"]


def coverage_changes(previous: Snapshot, current: Snapshot) -> pd.DataFrame:
    """A row per account of either run, sorted by account_id.

    Columns: account_id, account_name, ou_path, previous_coverage, coverage (empty where the run
    does not list the account), change: better, worse, same, joined, left, or scope where it
    began or ceased to be judged. An account that is missing from a list not read to its end is
    worse (or better), not gone (or new).
    """
    before, now = (
        run.accounts[["account_id", *_COLUMNS]].apply(texts).drop_duplicates("account_id")
        for run in (previous, current)
    )
    both = before.merge(now, on="account_id", how="outer", suffixes=("_before", "")).fillna("")
    for name in ("account_name", "ou_path"):
        both[name] = both[name].where(both["coverage"] != "", both[f"{name}_before"])
    was, is_now = both["coverage_before"], both["coverage"]
    scoped = [_scoped(column) for column in (was, is_now)]
    ranks = [column.map(_rank).to_numpy() for column in (was, is_now)]
    both["change"] = np.select(
        [
            was == "",
            is_now == "",
            was == is_now,
            ~(scoped[0] & scoped[1]),
            ranks[1] < ranks[0],
            ranks[1] > ranks[0],
        ],
        [
            "joined" if previous.enumerated else "better",
            "left" if current.enumerated else "worse",
            "same",
            "scope",
            "better",
            "worse",
        ],
        "same",
    )
    both = both.rename(columns={"coverage_before": "previous_coverage"})
    names = ["account_id", "account_name", "ou_path", "previous_coverage", "coverage", "change"]
    return both[names].sort_values("account_id", ignore_index=True)


def _scoped(column: pd.Series) -> pd.Series:
    outside = [value.value for value in Coverage if not value.in_scope]
    return ~column.isin(outside)


def _rank(coverage: str) -> int:
    if coverage == Coverage.COMPLETE:
        return _COMPLETE
    return _PARTIAL if coverage == Coverage.PARTIAL else _UNREAD
