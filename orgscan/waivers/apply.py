"""Waivers over findings: FAIL becomes WAIVED, and every waiver is told what it did.

Findings may have many millions of rows. Only those of the controls and accounts some waiver names
are looked at, as numbers into lists of texts; only FAIL rows are changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orgscan.errors import UsageError
from orgscan.models import ROOT_USER, Status, is_in_unit
from orgscan.waivers.waiver import EVERY_CONTROL, State, Waiver, moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

_STR = pd.StringDtype("pyarrow", na_value=np.nan)
_AT_A_TIME = 1_000_000
"""Rows looked at together where all have to be."""


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
                f"{max_days:g} days after {since}; {remedy} (or raise waiver_max_days)"
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
    """Waive what valid waivers cover at ``as_of``; same rows, same order.

    Takes the columns of :data:`orgscan.schema.FINDINGS` and :data:`orgscan.schema.ACCOUNTS`.
    A FAIL in the scope of a waiver in force becomes WAIVED with its ``waiver_id``, and the reason
    says until when; of several the one that expires last counts, then the lowest id. A FAIL that
    only expired waivers cover stays one, and the reason names the one that expired last. No
    other status is touched, and the order of ``waivers`` does not matter.

    Raises :class:`orgscan.errors.UsageError` where a waiver that has not expired names an account
    that neither ``accounts`` nor ``left``, those of earlier runs, hold.
    """
    _refuse_unknown_accounts({*accounts["account_id"], *left}, waivers, as_of)
    # The last to claim a row keeps it: the one that expires last, then the lowest id.
    by_id = sorted(waivers, key=lambda one: one.id)
    ranked = sorted(waivers, key=lambda one: one.id, reverse=True)
    ranked.sort(key=lambda one: one.expires)
    if not ranked:
        return Applied(findings, ())
    scopes = _Scopes.of(findings, accounts, ranked)
    claims = _Claims.over(findings)
    results = {}
    for number, waiver in enumerate(ranked):
        rows = scopes.rows(waiver)
        state = waiver.state(as_of)
        results[waiver.id] = Result(
            waiver,
            state,
            failing=claims.add(number, state, rows),
            matched=len(rows),
            over_broad=scopes.is_over_broad(waiver, rows),
        )
    return Applied(_changed(findings, ranked, claims), tuple(results[one.id] for one in by_id))


def _refuse_unknown_accounts(
    known: Collection[str], waivers: Iterable[Waiver], as_of: datetime
) -> None:
    for waiver in waivers:
        # An account may leave the organization before the last of its waivers is tidied away.
        if waiver.account and waiver.account not in known and as_of < waiver.expires:
            message = (
                f"{waiver.place}: waiver {waiver.id} names account {waiver.account}, which is not "
                "in the organization; correct the id or remove the waiver, or give the earlier run "
                "that knew the account as --previous"
            )
            raise UsageError(message)


def _codes(column: pd.Series) -> tuple[NDArray[Any], pd.Index]:
    """A column as numbers into its distinct texts; -1 is null."""
    coded = column.astype("category").cat
    return coded.codes.to_numpy(), coded.categories


def _code(texts: pd.Index, text: str) -> int:
    """The number of a text; -1 where it is not there."""
    return int(texts.get_indexer(pd.Index([str(text)], dtype=texts.dtype))[0])


@dataclass(slots=True)
class _Claims:
    """Which waiver covers each FAIL row: numbers of waivers in force and of expired ones."""

    fails: Rows
    """Where the FAIL rows stand, rising."""
    valid: NDArray[np.int32]
    expired: NDArray[np.int32]

    @classmethod
    def over(cls, findings: pd.DataFrame) -> _Claims:
        status, statuses = _codes(findings["status"])
        code = _code(statuses, Status.FAIL)
        fails = np.flatnonzero(status == code) if code >= 0 else np.empty(0, dtype=np.int64)
        none = np.full(len(fails), -1, dtype=np.int32)
        return cls(fails, none, none.copy())

    def add(self, number: int, state: State, rows: Rows) -> int:
        """Let a waiver claim the FAIL rows among ``rows``; how many they are."""
        if not len(self.fails) or not len(rows):
            return 0
        places = np.searchsorted(self.fails, rows)
        places = places[self.fails[np.minimum(places, len(self.fails) - 1)] == rows]
        if state is State.IN_FORCE:
            self.valid[places] = number
        elif state is State.EXPIRED:
            self.expired[places] = number
        return len(places)


@dataclass(slots=True)
class _Scopes:
    """Finds the rows of a waiver's scope among those that any waiver could mean."""

    accounts: pd.DataFrame
    """account_id and ou_path as text, tags as dictionaries."""
    controls: pd.Index
    account_ids: pd.Index
    users: tuple[NDArray[Any], pd.Index]
    keys: tuple[NDArray[Any], pd.Index]
    account_codes: NDArray[Any]
    judged: NDArray[np.bool_]
    """By pair of control and account: whether the control has a finding in the account."""
    with_users: NDArray[np.bool_]
    """By pair: whether the control has a finding about an IAM user in the account."""
    candidates: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Rows, sorted by the pair of control and account."""
    pairs: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    starts: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    sizes: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def of(
        cls, findings: pd.DataFrame, accounts: pd.DataFrame, waivers: Sequence[Waiver]
    ) -> _Scopes:
        control_codes, controls = _codes(findings["control_id"])
        account_codes, account_ids = _codes(findings["account_id"])
        known = pd.DataFrame(
            {
                "account_id": accounts["account_id"].astype(object),
                "ou_path": accounts["ou_path"].astype(object).fillna("").astype(str),
            }
        )
        if any(waiver.tag for waiver in waivers):
            tags = [_tags(value) for value in accounts["tags"].astype(object)]
            known["tags"] = pd.Series(tags, known.index, dtype=object)
        pairs = len(controls) * len(account_ids)
        scopes = cls(
            known,
            controls,
            account_ids,
            _codes(findings["user"]),
            _codes(findings["access_key_id"]),
            account_codes,
            judged=np.zeros(pairs, dtype=np.bool_),
            with_users=np.zeros(pairs, dtype=np.bool_),
        )
        scopes._gather(control_codes, waivers)
        return scopes

    def _gather(self, control_codes: NDArray[Any], waivers: Sequence[Waiver]) -> None:
        """Keep the rows whose control and account some waiver means, in the order of the pair.

        Also fills ``judged`` and ``with_users`` from all rows.
        """
        wanted = np.zeros(len(self.controls) * len(self.account_ids) + 1, dtype=np.bool_)
        users, names = self.users
        root = _code(names, ROOT_USER)
        for waiver in waivers:
            wanted[:-1] |= self._meant(waiver)
        kept, pairs = [], []
        for start in range(0, len(control_codes), _AT_A_TIME):
            part = slice(start, start + _AT_A_TIME)
            control, account = control_codes[part].astype(np.int64), self.account_codes[part]
            pair = np.where((control < 0) | (account < 0), -1, control * len(self.account_ids))
            pair = np.where(pair < 0, -1, pair + account)
            self.judged[pair[pair >= 0]] = True
            about_user = (users[part] >= 0) & (users[part] != root)
            self.with_users[pair[about_user & (pair >= 0)]] = True
            rows = np.flatnonzero(wanted[pair])
            kept.append(rows + start)
            pairs.append(pair[rows])
        if not kept:
            return
        candidates, pair = np.concatenate(kept), np.concatenate(pairs)
        order = np.argsort(pair, kind="stable")
        self.candidates = candidates[order]
        self.pairs, self.starts, self.sizes = np.unique(
            pair[order], return_index=True, return_counts=True
        )

    def _meant(self, waiver: Waiver) -> NDArray[np.bool_]:
        """By pair of control and account: whether the waiver could mean its rows."""
        account = self.account_ids.isin(self._account_ids(waiver))
        return (self._named(waiver)[:, None] & account[None, :]).ravel()

    def _named(self, waiver: Waiver) -> NDArray[np.bool_]:
        """By control: whether the waiver names it."""
        every = waiver.controls == (EVERY_CONTROL,)
        return np.full(len(self.controls), every) | self.controls.isin(waiver.controls)

    def _account_ids(self, waiver: Waiver) -> pd.Series:
        known = self.accounts
        chosen = pd.Series(data=True, index=known.index)
        if waiver.account:
            chosen &= known["account_id"] == waiver.account
        if waiver.ou:
            paths = known["ou_path"]
            inside = [path for path in paths.dropna().unique() if is_in_unit(path, waiver.ou)]
            chosen &= paths.isin(inside)
        if waiver.tag:
            key, _, value = waiver.tag.partition("=")
            chosen &= pd.Series([tags.get(key) == value for tags in known["tags"]], known.index)
        return known.loc[chosen, "account_id"]

    def rows(self, waiver: Waiver) -> Rows:
        """The rows in the waiver's scope, of any status, rising."""
        rows = self._rows_of_pairs(waiver)
        if waiver.access_key_id:
            codes, keys = self.keys
            code = _code(keys, waiver.access_key_id)
            rows = rows[(codes[rows] == code) & (code >= 0)]
        if waiver.user:
            rows = rows[self._of_users(waiver, rows)]
        return rows

    def _rows_of_pairs(self, waiver: Waiver) -> Rows:
        """The rows of the controls and accounts in the waiver's scope, rising."""
        hit = self._meant(waiver)[self.pairs]
        starts, sizes = self.starts[hit], self.sizes[hit]
        # Each run of places begins at its start: count on from there.
        places = np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())
        return np.sort(self.candidates[places])

    def _of_users(self, waiver: Waiver, rows: Rows) -> NDArray[np.bool_]:
        codes, users = self.users
        distinct, inverse = np.unique(codes[rows], return_inverse=True)
        matches = waiver.user_pattern()
        fits = [code >= 0 and bool(matches(str(users[code]))) for code in distinct.tolist()]
        return np.array(fits, dtype=np.bool_)[inverse]

    def is_over_broad(self, waiver: Waiver, rows: Rows) -> bool:
        """See :class:`Result`. Breadth is what the waiver matches, however its scope is written."""
        if not len(rows) or waiver.names_one:
            return False
        if not waiver.is_narrowed:
            return True
        return self._reaches_every_account(waiver, rows) or self._reaches_every_user(waiver)

    def _reaches_every_account(self, waiver: Waiver, rows: Rows) -> bool:
        judged = int(self._accounts_of(self.judged, waiver).sum())
        # All of one account is not broad.
        return judged > 1 and len(np.unique(self.account_codes[rows])) == judged

    def _reaches_every_user(self, waiver: Waiver) -> bool:
        """Whether its user pattern leaves out no IAM user that its controls judged."""
        if not waiver.has_user_pattern:
            return False
        holding = self._accounts_of(self.with_users, waiver)
        if not self.account_ids[holding].isin(self._account_ids(waiver)).all():
            return False
        codes, names = self.users
        distinct = np.unique(codes[self._rows_of_pairs(waiver)])
        users = [str(names[code]) for code in distinct[distinct >= 0].tolist()]
        return all(map(waiver.user_pattern(), (name for name in users if name != ROOT_USER)))

    def _accounts_of(self, pairs: NDArray[np.bool_], waiver: Waiver) -> NDArray[np.bool_]:
        """By account: whether ``pairs`` holds for any control the waiver names."""
        table = pairs.reshape(len(self.controls), len(self.account_ids))
        return np.asarray(table[self._named(waiver)].any(axis=0), dtype=np.bool_)


def _tags(value: object) -> Mapping[str, str]:
    tags = json.loads(value) if isinstance(value, str) else {}
    return tags if isinstance(tags, dict) else {}


def _changed(findings: pd.DataFrame, waivers: Sequence[Waiver], claims: _Claims) -> pd.DataFrame:
    """The findings with status, reason and waiver id of the claimed rows set."""
    chosen = np.where(claims.valid >= 0, claims.valid, claims.expired + len(waivers))
    claimed = (claims.valid >= 0) | (claims.expired >= 0)
    if not claimed.any():
        return findings
    rows, chosen = claims.fails[claimed], chosen[claimed]
    waived = chosen < len(waivers)
    endings = [f"; waived until {moment(one.expires)} by {one.id}" for one in waivers]
    endings += [f"; waiver {one.id} expired {moment(one.expires)}" for one in waivers]
    return findings.assign(
        status=_waived(findings["status"], rows[waived]),
        reason=_extended(findings["reason"], rows, chosen, endings),
        waiver_id=_identified(len(findings), rows[waived], chosen[waived], waivers),
    )


def _waived(column: pd.Series, rows: Rows) -> pd.Categorical:
    coded = column.astype("category").cat
    texts = coded.categories
    if Status.WAIVED.value not in texts:
        texts = texts.append(pd.Index([Status.WAIVED.value], dtype=texts.dtype))
    codes = coded.codes.to_numpy().copy()
    codes[rows] = _code(texts, Status.WAIVED)
    return pd.Categorical.from_codes(codes, texts)


def _extended(
    column: pd.Series, rows: Rows, chosen: NDArray[Any], endings: Sequence[str]
) -> pd.Categorical:
    """The reasons, those of ``rows`` with the ending of their waiver; each text is made once."""
    codes, texts = _codes(column)
    codes = codes.astype(np.int32)
    combined = codes[rows].astype(np.int64) * len(endings) + chosen
    distinct, inverse = np.unique(combined, return_inverse=True)
    before, ending = np.divmod(distinct, len(endings))
    made = [
        f"{texts[old] if old >= 0 else ''}{endings[end]}"
        for old, end in zip(before.tolist(), ending.tolist(), strict=True)
    ]
    fresh = pd.Index(made, dtype=texts.dtype).unique()
    everything = texts.append(fresh[~fresh.isin(texts)])
    codes[rows] = everything.get_indexer(pd.Index(made, dtype=texts.dtype))[inverse]
    return pd.Categorical.from_codes(codes, everything)


def _identified(
    size: int, rows: Rows, chosen: NDArray[Any], waivers: Sequence[Waiver]
) -> pd.Categorical:
    codes = np.full(size, -1, dtype=np.int32)
    codes[rows] = chosen
    ids = pd.Index([waiver.id for waiver in waivers], dtype=_STR)
    return pd.Categorical.from_codes(codes, ids)
