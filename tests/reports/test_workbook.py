from __future__ import annotations

import gc
import re
import shutil
import subprocess
import weakref
import zipfile
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.utils import range_boundaries
from python_calamine import CalamineWorkbook

from orgscan.controls.tally import Tally
from orgscan.models import Coverage, RequirementStatus
from orgscan.reports import FrameRows, look, write_workbook
from orgscan.reports.columns import access_keys, coverage, findings, users
from orgscan.reports.workbook import listed
from orgscan.schema import ACCESS_KEYS, ACCOUNTS, CREDENTIALS, FINDINGS
from tests.kit import reports as sample

if TYPE_CHECKING:
    from pathlib import Path


SHEETS = [
    "Cover",
    "Summary",
    "Frameworks",
    "Coverage",
    "Findings",
    "Waivers",
    "Users",
    "Access keys",
    "Service credentials",
    "Controls",
    "Data dictionary",
]
MIXED = ("COMPLETE", "COMPLETE", "PARTIAL", "DENIED", "FAILED", "NOT_ACTIVE", "EXCLUDED")


@pytest.fixture(scope="module")
def content() -> Any:
    return sample.content(21, 3, coverages=MIXED)


@pytest.fixture(scope="module")
def path(content: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("book") / "book.xlsx"
    write_workbook(file, content)
    return file


@pytest.fixture(scope="module")
def book(path: Path) -> Workbook:
    return load_workbook(path)


def rows_of(book: Workbook, sheet: str) -> list[dict[str, Any]]:
    heading, *rows = book[sheet].iter_rows(values_only=True)
    return [dict(zip(heading, row, strict=True)) for row in rows]


def labelled(book: Workbook, label: str) -> Any:
    for row in book["Cover"].iter_rows(values_only=True):
        if row[1] == label:
            return row[2]
    raise AssertionError(label)


def test_sheets_in_order_with_the_cover_in_front(book: Workbook) -> None:
    assert book.sheetnames == SHEETS
    assert book.active is book["Cover"]
    for page in book:
        selections = {one.activeCell for one in page.sheet_view.selection}
        assert selections == {"A1"}


def test_no_formula_error_or_link_anywhere(path: Path, book: Workbook) -> None:
    for page in book:
        for row in page.iter_rows():
            for cell in row:
                assert cell.data_type in {"s", "n", "d"}
    with zipfile.ZipFile(path) as parts:
        for name in parts.namelist():
            if name.startswith("xl/worksheets/"):
                assert b"<f>" not in parts.read(name)
                assert b"<hyperlink" not in parts.read(name)


def tables(book: Workbook) -> list[tuple[Any, Any]]:
    return [(page, table) for page in book for table in page.tables.values()]


def check_tables(book: Workbook) -> None:
    names = [table.displayName for _page, table in tables(book)]
    assert len({name.casefold() for name in names}) == len(names)
    assert len({table.id for _page, table in tables(book)}) == len(names)
    for page, table in tables(book):
        left, top, right, bottom = range_boundaries(table.ref)
        assert re.fullmatch(r"[A-Za-z]\w*", table.displayName)
        assert bottom > top
        assert table.autoFilter.ref == table.ref
        headings = [page.cell(top, column).value for column in range(left, right + 1)]
        assert headings == table.column_names
        assert len({heading.casefold() for heading in headings}) == len(headings)
        if page.title not in {"Summary", "Cover"}:
            assert (left, top, right, bottom) == (1, 1, page.max_column, page.max_row)
            assert page.freeze_panes == "A2"
            assert page.print_title_rows == "$1:$1"
            assert page.calculate_dimension() == table.ref


def test_tables_are_whole(book: Workbook) -> None:
    check_tables(book)
    assert len(tables(book)) == 12


def test_dimension_and_ignored_errors(path: Path, book: Workbook) -> None:
    with zipfile.ZipFile(path) as parts:
        for number, page in enumerate(book, 1):
            xml = parts.read(f"xl/worksheets/sheet{number}.xml").decode()
            used = page.calculate_dimension().partition(":")[2]
            assert f'<dimension ref="A1:{used}"' in xml
            assert f'<ignoredError sqref="A1:{used}" numberStoredAsText="1"/>' in xml
            after = xml.index("</ignoredErrors>")
            assert after < xml.find("<tableParts") or "<tableParts" not in xml
            assert xml.index("<headerFooter>") < after


@pytest.mark.parametrize(
    ("sheet", "frame", "columns"),
    [
        ("Coverage", "accounts", coverage()),
        ("Users", "credentials", users()),
        ("Access keys", "access_keys", access_keys()),
    ],
)
def test_cells_hold_what_the_frames_hold(
    path: Path, content: Any, sheet: str, frame: str, columns: Any
) -> None:
    expected = getattr(content, frame)
    if sheet == "Coverage":
        gap = expected["coverage"].map(lambda value: not Coverage(value).is_gap)
        expected = expected.assign(gap=gap).sort_values(["gap", "account_id"])
    expected = [
        [shown(row[column.source]) for column in columns] for row in expected.to_dict("records")
    ]
    page = load_workbook(path)[sheet]
    assert [list(row) for row in page.iter_rows(min_row=2, values_only=True)] == [
        [near(value) for value in row] for row in expected
    ]
    calamine = CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).to_python()[1:]
    assert [[None if value == "" else value for value in row] for row in calamine] == [
        [near(value) for value in row] for row in expected
    ]


def shown(value: Any) -> Any:
    if value is None or value is pd.NA or value is pd.NaT or value != value:  # noqa: PLR0124
        return None
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime().replace(tzinfo=None, microsecond=0)
    return value


def near(value: Any) -> Any:
    return pytest.approx(value) if isinstance(value, float) else value


def test_every_schema_column_is_shown_once() -> None:
    shown_columns = [
        (ACCOUNTS, coverage()),
        (CREDENTIALS, users()),
        (ACCESS_KEYS, access_keys()),
        (FINDINGS, findings({})),
    ]
    for table, columns in shown_columns:
        held = [column.parquet for column in columns if column.parquet]
        assert sorted(held) == sorted(f"{table.name}.{name}" for name in table.column_names)


def test_account_ids_are_text_and_times_are_times(book: Workbook) -> None:
    for sheet in ("Coverage", "Findings", "Users", "Access keys"):
        for row in rows_of(book, sheet):
            assert re.fullmatch(r"0\d{11}", row["Account id"])
    page = book["Access keys"]
    headings = [cell.value for cell in page[1]]
    cell = page.cell(2, headings.index("Created (UTC)") + 1)
    assert cell.is_date
    assert cell.number_format == "yyyy-mm-dd hh:mm:ss"
    account = page.cell(2, headings.index("Account id") + 1)
    assert account.number_format == "@"


def test_findings_are_listed_worst_first_with_room_for_the_officer(
    book: Workbook, content: Any
) -> None:
    rows = rows_of(book, "Findings")
    assert list(rows[0])[-3:] == ["Owner", "Due date", "Comment"]
    assert {row["Owner"] for row in rows} == {None}
    kept = content.findings[content.findings["status"].isin(["FAIL", "UNKNOWN", "WAIVED"])]
    assert sorted(row["Finding id"] for row in rows) == sorted(kept["finding_id"])
    order = ["critical", "high", "medium", "low", "informational"]
    keys = [(order.index(row["Severity"]), row["Control"], row["Account id"]) for row in rows]
    assert keys == sorted(keys)
    titles = {control.id: control.title for control in content.controls}
    assert all(row["Control title"] == titles[row["Control"]] for row in rows)
    rule = book["Findings"].data_validations.dataValidation[0]
    assert rule.type == "date"


def test_word_and_colour_go_together(book: Workbook) -> None:
    fills: dict[str, set[str]] = {}
    for row in book["Findings"].iter_rows(min_row=2, max_col=2):
        for cell in row:
            fills.setdefault(cell.value, set()).add(cell.fill.start_color.rgb)
    assert {"critical", "high", "FAIL", "UNKNOWN", "WAIVED"} <= fills.keys()
    assert all(len(colours) == 1 for colours in fills.values())
    assert fills["FAIL"] != fills["UNKNOWN"] != fills["WAIVED"]


def badge(book: Workbook, sheet: str, label: str, offset: int = 1) -> tuple[str, str]:
    """Ink and paper of the cell beside a label."""
    for row in book[sheet].iter_rows():
        for cell in row:
            if cell.value == label:
                beside = cell.offset(column=offset)
                return beside.font.color.rgb[2:], beside.fill.start_color.rgb[2:]
    raise AssertionError(label)


def channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour))


def test_a_pass_is_green_and_a_failure_red(book: Workbook, content: Any, tmp_path: Path) -> None:
    write_workbook(tmp_path / "book.xlsx", replace(content, accounts_enumerated=22))
    differing = load_workbook(tmp_path / "book.xlsx")
    for colour in badge(book, "Cover", "Do they agree?"):  # shown as a PASS
        red, green, blue = channels(colour)
        assert green > max(red, blue)
    for colour in badge(differing, "Cover", "Do they agree?"):  # shown as a FAIL
        red, green, blue = channels(colour)
        assert red > max(green, blue)


REASONS = {
    "short": 1,
    "x" * 52: 1,
    "x" * 53: 2,
    "x" * (3 * 52): 3,
    "x" * (3 * 52 + 1): 4,
    "x" * (10 * 52): 10,
    "x" * 1_000: 10,  # no higher than ten lines
}


def test_a_row_is_as_high_as_the_most_lines_in_it(content: Any, tmp_path: Path) -> None:
    shown = content.findings["status"].isin(["FAIL", "UNKNOWN", "WAIVED"])
    rows = content.findings[shown].head(len(REASONS)).reset_index(drop=True)
    rows = rows.assign(reason=pd.Series([*REASONS], dtype=rows["reason"].dtype))
    write_workbook(tmp_path / "book.xlsx", replace(content, findings=rows))
    page = load_workbook(tmp_path / "book.xlsx")["Findings"]
    reason = [cell.value for cell in page[1]].index("Reason")
    heights = {row[reason].value: page.row_dimensions[row[0].row].height for row in page["2:8"]}
    # One line is a row's own height; Excel and LibreOffice do not fit streamed rows themselves.
    assert heights == {
        text: None if lines == 1 else 13.5 * lines for text, lines in REASONS.items()
    }


def test_a_line_of_the_cover_is_as_high_as_its_text(content: Any, tmp_path: Path) -> None:
    notes = {"x" * 104: 1, "x" * 105: 2, "x" * 520: 5, "x" * 9_000: 87}
    write_workbook(tmp_path / "book.xlsx", replace(content, notes=tuple(notes)))
    page = load_workbook(tmp_path / "book.xlsx")["Cover"]
    heights = {row[1].value: page.row_dimensions[row[1].row].height for row in page.iter_rows()}
    room = {1: 2, 2: 4, 5: 4}
    for text, lines in notes.items():
        assert heights[text] == min(13.5 * lines + room.get(lines, 4), 400)


def test_cover_reconciles(book: Workbook, content: Any) -> None:
    counts = [labelled(book, value.value) for value in Coverage]
    assert sum(counts) == labelled(book, "Sum of the above") == 21
    assert labelled(book, "Control total: accounts enumerated") == 21
    assert labelled(book, "Do they agree?") == "Yes"
    assert labelled(book, "DENIED") == 3
    assert labelled(book, "Organization") == content.run.organization.id
    assert labelled(book, "Management account") == "000000000001"
    assert labelled(book, "As of (ages are computed for)") == "2026-11-20 09:30:00 UTC"
    assert labelled(book, "evidence.sqlite") == content.hashes["evidence.sqlite"]
    words = [cell for row in book["Cover"].iter_rows(values_only=True) for cell in row if cell]
    assert any(str(word).startswith("INCOMPLETE: ") for word in words)
    assert {"Prepared by", "Reviewed by", content.notes[0]} <= set(words)


def test_cover_says_no_when_totals_differ(content: Any, tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    run = sample.run_info(
        enumerated=False, finished_at=None, endpoint_url="http://127.0.0.1:5", scope={"ous": ["A"]}
    )
    write_workbook(file, replace(content, accounts_enumerated=22, run=run))
    book = load_workbook(file)
    assert labelled(book, "Do they agree?") == "NO"
    assert labelled(book, "Run finished") == "did not finish"
    assert labelled(book, "Account list read to its end") == "NO"
    assert labelled(book, "Endpoint, in place of AWS's own") == "http://127.0.0.1:5"
    assert labelled(book, "Scope") == "ous: A"


def test_summary_counts_what_the_findings_hold(book: Workbook, content: Any) -> None:
    page = book["Summary"]
    _left, top, _right, bottom = range_boundaries(page.tables["Summary_by_control"].ref)
    heading, *rows = [
        [cell.value for cell in row] for row in page.iter_rows(min_row=top, max_row=bottom)
    ]
    counts = content.findings.groupby(["control_id", "status"]).size()
    assert len(rows) == len(content.controls)
    for row in (dict(zip(heading, values, strict=False)) for values in rows):
        statuses = ("PASS", "FAIL", "UNKNOWN", "WAIVED", "NOT_APPLICABLE")
        for status in statuses:
            assert row[status] == counts.get((row["Control"], status), 0)
        judged = sum(row[status] for status in statuses[:4])
        assert row["Total"] == judged + row["NOT_APPLICABLE"]
        assert row["Pass rate"] == pytest.approx(row["PASS"] / judged, abs=0.001)
        assert row["Pass rate"] <= row["PASS"] / judged
        unread = content.accounts.query("coverage in ('PARTIAL', 'DENIED', 'FAILED')")
        assert row["Accounts unread"] == (0 if row["Unit"] == "root" else len(unread))
    assert page.cell(bottom + 1, heading.index("Total") + 1).value == len(content.findings)


def test_a_full_pass_rate_shows_how_many_accounts_it_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    given = ("COMPLETE", "DENIED", "EXCLUDED", "NOT_ACTIVE", "FAILED")
    write_workbook(file, sample.content(10, 2, statuses=("PASS",), coverages=given))
    page = load_workbook(file)["Summary"]
    _left, top, _right, bottom = range_boundaries(page.tables["Summary_by_control"].ref)
    heading, *rows = [
        [cell.value for cell in row] for row in page.iter_rows(min_row=top, max_row=bottom + 1)
    ]
    assert heading.index("Accounts unread") == heading.index("Pass rate") + 1
    told = {row[0]: dict(zip(heading, row, strict=True)) for row in rows}
    for control, _severity, unit, _title in sample.CONTROLS:
        row = told[control]
        if unit == "root":  # an account nobody could read has a result, and it is UNKNOWN
            assert (row["UNKNOWN"] > 0, row["Accounts unread"]) == (True, 0), control
        else:
            assert (row["Pass rate"], row["Accounts unread"]) == (1, 4), control
    assert told["All controls"]["Accounts unread"] == 4
    (note,) = (cell.value for cell in page["A"] if str(cell.value).startswith("Accounts unread: "))
    assert "the pass rate beside it is that of the other accounts" in note


def test_dictionary_explains_every_column_and_word(book: Workbook) -> None:
    rows = rows_of(book, "Data dictionary")
    explained = {(row["Sheet"], row["Name"]) for row in rows}
    for sheet in SHEETS[2:]:
        for cell in book[sheet][1]:
            assert (sheet, cell.value) in explained
    assert all(row["Meaning"] for row in rows)
    assert {("Coverage", value.value) for value in Coverage} <= explained
    assert {("Findings", "UNKNOWN"), ("Findings", "WAIVED")} <= explained
    assert {("Summary", "Pass rate"), ("Summary", "Accounts unread")} <= explained


def test_frameworks_have_a_row_per_requirement_and_control(book: Workbook) -> None:
    rows = rows_of(book, "Frameworks")
    names = ("Requirement", "Requirement status", "Control", "FAIL", "UNKNOWN", "PASS", "Limit")
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("2.1.1", "NOT JUDGED", None, None, None, None, None),
        ("2.10", "MET", "console-mfa", 0, 0, 7, None),
        ("2.11", "NOT MET", "unused-password", 0, 0, 3, None),
        ("2.11", "NOT MET", "unused-access-key", 4, 1, 0, "45 days (default)"),
    ]
    assert rows[0]["Control title"] == "(not judged by orgscan)"
    assert {row["Framework"] for row in rows} == {"CIS AWS Foundations Benchmark 7.0.0 (cis-7.0)"}
    explained = {(row["Sheet"], row["Name"]) for row in rows_of(book, "Data dictionary")}
    assert {("Frameworks", status.value) for status in RequirementStatus} <= explained


@pytest.mark.parametrize("simulated", [True, False])
def test_a_simulated_run_says_so_on_cover_and_summary(tmp_path: Path, *, simulated: bool) -> None:
    file = tmp_path / "book.xlsx"
    write_workbook(file, replace(sample.content(accounts=3), simulated=simulated))
    book = load_workbook(file)
    for name in ("Cover", "Summary"):
        words = [cell for row in book[name].iter_rows(values_only=True) for cell in row if cell]
        assert any(str(word).startswith("SIMULATED") for word in words) == simulated
    # In sight without scrolling, and no table has moved.
    assert str(book["Summary"]["C1"].value).startswith("SIMULATED") == simulated
    assert book["Summary"]["A2"].value == "Control"


def test_the_organization_s_limit_stands_beside_the_framework_s(tmp_path: Path) -> None:
    content = sample.content(accounts=3)
    (one,) = content.assessments
    *others, last = one.requirements
    last = replace(last, organization_limits={"unused-access-key": "365 days (settings)"})
    content = replace(content, assessments=(replace(one, requirements=(*others, last)),))
    file = tmp_path / "book.xlsx"
    write_workbook(file, content)
    rows = rows_of(load_workbook(file), "Frameworks")
    shown = {row["Control"]: (row["Limit"], row["Organization limit"]) for row in rows}
    assert shown["unused-access-key"] == ("45 days (default)", "365 days (settings)")
    assert shown["console-mfa"] == (None, None)


def test_the_cover_counts_requirements_by_standing(book: Workbook) -> None:
    told = [row[1] for row in book["Cover"].iter_rows(values_only=True)]
    label = "CIS AWS Foundations Benchmark 7.0.0 (cis-7.0)"
    assert f"{label}: 1 NOT MET, 1 MET, 1 NOT JUDGED" in told


def test_without_frameworks_the_sheet_is_empty_and_whole(content: Any, tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    write_workbook(file, replace(content, assessments=()))
    book = load_workbook(file)
    check_tables(book)
    assert book.sheetnames == SHEETS


def test_controls_have_a_column_per_framework(book: Workbook) -> None:
    row = rows_of(book, "Controls")[0]
    assert (row["Control"], row["CIS 5.0"], row["Security Hub"]) == (
        "root-access-key",
        "1.3",
        "IAM.3",
    )


def test_framework_names_cannot_break_the_table(content: Any, tmp_path: Path) -> None:
    names = ("cis", "CIS", "Title", "", "=x", "a\nb")
    frameworks = [
        replace(
            content.frameworks[0],
            key=f"framework-{number}",
            title=name,
            version="",
            controls={content.controls[0].id: (str(number),)},
        )
        for number, name in enumerate(names, 1)
    ]
    file = tmp_path / "book.xlsx"
    write_workbook(file, replace(content, frameworks=frameworks))
    book = load_workbook(file)
    check_tables(book)
    assert rows_of(book, "Controls")[0]["CIS (2)"] == "2"


def test_print_and_properties(book: Workbook, content: Any) -> None:
    for page in book:
        assert page.page_setup.fitToWidth == 1
        assert page.page_setup.fitToHeight == 0
        assert page.sheet_properties.pageSetUpPr.fitToPage
        assert page.oddFooter.left.text == "orgscan, organization o-exampleorg1"
        assert page.oddFooter.center.text == "As of 2026-11-20 09:30:00 UTC"
        assert page.oddFooter.right.text == "Page &P of &N"
        assert page.page_setup.orientation == "portrait" if page.title == "Cover" else "landscape"
    about = book.properties
    assert about.creator == "orgscan 0.1.0"
    assert about.title
    assert "o-exampleorg1" in about.subject
    assert about.created == about.modified == content.rendered_at.replace(tzinfo=None)


def test_same_content_same_bytes(path: Path, content: Any, tmp_path: Path) -> None:
    again = tmp_path / "again.xlsx"
    write_workbook(again, content)
    assert again.read_bytes() == path.read_bytes()


def test_nothing_at_all_is_still_a_workbook(tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    empty = replace(sample.content(0), controls=[])
    write_workbook(file, empty)
    book = load_workbook(file)
    check_tables(book)
    assert rows_of(book, "Findings")[0]["Severity"] == "(no rows)"
    assert book["Users"].max_row == 2
    calamine = CalamineWorkbook.from_path(file).get_sheet_by_name("Coverage").to_python()
    assert calamine[1][0] == "(no rows)"


@pytest.mark.parametrize("limit", [2, 5, 64])
def test_tables_go_on_in_further_sheets(content: Any, tmp_path: Path, limit: int) -> None:
    small = replace(content, credentials=content.credentials.iloc[:12])
    file = tmp_path / "book.xlsx"
    write_workbook(file, replace(small, findings=content.findings.iloc[:0]), rows_per_sheet=limit)
    book = load_workbook(file)
    check_tables(book)
    pages = [page for page in book if re.fullmatch(r"Users( \d+)?", page.title)]
    assert len(pages) == -(-12 // (limit - 1))
    assert all(page.max_row <= limit for page in pages)
    found = [
        (row["Account id"], row["User"]) for page in pages for row in rows_of(book, page.title)
    ]
    assert found == list(
        zip(small.credentials["account_id"], small.credentials["user"], strict=True)
    )


def test_times_excel_does_not_know_stay_readable(content: Any, tmp_path: Path) -> None:
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1900, 2, 28, tzinfo=UTC),
        datetime(1900, 3, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    frame = content.access_keys.iloc[:4].assign(
        created_at=pd.Series(times, dtype="datetime64[us, UTC]"),
        age_days=pd.Series([float("inf"), 0.0, -1.0, 1e300], dtype="float64"),
    )
    file = tmp_path / "book.xlsx"
    write_workbook(file, replace(content, access_keys=frame))
    rows = rows_of(load_workbook(file), "Access keys")
    assert [row["Created (UTC)"] for row in rows] == [
        "0001-01-01T00:00:00+00:00",
        "1900-02-28T00:00:00+00:00",
        datetime(1900, 3, 1),  # noqa: DTZ001 - Excel's times have no zone
        datetime(9999, 12, 31, 23, 59, 59),  # noqa: DTZ001
    ]
    assert [row["Age (days)"] for row in rows] == ["inf", 0, -1, 1e300]


def test_categories_write_the_same_workbook(path: Path, content: Any, tmp_path: Path) -> None:
    names = ["control_id", "severity", "status", "account_id", "reason"]
    coded = content.findings.astype(dict.fromkeys(names, "category"))
    file = tmp_path / "book.xlsx"
    write_workbook(file, replace(content, findings=coded))
    assert file.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("statuses", [("PASS", "FAIL", "NOT_APPLICABLE", "WAIVED"), ("PASS",)])
def test_what_is_not_listed_is_not_needed_to_write(
    statuses: tuple[str, ...], tmp_path: Path
) -> None:
    whole = replace(
        sample.content(6, 3, statuses=statuses),
        due_days={"critical": 30, "high": 30, "medium": 90, "low": 180},
    )
    rows = FrameRows(whole.findings.take(listed(whole.findings)))
    assert set(rows.frame["status"]) <= {"FAIL", "UNKNOWN", "WAIVED"}
    assert len(rows) < len(whole.findings)
    less = replace(whole, findings=rows, tally=Tally.of(whole.findings))
    for name, given in (("whole.xlsx", whole), ("less.xlsx", less)):
        write_workbook(tmp_path / name, given)
    assert (tmp_path / "less.xlsx").read_bytes() == (tmp_path / "whole.xlsx").read_bytes()


def test_unsorted_findings_are_sorted(content: Any) -> None:
    shuffled = content.findings.sample(frac=1, random_state=3)
    keys = ["control_id", "account_id", "user"]
    pd.testing.assert_frame_equal(
        shuffled.take(listed(shuffled))[keys].reset_index(drop=True),
        content.findings.take(listed(content.findings))[keys].reset_index(drop=True),
    )


@pytest.mark.skipif(shutil.which("libreoffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_it(path: Path, tmp_path: Path) -> None:
    profile = f"-env:UserInstallation=file://{tmp_path}/profile"
    command = ["libreoffice", profile, "--headless", "--convert-to", "ods"]
    subprocess.run(
        [*command, "--outdir", str(tmp_path), str(path)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    before, after = (CalamineWorkbook.from_path(file) for file in (path, tmp_path / "book.ods"))
    assert after.sheet_names == SHEETS
    for sheet in SHEETS[3:]:
        old, new = (one.get_sheet_by_name(sheet).to_python() for one in (before, after))
        assert [row[:4] for row in new] == [row[:4] for row in old]


def test_a_book_written_is_not_kept() -> None:
    book = Workbook()
    page = book.active
    assert page is not None
    look.put(page, (1, 1), "x", look.BODY)
    look.put(page, (1, 2), "y", look.BODY)
    left = weakref.ref(book)
    del book, page
    gc.collect()
    assert left() is None
