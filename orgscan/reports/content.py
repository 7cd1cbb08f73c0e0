"""What the workbook is made of, handed in as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import pandas as pd

    from orgscan.controls.control import Control
    from orgscan.controls.frameworks.framework import Framework
    from orgscan.controls.tally import Tally
    from orgscan.models import Assessment, HumanEntry, RunInfo
    from orgscan.reports.rows import Rows
    from orgscan.waivers.apply import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesContent:
    """What changed since an earlier run."""

    run_id: str
    """The earlier run."""
    as_of: datetime
    """The moment the earlier run speaks for."""
    changes: pd.DataFrame | Rows
    """The columns of :data:`orgscan.schema.CHANGES`, in the order in which they are listed."""
    coverage: pd.DataFrame
    """account_id, account_name, ou_path, previous_coverage, coverage and change (better, worse,
    same, joined, left, scope), a row per account of either run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkbookContent:
    """Everything the workbook shows. The tables have the columns of :mod:`orgscan.schema`."""

    run: RunInfo
    rendered_at: datetime
    accounts: pd.DataFrame
    credentials: pd.DataFrame | Rows
    access_keys: pd.DataFrame | Rows
    service_credentials: pd.DataFrame | Rows
    findings: pd.DataFrame | Rows
    """All of them in a frame; or rows, those to be listed in the order in which they are."""
    controls: Sequence[Control]
    frameworks: Sequence[Framework] = ()
    """Whose ids stand beside the controls."""
    assessments: Sequence[Assessment] = ()
    """One per framework the findings were held against."""
    thresholds: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    """File name to SHA-256, evidence and Parquet files alike."""
    notes: Sequence[str] = ()
    waivers: Sequence[Result] = ()
    entries: Sequence[HumanEntry] = ()
    """What was typed into an earlier workbook, listed findings and others."""
    due_days: Mapping[str, int] = field(default_factory=dict)
    """Days by severity; without them nothing has a due date."""
    changes: ChangesContent | None = None
    """None where no earlier run was given."""
    accounts_enumerated: int | None = None
    """The evidence store's own count of accounts, the control total the coverage table must
    meet; None where the caller has none, then the distinct account ids are counted instead."""
    simulated: bool = False
    """Whether the evidence came from a loopback address and not from AWS."""
    tally: Tally | None = None
    """What all findings add up to; None: count those in ``findings``."""
    overdue: Mapping[str, int] | None = None
    """Overdue failures by severity; None: count those in ``findings``."""
