"""The cover: what this is, whether it can be trusted, where it came from, who signed it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orgscan.models import Coverage, Status
from orgscan.reports import changes, look
from orgscan.reports.look import BODY, HEADING, LABEL, PLAIN, Style, put
from orgscan.reports.meanings import COVERAGE_MEANINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from openpyxl.worksheet.worksheet import Worksheet

    from orgscan.reports.content import WorkbookContent
    from orgscan.reports.figures import Figures, Verdict

TITLE = "Long-lived IAM credentials: audit of an AWS organization"
SIMULATED = "SIMULATED: this data comes from a simulator on this machine, not from AWS"

_FIRST, _SECOND, _LAST = 2, 3, 7
_WIDTHS = {"A": 2, "B": 30, "C": 13, "D": 13, "E": 13, "F": 13, "G": 32}
_LINE = 13.5
_CHARACTERS_PER_LINE = 104
_COUNT = replace(BODY, number_format=look.COUNT_FORMAT, horizontal="right")
_SUM = replace(_COUNT, bold=True)
_HEAD = Style(bold=True, color=look.MUTED, ruled=True)
_MEANING = replace(PLAIN, indent=1)


@dataclass(slots=True)
class _Cursor:
    """Where the next line of the cover goes."""

    page: Worksheet
    row: int = 2

    def heading(self, text: str) -> None:
        self.row += 1
        put(self.page, (self.row, _FIRST), text, HEADING)
        self.page.row_dimensions[self.row].height = 20
        self.row += 1

    def pair(self, label: str, value: str) -> None:
        put(self.page, (self.row, _FIRST), label, LABEL)
        self._across(value, PLAIN, _SECOND, _CHARACTERS_PER_LINE - 30)

    def line(self, text: str, style: Style = PLAIN) -> None:
        self._across(text, style, _FIRST, _CHARACTERS_PER_LINE)

    def cells(self, values: Sequence[str | int | None], styles: Sequence[Style]) -> None:
        for offset, (value, style) in enumerate(zip(values, styles, strict=True)):
            put(self.page, (self.row, _FIRST + offset), value, style)
        self.row += 1

    def _across(self, text: str, style: Style, first: int, per_line: int) -> None:
        """Text over the whole width, the row as high as it needs: merged cells never grow."""
        put(self.page, (self.row, first), text, replace(style, wrap=True))
        self.page.merge_cells(
            start_row=self.row, end_row=self.row, start_column=first, end_column=_LAST
        )
        lines = max(1, math.ceil(len(text) * style.size / 10 / per_line))
        height = lines * _LINE * style.size / 10 + (2 if lines == 1 else 4)
        self.page.row_dimensions[self.row].height = min(height, 400)
        self.row += 1


def utc(moment: datetime | None) -> str:
    """A moment in UTC, to the second, with its zone named."""
    if moment is None:
        return "not recorded"
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def fill(page: Worksheet, content: WorkbookContent, figures: Figures, verdict: Verdict) -> None:
    """Write the cover to an empty sheet."""
    for letter, width in _WIDTHS.items():
        page.column_dimensions[letter].width = width
    page.sheet_view.showGridLines = False
    page.sheet_properties.tabColor = look.NAVY
    cursor = _Cursor(page)
    _title(cursor, content, verdict)
    _failures(cursor, figures)
    _coverage(cursor, content, figures)
    _changes(cursor, content)
    _standings(cursor, content)
    _source(cursor, content)
    _mapping(cursor, "Limits the controls judged by", content.thresholds)
    _mapping(cursor, "Versions", content.versions)
    _mapping(cursor, "SHA-256 of the files this workbook belongs to", content.hashes)
    _notes(cursor, content)
    _sign_off(cursor)


def _title(cursor: _Cursor, content: WorkbookContent, verdict: Verdict) -> None:
    run = content.run
    cursor.line(TITLE, Style(bold=True, size=16, color=look.NAVY))
    if content.simulated:
        cursor.line(SIMULATED, Style(bold=True, size=13, vertical="center").badge(Status.WAIVED))
    cursor.line(f"Organization {run.organization.id}, as of {utc(run.as_of)}", LABEL)
    cursor.row += 1
    badge = Style(size=13, vertical="center").badge(verdict.tone)
    cursor.line(verdict.headline, badge)
    cursor.page.row_dimensions[cursor.row - 1].height = 30
    for sentence in verdict.sentences:
        cursor.line(sentence, replace(badge, size=10, bold=False))


def _failures(cursor: _Cursor, figures: Figures) -> None:
    cursor.heading("Results by severity")
    statuses = (Status.FAIL, Status.UNKNOWN, Status.WAIVED, Status.PASS)
    right = replace(_HEAD, horizontal="right")
    cursor.cells(["Severity", *(status.value for status in statuses)], [_HEAD, *[right] * 4])
    for severity, counts in figures.by_severity.items():
        values = [counts.get(status, 0) for status in statuses]
        cursor.cells([severity, *values], [BODY.badge(severity), *[_COUNT] * 4])
    totals = [figures.state.get(status, 0) for status in statuses]
    cursor.cells(["All", *totals], [replace(BODY, bold=True), *[_SUM] * 4])


def _coverage(cursor: _Cursor, content: WorkbookContent, figures: Figures) -> None:
    cursor.heading("Coverage: every account of the organization, once")
    right = replace(_HEAD, horizontal="right")
    cursor.cells(
        ["How the reading ended", "Accounts", "Meaning"], [_HEAD, right, replace(_HEAD, indent=1)]
    )
    for value, count in figures.coverage.items():
        known = value in set(Coverage)
        meaning = COVERAGE_MEANINGS[Coverage(value)] if known else "Not known to this version."
        style = BODY.badge(value) if count else BODY
        cursor.cells([value, count, meaning], [style, _COUNT, _MEANING])
    bold = replace(BODY, bold=True)
    cursor.cells(["Sum of the above", figures.coverage_sum, ""], [bold, _SUM, _MEANING])
    basis = (
        "Counted by the evidence store."
        if content.accounts_enumerated is not None
        else "Distinct account ids in the accounts table."
    )
    if not content.run.enumerated:
        basis += " The account list was NOT read to its end."
    cursor.cells(
        ["Control total: accounts enumerated", figures.control_total, basis], [bold, _SUM, _MEANING]
    )
    word, tone = ("Yes", Status.PASS) if figures.reconciled else ("NO", Status.FAIL)
    agree = replace(BODY.badge(tone), horizontal="right")
    cursor.cells(["Do they agree?", word], [bold, agree])


def _standings(cursor: _Cursor, content: WorkbookContent) -> None:
    """For each framework, how many requirements stand where."""
    if not content.assessments:
        return
    cursor.heading("Requirements on long-lived credentials")
    for one in content.assessments:
        totals = ", ".join(f"{count} {status}" for status, count in one.totals.items())
        cursor.line(f"{one.label}: {totals}")


def _changes(cursor: _Cursor, content: WorkbookContent) -> None:
    if content.changes is None:
        return
    cursor.heading(f"Since the run of {content.changes.as_of:%Y-%m-%d}")
    for sentence in changes.sentences(content.changes):
        cursor.line(sentence)
    cursor.line("The sheet Changes lists them one by one.", LABEL)


def _source(cursor: _Cursor, content: WorkbookContent) -> None:
    run = content.run
    cursor.heading("Where the figures come from")
    pairs = {
        "Organization": run.organization.id,
        "Management account": run.organization.management_account_id,
        "As of (ages are computed for)": utc(run.as_of),
        "Run": run.run_id,
        "Run started": utc(run.started_at),
        "Run finished": utc(run.finished_at) if run.finished_at else "did not finish",
        "Account list read to its end": "Yes" if run.enumerated else "NO",
        "Caller": f"{run.caller.arn} (account {run.caller.account_id})",
        "Audit role": run.role_name,
        "Scope": _scope(run.scope),
        "Workbook written": utc(content.rendered_at),
    }
    for label, value in pairs.items():
        cursor.pair(label, value)
    if run.endpoint_url:
        cursor.pair("Endpoint, in place of AWS's own", run.endpoint_url)


def _scope(scope: Mapping[str, list[str]]) -> str:
    given = [f"{name}: {', '.join(values)}" for name, values in scope.items() if values]
    return "; ".join(given) or "every account of the organization"


def _mapping(cursor: _Cursor, heading: str, values: Mapping[str, str]) -> None:
    if not values:
        return
    cursor.heading(heading)
    for name, value in values.items():
        cursor.pair(name, value)


def _notes(cursor: _Cursor, content: WorkbookContent) -> None:
    cursor.heading("Notes")
    for note in dict.fromkeys((*content.run.notes, *content.notes)):
        cursor.line(note)
    cursor.line(
        "All times are UTC. UNKNOWN means the evidence was missing or unreadable; it is never "
        "counted as a pass. Columns folded behind a [+] above a sheet hold technical detail. "
        "The Findings sheet lists FAIL, UNKNOWN and WAIVED; every result is in findings.parquet. "
        "The sheet Data dictionary explains every column.",
        LABEL,
    )


def _sign_off(cursor: _Cursor) -> None:
    cursor.heading("Sign-off")
    cursor.cells(["", "Name", "", "Date", "Signature", ""], [_HEAD] * 6)
    to_fill = Style(paper=look.INPUT, ruled=True, vertical="center")
    dated = replace(to_fill, number_format=look.DATE_FORMAT)
    for label in ("Prepared by", "Reviewed by"):
        styles = [BODY, to_fill, to_fill, dated, to_fill, to_fill]
        cursor.cells([label, *[None] * 5], styles)
        cursor.page.row_dimensions[cursor.row - 1].height = 26
