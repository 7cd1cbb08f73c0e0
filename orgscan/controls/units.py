"""The frames predicates see: one row per resource to be judged, of each unit.

``accounts`` (units root and account): the facts, name, OU path, tags and
``report_generated_at`` of the accounts table, and the root row's columns with the prefix
``root_``.

``users``: the columns of credentials (less ``_NOT_ASKED``) for IAM users that exist, with
``listed`` (the live listing contains the user), ``in_report`` (a readable report row exists, or
AWS was asked directly), ``account_has_report`` and ``more_credentials_requested``.

``access_keys``: the columns of access_keys (less ``_NOT_ASKED``) for keys that exist, with the
owner's ``user_created_at``, ``password_enabled`` and ``in_report``; ``account_generated_at``; and
what is known of last use: ``use_known``, and ``used_one`` and ``used_two``, the last use (null:
never) under either reading of an ambiguous match, equal for all other keys.

``service_credentials``: the columns of that table, with ``report_generated_at`` (always null: no
report describes them) and the credential's id as ``access_key_id``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from orgscan.controls.control import Unit
from orgscan.controls.masks import NULL, SECOND, Mask, equals, known, micros, truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Columns no predicate reads; a million rows of them are worth leaving out.
_NOT_ASKED = frozenset(
    {
        "account_name",
        "ou_path",
        "password_next_rotation_at",
        "password_next_rotation_note",
        "password_last_changed_note",
        "last_used_region",
        "last_used_service",
        "age_days",
        "idle_days",
        *(
            f"access_key_{slot}_last_used_{what}"
            for slot in (1, 2)
            for what in ("region", "service")
        ),
    }
)
_REPEATED = ("report_generated_at", "account_name", "ou_path", "tags")


@dataclass(frozen=True, slots=True)
class Units:
    """The frames of the units, each sorted by account, user and key."""

    accounts: pd.DataFrame
    users: pd.DataFrame
    access_keys: pd.DataFrame
    service_credentials: pd.DataFrame

    def of(self, unit: Unit) -> pd.DataFrame:
        """The frame the predicates of a unit are given."""
        frames = {
            Unit.USER: self.users,
            Unit.ACCESS_KEY: self.access_keys,
            Unit.SERVICE_CREDENTIAL: self.service_credentials,
        }
        return frames.get(unit, self.accounts)


def prepare(
    accounts: pd.DataFrame,
    credentials: pd.DataFrame,
    access_keys: pd.DataFrame,
    service_credentials: pd.DataFrame,
    facts: pd.DataFrame,
) -> Units:
    """Select the resources to evaluate and add what the predicates need."""
    in_scope = _account_frame(accounts, credentials, facts)
    return Units(
        in_scope,
        _user_frame(credentials, in_scope),
        _key_frame(access_keys, credentials, in_scope),
        _service_credential_frame(service_credentials, in_scope),
    )


def arrow(column: pd.Series) -> pa.Array:
    """A column as one Arrow array, without copying where pandas allows."""
    array = pa.array(column.array)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def text(value: str) -> pa.Scalar:
    """A text as Arrow wants it beside such a column."""
    return pa.scalar(value, pa.large_string())


def _place(values: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Where each value stands among others, -1 where it does not."""
    found = pc.index_in(values, value_set=among)
    return np.asarray(found.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)


def _principal(frame: pd.DataFrame) -> pa.Array:
    # The account id has a fixed length, so nothing is needed to keep the first two apart.
    user_id = pc.fill_null(arrow(frame["user_id"]).cast(pa.large_string()), "")
    separator = text("\x1f")
    user = pc.binary_join_element_wise(arrow(frame["user"]), user_id, separator)
    return pc.binary_join_element_wise(arrow(frame["account_id"]), user, text(""))


def _locate(frame: pd.DataFrame, credentials: pd.DataFrame) -> NDArray[np.int64]:
    return _place(_principal(frame), _principal(credentials))


def _aligned(
    source: pd.DataFrame, place: NDArray[np.int64], names: dict[str, str]
) -> dict[str, Any]:
    """Columns of ``source`` at ``place`` under new names, null where the place is negative."""
    columns: dict[str, Any] = {}
    for name, new in names.items():
        columns[new] = source[name].array.take(place, allow_fill=True)
    return columns


def _at(flags: Mask, place: NDArray[np.int64]) -> Mask:
    """``flags[place]``, false where the place is negative."""
    return np.append(flags, [False])[place]


def _rows(frame: pd.DataFrame, chosen: NDArray[np.int64], without: frozenset[str]) -> pd.DataFrame:
    kept = [name for name in frame.columns if name not in without]
    return frame[kept].take(chosen).reset_index(drop=True)


def _account_frame(
    accounts: pd.DataFrame, credentials: pd.DataFrame, facts: pd.DataFrame
) -> pd.DataFrame:
    frame = facts.sort_values("account_id", ignore_index=True)
    ids = arrow(frame["account_id"])
    place = _place(ids, arrow(accounts["account_id"]))
    roots = credentials[truth(credentials["is_root"])]
    root = _place(ids, arrow(roots["account_id"]))
    names = [
        name for name in roots.columns if name not in {"account_id", "account_name", "ou_path"}
    ]
    extra = _aligned(accounts, place, {name: name for name in _REPEATED})
    extra |= _aligned(roots, root, {name: f"root_{name}" for name in names})
    return pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis=1)


def _user_frame(credentials: pd.DataFrame, in_scope: pd.DataFrame) -> pd.DataFrame:
    account = _place(arrow(credentials["account_id"]), arrow(in_scope["account_id"]))
    people = ~truth(credentials["is_root"]) & truth(credentials["exists"])
    judged = np.flatnonzero((account >= 0) & people)
    frame = _rows(credentials, judged, _NOT_ASKED)
    account = account[judged]
    extra = {
        "listed": ~equals(frame["source"], "report_only"),
        "in_report": known(frame["details_source"]),
        "account": account,
        "account_has_report": truth(in_scope["has_report"])[account],
        "more_credentials_requested": truth(in_scope["more_credentials_requested"])[account],
    }
    return _in_order(frame.assign(**extra), ["account_id", "user"])


def _key_frame(
    access_keys: pd.DataFrame, credentials: pd.DataFrame, in_scope: pd.DataFrame
) -> pd.DataFrame:
    account = _place(arrow(access_keys["account_id"]), arrow(in_scope["account_id"]))
    keys = ~truth(access_keys["is_root"]) & truth(access_keys["exists"])
    judged = np.flatnonzero((account >= 0) & keys)
    frame = _rows(access_keys, judged, _NOT_ASKED)
    account, owner = account[judged], _locate(frame, credentials)
    names = {
        name: name for name in ("arn", "user_created_at", "password_enabled", "details_source")
    }
    extra = _aligned(credentials, owner, names)
    extra |= {
        "in_report": known(pd.Series(extra.pop("details_source"))),
        "account": account,
        "account_has_report": truth(in_scope["has_report"])[account],
        "account_generated_at": in_scope["report_generated_at"].array.take(account),
    }
    frame = frame.assign(**extra)
    frame = frame.assign(**_use(frame, credentials, owner))
    return _in_order(frame, ["account_id", "user", "access_key_id", "slot"])


def _service_credential_frame(
    service_credentials: pd.DataFrame, in_scope: pd.DataFrame
) -> pd.DataFrame:
    account = _place(arrow(service_credentials["account_id"]), arrow(in_scope["account_id"]))
    judged = np.flatnonzero(account >= 0)
    frame = _rows(service_credentials, judged, _NOT_ASKED)
    nothing = np.full(len(frame), NULL, dtype=np.int64)
    frame = frame.rename(columns={"credential_id": "access_key_id"}).assign(
        account=account[judged], report_generated_at=times(nothing)
    )
    return _in_order(frame, ["account_id", "user", "access_key_id"])


def _use(
    frame: pd.DataFrame, credentials: pd.DataFrame, owner: NDArray[np.int64]
) -> dict[str, Any]:
    """What is known of last use; for ambiguous keys from every slot that fits them."""
    used = micros(frame["last_used_at"])
    one, two = used.copy(), used.copy()
    use_known = truth(frame["last_use_known"]).copy()
    unsure = np.flatnonzero(equals(frame["match"], "ambiguous") & ~use_known)
    if len(unsure):
        mine = credentials.iloc[owner[unsure]]
        second = micros(frame["created_at"])[unsure] // SECOND
        fits, uses = _candidates(mine, second)
        rivals = pd.DataFrame({"owner": owner[unsure], "second": second})
        keys = rivals.groupby(["owner", "second"])["owner"].transform("size").to_numpy()
        # More keys than slots: one of them is in no slot, and it may be this one.
        use_known[unsure] = fits.sum(axis=0) >= keys
        one[unsure] = np.where(fits[0], uses[0], uses[1])
        two[unsure] = np.where(fits[1], uses[1], uses[0])
    return {"use_known": use_known, "used_one": times(one), "used_two": times(two)}


def _candidates(
    owners: pd.DataFrame, second: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """For slots 1 and 2: whether created in that second, and the last use; shape (2, rows)."""
    fits, uses = [], []
    for slot in (1, 2):
        rotated = micros(owners[f"access_key_{slot}_last_rotated_at"])
        fits.append((rotated != NULL) & (rotated // SECOND == second))
        uses.append(micros(owners[f"access_key_{slot}_last_used_at"]))
    return np.array(fits), np.array(uses)


def times(values: NDArray[np.int64]) -> Any:
    """Microseconds since 1970 (see :func:`orgscan.controls.control.micros`) as a UTC column."""
    return pd.Series(values.view("datetime64[us]")).dt.tz_localize("UTC").array


def _in_order(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Sorted by key; tables come sorted, so this is a check that seldom costs a sort."""
    joined = arrow(frame["account_id"])
    for name in by[1:]:
        part = pc.fill_null(arrow(frame[name]).cast(pa.large_string()), text("\x7f"))
        joined = pc.binary_join_element_wise(joined, part, text("\x1f"))
    if len(joined) < 2 or pc.all(pc.less_equal(joined[:-1], joined[1:])).as_py():  # noqa: PLR2004
        return frame
    order = np.asarray(pc.sort_indices(joined), dtype=np.int64)
    return frame.iloc[order].reset_index(drop=True)
