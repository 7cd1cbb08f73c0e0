"""IAM's own counts for the account: a second source for root and for the number of users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.collect.collectors.document import document, malformed
from orgscan.collect.collectors.trial import Trial
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.ACCOUNT_SUMMARY
ACTIONS = ("iam:GetAccountSummary",)
TRIALS = (Trial(action=ACTIONS[0], result="SummaryMap"),)
_REQUIRED = ("Users", "AccountMFAEnabled", "AccountAccessKeysPresent")
"""Entries that every partition returns and that verdicts rest on."""


async def collect_account_summary(calls: Calls, clock: Clock) -> tuple[Evidence, dict[str, int]]:
    """The summary map, as evidence and as it is.

    Raises :class:`orgscan.errors.CallError`; an answer without an entry that verdicts rest on
    is malformed.
    """
    answer = await calls.call("GetAccountSummary", "SummaryMap")
    counts = answer["SummaryMap"]
    for name in _REQUIRED:
        if not isinstance(counts.get(name), int):
            raise malformed(ACTIONS[0], f"the answer has no {name}")
    for name, count in counts.items():
        if count < 0:
            raise malformed(ACTIONS[0], f"the answer has a {name} of {count}")
    evidence = Evidence(kind=KIND, content=document(counts), collected_at=clock.now())
    return evidence, counts
