"""The difference of two runs as a file for other programs: CSV or JSON."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet may take for the beginning of a formula."""


def write_csv(path: Path, changes: pd.DataFrame) -> None:
    """The changes, UTF-8 with a byte order mark; no cell begins like a formula.

    A text that would is preceded by an apostrophe. Columns as in
    :data:`orgscan.schema.CHANGES`, times in ISO 8601, nulls as empty cells.
    """
    with path.open("w", encoding="utf-8-sig", newline="", errors="backslashreplace") as file:
        writer = csv.writer(file)
        writer.writerow(changes.columns)
        writer.writerows(
            zip(*(map(_cell, _values(changes[name])) for name in changes), strict=True)
        )


def write_json(
    path: Path, changes: pd.DataFrame, coverage: pd.DataFrame, about: Mapping[str, Any]
) -> None:
    """One object: ``about``, then ``coverage`` and ``changes`` as lists of objects; ASCII."""
    content = {**about, "coverage": _records(coverage), "changes": _records(changes)}
    path.write_text(json.dumps(content, indent=2) + "\n", "ascii")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = [_values(frame[name]) for name in frame]
    return [dict(zip(frame.columns, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(column: pd.Series) -> list[Any]:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return [None if pd.isna(time) else time.isoformat() for time in column]
    return [None if pd.isna(value) else value for value in column.tolist()]


def _cell(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(_RISKY)
    return f"'{value}" if risky else value
