"""``orgscan trend``: the findings of many published runs, quarter by quarter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import typer

from orgscan.text import printable

if TYPE_CHECKING:
    from datetime import date, datetime

    import pandas as pd


_SNAPSHOT = ["snapshot_date", "as_of", "run_id"]
_COUNTS = {"accounts_read": "accounts read", "gaps": "accounts with gaps"}
_WIDTH = 16


class By(StrEnum):
    """What the rows are."""

    CONTROL = "control"
    OU = "ou"


def trend(
    destination: str = typer.Argument(
        metavar="DEST", help="Directory or s3://BUCKET/PREFIX of the history."
    ),
    by: By = typer.Option(By.CONTROL, help="Group by control, or by control and OU."),
    profile: str | None = typer.Option(
        None, help="Read S3 with this AWS profile.  [default: AWS environment and files]"
    ),
) -> None:
    """Show findings over time, from the runs in a history."""
    from orgscan.pipeline.publish import open_history

    history = open_history(destination, profile=profile)
    for line in _lines(history.trend(by=by.value)):
        typer.echo(line)


def _lines(trend: pd.DataFrame) -> Iterator[str]:
    for organization, rows in trend.groupby("organization_id", sort=True):
        yield f"Organization {printable(organization)}"
        yield from _table(rows)
        yield ""
    yield "Cells: FAIL, +w = WAIVED, +? = UNKNOWN. * marks runs with coverage gaps:"
    yield "fewer failures are no improvement if accounts could not be read."


def _table(rows: pd.DataFrame) -> Iterator[str]:
    names = [name for name in ("control_id", "ou") if name in rows]
    snapshots = _tuples(rows[_SNAPSHOT].drop_duplicates().sort_values(_SNAPSHOT))
    totals = rows.drop_duplicates([*_SNAPSHOT, *names[1:]]).groupby(_SNAPSHOT)
    sums = {column: totals[column].sum().to_dict() for column in _COUNTS}
    gaps = sums["gaps"]
    marks = ["*" if gaps[snapshot] else "" for snapshot in snapshots]
    heads = [head + mark for head, mark in zip(_heads(snapshots), marks, strict=True)]
    table = [("", heads)]
    for column, title in _COUNTS.items():
        table.append((title, [str(sums[column][snapshot]) for snapshot in snapshots]))
    keys = _tuples(rows[[*_SNAPSHOT, *names]])
    cells = {key: _cell(row) for key, row in zip(keys, rows.itertuples(), strict=True)}
    for label in _tuples(rows[names].drop_duplicates().sort_values(names)):
        found = [cells.get((*snapshot, *label), "-") for snapshot in snapshots]
        table.append((_label(label), found))
    return _laid_out(table)


def _tuples(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame.itertuples(index=False, name=None))


def _heads(snapshots: list[tuple[Any, ...]]) -> list[str]:
    """The days; several of one day with the time, and of one time with the run's id."""
    forms = [_forms(*snapshot) for snapshot in snapshots]
    told = [Counter(column) for column in zip(*forms, strict=True)]
    return [
        next((head for head, seen in zip(form, told, strict=True) if seen[head] == 1), form[-1])
        for form in forms
    ]


def _forms(day: date, as_of: datetime, run: str) -> tuple[str, ...]:
    """What a snapshot may be called, the shortest first."""
    moment, name = f"{day} {as_of:%H:%M}", printable(run)
    return (f"{day}", moment, f"{moment} {name[:8]}", f"{moment} {name}")


def _laid_out(table: list[tuple[str, list[str]]]) -> Iterator[str]:
    width = max(len(label) for label, _cells in table)
    columns = list(zip(*(cells for _label, cells in table), strict=True))
    widths = [max(_WIDTH, *map(len, column)) for column in columns]
    for label, cells in table:
        found = (f"{cell:>{wide}}" for cell, wide in zip(cells, widths, strict=True))
        yield f"  {label:<{width}} " + " ".join(found).rstrip()


def _label(parts: Iterable[Any]) -> str:
    return "  ".join(map(printable, parts))


def _cell(row: Any) -> str:
    text = str(row.FAIL)
    for name, mark in (("WAIVED", "w"), ("UNKNOWN", "?")):
        count = getattr(row, name)
        text += f" +{count}{mark}" if count else ""
    return f"{text}*" if hasattr(row, "ou") and row.gaps else text
