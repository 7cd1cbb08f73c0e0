"""The evidence store: one SQLite file per run, the checkpoint and the proof.

Everything else in a run directory is derived from it and can be made again. SQLite because one
transaction per account is exactly its job, power loss included, and because an auditor can open
it in twenty years without orgscan.

What the hashes prove: every kind of evidence, every account with its outcome, and the head of the
run are hashed, and a sum over all accounts shows when a row was added or deleted. Whoever reads the
store checks them, and also that an account's outcome fits its state and its evidence. That finds
damage and rows edited with an SQL tool, before the run has a manifest as well as after. It does not
stop someone who rewrites the file with this code at hand: there is no secret in the hashes, so they
can be made anew. The signature of the manifest covers that.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from orgscan.errors import IntegrityError, RunError, UsageError
from orgscan.models import (
    DEPARTED,
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
    is_read,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
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
_SEAL = """
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
_EVIDENCE = (
    "SELECT account_id, kind, content, collected_at, generated_at, sha256 "
    "FROM evidence ORDER BY account_id, kind"
)
_SUMS = 1 << 256

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
                head = _dump(info)
                with closing(sqlite3.connect(draft)) as connection, connection:
                    connection.executescript(f"BEGIN;{_TABLES}{_SEAL}")
                    connection.execute("INSERT INTO run VALUES (?, ?)", (FORMAT, head))
                    connection.execute("INSERT INTO seal VALUES (?, ?)", (_sum(0), _sha256(head)))
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
        """What the run is.

        Raises :class:`orgscan.errors.IntegrityError` where it was altered.
        """
        with self._reading():
            (text,) = self._connection.execute("SELECT info FROM run").fetchone()
            info = _load(text)
            seal = _Seal.of(self._connection)
        if seal is not None and seal.head_sha256 != _sha256(text):
            message = f"{self._path}: {_HEAD_ALTERED}; restore it from a backup"
            raise IntegrityError(message)
        return info

    def update(self, info: RunInfo) -> None:
        """Replace what the run is."""
        text = _dump(info)
        with self._writing() as connection:
            connection.execute("UPDATE run SET info = ?", (text,))
            connection.execute("UPDATE seal SET head_sha256 = ?", (_sha256(text),))

    def add_accounts(self, accounts: Iterable[Account]) -> None:
        """Enter enumerated accounts; from here on each is in the coverage, whatever happens.

        An account that was not active and now is has no outcome until it is read.
        """
        with self._writing() as connection:
            for account in accounts:
                with _changing(connection, account.account_id):
                    connection.execute(
                        "INSERT INTO accounts VALUES (?, ?) "
                        "ON CONFLICT DO UPDATE SET account = excluded.account",
                        (account.account_id, _account_text(account)),
                    )
                    if is_read(account.state):
                        connection.execute(
                            "DELETE FROM outcomes WHERE account_id = ? AND coverage = ?",
                            (account.account_id, Coverage.NOT_ACTIVE),
                        )

    def keep(self, outcome: Outcome) -> None:
        """Record how one account ended, with its evidence, in one transaction."""
        account_id = outcome.account_id
        with self._writing() as connection, _changing(connection, account_id):
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
                _seal_older(self._connection)
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
        with self._writing() as connection, _changing(connection, account_id):
            connection.execute(
                "UPDATE outcomes SET attempts = attempts + 1 WHERE account_id = ?", (account_id,)
            )

    def distrust(self, outcome: Outcome) -> None:
        """Record an attempt that received another account's answers.

        The account's evidence and gaps stay: they were collected before, from the right account.
        Its error code and the beginning of its reason become those of ``outcome``.
        """
        with self._writing() as connection, _changing(connection, outcome.account_id):
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
            rows = self._connection.execute("SELECT account_id FROM outcomes")
            return {account_id for (account_id,) in rows}

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
            info, seal = self.info, _Seal.of(self._connection)
            # A statement that is not closed keeps the file locked for as long as an error is kept.
            with (
                closing(self._connection.execute(_rows(seal))) as rows,
                closing(self._connection.execute(_EVIDENCE)) as evidence,
            ):
                yield from self._readings(rows, self._by_account(evidence), info, seal)

    def _readings(
        self,
        rows: sqlite3.Cursor,
        evidence: Iterator[tuple[str, tuple[Evidence, ...]]],
        info: RunInfo,
        seal: _Seal | None,
    ) -> Iterator[Reading]:
        total = 0
        pending = next(evidence, None)
        for *row, sealed in rows:
            account_id, account_text, *columns, digest = row
            items: tuple[Evidence, ...] = ()
            if pending is not None and pending[0] == account_id:
                items = pending[1]
                pending = next(evidence, None)
            if account_hash(items) != digest:
                message = f"{self._path}: evidence of account {account_id} was altered or is lost"
                raise IntegrityError(message)
            reading = Reading(
                account=_account(account_text),
                outcome=_outcome(account_id, columns, items),
                evidence_sha256=digest,
            )
            if fault := _fault(row, sealed, seal) or contradiction(reading, info):
                message = f"{self._path}: account {account_id}: {fault}"
                raise IntegrityError(message)
            total += _row_number(row)
            yield reading
        if pending is not None:
            message = f"{self._path}: holds evidence of an account that is not listed: {pending[0]}"
            raise IntegrityError(message)
        if seal is not None and seal.accounts_sum != _sum(total):
            message = f"{self._path}: {_ROWS_ALTERED}; restore it from a backup"
            raise IntegrityError(message)

    def _by_account(self, rows: sqlite3.Cursor) -> Iterator[tuple[str, tuple[Evidence, ...]]]:
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
        self._info: RunInfo | None = None
        self._altered: dict[str, str] = {}

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
        return Inspection(problems, self._hashes, tuple(self._readings), self._altered)

    def _structure(self) -> None:
        for (text,) in self._connection.execute("PRAGMA integrity_check(5)"):
            if text != "ok":
                self._problems.append(f"is damaged ({' '.join(str(text).split())})")

    def _head(self) -> None:
        ((version, text),) = self._connection.execute("SELECT format, info FROM run").fetchall()
        self._info = _load(text)
        seal = _Seal.of(self._connection)
        if seal is not None and seal.head_sha256 != _sha256(text):
            self._problems.append(_HEAD_ALTERED)
        if version > FORMAT:
            self._problems.append(f"has format {version}, this orgscan reads {FORMAT}")

    def _references(self) -> None:
        for table, *_ in self._connection.execute("PRAGMA foreign_key_check"):
            self._problems.append(f"holds {table} of an account that is not listed")

    def _accounts(self) -> None:
        listed = self._connection.execute("SELECT account_id FROM accounts ORDER BY account_id")
        seal, total = _Seal.of(self._connection), 0
        for (account_id,) in listed.fetchall():
            try:
                total += self._account(account_id, seal)
            except _DAMAGE as error:
                self._unreadable.setdefault(_brief(error), []).append(str(account_id))
        if seal is not None and seal.accounts_sum != _sum(total):
            self._altered[""] = _ROWS_ALTERED

    def _account(self, account_id: str, seal: _Seal | None) -> int:
        """What the account adds to the sum over all."""
        *row, sealed = self._connection.execute(_rows(seal, one=True), (account_id,)).fetchone()
        _account_id, account_text, *columns, digest = row
        items = tuple(self._evidence(account_id))
        outcome = _outcome(account_id, columns, items)
        reading = Reading(account=_account(account_text), outcome=outcome)
        if reading.account.account_id != account_id:
            self._problems.append(f"account {account_id}: is listed as another one")
        elif fault := _fault(row, sealed, seal) or contradiction(reading, self._info):
            self._altered[account_id] = fault
        self._readings.append(replace(reading, outcome=replace(outcome, evidence=())))
        self._hashes[account_id] = account_hash(items)
        if self._hashes[account_id] != digest:
            self._problems.append(f"account {account_id}: its evidence was altered or is lost")
        return _row_number(row)

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


def contradiction(reading: Reading, info: RunInfo | None) -> str:
    """Why an account's record cannot be true; empty where it fits together.

    ``info`` is the run's head, None where it cannot be read. ``reading`` has all its evidence.
    """
    account, outcome = reading.account, reading.outcome
    coverage, state = outcome.coverage, account.state
    kinds = {item.kind for item in outcome.evidence}
    required = FIRST_KINDS if info is None else info.evidence_kinds
    explained = kinds | {gap.kind for gap in outcome.gaps}
    missing = ", ".join(kind for kind in required if kind not in explained)
    with_evidence = coverage in {Coverage.COMPLETE, Coverage.PARTIAL}
    departed = outcome.reason == DEPARTED
    scoped = info is None or any(info.scope.values())
    cases = (
        (account.account_id != outcome.account_id, "is listed as another one"),
        (coverage is Coverage.COMPLETE and outcome.gaps, "is COMPLETE although it has gaps"),
        (coverage is Coverage.PARTIAL and not outcome.gaps, "is PARTIAL but has no gap"),
        (with_evidence and missing, f"is {coverage} but has neither evidence nor gap: {missing}"),
        (kinds and not with_evidence, f"is {coverage} although it has evidence"),
        (
            coverage is Coverage.NOT_ACTIVE and is_read(state) and not departed,
            f"is NOT_ACTIVE although its state is {state}",
        ),
        (
            coverage is Coverage.EXCLUDED and not scoped,
            "is EXCLUDED although the run's settings exclude no account",
        ),
    )
    return next((text for wrong, text in cases if wrong), "")


_HEAD_ALTERED = "the description of the run was altered"
_ROWS_ALTERED = "an account or its outcome was added, altered or deleted"


class _Seal(NamedTuple):
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
                message = "the table seal is missing"
                raise ValueError(message)
            return None
        found = connection.execute("SELECT accounts_sum, head_sha256 FROM seal").fetchall()
        if len(found) != 1 or (columns and not hashed):
            message = "the table seal does not fit the others"
            raise ValueError(message)
        return cls(*found[0])


def _seal_older(connection: sqlite3.Connection) -> None:
    """Add what a store of an older orgscan lacks, in one transaction.

    Its accounts were checked against everything else by whoever read them before.
    """
    if _Seal.of(connection) is not None:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ALTER TABLE outcomes ADD COLUMN outcome_sha256 TEXT")
        connection.execute(_SEAL)
        (text,) = connection.execute("SELECT info FROM run").fetchone()
        connection.execute("INSERT INTO seal VALUES (?, ?)", (_sum(0), _sha256(text)))
        for (account_id,) in connection.execute("SELECT account_id FROM accounts").fetchall():
            _reseal(connection, account_id, 0)


@contextmanager
def _changing(connection: sqlite3.Connection, account_id: str) -> Iterator[None]:
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
        "UPDATE outcomes SET outcome_sha256 = ? WHERE account_id = ?", (_sum(after), account_id)
    )
    (total,) = connection.execute("SELECT accounts_sum FROM seal").fetchone()
    connection.execute("UPDATE seal SET accounts_sum = ?", (_sum(int(total, 16) + after - before),))


def _number_of(connection: sqlite3.Connection, account_id: str) -> int:
    """The account's hash as a number; 0 where it is not listed."""
    row = connection.execute(
        f"SELECT {_ROW} FROM accounts LEFT JOIN outcomes USING (account_id) "  # noqa: S608
        "WHERE account_id = ?",
        (account_id,),
    ).fetchone()
    return 0 if row is None else _row_number(row)


def _rows(seal: _Seal | None, *, one: bool = False) -> str:
    """Select every account, or ``one``: the columns of :data:`_ROW`, then its stored hash."""
    sealed = "NULL" if seal is None else "outcome_sha256"
    which = "WHERE account_id = ?" if one else "ORDER BY account_id"
    return f"SELECT {_ROW}, {sealed} FROM accounts LEFT JOIN outcomes USING (account_id) {which}"  # noqa: S608


def _fault(row: Sequence[Any], sealed: str | None, seal: _Seal | None) -> str:
    """Why a row does not match its hash; empty where it does. An account not read has none."""
    _account_id, _account_text, coverage, *_ = row
    if seal is None or sealed == (None if coverage is None else _sum(_row_number(row))):
        return ""
    return "its record was altered"


def _row_number(row: Sequence[Any]) -> int:
    return int(_sha256(json.dumps([*row])), 16)


def _sum(number: int) -> str:
    """A hash, or a sum of hashes, as lower-case hex."""
    return f"{number % _SUMS:064x}"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
