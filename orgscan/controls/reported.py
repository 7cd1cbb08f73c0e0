"""What user and key controls say where the credential report is silent about a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from orgscan.controls.control import Case
from orgscan.models import Status

if TYPE_CHECKING:
    import pandas as pd

    from orgscan.controls.masks import Mask

_NO_REPORT = "no usable credential report was collected"
_NO_ROW = "the credential report has no readable row for the user"


def without_report_row(frame: pd.DataFrame, among: Mask | bool = True) -> tuple[Case, ...]:  # noqa: FBT001, FBT002
    """UNKNOWN for rows (of ``among``) whose user the report does not tell about."""
    silent = ~np.asarray(frame["in_report"], dtype=np.bool_) & among
    has_report = np.asarray(frame["account_has_report"], dtype=np.bool_)
    return (
        Case(silent & ~has_report, Status.UNKNOWN, _NO_REPORT),
        Case(silent, Status.UNKNOWN, _NO_ROW),
    )
