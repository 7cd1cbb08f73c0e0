"""The tables of a finished run held to its manifest, and to the evidence they were built from."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from orgscan import frames, tables
from orgscan.errors import RunError
from orgscan.models import INTEGRITY_FAILURE, Coverage
from orgscan.runs import parquet
from orgscan.runs.rundir import EVIDENCE, MANIFEST
from orgscan.schema import ACCOUNTS, CHANGES, FINDINGS, TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from orgscan.models import Reading
    from orgscan.runs.manifest import Manifest
    from orgscan.schema import Table

_COUNTED = ["finding_id", "control_id", "status", "severity", "first_seen_at"]


def check_tables(
    run: Path,
    manifest: Manifest,
    names: Sequence[str],
    *,
    count_overdue: Callable[[Iterable[pd.DataFrame]], Mapping[str, int]],
) -> Iterator[str]:
    """What the Parquet files called ``names`` say of themselves and add up to, if not the same.

    ``count_overdue`` counts the overdue ones among findings, which come in pieces, by severity.
    """
    for table in (*TABLES, CHANGES):
        path = run / f"{table.name}.parquet"
        if path.name not in names:
            continue
        try:
            yield from _metadata_differences(path, manifest, table)
            if table is ACCOUNTS:
                yield from _account_differences(path, manifest)
            if table is FINDINGS:
                yield from _finding_differences(path, manifest, count_overdue)
        except (RunError, ValueError) as error:
            yield f"{path.name}: {' '.join(str(error).split())}"


def _metadata_differences(path: Path, manifest: Manifest, table: Table) -> Iterator[str]:
    entries = parquet.metadata(path)
    expected = {
        "orgscan.version": manifest.versions.get("orgscan"),
        "orgscan.run_id": manifest.run_id,
        "orgscan.organization_id": manifest.organization_id,
        "orgscan.as_of": manifest.as_of.isoformat(),
        "orgscan.enumerated": str(manifest.enumerated).lower(),
        "orgscan.schema_version": str(manifest.schema_version),
        "orgscan.table": table.name,
    }
    for name, value in expected.items():
        if entries.get(name) != value:
            yield f"{path.name}: its {name} is {entries.get(name)!r}, the manifest says {value!r}"
    if json.loads(entries.get("orgscan.thresholds", "null")) != manifest.thresholds:
        yield f"{path.name}: its orgscan.thresholds are not those of the manifest"


def _account_differences(path: Path, manifest: Manifest) -> Iterator[str]:
    frame = parquet.read(path, ACCOUNTS)
    digests = zip(frame["account_id"], frame["evidence_sha256"], strict=True)
    listed = {account: digest if isinstance(digest, str) else None for account, digest in digests}
    recorded = manifest.evidence.accounts
    for account in sorted(listed.keys() ^ recorded.keys()):
        where = path.name if account in listed else MANIFEST
        yield f"{path.name}: account {account} is only in {where}"
    for account in sorted(listed.keys() & recorded.keys()):
        if listed[account] != recorded[account]:
            yield f"{path.name}: account {account}: names other evidence than the manifest"
    counts = Counter(str(value) for value in frame["coverage"])
    if any(manifest.coverage[coverage] != counts[coverage.value] for coverage in Coverage):
        yield f"{path.name}: its coverage does not add up to what the manifest counts"
    if len(frame) != manifest.accounts:
        yield f"{path.name}: has {len(frame)} accounts, the manifest counts {manifest.accounts}"
    failed = frame.loc[frame["error_code"] == INTEGRITY_FAILURE, "account_id"]
    if sorted(failed) != sorted(manifest.integrity_failures):
        yield f"{path.name}: its integrity failures are not those of the manifest"


def _finding_differences(
    path: Path,
    manifest: Manifest,
    count_overdue: Callable[[Iterable[pd.DataFrame]], Mapping[str, int]],
) -> Iterator[str]:
    findings = parquet.Stored(path, FINDINGS, columns=_COUNTED)
    counts, severities = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for piece in findings.pieces():
        counts += frames.counts(piece, "control_id", "status")
        severities += frames.counts(piece, "control_id", "severity")
    recorded = {
        (control, status): count
        for control, by_status in manifest.findings.items()
        for status, count in by_status.items()
    }
    for control, status in sorted(counts.keys() | recorded.keys()):
        now, then = counts[control, status], recorded.get((control, status), 0)
        if now != then:
            yield f"{path.name}: {control}: has {now} {status}, the manifest counts {then}"
    for control, severity in severities:
        named = manifest.severities.get(control)
        if severity != named:
            yield f"{path.name}: {control}: is of severity {severity}, the manifest says {named}"
    if manifest.overdue is None or manifest.carried is not None:
        return  # not counted, or by dates that only the workbook holds
    late = count_overdue(findings.pieces())
    for severity in sorted(late.keys() | manifest.overdue.keys()):
        now, then = late.get(severity, 0), manifest.overdue.get(severity, 0)
        if now != then:
            yield (
                f"{path.name}: has {now} overdue findings of severity {severity}, the manifest "
                f"counts {then}"
            )


def check_accounts(path: Path, readings: Sequence[Reading]) -> Iterator[str]:
    """The accounts of which the evidence records another end than their table at ``path``."""
    try:
        built = tables.recorded(readings)
    except (AttributeError, TypeError, ValueError) as error:
        why = " ".join(str(error).split())[:200]
        yield f"{EVIDENCE}: the accounts table cannot be built from it ({why})"
        return
    try:
        written = parquet.read(path, ACCOUNTS)
    except (RunError, ValueError):
        return  # named already, with the other tables
    built, written = (
        frame.drop_duplicates("account_id").set_index("account_id") for frame in (built, written)
    )
    shared = built.index.intersection(written.index)
    ours, theirs = (frame.loc[shared, list(built.columns)] for frame in (built, written))
    same = (ours == theirs).fillna(value=False).astype(bool) | (ours.isna() & theirs.isna())
    for account, row in same[~same.all(axis=1)].iterrows():
        names = ", ".join(row.index[~row])
        yield f"{EVIDENCE}: account {account}: records another {names} than {path.name}"
