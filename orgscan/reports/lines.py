"""Text files made a few thousand rows at a time, whole columns at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    Reader: TypeAlias = Callable[[slice], pa.Array]

ROWS = 8_192
"""Rows made at a time: what bounds the memory, whatever the length of the table."""


def pieces(rows: int) -> Iterator[slice]:
    """All rows of a table, :data:`ROWS` at a time."""
    return (slice(start, start + ROWS) for start in range(0, rows, ROWS))


def reader(values: pd.Series, make: Callable[[pa.Array], pa.Array] = lambda array: array) -> Reader:
    r"""What gives rows of a column as Arrow: text as ``large_string``, other types as they are.

    ``make`` turns values into what is wanted of them. Text that UTF-8 cannot hold (half a
    surrogate pair) becomes its escape, ``\ud800``.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        # Each text is looked at once, however many rows repeat it.
        texts, codes = make(_arrow(values.array.categories.to_series())), values.array.codes
        return lambda rows: texts.take(pa.array(codes[rows], mask=codes[rows] < 0))
    return lambda rows: make(_arrow(values.iloc[rows]))


def _arrow(values: pd.Series) -> pa.Array:
    try:
        array = pa.array(values, from_pandas=True)
    except UnicodeEncodeError:
        array = pa.array([_encodable(value) for value in values], from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_string(array.type) or pa.types.is_null(array.type):
        array = array.cast(pa.large_string())
    return array


def _encodable(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def joined(parts: list[pa.Array | str]) -> pa.Array:
    """The parts of each row put together; a null counts as nothing."""
    scalars = [pa.scalar(one, pa.large_string()) if isinstance(one, str) else one for one in parts]
    empty = pa.scalar("", pa.large_string())
    return pc.binary_join_element_wise(
        *scalars, empty, null_handling="replace", null_replacement=""
    )


def write(file: BinaryIO, lines: pa.Array) -> None:
    """Write every text of a ``large_string`` array, one after the other."""
    if not len(lines):
        return
    _validity, offsets, data = lines.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1]
    if bounds[-1] > bounds[0]:
        file.write(data[int(bounds[0]) : int(bounds[-1])])
