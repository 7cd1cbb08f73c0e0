"""The tables of many runs as one dataset each, in a directory or on S3.

::

    DEST/<table>/snapshot_date=2026-09-30/<run id>.parquet

Partitioned by the day a run speaks for and by nothing else: a partition per account makes
thousands of small files, and readers take the account id for a number. In front of a table's own
columns stand ``run_id``, ``organization_id`` and ``as_of``, so that any reader can tell runs
apart. A run published again replaces its own files; judged for another day it is another
snapshot.
"""

from __future__ import annotations

from orgscan.runs.history.destination import Destination
from orgscan.runs.history.layout import PARTITION
from orgscan.runs.history.publishing import Snapshot, publish
from orgscan.runs.history.reading import History

__all__ = ["PARTITION", "Destination", "History", "Snapshot", "publish"]
