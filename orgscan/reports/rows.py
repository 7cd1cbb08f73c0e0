"""The rows of a table, wherever they are: in a frame, a Parquet file or a spool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

ROWS = 8_192


class Rows(Protocol):
    """Rows to be read in order, some at a time; :class:`orgscan.runs.parquet.Stored` is one."""

    @property
    def names(self) -> list[str]:
        """The columns."""

    def __len__(self) -> int:
        """How many rows there are."""

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[pd.DataFrame]:
        """The rows from ``start`` to ``stop``, in frames of moderate size."""


@dataclass(frozen=True, slots=True)
class FrameRows:
    """The rows of a frame, or some of them."""

    frame: pd.DataFrame
    order: NDArray[np.int64] | None = None
    """Which, and in which order; None: all of them as they are."""

    @property
    def names(self) -> list[str]:
        """The columns."""
        return list(self.frame.columns)

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.frame) if self.order is None else len(self.order)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[pd.DataFrame]:
        """The rows from ``start`` to ``stop``."""
        stop = len(self) if stop is None else min(stop, len(self))
        for first in range(start, stop, ROWS):
            part = slice(first, min(first + ROWS, stop))
            yield self.frame.iloc[part if self.order is None else self.order[part]]


def as_rows(given: pd.DataFrame | Rows) -> Rows:
    """A frame as its rows; rows as they are."""
    return FrameRows(given) if isinstance(given, pd.DataFrame) else given
