"""A history opened for reading: tables of many runs, and the trend of their findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from orgscan.errors import RunError, UsageError
from orgscan.models import Coverage, Status
from orgscan.runs.history.layout import PARTITION, cause, is_published
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd

    from orgscan.models import Credentials
    from orgscan.runs.history.destination import Destination

_RUN = [PARTITION, "organization_id", "run_id", "as_of"]
_STATUSES = [status.value for status in (Status.FAIL, Status.WAIVED, Status.UNKNOWN, Status.PASS)]
_BELOW = r"^([^/]*/[^/]*)/.*$"
_PARTS = 64
_DAY = pa.field(PARTITION, pa.date32())
_PARTITIONING = ds.partitioning(pa.schema([_DAY]), flavor="hive")


class History:
    """The published runs, opened for reading. Rows are read only when a table is queried."""

    def __init__(self, destination: Destination, credentials: Credentials | None = None) -> None:
        """``credentials`` are for S3; None leaves them to pyarrow."""
        self._destination = destination
        try:
            self._filesystem = destination.filesystem(credentials)
        except OSError as error:
            raise self._unreadable(error) from None

    def __repr__(self) -> str:
        return f"History({self._destination.text!r})"

    def __str__(self) -> str:
        return self._destination.text

    def table(
        self, name: str, *, since: date | None = None, until: date | None = None
    ) -> ds.Dataset:
        """One table of all runs, or of the snapshots from ``since`` to ``until``, both included.

        A pyarrow dataset: ``.to_table(columns=[...], filter=...).to_pandas()`` reads it, DuckDB
        queries it by its variable's name. Its columns are those of the newest snapshot, with
        ``snapshot_date``; what an older one did not write is null.

        Raises :class:`orgscan.errors.UsageError` where there is no such table or nothing was
        published, :class:`orgscan.errors.RunError` where it cannot be read.
        """
        known = [table.name for table in TABLES]
        if name not in known:
            raise UsageError(f"unknown table {name!r}; known are {', '.join(known)}")
        try:
            dataset = self._open(f"{self._destination.path}/{name}")
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from None
        if dataset is None:
            raise UsageError(f"{self}: contains no published run")
        if since is not None:
            dataset = dataset.filter(ds.field(PARTITION) >= since)
        if until is not None:
            dataset = dataset.filter(ds.field(PARTITION) <= until)
        return dataset

    def trend(
        self, *, by: str = "control", since: date | None = None, until: date | None = None
    ) -> pd.DataFrame:
        """Findings by control, and by organizational unit, for each published run.

        A row per run and control; with ``by="ou"`` per run, control and ``ou``, the root and the
        unit below it. Columns: snapshot_date, organization_id, run_id, as_of, control_id, ou
        (if asked for), FAIL, WAIVED, UNKNOWN, PASS (results), accounts_read (read in full) and
        gaps (accounts with evidence missing), of the run or of the ``ou``. Fewer FAIL beside
        more gaps or UNKNOWN is no improvement. Rows are counted as they are read. A snapshot is
        told by snapshot_date and run_id; one that is not among the accounts is left out.

        Raises as :meth:`table` does.
        """
        if by not in {"control", "ou"}:
            raise UsageError(f"unknown trend by {by!r}; known are control, ou")
        units = ["ou"] if by == "ou" else []
        results, accounts = (
            _counted(self, name, columns, since, until)
            for name, columns in (
                ("findings", ["control_id", "status"]),
                ("accounts", ["coverage"]),
            )
        )
        runs = [*_RUN, *units]
        table = _spread(results, [*runs, "control_id"], "status", _STATUSES)
        coverage = _spread(accounts, runs, "coverage", [value.value for value in Coverage])
        gaps = [value.value for value in Coverage if value.is_gap]
        coverage = coverage.assign(
            accounts_read=coverage[Coverage.COMPLETE.value], gaps=coverage[gaps].sum(axis=1)
        )[[*runs, "accounts_read", "gaps"]]
        # Published last: a run that is not among the accounts is not in the history as a whole.
        table = table.merge(coverage[_RUN].drop_duplicates(), on=_RUN)
        whole = table.merge(coverage, on=runs, how="left")
        counts = ["accounts_read", "gaps"]
        whole[counts] = whole[counts].fillna(0).astype("int64")
        names = [*_RUN, "control_id", *units, *_STATUSES, *counts]
        order = ["organization_id", "snapshot_date", "as_of", "run_id", "control_id", *units]
        return whole[names].sort_values(order, ignore_index=True)

    def _open(self, path: str) -> ds.Dataset | None:
        files = self._files(path)
        if not files:
            return None
        newest = max(files)
        try:
            schema = pq.read_schema(newest, filesystem=self._filesystem)
        except pa.ArrowException as error:
            message = f"{newest}: {cause(error)}"
            raise pa.ArrowException(message) from None
        return ds.dataset(
            files,
            schema=schema.append(_DAY),
            filesystem=self._filesystem,
            format="parquet",
            partitioning=_PARTITIONING,
            partition_base_dir=path,
        )

    def _files(self, path: str) -> list[str]:
        """The published files of a table; whatever else lies there is passed over."""
        listed = self._filesystem.get_file_info(
            fs.FileSelector(path, recursive=True, allow_not_found=True)
        )
        return sorted(
            info.path
            for info in listed
            if info.type == fs.FileType.File and is_published(info.path.removeprefix(f"{path}/"))
        )

    def _unreadable(self, error: Exception) -> RunError:
        return RunError(f"{self}: cannot be read ({cause(error)})")


def _counted(
    history: History, name: str, columns: list[str], since: date | None, until: date | None
) -> pd.DataFrame:
    """How many rows of a table have the same values, by run and ``ou``; read batch by batch."""
    dataset = history.table(name, since=since, until=until)
    by = [*_RUN, *columns, "ou_path"]
    parts: list[pa.Table] = []
    try:
        for batch in dataset.to_batches(columns=by):
            counted = pa.Table.from_batches([batch]).group_by(by).aggregate([([], "count_all")])
            parts.append(counted)
            if len(parts) >= _PARTS:
                parts = [_summed(parts, by)]
    except (OSError, pa.ArrowException) as error:
        raise RunError(f"{history}: cannot be read ({cause(error)})") from None
    if not parts:
        raise UsageError(f"{history}: contains no published run in that period")
    frame: pd.DataFrame = _summed(parts, by).to_pandas()
    frame["ou"] = frame.pop("ou_path").fillna("").str.replace(_BELOW, r"\1", regex=True)
    frame["ou"] = frame["ou"].where(frame["ou"] != "", "(not known)")
    return frame


def _summed(parts: list[pa.Table], by: list[str]) -> pa.Table:
    summed = pa.concat_tables(parts).group_by(by).aggregate([("count_all", "sum")])
    return summed.rename_columns(
        ["count_all" if name == "count_all_sum" else name for name in summed.column_names]
    )


def _spread(frame: pd.DataFrame, by: list[str], column: str, values: list[str]) -> pd.DataFrame:
    """A column of counts for each value, 0 where there are none."""
    wide = frame.pivot_table(
        index=by, columns=column, values="count_all", aggfunc="sum", fill_value=0
    )
    return wide.reindex(columns=values, fill_value=0).astype("int64").reset_index()
