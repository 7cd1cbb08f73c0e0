"""A manifest's figures, counted again from the tables they summarize."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from orgscan import frames
from orgscan.controls.due import DueDates
from orgscan.models import INTEGRITY_FAILURE
from orgscan.runs import parquet
from orgscan.schema import ACCOUNTS, FINDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pandas as pd


@dataclass(frozen=True, slots=True)
class Totals:
    """The figures of a manifest that its tables must add up to."""

    accounts: int
    integrity_failures: list[str]
    findings: Mapping[str, Mapping[str, int]]
    """By control and status."""
    severities: Mapping[str, str]
    """By control."""
    overdue: Mapping[str, int] | None
    """By severity; None where it depends on dates that only the workbook holds."""
    due_days: Mapping[str, int]
    as_of: datetime

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError, ValueError or AttributeError for what is no manifest."""
        carried = manifest.get("carried")
        overdue = manifest.get("overdue")  # older orgscans did not count them
        return cls(
            accounts=int(manifest["accounts"]),
            integrity_failures=list(map(str, manifest["integrity_failures"])),
            findings={
                control: {status: int(count) for status, count in counts.items()}
                for control, counts in manifest["findings"].items()
            },
            severities=dict(manifest["severities"].items()),
            overdue=None if carried or overdue is None else dict(overdue.items()),
            due_days=dict(manifest.get("due_days", {}).items()),
            as_of=datetime.fromisoformat(manifest["as_of"]),
        )

    def account_differences(self, accounts: pd.DataFrame) -> Iterator[str]:
        """What :data:`orgscan.schema.ACCOUNTS` counts differently, a line each."""
        name = f"{ACCOUNTS.name}.parquet"
        if len(accounts) != self.accounts:
            yield f"{name}: has {len(accounts)} accounts, the manifest counts {self.accounts}"
        failed = accounts.loc[accounts["error_code"] == INTEGRITY_FAILURE, "account_id"]
        if sorted(failed) != sorted(self.integrity_failures):
            yield f"{name}: its integrity failures are not those of the manifest"

    def finding_differences(self, path: Path) -> Iterator[str]:
        """What the findings at ``path`` count differently, a line each.

        Raises :class:`orgscan.errors.RunError` where they cannot be read.
        """
        columns = ["finding_id", "control_id", "status", "severity", "first_seen_at"]
        stored, sizes = parquet.Stored(path, FINDINGS, columns=columns), Counter[tuple[str, ...]]()
        for piece in stored.pieces():
            sizes += frames.counts(piece, "control_id", "severity", "status")
        yield from self._by_status(sizes, path.name)
        for control, severity in dict.fromkeys(key[:2] for key in sizes):
            told = self.severities.get(control)
            if severity != told:
                yield f"{path.name}: {control}: is of severity {severity}, the manifest says {told}"
        if self.overdue is not None:
            late = DueDates(self.as_of, self.due_days).count(stored.pieces())
            for severity in sorted(late.keys() | self.overdue.keys()):
                now, told_late = late.get(severity, 0), self.overdue.get(severity, 0)
                if now != told_late:
                    yield (
                        f"{path.name}: has {now} overdue findings of severity {severity}, the "
                        f"manifest counts {told_late}"
                    )

    def _by_status(self, results: Counter[tuple[str, ...]], name: str) -> Iterator[str]:
        sizes: Counter[tuple[str, str]] = Counter()
        for (control, _, status), count in results.items():
            sizes[control, status] += count
        told = {
            (control, status): count
            for control, counts in self.findings.items()
            for status, count in counts.items()
        }
        for control, status in sorted(sizes.keys() | told.keys()):
            now, then = sizes[control, status], told.get((control, status), 0)
            if now != then:
                yield f"{name}: {control}: has {now} {status}, the manifest counts {then}"
