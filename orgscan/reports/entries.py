"""The sheets of what people decided: waivers, and entries beside findings that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan.reports import columns
from orgscan.reports.datasheet import DataSheet
from orgscan.reports.rows import FrameRows
from orgscan.waivers.fields import FIELDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orgscan.models import HumanEntry
    from orgscan.waivers.apply import Result

ROOM = 25
"""Blank rows below the waivers, for more of them."""

_COUNTS = ("fail_matched", "all_matched")
_MOMENTS = ("start", "expires")


def waivers(results: Sequence[Result]) -> DataSheet:
    """One row per waiver with its result, and room for more."""
    timed = any(
        _has_time(moment) for one in results for moment in (one.waiver.start, one.waiver.expires)
    )
    shown = columns.waivers(timed=timed)
    rows: list[dict[str, Any]] = [
        {
            **{name: getattr(result.waiver, name) for name in FIELDS if name != "control"},
            "control": ", ".join(result.waiver.controls),
            "state": result.state.value,
            "fail_matched": result.failing,
            "all_matched": result.matched,
            "over_broad": "Yes" if result.over_broad else None,
            "self_approved": "Yes" if result.waiver.is_self_approved else None,
        }
        for result in results
    ]
    frame = pd.DataFrame([*rows, *[{}] * ROOM], columns=[column.source for column in shown])
    types = dict.fromkeys(_COUNTS, "Int64")
    return DataSheet("Waivers", shown, FrameRows(_with_times(frame.astype(types), _MOMENTS)))


def earlier_entries(entries: Sequence[HumanEntry]) -> DataSheet:
    """One row per entry."""
    shown = columns.earlier_entries()
    names = [column.source for column in shown]
    rows = [{name: getattr(entry, name) or None for name in names} for entry in entries]
    frame = _with_times(pd.DataFrame(rows, columns=names), ("due",))
    return DataSheet("Earlier entries", shown, FrameRows(frame))


def _with_times(frame: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    return frame.assign(**{name: pd.to_datetime(frame[name], utc=True) for name in names})


def _has_time(moment: datetime | None) -> bool:
    return moment is not None and bool(moment.hour or moment.minute or moment.second)
