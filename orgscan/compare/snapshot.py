"""A judged run as the comparison sees it, and the questions the comparison asks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orgscan.frames import among
from orgscan.models import ROOT_USER, Coverage, Status

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

OPEN = (Status.FAIL.value, Status.WAIVED.value)
FINDING_COLUMNS = (
    "finding_id",
    "control_id",
    "severity",
    "status",
    "account_id",
    "account_name",
    "ou_path",
    "user",
    "access_key_id",
    "slot",
    "threshold",
    "first_seen_at",
)
"""The columns of findings that a comparison needs; it takes no notice of the others."""
KEY = ["control_id", "account_id", "user", "created"]
_ABSENT = pd.Timestamp(0, tz="UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One run's tables, of all accounts or of some, and what decides how far they can be compared.

    ``findings`` needs :data:`FINDING_COLUMNS` alone. ``changes`` is what that run remembered of
    the runs before it; None where it was compared with none.
    """

    as_of: datetime
    started_at: datetime
    accounts: pd.DataFrame
    credentials: pd.DataFrame
    access_keys: pd.DataFrame
    findings: pd.DataFrame
    controls: frozenset[str]
    """The ids of those that were judged, with findings or without."""
    enumerated: bool = True
    """Whether the account list was read to its end."""
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    service_credentials: pd.DataFrame | None = None
    """None for a run of an older version, which knew none."""
    changes: pd.DataFrame | None = None
    continues: bool = False
    """Whether it names a run before it."""

    @property
    def day(self) -> str:
        """The day it speaks for, as it is told in sentences."""
        return f"{self.as_of:%Y-%m-%d}"

    def coverage(self, account_ids: pd.Series) -> pd.Series:
        """How the reading of each account ended; empty where the run does not list it."""
        known = dict(zip(self.accounts["account_id"], self.accounts["coverage"], strict=True))
        return account_ids.map(known).astype(object).where(account_ids.isin(list(known)), "")

    def judges(self, control_ids: pd.Series) -> Mask:
        """Whether each control was judged at all."""
        return np.asarray(control_ids.isin(self.controls), dtype=np.bool_)

    def open_findings(self) -> pd.DataFrame:
        """The rows that FAIL or are WAIVED, as :func:`plain` gives them."""
        return plain(self.findings, np.asarray(self.findings["status"].isin(OPEN)), self)

    def limits(self, finding_ids: pd.Series) -> dict[str, str]:
        """The limit each of these findings was judged by, without its source, by finding id."""
        held = np.flatnonzero(among(self.findings["finding_id"], finding_ids))
        rows = self.findings[["finding_id", "threshold"]].take(held).dropna()
        values = rows["threshold"].astype(object).str.split(" (", n=1, regex=False).str[0]
        return dict(zip(rows["finding_id"], values, strict=True))

    def existing_users(self) -> pd.DataFrame:
        """``account_id`` and ``user`` of the IAM users that exist, as far as the run can tell."""
        people = self.credentials
        listed = ~people["account_id"].isin(self._without("users"))
        deleted = _gone(people, (people["source"] == "report_only") & listed)
        return people.loc[
            ~deleted & (people["user"] != ROOT_USER), ["account_id", "user"]
        ].drop_duplicates()

    def existing_keys(self) -> pd.DataFrame:
        """``account_id``, ``user``, ``access_key_id``, ``created``, ``status`` of existing keys."""
        keys = self.access_keys
        listed = ~keys["account_id"].isin(self._without("access_keys", "users"))
        gone = _gone(keys, (keys["match"] == "report_only") & listed)
        rows = keys[~gone & ~keys["is_root"].astype(bool)]
        found = [
            pd.DataFrame(
                {
                    "account_id": part["account_id"].astype(object),
                    "user": part["user"].astype(object),
                    "access_key_id": texts(part[name]),
                    "created": seconds(part["created_at"]),
                    "status": texts(part["status"]),
                }
            )
            for part, name in self.with_ids(rows)
        ]
        return pd.concat(found, ignore_index=True)

    def with_ids(self, keys: pd.DataFrame) -> list[tuple[pd.DataFrame, str]]:
        """Access keys and service-specific credentials, each with the column of its id."""
        others = self.service_credentials
        return [(keys, "access_key_id")] + ([] if others is None else [(others, "credential_id")])

    def _without(self, *kinds: str) -> list[str]:
        """The accounts of which one of these kinds of evidence is missing."""
        missing = texts(self.accounts["missing"]).str.split(",")
        lacks = missing.map(lambda names: not set(kinds).isdisjoint(names)).astype(bool)
        return list(self.accounts.loc[lacks, "account_id"])


def _gone(frame: pd.DataFrame, otherwise: pd.Series) -> pd.Series:
    """Where a principal or key does not exist; ``otherwise`` for runs without that column."""
    exists = frame["exists"]
    return (~exists.astype("boolean").fillna(value=True) | (exists.isna() & otherwise)).astype(bool)


def texts(column: pd.Series) -> pd.Series:
    """A text column as plain objects, empty where it was null."""
    plain_column = column.astype(object)
    return plain_column.where(column.notna(), "")


def seconds(column: pd.Series) -> pd.Series:
    """Times to the second, the finest the two sources of a key's creation share; 1970 for null."""
    times = pd.to_datetime(column, utc=True).dt.floor("s").astype("datetime64[us, UTC]")
    return times.fillna(_ABSENT)


def plain(findings: pd.DataFrame, chosen: Mask, run: Snapshot) -> pd.DataFrame:
    """The chosen findings with texts for categories, and ``created``, when their key was made.

    Columns: :data:`FINDING_COLUMNS`, nulls of texts as ``""`` and of ``slot`` as 0, and
    ``position``, the row's place in ``findings``.
    """
    place = np.flatnonzero(chosen)
    rows = findings[list(FINDING_COLUMNS)].take(place).reset_index(drop=True)
    for name in FINDING_COLUMNS:
        if name not in {"slot", "first_seen_at"}:
            rows[name] = texts(rows[name])
    rows["slot"] = rows["slot"].fillna(0).astype("int64")
    rows["first_seen_at"] = pd.to_datetime(rows["first_seen_at"], utc=True)
    return rows.assign(position=place, created=_created(rows, run))


def _created(rows: pd.DataFrame, run: Snapshot) -> pd.Series:
    near = run.access_keys["account_id"].isin(rows["account_id"].unique())
    near &= run.access_keys["user"].isin(rows["user"].unique())
    keys = pd.concat(
        [
            pd.DataFrame(
                {
                    "account_id": part["account_id"].astype(object),
                    "user": part["user"].astype(object),
                    "access_key_id": texts(part[name]),
                    "slot": part["slot"].fillna(0).astype("int64") if "slot" in part else 0,
                    "created": seconds(part["created_at"]),
                }
            )
            for part, name in run.with_ids(run.access_keys[near])
        ],
        ignore_index=True,
    )
    keys.loc[keys["access_key_id"] != "", "slot"] = 0
    wanted = rows[["account_id", "user", "access_key_id", "slot"]].copy()
    wanted.loc[wanted["access_key_id"] != "", "slot"] = 0
    by = ["account_id", "user", "access_key_id", "slot"]
    found = wanted.merge(keys.drop_duplicates(by), on=by, how="left")["created"]
    about_key = (wanted["access_key_id"] != "") | (wanted["slot"] != 0)
    return found.where(about_key).fillna(_ABSENT).set_axis(rows.index)


def known_time(column: pd.Series) -> Mask:
    """Whether a time made by :func:`seconds` is one."""
    return np.asarray(column > _ABSENT, dtype=np.bool_)


def is_gap(coverage: pd.Series) -> Mask:
    """Whether evidence is missing; a word of a newer version counts as one."""
    fine = [value.value for value in Coverage if not value.is_gap]
    return np.asarray(~coverage.isin([*fine, ""]), dtype=np.bool_)
