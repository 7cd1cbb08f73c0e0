"""What a control is: data, and a pure predicate that lists its cases in order.

A predicate answers for all resources of its unit at once. It returns cases; the first one that
holds for a resource decides. The last case holds for all, so every resource gets a verdict.

To add a control, write its predicate in the module of its subject (``console.py``, ``root.py``,
...) and append a :class:`Control` to that module's ``CONTROLS``; :mod:`orgscan.controls.catalogue`
collects it from there. Test it in ``tests/controls``. A number that is the same for everyone is a
constant beside the predicate (:func:`fixed_text` states it); a number that an organization
may set is a field of :class:`orgscan.thresholds.Thresholds`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from orgscan.controls.masks import DAY, Mask, Micros
from orgscan.controls.sentences import Figures

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.limits import Limits
    from orgscan.models import Kind, Severity, Status


class Unit(StrEnum):
    """What a control gives one verdict about."""

    ROOT = "root"
    ACCOUNT = "account"
    USER = "user"
    ACCESS_KEY = "access key"
    SERVICE_CREDENTIAL = "service-specific credential"


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

    ``judge`` takes the unit's frame (:mod:`orgscan.controls.units`), the thresholds and the as-of
    time in microseconds since 1970. ``needs`` names the evidence a verdict rests on,
    ``thresholds`` the settings ``judge`` reads, and ``threshold_text`` states them for each row. A
    control whose ``requires`` a run did not ask for is not evaluated: it has no rows.
    """

    id: str
    title: str
    severity: Severity
    unit: Unit
    needs: tuple[Kind, ...]
    judge: Judge
    description: str
    remediation: str
    threshold_text: ThresholdText | None = None
    thresholds: tuple[str, ...] = ()
    requires: tuple[Kind, ...] = ()


def setting_text(name: str, unit: str) -> ThresholdText:
    """The threshold column's text for the setting ``name``: ``90 days (default)``."""

    def text(frame: pd.DataFrame, limits: Limits) -> Figures:
        def words(threshold: float, number: int) -> str:
            return f"{count(threshold, unit)} ({limits.source(name, number)})"

        return Figures(words, limits.of(name, frame), limits.numbers(name, frame))

    return text


def fixed_text(number: float, unit: str) -> ThresholdText:
    """The threshold column's text for a number that no setting changes: ``30 days (fixed)``."""
    return lambda _frame, _limits: f"{count(number, unit)} (fixed)"


def count(number: float, noun: str) -> str:
    """``1 day``, ``90 days``, ``0.5 days``."""
    return f"{number:.12g} {noun if number == 1 else noun + 's'}"


def over(age: Micros, threshold: Any, sentence: str) -> Figures:
    """A sentence about an age at or above its threshold in days; ``{}`` in it takes the days.

    Whole days are stated. Where they equal the threshold although the age is more, or fall short
    of a threshold that is not whole, the figure would contradict the verdict: "just over 90 days".
    """

    def text(days: float, exact: float, threshold_days: float) -> str:
        if exact or days > threshold_days:
            figure = count(days, "day")
        else:
            figure = f"just over {count(threshold_days, 'day')}"
        return f"{sentence.format(figure)}, limit {threshold_days:.12g}"

    days = age // DAY
    return Figures(text, days, age == days * DAY, np.asarray(threshold, dtype=np.float64))
