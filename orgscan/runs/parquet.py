"""Parquet files of the tables: explicit schema, documented fields, the same bytes every time."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from orgscan import frames
from orgscan.errors import RunError
from orgscan.schema import SCHEMA_VERSION, Column, Table, Type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    import pandas as pd

ROWS_PER_GROUP = 16_384
"""Bounds what is converted and held at a time."""

_MANY_VALUED = {"user", "arn", "user_id", "access_key_id"}
"""A dictionary of values that hardly repeat would only be made to be given up."""
_UNORDERED = _MANY_VALUED | {"reason", "threshold", "evidence_sha256", "waiver_id"}
"""Texts without an order among the rows: their least and greatest let no reader skip any."""

_ARROW: Mapping[Type, pa.DataType] = {**frames.ARROW, Type.STRING: pa.string()}
_ACCEPTED: Mapping[Type, tuple[Callable[[pa.DataType], bool], ...]] = {
    Type.STRING: (pa.types.is_string, pa.types.is_large_string),
    Type.BOOLEAN: (pa.types.is_boolean,),
    Type.INTEGER: (pa.types.is_integer,),
    Type.NUMBER: (pa.types.is_floating, pa.types.is_integer),
    Type.TIMESTAMP: (pa.types.is_timestamp,),
}


def arrow_schema(table: Table, metadata: Mapping[str, str] | None = None) -> pa.Schema:
    """The Arrow schema of ``table``; ``metadata`` is kept beside orgscan's own entries."""
    fields = [
        pa.field(
            column.name,
            _ARROW[column.type],
            nullable=not column.required,
            metadata={"description": column.description, "unit": column.unit},
        )
        for column in table
    ]
    own = {
        "orgscan.table": table.name,
        "orgscan.grain": table.grain,
        "orgscan.key": ",".join(table.key),
        "orgscan.schema_version": str(SCHEMA_VERSION),
    }
    # Sorted, so that the caller's order does not show in the bytes.
    return pa.schema(fields, metadata=dict(sorted({**(metadata or {}), **own}.items())))


class Writer:
    """Writes a table to a file, some rows at a time; the same rows give the same bytes.

    However the rows are divided between calls of :meth:`add`: row groups are filled across them.
    Use as a context manager.
    """

    def __init__(self, path: Path, table: Table, *, metadata: Mapping[str, str]) -> None:
        """``metadata`` is for the file's own, such as the run and the as-of time."""
        self._table = table
        self._schema = arrow_schema(table, metadata)
        names = table.column_names
        self._file = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            version="2.6",
            use_dictionary=[n for n in names if n not in _MANY_VALUED and table.key != (n,)],
            write_statistics=[n for n in names if n not in _UNORDERED],
        )
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exc_type is None and self._rows:
            self._write_group()
        self._file.close()

    def add(self, frame: pd.DataFrame) -> None:
        """Write the rows of ``frame``: the columns of the table in its order.

        Raises :class:`orgscan.errors.RunError` where a column is missing, unknown or out of
        order, holds another type than the schema says, or a required column holds a null.
        """
        _check_columns(frame, self._table)
        arrays = [_array(frame[column.name], column, self._table) for column in self._table]
        rows = pa.Table.from_arrays(arrays, schema=self._schema)
        while len(rows):
            room = ROWS_PER_GROUP - self._rows
            self._waiting.append(rows.slice(0, room))
            self._rows += len(self._waiting[-1])
            rows = rows.slice(room)
            if self._rows == ROWS_PER_GROUP:
                self._write_group()

    def _write_group(self) -> None:
        # In one piece, for how the rows came must not show.
        self._file.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting, self._rows = [], 0


def write(frame: pd.DataFrame, table: Table, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write all of ``frame`` to ``path``, as :class:`Writer` does."""
    with Writer(path, table, metadata=metadata) as writer:
        writer.add(frame)


class Stored:
    """A table in a file, or some columns of it, to be read a row group at a time.

    Columns an older version did not write come back empty; columns of a newer one are left out.
    """

    def __init__(self, path: Path, table: Table, *, columns: Sequence[str] = ()) -> None:
        """``columns`` names the only ones wanted; by default all of ``table``.

        Raises :class:`orgscan.errors.RunError` where the file is no Parquet, holds another table
        or schema version, lacks a required column or holds another type than the schema says.
        """
        self.columns = tuple(one for one in table if not columns or one.name in columns)
        self._path = path
        with self._file() as file:
            _check_identity(path, table, file.schema_arrow)
            self._sizes = [
                file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)
            ]
            empty = file.schema_arrow.empty_table()
        for column in self.columns:
            _stored(path, empty, column)

    @property
    def names(self) -> list[str]:
        """The columns."""
        return [column.name for column in self.columns]

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(self._sizes)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[pd.DataFrame]:
        """The rows from ``start`` to ``stop`` in order, no more than a row group at a time.

        Raises :class:`orgscan.errors.RunError` where the file is damaged.
        """
        stop = len(self) if stop is None else min(stop, len(self))
        first = 0
        with self._file() as file:
            names = [one.name for one in self.columns if one.name in file.schema_arrow.names]
            for number, size in enumerate(self._sizes):
                low, high = max(start - first, 0), min(stop - first, size)
                first += size
                if low >= high:
                    continue
                with _reading(self._path):
                    group = file.read_row_group(number, columns=names)
                yield self._frame(group.slice(low, high - low))

    def frame(self) -> pd.DataFrame:
        """All rows at once."""
        with self._file() as file, _reading(self._path):
            names = [one.name for one in self.columns if one.name in file.schema_arrow.names]
            return self._frame(file.read(columns=names))

    def is_in_order_of(self, name: str) -> bool:
        """Whether no row group begins before the one before it ends, by a column's statistics.

        A table without rows is in order; other writers give it an empty row group.
        """
        if not len(self):
            return True
        with self._file() as file:
            place = file.schema_arrow.names.index(name)
            ends = [
                file.metadata.row_group(number).column(place).statistics
                for number in range(file.num_row_groups)
            ]
        if not all(one is not None and one.has_min_max for one in ends):
            return False
        return all(one.max <= after.min for one, after in pairwise(ends))

    def _file(self) -> Any:
        with _reading(self._path):
            return pq.ParquetFile(self._path)

    def _frame(self, rows: pa.Table) -> pd.DataFrame:
        arrays = {column.name: _stored(self._path, rows, column) for column in self.columns}
        return frames.from_arrow(self.columns, pa.table(arrays))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        message = f"{path}: cannot be read as Parquet ({error})"
        raise RunError(message) from None


def read(path: Path, table: Table, *, columns: Sequence[str] = ()) -> pd.DataFrame:
    """The table at ``path``, or the ``columns`` named, all at once.

    Raises as :class:`Stored` does.
    """
    return Stored(path, table, columns=columns).frame()


def metadata(path: Path) -> dict[str, str]:
    """The entries in a file's metadata that are orgscan's own.

    Raises:
        RunError: The file is no Parquet.
    """
    with _reading(path):
        entries = pq.read_schema(path).metadata or {}
    return {
        name.decode(): value.decode()
        for name, value in entries.items()
        if name.startswith(b"orgscan.")
    }


def _check_columns(frame: pd.DataFrame, table: Table) -> None:
    have, want = list(frame.columns), table.column_names
    if have == want:
        return
    missing = [name for name in want if name not in have]
    extra = [name for name in have if name not in want]
    message = (
        f"table {table.name} does not fit its schema: "
        f"missing {missing or 'none'}, not in the schema {extra or 'none'}"
        + ("" if missing or extra else ", columns out of order or repeated")
    )
    raise RunError(message)


def _array(values: pd.Series, column: Column, table: Table) -> pa.Array:
    place = f"table {table.name}, column {column.name}"
    want = _ARROW[column.type]
    try:
        array = frames.arrow(values)
        if not _fits(array.type, column.type):
            message = f"{place}: holds {array.type}, the schema says {want}"
            raise RunError(message)
        array = array.cast(want)
    except (pa.ArrowException, UnicodeEncodeError) as error:
        message = f"{place}: cannot be stored as {want} ({error})"
        raise RunError(message) from None
    if column.required and array.null_count:
        message = f"{place}: {array.null_count:,} rows are empty, but the column is required"
        raise RunError(message)
    return array


def _fits(have: pa.DataType, want: Type) -> bool:
    """Whether values of an Arrow type belong in a column; never text for numbers or the reverse."""
    if pa.types.is_timestamp(have) and have.tz is None:
        return False
    return any(test(have) for test in _ACCEPTED[want])


def _check_identity(path: Path, table: Table, schema: pa.Schema) -> None:
    metadata = schema.metadata or {}
    name = metadata.get(b"orgscan.table", b"?").decode()
    version = metadata.get(b"orgscan.schema_version", b"?").decode()
    if name != table.name:
        message = f"{path}: holds table {name!r}, not {table.name!r}"
        raise RunError(message)
    if version != str(SCHEMA_VERSION):
        message = (
            f"{path}: written with table schema {version}, this version reads {SCHEMA_VERSION}; "
            "render that run again with this version"
        )
        raise RunError(message)


def _stored(path: Path, found: pa.Table, column: Column) -> pa.ChunkedArray:
    want = _ARROW[column.type]
    if column.name not in found.column_names:
        if column.required:
            message = f"{path}: column {column.name} is missing"
            raise RunError(message)
        return pa.chunked_array([pa.nulls(found.num_rows, want)])
    array = found.column(column.name)
    if array.type != want:
        message = f"{path}: column {column.name} holds {array.type}, the schema says {want}"
        raise RunError(message)
    return array
