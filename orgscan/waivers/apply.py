"""Waivers over findings: FAIL becomes WAIVED, and every waiver is told what it did.

A partition of whole accounts at a time: what waivers reach is added up, and whether one is
over-broad is decided at the end.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from orgscan import frames
from orgscan.errors import UsageError
from orgscan.models import ROOT_USER, Status, is_in_unit
from orgscan.waivers.waiver import EVERY_CONTROL, State, Waiver, moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    import pandas as pd
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one waiver."""

    waiver: Waiver
    state: State
    failing: int
    """FAIL rows in its scope, whatever its state."""
    matched: int
    """Rows of any status in its scope."""
    over_broad: bool
    """Rows match, it names no account or access key, and nothing but controls narrows it, or it
    reaches every account or every IAM user that its controls judged."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The findings after the waivers, and a result for each waiver in the order of their ids."""

    findings: pd.DataFrame
    results: tuple[Result, ...]


def check(waivers: Iterable[Waiver], *, as_of: datetime, max_days: float) -> None:
    """Raise :class:`orgscan.errors.UsageError` for a waiver of more than ``max_days`` days."""
    for waiver in waivers:
        if waiver.lasts_longer_than(max_days, as_of):
            since = "its start" if waiver.start else f"the as-of time {moment(as_of)}"
            remedy = "end it earlier" if waiver.start else "end it earlier, or give it a start"
            message = (
                f"{waiver.place}: waiver {waiver.id} expires {moment(waiver.expires)}, more than "
                f"{max_days:g} days after {since}; {remedy}, or increase waiver_max_days"
            )
            raise UsageError(message)


def check_accounts(waivers: Iterable[Waiver], known: Collection[str], *, as_of: datetime) -> None:
    """Raise :class:`orgscan.errors.UsageError` for a waiver of an account that is not ``known``.

    An expired one may name any account: it may have left before its waivers were tidied away.
    """
    for waiver in waivers:
        if waiver.account and waiver.account not in known and as_of < waiver.expires:
            message = (
                f"{waiver.place}: waiver {waiver.id} names account {waiver.account}, which is not "
                "in the organization; correct the id or remove the waiver, or give the earlier run "
                "that knew the account as --previous"
            )
            raise UsageError(message)


def apply(
    findings: pd.DataFrame,
    accounts: pd.DataFrame,
    waivers: Sequence[Waiver],
    *,
    as_of: datetime,
    left: Collection[str] = (),
) -> Applied:
    """Waive what valid waivers cover at ``as_of``, in all accounts at once: see :class:`Waiving`.

    Raises :class:`orgscan.errors.UsageError` where a waiver that has not expired names an account
    that neither ``accounts`` nor ``left``, those of earlier runs, hold.
    """
    check_accounts(waivers, {*accounts["account_id"], *left}, as_of=as_of)
    waiving = Waiving(waivers, as_of=as_of)
    return Applied(waiving.apply(findings, accounts), waiving.results)


@dataclass(slots=True)
class _Reach:
    """What one waiver reaches, added up over partitions."""

    failing: int = 0
    matched: int = 0
    accounts: int = 0
    """Accounts with rows in its scope."""
    judged: int = 0
    """Accounts with findings of its controls."""
    spares_a_user: bool = False
    """Whether an IAM user that its controls judged is not in its scope."""


class Waiving:
    """Waivers at work: :meth:`apply` takes partition after partition, :attr:`results` sum up.

    A FAIL in the scope of a waiver in force becomes WAIVED with its ``waiver_id``, and the reason
    says until when; of several the one that expires last counts, then the lowest id. A FAIL that
    only expired waivers cover stays one, and the reason names the one that expired last. No
    other status is touched, and the order of ``waivers`` does not matter.
    """

    def __init__(self, waivers: Iterable[Waiver], *, as_of: datetime) -> None:
        """Take the waivers to apply at ``as_of``."""
        # The last to claim a row keeps it: the one that expires last, then the lowest id.
        self._ranked = sorted(waivers, key=lambda waiver: waiver.id, reverse=True)
        self._ranked.sort(key=lambda waiver: waiver.expires)
        self._states = [waiver.state(as_of) for waiver in self._ranked]
        self._reach = [_Reach() for _ in self._ranked]

    @property
    def results(self) -> tuple[Result, ...]:
        """What became of each waiver, in the order of their ids."""
        results = [
            Result(waiver, state, reach.failing, reach.matched, _is_over_broad(waiver, reach))
            for waiver, state, reach in zip(self._ranked, self._states, self._reach, strict=True)
        ]
        return tuple(sorted(results, key=lambda result: result.waiver.id))

    def apply(self, findings: pd.DataFrame, accounts: pd.DataFrame) -> pd.DataFrame:
        """Waive the findings of some accounts, all that there are of each; same rows, same order.

        Takes the columns of :data:`orgscan.schema.FINDINGS` and :data:`orgscan.schema.ACCOUNTS`.
        """
        if not self._ranked or findings.empty:
            return findings
        scopes = _Scopes(findings, accounts)
        fails = np.asarray(findings["status"] == Status.FAIL.value, dtype=np.bool_)
        in_force, expired = (np.full(len(findings), -1) for _ in range(2))
        for number, (waiver, state, reach) in enumerate(
            zip(self._ranked, self._states, self._reach, strict=True)
        ):
            rows = scopes.add(waiver, reach)
            claimed = rows[fails[rows]]
            reach.failing += len(claimed)
            if state is State.IN_FORCE:
                in_force[claimed] = number
            elif state is State.EXPIRED:
                expired[claimed] = number
        return self._changed(findings, in_force, np.where(in_force >= 0, -1, expired))

    def _changed(
        self, findings: pd.DataFrame, in_force: NDArray[Any], expired: NDArray[Any]
    ) -> pd.DataFrame:
        """The findings with status, reason and waiver id of the claimed rows set."""
        waived, rows = in_force >= 0, np.flatnonzero((in_force >= 0) | (expired >= 0))
        if not len(rows):
            return findings
        ids = [waiver.id for waiver in self._ranked]
        ends = [moment(waiver.expires) for waiver in self._ranked]
        reasons = findings["reason"].astype(object).to_numpy(copy=True)
        for row in rows.tolist():
            number = in_force[row]
            if number >= 0:
                reasons[row] += f"; waived until {ends[number]} by {ids[number]}"
            else:
                reasons[row] += f"; waiver {ids[expired[row]]} expired {ends[expired[row]]}"
        columns: dict[str, Any] = {
            "status": findings["status"].astype(object).mask(waived, Status.WAIVED.value),
            "reason": reasons,
            "waiver_id": np.array([*ids, None], dtype=object)[in_force],
        }
        return findings.assign(**{name: frames.text(values) for name, values in columns.items()})


def _is_over_broad(waiver: Waiver, reach: _Reach) -> bool:
    """See :class:`Result`. Breadth is what the waiver matches, however its scope is written."""
    if not reach.matched or waiver.names_one:
        return False
    # All of one account is not broad.
    every_account = 1 < reach.judged == reach.accounts
    every_user = waiver.has_user_pattern and not reach.spares_a_user
    return not waiver.is_narrowed or every_account or every_user


class _Scopes:
    """Finds the rows of waivers among the findings of some accounts."""

    def __init__(self, findings: pd.DataFrame, accounts: pd.DataFrame) -> None:
        self._control, self._controls = frames.codes(findings["control_id"])
        self._account, account_ids = frames.codes(findings["account_id"])
        self._user, self._users = frames.codes(findings["user"])
        self._key, keys = frames.codes(findings["access_key_id"])
        self._keys = {key: number for number, key in enumerate(keys)}
        self._accounts = {name: number for number, name in enumerate(account_ids)}
        self._about_user = (self._user >= 0) & np.array(
            [*(name != ROOT_USER for name in self._users), False]
        )[self._user]
        names = ("account_id", "ou_path", "tags")
        columns = [accounts[name].astype(object).fillna("") for name in names]
        known = {name: (path, tags) for name, path, tags in zip(*columns, strict=True)}
        self._places = [known.get(name) for name in account_ids]
        pairs = len(self._controls), len(account_ids)
        self._judged, self._with_users = (np.zeros(pairs, dtype=np.bool_) for _ in range(2))
        self._judged[self._control, self._account] = True
        about = self._about_user
        self._with_users[self._control[about], self._account[about]] = True

    def add(self, waiver: Waiver, reach: _Reach) -> NDArray[np.int64]:
        """The rows in the waiver's scope, of any status, rising; adds what it reaches."""
        nothing = np.empty(0, dtype=np.int64)
        if waiver.account and waiver.account not in self._accounts:
            return nothing
        if waiver.access_key_id and waiver.access_key_id not in self._keys:
            return nothing
        every = waiver.controls == (EVERY_CONTROL,)
        named = np.array([every or name in waiver.controls for name in self._controls])
        meant = self._meant(waiver)
        rows = np.flatnonzero(named[self._control] & meant[self._account])
        if waiver.has_user_pattern:
            missed = self._with_users[named].any(axis=0) & ~meant
            about = rows[self._about_user[rows]]
            spared = ~self._fits(waiver)[self._user[about]]
            reach.spares_a_user |= bool(missed.any() or spared.any())
        if waiver.access_key_id:
            rows = rows[self._key[rows] == self._keys[waiver.access_key_id]]
        if waiver.user:
            rows = rows[self._fits(waiver)[self._user[rows]]]
        reach.matched += len(rows)
        reach.accounts += len(np.unique(self._account[rows]))
        reach.judged += int(self._judged[named].any(axis=0).sum())
        return rows

    def _meant(self, waiver: Waiver) -> Mask:
        """By account: whether it is in the waiver's scope."""
        meant = np.array([place is not None for place in self._places], dtype=np.bool_)
        places = [place or ("", "") for place in self._places]
        if waiver.account:
            meant &= np.arange(len(meant)) == self._accounts[waiver.account]
        if waiver.ou:
            meant &= np.array([is_in_unit(path, waiver.ou) for path, _ in places])
        if waiver.tag:
            key, _, value = waiver.tag.partition("=")
            meant &= np.array([_tags(text).get(key) == value for _, text in places])
        return meant

    def _fits(self, waiver: Waiver) -> Mask:
        """By user, and last where there is none: whether the waiver's user is or may be it."""
        matches = waiver.user_pattern()
        return np.array([*(bool(matches(name)) for name in self._users), False], dtype=np.bool_)


def _tags(text: str) -> Mapping[str, str]:
    tags = json.loads(text) if text else {}
    return tags if isinstance(tags, dict) else {}
