"""An evidence store held to its own hashes and references, without changing a byte of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from orgscan.models import Reading
from orgscan.runs.evidence import rows, seal
from orgscan.runs.evidence.consistency import contradiction
from orgscan.text import and_more

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orgscan.models import Evidence, RunInfo

_DAMAGE = (
    sqlite3.Error,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Whatever a damaged file makes SQLite or the reading of rows stumble over."""
_NAMED = 10
"""Accounts named in one line."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an evidence store turned out to be when every row of it was looked at."""

    problems: tuple[str, ...]
    """One sentence each; empty where the store is consistent in itself."""
    accounts: Mapping[str, str | None]
    """Evidence hash by account, as computed anew; accounts that cannot be read are left out."""
    readings: tuple[Reading, ...] = ()
    """The same accounts in the order of account_id, without their evidence."""
    altered: Mapping[str, str] = field(default_factory=dict)
    """Accounts whose record was altered or cannot be true, with the reason. The account is empty
    where a row is missing or was added."""


def inspect(path: Path) -> Inspection:
    """Hold a finished store to its own hashes and references; never changes or creates a file.

    Journals beside it are not looked at: a finished store has none, and a foreign one would be
    played into the evidence.
    """
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        return Inspection((_damaged(error),), {})
    with closing(connection):
        return _Inspector(connection).inspect()


def _damaged(error: BaseException) -> str:
    return f"is damaged ({_brief(error)})"


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


class _Inspector:
    """Goes on after each problem, so that all are found at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._problems: list[str] = []
        self._unreadable: dict[str, list[str]] = {}
        """Accounts by the reason why they cannot be read."""
        self._hashes: dict[str, str | None] = {}
        self._readings: list[Reading] = []
        self._info: RunInfo | None = None
        self._altered: dict[str, str] = {}

    def inspect(self) -> Inspection:
        for step in (self._structure, self._head, self._references, self._accounts):
            try:
                step()
            except _DAMAGE as error:
                self._problems.append(_damaged(error))
        for reason, accounts in self._unreadable.items():
            named = and_more(accounts, _NAMED)
            self._problems.append(f"evidence cannot be read ({reason}): account {named}")
        problems = tuple(dict.fromkeys(self._problems))
        return Inspection(problems, self._hashes, tuple(self._readings), self._altered)

    def _structure(self) -> None:
        for (text,) in self._connection.execute("PRAGMA integrity_check(5)"):
            if text != "ok":
                self._problems.append(f"is damaged ({' '.join(str(text).split())})")

    def _head(self) -> None:
        ((version, text),) = self._connection.execute("SELECT format, info FROM run").fetchall()
        self._info = rows.info_of(text)
        sealed = seal.Seal.of(self._connection)
        if sealed is not None and sealed.head_sha256 != seal.text_hash(text):
            self._problems.append(seal.HEAD_ALTERED)
        if version > rows.FORMAT:
            self._problems.append(f"has format {version}, this orgscan reads {rows.FORMAT}")

    def _references(self) -> None:
        for table, *_ in self._connection.execute("PRAGMA foreign_key_check"):
            self._problems.append(f"holds {table} of an account that is not listed")

    def _accounts(self) -> None:
        listed = self._connection.execute("SELECT account_id FROM accounts ORDER BY account_id")
        sealed, total = seal.Seal.of(self._connection), 0
        for (account_id,) in listed.fetchall():
            try:
                total += self._account(account_id, sealed=sealed is not None)
            except _DAMAGE as error:
                self._unreadable.setdefault(_brief(error), []).append(str(account_id))
        if sealed is not None and sealed.accounts_sum != seal.hexadecimal(total):
            self._altered[""] = seal.ROWS_ALTERED

    def _account(self, account_id: str, *, sealed: bool) -> int:
        """What the account adds to the sum over all."""
        statement = rows.select(sealed=sealed, single=True)
        *row, stored = self._connection.execute(statement, (account_id,)).fetchone()
        items: list[Evidence] = []
        for item, digest in rows.evidence_of(self._connection, account_id):
            if item.sha256 != digest:
                self._problems.append(f"account {account_id}: its {item.kind} was altered")
            items.append(item)
        outcome = rows.outcome_of(row, tuple(items))
        reading = Reading(account=rows.account_of(row), outcome=outcome)
        if reading.account.account_id != account_id:
            self._problems.append(f"account {account_id}: is listed with another account ID")
        elif reason := (sealed and seal.fault(row, stored)) or contradiction(reading, self._info):
            self._altered[account_id] = reason
        self._readings.append(replace(reading, outcome=replace(outcome, evidence=())))
        self._hashes[account_id] = seal.account_hash(items)
        if self._hashes[account_id] != row[-1]:
            self._problems.append(f"account {account_id}: its evidence was altered or is lost")
        return seal.row_number(row)
