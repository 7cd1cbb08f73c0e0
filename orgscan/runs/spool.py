"""Rows set aside in groups while a run is judged, and read back group after group.

What has to be in another order than that of the accounts, such as findings by severity, is put
into groups as it comes, partition after partition. Within a group it is in the order in which it
came, which is that of the accounts, so that nothing of any size is ever sorted.
"""

from __future__ import annotations

import tempfile
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa

from orgscan import frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    import pandas as pd

    from orgscan.schema import Column

    Group = tuple[Any, ...]

_ROWS = 1_024
"""Of one group, written together."""
_TOGETHER = 8_192
"""Read together."""


class Spool:
    """Rows of some columns in a file without a name, which goes with the process.

    Use as a context manager.
    """

    def __init__(self, columns: Sequence[Column], directory: Path | None) -> None:
        """Make the file in ``directory``, or where the system has its temporary files.

        Raises OSError where that cannot be done.
        """
        self.columns = tuple(columns)
        self._schema = pa.schema([(one.name, frames.ARROW[one.type]) for one in self.columns])
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - as long as the spool
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pa.ipc.new_file(self._file, self._schema, options=options)
        self._waiting: dict[Group, list[pa.Table]] = {}
        self._batches: list[tuple[Group, int, int]] = []
        """Group, number of the batch, and its rows; sorted by the first once all is written."""
        self._reader: Any = None

    @property
    def names(self) -> list[str]:
        """The columns."""
        return [column.name for column in self.columns]

    def __len__(self) -> int:
        """How many rows there are; nothing can be added from then on."""
        self._finish()
        return sum(rows for _, _, rows in self._batches)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, rows: pd.DataFrame, groups: pd.DataFrame) -> None:
        """Set rows aside; ``groups`` has their groups, of numbers or texts, in its columns."""
        if rows.empty:
            return
        arrays = [frames.arrow(rows[field.name]).cast(field.type) for field in self._schema]
        table = pa.table(arrays, schema=self._schema)
        for name, places in groups.groupby(list(groups), sort=False).indices.items():
            group = name if isinstance(name, tuple) else (name,)
            waiting = self._waiting.setdefault(group, [])
            waiting.append(table.take(pa.array(np.sort(places))))
            if sum(map(len, waiting)) >= _ROWS:
                self._write(group)

    def _write(self, group: Group) -> None:
        together = pa.concat_tables(self._waiting.pop(group)).combine_chunks()
        for batch in together.to_batches():
            self._batches.append((group, len(self._batches), len(batch)))
            self._writer.write_batch(batch)

    def _finish(self) -> None:
        if self._reader is not None:
            return
        for group in list(self._waiting):
            self._write(group)
        self._writer.close()
        self._batches.sort()
        self._file.flush()
        self._reader = pa.ipc.open_file(self._file)

    def pieces(self, start: int = 0, stop: int | None = None) -> Iterator[pd.DataFrame]:
        """The rows from ``start`` to ``stop``, group after group."""
        first, stop = 0, len(self) if stop is None else min(stop, len(self))
        waiting: list[pa.Table] = []
        for _, number, rows in self._batches:
            low, high = max(start - first, 0), min(stop - first, rows)
            first += rows
            if low < high:
                waiting.append(self._batch(number).slice(low, high - low))
            if waiting and (sum(map(len, waiting)) >= _TOGETHER or first >= stop):
                yield frames.from_arrow(self.columns, pa.concat_tables(waiting))
                waiting = []
            if first >= stop:
                return

    def groups(self) -> Iterator[pd.DataFrame]:
        """The rows of each group at once."""
        self._finish()
        for _, batches in groupby(self._batches, key=lambda batch: batch[0]):
            tables = [self._batch(number) for _, number, _ in batches]
            yield frames.from_arrow(self.columns, pa.concat_tables(tables))

    def _batch(self, number: int) -> pa.Table:
        return pa.Table.from_batches([self._reader.get_batch(number)])
