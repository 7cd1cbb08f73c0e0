"""Connections to the file of an evidence store: many readers, or one writer with a lock."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def connect(path: Path, *, exclusive: bool) -> sqlite3.Connection:
    """Open a store for reading, or as its only writer.

    Raises sqlite3.Error, :class:`sqlite3.OperationalError` where another process has the lock.
    """
    if not exclusive:
        return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=0)
    # The writer is one task at a time, though not always on one thread.
    with closed_on_error(sqlite3.connect(path, timeout=0, check_same_thread=False)) as connection:
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        # Takes the lock, which stays, and writes nothing: who opens a finished store and then
        # has no use for it must not have changed a byte of it.
        connection.execute("BEGIN EXCLUSIVE")
        connection.commit()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    return connection


@contextmanager
def closed_on_error(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Let go of the file, and of its lock, where it turns out to be of no use."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
