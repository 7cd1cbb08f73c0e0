"""Columns of a frame as arrays: boolean masks, and times as microseconds since 1970.

Controls ask hundreds of these questions of each partition. They are put to the arrays behind the
columns: a Series takes up to a hundred times as long to answer for a few thousand rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Mask: TypeAlias = NDArray[np.bool_]
Micros: TypeAlias = NDArray[np.int64]

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

NULL = np.iinfo(np.int64).min
"""The value :func:`micros` gives for a null."""


def equals(column: pd.Series, word: str) -> Mask:
    """Where a text column is ``word``; false where it is null."""
    return np.asarray(column.array == word, dtype=np.bool_)


def truth(column: pd.Series) -> Mask:
    """Where a nullable boolean is true."""
    return np.asarray(column.array.to_numpy(dtype=np.bool_, na_value=False), dtype=np.bool_)


def falsehood(column: pd.Series) -> Mask:
    """Where a nullable boolean is false, as opposed to not known."""
    return ~np.asarray(column.array.to_numpy(dtype=np.bool_, na_value=True), dtype=np.bool_)


def known(column: pd.Series) -> Mask:
    """Where a column holds a value."""
    return ~np.asarray(column.array.isna(), dtype=np.bool_)


def micros(column: pd.Series) -> Micros:
    """A UTC column as microseconds since 1970; the lowest integer where null."""
    return np.asarray(column.array.as_unit("us").asi8, dtype=np.int64)


def elapsed(since: Micros, as_of: np.int64) -> Micros:
    """Exact time from ``since`` to ``as_of``, 0 where it lies later.

    The figure for a null is meaningless: rule nulls out in an earlier case.
    """
    return np.where(since > as_of, 0, as_of - np.where(since == NULL, as_of, since))
