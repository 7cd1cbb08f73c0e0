"""The summary: results by control, failures by organizational unit, one small chart."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from openpyxl.chart import BarChart, Reference
from openpyxl.chart.shapes import GraphicalProperties
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.filters import AutoFilter
from openpyxl.worksheet.table import Table, TableColumn, TableStyleInfo

from orgscan.models import Severity, Status
from orgscan.reports import look
from orgscan.reports.figures import pass_rate
from orgscan.reports.look import BODY, HEADER, HEADING, LABEL, Style, put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openpyxl.worksheet.worksheet import Worksheet

    from orgscan.reports.figures import Figures

    _Line = tuple[Sequence[str | float | None], Sequence[Style]]

STATUSES = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.PASS, Status.NOT_APPLICABLE)
CONTROL_HEADINGS = (
    "Control",
    "Severity",
    *(status.value for status in STATUSES),
    "Total",
    "Pass rate",
    "Accounts unread",
    "Unit",
    "Control title",
)
OU_HEADINGS = (
    "Organizational unit",
    "Accounts",
    "Accounts with gaps",
    *(f"FAIL {severity}" for severity in Severity),
    "FAIL total",
    "UNKNOWN",
)
SEVERITY_HEADINGS = ("Severity", "FAIL", "UNKNOWN", "Overdue")
RATE_NOTE = (
    "Pass rate: PASS as a share of PASS, FAIL, WAIVED and UNKNOWN, rounded down. NOT_APPLICABLE "
    "is left out; WAIVED and UNKNOWN count against it."
)
UNREAD_NOTE = (
    "Accounts unread: accounts in scope of which neither a list nor a credential report tells the "
    "users or access keys. They have no results for the control, so the pass rate beside it is "
    "that of the other accounts."
)
_WIDTHS = (30, 14, 12, 12, 12, 12, 17, 12, 12, 17, 12, 48)
_COUNT = replace(BODY, number_format=look.COUNT_FORMAT, horizontal="right")
_RATE = replace(_COUNT, number_format=look.RATE_FORMAT)
_BOLD = replace(BODY, bold=True)
_CHART_COLOR = "A61B1B"


def fill(page: Worksheet, figures: Figures, notice: str = "") -> None:
    """Write the summary to an empty sheet, with a notice beside its first heading."""
    for number, width in enumerate(_WIDTHS, 1):
        page.column_dimensions[get_column_letter(number)].width = width
    page.sheet_view.showGridLines = False
    page.sheet_properties.tabColor = look.NAVY
    put(page, (1, 1), "Results by control", HEADING)
    if notice:
        put(page, (1, 3), notice, replace(HEADING, color=_CHART_COLOR))
    row = _controls(page, figures, 2)
    put(page, (row, 1), RATE_NOTE, LABEL)
    put(page, (row + 1, 1), UNREAD_NOTE, LABEL)
    put(page, (row + 3, 1), "Failures by organizational unit", HEADING)
    row = _ous(page, figures, row + 4)
    put(page, (row + 1, 1), "Open results by severity", HEADING)
    _severities(page, figures, row + 2)


def _table(
    page: Worksheet,
    name: str,
    first: int,
    headings: Sequence[str],
    lines: Sequence[_Line],
) -> int:
    """An Excel table from row ``first`` on; the row after it."""
    looks = lines[0][1] if lines else [BODY] * len(headings)
    for number, (text, below) in enumerate(zip(headings, looks, strict=True), 1):
        style = replace(HEADER, horizontal=below.horizontal, indent=below.indent)
        put(page, (first, number), text, style)
    page.row_dimensions[first].height = 30
    for offset, (values, styles) in enumerate(lines, 1):
        for number, (value, style) in enumerate(zip(values, styles, strict=True), 1):
            put(page, (first + offset, number), value, style)
    # A table without a row is a damaged file: an empty one keeps a blank row.
    last = first + max(len(lines), 1)
    ref = f"A{first}:{get_column_letter(len(headings))}{last}"
    columns = [TableColumn(id=number, name=text) for number, text in enumerate(headings, 1)]
    table = Table(displayName=name, name=name, ref=ref, tableColumns=columns)
    table.autoFilter = AutoFilter(ref=ref)
    table.tableStyleInfo = TableStyleInfo(name="TableStyleLight1", showRowStripes=False)
    page.add_table(table)
    return last + 1


def _controls(page: Worksheet, figures: Figures, first: int) -> int:
    lines: list[_Line] = []
    for row in figures.by_control:
        counts = [row.counts.get(status, 0) for status in STATUSES]
        values: list[str | float | None] = [row.id, row.severity, *counts, row.total, row.pass_rate]
        values += [row.unread, row.unit, row.title]
        styles = [BODY, BODY.badge(row.severity), *map(_counted, STATUSES, counts), _COUNT, _RATE]
        words = replace(BODY, wrap=True, indent=1)
        lines.append((values, [*styles, _counted(Status.UNKNOWN, row.unread), words, words]))
    end = _table(page, "Summary_by_control", first, CONTROL_HEADINGS, lines)
    totals = [figures.state.get(status, 0) for status in STATUSES]
    values = ["All controls", "", *totals, sum(figures.state.values()), pass_rate(figures.state)]
    # Whose users are not known, the keys are not either: the largest count holds the others.
    values.append(max((row.unread for row in figures.by_control), default=0))
    bold = replace(_COUNT, bold=True)
    styles = [_BOLD, _BOLD, *([bold] * (len(totals) + 1)), replace(_RATE, bold=True), bold]
    for number, (value, style) in enumerate(zip(values, styles, strict=True), 1):
        put(page, (end, number), value, style)
    return end + 1


def _counted(status: str, count: int) -> Style:
    """Colour only where there is something to see."""
    coloured = count and status in {Status.FAIL, Status.UNKNOWN, Status.WAIVED}
    return _COUNT.badge(status) if coloured else _COUNT


def _ous(page: Worksheet, figures: Figures, first: int) -> int:
    lines: list[_Line] = []
    for row in figures.by_ou:
        fails = [row.fails.get(severity, 0) for severity in Severity]
        total = sum(row.fails.values())
        values: list[str | float | None] = [row.ou, row.accounts, row.gaps, *fails]
        values += [total, row.unknown]
        styles = [BODY, *([_COUNT] * (len(values) - 1))]
        styles[2] = _COUNT.badge(Status.UNKNOWN) if row.gaps else _COUNT
        styles[-2] = _counted(Status.FAIL, total)
        styles[-1] = _counted(Status.UNKNOWN, row.unknown)
        lines.append((values, styles))
    return _table(page, "Summary_by_unit", first, OU_HEADINGS, lines)


def _severities(page: Worksheet, figures: Figures, first: int) -> None:
    lines: list[_Line] = []
    for severity, counts in figures.by_severity.items():
        values = [counts.get(status, 0) for status in (Status.FAIL, Status.UNKNOWN)]
        late = figures.overdue.get(severity, 0)
        styles = [BODY.badge(severity), _COUNT, _COUNT, _counted(Status.FAIL, late)]
        lines.append(([severity, *values, late], styles))
    end = _table(page, "Summary_by_severity", first, SEVERITY_HEADINGS, lines)
    page.add_chart(_chart(page, first, end - 1), f"F{first}")


def _chart(page: Worksheet, first: int, last: int) -> BarChart:
    chart = BarChart()
    chart.type = "bar"
    chart.title = None
    chart.grouping = "stacked"
    chart.overlap = 100
    chart.gapWidth = 60
    chart.height, chart.width = 5.5, 14
    chart.legend.position = "b"
    chart.add_data(
        Reference(page, min_col=2, max_col=3, min_row=first, max_row=last), titles_from_data=True
    )
    chart.set_categories(Reference(page, min_col=1, min_row=first + 1, max_row=last))
    for series, color in zip(chart.series, (_CHART_COLOR, "E0B252"), strict=True):
        series.graphicalProperties = GraphicalProperties(solidFill=color)
    # Worst on top, as in the table; axes are not drawn unless asked for.
    chart.x_axis.scaling.orientation = "maxMin"
    chart.x_axis.delete = chart.y_axis.delete = False
    chart.y_axis.number_format = look.COUNT_FORMAT
    chart.y_axis.majorGridlines = None
    return chart
