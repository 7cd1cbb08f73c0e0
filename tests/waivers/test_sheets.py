"""What an officer typed beside findings, read back; what Excel made of it, refused by cell."""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import Workbook, load_workbook

from orgscan.errors import UsageError
from orgscan.waivers.sheets import read_back

if TYPE_CHECKING:
    from collections.abc import Callable

HEADING = [
    *["Status", "Control", "Account id", "User", "Finding id", "Owner", "Due date", "Comment"],
    "Access key id",
]
KEY = "AKIA0000000000000001"
ID = f"{10:032x}"
BOOK = Path("book.xlsx")


def row(finding: Any = ID, owner: Any = None, due: Any = None, comment: Any = None) -> list[Any]:
    return ["FAIL", "console-mfa", "000000000001", "alice", finding, owner, due, comment, KEY]


def workbook(*rows: list[Any], **further: list[list[Any]]) -> bytes:
    """A Findings sheet with rows, and further sheets with theirs."""
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = "Findings"
    for values in (HEADING, *rows):
        page.append(values)
    for name, lines in {"Waivers": [], **further}.items():
        sheet = book.create_sheet(name.replace("_", " "))
        for values in lines:
            sheet.append(values)
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()


def test_a_workbook_that_lost_its_waivers_is_refused() -> None:
    book = load_workbook(io.BytesIO(workbook(row(owner="Ada"))))
    book["Waivers"].title = "Risks"
    with pytest.raises(UsageError, match=r"book\.xlsx: has no sheet Waivers; restore it"):
        read_back(BOOK, saved(book))


def saved(book: Workbook) -> bytes:
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def remade(raw: bytes, change: Callable[[str], str], encoding: str = "utf-8") -> bytes:
    """A workbook with its sheets changed, in whatever encoding XML may have."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(raw)) as old,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            part = old.read(name)
            if "worksheets/sheet" in name:
                part = change(part.decode()).encode(encoding)
            new.writestr(name, part)
    return stream.getvalue()


def refusal(raw: bytes) -> str:
    with pytest.raises(UsageError) as caught:
        read_back(BOOK, raw)
    return str(caught.value)


def test_only_rows_with_something_typed_are_entries() -> None:
    raw = workbook(
        row(f"{1:032x}"),
        row(f"{2:032x}", owner=" Ada "),
        row(f"{3:032x}", due=datetime(2026, 12, 31)),  # noqa: DTZ001 - Excel's have no zone
        row(f"{4:032x}", comment="two\nlines"),
        row(f"{5:032x}", comment="  "),
        row("anything, where nothing is typed"),
    )
    entries = {one.finding_id: one for one in read_back(BOOK, raw).entries}
    assert [int(name, 16) for name in entries] == [2, 3, 4]
    assert entries[f"{2:032x}"].owner == "Ada"
    assert entries[f"{3:032x}"].due == date(2026, 12, 31)
    assert entries[f"{4:032x}"].comment == "two\nlines"
    assert entries[f"{4:032x}"].account_id == "000000000001"
    assert entries[f"{4:032x}"].control_id == "console-mfa"
    assert entries[f"{4:032x}"].user == "alice"
    assert entries[f"{4:032x}"].access_key_id == KEY


def test_findings_go_on_in_further_sheets_and_earlier_entries_come_along() -> None:
    raw = workbook(
        row(owner="Ada"),
        Findings_2=[HEADING, row(f"{11:032x}", owner="Bob")],
        Earlier_entries=[HEADING, row(f"{12:032x}", owner="Eve")],
    )
    assert [one.owner for one in read_back(BOOK, raw).entries] == ["Ada", "Bob", "Eve"]


def test_columns_may_be_moved() -> None:
    order = [7, 3, 8, 4, 2, 6, 1, 5, 0]
    book = Workbook()
    page = book.active
    assert page is not None
    page.title = "Findings"
    book.create_sheet("Waivers")
    for values in (HEADING, row(owner="Ada", comment="hm")):
        page.append([values[place] for place in order])
    saved = io.BytesIO()
    book.save(saved)
    (entry,) = read_back(BOOK, saved.getvalue()).entries
    assert (entry.owner, entry.comment, entry.finding_id) == ("Ada", "hm", ID)


def test_the_same_entry_twice_is_one_and_two_that_differ_are_refused() -> None:
    twice = workbook(row(owner="Ada"), row(owner="Ada"))
    assert len(read_back(BOOK, twice).entries) == 1
    differing = workbook(row(owner="Ada"), row(owner="Bob"))
    assert refusal(differing) == (
        f"book.xlsx: sheet Findings, row 3, column Finding id: finding {ID} has another owner, due "
        "date or comment at book.xlsx: sheet Findings, row 2, column Finding id; keep one of them"
    )


def test_one_finding_cannot_be_about_two_users() -> None:
    other = row(owner="Ada")
    other[HEADING.index("User")] = "bob"
    assert refusal(workbook(row(owner="Ada"), other)) == (
        f"book.xlsx: sheet Findings, row 3, column Finding id: finding {ID} has another control, "
        "account, user or key at book.xlsx: sheet Findings, row 2, column Finding id; copy both "
        "rows again"
    )


@pytest.mark.parametrize("due", [date(2026, 12, 31), "2026-12-31", "2026-12-31T00:00:00Z"])
def test_a_due_date_at_midnight_is_a_date(due: Any) -> None:
    (entry,) = read_back(BOOK, workbook(row(due=due))).entries
    assert entry.due == date(2026, 12, 31)


@pytest.mark.parametrize("name", ["Findings", "Earlier entries", "Waivers"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_merged_cells_lose_entries(name: str, encoding: str) -> None:
    book = load_workbook(
        io.BytesIO(workbook(row(owner="Ada"), row(), Earlier_entries=[HEADING], Waivers=[]))
    )
    book[name].merge_cells("F2:F3")
    declared = f'<?xml version="1.0" encoding="{encoding}"?>'
    raw = remade(saved(book), lambda part: declared + part, encoding)
    assert refusal(raw) == (
        f"book.xlsx: sheet {name}, cells F2:F3: are merged, so only the first has a "
        "value; unmerge them and enter the value in each row"
    )


def test_a_merged_heading_loses_nothing_below_it() -> None:
    book = load_workbook(io.BytesIO(workbook(row(owner="Ada"))))
    book["Findings"].merge_cells("M1:P1")
    assert len(read_back(BOOK, saved(book)).entries) == 1


@pytest.mark.parametrize("before", range(0, 30, 3))
def test_merged_cells_are_found_wherever_a_piece_of_the_sheet_ends(before: int) -> None:
    book = load_workbook(io.BytesIO(workbook(row(owner="Ada"), row())))
    book["Findings"].merge_cells("F2:F3")

    def stretched(part: str) -> str:
        if "<mergeCell " not in part:
            return part
        room = 1_000_000 - part.index("<mergeCell ") - before
        return part.replace("<mergeCells", f"{' ' * room}<mergeCells")

    assert "cells F2:F3: are merged" in refusal(remade(saved(book), stretched))


def test_a_column_missing_from_the_waivers_sheet_is_told_though_no_waiver_is_there() -> None:
    raw = workbook(row(), Waivers=[["Id", "Control", "Account", "OU", "Access key id", "Tag"]])
    assert refusal(raw) == (
        "book.xlsx: sheet Waivers, row 1: the column User is missing; restore the heading row"
    )


@pytest.mark.parametrize(
    ("cells", "column", "said"),
    [
        ({"due": 46387}, "Due date", "46387 is a bare number; format the cell as a date"),
        ({"due": 46387.5}, "Due date", "46387.5 is a bare number"),
        ({"due": "31.12.2026"}, "Due date", "'31.12.2026' is not a date"),
        ({"due": "=TODAY()"}, "Due date", "contains a formula; enter the value"),
        ({"due": "#N/A"}, "Due date", "contains the error '#N/A'"),
        (
            {"due": datetime(2026, 12, 31, 10)},  # noqa: DTZ001 - Excel's have no zone
            "Due date",
            "2026-12-31 10:00:00 UTC has a time of day; give a date: 2026-12-31",
        ),
        ({"due": "2026-12-31T23:30:00-01:00"}, "Due date", "has a time of day; give a date"),
        ({"due": True}, "Due date", "True is not a date"),
        ({"due": date(1901, 1, 1)}, "Due date", "1901-01-01 is out of range"),
        ({"owner": "=cmd|'/c calc'!A1"}, "Owner", "contains a formula"),
        ({"owner": "#REF!"}, "Owner", "contains the error '#REF!'"),
        ({"owner": date(2026, 3, 1)}, "Owner", "is a date where text belongs"),
        ({"comment": 1.23457e30}, "Comment", "is the number 1.23457e+30"),
        ({"comment": "x" * 4_001}, "Comment", "has 4,001 characters; shorten it to 4,000"),
        ({"comment": False}, "Comment", "must be text (got False)"),
        (
            {"owner": "A", "finding": None},
            "Finding id",
            "None is not a valid finding ID (32 hexadecimal digits)",
        ),
        ({"owner": "A", "finding": 1e31}, "Finding id", "1e+31 is not a valid finding ID"),
        ({"owner": "A", "finding": "AB" * 16}, "Finding id", "is not a valid finding ID"),
        ({"owner": "A", "finding": ID[1:]}, "Finding id", "is not a valid finding ID"),
        ({"owner": "A", "finding": f"={ID}"}, "Finding id", "contains a formula"),
    ],
)
def test_a_bad_cell_is_told_with_sheet_row_and_column(
    cells: dict[str, Any], column: str, said: str
) -> None:
    message = refusal(workbook(row(f"{1:032x}"), row(**cells)))
    assert message.startswith(f"book.xlsx: sheet Findings, row 3, column {column}: ")
    assert said in message


@pytest.mark.parametrize(
    ("heading", "said"),
    [
        ([name for name in HEADING if name != "Comment"], "the column Comment is missing"),
        ([name for name in HEADING if name != "Access key id"], "the column Access key id is"),
        ([*HEADING, "Owner"], "the column Owner is there twice"),
        (["something", "else"], "the column Finding id is missing; restore the heading row"),
    ],
)
def test_headings_must_be_whole(heading: list[str], said: str) -> None:
    raw = workbook(Findings_2=[heading])
    assert refusal(raw).startswith(f"book.xlsx: sheet Findings 2, row 1: {said}")


def test_a_workbook_of_something_else() -> None:
    book = Workbook()
    saved = io.BytesIO()
    book.save(saved)
    assert refusal(saved.getvalue()) == (
        "book.xlsx: has no sheet Findings; restore it, or use a workbook orgscan wrote"
    )


def test_text_that_looks_like_an_escape_comes_back_as_it_was_typed() -> None:
    raw = workbook(row(comment="_x005F_x0041_ and a_x000D_\nb"))
    assert read_back(BOOK, raw).entries[0].comment == "_x0041_ and a\nb"
