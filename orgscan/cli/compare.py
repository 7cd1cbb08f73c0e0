"""``orgscan compare``: what changed between two finished runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from orgscan.models import Change, Severity
from orgscan.text import minute, printable

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.pipeline.previous import Difference

_ACCOUNTS_SHOWN = 50


def compare(
    previous: Path = typer.Argument(help="Run directory of the earlier run."),
    current: Path = typer.Argument(help="Run directory of the later run."),
    output: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Also write every change to this .csv or .json file.  [default: none]",
    ),
) -> None:
    """Show what changed between two runs of an organization; offline."""
    from orgscan.pipeline.previous import (
        check_difference_file,
        compare_runs,
        write_difference,
    )

    check_difference_file(output)
    difference = compare_runs(previous, current)
    for line in _lines(difference):
        typer.echo(line)
    if output is not None:
        write_difference(difference, output)
        typer.echo(f"Changes   {output}")


def _lines(difference: Difference) -> Iterator[str]:
    before, now, compared = difference.previous, difference.current, difference.comparison
    then, since = minute(before.as_of), minute(now.as_of)
    yield f"Organization {now.organization_id}: from {then} to {since}"
    yield ""
    yield from kinds(compared.changes)
    yield ""
    yield from _controls(compared.changes)
    yield from _coverage(compared.coverage)
    yield from (f"Note: {printable(note)}" for note in compared.notes)


def kinds(changes: pd.DataFrame) -> Iterator[str]:
    """The findings by what became of them, those that occur."""
    counts = changes["change"].value_counts()
    yield f"Changes: {len(changes)} findings"
    for change in Change:
        if count := int(counts.get(change.value, 0)):
            mark = "  resolved" if change.is_resolved else ""
            mark = "  no longer evaluated" if change is Change.OUT_OF_SCOPE else mark
            yield f"  {change.label:<27} {count:>6}{mark}"


def _controls(changes: pd.DataFrame) -> Iterator[str]:
    """A line per control: what came, what stayed, what went, what nobody can tell."""
    if changes.empty:
        return
    came = [kind.value for kind in Change if kind.is_open and kind is not Change.STILL_OPEN]
    went = [kind.value for kind in Change if kind.is_resolved]
    kind = changes["change"]
    groups = {
        "came": kind.isin(came),
        "still": kind == Change.STILL_OPEN.value,
        "went": kind.isin(went),
        "not compared": kind == Change.NOT_COMPARED.value,
    }
    yield f"  {'control':<26} " + " ".join(f"{name:>12}" for name in groups)
    names = changes[["control_id", "severity"]].drop_duplicates("control_id")
    ranked = sorted(
        names.itertuples(index=False), key=lambda row: (_rank(row.severity), row.control_id)
    )
    for row in ranked:
        mine = changes["control_id"] == row.control_id
        figures = " ".join(f"{int((mine & mask).sum()):>12}" for mask in groups.values())
        yield f"  {printable(row.control_id):<26} {figures}"
    yield ""


def _rank(severity: Any) -> int:
    return Severity(severity).rank if severity in set(Severity) else len(Severity)


def _coverage(coverage: pd.DataFrame) -> Iterator[str]:
    moved = coverage[coverage["change"] != "same"]
    yield f"Accounts whose coverage changed: {len(moved)} of {len(coverage)}"
    for row in moved.head(_ACCOUNTS_SHOWN).itertuples():
        was, now = row.previous_coverage or "not listed", row.coverage or "not listed"
        name = printable(row.account_name)
        yield f"  {row.change!s:<7} {row.account_id!s} {name}: {was!s} -> {now!s}"
    if len(moved) > _ACCOUNTS_SHOWN:
        yield f"  ... and {len(moved) - _ACCOUNTS_SHOWN} more"
