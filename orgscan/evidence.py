"""The evidence store: one SQLite file per run, the checkpoint and the proof.

Everything else in a run directory is derived from it and can be made again. SQLite because one
transaction per account is exactly its job, power loss included, and because an auditor can open
it in twenty years without orgscan.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from orgscan.errors import IntegrityError, RunError, UsageError
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
    Reading,
    RunInfo,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

FORMAT = 1
"""Raised when an older orgscan could misread the file."""

_TABLES = """
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
    evidence_sha256 TEXT
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
_BUSY = "is in use by another orgscan process; wait for it to end"
_NOT_ATTEMPTED = "the run ended before this account was read"


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
        draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            draft.touch(mode=0o600, exist_ok=False)
            try:
                with closing(sqlite3.connect(draft)) as connection, connection:
                    connection.executescript(f"BEGIN;{_TABLES}")
                    connection.execute("INSERT INTO run VALUES (?, ?)", (FORMAT, _dump(info)))
                path.hardlink_to(draft)
            finally:
                draft.unlink()
            store = cls(_connect(path, exclusive=True), path)
            with _closed_on_error(store._connection) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
        except (OSError, sqlite3.Error) as error:
            message = f"{path}: cannot be written ({error}); choose another --output"
            raise UsageError(message) from None
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
            message = f"{path.parent}: is not an orgscan run (no {path.name})"
            raise UsageError(message)
        try:
            store = cls(_connect(path, exclusive=exclusive), path)
            with _closed_on_error(store._connection) as connection:
                (version,) = connection.execute("SELECT format FROM run").fetchone()
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                message = f"{path.parent}: {_BUSY}"
                raise UsageError(message) from None
            message = f"{path}: cannot be read ({error})"
            raise IntegrityError(message) from None
        except (sqlite3.DatabaseError, TypeError, ValueError) as error:
            message = f"{path}: is damaged ({error}); restore it from a backup"
            raise IntegrityError(message) from None
        if version > FORMAT:
            store.close()
            message = f"{path}: written by a newer orgscan (format {version}); upgrade orgscan"
            raise UsageError(message)
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
        """What the run is."""
        with self._reading():
            (text,) = self._connection.execute("SELECT info FROM run").fetchone()
            return _load(text)

    def update(self, info: RunInfo) -> None:
        """Replace what the run is."""
        with self._writing() as connection:
            connection.execute("UPDATE run SET info = ?", (_dump(info),))

    def add_accounts(self, accounts: Iterable[Account]) -> None:
        """Enter enumerated accounts; from here on each is in the coverage, whatever happens."""
        rows = [(account.account_id, _account_text(account)) for account in accounts]
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO accounts VALUES (?, ?) "
                "ON CONFLICT DO UPDATE SET account = excluded.account",
                rows,
            )

    def keep(self, outcome: Outcome) -> None:
        """Record how one account ended, with its evidence, in one transaction."""
        account_id = outcome.account_id
        with self._writing() as connection:
            connection.execute("DELETE FROM evidence WHERE account_id = ?", (account_id,))
            connection.executemany(
                "INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (
                        account_id,
                        item.kind,
                        item.content,
                        _stamp(item.collected_at),
                        _stamp(item.generated_at),
                        item.sha256,
                    )
                    for item in outcome.evidence
                ],
            )
            connection.execute(
                "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
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
                    _stamp(outcome.started_at),
                    outcome.duration_seconds,
                    json.dumps([asdict(gap) for gap in outcome.gaps]),
                    account_hash(outcome.evidence),
                ),
            )

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, whole or not at all."""
        try:
            if not self._journaled:
                self._connection.execute("PRAGMA journal_mode=WAL")
                self._journaled = True
            with self._connection as connection:
                yield connection
        except sqlite3.Error as error:
            message = f"{self._path}: cannot be written ({error}); what was stored before is kept"
            raise RunError(message) from error

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whatever a damaged or altered file makes Python stumble over is told as such."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # ours, not the file's
        except (sqlite3.Error, LookupError, TypeError, ValueError) as error:
            what = " ".join(str(error).split())
            message = f"{self._path}: is damaged ({what}); restore it from a backup"
            raise IntegrityError(message) from error

    def count_attempt(self, account_id: str) -> None:
        """Record an attempt that brought less than what is already here."""
        with self._writing() as connection:
            connection.execute(
                "UPDATE outcomes SET attempts = attempts + 1 WHERE account_id = ?", (account_id,)
            )

    def finished(self) -> set[str]:
        """Ids of the accounts that have an end state."""
        with self._reading():
            rows = self._connection.execute("SELECT account_id FROM outcomes")
            return {account_id for (account_id,) in rows}

    def __len__(self) -> int:
        with self._reading():
            (count,) = self._connection.execute("SELECT count(*) FROM accounts").fetchone()
            return int(count)

    def __iter__(self) -> Iterator[Reading]:
        """Every account once, in the order of account_id; those never reached NOT_ATTEMPTED.

        Raises :class:`orgscan.errors.IntegrityError` where evidence does not match its hash.
        """
        with self._reading():
            yield from self._readings()

    def _readings(self) -> Iterator[Reading]:
        evidence = self._evidence_by_account()
        pending = next(evidence, None)
        rows = self._connection.execute(
            "SELECT account, coverage, reason, error_code, attempts, started_at, "
            "duration_seconds, gaps, evidence_sha256, account_id "
            "FROM accounts LEFT JOIN outcomes USING (account_id) ORDER BY account_id"
        )
        for account_text, *columns, digest, account_id in rows:
            items: tuple[Evidence, ...] = ()
            if pending is not None and pending[0] == account_id:
                items = pending[1]
                pending = next(evidence, None)
            if account_hash(items) != digest:
                message = f"{self._path}: evidence of account {account_id} was altered or is lost"
                raise IntegrityError(message)
            yield Reading(
                account=_account(account_text),
                outcome=_outcome(account_id, columns, items),
                evidence_sha256=digest,
            )
        if pending is not None:
            message = f"{self._path}: holds evidence of an account that is not listed: {pending[0]}"
            raise IntegrityError(message)

    def _evidence_by_account(self) -> Iterator[tuple[str, tuple[Evidence, ...]]]:
        rows = self._connection.execute(
            "SELECT account_id, kind, content, collected_at, generated_at, sha256 "
            "FROM evidence ORDER BY account_id, kind"
        )
        current, items = "", list[Evidence]()
        for account_id, kind, content, collected_at, generated_at, sha256 in rows:
            if account_id != current and items:
                yield current, tuple(items)
                items = []
            current = account_id
            collected = _time(collected_at) or datetime.min.replace(tzinfo=UTC)
            item = Evidence(
                kind=Kind(kind),
                content=content,
                collected_at=collected,
                generated_at=_time(generated_at),
            )
            if item.sha256 != sha256:
                message = f"{self._path}: {kind} of account {account_id} does not match its hash"
                raise IntegrityError(message)
            items.append(item)
        if items:
            yield current, tuple(items)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What an evidence store turned out to be when every row of it was looked at."""

    problems: tuple[str, ...]
    """One sentence each; empty where the store is consistent in itself."""
    accounts: Mapping[str, str | None]
    """Evidence hash by account, as computed anew; accounts that cannot be read are left out."""
    readings: tuple[Reading, ...] = ()
    """The same accounts in the order of account_id, without their evidence."""


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


def _damaged(error: BaseException) -> str:
    return f"is damaged ({_brief(error)})"


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


_NAMED = 10
"""Accounts named in one line."""


class _Inspector:
    """Goes on after each problem, so that all are found at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._problems: list[str] = []
        self._unreadable: dict[str, list[str]] = {}
        """Accounts by the reason why they cannot be read."""
        self._hashes: dict[str, str | None] = {}
        self._readings: list[Reading] = []

    def inspect(self) -> Inspection:
        for step in (self._structure, self._head, self._references, self._accounts):
            try:
                step()
            except _DAMAGE as error:
                self._problems.append(_damaged(error))
        for reason, accounts in self._unreadable.items():
            more = f" and {len(accounts) - _NAMED} more" if len(accounts) > _NAMED else ""
            named = ", ".join(accounts[:_NAMED])
            self._problems.append(f"evidence cannot be read ({reason}): account {named}{more}")
        problems = tuple(dict.fromkeys(self._problems))
        return Inspection(problems, self._hashes, tuple(self._readings))

    def _structure(self) -> None:
        for (text,) in self._connection.execute("PRAGMA integrity_check(5)"):
            if text != "ok":
                self._problems.append(f"is damaged ({' '.join(str(text).split())})")

    def _head(self) -> None:
        ((version, text),) = self._connection.execute("SELECT format, info FROM run").fetchall()
        _load(text)
        if version > FORMAT:
            self._problems.append(f"has format {version}, this orgscan reads {FORMAT}")

    def _references(self) -> None:
        for table, *_ in self._connection.execute("PRAGMA foreign_key_check"):
            self._problems.append(f"holds {table} of an account that is not listed")

    def _accounts(self) -> None:
        listed = self._connection.execute("SELECT account_id FROM accounts ORDER BY account_id")
        for (account_id,) in listed.fetchall():
            try:
                self._account(account_id)
            except _DAMAGE as error:
                self._unreadable.setdefault(_brief(error), []).append(str(account_id))

    def _account(self, account_id: str) -> None:
        row = self._connection.execute(
            "SELECT account, coverage, reason, error_code, attempts, started_at, "
            "duration_seconds, gaps, evidence_sha256 "
            "FROM accounts LEFT JOIN outcomes USING (account_id) WHERE account_id = ?",
            (account_id,),
        ).fetchone()
        account_text, *columns, digest = row
        items = tuple(self._evidence(account_id))
        reading = Reading(account=_account(account_text), outcome=_outcome(account_id, columns, ()))
        if reading.account.account_id != account_id:
            self._problems.append(f"account {account_id}: is listed as another one")
        self._readings.append(reading)
        self._hashes[account_id] = account_hash(items)
        if self._hashes[account_id] != digest:
            self._problems.append(f"account {account_id}: its evidence was altered or is lost")

    def _evidence(self, account_id: str) -> Iterator[Evidence]:
        rows = self._connection.execute(
            "SELECT kind, content, collected_at, generated_at, sha256 "
            "FROM evidence WHERE account_id = ? ORDER BY kind",
            (account_id,),
        )
        for kind, content, collected_at, generated_at, sha256 in rows:
            item = Evidence(
                kind=Kind(kind),
                content=content,
                collected_at=datetime.fromisoformat(collected_at),
                generated_at=_time(generated_at),
            )
            if item.sha256 != sha256:
                self._problems.append(f"account {account_id}: its {kind} was altered")
            yield item


def account_hash(evidence: Iterable[Evidence]) -> str | None:
    """SHA-256 over the sorted ``kind:sha256`` lines of an account; None without evidence."""
    lines = sorted(f"{item.kind}:{item.sha256}\n" for item in evidence)
    return hashlib.sha256("".join(lines).encode()).hexdigest() if lines else None


def _connect(path: Path, *, exclusive: bool) -> sqlite3.Connection:
    if not exclusive:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
    # The writer is one task at a time, though not always on one thread.
    with _closed_on_error(sqlite3.connect(path, timeout=0, check_same_thread=False)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        # Takes the lock, which stays, and writes nothing: who opens a finished store and then
        # has no use for it must not have changed a byte of it.
        connection.execute("BEGIN EXCLUSIVE")
        connection.commit()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    return connection


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Let go of the file, and of its lock, where it turns out to be of no use."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _account_text(account: Account) -> str:
    return json.dumps(asdict(account) | {"joined_at": _stamp(account.joined_at)}, sort_keys=True)


def _account(text: str) -> Account:
    values = json.loads(text)
    return Account(**values | {"joined_at": _time(values["joined_at"])})


def _outcome(account_id: str, columns: list[Any], items: tuple[Evidence, ...]) -> Outcome:
    coverage, reason, error_code, attempts, started_at, duration, gaps = columns
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


def _dump(info: RunInfo) -> str:
    times = {name: _stamp(getattr(info, name)) for name in _INFO_TIMES}
    return json.dumps(asdict(info) | times, sort_keys=True)


def _load(text: str) -> RunInfo:
    values = json.loads(text)
    values |= {name: _time(values[name]) for name in _INFO_TIMES}
    values |= {
        "organization": Organization(**values["organization"]),
        "caller": Caller(**values["caller"]),
        "notes": tuple(values["notes"]),
        "evidence_kinds": tuple(map(Kind, values.get("evidence_kinds", FIRST_KINDS))),
    }
    return RunInfo(**values)
