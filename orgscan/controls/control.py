"""What a control is: data, and a pure predicate that lists its cases in order.

A predicate answers for all resources of its unit at once. It returns cases; the first one that
holds for a resource decides. The last case holds for all, so every resource gets a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits
    from orgscan.models import Kind, Severity, Status

Mask: TypeAlias = NDArray[np.bool_]
Micros: TypeAlias = NDArray[np.int64]

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND


class Unit(StrEnum):
    """What a control gives one verdict about."""

    ROOT = "root"
    ACCOUNT = "account"
    USER = "user"
    ACCESS_KEY = "access key"
    SERVICE_CREDENTIAL = "service-specific credential"


class Figures:
    """A sentence with figures that differ from row to row.

    ``text`` is called once per distinct combination of ``values`` among the rows it is needed
    for, never once per row: a million findings share a few thousand sentences.
    """

    def __init__(self, text: Callable[..., str], *values: Any) -> None:
        """Keep the pieces; ``values`` are arrays aligned with the frame, or scalars."""
        self.text = text
        self.figures = values


OTHERWISE = True
"""For the last case: whatever no earlier case decided."""


@dataclass(frozen=True, slots=True)
class Case:
    """One outcome: where it holds, the verdict and the sentence."""

    when: Mask | bool
    status: Status
    reason: str | Figures


Cases: TypeAlias = tuple[Case, ...]


Judge: TypeAlias = Callable[["pd.DataFrame", "Limits", np.int64], Cases]
ThresholdText: TypeAlias = Callable[["pd.DataFrame", "Limits"], str | Figures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One question with one answer per resource.

    ``judge`` takes the unit's frame (:mod:`orgscan.controls.units`), the limits and the as-of
    time in microseconds since 1970. ``needs`` names the evidence a verdict rests on, ``limits``
    the thresholds ``judge`` reads. A control whose ``requires`` a run did not ask for is not
    evaluated: it has no rows.
    """

    id: str
    title: str
    severity: Severity
    unit: Unit
    needs: tuple[Kind, ...]
    judge: Judge
    description: str
    remediation: str
    threshold: ThresholdText | None = None
    limits: tuple[str, ...] = ()
    requires: tuple[Kind, ...] = ()


def limit_text(name: str, unit: str) -> ThresholdText:
    """The threshold column's text for a plain limit: ``90 days (default)``."""

    def text(frame: pd.DataFrame, limits: Limits) -> Figures:
        def words(limit: float, number: int) -> str:
            return f"{count(limit, unit)} ({limits.source(name, number)})"

        return Figures(words, limits.of(name, frame), limits.numbers(name, frame))

    return text


def count(number: float, noun: str) -> str:
    """``1 day``, ``90 days``, ``0.5 days``."""
    return f"{number:.12g} {noun if number == 1 else noun + 's'}"


def equals(column: pd.Series, word: str) -> Mask:
    """Where a text column is ``word``; false where it is null."""
    return np.asarray(column == word, dtype=np.bool_)


def truth(column: pd.Series) -> Mask:
    """Where a nullable boolean is true."""
    return np.asarray(column.fillna(value=False), dtype=np.bool_)


def falsehood(column: pd.Series) -> Mask:
    """Where a nullable boolean is false, as opposed to not known."""
    return np.asarray(~column.fillna(value=True), dtype=np.bool_)


def known(column: pd.Series) -> Mask:
    """Where a column holds a value."""
    return np.asarray(column.notna(), dtype=np.bool_)


def micros(column: pd.Series) -> Micros:
    """A UTC column as microseconds since 1970; the lowest integer where null."""
    return np.asarray(column.dt.tz_localize(None), dtype="datetime64[us]").astype(np.int64)


def elapsed(since: Micros, as_of: np.int64) -> Micros:
    """Exact time from ``since`` to ``as_of``, 0 where it lies later.

    Null gives a meaningless figure: rule nulls out in an earlier case.
    """
    return np.where(since > as_of, 0, as_of - np.where(since == NULL, as_of, since))


NULL = np.iinfo(np.int64).min
"""What :func:`micros` makes of a null."""


def over(age: Micros, limit: Any, sentence: str) -> Figures:
    """A sentence about an age at or above its limit; ``{}`` in it takes the days.

    Whole days are stated. Where they equal the limit although the age is more, or fall short
    of a limit that is not whole, the figure would contradict the verdict: "just over 90 days".
    """

    def text(days: float, exact: float, days_limit: float) -> str:
        if exact or days > days_limit:
            figure = count(days, "day")
        else:
            figure = f"just over {count(days_limit, 'day')}"
        return f"{sentence.format(figure)}, limit {days_limit:.12g}"

    days = age // DAY
    return Figures(text, days, age == days * DAY, np.asarray(limit, dtype=np.float64))
