"""Typed columns: Arrow while a table is built, pandas where it leaves the room.

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

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.schema import Type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from orgscan.schema import Column, Table

_ARROW: dict[Type, Any] = {
    Type.STRING: pa.large_string(),
    Type.BOOLEAN: pa.bool_(),
    Type.INTEGER: pa.int64(),
    Type.NUMBER: pa.float64(),
    Type.TIMESTAMP: pa.timestamp("us", "UTC"),
}
_PANDAS: dict[Type, Any] = {
    Type.STRING: pd.StringDtype("pyarrow", na_value=np.nan),
    Type.BOOLEAN: pd.BooleanDtype(),
    Type.INTEGER: pd.Int64Dtype(),
    Type.NUMBER: pd.Float64Dtype(),
    Type.TIMESTAMP: pd.DatetimeTZDtype("us", "UTC"),
}


def empty(table: Table) -> pd.DataFrame:
    """A frame without rows, with exactly the table's columns and dtypes."""
    return to_frame(table.columns, arrow_table(table.columns, {}).columns)


def arrow_table(columns: Sequence[Column], values: Mapping[str, Any]) -> pa.Table:
    """An Arrow table of ``columns`` in order; a name absent from ``values`` is an empty column."""
    arrays = [
        _typed(values.get(column.name, pa.nulls(0)), _ARROW[column.type]) for column in columns
    ]
    return pa.table(arrays, names=[column.name for column in columns])


def _typed(values: Any, arrow_type: Any) -> Any:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(arrow_type)
    return strings(values) if arrow_type == pa.large_string() else pa.array(values, arrow_type)


def to_frame(columns: Sequence[Column], arrays: list[pa.ChunkedArray]) -> pd.DataFrame:
    """Arrow columns as a DataFrame with the dtypes above and a fresh RangeIndex.

    Empties ``arrays`` on the way, so that no more than one column is held twice.
    """
    series = {}
    arrays.reverse()
    for column in columns:
        array = _whole(arrays.pop())
        series[column.name] = pd.Series(_PANDAS[column.type].__from_arrow__(array))
    return pd.DataFrame(series, copy=False)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    if isinstance(combined, pa.ChunkedArray):  # what pyarrow makes of no chunk at all
        return pa.nulls(0, column.type)
    return combined


def strings(values: Iterable[str | None]) -> pa.Array:
    """Text as Arrow strings.

    A lone surrogate (legal in JSON, impossible in UTF-8) becomes its visible escape, so that one
    hostile name cannot lose a run.
    """
    items = list(values)
    try:
        return pa.array(items, pa.large_string())
    except UnicodeEncodeError:
        safe = (item and item.encode("utf-8", "backslashreplace").decode() for item in items)
        return pa.array(safe, pa.large_string())


def take(array: pa.Array, index: NDArray[np.int64]) -> pa.Array:
    """``array[index]``, null where ``index`` is negative."""
    return array.take(pa.array(index, pa.int64(), mask=index < 0))


def label(codes: NDArray[Any], labels: Sequence[str | None]) -> pa.Array:
    """``labels[codes]`` as Arrow strings."""
    return pa.array(labels, pa.large_string()).take(pa.array(codes, pa.int64()))


def flags(array: pa.Array) -> NDArray[np.bool_]:
    """A boolean Arrow array as numpy, null counting as false."""
    return np.asarray(
        array.fill_null(fill_value=False).to_numpy(zero_copy_only=False), dtype=np.bool_
    )


def overlay(array: pa.Array, rows: Sequence[int], values: Iterable[Any]) -> pa.Array:
    """``array`` with ``values`` at ``rows``, nulls included."""
    place = np.full(len(array), -1, dtype=np.int64)
    place[list(rows)] = np.arange(len(rows))
    new = pa.array(list(values), array.type)
    return pc.if_else(pa.array(place >= 0), take(new, place), array)


def present(array: pa.Array) -> NDArray[np.bool_]:
    """Where an Arrow array holds a value."""
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)


def micros(times: pa.Array) -> NDArray[np.int64]:
    """Times as microseconds since 1970; 0 where null (ask :func:`present`)."""
    return np.asarray(
        times.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False), dtype=np.int64
    )


DAY = 86_400 * 1_000_000
"""Microseconds."""


def days_between(since: pa.Array, until: datetime) -> pa.Array:
    """Days from each time to ``until``, 0 where it is later, null where it is null."""
    end = int(micros(pa.array([until], pa.timestamp("us", "UTC")))[0])
    elapsed = np.maximum(end - micros(since), 0) / DAY
    return pa.array(elapsed, pa.float64(), mask=~present(since))
