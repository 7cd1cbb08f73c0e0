"""The reference sheets: the controls, and what every column and word means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan.controls.frameworks.framework import ids_by_framework
from orgscan.models import Change
from orgscan.reports.columns import SheetColumn, plain
from orgscan.reports.datasheet import DataSheet
from orgscan.reports.meanings import (
    COVERAGE_MEANINGS,
    REQUIREMENT_MEANINGS,
    STATUS_MEANINGS,
    WAIVER_MEANINGS,
)
from orgscan.reports.rows import FrameRows
from orgscan.reports.summary import RATE_NOTE, UNREAD_NOTE
from orgscan.reports.text import cell_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orgscan.controls.control import Control
    from orgscan.controls.frameworks.framework import Framework

_CONTROLS = (
    plain("Control", "The name findings call the control by."),
    plain("Title", "What the control asks, in a few words.", 40),
    plain("Severity", "How bad a FAIL is."),
    plain("Unit", "What one result is about: the root user, a user, a key, the account."),
    plain("Description", "What is judged, and by which limit.", 60),
    plain("Remediation", "What to do about a FAIL.", 60),
)
_LONGEST_HEADING = 200
_DICTIONARY = {
    "Sheet": ("The sheet the column or word is found in.", None),
    "Name": ("The heading of the column, or the word.", 30),
    "What": ("Column, folded column (behind the [+]) or value of a column.", None),
    "Parquet column": ("Where the Parquet files hold the same values.", None),
    "Type": ("How the values are stored in Parquet.", None),
    "Unit": ("What numbers count.", None),
    "Meaning": ("What it says.", 90),
}


def controls(catalogue: Sequence[Control], frameworks: Sequence[Framework], tab: str) -> DataSheet:
    """One row per control, with its ids in each framework."""
    ids = {control.id: ids_by_framework(control.id, frameworks) for control in catalogue}
    headings = _headings(dict.fromkeys(label for labels in ids.values() for label in labels))
    rows = [
        {
            "Control": control.id,
            "Title": control.title,
            "Severity": control.severity.value,
            "Unit": control.unit.value,
            "Description": control.description,
            "Remediation": control.remediation,
            **{heading: ids[control.id].get(label) for label, heading in headings.items()},
        }
        for control in catalogue
    ]
    id_columns = (plain(title, f"The control's id in {title}.") for title in headings.values())
    columns = (*_CONTROLS, *id_columns)
    return DataSheet("Controls", columns, FrameRows(_frame(rows, columns)), tab)


def dictionary(sheets: Sequence[DataSheet], tab: str) -> DataSheet:
    """One row per column of the data sheets, and one per word that needs explaining."""
    columns = tuple(plain(name, *about) for name, about in _DICTIONARY.items())
    own = DataSheet("Data dictionary", columns, FrameRows(pd.DataFrame()))
    compared = any(sheet.name == "Changes" for sheet in sheets)
    rows = [*_columns((*sheets, own)), *_values(compared=compared)]
    return DataSheet(own.name, columns, FrameRows(_frame(rows, columns)), tab)


def _columns(sheets: Sequence[DataSheet]) -> Iterator[Mapping[str, str | None]]:
    for sheet in sheets:
        for column in sheet.columns:
            yield {
                "Sheet": sheet.name,
                "Name": column.heading,
                "What": "folded column" if column.detail else "column",
                "Parquet column": column.parquet,
                "Type": "date" if column.day else column.type.value,
                "Unit": column.unit,
                "Meaning": column.description,
            }


def _values(*, compared: bool) -> Iterator[Mapping[str, str | None]]:
    words: list[tuple[str, str, Mapping[Any, str]]] = [
        ("Frameworks", "Requirement status", REQUIREMENT_MEANINGS),
        ("Coverage", "Coverage", COVERAGE_MEANINGS),
        ("Findings", "Status", STATUS_MEANINGS),
        ("Waivers", "State", WAIVER_MEANINGS),
        ("Summary", "Pass rate", {"Pass rate": RATE_NOTE}),
        ("Summary", "Accounts unread", {"Accounts unread": UNREAD_NOTE}),
    ]
    if compared:
        words.append(("Changes", "Change", {change.label: change.meaning for change in Change}))
    for sheet, column, meanings in words:
        for word, meaning in meanings.items():
            what = "column" if word == column else f"value of {column}"
            yield {"Sheet": sheet, "Name": str(word), "What": what, "Meaning": meaning}


def _frame(
    rows: Sequence[Mapping[str, str | None]], columns: Sequence[SheetColumn]
) -> pd.DataFrame:
    names = [column.source for column in columns]
    return pd.DataFrame([{name: row.get(name) for name in names} for row in rows], columns=names)


def _headings(names: Mapping[str, None]) -> dict[str, str]:
    """Framework names as headings: an Excel table wants them unique, whatever their case."""
    taken = {column.heading.casefold() for column in _CONTROLS}
    headings: dict[str, str] = {}
    for name in names:
        stem = cell_text(name).strip()[:_LONGEST_HEADING] or "Framework"
        title, number = stem, 1
        while title.casefold() in taken:
            number += 1
            title = f"{stem} ({number})"
        taken.add(title.casefold())
        headings[name] = title
    return headings
