"""This run against an earlier one: what is new, what is resolved and why, what cannot be told.

Pure functions on tables. Only findings that are open, or were, are ever looked at row by row:
of millions of findings the others are touched once, to see that they are not.
"""

from __future__ import annotations

from orgscan.compare.comparison import (
    Comparison,
    Differences,
    compare,
    compare_runs,
    differences,
    in_order,
    ranks,
)
from orgscan.compare.coverage import coverage_changes
from orgscan.compare.earlier import EarlierRun, check_tables
from orgscan.compare.notes import notes
from orgscan.compare.snapshot import FINDING_COLUMNS, Snapshot

__all__ = [
    "FINDING_COLUMNS",
    "Comparison",
    "Differences",
    "EarlierRun",
    "Snapshot",
    "check_tables",
    "compare",
    "compare_runs",
    "coverage_changes",
    "differences",
    "in_order",
    "notes",
    "ranks",
]
