"""IAM's own counts for the account: a second witness for root keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.collectors.document import document
from orgscan.collectors.trial import Trial
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.ACCOUNT_SUMMARY
ACTIONS = ("iam:GetAccountSummary",)
TRIALS = (Trial(action=ACTIONS[0], result="SummaryMap"),)


async def collect(calls: Calls, clock: Clock) -> Evidence:
    """The summary map.

    Raises :class:`orgscan.errors.CallError`.
    """
    answer = await calls.call("GetAccountSummary", "SummaryMap")
    return Evidence(kind=KIND, content=document(answer["SummaryMap"]), collected_at=clock.now())
