"""Every kind of change, from as few rows as show it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.compare import compare
from orgscan.models import Change, CoverageChange
from orgscan.runs.parquet import write as write_parquet
from orgscan.schema import CHANGES, FINDINGS
from tests.kit.runs import (
    OLD,
    Q1,
    Q2,
    Q3,
    Q4,
    account,
    chain,
    compared,
    finding,
    key,
    run,
    single,
    user,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = finding(key_id="AKIA1")
GAP = account(coverage="DENIED")
THEN = run(Q1, KEY, keys=[key()])


def passing(**more: Any) -> dict[str, Any]:
    return finding("PASS", "AKIA1", **more)


def test_what_passed_and_fails_is_new() -> None:
    found = single(run(Q1, passing(), keys=[key()]), run(Q2, KEY, keys=[key()]))
    assert found["change"] == Change.NEW
    assert (found["previous_status"], found["status"]) == ("PASS", "FAIL")
    assert found["first_seen_at"] == found["last_seen_at"] == Q2
    assert found["age_quarters"] == 0


def test_what_did_not_exist_is_new() -> None:
    assert single(run(Q1), run(Q2, KEY, keys=[key()]))["change"] == Change.NEW


def test_a_key_made_since_is_new_even_where_the_account_was_unread() -> None:
    young = key(created=Q1 + timedelta(days=1))
    found = single(run(Q1, accounts=[GAP], users=[]), run(Q2, KEY, keys=[young]))
    assert found["change"] == Change.NEW
    assert "created after" in found["detail"]


def test_an_account_that_joined_brings_new_findings() -> None:
    found = single(run(Q1, accounts=[]), run(Q2, KEY, keys=[key()]))
    assert found["change"] == Change.NEW
    assert "not in the organization" in found["detail"]


@pytest.mark.parametrize(
    "previous",
    [
        run(Q1, accounts=[GAP], users=[]),
        run(Q1, accounts=[account(coverage="PARTIAL", missing="access_keys")]),
        run(Q1, accounts=[account(coverage="EXCLUDED")]),
        run(Q1, accounts=[account(coverage="NOT_ACTIVE")]),
        run(Q1, accounts=[], enumerated=False),
        run(Q1, finding("UNKNOWN", "AKIA1"), keys=[key()]),
        run(Q1, finding("PASS", control="another")),
    ],
    ids=["denied", "partial", "excluded", "suspended", "unlisted", "unknown", "no control"],
)
def test_what_could_not_be_judged_then_is_not_called_new(previous: Any) -> None:
    found = single(previous, run(Q2, KEY, keys=[key()]))
    assert found["change"] == Change.FIRST_COMPARED
    assert found["first_seen_at"] == Q2


def test_what_stays_open_keeps_the_time_it_was_first_seen() -> None:
    then = run(Q2, finding(key_id="AKIA1", seen=Q1), keys=[key()])
    comparison = compare(then, run(Q4, KEY, keys=[key()]))
    (found,) = comparison.changes.to_dict("records")
    assert found["change"] == Change.STILL_OPEN
    assert (found["first_seen_at"], found["last_seen_at"]) == (Q1, Q4)
    assert found["age_quarters"] == 3
    times = comparison.findings.set_index("status")["first_seen_at"]
    assert times["FAIL"] == Q1
    assert times.isna()["PASS"], "what is not open keeps the time it had"


@pytest.mark.parametrize(("days", "quarters"), [(90.9, 0), (91, 1), (181.9, 1), (182, 2)])
def test_a_quarter_is_91_days(days: float, quarters: int) -> None:
    now = run(Q1 + timedelta(days=days), KEY, keys=[key()])
    assert single(THEN, now)["age_quarters"] == quarters


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("FAIL", "WAIVED", Change.WAIVED),
        ("WAIVED", "FAIL", Change.WAIVER_ENDED),
        ("WAIVED", "WAIVED", Change.STILL_OPEN),
    ],
)
def test_waivers_change_what_is_open_and_resolve_nothing(
    before: str, now: str, change: Change
) -> None:
    found = single(
        run(Q1, finding(before, "AKIA1"), keys=[key()]),
        run(Q2, finding(now, "AKIA1"), keys=[key()]),
    )
    assert found["change"] == change
    assert found["first_seen_at"] == Q1
    assert change.is_open
    assert not change.is_resolved


NEWER = key("AKIA2", created=Q1 + timedelta(days=30), slot=2)
OFF = key(status="Inactive")
ABSENT = finding("NOT_APPLICABLE", "AKIA1")


@pytest.mark.parametrize(
    ("findings", "keys", "change"),
    [
        ([], [NEWER], Change.ROTATED),
        ([ABSENT], [OFF, NEWER], Change.ROTATED),
        ([], [], Change.KEY_DELETED),
        ([], [key("AKIA0", created=OLD - timedelta(days=9), slot=2)], Change.KEY_DELETED),
        ([], [{**NEWER, "status": "Inactive"}], Change.KEY_DELETED),
        ([ABSENT], [OFF], Change.KEY_DEACTIVATED),
        ([passing()], [key()], Change.FIXED),
        ([], [key(match="report_only"), NEWER], Change.ROTATED),
    ],
)
def test_how_a_key_was_resolved(findings: list[Any], keys: list[Any], change: Change) -> None:
    found = single(THEN, run(Q2, *findings, keys=keys))
    assert found["change"] == change
    assert Change(found["change"]).is_resolved
    assert (found["first_seen_at"], found["last_seen_at"]) == (Q1, Q1)
    assert found["age_quarters"] == 0


def test_an_inactive_key_that_goes_is_no_rotation() -> None:
    then = run(Q1, finding(key_id="AKIA1", control="inactive"), keys=[OFF])
    gone = run(Q2, finding("PASS", name="x", control="inactive"), keys=[NEWER])
    assert single(then, gone)["change"] == Change.KEY_DELETED
    on = run(Q2, finding("NOT_APPLICABLE", "AKIA1", control="inactive"), keys=[key()])
    assert single(then, on)["change"] == Change.KEY_REACTIVATED


@pytest.mark.parametrize("row", [KEY, finding(name="ann", control="mfa")])
def test_a_user_that_is_gone_takes_its_findings_along(row: dict[str, Any]) -> None:
    kept = finding("PASS", identity="0", control=row["control_id"])
    now = run(Q2, kept, users=[user(source="report_only")])
    now = replace(now, findings=now.findings.drop_duplicates("finding_id"))
    assert single(run(Q1, row, keys=[key()]), now)["change"] == Change.USER_DELETED


def test_a_finding_of_the_account_is_fixed() -> None:
    found = single(
        run(Q1, finding(name="<root_account>")), run(Q2, finding("PASS", name="<root_account>"))
    )
    assert found["change"] == Change.FIXED


@pytest.mark.parametrize(
    ("now", "change"),
    [
        (run(Q2, accounts=[]), Change.ACCOUNT_LEFT),
        (run(Q2, accounts=[], enumerated=False), Change.NOT_COMPARED),
        (run(Q2, accounts=[account(coverage="NOT_ACTIVE")]), Change.ACCOUNT_NOT_ACTIVE),
        (run(Q2, accounts=[account(coverage="EXCLUDED")]), Change.OUT_OF_SCOPE),
        (run(Q2, accounts=[GAP], users=[]), Change.NOT_COMPARED),
        (run(Q2, accounts=[account(coverage="NOT_ATTEMPTED")], users=[]), Change.NOT_COMPARED),
        (run(Q2, accounts=[account(coverage="newer word")], users=[]), Change.NOT_COMPARED),
        (run(Q2, finding("UNKNOWN", "AKIA1"), keys=[key()]), Change.NOT_COMPARED),
        (run(Q2, finding("PASS", control="another")), Change.NOT_COMPARED),
        (
            run(Q2, accounts=[account(coverage="PARTIAL", missing="users")], users=[]),
            Change.NOT_COMPARED,
        ),
        (
            run(
                Q2, ABSENT, keys=[OFF],
                accounts=[account(coverage="PARTIAL", missing="virtual_mfa_devices")],
            ),
            Change.KEY_DEACTIVATED,
        ),
    ],
)  # fmt: skip
def test_what_became_of_the_account(now: Any, change: Change) -> None:
    assert single(THEN, now)["change"] == change


def test_an_account_that_could_not_be_read_forgets_nothing() -> None:
    unread = run(Q2, accounts=[GAP], users=[])
    unread_again = run(Q3, accounts=[GAP], users=[])
    (found,) = chain(THEN, unread, unread_again).changes.to_dict("records")
    assert found["change"] == Change.NOT_COMPARED
    assert (found["first_seen_at"], found["last_seen_at"]) == (Q1, Q1)
    assert found["age_quarters"] == 2
    (found,) = chain(THEN, unread, unread_again, run(Q4, KEY, keys=[key()])).changes.to_dict(
        "records"
    )
    assert found["change"] == Change.STILL_OPEN
    assert (found["first_seen_at"], found["last_seen_at"], found["age_quarters"]) == (Q1, Q4, 3)
    (found,) = chain(THEN, unread, run(Q3, keys=[NEWER])).changes.to_dict("records")
    assert found["change"] == Change.ROTATED


def test_what_was_resolved_in_between_is_reopened() -> None:
    fixed, again = run(Q2, passing(), keys=[key()]), run(Q3, KEY, keys=[key()])
    (found,) = chain(THEN, fixed, again).changes.to_dict("records")
    assert found["change"] == Change.REOPENED
    assert found["first_seen_at"] == Q3
    later = run(Q4, KEY, keys=[key()])
    quiet = run(Q3, passing(), keys=[key()])
    (found,) = chain(THEN, fixed, quiet).changes.to_dict("records")
    assert found["change"] == Change.RESOLVED_EARLIER
    (found,) = chain(THEN, fixed, quiet, later).changes.to_dict("records")
    assert found["change"] == Change.REOPENED


def test_a_key_switched_on_again_is_reopened() -> None:
    found = single(run(Q1, ABSENT, keys=[OFF]), run(Q2, KEY, keys=[key()]))
    assert found["change"] == Change.REOPENED
    assert "active again" in found["detail"]


def test_leaving_an_account_out_does_not_make_its_findings_young() -> None:
    out = account(coverage="EXCLUDED")
    first, second = run(Q2, accounts=[out]), run(Q3, accounts=[out])
    (found,) = chain(THEN, first, second).changes.to_dict("records")
    assert found["change"] == Change.NOT_COMPARED
    (found,) = chain(THEN, first, second, run(Q4, KEY, keys=[key()])).changes.to_dict("records")
    assert (found["change"], found["first_seen_at"]) == (Change.STILL_OPEN, Q1)


@pytest.mark.parametrize("now_by_id", [True, False])
def test_the_same_key_by_slot_and_by_id_is_one_finding(*, now_by_id: bool) -> None:
    partial = [account(coverage="PARTIAL", missing="access_keys")]
    by_slot = {
        "findings": (finding(slot=1),),
        "keys": [key(None, match="report_only")],
        "accounts": partial,
    }
    by_id = {"findings": (KEY,), "keys": [key()], "accounts": None}
    before, now = (by_slot, by_id) if now_by_id else (by_id, by_slot)
    runs = [
        run(as_of, *told["findings"], keys=told["keys"], accounts=told["accounts"])
        for as_of, told in ((Q1, before), (Q2, now))
    ]
    found = single(*runs)
    assert found["change"] == Change.STILL_OPEN
    then_id, now_id = (told["findings"][0]["finding_id"] for told in (before, now))
    assert found["finding_id"] == now_id
    assert (found["access_key_id"] or None) == now["findings"][0]["access_key_id"]
    assert found["first_seen_at"] == Q1
    key_id = now["findings"][0]["access_key_id"] or ""
    assert compare(*runs).renamed == {then_id: (now_id, key_id)}


@pytest.mark.parametrize(
    ("limit", "detail"),
    [
        ("90 days (default)", "it passes now"),
        ("90 days (settings)", "it passes now"),
        ("400 days (settings)", "it passes by the limit of this run, which is not that of the"),
    ],
)
def test_what_passes_by_another_limit_says_so(limit: str, detail: str) -> None:
    then = run(Q1, {**KEY, "threshold": "90 days (default)"}, keys=[key()])
    now = run(Q2, {**KEY, "status": "PASS", "threshold": limit}, keys=[key()])
    found = single(then, now)
    assert found["change"] == Change.FIXED
    assert str(found["detail"]).startswith(detail)
    if limit.startswith("90"):
        assert found["detail"] == detail


def test_another_key_in_the_same_slot_is_another_finding() -> None:
    partial = [account(coverage="PARTIAL", missing="access_keys")]
    other = key(None, match="report_only", created=Q1 + timedelta(days=1))
    now = run(Q2, finding(slot=1), keys=[other], accounts=partial)
    assert sorted(compared(THEN, now).values()) == [Change.NEW, Change.NOT_COMPARED]


def test_nothing_is_altered_and_the_frames_fit_their_schemas(tmp_path: Path) -> None:
    now = run(Q2, KEY, keys=[key()])
    before = THEN.findings.copy(), now.findings.copy()
    comparison = compare(THEN, now)
    assert THEN.findings.equals(before[0])
    assert now.findings.equals(before[1])
    assert list(comparison.findings) == FINDINGS.column_names
    write_parquet(comparison.changes, CHANGES, tmp_path / "changes.parquet", metadata={})


def test_two_empty_runs_have_nothing_to_tell(tmp_path: Path) -> None:
    comparison = compare(run(Q1), run(Q2))
    assert comparison.changes.empty
    write_parquet(comparison.changes, CHANGES, tmp_path / "changes.parquet", metadata={})


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ("COMPLETE", "COMPLETE", "same"),
        ("COMPLETE", "PARTIAL", "worse"),
        ("COMPLETE", "DENIED", "worse"),
        ("PARTIAL", "FAILED", "worse"),
        ("DENIED", "FAILED", "same"),
        ("DENIED", "PARTIAL", "better"),
        ("NOT_ATTEMPTED", "COMPLETE", "better"),
        ("COMPLETE", "EXCLUDED", "scope"),
        ("NOT_ACTIVE", "DENIED", "scope"),
        (None, "DENIED", "joined"),
        ("COMPLETE", None, "left"),
    ],
)
def test_coverage(before: str | None, now: str | None, change: str) -> None:
    runs = [
        run(as_of, accounts=[account(coverage=word)] if word else [])
        for as_of, word in ((Q1, before), (Q2, now))
    ]
    rows = compare(*runs).coverage.set_index("account_id")
    assert rows.loc["1", "change"] == CoverageChange(change)
    assert rows.loc["1", "account_name"] == "account 1"
    assert rows.loc["0", "change"] == "same"


def test_every_change_has_a_label_and_a_meaning_for_people() -> None:
    for words in (Change, CoverageChange):
        assert len({word.label for word in words}) == len({*words}) == len([*words])
        for word in words:
            assert re.fullmatch(r"[A-Z][a-z ]+", word.label), word
            assert re.fullmatch(r"[A-Z].+\.", word.meaning), word
    description = next(column.description for column in CHANGES if column.name == "change")
    assert all(re.search(rf"\b{change.value}\b", description) for change in Change)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(
    ("apart", "noted"),
    [
        (timedelta(days=1), False),
        (timedelta(days=1, seconds=1), True),
        (timedelta(days=3), True),
    ],
    ids=str,
)
def test_evidence_judged_for_another_day_is_noted(
    apart: timedelta, *, noted: bool, later: bool, sign: int
) -> None:
    """Earlier or later than it was collected, in the earlier run or the later one."""
    moments = {as_of: as_of for as_of in (Q1, Q2)}
    moments[Q2 if later else Q1] += sign * apart
    runs = [run(as_of, started_at=started) for as_of, started in moments.items()]
    assert len(compare(*runs).notes) == noted


def test_what_makes_a_difference_doubtful_is_noted() -> None:
    assert compare(THEN, run(Q2)).notes == ()
    strict = run(Q2, thresholds={"access_key_max_age_days": 30})
    (note,) = compare(run(Q1, thresholds={"access_key_max_age_days": 90}), strict).notes
    assert "access key max age days 90 then, 30 now" in note
    (note,) = compare(run(Q1, started_at=Q1 - timedelta(days=9)), run(Q2)).notes
    assert "another time than its own" in note
    (note,) = compare(run(Q1, continues=True), run(Q2)).notes
    assert "not remembered" in note
    (note,) = compare(run(Q1, enumerated=False), run(Q2)).notes
    assert "not read to its end" in note
    (note,) = compare(run(Q2), run(Q1)).notes
    assert "not later" in note
