"""The tables of an evidence store, and its rows as the models they stand for."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orgscan.models import (
    FIRST_KINDS,
    Account,
    Caller,
    Coverage,
    Evidence,
    Gap,
    Kind,
    Organization,
    Outcome,
    RunInfo,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

FORMAT = 1
"""Raised when an older orgscan could misread the file."""

TABLES = """
CREATE TABLE run (
    format INTEGER NOT NULL,
    info TEXT NOT NULL
) STRICT;
CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY,
    account TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (
    account_id TEXT PRIMARY KEY REFERENCES accounts,
    coverage TEXT NOT NULL,
    reason TEXT NOT NULL,
    error_code TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    started_at TEXT,
    duration_seconds REAL,
    gaps TEXT NOT NULL,
    evidence_sha256 TEXT,
    outcome_sha256 TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (
    account_id TEXT NOT NULL REFERENCES accounts,
    kind TEXT NOT NULL,
    content BLOB NOT NULL,
    collected_at TEXT NOT NULL,
    generated_at TEXT,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (account_id, kind)
) STRICT;
"""
SEAL = """
CREATE TABLE seal (
    accounts_sum TEXT NOT NULL,
    head_sha256 TEXT NOT NULL
) STRICT;
"""
"""The sum of the hashes of all accounts, and the hash of the run's head. Stores of an older orgscan
have neither this table nor ``outcome_sha256``; they get both when they are resumed."""

_ROW = (
    "account_id, account, coverage, reason, error_code, attempts, started_at, duration_seconds, "
    "gaps, evidence_sha256"
)
"""What an account's hash covers, in this order."""
_NOT_ATTEMPTED = "the run ended before this account was read"


def select(*, sealed: bool, single: bool = False) -> str:
    """Select every account, or a ``single`` one: what its hash covers, then its stored hash."""
    digest = "outcome_sha256" if sealed else "NULL"
    which = "WHERE account_id = ?" if single else "ORDER BY account_id"
    return f"SELECT {_ROW}, {digest} FROM accounts LEFT JOIN outcomes USING (account_id) {which}"  # noqa: S608


def evidence_of(connection: sqlite3.Connection, account_id: str) -> Iterator[tuple[Evidence, str]]:
    """An account's evidence, each item with the hash that is stored for it."""
    rows = connection.execute(
        "SELECT kind, content, collected_at, generated_at, sha256 "
        "FROM evidence WHERE account_id = ? ORDER BY kind",
        (account_id,),
    )
    # All at once: a statement that is not closed keeps the file locked as long as an error is kept.
    for kind, content, collected_at, generated_at, sha256 in rows.fetchall():
        item = Evidence(
            kind=Kind(kind),
            content=content,
            collected_at=datetime.fromisoformat(collected_at),
            generated_at=_time(generated_at),
        )
        yield item, sha256


def evidence_row(account_id: str, item: Evidence) -> tuple[Any, ...]:
    """The row of the table ``evidence``."""
    times = stamp(item.collected_at), stamp(item.generated_at)
    return account_id, item.kind, item.content, *times, item.sha256


def account_text(account: Account) -> str:
    """An account as it is stored."""
    return json.dumps(asdict(account) | {"joined_at": stamp(account.joined_at)}, sort_keys=True)


def account_of(row: Sequence[Any]) -> Account:
    """The account of a row that :func:`select` selects."""
    values = json.loads(row[1])
    return Account(**values | {"joined_at": _time(values["joined_at"])})


def outcome_of(row: Sequence[Any], items: tuple[Evidence, ...]) -> Outcome:
    """How reading the account of a row ended, with its evidence."""
    account_id, _, coverage, reason, error_code, attempts, started_at, duration, gaps, *_ = row
    if coverage is None:
        return Outcome(
            account_id=account_id, coverage=Coverage.NOT_ATTEMPTED, reason=_NOT_ATTEMPTED
        )
    return Outcome(
        account_id=account_id,
        coverage=Coverage(coverage),
        reason=reason,
        error_code=error_code,
        attempts=attempts,
        started_at=_time(started_at),
        duration_seconds=duration,
        evidence=items,
        gaps=tuple(Gap(**gap | {"kind": Kind(gap["kind"])}) for gap in json.loads(gaps)),
    )


_INFO_TIMES = ("started_at", "as_of", "finished_at")


def info_text(info: RunInfo) -> str:
    """The run's head as it is stored."""
    times = {name: stamp(getattr(info, name)) for name in _INFO_TIMES}
    return json.dumps(asdict(info) | times, sort_keys=True)


def info_of(text: str) -> RunInfo:
    """:func:`info_text` read back."""
    values = json.loads(text)
    values |= {name: _time(values[name]) for name in _INFO_TIMES}
    values |= {
        "organization": Organization(**values["organization"]),
        "caller": Caller(**values["caller"]),
        "notes": tuple(values["notes"]),
        "evidence_kinds": tuple(map(Kind, values.get("evidence_kinds", FIRST_KINDS))),
    }
    return RunInfo(**values)


def stamp(moment: datetime | None) -> str | None:
    """A time as it is stored, in UTC."""
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
