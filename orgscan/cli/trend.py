"""``orgscan trend``: the findings of many published runs, quarter by quarter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from orgscan.cli.usage import plain

if TYPE_CHECKING:
    import pandas as pd


class By(StrEnum):
    """What the rows are."""

    CONTROL = "control"
    OU = "ou"


def trend(
    destination: str = typer.Argument(
        metavar="DEST", help="The history: a directory or s3://BUCKET/PREFIX."
    ),
    by: By = typer.Option(
        By.CONTROL, help="Rows by control, or by control and organizational unit."
    ),
    profile: str | None = typer.Option(None, help="AWS profile to read S3 with."),
) -> None:
    """Show how findings developed over the runs published to a history."""
    from orgscan import pipeline

    history = pipeline.open_history(destination, profile=profile)
    for line in _lines(history.trend(by=by.value)):
        typer.echo(line)


def _lines(trend: pd.DataFrame) -> Iterator[str]:
    for organization, rows in trend.groupby("organization_id", sort=True):
        yield f"Organization {organization}"
        yield from _table(rows)
        yield ""
    yield "FAIL, then +w WAIVED and +? UNKNOWN; * where accounts have gaps. There, and beside"
    yield "UNKNOWN, fewer failures are no improvement: nobody could look."


def _table(rows: pd.DataFrame) -> Iterator[str]:
    runs = rows.drop_duplicates("run_id").sort_values(["snapshot_date", "as_of", "run_id"])
    totals = rows.drop_duplicates(["run_id", "ou"] if "ou" in rows else ["run_id"])
    sums = {
        column: totals.groupby("run_id")[column].sum().to_dict()
        for column in ("accounts_read", "gaps")
    }
    names = [name for name in ("control_id", "ou") if name in rows]
    labels = rows[names].drop_duplicates().sort_values(names)
    width = max(len(_label(row)) for row in [("accounts with gaps",), *labels.to_numpy()])
    ids = runs["run_id"].tolist()
    days = zip(map(str, runs["snapshot_date"]), ids, strict=True)
    heads = [day + ("*" if sums["gaps"][run] else "") for day, run in days]
    yield _line("", heads, width)
    for title, column in (("accounts read", "accounts_read"), ("accounts with gaps", "gaps")):
        yield _line(title, [str(sums[column][run]) for run in ids], width)
    cells = {
        (row.run_id, *(getattr(row, name) for name in names)): _cell(row)
        for row in rows.itertuples()
    }
    for label in labels.itertuples(index=False):
        found = [cells.get((run, *label), "-") for run in ids]
        yield _line(_label(label), found, width)


def _label(parts: Iterable[Any]) -> str:
    return "  ".join(map(plain, parts))


def _line(label: str, cells: list[str], width: int) -> str:
    return f"  {label:<{width}} " + " ".join(f"{cell:>16}" for cell in cells).rstrip()


def _cell(row: Any) -> str:
    text = str(row.FAIL)
    for name, mark in (("WAIVED", "w"), ("UNKNOWN", "?")):
        count = getattr(row, name)
        text += f" +{count}{mark}" if count else ""
    return f"{text}*" if hasattr(row, "ou") and row.gaps else text
