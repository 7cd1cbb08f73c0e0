"""Columns of frames: the types of the tables, text as numbers, times as microseconds.

=========  ====================  =========================================
schema     Arrow                 pandas
=========  ====================  =========================================
string     large_string          str (missing is NaN; ``"NA"`` is a name)
boolean    bool                  boolean
integer    int64                 Int64
number     double                Float64
timestamp  timestamp[us, UTC]    datetime64[us, UTC]
=========  ====================  =========================================
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.schema import Type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from orgscan.schema import Column

ARROW: Mapping[Type, Any] = {
    Type.STRING: pa.large_string(),
    Type.BOOLEAN: pa.bool_(),
    Type.INTEGER: pa.int64(),
    Type.NUMBER: pa.float64(),
    Type.TIMESTAMP: pa.timestamp("us", "UTC"),
}
TEXT = pd.StringDtype("pyarrow", na_value=np.nan)
PANDAS: Mapping[Type, Any] = {
    Type.STRING: TEXT,
    Type.BOOLEAN: pd.BooleanDtype(),
    Type.INTEGER: pd.Int64Dtype(),
    Type.NUMBER: pd.Float64Dtype(),
    Type.TIMESTAMP: pd.DatetimeTZDtype("us", "UTC"),
}


def from_arrow(columns: Sequence[Column], table: pa.Table) -> pd.DataFrame:
    """The columns of an Arrow table, in the order given, with the pandas types above."""
    arrays = [whole(table.column(column.name)) for column in columns]
    return pd.DataFrame(
        {
            column.name: pd.Series(
                PANDAS[column.type].__from_arrow__(array.cast(ARROW[column.type]))
            )
            for column, array in zip(columns, arrays, strict=True)
        },
        copy=False,
    )


def empty(columns: Sequence[Column]) -> pd.DataFrame:
    """A frame of the columns without rows."""
    return from_arrow(
        columns, pa.table({one.name: pa.nulls(0, ARROW[one.type]) for one in columns})
    )


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column of an Arrow table as one array."""
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, column.type)


def arrow(column: pd.Series) -> pa.Array:
    """A pandas column as one Arrow array; text as large_string."""
    array = pa.array(column, from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = whole(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_null(array.type):
        array = array.cast(pa.large_string())
    return array


def text(values: Any) -> Any:
    """Texts and nulls as a text column, by whatever sequence they come."""
    return pd.array(values, dtype=TEXT)


def codes(column: pd.Series) -> tuple[NDArray[np.int64], list[str]]:
    """A text column as numbers into the list of its distinct texts; -1 is null."""
    encoded = arrow(column).dictionary_encode()
    numbers = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(numbers, dtype=np.int64), encoded.dictionary.to_pylist()


def counts(frame: pd.DataFrame, *names: str) -> Counter[tuple[str, ...]]:
    """How many rows have each combination of values of some text columns; none with a null."""
    table = pa.table({name: arrow(frame[name]) for name in names}).drop_null()
    groups = table.group_by(list(names), use_threads=False).aggregate([([], "count_all")])
    *values, sizes = (groups.column(name).to_pylist() for name in (*names, "count_all"))
    return Counter(dict(zip(zip(*values, strict=True), sizes, strict=True)))


def among(column: pd.Series, values: pd.Series | Sequence[str]) -> NDArray[np.bool_]:
    """Whether each text is one of ``values``; pandas makes a Python list of Arrow text first."""
    wanted = arrow(values) if isinstance(values, pd.Series) else pa.array(values, pa.large_string())
    mask = pc.is_in(arrow(column), value_set=wanted.cast(pa.large_string()))
    return np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.bool_)


def positions(values: pa.Array, others: pa.Array) -> NDArray[np.int64]:
    """Where each value is in ``others``, -1 where it is not."""
    index = pc.index_in(values, value_set=others)
    return np.asarray(index.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def joined(parts: Sequence[pa.Array | str]) -> pa.Array:
    """The parts of each row put together; a null counts as nothing."""
    scalars = [pa.scalar(one, pa.large_string()) if isinstance(one, str) else one for one in parts]
    empty = pa.scalar("", pa.large_string())
    return pc.binary_join_element_wise(
        *scalars, empty, null_handling="replace", null_replacement=""
    )


def times(micros: NDArray[np.int64]) -> Any:
    """Microseconds since 1970 as a UTC column; the lowest integer is null."""
    return pd.Series(micros.view("datetime64[us]")).dt.tz_localize("UTC").array
