"""The IAM credential report: the only source for root, passwords, MFA and last use.

AWS keeps one report per account and hands the same one out for up to four hours, so asking for
a new one may answer COMPLETE at once. There is no waiter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.collectors.trial import Trial
from orgscan.errors import CallError, Malformed, Refused, Unreachable
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.CREDENTIAL_REPORT
ACTIONS = ("iam:GenerateCredentialReport", "iam:GetCredentialReport")

_GONE = {"ReportNotPresent", "ReportExpired", "CredentialReportNotPresentException"}
_GONE |= {"CredentialReportExpiredException"}
_NOT_READY = {"ReportInProgress", "CredentialReportNotReadyException"}
TRIALS = (
    Trial(action=ACTIONS[0], result="State"),
    Trial(action=ACTIONS[1], result="Content", granted=frozenset(_GONE | _NOT_READY)),
)
_REGENERATIONS = 2
_FIRST_WAIT, _LONGEST_WAIT = 0.25, 5.0


async def collect(calls: Calls, clock: Clock, *, timeout: float) -> Evidence:  # noqa: ASYNC109
    """Have a report generated, wait for it and fetch it.

    ``timeout`` is measured on ``clock``, because waiting happens there too. Raises
    :class:`orgscan.errors.CallError`; ``Timeout`` where AWS does not finish in time.
    """
    deadline = clock.monotonic() + timeout
    wait, left = _FIRST_WAIT, _REGENERATIONS
    while True:
        answer = await calls.call("GenerateCredentialReport", "State")
        if answer["State"] == "COMPLETE":
            try:
                return await _fetch(calls, clock)
            except Refused as error:
                left = _next_attempt(error, left)
        if clock.monotonic() + wait > deadline:
            text = f"AWS had not finished the credential report after {timeout:.0f} seconds"
            raise Unreachable(text, code="ReportNotReady", action=ACTIONS[0])
        await clock.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT)


def _next_attempt(error: CallError, left: int) -> int:
    """How many regenerations remain after ``error``; raises it when none does."""
    if error.code in _NOT_READY:
        return left
    if error.code in _GONE and left:
        return left - 1
    raise error


async def _fetch(calls: Calls, clock: Clock) -> Evidence:
    answer = await calls.call("GetCredentialReport", "Content")
    content, generated_at = answer["Content"], answer.get("GeneratedTime")
    if not isinstance(content, bytes) or generated_at is None:
        text = "iam:GetCredentialReport: the answer holds no report or no GeneratedTime"
        raise Malformed(text, code="MalformedAnswer", action=ACTIONS[1])
    return Evidence(kind=KIND, content=content, collected_at=clock.now(), generated_at=generated_at)
