"""Where the requirements of a framework stand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from orgscan.controls.frameworks.reading import shipped
from orgscan.controls.requirements import assess
from orgscan.controls.tally import Tally
from orgscan.models import RequirementStatus, Status

CIS = shipped()["cis-7.0"]


def rows(*told: tuple[str, str, int], threshold: str | None = "45 days (default)") -> Tally:
    """Findings, counted: control, status and how many."""
    lines = [(control, status) for control, status, size in told for _ in range(size)]
    frame = pd.DataFrame(lines, columns=["control_id", "status"], dtype="str")
    more = {"severity": "high", "reason": "because", "account_id": "1", "threshold": threshold}
    return Tally.of(frame.assign(**more))


def standing(
    *told: tuple[str, str, int], whole: bool = True, framework: Any = CIS, name: str = "2.11"
) -> RequirementStatus:
    found = assess(framework, rows(*told), whole=whole).requirements
    return next(one.status for one in found if one.id == name)


PASSED = ("unused-password", "PASS", 3)


def test_what_was_left_out_stands_beside_the_name() -> None:
    told = assess(CIS, rows(PASSED), whole=True, scope="1 of 25 accounts")
    assert told.label == "CIS AWS Foundations Benchmark 7.0.0 (cis-7.0), 1 of 25 accounts"
    assert assess(CIS, rows(PASSED), whole=True).label.endswith("(cis-7.0)")


def test_counts_have_every_status_however_many_rows_there_are() -> None:
    tally = rows(("root-mfa", "FAIL", 1), ("unused-password", "PASS", 250_000))
    none = dict.fromkeys(Status, 0)
    assert tally.counts == {
        "root-mfa": none | {Status.FAIL: 1},
        "unused-password": none | {Status.PASS: 250_000},
    }


@pytest.mark.parametrize(
    ("told", "whole", "status"),
    [
        ([PASSED, ("unused-access-key", "PASS", 2)], True, RequirementStatus.MET),
        ([PASSED, ("unused-access-key", "NOT_APPLICABLE", 2)], True, RequirementStatus.MET),
        ([PASSED], True, RequirementStatus.MET),
        ([], True, RequirementStatus.NOTHING_TO_JUDGE),
        ([("unused-password", "NOT_APPLICABLE", 2)], True, RequirementStatus.NOTHING_TO_JUDGE),
        ([PASSED, ("unused-access-key", "PASS", 2)], False, RequirementStatus.NOT_KNOWN),
        ([], False, RequirementStatus.NOT_KNOWN),
        ([PASSED, ("unused-access-key", "UNKNOWN", 1)], True, RequirementStatus.NOT_KNOWN),
        ([PASSED, ("unused-access-key", "WAIVED", 1)], True, RequirementStatus.MET_BUT_WAIVED),
        (
            [("unused-password", "UNKNOWN", 1), ("unused-access-key", "WAIVED", 1)],
            True,
            RequirementStatus.NOT_KNOWN,
        ),
        ([PASSED, ("unused-access-key", "FAIL", 1)], True, RequirementStatus.NOT_MET),
        (
            [("unused-password", "UNKNOWN", 1), ("unused-access-key", "FAIL", 1)],
            False,
            RequirementStatus.NOT_MET,
        ),
    ],
)
def test_where_a_requirement_stands(
    told: list[tuple[str, str, int]], *, whole: bool, status: RequirementStatus
) -> None:
    assert standing(*told, whole=whole) == status


def test_a_requirement_without_a_control_is_never_met() -> None:
    assert standing(PASSED, name="2.1.1") == RequirementStatus.NOT_JUDGED
    assert standing(whole=False, name="2.1.1") == RequirementStatus.NOT_JUDGED


def test_a_related_requirement_is_never_met() -> None:
    pci = shipped()["pci-dss-4.0.1"]
    passed = [PASSED, ("unused-access-key", "PASS", 1)]
    assert standing(*passed, framework=pci, name="8.2.6") == RequirementStatus.NO_FAILURE
    failed = ("unused-access-key", "FAIL", 1)
    assert standing(failed, framework=pci, name="8.2.6") == RequirementStatus.FAILURE_FOUND


def test_counts_limits_and_totals() -> None:
    found = assess(
        CIS,
        rows(PASSED, ("unused-access-key", "FAIL", 2), ("console-user", "FAIL", 9)),
        whole=True,
    )
    by_id = {one.id: one for one in found.requirements}
    counts = by_id["2.11"].counts
    assert counts["unused-password"] == {**dict.fromkeys(Status, 0), Status.PASS: 3}
    assert counts["unused-access-key"][Status.FAIL] == 2
    assert by_id["2.11"].limits["unused-password"] == "45 days (default)"
    assert by_id["2.1.1"].counts == {}
    # What the framework does not ask for is not counted for it.
    assert sum(sum(of.values()) for one in found.requirements for of in one.counts.values()) == 5
    assert found.totals == {
        RequirementStatus.NOT_MET: 1,
        RequirementStatus.NOTHING_TO_JUDGE: 8,
        RequirementStatus.NOT_JUDGED: 1,
    }


def test_a_second_judgement_takes_the_place_of_the_first() -> None:
    fsbp = shipped()["fsbp"]
    first = rows(("unused-access-key", "FAIL", 3), ("console-mfa", "FAIL", 1))
    again = rows(
        ("unused-access-key", "FAIL", 1), ("unused-access-key", "PASS", 2),
        threshold="90 days (fsbp)",
    )  # fmt: skip
    found = {one.id: one for one in assess(fsbp, first, again, whole=True).requirements}
    assert found["IAM.8"].counts["unused-access-key"][Status.FAIL] == 1
    assert found["IAM.8"].counts["unused-access-key"][Status.PASS] == 2
    assert found["IAM.8"].limits == {"unused-access-key": "90 days (fsbp)"}
    assert found["IAM.5"].counts["console-mfa"][Status.FAIL] == 1


def test_many_limits_are_cut_short_and_none_is_no_text() -> None:
    together = Tally()
    for number in range(8):
        part = rows(("unused-password", "PASS", 9 - number), threshold=f"{number} days (x)")
        together.results += part.results
        together.limits += part.limits
    found = {one.id: one for one in assess(CIS, together, whole=True).requirements}
    text = found["2.11"].limits["unused-password"]
    assert text.startswith("0 days (x); 1 days (x); ")
    assert text.endswith("; and 3 more")
    bare = assess(CIS, rows(("console-mfa", "PASS", 1), threshold=None), whole=True)
    assert all(not one.limits for one in bare.requirements)
