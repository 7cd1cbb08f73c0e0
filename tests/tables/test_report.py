from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orgscan.errors import IntegrityError
from orgscan.report import (
    inspect_report,
    names_missing_from_report,
    parse,
    times_in_the_future,
)
from orgscan.tables import build
from orgscan.tables.report import read_cells
from orgscan.tables.typed import strings
from tests.kit.readings import (
    ACCOUNT,
    AS_OF,
    COLUMNS,
    GENERATED,
    ago,
    reading,
    render,
    root,
    row,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable


def codes(content: bytes) -> list[str]:
    return [fault.code for fault in inspect_report(content, ACCOUNT).faults]


def test_a_clean_report_has_no_faults_and_tells_its_users() -> None:
    check = inspect_report(render([root(), row("alice")]), ACCOUNT)
    assert check.faults == ()
    assert check.usable
    assert check.users == {"<root_account>", "alice"}


GOOD = render([root(), row("alice")])
HEADER = GOOD.split(b"\n")[0]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "ReportEmpty"),
        (b"\n \n", "ReportEmpty"),
        (b"\xef\xbb\xbf", "ReportEmpty"),
        (b"\xff\xfe\x00garbage", "ReportNotUtf8"),
        (HEADER, "ReportWithoutRows"),
        (HEADER + b"\n", "ReportWithoutRows"),
        (b"hello\nworld", "ReportColumnMissing"),
        (
            render([root()], [name for name in COLUMNS if name != "mfa_active"]),
            "ReportColumnMissing",
        ),
        (render([root()], [*COLUMNS, "mfa_active"]), "ReportColumnMissing"),
        (GOOD[: len(GOOD) * 7 // 10], "ReportRowMalformed"),
        (GOOD + b",extra", "ReportRowMalformed"),
        (GOOD + b"\n\n", "ReportRowMalformed"),
        (GOOD + b"\n" + GOOD.split(b"\n")[2].replace(b"alice", b"", 1), "ReportRowMalformed"),
        (render([root(), row("alice"), row("alice")]), "ReportUserDuplicated"),
        (GOOD + b'\n"open', "ReportNotCsv"),
    ],
)
def test_structural_faults_make_a_report_unusable(content: bytes, code: str) -> None:
    check = inspect_report(content, ACCOUNT)
    assert [fault.code for fault in check.faults] == [code]
    assert not check.usable
    tables = build([reading(report=content, users=[user()])], as_of=AS_OF)
    assert tables.credentials["source"].tolist() == ["live_only"]
    assert tables.accounts["report_generated_at"].isna().all()
    assert not tables.facts["has_report"].any()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xef\xbb\xbf" + GOOD, "ReportRewritten"),
        (GOOD.replace(b"\n", b"\r\n"), "ReportRewritten"),
        (render([row("alice")]), "ReportWithoutRoot"),
        (render([root(), row(password_last_used="yesterday")]), "ReportCellUnreadable"),
        (render([root(), row(mfa_active="maybe")]), "ReportCellUnreadable"),
        (render([root(), row(arn="alice")]), "ReportCellUnreadable"),
    ],
)
def test_flagged_reports_stay_usable(content: bytes, code: str) -> None:
    check = inspect_report(content, ACCOUNT)
    assert [fault.code for fault in check.faults] == [code]
    assert check.usable
    tables = build([reading(report=content)], as_of=AS_OF)
    assert "alice" in tables.credentials["user"].tolist()


def test_the_first_unreadable_cell_is_named_and_rows_are_counted() -> None:
    bad = {"cert_1_active": "?"}
    fault = inspect_report(render([root(), row("a", **bad), row("b", **bad)]), ACCOUNT).faults[0]
    assert "2 rows" in fault.reason
    assert "row 2, column cert_1_active: '?'" in fault.reason


@pytest.mark.parametrize(
    "time",
    [
        "2026-01-02T03:04:05",
        "2026-01-02 03:04:05+00:00",
        "2026-01-02",
        "2026-02-30T00:00:00Z",
        "2026-01-01T25:00:00Z",
        "2026-01-02T03:04:05+02:00",
        "1767323045",
        "",
    ],
)
def test_local_or_impossible_times_are_never_taken_for_utc(time: str) -> None:
    content = render(
        [root(), row(password_last_used=time), row("bob", password_last_used=ago(days=1))]
    )
    assert codes(content) == ["ReportCellUnreadable"]
    table = build([reading(report=content)], as_of=AS_OF).credentials.set_index("user")
    assert (
        table.loc["alice"]
        .drop(["account_id", "account_name", "ou_path", "is_root", "exists", "source"])
        .isna()
        .all()
    )
    assert table.loc["bob", "password_last_used_at"] == ago(days=1)


def test_times_ending_in_z_in_offset_and_with_fractions_are_the_same_moment() -> None:
    rows = [
        row("a", password_last_used="2026-01-02T03:04:05Z"),
        row("b", password_last_used="2026-01-02T03:04:05+00:00"),
        row("c", password_last_used="2026-01-02T03:04:05.000000Z"),
    ]
    table = build([reading(report=rows)], as_of=AS_OF).credentials
    assert table["password_last_used_at"].nunique() == 1
    assert str(table["password_last_used_at"][0]) == "2026-01-02 03:04:05+00:00"


def test_true_is_read_in_any_case() -> None:
    rows = [row("a", mfa_active="true"), row("b", mfa_active="TRUE"), row("c", mfa_active="FALSE")]
    table = build([reading(report=rows)], as_of=AS_OF).credentials
    assert table["mfa_active"].tolist() == [True, True, False]


def test_twenty_three_columns_and_any_order_read_alike() -> None:
    rows = [root(), row("alice", mfa_active=True)]
    expected = build([reading(report=rows)], as_of=AS_OF).credentials
    for columns in ([*COLUMNS, "additional_credentials_info"], ["new", *reversed(COLUMNS)]):
        content = render(rows, columns)
        assert codes(content) == []
        assert build([reading(report=content)], as_of=AS_OF).credentials.equals(expected)


def test_the_three_words_are_kept_apart() -> None:
    rows = [
        root(password_enabled="not_supported", password_next_rotation="not_supported"),
        row("a", password_enabled=True, password_last_used="no_information"),
        row("b", password_last_used="N/A"),
    ]
    table = build([reading(report=rows)], as_of=AS_OF).credentials.set_index("user")
    assert table["password_last_used_note"].tolist() == ["no_information", "no_information", "N/A"]
    assert table["password_last_used_at"].isna().all()
    assert table.loc["<root_account>", "password_enabled_note"] == "not_supported"
    assert table["password_enabled"].isna().tolist() == [True, False, False]
    assert table["password_enabled_note"].isna().tolist() == [False, True, True]
    assert table.loc["<root_account>", "password_next_rotation_note"] == "not_supported"


def test_quotes_commas_and_newlines_in_a_field_are_parsed() -> None:
    rows = [root(), row("a,b", access_key_1_last_used_service='s"3\nx')]
    table = build([reading(report=rows)], as_of=AS_OF).credentials.set_index("user")
    assert table.loc["a,b", "access_key_1_last_used_service"] == 's"3\nx'


@pytest.mark.parametrize("partition", [None, "aws"])
def test_another_accounts_arn_is_an_integrity_failure(partition: str | None) -> None:
    content = render([root(), row("alice", account="999999999999")])
    with pytest.raises(IntegrityError, match="999999999999"):
        inspect_report(content, ACCOUNT, partition)
    with pytest.raises(IntegrityError, match=ACCOUNT):
        build([reading(report=content)], as_of=AS_OF)


def test_another_partitions_arn_is_an_integrity_failure_where_the_partition_is_known() -> None:
    assert inspect_report(GOOD, ACCOUNT, "aws").usable
    with pytest.raises(IntegrityError):
        inspect_report(GOOD, ACCOUNT, "aws-cn")


def test_a_report_cut_between_rows_is_found_by_the_live_listing() -> None:
    check = inspect_report(render([root(), row("alice")]), ACCOUNT)
    listing = [user("alice"), user("bob"), user("new", created=GENERATED - timedelta(minutes=14))]
    created = {one["UserName"]: one["CreateDate"] for one in listing}
    fault = names_missing_from_report(check, created, GENERATED)
    assert fault is not None
    assert fault.usable
    assert "1 user created" in fault.reason
    assert "'bob'" in fault.reason
    del created["bob"]
    assert names_missing_from_report(check, created, GENERATED) is None


@pytest.mark.parametrize(
    "column",
    [
        "user_creation_time",
        "password_last_used",
        "password_last_changed",
        "access_key_2_last_rotated",
        "access_key_1_last_used_date",
        "cert_1_last_rotated",
    ],
)
def test_a_time_later_than_the_report_is_a_fault(column: str) -> None:
    late = GENERATED + timedelta(minutes=15)
    for moment, codes_found in (
        (late, []),
        (late + timedelta(seconds=1), ["ReportTimeImpossible"]),
    ):
        check = inspect_report(render([root(), row(**{column: moment})]), ACCOUNT)
        fault = times_in_the_future(check, GENERATED)
        assert [fault.code for fault in [fault] if fault] == codes_found
        assert fault is None or (fault.usable and "'alice'" in fault.reason)


def test_a_password_that_will_be_rotated_later_is_no_fault() -> None:
    cells = {"password_next_rotation": GENERATED + timedelta(days=60)}
    check = inspect_report(render([root(), row(**cells)]), ACCOUNT)
    assert times_in_the_future(check, GENERATED) is None


def test_a_renamed_user_keeps_what_the_report_says_of_additional_credentials() -> None:
    header, *lines = render([root(), row("bare"), row("plain")]).decode().split("\n")
    texts = ["additional_credentials_info", "N/A", "2 more", "N/A"]
    content = "\n".join(f"{a},{b}" for a, b in zip([header, *lines], texts, strict=True)).encode()
    for name, said in (("bare", "2 more"), ("renamed", "2 more")):
        listed = [user(name), user("plain", created=ago(days=400, seconds=1))]
        table = build([reading(report=content, users=listed)], as_of=AS_OF).credentials
        found = table[table["user"] == name]["additional_credentials_info"].tolist()
        assert found == [said]


NAMES = st.text("abcXYZ019_+=,.@-ü", min_size=1, max_size=64) | st.sampled_from(
    ["NA", "null", "None", "true", "nan", "=1+1", "-2", "dev", "dev-ops", "@x"]
)


@given(st.lists(NAMES, unique=True, max_size=8), st.permutations(COLUMNS))
def test_parse_of_render_gives_the_report(names: list[str], columns: list[str]) -> None:
    rows = [root(), *(row(name, mfa_active=True) for name in names)]
    report = parse(render(rows, columns))
    assert report.faults == ()
    assert report.rows == [[line[name] for name in COLUMNS] for line in rows]


@given(st.integers(min_value=0, max_value=len(GOOD) - 1))
def test_a_report_cut_anywhere_is_flagged_or_only_lacks_whole_rows(length: int) -> None:
    check = inspect_report(GOOD[:length], ACCOUNT)
    assert check.faults or check.users == {"<root_account>"}


_CELLS = st.sampled_from(
    [
        *("N/A", "no_information", "not_supported", "n/a", "", " ", "N/A ", "none"),
        *("true", "false", "TRUE", "False", "true ", "1", "tru\u00e9", "\u212a"),
        *("2026-01-31T10:00:00Z", "2026-01-31T10:00:00+00:00", "2026-01-31T10:00:00.123456Z"),
        *("2026-02-30T10:00:00Z", "2026-01-31T24:00:00Z", "2026-01-31T23:59:60Z"),
        *("2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z", "0999-01-01T00:00:00Z"),
        *("2026-01-31", "2026-01-31T10:00:00", "2026-01-31T10:00:00+01:00"),
        *("2026-01-31T10:00:00Z\n", "2026-01-31T10:00:00.1234567Z", "2026-13-01T00:00:00Z"),
        *("\u0662026-01-31T10:00:00Z", "us-east-1", "s3\x00", "\U0001f4a9"),
    ]
) | st.text(max_size=8)
_ARNS = st.sampled_from(
    [
        f"arn:aws:iam::{ACCOUNT}:user/alice",
        f"arn:aws:iam::{ACCOUNT}:root",
        f"arn:aws:iam::{ACCOUNT}:role/alice",
        f"arn:aws-cn:iam::{ACCOUNT}:user/a/b",
        f"arn:aws:iam::{ACCOUNT}:user/alice\n",
        f"arn:aws:iam::{ACCOUNT}:user/",
        "arn:aws:iam::999999999999:user/alice",
        "arn:aws:iam::\u0660\u0661\u0662345678901:user/alice",
        "",
    ]
)
_ROWS = st.lists(
    st.builds(
        lambda arn, cells: row() | {"arn": arn} | cells,
        st.just(f"arn:aws:iam::{ACCOUNT}:user/alice") | _ARNS,
        st.dictionaries(st.sampled_from(COLUMNS[2:]), _CELLS, max_size=4),
    ),
    min_size=1,
    max_size=4,
)


def _or_told(work: Callable[[], Any]) -> Any:
    """What it returns, or what it says on refusing."""
    try:
        return work()
    except IntegrityError as error:
        return str(error)


@given(_ROWS, st.sampled_from([None, "aws", "aws-cn"]))
def test_a_look_at_a_report_finds_what_reading_it_does(
    rows: list[dict[str, str]], partition: str | None
) -> None:
    rows = [cells | {"user": f"user-{number}"} for number, cells in enumerate(rows)]
    content = render(rows)
    cells = parse(content).rows
    typed = _or_told(lambda: read_cells(cells, strings([ACCOUNT] * len(cells)), partition))
    check = _or_told(lambda: inspect_report(content, ACCOUNT, partition))
    if isinstance(typed, str):
        assert check == typed
        return
    found = [fault.reason for fault in check.faults if fault.code == "ReportCellUnreadable"]
    places = [
        (number, name)
        for number in range(len(cells))
        for name in COLUMNS[1:]
        if typed.cells[name].unreadable[number]
    ]
    assert bool(found) == bool(places) == bool(typed.unreadable.any())
    for reason in found:
        number, name = places[0]
        count = int(typed.unreadable.sum())
        assert reason.startswith(f"{count} row")
        assert f"first row {number + 1}, column {name}: " in reason
