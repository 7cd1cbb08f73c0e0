"""A finished run held to its manifest, file by file and account by account; nothing is written.

Each check yields a line per problem, the file first, and goes on after it, so that all are named
at once. The tables are held to the manifest in :mod:`orgscan.runs.totals`.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from orgscan import files
from orgscan.errors import IntegrityError, UsageError
from orgscan.runs import evidence
from orgscan.runs.chain import Link
from orgscan.runs.manifest import Manifest, refuse_newer
from orgscan.runs.publication import is_leftover
from orgscan.runs.rundir import EVIDENCE, MANIFEST, SIGNATURE
from orgscan.runs.seal import read_sealed, unseal
from orgscan.runs.signing import Signature
from orgscan.schema import LATER_TABLES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from orgscan.runs.signing import PublicKey


class Remark(str):
    """A line that is not a problem: what could not be decided, or what a reader should know."""

    __slots__ = ()


def read_manifest(run: Path) -> bytes:
    """The bytes of the run's manifest.

    Raises :class:`orgscan.errors.UsageError` where the run is not finished or the manifest cannot
    be read, and :class:`orgscan.errors.IntegrityError` where it is not finished and its evidence
    contradicts itself.
    """
    path = run / MANIFEST
    try:
        with files.opened(path) as file:
            return file.read()
    except FileNotFoundError:
        if not (run / EVIDENCE).exists():
            raise UsageError(
                f"{run}: is not an orgscan run (no {MANIFEST}, no {EVIDENCE})"
            ) from None
        _refuse_altered(run / EVIDENCE)
        raise UsageError(
            f"{run}: is not finished (no {MANIFEST}); resume it with "
            f"`orgscan scan --resume {run}`, or report what was collected with "
            f"`orgscan report {run}`"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from None


def _refuse_altered(path: Path) -> None:
    # While a process writes the evidence, or after one was killed, a part of it is in the journal
    # beside it, which only opening it for writing folds in: that happens when the run is resumed.
    if path.with_name(f"{path.name}-wal").exists():
        return
    inspection = evidence.inspect(path)
    lines = [*check_evidence(inspection, None)]
    lines += altered_records(inspection, lines)
    if lines:
        raise IntegrityError(
            f"{path.parent}: {lines[0]}; restore the run from a backup, or scan anew"
        )


def check_manifest(run: Path, raw: bytes) -> tuple[Manifest | None, list[str]]:
    """The manifest with these bytes, and what is wrong with it; None where it is no manifest.

    Raises :class:`orgscan.errors.UsageError` for one of a newer orgscan.
    """
    problems = []
    content, fault = unseal(raw)
    if (run / MANIFEST).is_symlink():
        problems.append(f"{MANIFEST}: is not a file of the run directory")
    if fault:
        problems.append(f"{MANIFEST}: {fault}")
    if content is None:
        return None, problems
    if not fault:
        refuse_newer(content, run / MANIFEST)
    try:
        return Manifest.model_validate(content), problems
    except ValueError:
        problems.append(f"{MANIFEST}: is not the manifest of a run")
        return None, problems


def changed_files(run: Path, manifest: Manifest) -> dict[str, str]:
    """The files the manifest names that are not as it says, each with the difference."""
    differences = {name: _difference(run, name, of.record) for name, of in manifest.files.items()}
    return {name: difference for name, difference in differences.items() if difference}


def _difference(run: Path, name: str, recorded: files.FileRecord) -> str:
    path = run / name
    try:
        if path.parent != run or not stat.S_ISREG(path.lstat().st_mode):
            return "is not a file of the run directory"
        now = files.record(path)
    except FileNotFoundError:
        return "is missing"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if now == recorded:
        return ""
    size = f"{now.size}" if now.size == recorded.size else f"{recorded.size} -> {now.size}"
    return f"was changed ({size} bytes, SHA-256 {now.sha256[:12]}… not {recorded.sha256[:12]}…)"


def check_names(run: Path, manifest: Manifest) -> Iterator[str]:
    """Files the manifest must name and does not, and files that are in the directory besides."""
    for table in TABLES:
        if f"{table.name}.parquet" not in manifest.files and table.name not in LATER_TABLES:
            yield f"{MANIFEST}: does not name {table.name}.parquet"
    if not manifest.evidence.external and EVIDENCE not in manifest.files:
        yield f"{MANIFEST}: does not name {EVIDENCE}"
    known = {*manifest.files, MANIFEST, SIGNATURE}
    for name in sorted(path.name for path in run.iterdir()):
        if name not in known:
            yield f"{name}: {_why_foreign(name, run)}"


def _why_foreign(name: str, run: Path) -> str:
    if is_leftover(name):
        return f"left by an interrupted process; `orgscan report {run}` removes it"
    if name.startswith(f"{EVIDENCE}-"):
        return "a database journal was added: something opened the evidence for writing"
    if name.startswith(".~lock.") and name.endswith("#"):
        return f"was added by LibreOffice, in which {name[7:-1]} is open or was when it ended"
    if name.startswith("~$"):
        return f"was added by Microsoft Office, in which {name[2:]} is open or was when it ended"
    return "was added: it does not belong to the run"


def check_modes(run: Path, manifest: Manifest) -> Iterator[str]:
    """What others may write to; what they may merely read is a remark, as copies often are."""
    readable = 0
    for name in (".", *sorted({*manifest.files, MANIFEST, SIGNATURE})):
        try:
            mode = (run / name).lstat().st_mode
        except (OSError, ValueError):
            continue  # named as missing already
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            continue
        label = "the run directory" if name == "." else name
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield (
                f"{label}: other users can write to it (mode {stat.S_IMODE(mode):04o}); "
                "run `chmod go-rwx`"
            )
        elif mode & (stat.S_IRWXG | stat.S_IRWXO):
            readable += 1
    if readable:
        yield Remark(
            f"other users can read {readable} of its files and directories; to make them private, "
            f"run `chmod -R go-rwx {run}`"
        )


def check_evidence(inspection: evidence.Inspection, manifest: Manifest | None) -> Iterator[str]:
    """The evidence held to its own hashes and, if there is one, to the manifest's."""
    for problem in inspection.problems:
        yield f"{EVIDENCE}: {problem}"
    if manifest is None:
        return
    now, recorded = inspection.accounts, manifest.evidence.accounts
    for account in sorted(now.keys() - recorded.keys()):
        yield f"{EVIDENCE}: account {account}: was added"
    for account in sorted(recorded.keys() - now.keys()):
        yield f"{EVIDENCE}: account {account}: its evidence is missing or cannot be read"
    for account in sorted(now.keys() & recorded.keys()):
        if now[account] != recorded[account]:
            yield f"{EVIDENCE}: account {account}: its evidence does not match the manifest"


def altered_records(inspection: evidence.Inspection, named: Sequence[str]) -> Iterator[str]:
    """The records that were altered, unless the lines in ``named`` say more exactly how."""
    if not all("account " in line for line in named):
        return  # the store as a whole is damaged, or its accounts make no table
    lines = list(named)
    # The rows as a whole come last, and only where no account is named.
    for account, reason in sorted(inspection.altered.items(), reverse=True):
        about = f"{EVIDENCE}: account {account}: " if account else f"{EVIDENCE}: "
        if not any(line.startswith(about) for line in lines):
            lines.append(f"{about}{reason}")
            yield lines[-1]


def check_signature(run: Path, raw: bytes, key: PublicKey | None) -> Iterator[str]:
    """The signature over the manifest with the bytes ``raw``; with ``key`` there must be one."""
    path = run / SIGNATURE
    if not path.is_symlink() and not path.exists():
        if key is not None:
            yield f"{SIGNATURE}: is missing: the run is not signed"
        return
    document, fault = read_sealed(path)
    if document is None or fault:
        yield f"{SIGNATURE}: {fault}"
        return
    try:
        signature = Signature.of(document)
        if signature.manifest_sha256 != files.sha256(raw):
            yield f"{SIGNATURE}: the signature belongs to another manifest"
        if key is not None:
            key.check(signature)
    except IntegrityError as error:
        yield f"{SIGNATURE}: {error}"
        return
    yield Remark(
        f"signed with {signature.key_arn}"
        if key is not None
        else "signature present, not verified: give --public-key"
    )


def check_chain(manifest: Manifest, previous: Path | None) -> Iterator[str]:
    """Whether the run continues ``previous``.

    Raises :class:`orgscan.errors.UsageError` where that is not a finished run.
    """
    recorded = manifest.previous
    if previous is None:
        if recorded is not None:
            yield Remark(f"continues run {recorded.run_id}; use --previous to verify that")
        return
    _content, fault = unseal(read_manifest(previous))
    if fault:
        yield f"{previous / MANIFEST}: {fault}"
        return
    link = Link.to(previous)
    if recorded is None:
        yield f"{MANIFEST}: names no previous run, so this run does not continue {previous}"
    elif recorded != link.entry():
        yield (
            f"{MANIFEST}: continues run {recorded.run_id} with manifest SHA-256 "
            f"{recorded.manifest_sha256[:12]}…, not run {link.run_id} with "
            f"{link.manifest_sha256[:12]}… in {previous}"
        )
    else:
        yield Remark(f"continues {previous}")
