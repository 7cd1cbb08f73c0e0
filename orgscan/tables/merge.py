"""The join of report slots with listed access keys, on numbers only.

The report names no key: a slot and a listed key are the same when they were created in the same
second, and where several were, when their status tells them apart. What cannot be told apart is
kept and called ambiguous; nothing is dropped and nothing is counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]

MATCHES = ("matched", "ambiguous", "live_only", "report_only")


class Match(IntEnum):
    """Codes into :data:`MATCHES`."""

    MATCHED = 0
    AMBIGUOUS = 1
    LIVE_ONLY = 2
    REPORT_ONLY = 3


@dataclass(frozen=True, slots=True)
class Side:
    """Slots or keys: owner, second of creation (any value where ``dated`` is false), status."""

    principal: Ints
    second: Ints
    dated: Bools
    active: Bools


@dataclass(frozen=True, slots=True)
class Join:
    """The outcome, aligned with the keys; ``slot_taken`` is aligned with the slots."""

    slot: Ints
    """Place of the slot each key was given, -1 for none; a candidate where ambiguous."""
    match: NDArray[np.int8]
    same_use_needed: Ints
    """Place of the other slot that fits an ambiguous key equally, -1 where there is none."""
    slot_missing: Bools
    """Ambiguous keys of which one is in no slot at all."""
    slot_taken: Bools


def join(slots: Side, keys: Side) -> Join:
    """Match within principal and second; each slot goes to one key at most.

    In a group of slots and keys created in the same second, a status held by exactly one slot
    and exactly one key settles that pair. If one of each is left they are a pair too (the key
    was toggled since the report). If more are left on both sides they are ambiguous and given to
    one another in listing order.
    """
    slot_group, key_group = _groups(slots, keys)
    count = max(slot_group.max(initial=-1), key_group.max(initial=-1)) + 1
    chosen = _by_status(slots, keys, slot_group, key_group, count)
    left_keys, left_slots = chosen < 0, np.ones(len(slot_group), dtype=np.bool_)
    left_slots[chosen[chosen >= 0]] = False
    slots_left = np.bincount(slot_group[left_slots], minlength=count)[key_group]
    keys_left = np.bincount(key_group[left_keys], minlength=count)[key_group]
    ranked = _rank_slots(slot_group, left_slots, count)
    rank = _rank(key_group, left_keys)
    fits = left_keys & (rank < slots_left)
    chosen = np.where(fits, ranked[key_group, np.minimum(rank, 1)], chosen)
    ambiguous = left_keys & (slots_left > 0) & ((slots_left > 1) | (keys_left > 1))
    match = np.select(
        [ambiguous, chosen >= 0], [Match.AMBIGUOUS, Match.MATCHED], Match.LIVE_ONLY
    ).astype(np.int8)
    other = ranked[key_group, np.where(rank == 0, 1, 0)]
    taken = np.zeros(len(slot_group), dtype=np.bool_)
    taken[chosen[chosen >= 0]] = True
    return Join(
        slot=chosen,
        match=match,
        same_use_needed=np.where(ambiguous, other, -1),
        slot_missing=ambiguous & (keys_left > slots_left),
        slot_taken=taken,
    )


def _groups(slots: Side, keys: Side) -> tuple[Ints, Ints]:
    """Numbers for (principal, second), shared by both sides; the undated stand alone."""
    principal = np.concatenate([slots.principal, keys.principal])
    second = np.concatenate([slots.second, keys.second])
    dated = np.concatenate([slots.dated, keys.dated])
    # An item without a date matches nothing: its own place keeps it apart from all others.
    apart = np.where(dated, 0, np.arange(1, len(dated) + 1))
    order = np.lexsort((apart, second, principal))
    changes = np.ones(len(order), dtype=np.bool_)
    changes[1:] = False
    for column in (principal, second, apart):
        ordered = column[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    groups = np.empty(len(order), dtype=np.int64)
    groups[order] = np.cumsum(changes) - 1
    return groups[: len(slots.principal)], groups[len(slots.principal) :]


def _by_status(slots: Side, keys: Side, slot_group: Ints, key_group: Ints, count: int) -> Ints:
    """For each key the slot that alone shares its group and status with it alone, else -1."""
    slot_code, key_code = slot_group * 2 + slots.active, key_group * 2 + keys.active
    only_slot = np.bincount(slot_code, minlength=2 * count) == 1
    only_key = np.bincount(key_code, minlength=2 * count) == 1
    slot_of = np.full(2 * count, -1, dtype=np.int64)
    slot_of[slot_code] = np.arange(len(slot_code))
    return np.where(only_slot[key_code] & only_key[key_code], slot_of[key_code], -1)


def _rank(groups: Ints, among: Bools) -> Ints:
    """Each chosen item's place among the chosen of its group, in the given order; else large."""
    places = np.flatnonzero(among)
    order = places[np.argsort(groups[places], kind="stable")]
    ordered = groups[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    ranks = np.full(len(groups), np.iinfo(np.int64).max, dtype=np.int64)
    ranks[order] = np.arange(len(order)) - starts
    return ranks


def _rank_slots(slot_group: Ints, left: Bools, count: int) -> Ints:
    """Per group the first and second slot that is left, -1 where there is none."""
    ranked = np.full((count, 2), -1, dtype=np.int64)
    rank = _rank(slot_group, left)
    for place in (0, 1):
        here = np.flatnonzero(rank == place)
        ranked[slot_group[here], place] = here
    return ranked
