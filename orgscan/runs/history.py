"""The tables of many runs as one dataset each, in a directory or on S3.

::

    DEST/<table>/snapshot_date=2026-09-30/<run id>.parquet

Partitioned by the day a run speaks for and by nothing else: a partition per account makes
thousands of small files, and readers take the account id for a number. In front of a table's own
columns stand ``run_id``, ``organization_id`` and ``as_of``, so that any reader can tell runs
apart. A run published again replaces its own files; judged for another day it is another
snapshot.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow import fs

from orgscan.endpoint import host_of, is_loopback
from orgscan.errors import IntegrityError, RunError, UsageError
from orgscan.models import Coverage, Status
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pandas as pd

    from orgscan.models import Credentials

PARTITION = "snapshot_date"
_SCHEME = "s3://"
_OPTIONS = ("endpoint_override", "region", "scheme")
_WORD = r"\s*[A-Za-z][A-Za-z0-9+.-]*:"
_RUN_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_BUCKET = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
_ROWS = 131_072
_COPIED = 8 << 20
_TRIES = 3
_OWN = (
    pa.field("run_id", pa.string(), nullable=False, metadata={"description": "Id of the run."}),
    pa.field(
        "organization_id",
        pa.string(),
        nullable=False,
        metadata={"description": "Id of the AWS organization."},
    ),
    pa.field(
        "as_of",
        pa.timestamp("us", "UTC"),
        nullable=False,
        metadata={"description": "The moment for which ages were computed."},
    ),
)
_RUN = [PARTITION, "organization_id", "run_id", "as_of"]
_STATUSES = [status.value for status in (Status.FAIL, Status.WAIVED, Status.UNKNOWN, Status.PASS)]
_BELOW = r"^([^/]*/[^/]*)/.*$"
_PARTS = 64
_DAY = pa.field(PARTITION, pa.date32())
_PARTITIONING = ds.partitioning(pa.schema([_DAY]), flavor="hive")
# No leading dot or underscore: what is not finished, or not data; other readers pass over it too.
_FILE = rf"{PARTITION}=(\d{{4}}-\d\d-\d\d)/[^./_][^/]*\.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One finished run, as it is published.

    Raises :class:`orgscan.errors.IntegrityError` where ``run_id`` is not a UUID in the form runs
    are given it: it becomes the name of a file.
    """

    run_id: str
    organization_id: str
    as_of: datetime
    files: Mapping[str, Path]
    """Parquet file by table name."""

    def __post_init__(self) -> None:
        if not re.fullmatch(_RUN_ID, self.run_id):
            message = f"run id {self.run_id[:80]!r} is no UUID, as every run has; not published"
            raise IntegrityError(message)

    @property
    def day(self) -> str:
        """The day the run speaks for, in UTC."""
        return self.as_of.astimezone(UTC).date().isoformat()


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a history lies: a directory, or a prefix in a bucket."""

    text: str
    path: str
    """The directory, or bucket and prefix."""
    bucket: str = ""
    """Empty for a directory."""
    region: str = ""
    endpoint: str = ""
    """Host and port in place of AWS's own; from the address alone, never from the environment."""
    scheme: str = "https"

    @classmethod
    def parse(cls, text: str) -> Destination:
        """Read ``DIRECTORY`` or ``s3://BUCKET/PREFIX``, with no request made.

        ``?region=``, ``?endpoint_override=HOST:PORT`` and ``?scheme=`` may follow, as pyarrow has
        them; ``http`` goes to loopback addresses only.

        Raises :class:`orgscan.errors.UsageError` for anything else.
        """
        if not text.startswith(_SCHEME):
            return cls._directory(text)
        parts = urlsplit(text)
        if "@" in parts.netloc:
            message = "the address of a history must not hold credentials; use --profile"
            raise UsageError(message)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = [name for name in options if name not in _OPTIONS]
        if unknown or parts.fragment or not re.fullmatch(_BUCKET, parts.netloc):
            message = (
                f"history {text!r}: is not an address; it looks like s3://bucket/prefix, with "
                f"?{', ?'.join(_OPTIONS)} where needed"
            )
            raise UsageError(message)
        scheme, endpoint = options.get("scheme", "https"), options.get("endpoint_override", "")
        try:
            local = bool(endpoint) and is_loopback(host_of(endpoint))
        except ValueError as error:
            message = f"history {text!r}: endpoint_override: {error}"
            raise UsageError(message) from None
        if scheme != "https" and not (scheme == "http" and local):
            message = f"history {text!r}: http is accepted for loopback addresses only"
            raise UsageError(message)
        path = "/".join([parts.netloc, *(part for part in parts.path.split("/") if part)])
        return cls(text, path, parts.netloc, options.get("region", ""), endpoint, scheme)

    @classmethod
    def _directory(cls, text: str) -> Destination:
        # Any word with a colon: a mistyped address must not become a directory here.
        if not text or re.match(_WORD, text):
            message = f"history {text!r}: give a directory or s3://bucket/prefix"
            if text and "//" not in text:
                message += f"; for a directory of that name write {'./' + text!r}"
            raise UsageError(message)
        path = Path(text).absolute()
        if os.path.lexists(path) and not _is_directory(path):
            message = f"history {text!r}: is not a directory; give one or s3://bucket/prefix"
            raise UsageError(message)
        return cls(text, str(path))

    @property
    def is_local(self) -> bool:
        """Whether it is a directory of this machine."""
        return not self.bucket

    @property
    def _tables(self) -> list[Path]:
        return [Path(self.path, table.name) for table in TABLES] if self.is_local else []

    def check_writable(self) -> None:
        """Raise :class:`orgscan.errors.UsageError` naming what is in the way of writing here.

        Nothing is written. What is on S3 is not asked.
        """
        for folder in self._tables:
            if why := _obstacle(folder):
                message = f"history {self.text!r}: {why}; choose another directory"
                raise UsageError(message)

    def check_apart(self, directories: Iterable[Path]) -> None:
        """Raise :class:`orgscan.errors.UsageError` where this lies in one of the run directories.

        A run is whole only with its own files; links are followed.
        """
        for directory in directories:
            run = _real(directory)
            for folder in map(_real, self._tables):
                if folder.is_relative_to(run) or run.is_relative_to(folder):
                    message = (
                        f"history {self.text!r}: must be apart from the run {str(directory)!r}, "
                        "which would not be whole with it; choose another directory"
                    )
                    raise UsageError(message)

    def filesystem(self, credentials: Credentials | None) -> Any:
        """The pyarrow filesystem that ``path`` is on; on S3 as whom ``credentials`` say.

        Raises OSError.
        """
        if self.is_local:
            return fs.LocalFileSystem()
        options = {"retry_strategy": fs.AwsStandardS3RetryStrategy(max_attempts=_TRIES)}
        if credentials is not None:
            options |= {
                "access_key": credentials.access_key,
                "secret_key": credentials.secret_key,
                "session_token": credentials.token or None,
            }
        with _no_configured_endpoint():
            region = self.region or (
                "us-east-1" if self.endpoint else fs.resolve_s3_region(self.bucket)
            )
            return fs.S3FileSystem(
                region=region,
                endpoint_override=self.endpoint or None,
                scheme=self.scheme,
                connect_timeout=10,
                request_timeout=60,
                **options,
            )


def _obstacle(folder: Path) -> str:
    """Why nothing can be written to the folder or, where it is still to be made, above it."""
    for path in (folder, *folder.parents):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except OSError as error:
            return f"{str(path)!r} cannot be ({error.strerror})"
        if not _is_directory(path):
            return f"{str(path)!r} is in the way, which is not a directory"
        return "" if _may_write(path) else f"{str(path)!r} may not be written to"
    return ""


def _is_directory(path: Path) -> bool:
    with suppress(OSError):
        return path.is_dir()
    return False


def _real(path: Path) -> Path:
    """The path without links; unlike ``Path.resolve`` also of one that leads in a circle."""
    return Path(os.path.realpath(path))


def _may_write(folder: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=effective)


@contextmanager
def _no_configured_endpoint() -> Iterator[None]:
    """Hide the variables that would lead elsewhere than the address says; Arrow obeys them."""
    hidden = {name: os.environ.pop(name) for name in [*os.environ] if "AWS_ENDPOINT_URL" in name}
    try:
        yield
    finally:
        os.environ.update(hidden)


def publish(
    snapshot: Snapshot, destination: Destination, credentials: Credentials | None = None
) -> list[str]:
    """Add the snapshot's tables to the history; the paths written.

    Each file appears whole or not at all, ``accounts`` last: a run that is in it is in the others.

    Raises :class:`orgscan.errors.RunError`, with the tables that were put there before it failed;
    what was published of other runs stays as it was.
    """
    order = sorted(snapshot.files, key=lambda name: name == "accounts")
    paths: list[str] = []
    try:
        put = _Directory() if destination.is_local else _Bucket(destination, credentials)
        for name in order:
            folder = f"{destination.path}/{name}/{PARTITION}={snapshot.day}"
            path = f"{folder}/{snapshot.run_id}.parquet"
            put(path, partial(_write, snapshot, snapshot.files[name]))
            paths.append(path)
    except (OSError, pa.ArrowException) as error:
        message = (
            f"{destination.text}: cannot be published to ({_told(error)}); the run itself is "
            f"finished and whole{_begun(order, len(paths))}"
        )
        raise RunError(message) from None
    return paths


def _begun(order: list[str], done: int) -> str:
    if not done:
        return ""
    there, missing = ", ".join(order[:done]), ", ".join(order[done:])
    return f"; put into the history were {there}, not {missing}: publish it again"


def _told(error: Exception) -> str:
    """What happened, without what Arrow adds for programmers."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    if found := re.search(r"AWS Error (\w+).*? operation: ?(.*)", text):
        code, detail = found[1].replace("_", " ").lower(), found[2]
        return f"{code}: {detail:.200}".rstrip(". ")
    return f"{text:.300}"


class _Directory:
    """Puts files into a directory: a temporary name, synced, renamed."""

    def __call__(self, path: str, write: Callable[[IO[bytes]], None]) -> None:
        target = Path(path)
        _make_private(target.parent)
        # A leading dot: readers of datasets pass over it.
        descriptor, name = tempfile.mkstemp(".tmp", f".{target.name}.", target.parent)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                write(file)
                file.flush()
                os.fsync(descriptor)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        with suppress(OSError):
            folder = os.open(target.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _make_private(folder: Path) -> None:
    """Make a directory and those above it, readable by their owner only."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


class _Bucket:
    """Puts objects into a bucket, where they appear at once when the upload is complete."""

    def __init__(self, destination: Destination, credentials: Credentials | None) -> None:
        self._filesystem = destination.filesystem(credentials)

    def __call__(self, path: str, write: Callable[[IO[bytes]], None]) -> None:
        # Written here first: a stream to S3 that is closed on an error keeps what it has.
        with tempfile.TemporaryFile() as file:
            write(file)
            file.seek(0)
            with self._filesystem.open_output_stream(path) as stream:
                shutil.copyfileobj(file, stream, _COPIED)


def _write(snapshot: Snapshot, source: Path, file: IO[bytes]) -> None:
    """Copy a table with the columns that tell its run; the same run gives the same bytes."""
    values = {
        "run_id": snapshot.run_id,
        "organization_id": snapshot.organization_id,
        "as_of": snapshot.as_of,
    }
    with pq.ParquetFile(source) as table:
        own = [field for field in _OWN if field.name not in table.schema_arrow.names]
        schema = pa.schema([*own, *table.schema_arrow], metadata=table.schema_arrow.metadata)
        with pq.ParquetWriter(file, schema, compression="zstd", version="2.6") as writer:
            for batch in table.iter_batches(_ROWS):
                added = [
                    pa.repeat(pa.scalar(values[field.name], field.type), len(batch))
                    for field in own
                ]
                writer.write_batch(pa.record_batch([*added, *batch.columns], schema=schema))


class History:
    """The published runs, opened for reading. Nothing is read before a table is asked for rows."""

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
            message = f"unknown table {name!r}; known are {', '.join(known)}"
            raise UsageError(message)
        try:
            dataset = self._open(f"{self._destination.path}/{name}")
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from None
        if dataset is None:
            message = f"{self}: holds no published run"
            raise UsageError(message)
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
            message = f"unknown trend by {by!r}; known are control, ou"
            raise UsageError(message)
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
            message = f"{newest}: {_told(error)}"
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
            if info.type == fs.FileType.File and _is_published(info.path.removeprefix(f"{path}/"))
        )

    def _unreadable(self, error: Exception) -> RunError:
        return RunError(f"{self}: cannot be read ({_told(error)})")


def _is_published(name: str) -> bool:
    """Whether a path in a table's folder is one that :func:`publish` writes."""
    found = re.fullmatch(_FILE, name)
    if found is None:
        return False
    try:
        date.fromisoformat(found[1])
    except ValueError:
        return False
    return True


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
        message = f"{history}: cannot be read ({_told(error)})"
        raise RunError(message) from None
    if not parts:
        message = f"{history}: holds no published run in that time"
        raise UsageError(message)
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
