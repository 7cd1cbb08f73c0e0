"""The join of report slots and listed keys, case by case."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest

from orgscan.tables import build
from tests.kit.readings import AS_OF, GENERATED, ago, key, reading, root, row, slot, user

OLD = ago(days=200)
USED = ago(days=2)
A, I = "Active", "Inactive"  # noqa: E741


def merged(slots: dict[str, object], keys: list[dict[str, str]] | None) -> pd.DataFrame:
    readings = [reading(report=[root(), row(**slots)], users=[user()], keys=keys)]
    return build(readings, as_of=AS_OF).access_keys


def pair(first: str, second: str, used: tuple[object, object] = (USED, "N/A")) -> dict[str, object]:
    return {
        **slot(1, active=first == A, created=OLD, used=used[0]),
        **slot(2, active=second == A, created=OLD, used=used[1]),
    }


def listed(*statuses: str) -> list[dict[str, str]]:
    return [key(f"AKIA{place}", OLD, status=status) for place, status in enumerate(statuses)]


def test_a_slot_and_a_key_of_the_same_second_match() -> None:
    cells = slot(1, active=True, created=OLD, used=USED, region="eu-west-1", service="sts")
    later = OLD + timedelta(microseconds=999_999)
    table = merged(cells, [key("AKIA1", later)])
    first = table.iloc[0]
    assert (first["match"], first["slot"], first["access_key_id"]) == ("matched", 1, "AKIA1")
    assert (first["last_used_region"], first["last_used_service"]) == ("eu-west-1", "sts")
    assert first["idle_days"] == 2
    assert len(table) == 1


def test_a_second_apart_is_another_key() -> None:
    table = merged(slot(1, active=True, created=OLD), [key("AKIA1", OLD + timedelta(seconds=1))])
    assert sorted(table["match"]) == ["live_only", "report_only"]


def test_a_key_toggled_inactive_keeps_its_match() -> None:
    table = merged(slot(1, active=True, created=OLD, used=USED), [key("AKIA1", OLD, status=I)])
    assert table[["match", "status", "last_used_at"]].to_numpy().tolist() == [["matched", I, USED]]


def test_key_2_is_looked_at_when_key_1_is_inactive_or_absent() -> None:
    both = slot(1, active=False, created=OLD) | slot(2, active=True, created=ago(days=9), used=USED)
    table = merged(both, [key("AKIA1", OLD, status=I), key("AKIA2", ago(days=9))])
    assert table[["access_key_id", "slot", "status"]].to_numpy().tolist() == [
        ["AKIA1", 1, I],
        ["AKIA2", 2, A],
    ]
    alone = merged(slot(2, active=True, created=OLD), [key("AKIA1", OLD)])
    assert alone[["slot", "match"]].to_numpy().tolist() == [[2, "matched"]]


def test_last_use_never_crosses_from_one_key_to_the_other() -> None:
    both = slot(1, active=True, created=OLD) | slot(2, active=True, created=ago(days=9), used=USED)
    table = merged(both, [key("AKIA1", ago(days=9)), key("AKIA2", OLD)]).set_index("access_key_id")
    assert table.loc["AKIA1", "last_used_at"] == USED
    assert pd.isna(table.loc["AKIA2", "last_used_at"])


@pytest.mark.parametrize(
    ("slots", "keys", "expected"),
    [
        ((A, I), (I, A), [("AKIA0", 2, "matched"), ("AKIA1", 1, "matched")]),
        ((A, A), (A, A), [("AKIA0", 1, "ambiguous"), ("AKIA1", 2, "ambiguous")]),
        ((A, I), (I, I), [("AKIA0", 1, "ambiguous"), ("AKIA1", 2, "ambiguous")]),
        ((A, A), (I, I), [("AKIA0", 1, "ambiguous"), ("AKIA1", 2, "ambiguous")]),
        ((A, I), (I,), [("AKIA0", 2, "matched"), (None, 1, "report_only")]),
        ((A, A), (A,), [("AKIA0", 1, "ambiguous"), (None, 2, "report_only")]),
    ],
)
def test_two_slots_of_one_second(
    slots: tuple[str, str], keys: tuple[str, ...], expected: list[tuple[str | None, int, str]]
) -> None:
    table = merged(pair(*slots), listed(*keys))
    found = table[["access_key_id", "slot", "match"]].astype(object)
    rows = found.where(found.notna(), None).to_numpy().tolist()
    assert [tuple(line) for line in rows] == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((A, I), ["matched", "live_only"]),
        ((I, A), ["live_only", "matched"]),
        ((A, A), ["ambiguous", "ambiguous"]),
        ((I, I), ["ambiguous", "ambiguous"]),
    ],
)
def test_one_slot_and_two_keys_of_one_second(keys: tuple[str, str], expected: list[str]) -> None:
    table = merged(slot(1, active=True, created=OLD, used=USED), listed(*keys))
    assert table["match"].tolist() == expected
    ambiguous = table[table["match"] == "ambiguous"]
    assert ambiguous["last_used_at"].isna().all()
    assert ambiguous["idle_days"].isna().all()


def test_ambiguous_keys_get_last_use_only_where_both_slots_agree() -> None:
    alike = merged(pair(A, A, (USED, USED)), listed(A, A))
    assert alike["last_used_at"].tolist() == [USED, USED]
    assert alike["idle_days"].tolist() == [2.0, 2.0]
    never = merged(pair(A, A, ("N/A", "N/A")), listed(A, A))
    assert never["idle_days"].tolist() == [200.0, 200.0]
    differ = merged(pair(A, A), listed(A, A))
    assert differ[["last_used_at", "last_used_region", "idle_days"]].isna().all(axis=None)


def test_an_inactive_slot_counts_by_its_date_and_a_freed_one_not_at_all() -> None:
    table = merged(slot(1, active=False, created=OLD), None)
    assert table[["slot", "match", "status"]].to_numpy().tolist() == [[1, "report_only", I]]
    assert merged({}, None).empty


def test_an_active_slot_without_a_date_is_kept_and_matches_nothing() -> None:
    table = merged(slot(1, active=True, created="N/A"), [key("AKIA1", OLD)])
    assert sorted(table["match"]) == ["live_only", "report_only"]
    assert table["age_days"].isna().tolist() == [False, True]


def test_idle_time_of_keys_outside_the_report() -> None:
    newer = GENERATED + timedelta(minutes=30)
    table = merged({}, [key("AKIA1", OLD), key("AKIA2", newer)])
    assert table["match"].eq("live_only").all()
    assert pd.isna(table["idle_days"][0])
    assert table["idle_days"][1] == table["age_days"][1] == 0.5 / 24


def test_roots_keys_are_rows_without_an_id() -> None:
    readings = [reading(report=[root(**slot(2, active=True, created=OLD))])]
    table = build(readings, as_of=AS_OF).access_keys
    assert table[["is_root", "slot", "match"]].to_numpy().tolist() == [[True, 2, "report_only"]]
    assert table["access_key_id"].isna().all()


def test_ages_are_exact_durations() -> None:
    created = AS_OF - timedelta(days=90, microseconds=1)
    table = merged({}, [key("AKIA1", created)])
    assert table["age_days"][0] * 86_400e6 == pytest.approx(90 * 86_400e6 + 1, abs=0.1)


def test_a_key_listed_twice_is_one_key() -> None:
    table = merged({}, [key("AKIA1", OLD), key("AKIA1", OLD)])
    assert table["access_key_id"].tolist() == ["AKIA1"]


def test_a_key_that_may_be_in_no_slot_gets_no_last_use_even_where_the_slots_agree() -> None:
    table = merged(pair(A, A, (USED, USED)), listed(A, A, A))
    assert table["match"].tolist() == ["ambiguous"] * 3
    assert table["idle_days"].isna().all()


def test_a_key_created_in_the_second_of_the_report_has_no_known_use() -> None:
    table = merged({}, [key("AKIA1", GENERATED)])
    assert table["age_days"].notna().all()
    assert table["idle_days"].isna().all()
