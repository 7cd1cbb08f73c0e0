from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.kit.findings import finding, findings, verdict
from tests.kit.readings import AS_OF, ago, key, reading, root, row, slot, stamp, user

OLD = ago(days=200)
DAYS_45 = timedelta(days=45)
MICRO = timedelta(microseconds=1)
PASSWORD = {"password_enabled": True, "password_last_used": ago(days=1)}
USER_CONTROLS = (
    "console-mfa",
    "unused-password",
    "single-active-access-key",
    "user-without-credentials",
    "console-user",
    "signing-certificate",
)


def alice(**cells: Any) -> dict[str, Any]:
    """A world with the one user alice, seen by both sources."""
    return {"report": [root(), row(**cells)], "users": [user()]}


def test_console_mfa() -> None:
    assert verdict("console-mfa", **alice(**PASSWORD)) == "FAIL"
    assert verdict("console-mfa", **alice(**PASSWORD, mfa_active=True)) == "PASS"
    assert verdict("console-mfa", **alice()) == "NOT_APPLICABLE"
    assert verdict("console-mfa", **alice(**PASSWORD, mfa_active="N/A")) == "UNKNOWN"
    assert verdict("console-mfa", **alice(password_enabled="not_supported")) == "UNKNOWN"


def test_a_user_without_a_password_is_not_asked_about_it() -> None:
    assert verdict("unused-password", **alice(password_last_used=OLD)) == "NOT_APPLICABLE"


@pytest.mark.parametrize(
    ("idle", "status"),
    [(DAYS_45 - MICRO, "PASS"), (DAYS_45, "FAIL"), (DAYS_45 + MICRO, "FAIL")],
)
def test_unused_password_at_exactly_45_days(idle: timedelta, status: str) -> None:
    world = alice(password_enabled=True, password_last_used=AS_OF - idle)
    assert verdict("unused-password", **world) == status


def test_a_password_never_used_is_idle_since_it_was_set_else_since_the_user_was_made() -> None:
    for word in ("no_information", "N/A"):
        never = {"password_enabled": True, "password_last_used": word}
        got = finding("unused-password", **alice(**never, password_last_changed=ago(days=50)))
        assert got["status"] == "FAIL"
        assert got["reason"] == "console password never used, idle for 50 days, limit 45"
        assert (
            verdict("unused-password", **alice(**never, password_last_changed=ago(days=3)))
            == "PASS"
        )
        assert verdict("unused-password", **alice(**never)) == "FAIL"
        created = ago(days=1)
        young = alice(**never, user_creation_time=created) | {"users": [user(created=created)]}
        assert verdict("unused-password", **young) == "PASS"


def test_a_password_use_the_report_does_not_say_is_unknown() -> None:
    world = alice(password_enabled=True, password_last_used="not_supported")
    assert verdict("unused-password", **world) == "UNKNOWN"


def test_a_password_used_after_as_of_passes_and_says_so() -> None:
    got = finding(
        "unused-password",
        **alice(password_enabled=True, password_last_used=AS_OF + MICRO),
        generated=AS_OF,
    )
    assert got["status"] == "PASS"
    assert "after the as-of time" in got["reason"]


def test_single_active_key() -> None:
    both = slot(1, active=True, created=OLD) | slot(2, active=True, created=ago(days=9))
    keys = [key("AKIA1", OLD), key("AKIA2", ago(days=9))]
    got = finding("single-active-access-key", **alice(**both), keys=keys)
    assert (got["status"], got["reason"]) == ("FAIL", "2 active access keys")
    one_off = [keys[0], key("AKIA2", ago(days=9), status="Inactive")]
    assert verdict("single-active-access-key", **alice(**both), keys=one_off) == "PASS"
    assert verdict("single-active-access-key", **alice(**both), keys=[]) == "NOT_APPLICABLE"
    assert verdict("single-active-access-key", **alice(**both), keys=None) == "FAIL"
    assert verdict("single-active-access-key", **alice(), keys=None) == "NOT_APPLICABLE"
    assert verdict("single-active-access-key", report=None, users=[user()], keys=keys) == "FAIL"
    assert verdict("single-active-access-key", report=None, users=[user()], keys=None) == "UNKNOWN"


def test_user_without_credentials() -> None:
    control = "user-without-credentials"
    active = slot(1, active=True, created=OLD)
    assert verdict(control, **alice()) == "FAIL"
    assert verdict(control, **alice(**slot(1, active=False, created=OLD)), keys=None) == "FAIL"
    assert verdict(control, **alice(password_enabled=True)) == "PASS"
    assert verdict(control, **alice(cert_2_active=True)) == "PASS"
    assert verdict(control, **alice(**active), keys=[key("AKIA1", OLD)]) == "PASS"
    assert verdict(control, **alice(**active), keys=None) == "PASS"
    assert (
        verdict(control, **alice(**active), keys=[key("AKIA1", OLD, status="Inactive")]) == "FAIL"
    )
    assert verdict(control, **alice(cert_1_active="N/A")) == "UNKNOWN"


def test_an_active_key_is_a_credential_even_without_a_report() -> None:
    control = "user-without-credentials"
    world: dict[str, Any] = {"report": None, "users": [user()]}
    assert verdict(control, **world, keys=[key("AKIA1", OLD)]) == "PASS"
    assert verdict(control, **world) == "UNKNOWN"


def test_console_user_and_signing_certificate() -> None:
    assert verdict("console-user", **alice(**PASSWORD)) == "FAIL"
    assert verdict("console-user", **alice()) == "PASS"
    assert verdict("console-user", **alice(password_enabled="N/A")) == "UNKNOWN"
    got = finding("signing-certificate", **alice(cert_1_active=True, cert_2_active=True))
    assert (got["status"], got["reason"]) == ("FAIL", "2 active signing certificates")
    assert verdict("signing-certificate", **alice()) == "NOT_APPLICABLE"
    assert verdict("signing-certificate", **alice(cert_1_active="N/A")) == "UNKNOWN"


@pytest.mark.parametrize("control", USER_CONTROLS)
def test_a_user_created_since_the_report_is_unknown_where_the_report_is_needed(
    control: str,
) -> None:
    expected = "NOT_APPLICABLE" if control == "single-active-access-key" else "UNKNOWN"
    assert verdict(control, users=[user(created=ago(minutes=5))]) == expected


@pytest.mark.parametrize("control", USER_CONTROLS)
def test_a_row_with_an_unreadable_cell_is_as_good_as_no_row(control: str) -> None:
    world = alice(**PASSWORD, cert_1_last_rotated="soon")
    expected = "NOT_APPLICABLE" if control == "single-active-access-key" else "UNKNOWN"
    assert verdict(control, **world) == expected


def test_a_user_deleted_since_the_report_has_no_findings() -> None:
    cells = PASSWORD | slot(1, active=True, created=OLD)
    rows = findings([reading(report=[root(), row(**cells)])])
    assert set(rows["user"].dropna()) == {"<root_account>"}


def test_without_a_listing_the_users_of_the_report_are_judged() -> None:
    cells = PASSWORD | slot(1, active=True, created=OLD)
    world: dict[str, Any] = {"report": [root(), row(**cells)], "users": None, "keys": None}
    assert verdict("console-mfa", **world) == "FAIL"
    assert verdict("access-key-rotation", **world) == "FAIL"


def test_user_and_key_controls_never_see_root() -> None:
    cells = slot(1, active=True, created=OLD) | {"cert_1_active": True}
    rows = findings([reading(report=[root(**cells)], users=None, keys=None)])
    about_root = rows[rows["user"] == "<root_account>"]
    assert about_root["control_id"].str.startswith("root-").all()
    assert len(rows) == 7


def test_users_called_like_missing_values_are_judged_under_their_names() -> None:
    names = ["NA", "None", "nan", "null", "true"]
    rows = findings(
        [
            reading(
                report=[root(), *(row(name, **PASSWORD) for name in names)],
                users=[user(name) for name in names],
            )
        ],
        "console-mfa",
    )
    assert rows["user"].tolist() == names
    assert rows["status"].eq("FAIL").all()


def test_a_report_alone_proves_no_single_key_where_keys_were_not_listed() -> None:
    one = slot(1, active=True, created=OLD)
    assert verdict("single-active-access-key", **alice(**one), keys=[key("AKIA1", OLD)]) == "PASS"
    assert verdict("single-active-access-key", **alice(**one), keys=None) == "UNKNOWN"


@pytest.mark.parametrize("control", USER_CONTROLS)
def test_a_report_alone_proves_a_failure_but_no_pass_of_a_user_that_was_not_listed(
    control: str,
) -> None:
    guarded = {"report": [root(), row(mfa_active=True, **PASSWORD)], "users": None, "keys": None}
    assert verdict(control, **guarded) == ("FAIL" if control == "console-user" else "UNKNOWN")
    failing = [root(), row(cert_1_active=True, **PASSWORD)]
    expected = {"console-mfa": "FAIL", "console-user": "FAIL", "signing-certificate": "FAIL"}
    got = verdict(control, report=failing, users=None, keys=None)
    assert got == expected.get(control, "UNKNOWN")


@pytest.mark.parametrize(
    "control",
    ["console-mfa", "unused-password", "console-user", "user-without-credentials"],
)
def test_a_sign_in_after_the_report_leaves_a_denied_password_unknown(control: str) -> None:
    world = {"report": [root(), row()], "ssh_keys": {"alice": []}, "service_credentials": []}
    before, after = (
        user() | {"PasswordLastUsed": stamp(used)} for used in (ago(days=30), ago(minutes=1))
    )
    generated = ago(hours=1)
    calm = verdict(control, **world, users=[before], generated=generated)
    assert calm != "UNKNOWN"
    assert verdict(control, **world, users=[after], generated=generated) == "UNKNOWN"


@pytest.mark.parametrize("control", ["console-mfa", "unused-password", "user-without-credentials"])
def test_a_row_with_a_time_after_its_report_is_not_evaluated(control: str) -> None:
    cells = PASSWORD | {"mfa_active": True, "password_last_used": AS_OF + 9 * timedelta(days=365)}
    assert verdict(control, **alice(**cells)) == "UNKNOWN"
