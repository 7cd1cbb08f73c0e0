"""Files on disk: written whole or not at all, locked, opened and hashed.

A file is written under a temporary name beside its own, made durable, and renamed. Whatever
interrupts that leaves the old file or the new one, never half of one.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from orgscan.errors import RunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_USE = "is in use by another orgscan process; wait for it to end"
_CHUNK = 1 << 20
_NO_FILE = "it is not a file"
_NO_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EACCES, errno.EPERM}


@dataclass(frozen=True, slots=True)
class FileRecord:
    """The content of a file in short: SHA-256 in lower-case hex, size in bytes."""

    sha256: str
    size: int


def sha256(content: bytes) -> str:
    """The SHA-256 of ``content`` in lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def record(path: Path) -> FileRecord:
    """Hash and size of a file, from one reading.

    Raises OSError as :func:`opened` does.
    """
    digest, size = hashlib.sha256(), 0
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileRecord(digest.hexdigest(), size)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading. A pipe is never waited for, a device never touched.

    Raises OSError, also where ``path`` is anything other than a file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, _NO_FILE)
    # Without waiting: it may have become a pipe since.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, _NO_FILE)
        yield file


def temporary(path: Path, mark: str = "") -> Path:
    """The name ``path`` is written under until it is whole; hidden, in the same directory.

    It ends in ``mark`` or, by default, the id of this process.
    """
    return path.with_name(f".{path.name}.{mark or os.getpid()}.tmp")


@contextmanager
def drafted(path: Path, mark: str = "") -> Iterator[Path]:
    """Yield an empty private file beside ``path``, to be renamed; an error removes it.

    Raises OSError.
    """
    draft = temporary(path, mark)
    # Outside the try: a file of that name which is not ours must not be removed.
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield draft
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


@contextmanager
def replaced(path: Path, mark: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path`` in one step.

    The content is on disk before the name is, so that a crash leaves the old file or the new
    one. Only the owner may read the file.

    Raises OSError.
    """
    with drafted(path, mark) as draft:
        yield draft
        secure(draft)
        draft.replace(path)
        sync_directory(path.parent)


@contextmanager
def published(path: Path, *, remedy: str = "") -> Iterator[Path]:
    """Like :func:`replaced`, for files a user asked for.

    Raises :class:`orgscan.errors.RunError`, with ``remedy``, where the file cannot be written.
    """
    with writing(path, remedy), replaced(path) as draft:
        yield draft


@contextmanager
def writing(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn OSError, such as a full disk, into one line that names ``path`` and ``remedy``.

    Raises :class:`orgscan.errors.RunError`.
    """
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        message = f"{path}: cannot be written ({why})" + (f"; {remedy}" if remedy else "")
        raise RunError(message) from error


def secure(path: Path) -> None:
    """Make a file private to its owner, and durable."""
    path.chmod(0o600)
    _sync(path)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    try:
        _sync(path)
    except OSError as error:
        # Some network file systems cannot; their renames are durable or nothing here can help.
        if error.errno not in _NO_SYNC:
            raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(directory: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other orgscan processes from writing to the run in ``directory``; readers share it.

    The operating system releases the lock with the process, so that none can be left behind.

    Raises :class:`orgscan.errors.UsageError` where another process holds it, or there is no
    such directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{directory}: is not an orgscan run ({error.strerror})") from None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise UsageError(f"{directory}: {IN_USE}") from None
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(descriptor)
