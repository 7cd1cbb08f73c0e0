"""What findings add up to, a partition at a time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from orgscan import frames
from orgscan.models import Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from orgscan.controls.control import Control


@dataclass(slots=True)
class Tally:
    """What the findings of all accounts add up to, a partition at a time."""

    controls: tuple[str, ...] = ()
    """Those that were judged, with findings or without."""
    results: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Findings by control, severity and status."""
    limits: Counter[tuple[str, ...]] = field(default_factory=Counter)
    """Findings by control and the text of the limit they were judged by."""
    causes: Counter[str] = field(default_factory=Counter)
    """UNKNOWN findings by cause: the reason without the details that follow a colon."""
    accounts: set[str] = field(default_factory=set)
    """Those with findings."""

    @classmethod
    def of(cls, findings: pd.DataFrame, controls: Iterable[Control] = ()) -> Tally:
        """The tally of one frame; ``controls`` are judged, whether they have rows or not."""
        tally = cls(tuple(control.id for control in controls))
        tally.add(findings)
        return tally

    def add(self, findings: pd.DataFrame) -> None:
        """Count some findings: the columns of :data:`orgscan.schema.FINDINGS`."""
        self.results += frames.counts(findings, "control_id", "severity", "status")
        self.limits += frames.counts(findings, "control_id", "threshold")
        self.accounts.update(frames.codes(findings["account_id"])[1])
        unknown = findings[findings["status"] == Status.UNKNOWN.value]
        for (reason,), size in frames.counts(unknown, "reason").items():
            self.causes[reason.partition(":")[0]] += size

    @property
    def counts(self) -> dict[str, dict[Status, int]]:
        """Findings by control and status; every status is there, 0 or not."""
        counts = {name: dict.fromkeys(Status, 0) for name in self.controls}
        for (control, _, status), size in self.results.items():
            counts.setdefault(control, dict.fromkeys(Status, 0))[Status(status)] += size
        return counts

    @property
    def unknown(self) -> dict[str, int]:
        """UNKNOWN findings by cause, most frequent first."""
        return dict(sorted(self.causes.items(), key=lambda item: (-item[1], item[0])))
