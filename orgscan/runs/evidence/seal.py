"""The hashes of an evidence store: of each account's evidence and record, and over all rows."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orgscan import files
from orgscan.runs.evidence.rows import SEAL, select

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Sequence

    from orgscan.models import Evidence

HEAD_ALTERED = "the description of the run was altered"
ROWS_ALTERED = "an account or its outcome was added, altered or deleted"
_SUMS = 1 << 256


def account_hash(evidence: Iterable[Evidence]) -> str | None:
    """SHA-256 over the sorted ``kind:sha256`` lines of an account; None without evidence."""
    lines = sorted(f"{item.kind}:{item.sha256}\n" for item in evidence)
    return text_hash("".join(lines)) if lines else None


class Seal(NamedTuple):
    """The hashes over the store as a whole."""

    accounts_sum: str
    head_sha256: str

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Self | None:
        """None for a store of an older orgscan, which has neither this nor ``outcome_sha256``.

        Raises ValueError where only one of the two is there, or their row is missing.
        """
        columns = connection.execute("PRAGMA table_info(outcomes)").fetchall()
        hashed = any(name == "outcome_sha256" for _, name, *_ in columns)
        if not connection.execute("PRAGMA table_info(seal)").fetchall():
            if hashed:
                raise ValueError("the table seal is missing")
            return None
        rows = connection.execute("SELECT accounts_sum, head_sha256 FROM seal").fetchall()
        if len(rows) != 1 or (columns and not hashed):
            raise ValueError("the table seal does not match the other tables")
        return cls(*rows[0])


def seal_older(connection: sqlite3.Connection) -> None:
    """Add what a store of an older orgscan lacks, in one transaction.

    Its accounts were checked against everything else when they were read before.
    """
    if Seal.of(connection) is not None:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ALTER TABLE outcomes ADD COLUMN outcome_sha256 TEXT")
        connection.execute(SEAL)
        (text,) = connection.execute("SELECT info FROM run").fetchone()
        connection.execute("INSERT INTO seal VALUES (?, ?)", (hexadecimal(0), text_hash(text)))
        for (account_id,) in connection.execute("SELECT account_id FROM accounts").fetchall():
            _reseal(connection, account_id, 0)


@contextmanager
def changing(connection: sqlite3.Connection, account_id: str) -> Iterator[None]:
    """Change an account or its outcome within a transaction; its hashes follow.

    The old row is subtracted as it is, not as it was hashed: if it had been altered, the sum does
    not come out right afterwards.
    """
    before = _number_of(connection, account_id)
    yield
    _reseal(connection, account_id, before)


def _reseal(connection: sqlite3.Connection, account_id: str, before: int) -> None:
    after = _number_of(connection, account_id)
    connection.execute(
        "UPDATE outcomes SET outcome_sha256 = ? WHERE account_id = ?",
        (hexadecimal(after), account_id),
    )
    (total,) = connection.execute("SELECT accounts_sum FROM seal").fetchone()
    total = hexadecimal(int(total, 16) + after - before)
    connection.execute("UPDATE seal SET accounts_sum = ?", (total,))


def _number_of(connection: sqlite3.Connection, account_id: str) -> int:
    """The account's hash as a number; 0 where it is not listed."""
    row = connection.execute(select(sealed=False, single=True), (account_id,)).fetchone()
    return 0 if row is None else row_number(row[:-1])


def fault(row: Sequence[Any], stored: str | None) -> str:
    """Why a row does not match its stored hash; empty where it does.

    An account that was not read has none.
    """
    _account_id, _account_text, coverage, *_ = row
    if stored == (None if coverage is None else hexadecimal(row_number(row))):
        return ""
    return "its record was altered"


def row_number(row: Sequence[Any]) -> int:
    """The hash of an account with its outcome, as a number."""
    return int(text_hash(json.dumps([*row])), 16)


def hexadecimal(number: int) -> str:
    """A hash, or a sum of hashes, as lower-case hex."""
    return f"{number % _SUMS:064x}"


def text_hash(text: str) -> str:
    """The SHA-256 of a text."""
    return files.sha256(text.encode())
