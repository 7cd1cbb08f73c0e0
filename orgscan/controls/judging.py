"""Cases to verdicts: the first case that holds decides; sentences are made once each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orgscan.models import Status

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from orgscan.controls.control import Cases
    from orgscan.controls.sentences import Figures

STATUSES: tuple[Status, ...] = tuple(Status)


@dataclass(slots=True)
class Texts:
    """Sentences in the order they were first needed; rows hold their numbers."""

    codes: dict[str, int] = field(default_factory=dict)

    def code(self, text: str) -> int:
        """The number of a sentence."""
        return self.codes.setdefault(text, len(self.codes))

    @property
    def texts(self) -> list[str]:
        """The sentences at their numbers."""
        return list(self.codes)

    def number(self, text: str | Figures, rows: NDArray[np.int64]) -> NDArray[np.int32] | int:
        """Numbers for the given rows: one for all where the sentence is the same."""
        if isinstance(text, str):
            return self.code(text)
        distinct, inverse = _distinct(
            [np.asarray(v)[rows] if np.ndim(v) else np.asarray(v)[None] for v in text.figures],
            len(rows),
        )
        numbers = [self.code(text.text(*values)) for values in distinct]
        return np.array(numbers, dtype=np.int32)[inverse]


def _distinct(
    columns: list[NDArray[np.generic]], size: int
) -> tuple[list[tuple[object, ...]], NDArray[np.int64]]:
    """The distinct combinations of columns (or single values), and which one each row has."""
    combined = np.zeros(size, dtype=np.int64)
    for column in columns:
        if len(column) == 1:
            continue
        codes, uniques = pd.factorize(column)
        combined, _ = pd.factorize(combined * len(uniques) + codes)
    count = int(combined.max(initial=-1)) + 1
    first = np.full(count, size, dtype=np.int64)
    np.minimum.at(first, combined, np.arange(size))
    values = [
        (column if len(column) == 1 else column[first]).tolist()
        * (count if len(column) == 1 else 1)
        for column in columns
    ]
    return list(zip(*values, strict=True)), combined


def decide(cases: Cases, size: int, texts: Texts) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Status codes (into :data:`STATUSES`) and sentence numbers for ``size`` resources.

    Raises ValueError if the cases leave a resource without a verdict: a control is broken.
    """
    status = np.full(size, -1, dtype=np.int8)
    reason = np.zeros(size, dtype=np.int32)
    for case in cases:
        open_ = status < 0
        rows = np.flatnonzero(open_ & case.when)
        if len(rows):
            status[rows] = STATUSES.index(case.status)
            reason[rows] = texts.number(case.reason, rows)
    if size and status.min() < 0:
        raise ValueError("the cases of a control do not cover every resource")
    return status, reason
