"""An earlier run, opened to be compared with: as sealed, or refused in one line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan import compare, files, reports
from orgscan.errors import RunError, UsageError
from orgscan.runs import parquet
from orgscan.runs.chain import Link, read_earlier
from orgscan.runs.rundir import MANIFEST
from orgscan.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    CHANGES,
    CREDENTIALS,
    FINDINGS,
    SCHEMA_VERSION,
    SERVICE_CREDENTIALS,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from orgscan.runs.manifest import Manifest
    from orgscan.schema import Table

_REMEDY = "name a run that `orgscan verify` finds whole"
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    CREDENTIALS.name: ("account_id", "user", "source", "exists"),
    ACCESS_KEYS.name: (
        "account_id",
        "user",
        "is_root",
        "exists",
        "access_key_id",
        "slot",
        "match",
        "status",
        "created_at",
    ),
    FINDINGS.name: compare.FINDING_COLUMNS,
}
"""What a comparison looks at; all of accounts and changes."""


def check_previous(previous: Path | None) -> None:
    """Say before a scan begins what would keep ``previous`` from being compared with at its end.

    Raises :class:`orgscan.errors.UsageError` as :func:`open_snapshot` does, but for what only
    reading the tables shows.
    """
    if previous is None:
        return
    manifest, _digest = _read(previous)
    for table in (ACCOUNTS, CREDENTIALS, ACCESS_KEYS, FINDINGS):
        _sealed(previous, table, manifest)


def open_snapshot(run: Path) -> tuple[Link, compare.Snapshot]:
    """The finished run in ``run``, every table held to its manifest before it is used.

    Raises :class:`orgscan.errors.UsageError` where the manifest is missing, edited or a newer
    orgscan's, or a table is missing, changed or no longer what the schema says.
    """
    manifest, digest = _read(run)
    return Link.of(run, manifest, digest), compare.Snapshot(
        as_of=manifest.as_of,
        started_at=manifest.started_at,
        enumerated=manifest.enumerated,
        thresholds=manifest.thresholds,
        continues=manifest.previous is not None,
        changes=_optional(run, CHANGES, manifest),
        service_credentials=_optional(run, SERVICE_CREDENTIALS, manifest),
        **{
            table.name: _table(run, table, manifest)
            for table in (ACCOUNTS, CREDENTIALS, ACCESS_KEYS, FINDINGS)
        },
    )


def _optional(run: Path, table: Table, manifest: Manifest) -> pd.DataFrame | None:
    """A table that not every run has; None where this one has none."""
    return _table(run, table, manifest) if f"{table.name}.parquet" in manifest.files else None


def _read(run: Path) -> tuple[Manifest, str]:
    manifest, digest = read_earlier(run)
    if manifest.schema_version != SCHEMA_VERSION:
        raise UsageError(
            f"{run / MANIFEST}: has tables of schema {manifest.schema_version}, this version "
            f"reads {SCHEMA_VERSION}; run `orgscan report {run}` with this version"
        )
    return manifest, digest


def _sealed(run: Path, table: Table, manifest: Manifest) -> Path:
    """The table's file, which must be as it was written."""
    name = f"{table.name}.parquet"
    path = run / name
    recorded = manifest.files.get(name)
    if recorded is None:
        raise UsageError(f"{run / MANIFEST}: does not name {name}; {_REMEDY}")
    try:
        record = files.record(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); {_REMEDY}") from None
    if record != recorded.record:
        raise UsageError(f"{path}: was changed after the run was finished; {_REMEDY}")
    return path


def _table(run: Path, table: Table, manifest: Manifest) -> pd.DataFrame:
    path = _sealed(run, table, manifest)
    try:
        return parquet.read(path, table, columns=_COLUMNS.get(table.name, ()), categories=True)
    except RunError as error:
        raise UsageError(f"{error}; {_REMEDY}") from None


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
            f"{previous}: is a run of organization {before.organization_id}, {current} one of "
            f"{now.organization_id}; name two runs of one organization"
        )
    if before.run_id == now.run_id:
        raise UsageError(f"{previous} and {current}: are the same run; name two")
    if before.started_at > now.started_at:
        raise UsageError(f"{previous}: began later than {current}; name the earlier run first")
    with files.locked(previous, shared=True), files.locked(current, shared=True):
        compared = compare.compare(open_snapshot(previous)[1], open_snapshot(current)[1])
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
