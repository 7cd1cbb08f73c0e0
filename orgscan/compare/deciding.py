"""What became of each finding, and the sentence that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from orgscan.compare.snapshot import OPEN, is_gap, known_time
from orgscan.models import ROOT_USER, Change, Coverage, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.compare.snapshot import Mask, Snapshot


class _Case(NamedTuple):
    """The first case whose mask holds decides a row."""

    mask: Any
    change: Change
    detail: str


def decide(rows: pd.DataFrame, previous: Snapshot, current: Snapshot) -> pd.DataFrame:
    """``rows`` with ``change`` and ``detail``."""
    facts = _Facts(rows, previous, current)
    cases = [*_open_now(facts, previous), *_not_open_now(facts)]
    masks = [np.asarray(case.mask, dtype=np.bool_) for case in cases]
    # Nothing falls through: what no case explains was not compared.
    masks.append(np.ones(len(rows), dtype=np.bool_))
    unexplained = _Case(None, Change.NOT_COMPARED, "this run says nothing of it")
    place = np.argmax(np.array(masks), axis=0) if len(rows) else np.empty(0, dtype=np.int64)
    names = np.array([case.change.value for case in (*cases, unexplained)], dtype=object)
    words = np.array([case.detail for case in (*cases, unexplained)], dtype=object)
    return rows.assign(change=names[place], detail=words[place])


class _Facts:
    """All that decides about the rows, as masks aligned with them."""

    def __init__(self, rows: pd.DataFrame, previous: Snapshot, current: Snapshot) -> None:
        self.known = rows["known"]
        self.before, self.now = rows["previous_status"], rows["status"]
        self.open_now = self.now.isin(OPEN)
        self.absent = self.now == ""
        self.coverage_before = previous.coverage(rows["account_id"])
        self.coverage_now = current.coverage(rows["account_id"])
        self.listed_before, self.listed_now = previous.enumerated, current.enumerated
        self.judged_before = previous.judges(rows["control_id"])
        self.judged_now = current.judges(rows["control_id"])
        self.about_user = (rows["user"] != "") & (rows["user"] != ROOT_USER)
        self.about_key = (rows["access_key_id"] != "") | (rows["slot"] != 0)
        self.dated = known_time(rows["created"])
        self.user_gone = self.about_user & ~_among(rows, current.existing_users())
        keys = current.existing_keys()
        self.key_before = _key_status(rows, previous.existing_keys())
        self.key_now = _key_status(rows, keys)
        self.replaced = _newer_active(rows, keys) & (self.key_before != "Inactive")
        since = pd.Timestamp(previous.as_of)
        self.other_limit = _other_limit(rows, previous, current)
        self.key_is_newer = self.dated & np.asarray(rows["created"] > since)


def _open_now(facts: _Facts, previous: Snapshot) -> Iterator[_Case]:
    is_open, day = facts.open_now, previous.day
    yield _Case(
        is_open & (facts.known == "resolved"),
        Change.REOPENED,
        "an earlier run of the chain saw it resolved; it is open again",
    )
    known = is_open & (facts.known != "")
    yield _Case(
        known & (facts.before == Status.WAIVED) & (facts.now == Status.FAIL),
        Change.WAIVER_ENDED,
        "no valid waiver covers it any more",
    )
    yield _Case(
        known & (facts.before == Status.FAIL) & (facts.now == Status.WAIVED),
        Change.WAIVED,
        "a waiver accepts the risk now; it is still open",
    )
    yield _Case(
        known & (facts.known == "pending"),
        Change.STILL_OPEN,
        f"still open; the run of {day} could not compare it",
    )
    yield _Case(known, Change.STILL_OPEN, f"open in the run of {day} as well")
    yield from _first_time(facts, previous)


def _first_time(facts: _Facts, previous: Snapshot) -> Iterator[_Case]:
    """Open now, and no earlier run of the chain knows it as open."""
    is_open, day, coverage = facts.open_now, previous.day, facts.coverage_before
    first = Change.FIRST_COMPARED
    yield _Case(
        is_open & (facts.key_before == "Inactive") & (facts.key_now == "Active"),
        Change.REOPENED,
        f"the key was inactive in the run of {day} and is active again",
    )
    yield _Case(
        is_open & facts.key_is_newer,
        Change.NEW,
        f"the key was created after the run of {day}",
    )
    yield _Case(is_open & ~facts.judged_before, first, f"the run of {day} had no such control")
    unlisted = is_open & (coverage == "")
    joined = Change.NEW if facts.listed_before else first
    why = (
        "the account was not in the organization"
        if facts.listed_before
        else "the account list was not read to its end"
    )
    yield _Case(unlisted, joined, f"in the run of {day} {why}")
    yield _Case(
        is_open & coverage.isin([Coverage.EXCLUDED.value, Coverage.NOT_ACTIVE.value]),
        first,
        f"the account was not judged in the run of {day}",
    )
    unread = facts.before.isin(["", Status.UNKNOWN.value]) & is_gap(coverage)
    yield _Case(is_open & unread, first, f"the account was not read in full in the run of {day}")
    yield _Case(
        is_open & (facts.before == Status.UNKNOWN),
        first,
        f"UNKNOWN in the run of {day}",
    )
    yield _Case(
        is_open & (facts.before == ""),
        Change.NEW,
        f"it did not exist in the run of {day}",
    )
    yield _Case(is_open, Change.NEW, f"not open in the run of {day}")


def _not_open_now(facts: _Facts) -> Iterator[_Case]:
    """Open once; whatever this run could not judge is settled first and never resolved."""
    none = Change.NOT_COMPARED
    yield _Case(
        facts.known == "resolved", Change.RESOLVED_EARLIER, "resolved before, and not open again"
    )
    coverage = facts.coverage_now
    if facts.listed_now:
        left = "the account is no longer in the organization"
        yield _Case(coverage == "", Change.ACCOUNT_LEFT, left)
    else:
        yield _Case(coverage == "", none, "the account list was not read to its end")
    out = coverage == Coverage.EXCLUDED
    yield _Case(
        out & (facts.known == "open"), Change.OUT_OF_SCOPE, "the settings leave the account out"
    )
    yield _Case(out, none, "the settings leave the account out, as they did before")
    yield _Case(
        coverage == Coverage.NOT_ACTIVE,
        Change.ACCOUNT_NOT_ACTIVE,
        "the account is suspended or closed",
    )
    yield _Case(~facts.judged_now, none, "the control is not judged any more")
    gap = is_gap(coverage) & facts.now.isin(["", Status.UNKNOWN.value])
    yield _Case(gap, none, "the account was not read in full this time")
    yield _Case(facts.now == Status.UNKNOWN, none, "not enough evidence this time")
    yield from _resolved(facts)


def _resolved(facts: _Facts) -> Iterator[_Case]:
    """Judged, or gone, in an account whose evidence tells."""
    yield _Case(facts.absent & facts.user_gone, Change.USER_DELETED, "the user was deleted")
    gone = facts.absent & facts.about_key & facts.dated & (facts.key_now == "")
    yield _Case(
        gone & facts.replaced,
        Change.ROTATED,
        "the key was deleted; the user has a newer active key",
    )
    yield _Case(gone, Change.KEY_DELETED, "the key was deleted")
    off = ~facts.absent & facts.about_key & (facts.key_now == "Inactive")
    off &= facts.key_before != "Inactive"
    yield _Case(
        off & facts.replaced,
        Change.ROTATED,
        "the key was deactivated; the user has a newer active key",
    )
    yield _Case(off, Change.KEY_DEACTIVATED, "the key was deactivated")
    on = ~facts.absent & (facts.key_before == "Inactive") & (facts.key_now == "Active")
    yield _Case(on, Change.KEY_REACTIVATED, "the key is active again")
    yield _Case(facts.now == Status.NOT_APPLICABLE, Change.FIXED, "the question does not arise now")
    yield _Case(
        facts.other_limit,
        Change.FIXED,
        "it passes by the limit of this run, which is not that of the earlier one",
    )
    yield _Case(facts.now == Status.PASS, Change.FIXED, "it passes now")


def _other_limit(rows: pd.DataFrame, previous: Snapshot, current: Snapshot) -> Mask:
    """Where a finding passes now that was judged by another limit then."""
    passing = rows["status"] == Status.PASS
    ids = rows["finding_id"].where(passing)
    then, now = (ids.map(run.limits(ids[passing])) for run in (previous, current))
    return np.asarray(then.notna() & now.notna() & (then != now), dtype=np.bool_)


def _among(rows: pd.DataFrame, others: pd.DataFrame) -> Mask:
    """Whether account and user of each row are among others'."""
    by = ["account_id", "user"]
    mine, its = (pd.MultiIndex.from_frame(frame[by].astype(object)) for frame in (rows, others))
    return np.asarray(mine.isin(its), dtype=np.bool_)


def _key_status(rows: pd.DataFrame, keys: pd.DataFrame) -> pd.Series:
    """Active, Inactive, or empty where the row is about no key or its key does not exist.

    By id where both know one, else by the second of creation.
    """
    status = pd.Series("", index=rows.index, dtype=object)
    by_id = keys[keys["access_key_id"] != ""]
    for by, chosen, among in (
        ("created", known_time(rows["created"]), keys),
        ("access_key_id", np.asarray(rows["access_key_id"] != ""), by_id),
    ):
        place = ["account_id", "user", by]
        found = rows[place].merge(among.drop_duplicates(place), on=place, how="left")
        told = found["status"].set_axis(rows.index)
        usable = chosen & told.notna()
        if by == "created":
            # A key with an id of its own is not some other key of the same second.
            other = found["access_key_id"].set_axis(rows.index).fillna("")
            usable &= (rows["access_key_id"] == "") | (other == "")
        status = status.mask(usable, told)
    return status


def _newer_active(rows: pd.DataFrame, keys: pd.DataFrame) -> Mask:
    """Whether the user has an active key created after the row's."""
    newest = keys[keys["status"] == "Active"].groupby(["account_id", "user"])["created"].max()
    latest = rows[["account_id", "user"]].merge(
        newest.rename("newest").reset_index(), on=["account_id", "user"], how="left"
    )["newest"]
    newer = np.asarray(latest.set_axis(rows.index) > rows["created"], dtype=np.bool_)
    return newer & known_time(rows["created"])
