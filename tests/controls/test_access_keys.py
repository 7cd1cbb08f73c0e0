from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.kit.findings import finding, findings, verdict
from tests.kit.readings import AS_OF, GENERATED, ago, key, reading, root, row, slot, user

OLD = ago(days=200)
MICRO = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
PASSWORD = {"password_enabled": True, "password_last_used": ago(days=1)}
USE_CONTROLS = ("unused-access-key", "never-used-access-key", "setup-access-key")


def one_key(
    created: Any = OLD, used: Any = "N/A", status: str = "Active", **cells: Any
) -> dict[str, Any]:
    """Alice with a console password and one key that both sources know."""
    cells = PASSWORD | slot(1, active=status == "Active", created=created, used=used) | cells
    return {
        "report": [root(), row(**cells)],
        "users": [user()],
        "keys": [key("AKIA1", created, status=status)],
    }


def statuses(control: str, **world: Any) -> list[str]:
    return findings([reading(**world)], control)["status"].tolist()


@pytest.mark.parametrize(
    ("age", "status"),
    [
        (timedelta(days=90) - MICRO, "PASS"),
        (timedelta(days=90), "PASS"),
        (timedelta(days=90) + MICRO, "FAIL"),
        (timedelta(days=91), "FAIL"),
    ],
)
def test_rotation_at_exactly_90_days(age: timedelta, status: str) -> None:
    assert verdict("access-key-rotation", **one_key(AS_OF - age)) == status


def test_rotation_states_its_figures() -> None:
    got = finding("access-key-rotation", **one_key(ago(days=412, hours=5)))
    assert got["reason"] == "active for 412 days, limit 90"
    assert got["threshold"] == "90 days (default)"
    assert got["access_key_id"] == "AKIA1"
    assert got["slot"] == 1
    just = finding("access-key-rotation", **one_key(AS_OF - timedelta(days=90) - SECOND))
    assert just["reason"] == "active for just over 90 days, limit 90"
    half = {"access_key_max_age_days": 0.5}
    assert (
        finding("access-key-rotation", **one_key(ago(hours=13)), limits=half)["reason"]
        == "active for just over 0.5 days, limit 0.5"
    )


@pytest.mark.parametrize(
    ("idle", "status"),
    [
        (timedelta(days=45) - MICRO, "PASS"),
        (timedelta(days=45), "FAIL"),
        (timedelta(days=45) + MICRO, "FAIL"),
    ],
)
def test_unused_key_at_exactly_45_days(idle: timedelta, status: str) -> None:
    assert verdict("unused-access-key", **one_key(used=AS_OF - idle)) == status
    assert verdict("unused-access-key", **one_key(created=AS_OF - idle)) == status


def test_unused_key_states_its_figures() -> None:
    got = finding("unused-access-key", **one_key(used=ago(days=45)))
    assert got["reason"] == "idle for 45 days, limit 45"
    never = finding("unused-access-key", **one_key())
    assert never["reason"] == "never used, idle for 200 days, limit 45"


def test_a_never_used_key_of_any_age_does_not_pass_as_used() -> None:
    for age in (8, 44, 46, 5000):
        assert verdict("never-used-access-key", **one_key(ago(days=age))) == "FAIL"
    assert verdict("never-used-access-key", **one_key(used=ago(days=1))) == "PASS"


def test_never_used_grace_is_exact() -> None:
    grace = timedelta(days=7)
    assert verdict("never-used-access-key", **one_key(AS_OF - grace)) == "PASS"
    got = finding("never-used-access-key", **one_key(AS_OF - grace - MICRO))
    assert (got["status"], got["reason"]) == ("FAIL", "never used in just over 7 days, limit 7")


@pytest.mark.parametrize("control", [*USE_CONTROLS, "access-key-rotation"])
def test_inactive_keys_are_not_asked(control: str) -> None:
    assert verdict(control, **one_key(status="Inactive")) == "NOT_APPLICABLE"


def test_inactive_key_control() -> None:
    got = finding("inactive-access-key", **one_key(status="Inactive"))
    assert got["reason"] == "inactive but not deleted, created 200 days ago"
    assert verdict("inactive-access-key", **one_key()) == "NOT_APPLICABLE"


@pytest.mark.parametrize(
    "control", ["unused-access-key", "access-key-rotation", "inactive-access-key"]
)
def test_a_status_nobody_knows_is_unknown(control: str) -> None:
    assert verdict(control, **one_key(status="Disabled")) == "UNKNOWN"
    assert verdict(control, **one_key(status="Expired")) == "NOT_APPLICABLE"


def test_an_inactive_key_1_does_not_hide_key_2() -> None:
    cells = slot(1, active=False, created=OLD) | slot(2, active=True, created=OLD + SECOND)
    keys = [key("AKIA1", OLD, status="Inactive"), key("AKIA2", OLD + SECOND)]
    world = {"report": [root(), row(**cells)], "users": [user()], "keys": keys}
    assert statuses("access-key-rotation", **world) == ["NOT_APPLICABLE", "FAIL"]
    assert statuses("unused-access-key", **world) == ["NOT_APPLICABLE", "FAIL"]


def test_conditions_are_never_matched_across_two_keys_of_a_user() -> None:
    # Key 1 is old but inactive, key 2 active but young: neither needs rotating.
    cells = slot(1, active=False, created=OLD) | slot(2, active=True, created=ago(days=2))
    keys = [key("AKIA1", OLD, status="Inactive"), key("AKIA2", ago(days=2))]
    world = {"report": [root(), row(**cells)], "users": [user()], "keys": keys}
    assert statuses("access-key-rotation", **world) == ["NOT_APPLICABLE", "PASS"]


def test_dev_is_not_judged_for_the_keys_of_dev_ops() -> None:
    rows = [root(), row("dev"), row("dev-ops", **slot(1, active=True, created=OLD))]
    world = {
        "report": rows,
        "users": [user("dev"), user("dev-ops")],
        "keys": [key("AKIA1", OLD, "dev-ops")],
    }
    got = finding("access-key-rotation", **world)
    assert (got["user"], got["arn"][-7:]) == ("dev-ops", "dev-ops")


# Keys made along with the user


def made_with_user(after: timedelta, used: Any = "N/A", **cells: Any) -> dict[str, Any]:
    return one_key(ago(days=400) + after, used=used, **cells)


def test_setup_key_window_is_inclusive() -> None:
    control = "setup-access-key"
    minutes = timedelta(minutes=5)
    assert verdict(control, **made_with_user(timedelta(0))) == "FAIL"
    assert verdict(control, **made_with_user(minutes)) == "FAIL"
    assert verdict(control, **made_with_user(minutes + SECOND)) == "PASS"
    assert verdict(control, **made_with_user(minutes, used=ago(days=300))) == "PASS"
    assert verdict(control, **made_with_user(minutes, password_enabled=False)) == "NOT_APPLICABLE"
    assert verdict(control, **made_with_user(minutes, password_enabled="N/A")) == "UNKNOWN"
    assert finding(control, **made_with_user(minutes))["threshold"] == "5 minutes (default)"


def test_setup_rule_never_used_does_not_ask_when_the_key_was_made() -> None:
    limits = {"setup_rule": "never-used"}
    got = finding("setup-access-key", **one_key(), limits=limits)
    assert (got["status"], got["threshold"]) == ("FAIL", "never used (settings)")
    used = one_key(used=ago(days=300))
    assert verdict("setup-access-key", **used, limits=limits) == "PASS"


# Missing or odd data


def test_a_key_created_after_the_report_is_judged_by_its_age() -> None:
    world = {
        "report": [root(), row(**PASSWORD)],
        "users": [user()],
        "keys": [key("AKIA1", GENERATED + SECOND)],
    }
    assert verdict("unused-access-key", **world) == "PASS"
    assert verdict("never-used-access-key", **world) == "PASS"
    assert verdict("setup-access-key", **world) == "PASS"
    assert verdict("access-key-rotation", **world) == "PASS"
    eager = {"new_key_grace_days": 0}
    assert verdict("never-used-access-key", **world, limits=eager) == "UNKNOWN"
    early = world | {"generated": ago(days=60), "keys": [key("AKIA1", ago(days=50))]}
    assert verdict("unused-access-key", **early) == "FAIL"


def test_a_user_and_key_created_after_the_report() -> None:
    created = GENERATED + SECOND
    world = {"users": [user(created=created)], "keys": [key("AKIA1", created)]}
    assert verdict("unused-access-key", **world) == "PASS"
    assert verdict("access-key-rotation", **world) == "PASS"
    assert verdict("setup-access-key", **world) == "UNKNOWN"


@pytest.mark.parametrize("control", USE_CONTROLS)
@pytest.mark.parametrize("created", [OLD, ago(days=1), GENERATED])
def test_last_use_of_a_key_the_report_should_know_and_does_not_is_unknown(
    control: str, created: Any
) -> None:
    world = {
        "report": [root(), row(**PASSWORD)],
        "users": [user()],
        "keys": [key("AKIA1", created)],
    }
    assert verdict(control, **world) == "UNKNOWN"
    assert verdict("access-key-rotation", **world) != "UNKNOWN"
    assert verdict("inactive-access-key", **world) == "NOT_APPLICABLE"


@pytest.mark.parametrize("control", USE_CONTROLS)
def test_without_a_report_use_is_unknown_but_age_and_status_are_judged(control: str) -> None:
    world = one_key() | {"report": None}
    assert verdict(control, **world) == "UNKNOWN"
    assert verdict("access-key-rotation", **world) == "FAIL"
    assert verdict("inactive-access-key", **world) == "NOT_APPLICABLE"
    assert verdict("single-active-access-key", **world) == "PASS"


def test_a_key_deleted_since_the_report_is_not_judged() -> None:
    world = one_key() | {"keys": []}
    assert findings([reading(**world)], *USE_CONTROLS, "access-key-rotation").empty


def test_without_the_key_listing_slots_are_judged_inactive_ones_by_their_date() -> None:
    cells = slot(1, active=True, created=OLD) | slot(2, active=False, created=ago(days=300))
    world = {"report": [root(), row(**cells)], "users": [user()], "keys": None}
    assert statuses("access-key-rotation", **world) == ["FAIL", "NOT_APPLICABLE"]
    assert statuses("inactive-access-key", **world) == ["NOT_APPLICABLE", "FAIL"]
    deleted = world | {"users": []}
    assert statuses("access-key-rotation", **deleted) == []


def tied(first: Any, second: Any) -> dict[str, Any]:
    """Two active keys of one second; the report gives two different last uses."""
    cells = PASSWORD | slot(1, active=True, created=OLD, used=first)
    cells |= {"user_creation_time": OLD}
    cells |= slot(2, active=True, created=OLD, used=second)
    return {
        "report": [root(), row(**cells)],
        "users": [user(created=OLD)],
        "keys": [key("AKIA1", OLD), key("AKIA2", OLD)],
    }


@pytest.mark.parametrize(
    ("control", "uses", "expected"),
    [
        ("unused-access-key", (ago(days=1), ago(days=2)), "PASS"),
        ("unused-access-key", (ago(days=50), ago(days=60)), "FAIL"),
        ("unused-access-key", (ago(days=50), "N/A"), "FAIL"),
        ("unused-access-key", (ago(days=1), "N/A"), "UNKNOWN"),
        ("never-used-access-key", ("N/A", "N/A"), "FAIL"),
        ("never-used-access-key", (ago(days=1), ago(days=50)), "PASS"),
        ("never-used-access-key", (ago(days=1), "N/A"), "UNKNOWN"),
        ("setup-access-key", ("N/A", "N/A"), "FAIL"),
        ("setup-access-key", (ago(days=1), ago(days=50)), "PASS"),
        ("setup-access-key", (ago(days=1), "N/A"), "UNKNOWN"),
        ("access-key-rotation", (ago(days=1), "N/A"), "FAIL"),
    ],
)
def test_two_keys_of_one_second_are_judged_where_both_readings_agree(
    control: str, uses: tuple[Any, Any], expected: str
) -> None:
    world = tied(*uses)
    assert statuses(control, **world) == [expected, expected]


def test_an_unused_verdict_on_tied_keys_states_the_shorter_idle_time() -> None:
    rows = findings([reading(**tied(ago(days=50), ago(days=60)))], "unused-access-key")
    assert rows["reason"].tolist() == ["idle for 50 days, limit 45"] * 2


def test_a_tied_key_that_may_be_in_no_slot_is_unknown() -> None:
    world = one_key(used=ago(days=1)) | {"keys": [key("AKIA1", OLD), key("AKIA2", OLD)]}
    for control in USE_CONTROLS[:2]:
        assert statuses(control, **world) == ["UNKNOWN", "UNKNOWN"]


def test_one_key_that_fits_two_slots_is_judged_where_both_agree() -> None:
    world = tied(ago(days=50), ago(days=60)) | {"keys": [key("AKIA1", OLD)]}
    assert verdict("unused-access-key", **world) == "FAIL"
    world = tied(ago(days=1), ago(days=60)) | {"keys": [key("AKIA1", OLD)]}
    assert verdict("unused-access-key", **world) == "UNKNOWN"


@pytest.mark.parametrize(
    "control", ["unused-access-key", "access-key-rotation", "never-used-access-key"]
)
def test_a_key_created_after_as_of_has_age_zero_and_the_reason_says_so(control: str) -> None:
    created = AS_OF + timedelta(days=400)
    got = finding(control, **one_key(created), generated=created)
    assert got["status"] == "PASS"
    assert "after the as-of time" in got["reason"]


def test_a_key_whose_creation_is_not_known_is_unknown() -> None:
    cells = slot(1, active=True, created="N/A")
    world = {"report": [root(), row(**cells)], "users": None, "keys": None}
    for control in (*USE_CONTROLS, "access-key-rotation"):
        assert verdict(control, **world) == "UNKNOWN"
