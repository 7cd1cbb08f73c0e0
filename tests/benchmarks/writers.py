"""(c) Workbook writers in CPU time: the same rows through orgscan's and through others'."""

from __future__ import annotations

import importlib.util
import random
import tempfile
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Figure, Stopwatch, alone, medians, now_mb, peak_mb

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = 25
_ROWS_PER_SECOND = 20_000
_NAMES = {
    "ours": "orgscan",
    "pandas_": "pandas.to_excel (openpyxl)",
    "normal": "openpyxl",
    "write_only": "openpyxl write_only",
    "xlsxwriter_": "XlsxWriter constant_memory",
}


def run(*, quick: bool) -> list[Figure]:
    rows = 300 if quick else 100_000
    names = [name for name in _NAMES if name != "xlsxwriter_"]
    if importlib.util.find_spec("xlsxwriter"):
        names.append("xlsxwriter_")
    figures, pace = [], 0.0
    for name in names:
        # Ours thrice, the slow ones once.
        times = 3 if name == "ours" and not quick else 1
        found = medians(
            alone("writers:write", here=quick, name=name, rows=rows) for _ in range(times)
        )
        rate = rows / found["cpu"]
        pace = pace or rate
        text = f"{found['cpu']:.1f} s, {rate:,.0f} rows a second, {found['mb']:+,.0f} MB"
        target, met = f">= {_ROWS_PER_SECOND:,} rows a second", rate >= _ROWS_PER_SECOND
        if name != "ours":
            text, target, met = f"{text}: orgscan {pace / rate:.0f} x faster", "", None
        figures.append(Figure(f"{rows:,} x {_COLUMNS}, {_NAMES[name]}", text, target, met))
    if "xlsxwriter_" not in names:
        figures.append(Figure("XlsxWriter", "not installed: `pip install XlsxWriter`"))
    return figures


def frame(rows: int) -> pd.DataFrame:
    """Ten columns of text (some repeated, some not), five each of times, truths and numbers."""
    import pandas as pd  # noqa: PLC0415

    draw = random.Random(2)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    columns: dict[str, Any] = {}
    for number in range(5):
        columns[f"word {number}"] = [f"unit {draw.randrange(50)}" for _ in range(rows)]
        columns[f"name {number}"] = [f"user-{draw.randrange(10**9)}" for _ in range(rows)]
        seconds = [draw.randrange(200_000_000) for _ in range(rows)]
        times = [start + timedelta(seconds=second) for second in seconds]
        columns[f"time {number}"] = pd.Series(times, dtype="datetime64[us, UTC]")
        truths = [draw.random() < 0.5 for _ in range(rows)]
        columns[f"truth {number}"] = pd.Series(truths, dtype="boolean")
        days = [round(draw.random() * 900, 3) for _ in range(rows)]
        columns[f"days {number}"] = pd.Series(days, dtype="Float64")
    return pd.DataFrame(columns)


def write(name: str, rows: int) -> dict[str, float]:
    table = frame(rows)
    if name != "ours":  # they refuse times with a zone
        for column in table.columns:
            if column.startswith("time"):
                table[column] = table[column].dt.tz_localize(None)
    work = {
        "ours": ours,
        "pandas_": pandas_,
        "normal": normal,
        "write_only": write_only,
        "xlsxwriter_": xlsxwriter_,
    }[name]
    with tempfile.TemporaryDirectory() as directory:
        work(table.iloc[:1], Path(directory) / "first.xlsx")  # imports and caches
        before, watch = now_mb(), Stopwatch()
        work(table, Path(directory) / "book.xlsx")
        return watch.read() | {"mb": max(0.0, peak_mb() - before)}


def ours(table: pd.DataFrame, path: Path) -> None:
    from openpyxl import Workbook  # noqa: PLC0415

    from orgscan.reports import datasheet, sheetxml  # noqa: PLC0415
    from orgscan.reports.columns import SheetColumn  # noqa: PLC0415
    from orgscan.reports.rows import FrameRows  # noqa: PLC0415
    from orgscan.schema import Type  # noqa: PLC0415

    types = {"time": Type.TIMESTAMP, "truth": Type.BOOLEAN, "days": Type.NUMBER}
    columns = tuple(
        SheetColumn(name, name, types.get(name.split()[0], Type.STRING), "")
        for name in table.columns
    )
    book = Workbook()
    book.remove(book.worksheets[0])
    page, patch = datasheet.add(
        book, datasheet.DataSheet("Rows", columns, FrameRows(table)), ("", "")
    )
    saved = BytesIO()
    book.save(saved)
    sheetxml.splice(saved, path, {page.path.lstrip("/"): patch}, "2026-11-01T12:00:00Z")


def pandas_(table: pd.DataFrame, path: Path) -> None:
    table.to_excel(path, index=False, engine="openpyxl")


def _values(table: pd.DataFrame) -> Any:
    return table.astype(object).itertuples(index=False, name=None)


def normal(table: pd.DataFrame, path: Path) -> None:
    from openpyxl import Workbook  # noqa: PLC0415

    book = Workbook()
    page = book.worksheets[0]
    page.append(list(table.columns))
    for row in _values(table):
        page.append(row)
    book.save(path)


def write_only(table: pd.DataFrame, path: Path) -> None:
    from openpyxl import Workbook  # noqa: PLC0415

    book = Workbook(write_only=True)
    page = book.create_sheet("Rows")
    page.append(list(table.columns))
    for row in _values(table):
        page.append(row)
    book.save(path)


def xlsxwriter_(table: pd.DataFrame, path: Path) -> None:
    import xlsxwriter  # noqa: PLC0415

    book = xlsxwriter.Workbook(
        path, {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm:ss"}
    )
    page = book.add_worksheet("Rows")
    page.write_row(0, 0, list(table.columns))
    for number, row in enumerate(_values(table), 1):
        page.write_row(number, 0, row)
    book.close()
