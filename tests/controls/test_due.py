"""Due dates: days in UTC, overdue from the day after."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orgscan.controls.due import DueDates

if TYPE_CHECKING:
    from collections.abc import Mapping

SEEN = datetime(2026, 7, 2, 23, 59, tzinfo=UTC)
DUE = datetime(2026, 8, 1, tzinfo=UTC)
DAYS = {"critical": 30, "high": 30, "medium": 90}


def findings(*rows: Mapping[str, Any]) -> pd.DataFrame:
    base = {"finding_id": "a", "severity": "high", "status": "FAIL", "first_seen_at": SEEN}
    frame = pd.DataFrame([{**base, **row} for row in rows])
    return frame.astype({"severity": "category", "status": "category"})


def late(as_of: datetime, row: Mapping[str, Any], agreed: Mapping[str, date] | None = None) -> bool:
    return bool(DueDates(as_of, DAYS, agreed or {}).overdue(findings(row)).iloc[0])


def test_the_due_day_is_the_day_seen_and_the_days_of_the_severity() -> None:
    rows = [{"severity": "high"}, {"severity": "medium"}, {"severity": "low"}, {"status": "PASS"}]
    due = DueDates(SEEN, DAYS).computed(findings(*rows))
    assert due.tolist()[:2] == [DUE, datetime(2026, 9, 30, tzinfo=UTC)]
    assert due.isna().tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("as_of", "expected"),
    [
        (DUE - timedelta(seconds=1), False),
        (DUE, False),
        (DUE + timedelta(days=1, microseconds=-1), False),
        (DUE + timedelta(days=1), True),
    ],
)
def test_overdue_from_the_day_after(as_of: datetime, expected: bool) -> None:  # noqa: FBT001
    assert late(as_of, {}) is expected


@pytest.mark.parametrize("status", ["PASS", "UNKNOWN", "WAIVED", "NOT_APPLICABLE"])
def test_only_a_fail_is_overdue(status: str) -> None:
    assert not late(DUE + timedelta(days=99), {"status": status})
    assert not late(DUE + timedelta(days=99), {"status": status}, {"a": date(2026, 1, 1)})


def test_an_agreed_date_goes_before_the_computed_one_both_ways() -> None:
    after, before = DUE + timedelta(days=5), DUE - timedelta(days=5)
    assert not late(after, {}, {"a": date(2026, 12, 31)})
    assert late(before, {}, {"a": date(2026, 7, 20)})
    assert late(after, {}, {"b": date(2026, 12, 31)})


def test_counts_by_severity_worst_first() -> None:
    rows = findings(
        {"severity": "medium"}, {"severity": "critical"}, {"severity": "medium"}, {"status": "PASS"}
    )
    due = DueDates(DUE + timedelta(days=90), DAYS)
    assert list(due.count([rows]).items()) == [("critical", 1), ("medium", 2)]
    assert due.marks(rows).tolist()[:2] == ["Yes", "Yes"]
    assert DueDates(DUE, DAYS).count([rows]) == {}
    assert due.count([rows.iloc[:0]]) == {}


def test_more_failures_than_are_looked_at_together_are_counted() -> None:
    rows = findings({"severity": "critical"}, {"severity": "medium"}, {"severity": "low"})
    many = pd.concat([rows] * 20_000, ignore_index=True)
    due = DueDates(DUE + timedelta(days=99), DAYS)
    assert due.count([many.iloc[:20_000], many.iloc[20_000:]]) == {
        "critical": 20_000,
        "medium": 20_000,
    }
