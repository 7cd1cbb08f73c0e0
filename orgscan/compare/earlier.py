"""A finished run, opened to be compared with: as sealed, some accounts at a time."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orgscan import files, frames
from orgscan.compare.snapshot import FINDING_COLUMNS, Snapshot
from orgscan.errors import RunError, UsageError
from orgscan.runs.chain import Link, read_earlier
from orgscan.runs.parquet import Stored
from orgscan.runs.rundir import MANIFEST
from orgscan.runs.spool import Spool
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
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orgscan.runs.manifest import Manifest
    from orgscan.schema import Table

_REMEDY = "name a run that `orgscan verify` accepts"
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
    FINDINGS.name: FINDING_COLUMNS,
}
"""What a comparison looks at; all of accounts and changes."""
_REQUIRED = (ACCOUNTS, CREDENTIALS, ACCESS_KEYS, FINDINGS)
_OPTIONAL = (SERVICE_CREDENTIALS, CHANGES)
_TOGETHER = 50_000
"""Rows of a table that is not in the order of the accounts, sorted at a time."""


class EarlierRun:
    """A finished run whose tables are read account by account, in the order of account_id.

    ``summary`` is its snapshot with all accounts and no row of any other table.
    """

    def __init__(self, run: Path, *, directory: Path | None = None) -> None:
        """Open the run in ``run``, every table held to its manifest.

        What is not in the order of the accounts, as older versions wrote it, is put in order in
        ``directory``; None: where the system has its temporary files.

        Raises :class:`orgscan.errors.UsageError` where the manifest is missing, edited or a newer
        orgscan's, or a table is missing, changed or no longer what the schema says.
        """
        manifest, digest = _read(run)
        self.link = Link.of(run, manifest, digest)
        stored = {table.name: _stored(run, table, manifest) for table in _REQUIRED}
        stored |= {
            table.name: _stored(run, table, manifest)
            for table in _OPTIONAL
            if f"{table.name}.parquet" in manifest.files
        }
        with _refused():
            accounts = stored[ACCOUNTS.name].frame().sort_values("account_id", kind="stable")
        empty: dict[str, Any] = {
            name: frames.empty(table.columns) for name, table in stored.items()
        }
        self.summary = Snapshot(
            as_of=manifest.as_of,
            started_at=manifest.started_at,
            enumerated=manifest.enumerated,
            thresholds=manifest.thresholds,
            controls=frozenset(manifest.findings),
            continues=manifest.previous is not None,
            **{**empty, ACCOUNTS.name: accounts.reset_index(drop=True)},
        )
        self._stored = stored
        self._directory = directory
        self._cursors: dict[str, _Cursor] = {}

    def known_accounts(self) -> set[str]:
        """The accounts this run or those before it knew, those that have left among them."""
        known = set(self.summary.accounts["account_id"])
        if CHANGES.name in self._stored:
            with _refused():
                for rows in self._stored[CHANGES.name].pieces():
                    known.update(rows["account_id"])
        return known

    def until(self, account_id: str | None) -> Snapshot:
        """The accounts up to ``account_id``, without those that were given before.

        None stands for all that are left.
        """
        with _refused():
            if not self._cursors:
                ids = self.summary.accounts["account_id"].tolist()
                self._cursors = {
                    name: _Cursor(by_account(stored, ids, self._directory), stored)
                    for name, stored in self._stored.items()
                }
            tables: dict[str, Any] = {
                name: cursor.until(account_id) for name, cursor in self._cursors.items()
            }
        return replace(self.summary, **tables)


def by_account(
    stored: Stored, ids: Sequence[str], directory: Path | None
) -> Iterator[pd.DataFrame]:
    """The rows of a table in the order of account_id, whatever the order of its file."""
    if stored.is_in_order_of("account_id"):
        for rows in stored.pieces():
            yield rows.sort_values("account_id", kind="stable", ignore_index=True)
        return
    step = max(1, len(ids) * _TOGETHER // len(stored))
    with Spool(stored.columns, directory) as spool:
        for rows in stored.pieces():
            numbers, names = frames.codes(rows["account_id"])
            ranges = np.searchsorted(np.array(ids, dtype=object), np.array(names, dtype=object))
            spool.add(rows, pd.DataFrame({"range": ranges[numbers] // step}))
        for rows in spool.groups():
            yield rows.sort_values("account_id", kind="stable", ignore_index=True)


class _Cursor:
    """Takes rows that come in the order of account_id, some accounts at a time."""

    def __init__(self, pieces: Iterator[pd.DataFrame], stored: Stored) -> None:
        self._pieces = pieces
        self._empty = frames.empty(stored.columns)
        self._held = self._empty

    def until(self, account_id: str | None) -> pd.DataFrame:
        taken = [self._empty]
        while True:
            ends = len(self._held)
            if account_id is not None:
                ends = int((self._held["account_id"] <= account_id).sum())
            taken.append(self._held.iloc[:ends])
            self._held = self._held.iloc[ends:]
            if len(self._held):
                break
            following = next(self._pieces, None)
            if following is None:
                break
            self._held = following
        return pd.concat([one for one in taken if len(one)] or taken[:1], ignore_index=True)


def check_tables(run: Path) -> None:
    """Say before a scan begins what would keep ``run`` from being compared with at its end.

    Raises as :class:`EarlierRun` does, but for what only reading the tables shows.
    """
    manifest, _digest = _read(run)
    for table in _REQUIRED:
        _sealed(run, table, manifest)


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


def _stored(run: Path, table: Table, manifest: Manifest) -> Stored:
    path = _sealed(run, table, manifest)
    with _refused():
        return Stored(path, table, columns=_COLUMNS.get(table.name, ()))


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except RunError as error:
        raise UsageError(f"{error}; {_REMEDY}") from None
