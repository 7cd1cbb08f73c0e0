"""The run directory: where it is, what its files are called, and how it begins and is given up."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orgscan.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from orgscan.models import RunInfo

EVIDENCE = "evidence.sqlite"
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig.json"
DEFAULT_PARENT = Path("orgscan-runs")
PROBE = ".orgscan-probe"


def default_path(now: datetime) -> Path:
    """The default run directory."""
    return DEFAULT_PARENT / now.strftime("%Y-%m-%dT%H-%M-%SZ")


def workbook_name(info: RunInfo) -> str:
    """The workbook's file name: organization and the day it speaks for."""
    return f"orgscan-{info.organization.id}-{info.as_of:%Y-%m-%d}.xlsx"


def create(path: Path) -> None:
    """Make an empty private directory, or accept one.

    Raises :class:`orgscan.errors.UsageError` where it is not empty or cannot be written.
    """
    try:
        if path.is_dir():
            if any(path.iterdir()):
                raise UsageError(f"{path}: is not empty; choose another --output")
        else:
            path.mkdir(parents=True, mode=0o700)
        path.chmod(0o700)
        probe = path / PROBE
        probe.touch(mode=0o600)
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}); choose another --output"
        ) from None


def discard(path: Path) -> None:
    """Remove a run directory in which nothing was collected; leave it where anything else is."""
    with suppress(OSError):
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.joinpath(f"{EVIDENCE}{suffix}").unlink(missing_ok=True)
        path.rmdir()
        if path.parent == DEFAULT_PARENT:
            path.parent.rmdir()
