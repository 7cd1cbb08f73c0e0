"""Edited workbooks: the waivers on one sheet, the entries beside findings on another."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from openpyxl.utils import get_column_letter

from orgscan.errors import UsageError
from orgscan.models import HumanEntry
from orgscan.waivers.fields import FIELDS, Cell, Draft, instant, known_field, text
from orgscan.waivers.guard import WAIVER_LIMITS, WORKBOOK_LIMITS, merged, opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from openpyxl import Workbook

WAIVERS_SHEET = "Waivers"
FINDINGS_SHEET = "Findings"
EARLIER_SHEET = "Earlier entries"
COMPUTED = ("state", "fail_matched", "all_matched", "over_broad", "self_approved")
"""Columns of the Waivers sheet that orgscan fills and does not read."""

_SAME = {"organizational_unit": "ou", "controls": "control", "expiry": "expires"}
_COLUMNS = 64
"""More are not looked at; the sheets have about thirty."""
_ENTRY = {"Owner": "owner", "Due date": "due", "Comment": "comment"}
_ABOUT = {
    "Control": "control_id",
    "Account id": "account_id",
    "User": "user",
    "Access key id": "access_key_id",
}
_FINDING = "Finding id"
_FINDING_ID = re.compile(r"[0-9a-f]{32}")
_ESCAPED = re.compile(r"_x005F(?=_x[0-9A-Fa-f]{4}_)")
_HALF_SECOND = timedelta(microseconds=500_000)


@dataclass(frozen=True, slots=True)
class EditedWorkbook:
    """A workbook that orgscan wrote and an officer edited."""

    file: str
    """Its name, without the directory."""
    sha256: str
    drafts: tuple[Draft, ...]
    """The rows of the Waivers sheet."""
    entries: tuple[HumanEntry, ...]
    """What was typed beside findings, by finding id; each finding once."""


def read_back(path: Path, raw: bytes) -> EditedWorkbook:
    """The waivers and human entries of the workbook ``raw``; ``path`` is for messages.

    Raises :class:`orgscan.errors.UsageError` naming sheet, row and column.
    """
    with opened(path, raw, WORKBOOK_LIMITS) as book:
        # orgscan writes both: where one is gone, what was typed into it is not to be dropped.
        for name in (FINDINGS_SHEET, WAIVERS_SHEET):
            if name not in book.sheetnames:
                raise UsageError(
                    f"{path}: has no sheet {name}; restore it, or use a workbook orgscan wrote"
                )
        drafts = tuple(_drafts(path, book, _pages(book, WAIVERS_SHEET), whole=True))
        by_finding: dict[str, HumanEntry] = {}
        for name in (*_pages(book, FINDINGS_SHEET), *_pages(book, EARLIER_SHEET)):
            for entry in _entries(path, book, name):
                _keep(by_finding, entry)
    entries = tuple(entry for _id, entry in sorted(by_finding.items()))
    return EditedWorkbook(path.name, hashlib.sha256(raw).hexdigest(), drafts, entries)


def waiver_drafts(path: Path, raw: bytes) -> list[Draft]:
    """The rows of the Waivers sheet, or of the only sheet there is."""
    with opened(path, raw, WAIVER_LIMITS) as book:
        pages = _pages(book, WAIVERS_SHEET)
        if not pages and len(book.sheetnames) > 1:
            raise UsageError(f"{path}: has several sheets, none named {WAIVERS_SHEET}; rename one")
        ours = FINDINGS_SHEET in book.sheetnames
        return list(_drafts(path, book, pages or book.sheetnames, whole=ours))


def headings(cells: Sequence[Cell], computed: Sequence[str] = ()) -> list[str]:
    """Field names of a heading row, whatever their case: ``Approved by`` is ``approved_by``.

    Raises :class:`orgscan.errors.UsageError` for one that is unknown or there twice.
    """
    names: list[str] = []
    for cell in cells:
        if cell.is_blank:
            names.append("")
            continue
        words = re.sub(r"\W+", "_", text(cell).casefold()).strip("_")
        name = known_field(cell, _SAME.get(words, words), (*FIELDS, *computed))
        if name in names:
            cell.refuse(f"the heading {name} occurs twice; remove one")
        names.append(name)
    return names


def _pages(book: Workbook, name: str) -> list[str]:
    """A sheet and its continuations: ``Findings``, ``Findings 2``, ..."""
    pattern = re.compile(rf"{re.escape(name)}(?: \d+)?")
    return [title for title in book.sheetnames if pattern.fullmatch(title)]


def _rows(path: Path, book: Workbook, name: str) -> Iterator[tuple[int, Sequence[Any]]]:
    page: Any = book[name]
    if not hasattr(page, "reset_dimensions"):
        raise UsageError(f"{path}: {name} is a chart, not a sheet of rows; restore the sheet")
    if cells := merged(page):
        raise UsageError(
            f"{path}: sheet {name}, cells {cells}: are merged, so only the first has a "
            "value; unmerge them and enter the value in each row"
        )
    # What a file says of its own extent may be anything.
    page.reset_dimensions()
    yield from enumerate(page.iter_rows(max_col=_COLUMNS), 1)


def _drafts(path: Path, book: Workbook, names: Sequence[str], *, whole: bool) -> Iterator[Draft]:
    """The rows of the sheets; ``whole`` where orgscan wrote them, with every heading."""
    for name in names:
        columns: list[str] = []
        for number, row in _rows(path, book, name):
            place = f"{path}: sheet {name}, row {number}"
            if not columns:
                columns = headings([_heading(cell, place) for cell in row], COMPUTED)
                if whole or set(columns) & set(COMPUTED):
                    _refuse_missing(columns, place)
                continue
            cells = {
                column: _cell(cell, f"{place}, column {column}")
                for column, cell in zip(columns, row, strict=False)
                if column in FIELDS
            }
            _refuse_stray(row, columns, place)
            if not all(cell.is_blank for cell in cells.values()):
                yield Draft(cells, place)


def _refuse_missing(columns: Sequence[str], place: str) -> None:
    """Without the column that narrows it, a waiver would hold for more than was agreed."""
    for name in FIELDS:
        if name not in columns:
            heading = "OU" if name == "ou" else name.replace("_", " ").capitalize()
            raise UsageError(f"{place}: the column {heading} is missing; restore the heading row")


def _refuse_stray(row: Sequence[Any], columns: Sequence[str], place: str) -> None:
    """A value under no heading would be lost without a word."""
    for number, cell in enumerate(row):
        if cell.value is not None and (number >= len(columns) or not columns[number]):
            stray = Cell(cell.value, f"{place}, column {get_column_letter(number + 1)}")
            stray.refuse("contains a value in a column without a heading; move or remove it")


def _heading(cell: Any, place: str) -> Cell:
    return _cell(cell, f"{place}, column {_letter(cell)}")


def _letter(cell: Any) -> str:
    return get_column_letter(cell.column) if hasattr(cell, "column") else "?"


def _cell(cell: Any, place: str) -> Cell:
    """A cell's value; what is computed or broken is refused. Times of sheets are UTC."""
    value = cell.value
    read = Cell(value, place)
    if value is None:
        return read
    if cell.data_type == "f":
        read.refuse("contains a formula; enter the value")
    if cell.data_type == "e":
        read.refuse(f"contains the error {value!r:.20}; enter the value")
    if isinstance(value, str):
        return Cell(_ESCAPED.sub("", value).replace("_x000D_", ""), place)
    if isinstance(value, datetime):
        # Sheets count in parts of a day: a second is never quite a second.
        whole = (value + _HALF_SECOND).replace(microsecond=0, tzinfo=UTC)
        return Cell(whole.date() if whole.time() == time() else whole, place)
    if isinstance(value, (time, timedelta)):
        read.refuse(f"{value} is a time without a day; type a date such as 2026-12-31")
    return read


def _entries(path: Path, book: Workbook, name: str) -> Iterator[HumanEntry]:
    """The rows of a sheet with an owner, a due date or a comment."""
    columns: dict[str, int] = {}
    for number, row in _rows(path, book, name):
        place = f"{path}: sheet {name}, row {number}"
        if not columns:
            columns = _columns(row, place)
            continue
        if all(_value(row, columns[heading]) is None for heading in _ENTRY):
            continue
        cells = {
            heading: _cell(row[at], f"{place}, column {heading}")
            if at < len(row)
            else Cell(None, f"{place}, column {heading}")
            for heading, at in columns.items()
        }
        entry = _entry(cells)
        if entry.owner or entry.due or entry.comment:
            yield entry


def _value(row: Sequence[Any], at: int) -> object:
    return row[at].value if at < len(row) else None


def _columns(row: Sequence[Any], place: str) -> dict[str, int]:
    """Where the headings that are read stand; all of them must be there, and once."""
    written = [str(cell.value).strip() if cell.value is not None else "" for cell in row]
    wanted = (_FINDING, *_ENTRY, *_ABOUT)
    for heading in wanted:
        if written.count(heading) != 1:
            what = "is missing" if heading not in written else "is there twice"
            raise UsageError(f"{place}: the column {heading} {what}; restore the heading row")
    return {heading: written.index(heading) for heading in wanted}


def _entry(cells: dict[str, Cell]) -> HumanEntry:
    finding_id = cells[_FINDING]
    if not isinstance(finding_id.value, str) or not _FINDING_ID.fullmatch(finding_id.value):
        finding_id.refuse(
            f"{finding_id.value!r:.40} is not a valid finding ID (32 hexadecimal digits); copy "
            "the row from the original workbook again"
        )
    return HumanEntry(
        finding_id=finding_id.value,
        owner=text(cells["Owner"]),
        due=_day(cells["Due date"]),
        comment=text(cells["Comment"]),
        place=finding_id.place,
        **{name: text(cells[heading]) for heading, name in _ABOUT.items()},
    )


def _day(cell: Cell) -> date | None:
    moment = instant(cell)
    if moment is None:
        return None
    if moment.time() != time():
        cell.refuse(f"{moment:%Y-%m-%d %H:%M:%S} UTC has a time of day; give a date: 2026-12-31")
    return moment.date()


def _keep(by_finding: dict[str, HumanEntry], entry: HumanEntry) -> None:
    known = by_finding.setdefault(entry.finding_id, entry)
    if known == entry:
        return
    what, remedy = "another owner, due date or comment", "keep one of them"
    if _typed(known) == _typed(entry):
        what, remedy = "another control, account, user or key", "copy both rows again"
    raise UsageError(
        f"{entry.place}: finding {entry.finding_id} has {what} at {known.place}; {remedy}"
    )


def _typed(entry: HumanEntry) -> tuple[str, date | None, str]:
    return entry.owner, entry.due, entry.comment
