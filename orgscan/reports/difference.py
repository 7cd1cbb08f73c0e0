"""The difference of two runs as JSON for other programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
