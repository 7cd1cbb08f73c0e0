"""The access_keys table of one batch: each listed key, and each slot no listed key explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.tables import words
from orgscan.tables.merge import MATCHES, Join, Match, Side, join
from orgscan.tables.typed import flags, label, micros, overlay, present, strings, take

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from orgscan.tables.batch import Batch
    from orgscan.tables.credentials import AccountColumns, People

    Ints = NDArray[np.int64]

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_USE = ("last_used_at", "last_used_region", "last_used_service")
_STATUSES = ("Active", "Inactive")
_OF_PRINCIPAL = (
    "account_id",
    "account_name",
    "ou_path",
    "user",
    "user_id",
    "is_root",
    "report_generated_at",
)


@dataclass(frozen=True, slots=True)
class _Slots:
    """The slots that hold a key, in principal order, first slots before second."""

    principal: Ints
    number: Ints
    active: NDArray[np.bool_]
    created: pa.Array
    use: tuple[pa.Array, ...]


@dataclass(frozen=True, slots=True)
class _Keys:
    """The listed keys in AWS's order."""

    principal: Ints
    key_id: pa.Array
    status: pa.Array
    created: pa.Array
    use: list[dict[str, str] | None]
    """The direct answers on the last use; None where the key was not asked about."""


@dataclass(frozen=True, slots=True)
class KeyRows:
    """The finished rows, and which of them exist and so count for the account."""

    columns: dict[str, pa.Array]
    account: Ints
    exists: NDArray[np.bool_]


def key_rows(batch: Batch, accounts: AccountColumns, folk: People, as_of: datetime) -> KeyRows:
    """Join the batch's slots and listed keys and compute ages at ``as_of``.

    Rows are sorted by account, user, key id (absent ones last) and slot.
    """
    slots, keys = _slots(folk), _listed(batch)
    joined = join(_side(slots), _key_side(keys))
    free = np.flatnonzero(~joined.slot_taken)
    listed = len(keys.principal)
    principal = np.concatenate([keys.principal, slots.principal[free]])
    columns = {
        "access_key_id": pa.concat_arrays([keys.key_id, pa.nulls(len(free), pa.large_string())]),
        "slot": _numbers(slots, np.concatenate([joined.slot, free])),
        "match": label(
            np.concatenate([joined.match, np.full(len(free), Match.REPORT_ONLY)]), MATCHES
        ),
        "status": pa.concat_arrays(
            [keys.status, label(np.where(slots.active[free], 0, 1), _STATUSES)]
        ),
        "created_at": pa.concat_arrays([keys.created, take(slots.created, free)]),
    }
    use_from = np.concatenate([_use_from(slots, joined), free])
    for name, values in zip(_USE, slots.use, strict=True):
        columns[name] = take(values, use_from)
    use_known = _with_direct_uses(columns, keys, use_from >= 0)
    generated = take(accounts.generated_at, folk.account[principal])
    columns |= _ages(columns, use_known, generated, as_of)
    for name in _OF_PRINCIPAL:
        columns[name] = take(folk.columns[name], principal)
    exists = np.ones(len(principal), dtype=np.bool_)
    exists[listed:] = (folk.exists & ~folk.keys_listed)[principal[listed:]]
    columns["last_use_known"] = pa.array(use_known)
    columns["exists"] = pa.array(exists | folk.is_root[principal])
    return _sorted(columns, principal, folk.account[principal], exists)


def _with_direct_uses(
    columns: dict[str, pa.Array], keys: _Keys, known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Put direct answers in the place of the report's; returns where the last use is known."""
    asked = [row for row, use in enumerate(keys.use) if use is not None]
    if not asked:
        return known
    uses = [use for use in keys.use if use is not None]
    used = words.read_times(strings(use.get("LastUsedDate") for use in uses)).values
    columns["last_used_at"] = overlay(columns["last_used_at"], asked, used.to_pylist())
    for name, member in (("last_used_region", "Region"), ("last_used_service", "ServiceName")):
        texts = words.read_texts(strings(use.get(member) for use in uses)).values
        columns[name] = overlay(columns[name], asked, texts.to_pylist())
    known[asked] = True
    return known


def _slots(folk: People) -> _Slots:
    parts = []
    for number in (1, 2):
        column = {
            name: folk.columns[f"access_key_{number}_{name}"]
            for name in ("active", "last_rotated_at", *_USE)
        }
        active = flags(column["active"])
        # An inactive key keeps its date, so a date alone shows that the slot is taken.
        held = np.flatnonzero(active | present(column["last_rotated_at"]))
        parts.append((held, number, active[held], column))
    return _Slots(
        principal=np.concatenate([held for held, *_ in parts]),
        number=np.concatenate([np.full(len(held), number) for held, number, *_ in parts]),
        active=np.concatenate([active for _, _, active, _ in parts]),
        created=pa.concat_arrays([take(c["last_rotated_at"], held) for held, _, _, c in parts]),
        use=tuple(pa.concat_arrays([take(c[name], h) for h, _, _, c in parts]) for name in _USE),
    )


def _listed(batch: Batch) -> _Keys:
    return _Keys(
        principal=np.array(batch.keys.principal, dtype=np.int64),
        key_id=strings(batch.keys.key_id),
        status=strings(batch.keys.status),
        created=words.read_times(strings(batch.keys.created)).values,
        use=batch.keys.use,
    )


def _side(slots: _Slots) -> Side:
    return Side(
        slots.principal, micros(slots.created) // _SECOND, present(slots.created), slots.active
    )


def _key_side(keys: _Keys) -> Side:
    active = flags(pc.equal(keys.status, "Active"))
    return Side(keys.principal, micros(keys.created) // _SECOND, present(keys.created), active)


def _numbers(slots: _Slots, chosen: Ints) -> pa.Array:
    return take(pa.array(slots.number, pa.int64()), chosen)


def _use_from(slots: _Slots, joined: Join) -> Ints:
    """The slot whose last use is certainly the key's, -1 where none is."""
    other = joined.same_use_needed
    alike = np.ones(len(other), dtype=np.bool_)
    for values in slots.use:
        mine, its = take(values, joined.slot), take(values, other)
        same = pc.coalesce(pc.equal(mine, its), pc.and_(mine.is_null(), its.is_null()))
        alike &= flags(same)
    certain = (joined.match == Match.MATCHED) | (
        (joined.match == Match.AMBIGUOUS) & alike & ~joined.slot_missing & (other >= 0)
    )
    return np.where(certain, joined.slot, -1)


def _ages(
    columns: dict[str, pa.Array], use_known: NDArray[np.bool_], generated: pa.Array, as_of: datetime
) -> dict[str, pa.Array]:
    """Days since creation and since last use; a key newer than the report is idle for its age."""
    now = int(micros(pa.array([as_of], pa.timestamp("us", "UTC")))[0])
    created, used = columns["created_at"], columns["last_used_at"]
    dated, was_used = present(created), present(used)
    newer = dated & present(generated) & (micros(created) > micros(generated))
    since = np.where(was_used, micros(used), micros(created))
    idle_known = (use_known & (was_used | dated)) | (~use_known & newer)
    return {
        "age_days": _days(now - micros(created), dated),
        "idle_days": _days(now - since, idle_known),
    }


def _days(elapsed: Ints, known: NDArray[np.bool_]) -> pa.Array:
    return pa.array(np.maximum(elapsed, 0) / _DAY, pa.float64(), mask=~known)


def _sorted(
    columns: dict[str, Any], principal: Ints, account: Ints, exists: NDArray[np.bool_]
) -> KeyRows:
    table = pa.table({"p": principal, "key": columns["access_key_id"], "slot": columns["slot"]})
    keys = [(name, "ascending") for name in ("p", "key", "slot")]
    order = np.asarray(pc.sort_indices(table, sort_keys=keys))
    order = order.astype(np.int64)
    taken = {name: take(values, order) for name, values in columns.items()}
    return KeyRows(taken, account[order], exists[order])
