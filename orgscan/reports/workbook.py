"""The workbook a compliance officer opens: composition of the sheets.

openpyxl builds everything but the rows of the data sheets; ``sheetxml`` streams those.
"""

from __future__ import annotations

from datetime import UTC
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from openpyxl import Workbook

from orgscan.models import Coverage, Severity
from orgscan.reports import (
    changes,
    columns,
    cover,
    datasheet,
    dictionary,
    entries,
    figures,
    look,
    sheetxml,
    summary,
)
from orgscan.reports import frameworks as requirements
from orgscan.reports.datasheet import EXCEL_ROWS, DataSheet
from orgscan.reports.rows import FrameRows, as_rows
from orgscan.reports.sheetxml import Patch
from orgscan.waivers.entries import is_listed, unlisted

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from openpyxl.worksheet.worksheet import Worksheet

    from orgscan.reports.content import WorkbookContent

_ALERT_TAB, _REFERENCE_TAB = "A61B1B", "8A97A6"


def write(path: Path, content: WorkbookContent, *, rows_per_sheet: int = EXCEL_ROWS) -> None:
    """Write the workbook to ``path``; the same content gives the same bytes.

    Args:
        path: The file to write.
        content: What to show.
        rows_per_sheet: Where a table goes on in a further sheet, heading row included.
    """
    footer = _footer(content)
    book = Workbook()
    patches = _front(book, content, footer)
    for sheet in data_sheets(content):
        for piece in datasheet.split(sheet, rows_per_sheet):
            page, patch = datasheet.add(book, piece, footer)
            patches.append((page, patch))
    _describe(book, content)
    saved = BytesIO()
    book.save(saved)
    book.close()
    parts = {page.path.lstrip("/"): patch for page, patch in patches}
    modified = content.rendered_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sheetxml.splice(saved, path, parts, modified)


def data_sheets(content: WorkbookContent) -> list[DataSheet]:
    """The sheets that are one table each, in the order of the workbook."""
    titles = {entry.id: entry.title for entry in content.controls}
    findings = content.findings
    if isinstance(findings, pd.DataFrame):
        findings = FrameRows(findings, listed(findings))
    earlier = unlisted(findings.pieces(), content.entries)
    sheets = [
        requirements.sheet(content.assessments, titles),
        DataSheet(
            "Coverage",
            columns.coverage(),
            FrameRows(content.accounts, gaps_first(content.accounts)),
        ),
        DataSheet(
            "Findings",
            columns.findings(titles, figures.due_dates(content), content.entries),
            findings,
            _ALERT_TAB,
        ),
        entries.waivers(content.waivers),
        *([entries.earlier_entries(earlier)] if earlier else []),
        *_changes(content),
        DataSheet("Users", columns.users(), as_rows(content.credentials)),
        DataSheet("Access keys", columns.access_keys(), as_rows(content.access_keys)),
        DataSheet(
            "Service credentials",
            columns.service_credentials(),
            as_rows(content.service_credentials),
        ),
        dictionary.controls(content.controls, content.frameworks, _REFERENCE_TAB),
    ]
    return [*sheets, dictionary.dictionary(sheets, _REFERENCE_TAB)]


def _changes(content: WorkbookContent) -> list[DataSheet]:
    if content.changes is None:
        return []
    return [
        DataSheet(
            "Changes",
            columns.changes(),
            as_rows(content.changes.changes),
            _ALERT_TAB,
            last=changes.shown(content.changes),
            preface=changes.preface(content.changes),
        )
    ]


def gaps_first(accounts: pd.DataFrame) -> NDArray[np.int64]:
    """The order of the accounts with what could not be read on top."""
    fine = [value.value for value in Coverage if not value.is_gap]
    ids = accounts["account_id"].astype(object).to_numpy()
    return np.lexsort((ids, accounts["coverage"].isin(fine)))


def ranks(findings: pd.DataFrame) -> pd.DataFrame:
    """What listed findings are ordered by first: the severity, the control."""
    severities = findings["severity"].map({one.value: one.rank for one in Severity})
    return pd.DataFrame(
        {
            "severity": severities.fillna(len(Severity)).astype("int64"),
            "control_id": findings["control_id"].astype(object),
        }
    )


def listed(findings: pd.DataFrame) -> NDArray[np.int64]:
    """Where FAIL, UNKNOWN and WAIVED stand, by severity, control, account and user."""
    chosen = np.flatnonzero(is_listed(findings))
    rows = findings[["severity", "control_id", "account_id", "user"]].take(chosen)
    keys = ranks(rows).assign(
        account_id=rows["account_id"].astype(object),
        user=rows["user"].astype(object).where(rows["user"].notna(), ""),
    )
    order = keys.reset_index(drop=True).sort_values([*keys], kind="stable").index
    return np.asarray(chosen[order.to_numpy()], dtype=np.int64)


def _front(
    book: Workbook, content: WorkbookContent, footer: tuple[str, str]
) -> list[tuple[Worksheet, Patch]]:
    """The cover and the summary, small enough for openpyxl alone."""
    numbers = figures.compute(content)
    front: Worksheet = book.worksheets[0]
    front.title = "Cover"
    cover.fill(front, content, numbers, figures.verdict(content, numbers))
    look.set_up_print(front, footer, landscape=False)
    second = book.create_sheet("Summary")
    summary.fill(second, numbers, cover.SIMULATED if content.simulated else "")
    look.set_up_print(second, footer, landscape=True)
    return [(page, Patch(page.dimensions.rpartition(":")[2])) for page in (front, second)]


def _footer(content: WorkbookContent) -> tuple[str, str]:
    return (
        f"orgscan, organization {content.run.organization.id}",
        f"As of {cover.utc(content.run.as_of)}",
    )


def _describe(book: Workbook, content: WorkbookContent) -> None:
    written = content.rendered_at.astimezone(UTC).replace(tzinfo=None, microsecond=0)
    book.properties.title = cover.TITLE
    book.properties.subject = (
        f"Organization {content.run.organization.id}, as of {cover.utc(content.run.as_of)}"
    )
    book.properties.creator = f"orgscan {content.run.version}"
    book.properties.created = written
    book.active = 0
