"""An earlier run, opened to be compared with: as sealed, or refused in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan import compare, files, reports
from orgscan.errors import UsageError
from orgscan.runs.chain import Link

if TYPE_CHECKING:
    from pathlib import Path


def check_previous(previous: Path | None) -> None:
    """Say before a scan begins what would keep ``previous`` from being compared with at its end.

    Raises :class:`orgscan.errors.UsageError` as :class:`orgscan.compare.EarlierRun` does, but for
    what only reading the tables shows.
    """
    if previous is not None:
        compare.check_tables(previous)


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between two finished runs."""

    previous: Link
    current: Link
    comparison: compare.Comparison


def compare_runs(previous: Path, current: Path) -> Difference:
    """Compare two finished runs as they were judged.

    Raises :class:`orgscan.errors.UsageError` where either is not as it was sealed, they belong
    to two organizations, or ``previous`` is not the earlier one.
    """
    before, now = Link.to(previous), Link.to(current)
    if before.organization_id != now.organization_id:
        raise UsageError(
            f"{previous} belongs to organization {before.organization_id} and {current} to "
            f"{now.organization_id}; compare two runs of the same organization"
        )
    if before.run_id == now.run_id:
        raise UsageError(f"{previous} and {current} are the same run; name two different runs")
    if before.started_at > now.started_at:
        raise UsageError(f"{previous}: began later than {current}; name the earlier run first")
    with files.locked(previous, shared=True), files.locked(current, shared=True):
        compared = compare.compare_runs(compare.EarlierRun(previous), compare.EarlierRun(current))
    return Difference(before, now, compared)


def check_difference_file(path: Path | None) -> None:
    """Raise :class:`orgscan.errors.UsageError` for a file no difference can be written to."""
    if path is None:
        return
    if path.suffix.lower() not in {".csv", ".json"}:
        raise UsageError(f"--output {path}: name a file that ends in .csv or .json")
    if not path.parent.is_dir() or path.is_dir():
        raise UsageError(
            f"--output {path}: is not a file in a directory that exists; choose another"
        )


def write_difference(difference: Difference, path: Path) -> None:
    """Write the changes to ``path``, which ends in ``.csv`` or ``.json``.

    Raises :class:`orgscan.errors.UsageError` and :class:`orgscan.errors.RunError`.
    """
    check_difference_file(path)
    compared = difference.comparison
    with files.published(path, remedy="choose another --output") as temporary:
        if path.suffix.lower() == ".csv":
            reports.write_csv(temporary, compared.changes)
        else:
            about = {
                "organization_id": difference.current.organization_id,
                "previous": difference.previous.entry().model_dump(mode="json"),
                "current": difference.current.entry().model_dump(mode="json"),
                "notes": list(compared.notes),
            }
            reports.write_changes_json(temporary, compared.changes, compared.coverage, about)
