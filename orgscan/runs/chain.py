"""Runs form a chain: each manifest may name the one before it by its hash."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from orgscan.errors import UsageError
from orgscan.runs.manifest import Manifest, Previous, read

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from orgscan.models import Organization


@dataclass(frozen=True, slots=True)
class Link:
    """An earlier run as the manifest of a later one names it."""

    path: Path
    run_id: str
    organization_id: str
    started_at: datetime
    as_of: datetime
    manifest_sha256: str

    @classmethod
    def to(cls, run: Path) -> Self:
        """The finished run in ``run``.

        Raises :class:`orgscan.errors.UsageError` where it has no manifest, or one that was
        edited or is a newer orgscan's.
        """
        return cls.of(run, *read_earlier(run))

    @classmethod
    def of(cls, path: Path, manifest: Manifest, manifest_sha256: str) -> Self:
        """The run with this manifest."""
        return cls(
            path,
            manifest.run_id,
            manifest.organization_id,
            manifest.started_at,
            manifest.as_of,
            manifest_sha256,
        )

    def entry(self) -> Previous:
        """What the later manifest says."""
        return Previous(run_id=self.run_id, as_of=self.as_of, manifest_sha256=self.manifest_sha256)

    def must_be_of(self, organization: Organization) -> None:
        """Raise :class:`orgscan.errors.UsageError` where it is another organization's."""
        if self.organization_id != organization.id:
            raise UsageError(
                f"{self.path}: is a run of organization {self.organization_id}, not of "
                f"{organization.id}; name an earlier run of that one as --previous"
            )

    def must_precede(self, run_id: str, started_at: datetime) -> None:
        """Raise :class:`orgscan.errors.UsageError` where it is the run itself or a later one."""
        if self.run_id == run_id:
            raise UsageError(f"{self.path}: is the run itself; name an earlier one as --previous")
        if self.started_at > started_at:
            raise UsageError(
                f"{self.path}: began later than the run; name an earlier one as --previous"
            )


def read_earlier(run: Path) -> tuple[Manifest, str]:
    """The manifest of a run to compare with, and its SHA-256.

    Raises as :func:`orgscan.runs.manifest.read` does.
    """
    return read(run, remedy="name an earlier run that `orgscan verify` accepts")
