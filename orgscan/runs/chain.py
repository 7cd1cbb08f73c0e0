"""Runs form a chain: each manifest may name the one before it by its hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from orgscan.errors import UsageError
from orgscan.runs import rundir

if TYPE_CHECKING:
    from pathlib import Path

    from orgscan.models import Organization

MANIFEST_FORMAT = 1
"""Raised when an older orgscan could misread a manifest."""


@dataclass(frozen=True, slots=True)
class Link:
    """An earlier run as the manifest of a later one names it."""

    path: Path
    run_id: str
    organization_id: str
    started_at: datetime
    as_of: str
    manifest_sha256: str

    @classmethod
    def to(cls, run: Path) -> Self:
        """The finished run in ``run``.

        Raises :class:`orgscan.errors.UsageError` where it has no manifest, or one that was
        edited or is a newer orgscan's.
        """
        path = run / rundir.MANIFEST
        content = rundir.read_manifest(run)
        with rundir.opened(path) as file:
            raw = file.read()
        _content, fault = rundir.unseal(raw)
        if fault:
            message = f"{path}: {fault}; name an earlier run that `orgscan verify` finds whole"
            raise UsageError(message)
        try:
            refuse_newer(path, content)
            return cls(
                run,
                content["run_id"],
                content["organization_id"],
                datetime.fromisoformat(content["started_at"]),
                content["as_of"],
                hashlib.sha256(raw).hexdigest(),
            )
        except (KeyError, TypeError, ValueError):
            message = f"{path}: is not the manifest of a run"
            raise UsageError(message) from None

    def entry(self) -> dict[str, str]:
        """What the later manifest says."""
        return {
            "run_id": self.run_id,
            "as_of": self.as_of,
            "manifest_sha256": self.manifest_sha256,
        }

    def must_be_of(self, organization: Organization) -> None:
        """Raise :class:`orgscan.errors.UsageError` where it is another organization's."""
        if self.organization_id != organization.id:
            message = (
                f"{self.path}: is a run of organization {self.organization_id}, not of "
                f"{organization.id}; name an earlier run of that one as --previous"
            )
            raise UsageError(message)

    def must_precede(self, run_id: str, started_at: datetime) -> None:
        """Raise :class:`orgscan.errors.UsageError` where it is the run itself or a later one."""
        if self.run_id == run_id:
            message = f"{self.path}: is the run itself; name an earlier one as --previous"
            raise UsageError(message)
        if self.started_at > started_at:
            message = f"{self.path}: began later than the run; name an earlier one as --previous"
            raise UsageError(message)


def refuse_newer(path: Path, manifest: dict[str, Any]) -> None:
    """Raise :class:`orgscan.errors.UsageError` for a manifest this version might misread."""
    if manifest["format"] > MANIFEST_FORMAT:
        message = (
            f"{path}: written by a newer orgscan (format {manifest['format']}); upgrade orgscan"
        )
        raise UsageError(message)
