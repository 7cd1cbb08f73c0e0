"""The cells of credential reports, typed: the rows of many accounts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.report import ARN, COLUMNS, PAST, SETTLING, foreign_arn
from orgscan.tables import words
from orgscan.tables.typed import flags, strings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_TRUE, _FALSE = pa.scalar(value=True), pa.scalar(value=False)


@dataclass(frozen=True, slots=True)
class ReportCells:
    """Typed columns of many reports' rows, by report column name."""

    cells: dict[str, words.Cells]
    unreadable: NDArray[np.bool_]
    """Rows with a cell that is neither a value nor a known word, or a time that cannot be right."""


def _reader(name: str) -> Callable[[pa.Array], words.Cells]:
    if name.endswith(("_active", "_enabled")):
        return words.read_booleans
    return words.read_texts if name.endswith(("_region", "_service")) else words.read_times


_READERS = {name: _reader(name) for name in COLUMNS[2:]}


def read_cells(
    rows: Sequence[Sequence[str]],
    account_ids: pa.Array,
    partition: str | None = None,
    generated_at: pa.Array | None = None,
) -> ReportCells:
    """Type the rows of one or many reports at once.

    ``account_ids`` is aligned with ``rows``, and so is ``generated_at``, the age of each row's
    report: a row with a past time that lies after it is wrong, and unreadable.

    Raises :class:`orgscan.errors.IntegrityError` for an ARN of another account or partition.
    """
    columns = zip(*rows, strict=False) if rows else ([] for _ in COLUMNS)
    raw = {name: strings(column) for name, column in zip(COLUMNS, columns, strict=False)}
    cells = {name: read(raw[name]) for name, read in _READERS.items()}
    cells["arn"] = _read_arns(raw["arn"], account_ids, partition)
    unreadable = np.zeros(len(rows), dtype=np.bool_)
    for column in cells.values():
        unreadable |= column.unreadable
    if generated_at is not None:
        latest = pc.add(generated_at, pa.scalar(SETTLING))
        for name in PAST:
            unreadable |= flags(pc.greater(cells[name].values, latest))
    return ReportCells(cells, unreadable)


def _read_arns(arns: pa.Array, account_ids: pa.Array, partition: str | None) -> words.Cells:
    parts = pc.extract_regex(arns, ARN)
    foreign = pc.not_equal(parts.field("account"), account_ids)
    if partition is not None:
        foreign = pc.or_(foreign, pc.not_equal(parts.field("partition"), partition))
    foreign = pc.and_(foreign.fill_null(_FALSE), parts.is_valid())
    if pc.any(foreign).as_py():
        place = pc.index(foreign, value=_TRUE).as_py()
        raise foreign_arn(str(account_ids[place]), str(arns[place]))
    unreadable = ~np.asarray(parts.is_valid().to_numpy(zero_copy_only=False), dtype=np.bool_)
    return words.Cells(arns, pa.nulls(len(arns), pa.large_string()), unreadable)
