"""One data sheet: an Excel table with its heading row, looks, print set-up and streamed rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableStyleInfo

from orgscan.reports import look
from orgscan.reports.look import BADGES, BODY, HEADER, INPUT, Style
from orgscan.reports.rows import FrameRows
from orgscan.reports.sheetxml import Patch, StreamedColumn, rows
from orgscan.schema import Type

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

    from orgscan.reports.columns import SheetColumn
    from orgscan.reports.rows import Rows

    Line = tuple[tuple[str | int | None, Style], ...]

EXCEL_ROWS = 1_048_576
_CELLS = 20_000_000
"""Per sheet: more would not open on an office machine, and would need ZIP64."""
_BYTES_PER_CELL = 70
_SAMPLE = 2_000
_NARROWEST = 9.0
_CHARACTERS = 1.25
"""Of average text, to a unit of column width."""
_HEADER_HEIGHT = 32
_YEAR_2000 = "36526"
NO_ROWS = "(no rows)"

_FORMATS = {
    Type.STRING: look.TEXT_FORMAT,
    Type.BOOLEAN: look.TEXT_FORMAT,
    Type.INTEGER: "0",
    Type.NUMBER: look.NUMBER_FORMAT,
    Type.TIMESTAMP: look.TIME_FORMAT,
}
_ALIGNED = {Type.INTEGER: "right", Type.NUMBER: "right", Type.TIMESTAMP: "center"}
_INDENTED = {Type.INTEGER: 1, Type.NUMBER: 1}
"""Keeps numbers off the text that follows them."""


@dataclass(frozen=True, slots=True)
class DataSheet:
    """A sheet to be: its name, columns and rows."""

    name: str
    columns: tuple[SheetColumn, ...]
    rows: Rows
    tab: str = look.NAVY
    first: int = 0
    """The first of ``rows`` on this sheet."""
    last: int | None = None
    """The one after its last; None: there is no more."""
    preface: tuple[Line, ...] = ()
    """Lines above the table, each cells from the first column on."""

    @property
    def top(self) -> int:
        """The row of the headings."""
        return len(self.preface) + 1

    def __len__(self) -> int:
        """How many rows it has, heading row not counted."""
        end = len(self.rows)
        return (end if self.last is None else min(self.last, end)) - self.first

    def pieces(self, count: int | None = None) -> Iterator[pd.DataFrame]:
        """Its rows, or the first ``count`` of them."""
        length = len(self) if count is None else min(count, len(self))
        return self.rows.pieces(self.first, self.first + length)


def split(sheet: DataSheet, rows_per_sheet: int) -> Iterator[DataSheet]:
    """The sheet in as many as it takes: ``Users``, ``Users 2``, ..."""
    step = max(
        1, min(rows_per_sheet - sheet.top, EXCEL_ROWS - sheet.top, _CELLS // len(sheet.columns))
    )
    for number, start in enumerate(range(0, max(len(sheet), 1), step), 1):
        part = replace(sheet, first=start, last=min(start + step, len(sheet)))
        if number > 1:
            part = replace(part, name=f"{sheet.name} {number}", preface=())
        yield part


def add(book: Workbook, sheet: DataSheet, footer: tuple[str, str]) -> tuple[Worksheet, Patch]:
    """Append the sheet to ``book``; its rows come with the patch, once the book is saved."""
    page = book.create_sheet(sheet.name)
    sheet = sheet if len(sheet) else _placeholder(sheet)
    sample, top = pd.concat(sheet.pieces(_SAMPLE), ignore_index=True), sheet.top
    for row, line in enumerate(sheet.preface, 1):
        for number, (value, style) in enumerate(line, 1):
            look.put(page, (row, number), value, style)
    last = len(sheet) + top
    for number, column in enumerate(sheet.columns, 1):
        style = replace(
            HEADER,
            horizontal=_ALIGNED.get(column.type),
            indent=_INDENTED.get(column.type, 0),
        )
        look.put(page, (top, number), column.heading, style)
        _set_width(page, number, column, sample)
        if column.day:
            _ask_for_dates(page, get_column_letter(number), top + 1, last)
    last_cell = f"{get_column_letter(len(sheet.columns))}{last}"
    page.add_table(_table(sheet, last_cell))
    _end_fold(page, sheet.columns)
    page.row_dimensions[top].height = _HEADER_HEIGHT
    if not sheet.preface:  # a tall frozen pane would leave no room for the rows
        page.freeze_panes = "A2"
    page.sheet_properties.tabColor = sheet.tab
    page.sheet_view.showGridLines = False
    page.print_title_rows = f"{top}:{top}"
    look.set_up_print(page, footer, landscape=True)
    streamed = [_streamed(page, column) for column in sheet.columns]
    return page, Patch(last_cell, rows(sheet.pieces(), streamed, top + 1), _size(sheet))


def _placeholder(sheet: DataSheet) -> DataSheet:
    """One row that says so: an Excel table without a row is a damaged file."""
    values = {name: [None] for name in sheet.rows.names}
    frame = pd.DataFrame({**values, sheet.columns[0].source: [NO_ROWS]}, dtype=object)
    return replace(sheet, rows=FrameRows(frame), first=0, last=None)


def _table(sheet: DataSheet, last_cell: str) -> Table:
    ref = f"A{sheet.top}:{last_cell}"
    # Named here: openpyxl would create every cell of the range to look for the headings.
    columns = [
        TableColumn(id=number, name=column.heading)
        for number, column in enumerate(sheet.columns, 1)
    ]
    name = sheet.name.replace(" ", "_")
    table = Table(displayName=name, name=name, ref=ref, tableColumns=columns)
    table.autoFilter = AutoFilter(ref=ref)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    return table


def _streamed(page: Worksheet, column: SheetColumn) -> StreamedColumn:
    held = column.source or column.derive is not None
    style = replace(
        BODY,
        number_format=look.DATE_FORMAT
        if column.day and not column.timed
        else _FORMATS[column.type],
        wrap=column.wrap,
        paper=INPUT if column.fill else None,
        horizontal=_ALIGNED.get(column.type),
        indent=_INDENTED.get(column.type, 0),
    )
    return StreamedColumn(
        source=column.source,
        type=column.type,
        style=look.style_id(page, style),
        badges=_badges(page, style) if column.badge else {},
        lookup=column.lookup,
        per_line=int((column.width or 0) * _CHARACTERS) if column.wrap and held else 0,
        prose=column.prose,
        derive=column.derive,
    )


def _badges(page: Worksheet, style: Style) -> Mapping[str, int]:
    return {str(word): look.style_id(page, style.badge(word)) for word in BADGES}


def _set_width(page: Worksheet, number: int, column: SheetColumn, sample: pd.DataFrame) -> None:
    dimension = page.column_dimensions[get_column_letter(number)]
    dimension.width = column.width or _fitting(column, sample)
    if column.detail:
        dimension.outlineLevel = 1
        dimension.hidden = True
    elif number > 1 and page.column_dimensions[get_column_letter(number - 1)].hidden:
        dimension.collapsed = True


def _fitting(column: SheetColumn, sample: pd.DataFrame) -> float:
    """Wide enough for most values and for the longest word of the heading with its filter."""
    words = max(len(word) for word in column.heading.split())
    # Headings may take two lines.
    needed = max(words + 4, len(column.heading) / 2 + 5)
    if column.type is Type.STRING and column.source:
        needed = max(needed, _text_width(sample[column.source], column) + 2)
    return min(max(needed, _NARROWEST), column.widest)


def _text_width(values: pd.Series, column: SheetColumn) -> float:
    lookup = column.lookup
    distinct = {str(value) for value in values.dropna().unique()}
    words = distinct if lookup is None else {lookup.get(word, "") for word in distinct}
    # Capitals are wide.
    return max((len(word) * (1.12 if word.isupper() else 0.97) for word in words), default=0)


def _size(sheet: DataSheet) -> int:
    """About how many bytes the sheet will have, on the high side."""
    text = sum(
        int(piece.select_dtypes("str").memory_usage(index=False, deep=True).sum())
        for piece in sheet.pieces()
    )
    return len(sheet) * len(sheet.columns) * _BYTES_PER_CELL + text


def _end_fold(page: Worksheet, columns: Sequence[SheetColumn]) -> None:
    """Show the [+] of a fold that ends with the last column on the column after it."""
    if columns[-1].detail:
        page.column_dimensions[get_column_letter(len(columns) + 1)].collapsed = True


def _ask_for_dates(page: Worksheet, letter: str, first: int, last: int) -> None:
    """Dates somebody fills in are dates, so that they sort and filter."""
    rule = DataValidation(
        type="date",
        operator="greaterThan",
        formula1=_YEAR_2000,
        allow_blank=True,
        errorTitle="Not a date",
        error="Please give a date, such as 2026-12-31.",
        showErrorMessage=True,
    )
    rule.add(f"{letter}{first}:{letter}{last}")
    page.add_data_validation(rule)
