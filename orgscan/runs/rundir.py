"""The run directory: the names of its files, and how they appear in it whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from orgscan.errors import RunError, UsageError
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orgscan.models import RunInfo

EVIDENCE = "evidence.sqlite"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig.json"
DEFAULT_PARENT = Path("orgscan-runs")
_CHUNK = 1 << 20
_NO_FILE = "it is not a file"
_SEAL = "sha256"
"""The member of a sealed file that holds the hash of all its others."""
_PROBE = ".orgscan-probe"
_LEFTOVER = re.compile(
    r"\.(evidence\.sqlite|orgscan-.*\.xlsx|\w+\.(parquet|csv)|findings\.ocsf\.jsonl"
    r"|manifest(\.sig)?\.json)\.\d+\.tmp"
)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a manifest says of a file: SHA-256 in lower-case hex, size in bytes."""

    sha256: str
    size: int


def default_path(now: datetime) -> Path:
    """Where a run goes that was not told where to go."""
    return DEFAULT_PARENT / now.strftime("%Y-%m-%dT%H-%M-%SZ")


def workbook_name(info: RunInfo) -> str:
    """The workbook's file name: organization and the day it speaks for."""
    return f"orgscan-{info.organization.id}-{info.as_of:%Y-%m-%d}.xlsx"


def create(path: Path) -> None:
    """Make an empty private directory, or accept one.

    Raises :class:`orgscan.errors.UsageError` where it holds something or cannot be written.
    """
    try:
        if path.is_dir():
            if any(path.iterdir()):
                message = f"{path}: is not empty; choose another --output"
                raise UsageError(message)
        else:
            path.mkdir(parents=True, mode=0o700)
        path.chmod(0o700)
        probe = path / _PROBE
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); choose another --output"
        raise UsageError(message) from None


def discard(path: Path) -> None:
    """Remove a run directory in which nothing was collected; leave it where anything else is."""
    with suppress(OSError):
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.joinpath(f"{EVIDENCE}{suffix}").unlink(missing_ok=True)
        path.rmdir()
        if path.parent == DEFAULT_PARENT:
            path.parent.rmdir()


@contextmanager
def locked(directory: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other orgscan processes from writing to ``directory``; readers share it.

    The lock is the system's and goes with the process, so that none can be left behind.

    Raises :class:`orgscan.errors.UsageError` where another process holds it, or there is no
    such directory.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        message = f"{directory}: is not an orgscan run ({error.strerror})"
        raise UsageError(message) from None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = f"{directory}: is in use by another orgscan process; wait for it to end"
        raise UsageError(message) from None
    except OSError:
        pass  # a file system without locks: go on as carefully as one can
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def published(path: Path, *, remedy: str = "") -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path`` in one step.

    The content is on disk before the name is, so that a crash leaves the old file or the new
    one. Files are readable by their owner only.

    Raises :class:`orgscan.errors.RunError`, with ``remedy``, where the file cannot be written.
    """
    with _drafted(path, remedy) as temporary:
        yield temporary
        _keep(temporary)
        temporary.replace(path)
        _sync_directory(path.parent)


@contextmanager
def _drafted(path: Path, remedy: str) -> Iterator[Path]:
    """A file beside ``path`` that is gone afterwards, unless it was renamed."""
    temporary = _temporary(path)
    with _told(path, remedy):
        # Outside the try: a file of that name which is not ours must not be removed.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


@contextmanager
def _told(path: Path, remedy: str = "") -> Iterator[None]:
    """A full disk and its like in one line, whichever library met them."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else " ".join(str(error).split())
        message = f"{path}: cannot be written ({why})" + (f"; {remedy}" if remedy else "")
        raise RunError(message) from error


class Publication:
    """Files made beside their names, which they take together once all are written.

    Whatever happens before :meth:`commit` leaves the directory as it was. A crash within
    leaves it without a manifest: not finished, and never with a manifest that does not fit.
    """

    def __init__(self, directory: Path, *, remedy: str) -> None:
        """``remedy`` is what the user is told to do where a file cannot be written."""
        self._directory = directory
        self._remedy = remedy
        self.files: dict[str, FileRecord] = {}
        """What was written so far, by name."""

    def __enter__(self) -> Self:
        with _told(self._directory, self._remedy):
            clear_leftovers(self._directory)
        return self

    def __exit__(self, *_exc: object) -> None:
        with suppress(OSError):
            for name in self.files:
                _temporary(self._directory / name).unlink(missing_ok=True)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Yield the path to write ``name`` to; its record is in :attr:`files` afterwards.

        Raises :class:`orgscan.errors.RunError` where it cannot be written.
        """
        path = self._directory / name
        temporary = _temporary(path)
        with _told(path, self._remedy):
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            try:
                yield temporary
                _keep(temporary)
                self.files[name] = record(temporary)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def commit(self, manifest: dict[str, Any]) -> None:
        """Let every file take its name and then, last, the manifest.

        An earlier manifest and its signature go first, and with them the files it alone knew,
        unless somebody has changed them since.

        Raises :class:`orgscan.errors.RunError` where that cannot be done.
        """
        path = self._directory / MANIFEST
        with _drafted(path, self._remedy) as draft:
            draft.write_bytes(seal(manifest))
            _keep(draft)
            superseded = _superseded(self._directory, {*self.files, EVIDENCE})
            _retract(self._directory)
            for name in superseded:
                self._directory.joinpath(name).unlink(missing_ok=True)
            for name in self.files:
                _temporary(self._directory / name).replace(self._directory / name)
            _sync_directory(self._directory)
            draft.replace(path)
            _sync_directory(self._directory)


def clear_leftovers(directory: Path) -> None:
    """Remove what a killed process was writing; the caller holds the directory's lock."""
    for path in directory.iterdir():
        if is_leftover(path.name):
            path.unlink()


def is_leftover(name: str) -> bool:
    """Whether a file of that name was being written when its process was killed."""
    return name == _PROBE or _LEFTOVER.fullmatch(name) is not None


def _superseded(directory: Path, kept: set[str]) -> list[str]:
    """Files of the earlier manifest that the next one does not know, as they were written."""
    content, fault = read_sealed(directory / MANIFEST)
    if content is None or fault:
        return []
    names = []
    with suppress(OSError, LookupError, TypeError, AttributeError):
        for name, told in content["files"].items():
            path = directory / name
            ours = name not in kept and path.parent == directory and path.is_file()
            if ours and asdict(record(path)) == told:
                names.append(name)
    return names


def _keep(path: Path) -> None:
    """Make a file private and durable."""
    path.chmod(0o600)
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: Path) -> None:
    try:
        _sync(path)
    except OSError as error:
        # Some network file systems cannot; their renames are durable or nothing here can help.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file to read it. A pipe is never waited for, a device never touched.

    Raises OSError, also where it is anything else than a file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, _NO_FILE)
    # Without waiting: it may have become a pipe since.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, _NO_FILE)
        yield file


def record(path: Path) -> FileRecord:
    """Hash and size of a file, from one reading."""
    digest, size = hashlib.sha256(), 0
    with opened(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileRecord(digest.hexdigest(), size)


def seal(content: dict[str, Any]) -> bytes:
    """``content`` as canonical JSON, with a member that holds the hash of all the others."""
    digest = hashlib.sha256(_canonical(_bare(content))).hexdigest()
    return _canonical({**content, _SEAL: digest})


def unseal(raw: bytes) -> tuple[dict[str, Any] | None, str]:
    """The content of a sealed file, and what is wrong with it; the latter empty if whole.

    There is one way to write a content, so that not a byte can change unseen. Who changes the
    file on purpose can seal it again: only a signature is proof against that.
    """
    try:
        content = json.loads(raw.decode("ascii"))
    except (ValueError, RecursionError) as error:
        return None, f"is cut or not JSON ({' '.join(str(error).split())[:100]})"
    if not isinstance(content, dict):
        return None, "is not a JSON object"
    if seal(content) != raw:
        return content, "was edited: it does not match its own hash"
    return content, ""


def read_sealed(path: Path) -> tuple[dict[str, Any] | None, str]:
    """:func:`unseal` a file; one that is not there or cannot be read has no content."""
    try:
        with opened(path) as file:
            raw = file.read()
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    return unseal(raw)


def _bare(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != _SEAL}


def _canonical(content: dict[str, Any]) -> bytes:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=True)
    return f"{text}\n".encode("ascii")


def write_sealed(path: Path, content: dict[str, Any], *, remedy: str = "") -> None:
    """Publish ``content`` as a sealed file.

    Raises as :func:`published` does.
    """
    with published(path, remedy=remedy) as temporary:
        temporary.write_bytes(seal(content))


def retract_manifest(directory: Path) -> None:
    """Say that the run is not finished any more: its evidence is about to change.

    Tables and workbook stay until the next report takes their place. Files it may have no
    reason to write go: they would stay for good, and fit nothing.

    Raises :class:`orgscan.errors.UsageError` where reports are being made of it.
    """
    kept = {EVIDENCE, *(f"{table.name}.parquet" for table in TABLES)}
    with locked(directory), _told(directory / MANIFEST):
        superseded = _superseded(directory, kept)
        _retract(directory)
        for name in superseded:
            if not name.endswith(".xlsx"):
                directory.joinpath(name).unlink(missing_ok=True)


def _retract(directory: Path) -> None:
    # In this order: a signature never outlives what it signs.
    for name in (SIGNATURE, MANIFEST):
        directory.joinpath(name).unlink(missing_ok=True)
    _sync_directory(directory)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a finished run, as it stands; :func:`unseal` tells whether it is whole.

    Raises :class:`orgscan.errors.UsageError` where there is none or it cannot be read.
    """
    path = directory / MANIFEST
    try:
        with opened(path) as file:
            content = json.loads(file.read().decode("utf-8"))
    except FileNotFoundError:
        message = f"{directory}: holds no finished run (no {MANIFEST}); run `orgscan report` on it"
        raise UsageError(message) from None
    except (OSError, ValueError, RecursionError) as error:
        message = f"{path}: cannot be read ({error})"
        raise UsageError(message) from None
    if not isinstance(content, dict):
        message = f"{path}: is not a manifest"
        raise UsageError(message)
    return content
