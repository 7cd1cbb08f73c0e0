"""The run directory: the names of its files, and how a file appears in it whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from orgscan.models import RunInfo

EVIDENCE = "evidence.sqlite"
MANIFEST = "manifest.json"
DEFAULT_PARENT = Path("orgscan-runs")
_CHUNK = 1 << 20


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
        probe = path / ".orgscan-probe"
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
def published(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it becomes ``path`` in one step.

    The content is on disk before the name is, so that a crash leaves the old file or the new
    one. Files are readable by their owner only.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    # Outside the try: a file of that name which is not ours must not be removed.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        yield temporary
        temporary.chmod(0o600)
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file, lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def write_manifest(directory: Path, content: dict[str, Any]) -> Path:
    """Publish ``manifest.json``, the commit point of a run."""
    path = directory / MANIFEST
    with published(path) as temporary:
        temporary.write_text(
            json.dumps(content, indent=2, sort_keys=True, ensure_ascii=True) + "\n", "ascii"
        )
    return path


def retract_manifest(directory: Path) -> None:
    """Say that the run is not finished any more: its evidence is about to change."""
    directory.joinpath(MANIFEST).unlink(missing_ok=True)
    _sync(directory)


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a finished run.

    Raises :class:`orgscan.errors.UsageError` where there is none or it cannot be read.
    """
    path = directory / MANIFEST
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        message = f"{directory}: holds no finished run (no {MANIFEST}); run `orgscan report` on it"
        raise UsageError(message) from None
    except (OSError, ValueError) as error:
        message = f"{path}: cannot be read ({error})"
        raise UsageError(message) from None
    if not isinstance(content, dict):
        message = f"{path}: is not a manifest"
        raise UsageError(message)
    return content
