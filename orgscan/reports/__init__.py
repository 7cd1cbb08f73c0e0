"""The derived files of a run: Parquet for analysts, an Excel workbook for officers.

Writers write to the path they are given, read no clock and know no AWS; publishing the file
(temporary name, fsync, rename, mode) is the caller's business.
"""

from __future__ import annotations

from orgscan.reports.content import ChangesContent, WorkbookContent
from orgscan.reports.delimited import write as write_csv
from orgscan.reports.difference import write_json as write_changes_json
from orgscan.reports.ocsf import Obligations
from orgscan.reports.ocsf import write as write_ocsf
from orgscan.reports.rows import FrameRows, Rows
from orgscan.reports.workbook import write as write_workbook

__all__ = [
    "ChangesContent",
    "FrameRows",
    "Obligations",
    "Rows",
    "WorkbookContent",
    "write_changes_json",
    "write_csv",
    "write_ocsf",
    "write_workbook",
]
