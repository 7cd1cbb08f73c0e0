"""The IAM credential report: the only source for root, passwords, MFA and last use.

AWS keeps one report per account and hands the same one out for up to four hours, so asking for
a new one may answer COMPLETE at once. There is no waiter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.trial import Trial
from orgscan.errors import CallError, Malformed, Refused, Unreachable
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

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
_LIFETIME = timedelta(hours=4)
"""How long AWS returns the same report; a request for a new one is answered with it."""
_MARGIN = timedelta(minutes=5)
"""For clocks that differ among AWS's servers."""


async def collect_credential_report(calls: Calls, clock: Clock, *, timeout: float) -> Evidence:  # noqa: ASYNC109
    """Have a report generated, wait for it and fetch it.

    A report that cannot be AWS's current one, by the Date of the answer, is asked for once more.

    ``timeout`` is measured on ``clock``, because waiting happens there too. Raises
    :class:`orgscan.errors.CallError`; ``ReportNotReady`` where AWS does not finish in time,
    ``ReportFromFuture`` and ``ReportTooOld`` where its age is impossible.
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
            except _ImpossibleAge:
                if not left:
                    raise
                left = 0
        if clock.monotonic() + wait > deadline:
            raise Unreachable(
                f"AWS had not finished the credential report after {timeout:.0f} seconds",
                code="ReportNotReady",
                action=ACTIONS[0],
            )
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
    if not isinstance(content, bytes) or not isinstance(generated_at, datetime):
        raise Malformed(
            "iam:GetCredentialReport: the answer holds no report or no GeneratedTime",
            code="MalformedAnswer",
            action=ACTIONS[1],
        )
    _check_age(generated_at, answer)
    return Evidence(kind=KIND, content=content, collected_at=clock.now(), generated_at=generated_at)


def _check_age(generated_at: datetime, answer: Mapping[str, Any]) -> None:
    """Hold GeneratedTime to the clock of AWS that sent it, which is never this machine's."""
    text = str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", ""))
    try:
        sent_at = parsedate_to_datetime(text)
        sent_at = sent_at.astimezone(UTC) if sent_at.tzinfo else sent_at.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        raise _impossible(
            "ReportAgeUnknown",
            "the answer has no valid Date, so the age of the report cannot be checked",
        ) from None
    times = (
        f"the report is dated {generated_at:%Y-%m-%d %H:%M} UTC and was sent "
        f"{sent_at:%Y-%m-%d %H:%M} UTC"
    )
    if generated_at - sent_at > _MARGIN:
        raise _impossible("ReportFromFuture", times)
    if sent_at - generated_at > _LIFETIME + _MARGIN:
        raise _impossible("ReportTooOld", f"{times}; AWS keeps a report for 4 hours")


class _ImpossibleAge(Malformed):
    """A report that AWS would not return at this time."""


def _impossible(code: str, problem: str) -> _ImpossibleAge:
    return _ImpossibleAge(f"{ACTIONS[1]}: {problem}", code=code, action=ACTIONS[1])
