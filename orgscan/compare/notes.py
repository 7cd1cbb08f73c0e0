"""What a reader must know before trusting a difference between two runs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orgscan.compare.snapshot import Snapshot

_AT_ONCE = timedelta(days=1)
"""A run judged this near to its collection is judged for the moment it was collected."""


def notes(previous: Snapshot, current: Snapshot) -> tuple[str, ...]:
    """Sentences, in the order of their weight; usually none."""
    sentences = [
        _thresholds(previous, current),
        _moment(previous, current),
        _list(previous),
        _memory(previous),
        _controls(previous, current),
    ]
    return tuple(note for note in sentences if note)


def _thresholds(previous: Snapshot, current: Snapshot) -> str:
    before, now = previous.thresholds, current.thresholds
    differing = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if not differing:
        return ""
    pairs = ", ".join(
        f"{name.replace('_', ' ')} {before.get(name)} then, {now.get(name)} now"
        for name in differing
    )
    return (
        f"The run of {previous.day} was judged by other limits ({pairs}): findings may be new or "
        "resolved for that reason alone."
    )


def _moment(previous: Snapshot, current: Snapshot) -> str:
    if current.as_of <= previous.as_of:
        return (
            f"This run is judged as of {current.day}, not later than the run it is compared with "
            f"({previous.day}): ages say little."
        )
    odd = [run for run in (previous, current) if abs(run.as_of - run.started_at) > _AT_ONCE]
    moments = "; ".join(f"{run.started_at:%Y-%m-%d} as of {run.day}" for run in odd)
    if not odd:
        return ""
    return (
        f"Evidence is judged for another time than its own (collected {moments}): findings may be "
        "new or resolved for that reason alone."
    )


def _list(previous: Snapshot) -> str:
    if previous.enumerated:
        return ""
    return (
        f"The account list of the run of {previous.day} was not read to its end: accounts it does "
        "not hold may have been there."
    )


def _memory(previous: Snapshot) -> str:
    if previous.changes is not None or not previous.continues:
        return ""
    return (
        f"The run of {previous.day} continues another but holds no changes.parquet: what was "
        "resolved or not compared before it is not remembered here."
    )


def _controls(previous: Snapshot, current: Snapshot) -> str:
    one_only = previous.controls ^ current.controls
    if not (previous.controls and current.controls and one_only):
        return ""
    return f"Judged in one of the two runs only: {', '.join(sorted(one_only))}."
