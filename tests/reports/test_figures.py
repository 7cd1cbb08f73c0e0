from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgscan.models import Coverage, Status
from orgscan.reports.figures import Tone, compute, pass_rate, top_level, verdict
from tests.kit import reports as sample

CLEAN = {"statuses": ("PASS", "NOT_APPLICABLE")}


def judged(content: Any) -> Any:
    return verdict(content, compute(content))


def test_clean_only_when_all_was_read_and_passed() -> None:
    found = judged(sample.content(6, 2, **CLEAN))
    assert found.tone is Tone.CLEAN
    assert found.headline == "PASSED: no failure found"


def test_not_clean_where_accounts_were_left_out() -> None:
    found = judged(sample.content(6, 2, **CLEAN, coverages=("COMPLETE", "EXCLUDED")))
    assert found.tone is Tone.CAUTION
    assert found.headline == "NO FAILURE in what was judged; 3 accounts left out"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            sample.content(6, 2, **CLEAN, run=sample.run_info(enumerated=False)),
            "not read to its end",
        ),
        (sample.content(6, 2, **CLEAN, run=sample.run_info(finished_at=None)), "did not finish"),
        (replace(sample.content(6, 2, **CLEAN), accounts_enumerated=7), "7 were enumerated"),
        (sample.content(6, 2, statuses=("PASS", "UNKNOWN")), "UNKNOWN is not a pass"),
        (sample.content(0), "Nothing was judged"),
        (sample.content(6, 2, coverages=("EXCLUDED",)), "Nothing was judged"),
        *[
            (sample.content(6, 2, **CLEAN, coverages=("COMPLETE", gap)), f"3 {gap}")
            for gap in ("PARTIAL", "DENIED", "FAILED", "NOT_ATTEMPTED", "A_NEW_WORD")
            if gap in set(Coverage)
        ],
    ],
)
def test_whatever_is_missing_forbids_a_clean_verdict(content: Any, sentence: str) -> None:
    found = judged(content)
    assert found.tone is Tone.CAUTION
    assert found.headline.startswith("INCOMPLETE")
    assert any(sentence in one for one in found.sentences)


def test_accounts_without_results_and_results_without_accounts() -> None:
    whole = sample.content(6, 2, **CLEAN)
    some = whole.findings["account_id"] != "000000000003"
    silent = replace(whole, findings=whole.findings[some])
    assert "1 account in scope without any result." in judged(silent).sentences
    lost = replace(whole, accounts=whole.accounts.iloc[1:], accounts_enumerated=5)
    assert "1 account with results but not in the coverage table." in judged(lost).sentences
    twice = replace(
        whole, accounts=whole.accounts.iloc[[0, 0, 1, 2, 3, 4, 5]], accounts_enumerated=None
    )
    assert any("7 accounts, but 6" in one for one in judged(twice).sentences)


def test_failures_and_waivers() -> None:
    assert judged(sample.content(6, 2)).headline.startswith("FAILED: ")
    waived = judged(sample.content(6, 2, statuses=("PASS", "WAIVED")))
    assert waived.tone is Tone.CAUTION
    assert waived.headline.startswith("NO OPEN FAILURE, but ")
    both = judged(sample.content(6, 2, coverages=("COMPLETE", "DENIED")))
    assert both.tone is Tone.BAD
    assert both.headline.startswith("INCOMPLETE: ")
    outside = judged(sample.content(6, 2, **CLEAN, coverages=("COMPLETE", "EXCLUDED")))
    assert any("3 EXCLUDED" in one for one in outside.sentences)


@settings(max_examples=40, deadline=None)
@given(
    coverages=st.lists(
        st.sampled_from([value.value for value in Coverage]), min_size=1, max_size=5
    ),
    statuses=st.lists(st.sampled_from([value.value for value in Status]), min_size=1, max_size=5),
)
def test_clean_means_clean(coverages: list[str], statuses: list[str]) -> None:
    content = sample.content(5, 1, coverages=coverages, statuses=statuses)
    numbers = compute(content)
    assert numbers.coverage_sum == 5 == sum(row.accounts for row in numbers.by_ou)
    assert sum(row.total for row in numbers.by_control) == len(content.findings)
    assert sum(sum(row.fails.values()) for row in numbers.by_ou) == numbers.state.get("FAIL", 0)
    assert sum(row.unknown for row in numbers.by_ou) == numbers.state.get("UNKNOWN", 0)
    if verdict(content, numbers).tone is Tone.CLEAN:
        assert set(content.findings["status"]) <= {"PASS", "NOT_APPLICABLE"}
        assert not content.accounts["coverage"].isin(["PARTIAL", "DENIED", "FAILED"]).any()
        assert "PASS" in set(content.findings["status"])


def test_pass_rate_counts_the_unknown_and_the_waived_against() -> None:
    assert pass_rate({"PASS": 1, "FAIL": 1, "WAIVED": 1, "UNKNOWN": 1, "NOT_APPLICABLE": 9}) == 0.25
    assert pass_rate({"PASS": 9999, "UNKNOWN": 1}) == 0.999
    assert pass_rate({"PASS": 3}) == 1
    assert pass_rate({"NOT_APPLICABLE": 3}) is None


def test_top_level() -> None:
    assert top_level("Root/Workloads/Prod") == "Root/Workloads"
    assert top_level("Root") == "Root"
    assert top_level("") == "(not known)"


def test_categories_count_like_text() -> None:
    content = sample.content(6, 2)
    names = ["control_id", "severity", "status", "account_id"]
    coded = replace(content, findings=content.findings.astype(dict.fromkeys(names, "category")))
    assert compute(coded) == compute(content)
