from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook
from python_calamine import CalamineWorkbook

from orgscan.reports import write_workbook
from orgscan.reports.text import CUT_MARK, MAX_UNITS, cell_text, inline_string
from orgscan.schema import CREDENTIALS
from tests.kit import reports as sample

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = [
    "=1+1",
    '=HYPERLINK("http://example.com","x")',
    "@x",
    "-2",
    "+3",
    "#N/A",
    "#REF!",
    "TRUE",
    "true",
    "NA",
    "null",
    "None",
    "nan",
    "012345678901",
    "1E5",
    "2026-01-01",
    "=" * 64,
    "  outer spaces  ",
    "two  inner",
    "a&b<c>d\"e'f]]>",
    "_x0041_",
    "_x005F_x0041_",
    "_x000D_",
    "__x0041_x0042__",
    "http://example.com/?a=1&b=2",
    "mail@example.com",
    "../..",
    "\U0001f600 emoji",
    "\u0645\u0631\u062d\u0628\u0627",
    "e\u0301",
    "'quoted",
    "&amp;",
    "<root_account>",
]
CHANGED = {
    "line\nbreak": "line[U+000A]break",
    "tab\there": "tab[U+0009]here",
    "\r\n": "[U+000D][U+000A]",
    "nul\x00": "nul[U+0000]",
    "bell\x07": "bell[U+0007]",
    "\ud800": "[U+D800]",
    "\ufffe\uffff": "[U+FFFE][U+FFFF]",
    "\U0001fffe": "[U+1FFFE]",
    "evil\u202egnp": "evil[U+202E]gnp",
    "c1\x85": "c1[U+0085]",
    "\u2028": "[U+2028]",
}


def column_a(path: Path, sheet: str, column: int) -> tuple[list[object], list[object]]:
    """One column below its heading, as openpyxl and as calamine read it."""
    book = load_workbook(path, read_only=True)
    cells = [row[column] for row in book[sheet].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells} <= {"s", "n"}
    assert not [cell for cell in cells if cell.data_type == "n" and cell.value is not None]
    calamine = CalamineWorkbook.from_path(path).get_sheet_by_name(sheet).to_python()
    return [cell.value for cell in cells], [row[column] for row in calamine[1:]]


def users_with_names(names: list[str]) -> pd.DataFrame:
    base = {"account_id": "000000000001", "is_root": False, "source": "both"}
    frame = sample.typed(CREDENTIALS, [{**base, "user": "x"} for _ in names])
    # Object dtype: pandas' own strings cannot hold what a hostile answer may.
    return frame.assign(user=pd.Series(names, dtype=object))


def test_ordinary_text_is_itself() -> None:
    for text in HOSTILE:
        assert cell_text(text) == text


@pytest.mark.parametrize(("given_text", "shown"), CHANGED.items())
def test_what_a_cell_cannot_hold_is_named(given_text: str, shown: str) -> None:
    assert cell_text(given_text) == shown


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600"])
def test_long_text_is_cut_with_a_mark(letter: str) -> None:
    width = len(letter.encode("utf-16-le")) // 2
    fits = letter * (MAX_UNITS // width)
    assert cell_text(fits) == fits
    cut = cell_text(fits + "zz")
    assert cut.endswith(CUT_MARK)
    assert len(cut.encode("utf-16-le")) // 2 <= MAX_UNITS
    assert set(cut.removesuffix(CUT_MARK)) == {letter}


def test_escape_like_text_never_stands_in_one_run() -> None:
    for text in ("_x0041_", "a_x005F_x0041_b", "_x0041_x0042_"):
        pieces = re.findall(r"<t[^>]*>([^<]*)</t>", inline_string(text))
        assert "".join(pieces) == text
        assert not any(re.search("_x[0-9A-Fa-f]{4}_", piece) for piece in pieces)


def test_hostile_names_come_back_from_every_reader(tmp_path: Path) -> None:
    names = [*HOSTILE, *CHANGED, "x" * 40_000]
    expected = [*HOSTILE, *CHANGED.values(), cell_text("x" * 40_000)]
    path = tmp_path / "book.xlsx"
    write_workbook(path, replace(sample.content(1, 1), credentials=users_with_names(names)))
    first, second = column_a(path, "Users", 3)
    assert first == expected
    assert second == expected


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=st.lists(
        st.text(st.characters(codec=None), min_size=1, max_size=40)
        | st.from_regex(r"_x[0-9A-F]{4}_"),
        min_size=1,
        max_size=60,
    )
)
def test_any_text_comes_back_as_documented(tmp_path: Path, names: list[str]) -> None:
    path = tmp_path / "book.xlsx"
    write_workbook(path, replace(sample.content(1, 1), credentials=users_with_names(names)))
    expected = [cell_text(name) for name in names]
    first, second = column_a(path, "Users", 3)
    assert first == expected
    assert second == expected


@given(st.text(st.characters(codec=None), max_size=200))
def test_shown_text_is_always_legal_xml(text: str) -> None:
    shown = cell_text(text)
    assert shown.encode("utf-8").decode() == shown
    assert not re.search("[\x00-\x1f\x7f-\x9f\ufffe\uffff]", shown)
    assert cell_text(shown) == shown


def test_small_sheets_are_as_safe_as_the_large_ones(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    notes = ("=1+1", "_x0041_", "bell\x07", "#N/A")
    content = sample.content(2, 1, run=sample.run_info(notes=notes, role_name="=cmd|'/c calc'!A1"))
    write_workbook(path, replace(content, versions={"=A1": "@SUM(1)"}))
    sheet = load_workbook(path)["Cover"]
    texts = {cell.value: cell.data_type for row in sheet.iter_rows() for cell in row if cell.value}
    for text in ("=1+1", "_x0041_", "bell[U+0007]", "#N/A", "=cmd|'/c calc'!A1", "=A1", "@SUM(1)"):
        assert texts[text] == "s"
