"""The workbook's looks: one font, a calm palette, and how a value gets its style."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from openpyxl.cell import MergedCell, WriteOnlyCell
from openpyxl.cell.rich_text import CellRichText
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.worksheet.page import PageMargins
from openpyxl.worksheet.properties import PageSetupProperties

from orgscan.models import Change, Coverage, RequirementStatus, Severity, Status
from orgscan.reports.figures import Tone
from orgscan.reports.text import runs

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.cell import Cell
    from openpyxl.worksheet.worksheet import Worksheet

A4 = 9
FONT = "Arial"
INK = "1F2933"
MUTED = "66788A"
NAVY = "1F3A5F"
RULE = "D5DBE3"
INPUT = "FFFBEA"

TEXT_FORMAT = "@"
"""Keeps a cell text when somebody edits it: ``=1+1`` stays what it was."""
TIME_FORMAT = "yyyy-mm-dd hh:mm:ss"
DATE_FORMAT = "yyyy-mm-dd"
COUNT_FORMAT = "#,##0"
NUMBER_FORMAT = "#,##0.0"
RATE_FORMAT = "0.0%"

_GREEN, _RED = ("1E5C3A", "DDF0E4"), ("8C1C1C", "F9DEDC")
_AMBER, _GREY, _BLUE = ("7A4B00", "FDEFCF"), ("52606D", "EBEEF2"), ("274C77", "DFE9F5")
_ORANGE, _STRONG = ("8A3B00", "FCE3CF"), ("6B0F0F", "F2B5B1")

BADGES: dict[str, tuple[str, str]] = {
    Status.PASS: _GREEN,
    Status.FAIL: _RED,
    Status.UNKNOWN: _AMBER,
    Status.WAIVED: _BLUE,
    Status.NOT_APPLICABLE: _GREY,
    Severity.CRITICAL: _STRONG,
    Severity.HIGH: _RED,
    Severity.MEDIUM: _ORANGE,
    Severity.LOW: _AMBER,
    Severity.INFORMATIONAL: _GREY,
    Coverage.COMPLETE: _GREEN,
    Coverage.PARTIAL: _AMBER,
    Coverage.DENIED: _RED,
    Coverage.FAILED: _RED,
    Coverage.NOT_ATTEMPTED: _AMBER,
    Coverage.NOT_ACTIVE: _GREY,
    Coverage.EXCLUDED: _GREY,
    RequirementStatus.NOT_MET: _RED,
    RequirementStatus.FAILURE_FOUND: _RED,
    RequirementStatus.NOT_KNOWN: _AMBER,
    RequirementStatus.MET_BUT_WAIVED: _BLUE,
    RequirementStatus.NO_FAILURE: _GREY,
    RequirementStatus.MET: _GREEN,
    RequirementStatus.NOTHING_TO_JUDGE: _GREY,
    RequirementStatus.NOT_JUDGED: _GREY,
    Change.NEW.label: _RED,
    Change.FIRST_COMPARED.label: _ORANGE,
    Change.REOPENED.label: _STRONG,
    Change.WAIVER_ENDED.label: _RED,
    Change.WAIVED.label: _BLUE,
    Change.STILL_OPEN.label: _ORANGE,
    Change.NOT_COMPARED.label: _AMBER,
    Change.KEY_REACTIVATED.label: _AMBER,
    Change.ROTATED.label: _GREEN,
    Change.KEY_DELETED.label: _GREEN,
    Change.KEY_DEACTIVATED.label: _GREEN,
    Change.USER_DELETED.label: _GREEN,
    Change.ACCOUNT_LEFT.label: _GREY,
    Change.ACCOUNT_NOT_ACTIVE.label: _GREY,
    Change.OUT_OF_SCOPE.label: _GREY,
    Change.FIXED.label: _GREEN,
    Tone.CLEAN: _GREEN,
    Tone.CAUTION: _AMBER,
    Tone.BAD: _RED,
    "Yes": _RED,
    "in force": _BLUE,
    "expired": _RED,
    "not yet valid": _GREY,
}
"""Word to (ink, paper). The word always stands in the cell too: colour only repeats it."""


@dataclass(frozen=True, slots=True)
class Style:
    """The look of a cell."""

    number_format: str = TEXT_FORMAT
    bold: bool = False
    size: float = 10
    color: str = INK
    paper: str | None = None
    wrap: bool = False
    horizontal: str | None = None
    vertical: str = "top"
    indent: int = 0
    ruled: bool = False

    def badge(self, word: str) -> Style:
        """This style in the colours of ``word``; itself where the word has none."""
        if word not in BADGES:
            return self
        ink, paper = BADGES[word]
        return replace(self, color=ink, paper=paper, bold=True)


BODY = Style(ruled=True)
PLAIN = Style()
LABEL = Style(color=MUTED)
HEADING = Style(bold=True, size=12, color=NAVY, vertical="center")
HEADER = Style(bold=True, color="FFFFFF", paper=NAVY, wrap=True, vertical="center")


_drawn: WeakKeyDictionary[Workbook, dict[Style, Any]] = WeakKeyDictionary()
"""openpyxl's numbers for each look of a workbook; no cell, which would keep the book alive."""


def apply(cell: Cell | MergedCell, style: Style) -> None:
    """Give a cell its look."""
    # openpyxl hashes every part of a look whenever it is assigned: for a small workbook that
    # would be more than half of the work.
    to: Any = cell
    known = _drawn.setdefault(to.parent.parent, {})
    if style in known:
        to._style = copy(known[style])  # noqa: SLF001
    else:
        _draw(to, style)
        known[style] = copy(to._style)  # noqa: SLF001


def _draw(cell: Cell, style: Style) -> None:
    cell.font = Font(name=FONT, size=style.size, bold=style.bold, color=style.color)
    cell.alignment = Alignment(
        horizontal=style.horizontal or ("left" if style.indent else None),
        vertical=style.vertical,
        wrap_text=style.wrap,
        indent=style.indent,
    )
    cell.number_format = style.number_format
    if style.paper:
        cell.fill = PatternFill("solid", start_color=style.paper)
    if style.ruled:
        cell.border = Border(bottom=Side("hair", color=RULE))


def style_id(sheet: Worksheet, style: Style) -> int:
    """The number a style has in the workbook's style sheet, for rows written without openpyxl."""
    cell = WriteOnlyCell(sheet)
    apply(cell, style)
    return int(cell.style_id)


def put(sheet: Worksheet, place: tuple[int, int], value: str | float | None, style: Style) -> None:
    """Write one value; text is always text, whatever it looks like."""
    row, column = place
    cell = sheet.cell(row, column)
    if isinstance(cell, MergedCell):
        message = f"cell {cell.coordinate} lies within a merged range"
        raise TypeError(message)
    apply(cell, style)
    if value and isinstance(value, str):
        pieces = runs(value)
        cell.value = pieces[0] if len(pieces) == 1 else CellRichText(pieces)
        cell.data_type = "s"
    elif value is not None and value != "":
        cell.value = value


def set_up_print(sheet: Worksheet, footer: tuple[str, str], *, landscape: bool) -> None:
    """A4, one page wide, with a footer that says what the page is part of."""
    sheet.page_setup.orientation = "landscape" if landscape else "portrait"
    sheet.page_setup.paperSize = A4
    sheet.page_setup.fitToWidth = 1
    sheet.page_setup.fitToHeight = 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.page_margins = PageMargins(left=0.4, right=0.4, top=0.5, bottom=0.6, footer=0.3)
    words = [*(text.replace("&", "&&") for text in footer), "Page &P of &N"]
    bottom: Any = sheet.oddFooter
    for part, text in zip((bottom.left, bottom.center, bottom.right), words, strict=True):
        part.text, part.size, part.font = text, 8, f"{FONT},Regular"
