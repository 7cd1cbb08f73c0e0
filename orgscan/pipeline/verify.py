"""Whether a run is still what its manifest says, byte for byte; offline and without writing."""

from __future__ import annotations

import hashlib
import json
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from orgscan import tables
from orgscan.errors import IntegrityError, RunError, UsageError
from orgscan.models import Coverage
from orgscan.pipeline.totals import Totals
from orgscan.runs import evidence, parquet, rundir, signing
from orgscan.runs.chain import Link, refuse_newer
from orgscan.runs.rundir import EVIDENCE, MANIFEST, SIGNATURE
from orgscan.schema import ACCOUNTS, CHANGES, FINDINGS, LATER_TABLES, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from orgscan.models import Reading


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
    key = None if public_key is None else signing.PublicKey.read(public_key)
    with rundir.locked(run, shared=True):
        return _Verifier(run, _manifest(run)).verify(key, previous)


def _manifest(run: Path) -> bytes:
    path = run / MANIFEST
    try:
        with rundir.opened(path) as file:
            return file.read()
    except FileNotFoundError:
        if not (run / EVIDENCE).exists():
            message = f"{run}: is not an orgscan run (no {MANIFEST}, no {EVIDENCE})"
            raise UsageError(message) from None
        _refuse_altered(run / EVIDENCE)
        message = (
            f"{run}: is not finished (no {MANIFEST}); `orgscan scan --resume {run}` goes on, "
            f"`orgscan report {run}` writes reports of what is there"
        )
        raise UsageError(message) from None
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror})"
        raise UsageError(message) from None


def _refuse_altered(path: Path) -> None:
    """Raise IntegrityError where the evidence of an unfinished run contradicts itself.

    While a process writes it, or after one was killed, a part of it is in the journal beside it,
    which only opening it for writing folds in: that is left to whoever goes on.
    """
    if path.with_name(f"{path.name}-wal").exists():
        return
    found = evidence.inspect(path)
    named = [f"{EVIDENCE}: {problem}" for problem in found.problems]
    named += [*_altered(found.altered, named)]
    if named:
        message = f"{path.parent}: {named[0]}; restore the run from a backup, or scan anew"
        raise IntegrityError(message)


@dataclass(frozen=True, slots=True)
class _Claims:
    """The part of a manifest that can be held to something, with the types it must have."""

    files: Mapping[str, rundir.FileRecord]
    accounts: Mapping[str, str | None]
    external: bool
    evidence_sha256: str
    previous: Mapping[str, Any] | None
    coverage: Mapping[str, int]
    metadata: Mapping[str, str]
    thresholds: Mapping[str, Any]
    totals: Totals

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError or AttributeError for anything else."""
        told = content["evidence"]
        return cls(
            files={
                name: rundir.FileRecord(str(of["sha256"]), int(of["size"]))
                for name, of in content["files"].items()
            },
            accounts=dict(told["accounts"].items()),
            external=bool(told["external"]),
            evidence_sha256=str(told["sha256"]),
            previous=None if content["previous"] is None else dict(content["previous"].items()),
            coverage=dict(content["coverage"].items()),
            metadata={
                "orgscan.version": str(content["versions"]["orgscan"]),
                "orgscan.run_id": str(content["run_id"]),
                "orgscan.organization_id": str(content["organization_id"]),
                "orgscan.as_of": str(content["as_of"]),
                "orgscan.enumerated": str(content["enumerated"]).lower(),
                "orgscan.schema_version": str(content["schema"]),
            },
            thresholds=dict(content["thresholds"].items()),
            totals=Totals.of(content),
        )


@dataclass
class _Verifier:
    """Goes on after each problem, so that all are named at once."""

    run: Path
    raw: bytes
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def verify(self, key: signing.PublicKey | None, previous: Path | None) -> Verification:
        claims = self._claims()
        if claims is None:
            # What is there can still be held to itself.
            self.problems += self._evidence(None)
            return self._result(0, 0)
        self.problems += self._files(claims)
        self.problems += self._foreign(claims)
        self.problems += self._modes(claims)
        self.problems += self._tables(claims)
        self.problems += self._evidence(claims)
        self.problems += self._signature(key)
        self.problems += self._chain(claims, previous)
        return self._result(len(claims.files), len(claims.accounts))

    def _result(self, files: int, accounts: int) -> Verification:
        return Verification(files, accounts, tuple(self.remarks), tuple(self.problems))

    def _claims(self) -> _Claims | None:
        content, fault = rundir.unseal(self.raw)
        if (self.run / MANIFEST).is_symlink():
            self.problems.append(f"{MANIFEST}: is not a file of the run directory")
        if fault:
            self.problems.append(f"{MANIFEST}: {fault}")
        if content is None:
            return None
        try:
            if not fault:
                refuse_newer(self.run / MANIFEST, content)
            return _Claims.of(content)
        except (KeyError, TypeError, ValueError, AttributeError):
            self.problems.append(f"{MANIFEST}: is not the manifest of a run")
            return None

    def _files(self, claims: _Claims) -> Iterator[str]:
        """The files the manifest names, and the tables it must name."""
        for table in TABLES:
            if f"{table.name}.parquet" not in claims.files and table.name not in LATER_TABLES:
                yield f"{MANIFEST}: does not name {table.name}.parquet"
        if not claims.external and EVIDENCE not in claims.files:
            yield f"{MANIFEST}: does not name {EVIDENCE}"
        for name, told in claims.files.items():
            if difference := self._difference(name, told):
                yield f"{name}: {difference}"

    def _difference(self, name: str, told: rundir.FileRecord) -> str:
        path = self.run / name
        try:
            if path.parent != self.run or not stat.S_ISREG(path.lstat().st_mode):
                return "is not a file of the run directory"
            found = rundir.record(path)
        except FileNotFoundError:
            return "is missing"
        except (OSError, ValueError) as error:
            return f"cannot be read ({getattr(error, 'strerror', None) or error})"
        if found == told:
            return ""
        size = f"{found.size}" if found.size == told.size else f"{told.size} -> {found.size}"
        return f"was changed ({size} bytes, SHA-256 {found.sha256[:12]}… not {told.sha256[:12]}…)"

    def _foreign(self, claims: _Claims) -> Iterator[str]:
        known = {*claims.files, MANIFEST, SIGNATURE}
        for name in sorted(path.name for path in self.run.iterdir()):
            if name not in known:
                yield f"{name}: {_why_foreign(name, self.run)}"

    def _modes(self, claims: _Claims) -> Iterator[str]:
        """What others may write to; what they may merely read is a remark, as copies often are."""
        readable = 0
        for name in (".", *sorted({*claims.files, MANIFEST, SIGNATURE})):
            try:
                mode = (self.run / name).lstat().st_mode
            except (OSError, ValueError):
                continue  # named as missing already
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                continue
            label = "the run directory" if name == "." else name
            if mode & (stat.S_IWGRP | stat.S_IWOTH):
                yield (
                    f"{label}: others may change it (mode {stat.S_IMODE(mode):04o}); "
                    "`chmod go-rwx` makes it private"
                )
            elif mode & (stat.S_IRWXG | stat.S_IRWXO):
                readable += 1
        if readable:
            self.remarks.append(
                f"others may read {readable} of its files and directories; `chmod -R go-rwx "
                f"{self.run}` makes them private"
            )

    def _tables(self, claims: _Claims) -> Iterator[str]:
        """What the Parquet files say of themselves; only where they are as they were written."""
        for table in (*TABLES, CHANGES):
            name = f"{table.name}.parquet"
            if not self._unchanged(name, claims):
                continue
            try:
                yield from _metadata_differences(self.run / name, claims)
                if table is ACCOUNTS:
                    yield from _account_differences(self.run / name, claims)
                if table is FINDINGS:
                    yield from claims.totals.finding_differences(self.run / name)
            except (RunError, ValueError) as error:
                yield f"{name}: {' '.join(str(error).split())}"

    def _unchanged(self, name: str, claims: _Claims) -> bool:
        told = claims.files.get(name)
        return told is not None and not self._difference(name, told)

    def _evidence(self, claims: _Claims | None) -> Iterator[str]:
        if claims is not None and claims.external:
            self.remarks.append(
                f"its evidence is elsewhere (SHA-256 {claims.evidence_sha256[:12]}…)"
            )
            return
        path = self.run / EVIDENCE
        if not path.is_file() or path.is_symlink():
            return  # named as missing already
        found = evidence.inspect(path)
        named = [f"{EVIDENCE}: {problem}" for problem in found.problems]
        if claims is not None:
            named += _evidence_differences(found.accounts, claims)
            named += self._recorded(found.readings, claims)
        yield from named
        yield from _altered(found.altered, named)

    def _recorded(self, readings: Sequence[Reading], claims: _Claims) -> Iterator[str]:
        """The accounts of which the evidence records another end than their table repeats."""
        path = self.run / f"{ACCOUNTS.name}.parquet"
        if not self._unchanged(path.name, claims):
            return
        try:
            found = tables.recorded(readings)
        except (AttributeError, TypeError, ValueError) as error:
            why = " ".join(str(error).split())[:200]
            yield f"{EVIDENCE}: what it records of the accounts makes no table ({why})"
            return
        with suppress(RunError, ValueError):  # named already, with the other tables
            yield from _recorded_differences(found, parquet.read(path, ACCOUNTS))

    def _signature(self, key: signing.PublicKey | None) -> Iterator[str]:
        path = self.run / SIGNATURE
        if not path.is_symlink() and not path.exists():
            if key is not None:
                yield f"{SIGNATURE}: is missing: the run is not signed"
            return
        document, fault = rundir.read_sealed(path)
        if document is None or fault:
            yield f"{SIGNATURE}: {fault}"
            return
        try:
            signature = signing.Signature.of(document)
            if signature.manifest_sha256 != hashlib.sha256(self.raw).hexdigest():
                yield f"{SIGNATURE}: signs another manifest than the one here"
            if key is not None:
                key.check(signature)
        except IntegrityError as error:
            yield f"{SIGNATURE}: {error}"
            return
        self.remarks.append(
            f"signed with {signature.key_arn}"
            if key is not None
            else "signature present, not verified: give --public-key"
        )

    def _chain(self, claims: _Claims, previous: Path | None) -> Iterator[str]:
        told = claims.previous
        if previous is None:
            if told is not None:
                self.remarks.append(f"continues run {told.get('run_id')}: --previous checks that")
            return
        _content, fault = rundir.unseal(_manifest(previous))
        if fault:
            yield f"{previous / MANIFEST}: {fault}"
            return
        link = Link.to(previous)
        if told is None:
            yield f"{MANIFEST}: names no previous run, so that it does not continue {previous}"
        elif told != link.entry():
            yield (
                f"{MANIFEST}: continues run {told.get('run_id')} with manifest SHA-256 "
                f"{str(told.get('manifest_sha256'))[:12]}…, not run {link.run_id} with "
                f"{link.manifest_sha256[:12]}… in {previous}"
            )
        else:
            self.remarks.append(f"continues {previous}")


def _why_foreign(name: str, run: Path) -> str:
    if rundir.is_leftover(name):
        return f"left behind by a process that was killed; `orgscan report {run}` clears it away"
    if name.startswith(f"{EVIDENCE}-"):
        return "a database journal was added: something opened the evidence for writing"
    if name.startswith(".~lock.") and name.endswith("#"):
        return f"was added by LibreOffice, in which {name[7:-1]} is open or was when it ended"
    if name.startswith("~$"):
        return f"was added by Microsoft Office, in which {name[2:]} is open or was when it ended"
    return "was added: it is no part of the run"


def _metadata_differences(path: Path, claims: _Claims) -> Iterator[str]:
    found = parquet.metadata(path)
    for name, told in {**claims.metadata, "orgscan.table": path.stem}.items():
        if found.get(name) != told:
            yield f"{path.name}: its {name} is {found.get(name)!r}, the manifest says {told!r}"
    if json.loads(found.get("orgscan.thresholds", "null")) != claims.thresholds:
        yield f"{path.name}: its orgscan.thresholds are not those of the manifest"


def _account_differences(path: Path, claims: _Claims) -> Iterator[str]:
    frame = parquet.read(path, ACCOUNTS)
    digests = zip(frame["account_id"], frame["evidence_sha256"], strict=True)
    found = {account: digest if isinstance(digest, str) else None for account, digest in digests}
    for account in sorted(found.keys() ^ claims.accounts.keys()):
        where = path.name if account in found else MANIFEST
        yield f"{path.name}: account {account} is in {where} alone"
    for account in sorted(found.keys() & claims.accounts.keys()):
        if found[account] != claims.accounts[account]:
            yield f"{path.name}: account {account}: names other evidence than the manifest"
    counts = Counter(str(value) for value in frame["coverage"])
    if any(claims.coverage.get(value.value) != counts[value.value] for value in Coverage):
        yield f"{path.name}: its coverage does not add up to what the manifest counts"
    yield from claims.totals.account_differences(frame)


def _recorded_differences(found: pd.DataFrame, table: pd.DataFrame) -> Iterator[str]:
    found, table = (
        frame.drop_duplicates("account_id").set_index("account_id") for frame in (found, table)
    )
    shared = found.index.intersection(table.index)
    ours, told = (frame.loc[shared, list(found.columns)] for frame in (found, table))
    same = (ours == told).fillna(value=False).astype(bool) | (ours.isna() & told.isna())
    for account, row in same[~same.all(axis=1)].iterrows():
        names = ", ".join(row.index[~row])
        yield f"{EVIDENCE}: account {account}: records another {names} than {ACCOUNTS.name}.parquet"


def _altered(altered: Mapping[str, str], named: Sequence[str]) -> Iterator[str]:
    """The records that were altered, unless ``named`` says more exactly how."""
    if not all("account " in line for line in named):
        return  # the store as a whole is damaged, or its accounts make no table
    told = list(named)
    # The rows as a whole come last, and only where no account is named.
    for account, reason in sorted(altered.items(), reverse=True):
        where = f"{EVIDENCE}: account {account}: " if account else f"{EVIDENCE}: "
        if not any(line.startswith(where) for line in told):
            told.append(f"{where}{reason}")
            yield told[-1]


def _evidence_differences(found: Mapping[str, str | None], claims: _Claims) -> Iterator[str]:
    for account in sorted(found.keys() - claims.accounts.keys()):
        yield f"{EVIDENCE}: account {account}: was added"
    for account in sorted(claims.accounts.keys() - found.keys()):
        yield f"{EVIDENCE}: account {account}: its evidence is missing or cannot be read"
    for account in sorted(found.keys() & claims.accounts.keys()):
        if found[account] != claims.accounts[account]:
            yield f"{EVIDENCE}: account {account}: its evidence does not match the manifest"
