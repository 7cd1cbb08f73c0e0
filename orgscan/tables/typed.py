"""Typed columns: Arrow while a table is built, pandas where it leaves the room.

The types are those of :mod:`orgscan.frames`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan import frames

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    import pandas as pd
    from numpy.typing import NDArray

    from orgscan.schema import Column


def typed_frame(columns: Sequence[Column], values: Mapping[str, Any]) -> pd.DataFrame:
    """A frame of ``columns`` in order; a name absent from ``values`` is an empty column."""
    table = pa.table(
        {
            column.name: _typed(values.get(column.name, pa.nulls(0)), frames.ARROW[column.type])
            for column in columns
        }
    )
    return frames.from_arrow(columns, table)


def _typed(values: Any, arrow_type: Any) -> Any:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(arrow_type)
    return strings(values) if arrow_type == pa.large_string() else pa.array(values, arrow_type)


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
