from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orgscan.simulator.report import HEADER, render
from orgscan.simulator.world import (
    Account,
    Certificate,
    Key,
    Mfa,
    Password,
    PasswordPolicy,
    ReportStyle,
    Root,
    User,
    View,
)
from tests.kit.worlds import WORLDS

NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1000)


def rows(*users: User, stored: bool = False, **values: Any) -> list[dict[str, str]]:
    account = Account(id="012345678901", name="a", joined=LONG_AGO, users=users, **values)
    text = render(account, account.all_users(), partition="aws", stored=stored).decode()
    return list(csv.DictReader(io.StringIO(text)))


def user(name: str = "a", **values: Any) -> User:
    return User(name=name, created=LONG_AGO, **values)


def test_root_comes_first_then_users_whatever_their_case() -> None:
    names = [row["user"] for row in rows(user("b"), user("C"), user("a"), user("A"))]
    assert names == ["<root_account>", "A", "a", "b", "C"]


def test_lines_end_in_lf_and_the_last_in_nothing() -> None:
    account = Account(id="012345678901", name="a", joined=LONG_AGO, users=(user(),))
    text = render(account, account.all_users(), partition="aws-cn", stored=False)
    assert b"\r" not in text
    assert not text.endswith(b"\n")
    assert text.count(b"\n") == 2
    assert b"arn:aws-cn:iam::012345678901:user/a" in text


@pytest.mark.parametrize("columns", [22, 23])
def test_columns_are_those_of_the_guide(columns: int) -> None:
    root, row = rows(user(), style=ReportStyle(columns=columns))
    assert tuple(row) == HEADER[:columns]
    assert None not in root.values()


def test_words_stand_where_there_is_no_value() -> None:
    root, bare = rows(user())
    assert root["password_enabled"] == "false"
    assert root["password_next_rotation"] == "not_supported"
    assert bare["password_last_used"] == "N/A"
    assert bare["password_next_rotation"] == "N/A"
    assert bare["access_key_1_active"] == "false"
    assert bare["access_key_1_last_rotated"] == "N/A"
    assert bare["cert_1_last_rotated"] == "N/A"
    _, unused = rows(user(password=Password(changed=LONG_AGO)))
    assert unused["password_enabled"] == "true"
    assert unused["password_last_used"] == "no_information"
    word = Root(password_word="not_supported", password=Password(changed=LONG_AGO))
    (old,) = rows(root=word)
    assert old["password_enabled"] == "not_supported"


def test_an_inactive_key_keeps_its_date() -> None:
    keys = (Key(created=LONG_AGO, active=False, last_used=NOW, region="N/A", service="iam"),)
    _, row = rows(user(keys=keys))
    assert row["access_key_1_active"] == "false"
    assert row["access_key_1_last_rotated"] == "2024-02-07T12:00:00Z"
    assert row["access_key_1_last_used_region"] == "N/A"
    assert row["access_key_1_last_used_service"] == "iam"


def test_passwords_rotate_by_policy() -> None:
    policy = PasswordPolicy(maximum_age_days=90)
    _, row = rows(user(password=Password(changed=NOW)), password_policy=policy)
    assert row["password_next_rotation"] == "2027-02-01T12:00:00Z"


def test_style_changes_booleans_and_times() -> None:
    style = ReportStyle(upper_case=True, offset=True)
    certificates = (Certificate(created=NOW),)
    _, row = rows(user(mfa=Mfa.HARDWARE, certificates=certificates), style=style)
    assert row["mfa_active"] == "TRUE"
    assert row["cert_2_active"] == "FALSE"
    assert row["cert_1_last_rotated"] == "2026-11-03T12:00:00+00:00"


def test_the_stored_view_and_the_present_differ() -> None:
    keys = (
        Key(created=NOW, view=View.LIVE_ONLY),
        Key(created=LONG_AGO, active=False, active_in_report=True),
    )
    users = (user(keys=keys), user("gone", view=View.REPORT_ONLY), user("new", view=View.LIVE_ONLY))
    stored, live = rows(*users, stored=True), rows(*users)
    assert [row["user"] for row in stored] == ["<root_account>", "a", "gone"]
    assert [row["user"] for row in live] == ["<root_account>", "a", "new"]
    assert (stored[1]["access_key_1_active"], stored[1]["access_key_2_active"]) == ("true", "false")
    assert (live[1]["access_key_1_active"], live[1]["access_key_2_active"]) == ("true", "false")
    assert stored[1]["access_key_2_last_rotated"] == "N/A"
    assert live[1]["access_key_2_last_rotated"] == "2024-02-07T12:00:00Z"


def test_commas_in_names_are_quoted() -> None:
    world = WORLDS["hostile"](now=NOW)
    account = world.accounts[0]
    text = render(account, account.all_users(), partition="aws", stored=False).decode()
    found = [row["user"] for row in csv.DictReader(io.StringIO(text))]
    assert found == ["<root_account>", *(user.name for user in account.all_users())]


def test_additional_credentials_are_told_of_each() -> None:
    style = ReportStyle(columns=23, additional="none")
    told = user("b", additional='two, "quoted"')
    root, first, second = rows(user(), told, style=style, root=Root(additional="passkey"))
    column = "additional_credentials_info"
    assert [row[column] for row in (root, first, second)] == ["passkey", "none", 'two, "quoted"']
    plain = rows(user(), style=ReportStyle(columns=23))
    assert {row[column] for row in plain} == {"N/A"}
    assert column not in rows(told)[1]


def test_a_report_may_lack_the_root_row() -> None:
    assert [row["user"] for row in rows(user(), style=ReportStyle(root_row=False))] == ["a"]
