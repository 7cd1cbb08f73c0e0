"""The workbook a compliance officer opens: composition of the sheets.

openpyxl builds everything but the rows of the data sheets; ``sheetxml`` streams those.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from openpyxl import Workbook

from orgscan.models import Coverage
from orgscan.reports import (
    changes,
    columns,
    cover,
    datasheet,
    dictionary,
    entries,
    figures,
    frameworks,
    look,
    sheetxml,
    summary,
)
from orgscan.reports.datasheet import EXCEL_ROWS, DataSheet
from orgscan.reports.sheetxml import Patch
from orgscan.waivers.entries import LISTED, unlisted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pandas as pd
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
    earlier = unlisted(content.findings, content.entries)
    sheets = [
        frameworks.sheet(content.assessments, titles),
        DataSheet(
            "Coverage", columns.coverage(), content.accounts, order=gaps_first(content.accounts)
        ),
        DataSheet(
            "Findings",
            columns.findings(titles, figures.due_dates(content), content.entries),
            content.findings,
            _ALERT_TAB,
            listed(content.findings),
        ),
        entries.waivers(content.waivers),
        *([entries.earlier_entries(earlier)] if earlier else []),
        *_changes(content),
        DataSheet("Users", columns.users(), content.credentials),
        DataSheet("Access keys", columns.access_keys(), content.access_keys),
        DataSheet(
            "Service credentials", columns.service_credentials(), content.service_credentials
        ),
        dictionary.controls(content.controls, content.frameworks, _REFERENCE_TAB),
    ]
    return [*sheets, dictionary.dictionary(sheets, _REFERENCE_TAB)]


def _changes(content: WorkbookContent) -> list[DataSheet]:
    if content.changes is None:
        return []
    rows, lines = changes.listed(content.changes), changes.preface(content.changes)
    return [DataSheet("Changes", columns.changes(), rows, _ALERT_TAB, preface=lines)]


def condensed(content: WorkbookContent) -> WorkbookContent:
    """The content with all figures counted, and of the findings only those the workbook lists.

    The same workbook comes of it. Most findings passed, and once they are written elsewhere their
    memory is better used for the sheets.
    """
    findings = content.findings
    counted = content.figures or figures.compute(content)
    return replace(content, findings=findings.take(listed(findings)), figures=counted)


def gaps_first(accounts: pd.DataFrame) -> NDArray[np.int64]:
    """The order of the accounts with what could not be read on top."""
    fine = [value.value for value in Coverage if not value.is_gap]
    return np.lexsort((_ranks(accounts["account_id"]), accounts["coverage"].isin(fine)))


def listed(findings: pd.DataFrame) -> NDArray[np.int64]:
    """Where FAIL, UNKNOWN and WAIVED stand, by severity, control, account and user."""
    chosen = np.flatnonzero(findings["status"].isin([status.value for status in LISTED]))
    keys = [_ranks(findings[name], chosen) for name in ("user", "account_id", "control_id")]
    keys.append(_ranks(findings["severity"], chosen, figures.severity_rank))
    return chosen[np.lexsort(keys)]


def _ranks(
    values: pd.Series, chosen: Any = slice(None), rank: Callable[[str], Any] = str
) -> NDArray[np.int32]:
    """Numbers that sort the chosen values by ``rank``, nulls first; each text is ranked once."""
    column = values.astype("category").cat
    ranks = [rank(text) for text in column.categories.tolist()]
    place = {value: number for number, value in enumerate(sorted(set(ranks)))}
    numbers = np.array([*(place[value] for value in ranks), -1], dtype=np.int32)
    ranked: NDArray[np.int32] = numbers[column.codes.to_numpy()[chosen]]
    return ranked


def _front(
    book: Workbook, content: WorkbookContent, footer: tuple[str, str]
) -> list[tuple[Worksheet, Patch]]:
    """The cover and the summary, small enough for openpyxl alone."""
    numbers = content.figures or figures.compute(content)
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
