"""How reports appear in a run directory and go from it: together, the manifest last."""

from __future__ import annotations

import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from orgscan import files
from orgscan.runs.manifest import trusted
from orgscan.runs.rundir import EVIDENCE, MANIFEST, PROBE, SIGNATURE
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orgscan.runs.manifest import Manifest

_LEFTOVER = re.compile(
    r"\.(evidence\.sqlite|orgscan-.*\.xlsx|\w+\.(parquet|csv)|findings\.ocsf\.jsonl"
    r"|manifest(\.sig)?\.json)\.\d+\.tmp"
)


class Publication:
    """Files written under temporary names, which take their own together once all are written.

    Whatever happens before :meth:`commit` leaves the directory as it was. A crash within
    leaves it without a manifest: not finished, and never with a manifest that does not fit.
    """

    def __init__(self, directory: Path, *, remedy: str) -> None:
        """``remedy`` says what the user can do if a file cannot be written."""
        self._directory = directory
        self._remedy = remedy
        self.files: dict[str, files.FileRecord] = {}
        """What was written so far, by name."""

    def __enter__(self) -> Self:
        with files.writing(self._directory, self._remedy):
            clear_leftovers(self._directory)
        return self

    def __exit__(self, *_exc: object) -> None:
        with suppress(OSError):
            for name in self.files:
                files.temporary(self._directory / name).unlink(missing_ok=True)

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Yield the path to write ``name`` to; its record is in :attr:`files` afterwards.

        Raises :class:`orgscan.errors.RunError` where it cannot be written.
        """
        path = self._directory / name
        with files.writing(path, self._remedy), files.drafted(path) as draft:
            yield draft
            files.secure(draft)
            self.files[name] = files.record(draft)

    def commit(self, manifest: Manifest) -> None:
        """Let every file take its name and then, last, the manifest.

        An earlier manifest and its signature go first, and with them the files it alone knew,
        unless somebody has changed them since.

        Raises :class:`orgscan.errors.RunError` where that cannot be done.
        """
        path = self._directory / MANIFEST
        with files.writing(path, self._remedy), files.drafted(path) as draft:
            draft.write_bytes(manifest.sealed())
            files.secure(draft)
            superseded = _superseded(self._directory, {*self.files, EVIDENCE})
            _retract(self._directory)
            for name in superseded:
                self._directory.joinpath(name).unlink(missing_ok=True)
            for name in self.files:
                target = self._directory / name
                files.temporary(target).replace(target)
            files.sync_directory(self._directory)
            draft.replace(path)
            files.sync_directory(self._directory)


def retract_manifest(directory: Path) -> None:
    """Say that the run is not finished any more: its evidence is about to change.

    Tables and workbook stay until the next report takes their place. Files it may have no
    reason to write go: they would stay for good, and fit nothing.

    Raises :class:`orgscan.errors.UsageError` where reports are being made of it.
    """
    kept = {EVIDENCE, *(f"{table.name}.parquet" for table in TABLES)}
    with files.locked(directory), files.writing(directory / MANIFEST):
        superseded = _superseded(directory, kept)
        _retract(directory)
        for name in superseded:
            if not name.endswith(".xlsx"):
                directory.joinpath(name).unlink(missing_ok=True)


def _retract(directory: Path) -> None:
    # In this order: a signature never outlives what it signs.
    for name in (SIGNATURE, MANIFEST):
        directory.joinpath(name).unlink(missing_ok=True)
    files.sync_directory(directory)


def _superseded(directory: Path, kept: set[str]) -> list[str]:
    """Files of the earlier manifest that the next one does not know, as they were written."""
    earlier = trusted(directory)
    names = []
    for name, recorded in ({} if earlier is None else earlier.files).items():
        path = directory / name
        with suppress(OSError):
            ours = name not in kept and path.parent == directory and path.is_file()
            if ours and files.record(path) == recorded.record:
                names.append(name)
    return names


def clear_leftovers(directory: Path) -> None:
    """Remove what a killed process was writing; the caller holds the directory's lock."""
    for path in directory.iterdir():
        if is_leftover(path.name):
            path.unlink()


def is_leftover(name: str) -> bool:
    """Whether a file of that name was being written when its process was killed."""
    return name == PROBE or _LEFTOVER.fullmatch(name) is not None
