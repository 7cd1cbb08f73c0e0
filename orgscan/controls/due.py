"""When a FAIL is to be settled, and which are overdue.

Everything is a day in UTC: the day a finding was first seen plus the days its severity gives. A
finding is overdue from the day after. A date an officer agreed on goes before the computed one.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pandas as pd

from orgscan.models import Severity, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class DueDates:
    """What due dates follow from."""

    as_of: datetime
    days: Mapping[str, int] = field(default_factory=dict)
    """By severity; a severity that is not there has no due date."""
    agreed: Mapping[str, date] = field(default_factory=dict)
    """By finding id."""

    def computed(self, findings: pd.DataFrame) -> pd.Series:
        """The computed due day (00:00 UTC) of each row; null where it is no FAIL."""
        fails = findings["status"].astype(object) == Status.FAIL.value
        days = findings["severity"].astype(object).map(dict(self.days)).where(fails)
        seen = pd.to_datetime(findings["first_seen_at"], utc=True)
        due: pd.Series = seen.dt.floor("D") + pd.to_timedelta(days.astype("Float64"), unit="D")
        return due

    def chosen(self, findings: pd.DataFrame) -> pd.Series:
        """The due day an officer agreed on, by row; null where there is none."""
        days = {name: pd.Timestamp(day, tz=UTC) for name, day in self.agreed.items()}
        agreed: pd.Series = pd.to_datetime(findings["finding_id"].map(days), utc=True)
        return agreed

    def overdue(self, findings: pd.DataFrame) -> pd.Series:
        """Whether each row is a FAIL whose due day is before the day of ``as_of``."""
        due = self.computed(findings)
        if self.agreed:
            due = self.chosen(findings).where(due.notna()).fillna(due)
        late: pd.Series = due < pd.Timestamp(self.as_of).floor("D")
        return late

    def marks(self, findings: pd.DataFrame) -> pd.Series:
        """``Yes`` where a row is overdue, else null."""
        late: pd.Series = self.overdue(findings).map({True: "Yes", False: None})
        return late

    def count(self, pieces: Iterable[pd.DataFrame]) -> dict[str, int]:
        """Overdue rows by severity, worst first; severities without any are left out.

        Takes :data:`orgscan.schema.FINDINGS` in as many pieces as they come; only FAIL rows are
        looked at.
        """
        counts: Counter[str] = Counter()
        for findings in pieces:
            fails = findings[findings["status"] == Status.FAIL.value]
            counts.update(fails.loc[self.overdue(fails), "severity"].astype(str))
        return {
            severity.value: counts[severity.value]
            for severity in Severity
            if counts[severity.value]
        }
