"""Text files made a few thousand rows at a time, whole columns at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orgscan import frames

if TYPE_CHECKING:
    from typing import BinaryIO

    import pyarrow as pa


def arrow(values: pd.Series) -> pa.Array:
    r"""A column as Arrow: text as ``large_string``, other types as they are.

    Text that UTF-8 cannot hold (half a surrogate pair) becomes its escape, ``\ud800``.
    """
    try:
        return frames.arrow(values)
    except UnicodeEncodeError:
        return frames.arrow(pd.Series([_encodable(value) for value in values], dtype=object))


def _encodable(value: object) -> object:
    if not isinstance(value, str):
        return value
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def write(file: BinaryIO, lines: pa.Array) -> None:
    """Write every text of a ``large_string`` array, one after the other."""
    if not len(lines):
        return
    _validity, offsets, data = lines.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int64)[lines.offset : lines.offset + len(lines) + 1]
    if bounds[-1] > bounds[0]:
        file.write(data[int(bounds[0]) : int(bounds[-1])])
