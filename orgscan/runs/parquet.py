"""Parquet files of the tables: explicit schema, documented fields, the same bytes every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from orgscan.errors import RunError
from orgscan.schema import SCHEMA_VERSION, Column, Table, Type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

ROWS_PER_GROUP = 16_384
"""Bounds what is converted and held at a time."""

_MANY_VALUED = {"user", "arn", "user_id", "access_key_id"}
"""A dictionary of values that hardly repeat would only be made to be given up."""
_UNORDERED = _MANY_VALUED | {"reason", "threshold", "evidence_sha256", "waiver_id"}
"""Texts without an order among the rows: their least and greatest let no reader skip any."""

_ARROW: Mapping[Type, pa.DataType] = {
    Type.STRING: pa.string(),
    Type.BOOLEAN: pa.bool_(),
    Type.INTEGER: pa.int64(),
    Type.NUMBER: pa.float64(),
    Type.TIMESTAMP: pa.timestamp("us", tz="UTC"),
}
_ACCEPTED: Mapping[Type, tuple[Callable[[pa.DataType], bool], ...]] = {
    Type.STRING: (pa.types.is_string, pa.types.is_large_string),
    Type.BOOLEAN: (pa.types.is_boolean,),
    Type.INTEGER: (pa.types.is_integer,),
    Type.NUMBER: (pa.types.is_floating, pa.types.is_integer),
    Type.TIMESTAMP: (pa.types.is_timestamp,),
}
_PANDAS: Mapping[pa.DataType, Any] = {
    pa.string(): pd.StringDtype(na_value=float("nan")),
    pa.bool_(): pd.BooleanDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
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


def write(frame: pd.DataFrame, table: Table, path: Path, *, metadata: Mapping[str, str]) -> None:
    """Write ``frame`` to ``path`` as ``table`` says; the same frame gives the same bytes.

    Args:
        frame: The columns of ``table`` in its order. Strings may be categories.
        table: What the columns are.
        path: The file to write.
        metadata: Entries for the file's own metadata, such as the run and the as-of time.

    Raises:
        RunError: A column is missing, unknown or out of order, holds another type than the
            schema says, or a required column holds a null.
    """
    _check_columns(frame, table)
    schema = arrow_schema(table, metadata)
    names = table.column_names
    with pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        version="2.6",
        use_dictionary=[n for n in names if n not in _MANY_VALUED and table.key != (n,)],
        write_statistics=[n for n in names if n not in _UNORDERED],
    ) as writer:
        for start in range(0, len(frame), ROWS_PER_GROUP):
            piece = frame.iloc[start : start + ROWS_PER_GROUP]
            arrays = [_array(piece[column.name], column, table) for column in table]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
    pa.default_memory_pool().release_unused()  # what was written is not needed any more


def read(
    path: Path, table: Table, *, columns: Sequence[str] = (), categories: bool = False
) -> pd.DataFrame:
    """The table at ``path`` as pandas: str, boolean, Int64, Float64, datetime64[us, UTC].

    Columns an older version did not write come back empty; columns of a newer one are left out.
    ``columns`` names the only ones wanted; with ``categories`` texts that repeat come as
    categories, as millions of findings should.

    Raises:
        RunError: The file is no Parquet, holds another table or schema version, lacks a required
            column or holds another type than the schema says.
    """
    wanted = [column for column in table if not columns or column.name in columns]
    repeated = [
        column.name
        for column in wanted
        if categories and column.type is Type.STRING and table.key != (column.name,)
    ]
    try:
        with pq.ParquetFile(path, read_dictionary=repeated) as file:
            _check_identity(path, table, file.schema_arrow)
            names = [column.name for column in wanted if column.name in file.schema_arrow.names]
            found = file.read(columns=names)
    except (OSError, pa.ArrowInvalid) as error:
        message = f"{path}: cannot be read as Parquet ({error})"
        raise RunError(message) from None
    arrays = [_stored(path, found, column) for column in wanted]
    whole = pa.table({column.name: array for column, array in zip(wanted, arrays, strict=True)})
    frame: pd.DataFrame = whole.to_pandas(types_mapper=_PANDAS.get, ignore_metadata=True)
    return frame


def metadata(path: Path) -> dict[str, str]:
    """The entries in a file's metadata that are orgscan's own.

    Raises:
        RunError: The file is no Parquet.
    """
    try:
        entries = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException) as error:
        message = f"{path}: cannot be read as Parquet ({error})"
        raise RunError(message) from None
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


def _array(values: pd.Series, column: Column, table: Table) -> pa.Array | pa.ChunkedArray:
    place = f"table {table.name}, column {column.name}"
    want = _ARROW[column.type]
    try:
        array = pa.array(values, from_pandas=True)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
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
    return pa.types.is_null(have) or any(test(have) for test in _ACCEPTED[want])


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
    held = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if held != want:
        message = f"{path}: column {column.name} holds {held}, the schema says {want}"
        raise RunError(message)
    return array
