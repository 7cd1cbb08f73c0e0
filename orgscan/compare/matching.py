"""Which finding of one run is which of another: by id, or by the key it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from orgscan.compare.snapshot import KEY, known_time, plain
from orgscan.frames import among

if TYPE_CHECKING:
    from orgscan.compare.snapshot import Snapshot


def counterparts(wanted: pd.DataFrame, run: Snapshot) -> pd.DataFrame:
    """The finding of ``run`` that each of ``wanted`` is, whatever its status.

    ``wanted`` has ``finding_id``, :data:`~orgscan.compare.snapshot.KEY`, ``access_key_id`` and
    ``slot``. Returns ``finding_id`` (that of ``wanted``), ``other_id``, ``other_status`` and, where
    the ids differ, ``other_key``; a row for those found alone, each finding of either side once.

    A key judged by its slot, because keys could not be listed, has another finding id than the
    same key judged by its own: those are told by user, control and second of creation.
    """
    same = _by_id(wanted, run)
    rest = wanted[~among(wanted["finding_id"], same["finding_id"])]
    return pd.concat([same, _by_key(rest, run, same)], ignore_index=True)


def _by_id(wanted: pd.DataFrame, run: Snapshot) -> pd.DataFrame:
    chosen = np.flatnonzero(among(run.findings["finding_id"], wanted["finding_id"]))
    ids = run.findings["finding_id"].take(chosen).astype(object).reset_index(drop=True)
    status = run.findings["status"].take(chosen).astype(object).reset_index(drop=True)
    return pd.DataFrame(
        {"finding_id": ids, "other_id": ids, "other_status": status, "other_key": None}
    )


def _by_key(rest: pd.DataFrame, run: Snapshot, same: pd.DataFrame) -> pd.DataFrame:
    rest = rest[known_time(rest["created"])]
    findings = run.findings
    about_key = findings["access_key_id"].notna() | findings["slot"].notna()
    near = findings["account_id"].isin(rest["account_id"].unique())
    near &= findings["user"].isin(rest["user"].unique()) & about_key
    others = plain(findings, np.asarray(near, dtype=np.bool_), run)
    others = others[known_time(others["created"]) & ~among(others["finding_id"], same["other_id"])]
    names = {"finding_id": "other_id", "status": "other_status"}
    others = others.rename(columns=names)[[*KEY, *names.values(), "access_key_id", "slot"]]
    pairs = rest[[*KEY, "finding_id", "access_key_id", "slot"]].merge(
        others, on=KEY, suffixes=("", "_other")
    )
    # Two ids, or two slots, are two keys.
    one_id = (pairs["access_key_id"] == "") != (pairs["access_key_id_other"] == "")
    slots = pairs["slot"], pairs["slot_other"]
    one_slot = (slots[0] == slots[1]) | (slots[0] == 0) | (slots[1] == 0)
    pairs = pairs[one_id & one_slot].drop_duplicates("finding_id").drop_duplicates("other_id")
    pairs["other_key"] = pairs["access_key_id_other"]
    return pairs[["finding_id", "other_id", "other_status", "other_key"]]
