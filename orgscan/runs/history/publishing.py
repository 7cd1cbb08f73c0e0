"""A finished run added to a history: a file for each table, whole or not at all."""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from orgscan import files
from orgscan.errors import IntegrityError, RunError
from orgscan.runs.history.layout import cause, file_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orgscan.models import Credentials
    from orgscan.runs.history.destination import Destination

_RUN_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_ROWS = 131_072
_COPIED = 8 << 20
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
            raise IntegrityError(
                f"run id {self.run_id[:80]!r} is not a UUID; the run was not published"
            )

    @property
    def day(self) -> str:
        """The day the run speaks for, in UTC."""
        return self.as_of.astimezone(UTC).date().isoformat()


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
        put: Callable[[str, Callable[[IO[bytes]], None]], None] = _put_file
        if not destination.is_local:
            put = partial(_put_object, destination.filesystem(credentials))
        for name in order:
            path = f"{destination.path}/{name}/{file_name(snapshot.day, snapshot.run_id)}"
            put(path, partial(_write, snapshot, snapshot.files[name]))
            paths.append(path)
    except (OSError, pa.ArrowException) as error:
        message = (
            f"{destination.text}: cannot be published to ({cause(error)}); the run itself is "
            "complete"
        )
        if paths:
            there, missing = ", ".join(order[: len(paths)]), ", ".join(order[len(paths) :])
            message += f"; published: {there}; not published: {missing}; publish the run again"
        raise RunError(message) from None
    return paths


def _put_file(path: str, write: Callable[[IO[bytes]], None]) -> None:
    target = Path(path)
    _make_private(target.parent)
    # A name of its own: what a killed process left, on this machine or another that publishes to
    # the same directory, must not stand in the way.
    with files.replaced(target, secrets.token_hex(8)) as draft, draft.open("wb") as file:
        write(file)


def _make_private(folder: Path) -> None:
    """Make a directory and those above it, readable by their owner only."""
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _put_object(filesystem: Any, path: str, write: Callable[[IO[bytes]], None]) -> None:
    """Write an object, which appears at once when the upload is complete."""
    # Written here first: a stream to S3 that is closed on an error keeps what it has.
    with tempfile.TemporaryFile() as file:
        write(file)
        file.seek(0)
        with filesystem.open_output_stream(path) as stream:
            shutil.copyfileobj(file, stream, _COPIED)


def _write(snapshot: Snapshot, source: Path, file: IO[bytes]) -> None:
    """Copy a table and add the columns that identify its run; the output is reproducible."""
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
