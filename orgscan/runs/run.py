"""A finished run, opened for reading."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orgscan.errors import ExitCode, UsageError
from orgscan.models import Coverage, Severity
from orgscan.runs import manifest, parquet, rundir
from orgscan.schema import (
    ACCESS_KEYS,
    ACCOUNTS,
    CHANGES,
    CREDENTIALS,
    FINDINGS,
    SERVICE_CREDENTIALS,
)

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.schema import Table


class Run:
    """One run directory. The tables are read when first asked for, and only once.

    The columns are those of :mod:`orgscan.schema`; strings are strings (account ids keep their
    zeros), times are timezone-aware UTC, truth values and whole numbers may be missing.
    """

    def __init__(self, path: Path | str) -> None:
        """Open the run directory at ``path``.

        Raises :class:`orgscan.errors.UsageError` where there is no finished run.
        """
        self.path = Path(path)
        self.manifest: dict[str, Any] = manifest.load(self.path)
        """The content of ``manifest.json``."""
        self.details = manifest.Manifest.of(self.manifest, self.path / rundir.MANIFEST)
        """The same, typed."""

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, as_of={self.details.as_of.isoformat()!r})"

    @cached_property
    def accounts(self) -> pd.DataFrame:
        """One row per account with its coverage. Look here first."""
        return self._read(ACCOUNTS)

    @cached_property
    def credentials(self) -> pd.DataFrame:
        """One row per principal: root and each IAM user."""
        return self._read(CREDENTIALS)

    @cached_property
    def access_keys(self) -> pd.DataFrame:
        """One row per access key."""
        return self._read(ACCESS_KEYS)

    @cached_property
    def service_credentials(self) -> pd.DataFrame:
        """One row per service-specific credential of an IAM user."""
        return self._read(SERVICE_CREDENTIALS)

    @cached_property
    def findings(self) -> pd.DataFrame:
        """One row per control and resource, every status."""
        return self._read(FINDINGS)

    @cached_property
    def changes(self) -> pd.DataFrame | None:
        """One row per finding that is open or was; None where no earlier run was compared."""
        if f"{CHANGES.name}.parquet" not in self.details.files:
            return None
        return self._read(CHANGES)

    def _read(self, table: Table) -> pd.DataFrame:
        path = self.path / f"{table.name}.parquet"
        if not path.is_file():
            raise UsageError(f"{path}: is missing; run `orgscan report {self.path}`")
        return parquet.read(path, table)

    @property
    def workbook(self) -> Path:
        """The Excel workbook."""
        return self.path / next(name for name in self.details.files if name.endswith(".xlsx"))

    @property
    def gaps(self) -> pd.DataFrame:
        """The accounts whose evidence is not whole."""
        gaps = [coverage.value for coverage in Coverage if coverage.is_gap]
        return self.accounts[self.accounts["coverage"].isin(gaps)]

    def exit_code(self, fail_on: Severity | None = None) -> ExitCode:
        """What a process should tell its caller about this run.

        Integrity outranks gaps, gaps outrank findings of ``fail_on`` severity or worse. A verdict
        of UNKNOWN is a gap, whatever caused it: exit code 0 means that everything in scope was
        evaluated. So are an account list that was not retrieved in full, and OUs and tags that
        thresholds are set for and that could not be read.
        """
        return self.details.exit_code(fail_on)
