"""The store itself: one writer, who keeps an account with its evidence in one transaction."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Self

from orgscan import files
from orgscan.errors import IntegrityError, RunError, UsageError
from orgscan.models import Coverage, Reading, is_read
from orgscan.runs.evidence import rows, seal
from orgscan.runs.evidence.connection import closed_on_error, connect
from orgscan.runs.evidence.consistency import contradiction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from orgscan.models import Account, Evidence, Outcome, RunInfo


class EvidenceStore:
    """One run's evidence. Use as a context manager; iterate for the accounts as they stand.

    A single writer: opening for writing takes SQLite's exclusive lock, which the operating
    system releases with the process, so that no stale lock can remain.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        """Use :meth:`create`, :meth:`resume` or :meth:`read`."""
        self._connection = connection
        self._path = path
        self._journaled = False

    @classmethod
    def create(cls, path: Path, info: RunInfo) -> Self:
        """A new store at ``path``, which must not exist.

        Raises :class:`orgscan.errors.UsageError` where it cannot be written.
        """
        # Under another name until its tables are there: a process killed in between must not
        # leave what looks like a damaged store.
        try:
            with files.drafted(path) as draft:
                head = rows.info_text(info)
                sealed = seal.hexadecimal(0), seal.text_hash(head)
                with closing(sqlite3.connect(draft)) as connection, connection:
                    connection.executescript(f"BEGIN;{rows.TABLES}{rows.SEAL}")
                    connection.execute("INSERT INTO run VALUES (?, ?)", (rows.FORMAT, head))
                    connection.execute("INSERT INTO seal VALUES (?, ?)", sealed)
                path.hardlink_to(draft)  # unlike a renaming never in place of another file
                draft.unlink()
            store = cls(connect(path, exclusive=True), path)
            with closed_on_error(store._connection) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                f"{path}: cannot be written ({error}); choose another --output"
            ) from None
        return store

    @classmethod
    def resume(cls, path: Path) -> Self:
        """The store of an earlier process, for writing.

        Raises :class:`orgscan.errors.UsageError` where it is missing, newer or in use, and
        :class:`orgscan.errors.IntegrityError` where it is damaged.
        """
        return cls._open(path, exclusive=True)

    @classmethod
    def read(cls, path: Path) -> Self:
        """The store for reading. A finished store is not changed by a single byte.

        Raises as :meth:`resume` does.
        """
        # A journal left by a killed process must be folded in, which needs to write.
        return cls._open(path, exclusive=path.with_name(f"{path.name}-wal").exists())

    @classmethod
    def _open(cls, path: Path, *, exclusive: bool) -> Self:
        if not path.is_file():
            raise UsageError(f"{path.parent}: is not an orgscan run (no {path.name})")
        try:
            store = cls(connect(path, exclusive=exclusive), path)
            with closed_on_error(store._connection) as connection:
                (version,) = connection.execute("SELECT format FROM run").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UsageError(f"{path.parent}: {files.IN_USE}") from None
            raise IntegrityError(f"{path}: cannot be read ({error})") from None
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"{path}: is damaged ({error}); restore it from a backup"
            ) from None
        if version > rows.FORMAT:
            store.close()
            raise UsageError(
                f"{path}: written by a newer orgscan (format {version}); upgrade orgscan"
            )
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Fold the journal in, so that the one file is the whole evidence, and let go.

        Where that fails, as on a full disk, the journal stays and is folded in by the next
        process that opens the store.
        """
        with closing(self._connection) as connection, suppress(sqlite3.Error):
            locking = connection.execute("PRAGMA locking_mode").fetchone()
            journal = connection.execute("PRAGMA journal_mode").fetchone()
            if (locking, journal) == (("exclusive",), ("wal",)):
                connection.execute("PRAGMA journal_mode=DELETE")

    @property
    def info(self) -> RunInfo:
        """What the run is.

        Raises :class:`orgscan.errors.IntegrityError` where it was altered.
        """
        with self._reading():
            (text,) = self._connection.execute("SELECT info FROM run").fetchone()
            info = rows.info_of(text)
            sealed = seal.Seal.of(self._connection)
        if sealed is not None and sealed.head_sha256 != seal.text_hash(text):
            raise IntegrityError(f"{self._path}: {seal.HEAD_ALTERED}; restore it from a backup")
        return info

    def update(self, info: RunInfo) -> None:
        """Replace what the run is."""
        text = rows.info_text(info)
        with self._writing() as connection:
            connection.execute("UPDATE run SET info = ?", (text,))
            connection.execute("UPDATE seal SET head_sha256 = ?", (seal.text_hash(text),))

    def add_accounts(self, accounts: Iterable[Account]) -> None:
        """Enter enumerated accounts; from here on each is in the coverage, whatever happens.

        An account that was not active and now is has no outcome until it is read.
        """
        with self._writing() as connection:
            for account in accounts:
                with seal.changing(connection, account.account_id):
                    connection.execute(
                        "INSERT INTO accounts VALUES (?, ?) "
                        "ON CONFLICT DO UPDATE SET account = excluded.account",
                        (account.account_id, rows.account_text(account)),
                    )
                    if is_read(account.state):
                        connection.execute(
                            "DELETE FROM outcomes WHERE account_id = ? AND coverage = ?",
                            (account.account_id, Coverage.NOT_ACTIVE),
                        )

    def keep(self, outcome: Outcome) -> None:
        """Record how one account ended, with its evidence, in one transaction."""
        account_id = outcome.account_id
        with self._writing() as connection, seal.changing(connection, account_id):
            connection.execute("DELETE FROM evidence WHERE account_id = ?", (account_id,))
            connection.executemany(
                "INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?)",
                [rows.evidence_row(account_id, item) for item in outcome.evidence],
            )
            connection.execute(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, NULL) "
                "ON CONFLICT DO UPDATE SET coverage = excluded.coverage, "
                "reason = excluded.reason, error_code = excluded.error_code, "
                "attempts = attempts + excluded.attempts, started_at = excluded.started_at, "
                "duration_seconds = excluded.duration_seconds, gaps = excluded.gaps, "
                "evidence_sha256 = excluded.evidence_sha256",
                (
                    account_id,
                    outcome.coverage,
                    outcome.reason,
                    outcome.error_code,
                    outcome.attempts,
                    rows.stamp(outcome.started_at),
                    outcome.duration_seconds,
                    json.dumps([asdict(gap) for gap in outcome.gaps]),
                    seal.account_hash(outcome.evidence),
                ),
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all."""
        try:
            if not self._journaled:
                self._connection.execute("PRAGMA journal_mode=WAL")
                seal.seal_older(self._connection)
                self._journaled = True
            with self._connection as connection:
                yield connection
        except sqlite3.Error as error:
            raise RunError(
                f"{self._path}: cannot be written ({error}); what was stored before is kept"
            ) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Report errors caused by a damaged or altered file as an integrity failure."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # ours, not the file's
        except (sqlite3.Error, LookupError, TypeError, ValueError) as error:
            what = " ".join(str(error).split())
            raise IntegrityError(
                f"{self._path}: is damaged ({what}); restore it from a backup"
            ) from error

    def count_attempt(self, account_id: str) -> None:
        """Record an attempt that brought less than what is already here."""
        with self._writing() as connection, seal.changing(connection, account_id):
            connection.execute(
                "UPDATE outcomes SET attempts = attempts + 1 WHERE account_id = ?", (account_id,)
            )

    def distrust(self, outcome: Outcome) -> None:
        """Record an attempt that received another account's answers.

        The account's evidence and gaps stay: they were collected before, from the right account.
        Its error code and the beginning of its reason become those of ``outcome``.
        """
        with self._writing() as connection, seal.changing(connection, outcome.account_id):
            connection.execute(
                "UPDATE outcomes SET attempts = attempts + ?, error_code = ?, "
                "reason = CASE WHEN error_code = ? THEN reason ELSE ? || '; ' || reason END "
                "WHERE account_id = ?",
                (
                    outcome.attempts,
                    outcome.error_code,
                    outcome.error_code,
                    outcome.reason,
                    outcome.account_id,
                ),
            )

    def finished(self) -> set[str]:
        """Ids of the accounts that have an end state."""
        with self._reading():
            ended = self._connection.execute("SELECT account_id FROM outcomes")
            return {account_id for (account_id,) in ended}

    def __len__(self) -> int:
        with self._reading():
            (count,) = self._connection.execute("SELECT count(*) FROM accounts").fetchone()
            return int(count)

    def __iter__(self) -> Iterator[Reading]:
        """Every account once, in the order of account_id; those never reached NOT_ATTEMPTED.

        Raises :class:`orgscan.errors.IntegrityError` where evidence or outcome does not match its
        hash, where an outcome cannot be true, and, after the last account, where a row is missing
        or was added.
        """
        with self._reading():
            info, sealed, total = self.info, seal.Seal.of(self._connection), 0
            statement = rows.select(sealed=sealed is not None)
            # A statement that is not closed keeps the file locked as long as an error is kept.
            with closing(self._connection.execute(statement)) as accounts:
                for *row, stored in accounts:
                    reading = self._account(row)
                    record = sealed and seal.fault(row, stored)
                    if fault := record or contradiction(reading, info):
                        raise IntegrityError(f"{self._path}: account {row[0]}: {fault}")
                    total += seal.row_number(row)
                    yield reading
            self._must_list_all()
            if sealed is not None and sealed.accounts_sum != seal.hexadecimal(total):
                raise IntegrityError(f"{self._path}: {seal.ROWS_ALTERED}; restore it from a backup")

    def _account(self, row: Sequence[Any]) -> Reading:
        account_id, digest = row[0], row[-1]
        items: list[Evidence] = []
        for item, sha256 in rows.evidence_of(self._connection, account_id):
            if item.sha256 != sha256:
                raise IntegrityError(
                    f"{self._path}: {item.kind} of account {account_id} does not match its hash"
                )
            items.append(item)
        if seal.account_hash(items) != digest:
            raise IntegrityError(
                f"{self._path}: evidence of account {account_id} was altered or is lost"
            )
        return Reading(
            account=rows.account_of(row),
            outcome=rows.outcome_of(row, tuple(items)),
            evidence_sha256=digest,
        )

    def _must_list_all(self) -> None:
        stray = self._connection.execute(
            "SELECT account_id FROM evidence WHERE account_id NOT IN "
            "(SELECT account_id FROM accounts) LIMIT 1"
        ).fetchall()
        if stray:
            raise IntegrityError(
                f"{self._path}: holds evidence of an account that is not listed: {stray[0][0]}"
            )
