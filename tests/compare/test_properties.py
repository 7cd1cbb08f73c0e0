"""What holds of any two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orgscan.compare import Snapshot, compare
from orgscan.models import Change, Coverage
from tests.kit.runs import Q1, Q2, Q3, account, after, finding, key, run, user

if TYPE_CHECKING:
    from datetime import datetime

OPEN = ("FAIL", "WAIVED")
OPEN_KINDS = [kind.value for kind in Change if kind.is_open]
RESOLVED_KINDS = [kind.value for kind in Change if kind.is_resolved]
QUICK = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
ACCOUNTS = ("1", "2")
RESOURCES = tuple(
    (identity, name, key_id)
    for identity in ACCOUNTS
    for name, key_id in (("ann", None), ("ann", "AKIA1"), ("ann", "AKIA2"), ("bo", "AKIA3"))
)
status = st.sampled_from(["PASS", "FAIL", "WAIVED", "UNKNOWN", "NOT_APPLICABLE", ""])
state = st.fixed_dictionaries(
    {
        "coverage": st.fixed_dictionaries(
            {one: st.sampled_from(["", "COMPLETE", "COMPLETE", *Coverage]) for one in ACCOUNTS}
        ),
        "statuses": st.tuples(*[status for _ in RESOURCES]),
        "active": st.booleans(),
        "enumerated": st.booleans(),
    }
)


def snapshot(as_of: datetime, told: dict[str, Any]) -> Snapshot:
    """A run in which accounts without evidence have no findings."""
    coverage = told["coverage"]
    read = {one for one in ACCOUNTS if coverage[one] in {"COMPLETE", "PARTIAL"}}
    rows = [
        finding(word, key_id, name=name, identity=identity)
        for (identity, name, key_id), word in zip(RESOURCES, told["statuses"], strict=True)
        if word and identity in read
    ]
    word = "Active" if told["active"] else "Inactive"
    return run(
        as_of,
        *rows,
        accounts=[account(one, coverage[one]) for one in ACCOUNTS if coverage[one]],
        users=[user(row["user"], row["account_id"]) for row in rows],
        keys=[
            key(row["access_key_id"], word, name=row["user"], identity=row["account_id"])
            for row in rows
            if row["access_key_id"]
        ],
        enumerated=told["enumerated"],
    )


def ids(snapshot: Snapshot) -> set[str]:
    findings = snapshot.findings
    return set(findings.loc[findings["status"].isin(OPEN), "finding_id"])


@QUICK
@given(state)
def test_a_run_compared_with_itself_has_only_what_is_still_open(told: dict[str, Any]) -> None:
    same = snapshot(Q1, told)
    changes = compare(same, same).changes
    assert set(changes["finding_id"]) == ids(same)
    assert set(changes["change"]) <= {Change.STILL_OPEN}


@QUICK
@given(state, state, state)
def test_every_open_finding_stands_once_and_what_is_unread_is_not_resolved(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    first, second, third = (snapshot(q, told) for q, told in ((Q1, one), (Q2, two), (Q3, three)))
    comparison = compare(first, second)
    for before, now, found in (
        (first, second, comparison),
        (second, third, compare(after(comparison, second), third)),
    ):
        changes = found.changes
        assert changes["finding_id"].is_unique
        assert set(changes["finding_id"]) >= ids(before) | ids(now)
        is_open = set(changes.loc[changes["change"].isin(OPEN_KINDS), "finding_id"])
        assert is_open == ids(now)
        resolved = changes[changes["change"].isin(RESOLVED_KINDS)]
        coverage = now.coverage(resolved["account_id"])
        assert not coverage.isin(["DENIED", "FAILED", "NOT_ATTEMPTED"]).any()
        assert now.enumerated or not (coverage == "").any()
        assert not (resolved["status"] == "UNKNOWN").any()
        assert (changes["first_seen_at"] <= changes["last_seen_at"]).all()
        assert (changes["age_quarters"] >= 0).all()
        times = found.findings.set_index("finding_id")["first_seen_at"]
        for row in changes[changes["finding_id"].isin(ids(now))].itertuples():
            assert times[row.finding_id] == row.first_seen_at
