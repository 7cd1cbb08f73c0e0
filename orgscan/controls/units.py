"""The frames predicates see: one row per resource to be judged, of each unit.

``accounts`` (units root and account): the facts, name, OU path, tags and
``report_generated_at`` of the accounts table, and the root row's columns with the prefix
``root_``.

``users``: the columns of credentials for IAM users that exist, with ``listed`` (the live listing
contains the user), ``in_report`` (a readable report row exists, or AWS was asked directly),
``account_has_report`` and ``more_credentials_requested``.

``access_keys``: the columns of access_keys for keys that exist, with the owner's
``user_created_at``, ``password_enabled`` and ``in_report``; ``account_generated_at``; and what is
known of last use: ``use_known``, and ``used_one`` and ``used_two``, the last use (null: never)
under either reading of an ambiguous match, equal for all other keys.

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

from orgscan import frames
from orgscan.controls.control import Unit
from orgscan.controls.masks import NULL, SECOND, Mask, equals, known, micros, truth

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REPEATED = ("report_generated_at", "account_name", "ou_path", "tags")


@dataclass(frozen=True, slots=True)
class Units:
    """The frames of the units; ``account`` in them is the row of ``accounts``."""

    accounts: pd.DataFrame
    users: pd.DataFrame
    access_keys: pd.DataFrame
    service_credentials: pd.DataFrame

    def of(self, unit: Unit) -> pd.DataFrame:
        """The frame the predicates of a unit are given."""
        others = {
            Unit.USER: self.users,
            Unit.ACCESS_KEY: self.access_keys,
            Unit.SERVICE_CREDENTIAL: self.service_credentials,
        }
        return others.get(unit, self.accounts)


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


def _owners(frame: pd.DataFrame, in_scope: pd.DataFrame) -> NDArray[np.int64]:
    """The row of each one's account among those in scope, -1 where it is not."""
    return frames.positions(frames.arrow(frame["account_id"]), frames.arrow(in_scope["account_id"]))


def _principal(frame: pd.DataFrame) -> pa.Array:
    parts = [frames.arrow(frame[name]) for name in ("account_id", "user", "user_id")]
    separator = pa.scalar("\x1f", pa.large_string())
    return pc.binary_join_element_wise(*parts[:2], pc.fill_null(parts[2], ""), separator)


def _locate(frame: pd.DataFrame, credentials: pd.DataFrame) -> NDArray[np.int64]:
    return frames.positions(_principal(frame), _principal(credentials))


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


def _account_frame(
    accounts: pd.DataFrame, credentials: pd.DataFrame, facts: pd.DataFrame
) -> pd.DataFrame:
    frame = facts.sort_values("account_id", ignore_index=True)
    ids = frames.arrow(frame["account_id"])
    place = frames.positions(ids, frames.arrow(accounts["account_id"]))
    roots = credentials[truth(credentials["is_root"])]
    root = frames.positions(ids, frames.arrow(roots["account_id"]))
    names = [
        name for name in roots.columns if name not in {"account_id", "account_name", "ou_path"}
    ]
    extra = _aligned(accounts, place, {name: name for name in _REPEATED})
    extra |= _aligned(roots, root, {name: f"root_{name}" for name in names})
    return pd.concat([frame, pd.DataFrame(extra, index=frame.index)], axis=1)


def _user_frame(credentials: pd.DataFrame, in_scope: pd.DataFrame) -> pd.DataFrame:
    account = _owners(credentials, in_scope)
    people = ~truth(credentials["is_root"]) & truth(credentials["exists"])
    judged = np.flatnonzero((account >= 0) & people)
    frame = credentials.take(judged).reset_index(drop=True)
    account = account[judged]
    extra = {
        "listed": ~equals(frame["source"], "report_only"),
        "in_report": known(frame["details_source"]),
        "account": account,
        "account_has_report": truth(in_scope["has_report"])[account],
        "more_credentials_requested": truth(in_scope["more_credentials_requested"])[account],
    }
    return frame.assign(**extra)


def _key_frame(
    access_keys: pd.DataFrame, credentials: pd.DataFrame, in_scope: pd.DataFrame
) -> pd.DataFrame:
    account = _owners(access_keys, in_scope)
    keys = ~truth(access_keys["is_root"]) & truth(access_keys["exists"])
    judged = np.flatnonzero((account >= 0) & keys)
    frame = access_keys.take(judged).reset_index(drop=True)
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
    return frame.assign(**_use(frame, credentials, owner))


def _service_credential_frame(
    service_credentials: pd.DataFrame, in_scope: pd.DataFrame
) -> pd.DataFrame:
    account = _owners(service_credentials, in_scope)
    judged = np.flatnonzero(account >= 0)
    frame = service_credentials.take(judged).reset_index(drop=True)
    nothing = np.full(len(frame), NULL, dtype=np.int64)
    return frame.rename(columns={"credential_id": "access_key_id"}).assign(
        account=account[judged], report_generated_at=frames.times(nothing)
    )


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
    return {"use_known": use_known, "used_one": frames.times(one), "used_two": frames.times(two)}


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
