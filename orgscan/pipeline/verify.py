"""Whether a run is still what its manifest says, byte for byte; offline and without writing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan.controls.due import DueDates
from orgscan.files import locked
from orgscan.runs import checking, evidence, totals
from orgscan.runs.checking import Remark
from orgscan.runs.rundir import EVIDENCE
from orgscan.runs.signing import PublicKey
from orgscan.schema import ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orgscan.runs.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what is wrong with it."""

    files: int
    accounts: int
    remarks: tuple[str, ...]
    """What could not be decided, and what a reader should know besides."""
    problems: tuple[str, ...]
    """One line each, the file first; empty where the run is whole."""


def verify(
    run: Path, *, public_key: Path | None = None, previous: Path | None = None
) -> Verification:
    """Hold every file of a finished run to its manifest, and the evidence to its own hashes.

    With ``public_key`` the manifest must be signed by that key; with ``previous`` it must
    continue that run.

    Raises :class:`orgscan.errors.UsageError` where the run is not finished, a newer orgscan's,
    or the public key cannot be read; :class:`orgscan.errors.IntegrityError` where it is not
    finished and its evidence was altered.
    """
    key = None if public_key is None else PublicKey.read(public_key)
    with locked(run, shared=True):
        raw = checking.read_manifest(run)
        manifest, lines = checking.check_manifest(run, raw)
        if manifest is None:
            # The evidence can still be held to itself.
            lines += _check_evidence(run, None, ())
            return Verification(0, 0, (), tuple(lines))
        changed = checking.changed_files(run, manifest)
        unchanged = [name for name in manifest.files if name not in changed]
        lines += [f"{name}: {difference}" for name, difference in changed.items()]
        lines += checking.check_names(run, manifest)
        lines += checking.check_modes(run, manifest)
        lines += totals.check_tables(
            run,
            manifest,
            unchanged,
            count_overdue=DueDates(manifest.as_of, manifest.due_days).count,
        )
        lines += _check_evidence(run, manifest, unchanged)
        lines += checking.check_signature(run, raw, key)
        lines += checking.check_chain(manifest, previous)
    return Verification(
        files=len(manifest.files),
        accounts=len(manifest.evidence.accounts),
        remarks=tuple(line for line in lines if isinstance(line, Remark)),
        problems=tuple(line for line in lines if not isinstance(line, Remark)),
    )


def _check_evidence(
    run: Path, manifest: Manifest | None, unchanged: Sequence[str]
) -> Iterator[str]:
    """The evidence held to itself, to the manifest, and to an unchanged table of accounts."""
    if manifest is not None and manifest.evidence.external:
        yield Remark(
            f"the evidence is in the original run (SHA-256 {manifest.evidence.sha256[:12]}…)"
        )
        return
    path, accounts = run / EVIDENCE, run / f"{ACCOUNTS.name}.parquet"
    if not path.is_file() or path.is_symlink():
        return  # named as missing already
    inspection = evidence.inspect(path)
    named = [*checking.check_evidence(inspection, manifest)]
    if accounts.name in unchanged:
        named += totals.check_accounts(accounts, inspection.readings)
    yield from named
    yield from checking.altered_records(inspection, named)
