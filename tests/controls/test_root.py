from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from orgscan.models import Coverage
from tests.kit.findings import finding, findings, verdict
from tests.kit.readings import ACCOUNT, AS_OF, ago, reading, root, row, slot, unread, user

OLD = ago(days=200)
NO_ROOT_CREDENTIALS = {"password_enabled": False, "password_last_used": "N/A", "mfa_active": False}
VIRTUAL = [{"SerialNumber": "x", "User": {"Arn": f"arn:aws:iam::{ACCOUNT}:root"}}]


def rooted(**cells: Any) -> list[dict[str, str]]:
    return [root(**cells)]


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize(("active", "word"), [(True, "active"), (False, "inactive")])
def test_any_root_key_fails_active_or_not(number: int, active: bool, word: str) -> None:  # noqa: FBT001
    got = finding("root-access-key", report=rooted(**slot(number, active=active, created=OLD)))
    assert got["status"] == "FAIL"
    assert got["reason"].startswith(f"1 root access key exists, {word}")


def test_two_root_keys_are_counted() -> None:
    cells = slot(1, active=True, created=OLD) | slot(2, active=False, created=OLD)
    reason = finding("root-access-key", report=rooted(**cells))["reason"]
    assert reason == "2 root access keys exist, 1 active and 1 inactive"


def test_root_keys_the_summary_counts_fail_even_without_a_report() -> None:
    for report in (None, [root()], [row()]):
        got = finding("root-access-key", report=report, summary={"AccountAccessKeysPresent": 1})
        assert got["status"] == "FAIL"
        assert got["reason"] == "the account summary counts 1 root access key"


def test_no_root_key_passes_only_when_report_and_summary_both_say_so() -> None:
    assert verdict("root-access-key") == "PASS"
    assert verdict("root-access-key", summary=None) == "UNKNOWN"
    assert verdict("root-access-key", summary={}) == "UNKNOWN"
    assert verdict("root-access-key", report=None) == "UNKNOWN"
    assert verdict("root-access-key", report=rooted(access_key_1_active="N/A")) == "UNKNOWN"


def test_root_without_credentials_needs_no_mfa() -> None:
    report = rooted(**NO_ROOT_CREDENTIALS)
    assert verdict("root-mfa", report=report) == "NOT_APPLICABLE"
    assert verdict("root-hardware-mfa", report=report) == "NOT_APPLICABLE"


@pytest.mark.parametrize(
    "credential",
    [
        {"password_enabled": True},
        {"password_enabled": "not_supported"},
        {"cert_1_active": True},
        {"cert_2_active": True},
        slot(2, active=False, created=OLD),
    ],
    ids=[
        "password",
        "not_supported means it has one",
        "certificate 1",
        "certificate 2",
        "inactive key",
    ],
)
def test_root_with_any_credential_needs_mfa(credential: dict[str, Any]) -> None:
    cells = NO_ROOT_CREDENTIALS | credential
    assert verdict("root-mfa", report=rooted(**cells)) == "FAIL"
    assert verdict("root-mfa", report=rooted(**cells | {"mfa_active": True})) == "PASS"


@pytest.mark.parametrize("number", [1, 2])
def test_either_active_root_certificate_fails(number: int) -> None:
    report = rooted(**{f"cert_{number}_active": True})
    assert verdict("root-signing-certificate", report=report) == "FAIL"
    # Without the summary's count, the report alone must do.
    assert verdict("root-signing-certificate", report=report, summary=None) == "FAIL"


@pytest.mark.parametrize("number", [1, 2])
def test_a_certificate_that_only_the_report_shows_is_root_s_only_credential(number: int) -> None:
    cells = NO_ROOT_CREDENTIALS | {f"cert_{number}_active": True}
    assert verdict("root-mfa", report=rooted(**cells), summary=None) == "FAIL"
    assert verdict("root-hardware-mfa", report=rooted(**cells), summary=None) == "FAIL"


def test_root_mfa_that_the_report_leaves_open_is_unknown() -> None:
    assert verdict("root-mfa", report=rooted(mfa_active="N/A")) == "UNKNOWN"
    cells = NO_ROOT_CREDENTIALS | {"password_enabled": "N/A"}
    assert verdict("root-mfa", report=rooted(**cells)) == "UNKNOWN"
    assert verdict("root-hardware-mfa", report=rooted(**cells)) == "UNKNOWN"


def test_hardware_mfa() -> None:
    assert verdict("root-hardware-mfa") == "PASS"
    assert verdict("root-hardware-mfa", devices=VIRTUAL) == "FAIL"
    assert verdict("root-hardware-mfa", devices=None) == "UNKNOWN"
    off = rooted(mfa_active=False)
    assert verdict("root-hardware-mfa", report=off, devices=None) == "FAIL"
    assert verdict("root-hardware-mfa", report=rooted(mfa_active="N/A")) == "UNKNOWN"


def test_root_used_yesterday_fails_and_used_two_years_ago_passes() -> None:
    assert verdict("root-usage", report=rooted(password_last_used=ago(days=1))) == "FAIL"
    assert verdict("root-usage", report=rooted(password_last_used=ago(days=730))) == "PASS"
    for number in (1, 2):
        used = slot(number, active=True, created=OLD, used=ago(days=1))
        assert verdict("root-usage", report=rooted(**used)) == "FAIL"


def test_root_usage_at_exactly_the_limit_passes() -> None:
    exactly = ago(days=90)
    assert verdict("root-usage", report=rooted(password_last_used=exactly)) == "PASS"
    just = exactly + timedelta(microseconds=1)
    got = finding("root-usage", report=rooted(password_last_used=just))
    assert (got["status"], got["reason"]) == ("FAIL", "root was last used 89 days ago, limit 90")
    assert got["threshold"] == "90 days (default)"


def test_root_never_used_passes_and_an_unsaid_use_is_unknown() -> None:
    assert verdict("root-usage", report=rooted(password_last_used="no_information")) == "PASS"
    assert verdict("root-usage", report=rooted(password_last_used="not_supported")) == "UNKNOWN"


ROOT = (
    "root-access-key",
    "root-mfa",
    "root-hardware-mfa",
    "root-usage",
    "root-signing-certificate",
)


def test_a_root_row_that_contradicts_itself_about_the_password_is_unknown() -> None:
    """N/A is the word for no password; one that was never used has no_information."""
    assert verdict("root-usage", report=rooted(password_last_used="N/A")) == "UNKNOWN"
    assert verdict("root-usage", report=rooted(**NO_ROOT_CREDENTIALS)) == "PASS"


CHINA = {"report": [row()], "users": [user()], "arn": "arn:aws-cn:organizations::1:account/o-1/2"}
COUNTS = {"Users": 1, "AccountMFAEnabled": 0, "AccountAccessKeysPresent": 0}


def test_in_china_root_is_not_applicable_only_if_the_summary_counts_nothing() -> None:
    nothing = {**COUNTS, "AccountPasswordPresent": 0, "AccountSigningCertificatesPresent": 0}
    for control in ROOT:
        assert verdict(control, **CHINA, summary=nothing) == "NOT_APPLICABLE"
        assert verdict(control, **CHINA, summary=None) == "UNKNOWN"
        assert verdict(control, **CHINA, summary={}) == "UNKNOWN"
    keys = nothing | {"AccountAccessKeysPresent": 1}
    assert verdict("root-access-key", **CHINA, summary=keys) == "FAIL"
    assert verdict("root-usage", **CHINA, summary=keys) == "UNKNOWN"


def test_root_used_after_as_of_counts_as_now() -> None:
    used = AS_OF + timedelta(days=1)
    got = finding("root-usage", report=rooted(password_last_used=used), generated=used)
    assert got["status"] == "FAIL"
    assert "after the as-of time" in got["reason"]


@pytest.mark.parametrize("control", ROOT)
@pytest.mark.parametrize("report", [None, [row()], b"", [root(mfa_active="?")]])
def test_without_a_readable_root_row_root_controls_are_unknown(control: str, report: Any) -> None:
    got = finding(control, report=report)
    assert got["status"] == "UNKNOWN"
    assert got["user"] == "<root_account>"


@pytest.mark.parametrize("coverage", [Coverage.DENIED, Coverage.FAILED, Coverage.NOT_ATTEMPTED])
def test_an_unread_account_has_one_unknown_row_per_root_and_account_control(
    coverage: Coverage,
) -> None:
    rows = findings([unread(coverage=coverage)])
    assert sorted(rows["control_id"]) == sorted([*ROOT, "password-length", "password-reuse"])
    assert set(rows["status"]) == {"UNKNOWN"}


@pytest.mark.parametrize("coverage", [Coverage.NOT_ACTIVE, Coverage.EXCLUDED])
def test_accounts_out_of_scope_have_no_findings(coverage: Coverage) -> None:
    assert findings([unread(coverage=coverage)]).empty
    assert findings([reading(coverage=coverage, report=[root(), row()])]).empty


@pytest.mark.parametrize("control", ["password-length", "password-reuse"])
def test_password_policy(control: str) -> None:
    good = {"MinimumPasswordLength": 14, "PasswordReusePrevention": 24}
    assert verdict(control, policy=good) == "PASS"
    weak = {name: value - 1 for name, value in good.items()}
    assert verdict(control, policy=weak) == "FAIL"
    assert verdict(control, policy={}) == "FAIL"
    assert verdict(control, policy="no policy") == "FAIL"
    assert verdict(control, policy=None) == "UNKNOWN"
    assert "13" in finding("password-length", policy=weak)["reason"]
    assert finding("password-length")["threshold"] == "14 characters (default)"


@pytest.mark.parametrize("count", ["AccountPasswordPresent", "AccountSigningCertificatesPresent"])
@pytest.mark.parametrize("control", ["root-mfa", "root-hardware-mfa", "root-usage"])
def test_a_summary_without_a_count_confirms_no_report(count: str, control: str) -> None:
    report = rooted(password_enabled=True, password_last_used=OLD, mfa_active=True)
    summary = {
        "AccountMFAEnabled": 1,
        "AccountPasswordPresent": 1,
        "AccountAccessKeysPresent": 0,
        "AccountSigningCertificatesPresent": 0,
    }
    assert verdict(control, report=report, summary=summary) == "PASS"
    del summary[count]
    assert verdict(control, report=report, summary=summary) == "UNKNOWN"
