"""One account, from its number to its outcome. An account's failure is a value."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from orgscan.collect import collectors, sessions
from orgscan.collect.listings import refuse_foreign
from orgscan.errors import CallerBroken, CallError, Denied, IntegrityError
from orgscan.models import (
    INTEGRITY_FAILURE,
    AccountState,
    Coverage,
    Evidence,
    Gap,
    Kind,
    Outcome,
    is_read,
)
from orgscan.report import inspect_report, names_missing_from_report, times_in_the_future

if TYPE_CHECKING:
    from orgscan.aws import Aws
    from orgscan.models import Account, Caller, Calls, Clock
    from orgscan.settings import Settings


@dataclass(frozen=True, slots=True)
class AccountReader:
    """Reads accounts one by one; safe to use for many at the same time."""

    aws: Aws
    sessions: sessions.Sessions
    caller: Caller
    clock: Clock
    budget: collectors.AccountBudget
    kinds: tuple[Kind, ...] = tuple(Kind)
    """The evidence the run requires of every account."""

    @classmethod
    def of(
        cls,
        settings: Settings,
        aws: Aws,
        caller: Caller,
        clock: Clock,
        kinds: tuple[Kind, ...] = tuple(Kind),
    ) -> Self:
        """A reader as the settings say, for a run that requires ``kinds``."""
        return cls(
            kinds=kinds,
            aws=aws,
            sessions=sessions.Sessions(
                aws.sts,
                partition=caller.partition,
                role_name=settings.role_name or "",
                role_path=settings.role_path,
                external_id=settings.external_id,
                duration_seconds=settings.session_duration_seconds,
                actions=collectors.ACTIONS,
            ),
            caller=caller,
            clock=clock,
            budget=collectors.AccountBudget(
                report_seconds=settings.report_timeout_seconds,
                account_seconds=settings.account_timeout_seconds,
                calls_per_second=settings.iam_requests_per_second,
            ),
        )

    async def read(self, account: Account) -> Outcome:
        """How the account ended, with all that was collected.

        Raises only :class:`orgscan.errors.CallerBroken`: the account is then not to blame and
        stays without an end state.
        """
        started_at, began = self.clock.now(), self.clock.monotonic()
        outcome = await self._attempt(account)
        return replace(
            outcome,
            attempts=1,
            started_at=started_at,
            duration_seconds=round(self.clock.monotonic() - began, 6),
        )

    async def _attempt(self, account: Account) -> Outcome:
        account_id = account.account_id
        try:
            calls = await self.enter(account_id)
            evidence, gaps = await collectors.collect_evidence(
                calls, self.clock, self.budget, self.kinds
            )
            gaps += _report_gaps(account_id, self.caller.partition, evidence)
        except Denied as error:
            return self._ended(account_id, Coverage.DENIED, error.code, why_denied(error))
        except IntegrityError as error:
            return self._ended(account_id, Coverage.FAILED, INTEGRITY_FAILURE, str(error))
        except CallerBroken:
            raise
        except CallError as error:
            return self._ended(account_id, Coverage.FAILED, error.code, str(error))
        return _judge(account, evidence, gaps)

    def _ended(self, account_id: str, coverage: Coverage, code: str, reason: str) -> Outcome:
        return Outcome(
            account_id=account_id,
            coverage=coverage,
            error_code=code,
            reason=reason,
            gaps=tuple(Gap(kind=kind, code=code, reason=reason) for kind in self.kinds),
        )

    async def enter(self, account_id: str) -> Calls:
        """IAM of the account: as the caller in the caller's own, through the audit role elsewhere.

        Raises :class:`orgscan.errors.CallError`, and :class:`orgscan.errors.IntegrityError`
        where the session is another account's.
        """
        if account_id == self.caller.account_id:
            return self.aws.own_account()
        return await self.aws.member_account(lambda: self.sessions.assume(account_id))


def unread(account: Account, exclusion: str) -> Outcome | None:
    """How an account ends that is not to be read; None where it is.

    ``exclusion`` says why it is out of scope and is empty where it is in scope.
    """
    account_id = account.account_id
    if exclusion:
        return Outcome(account_id=account_id, coverage=Coverage.EXCLUDED, reason=exclusion)
    if not is_read(account.state):
        reason = f"the account is {account.state}"
        return Outcome(account_id=account_id, coverage=Coverage.NOT_ACTIVE, reason=reason)
    return None


def why_denied(error: Denied) -> str:
    """The sentence for an account whose audit role could not be assumed."""
    return (
        f"the audit role could not be assumed ({error}); it may be missing, or not trust the "
        "caller or its external id"
    )


def _judge(account: Account, evidence: tuple[Evidence, ...], gaps: tuple[Gap, ...]) -> Outcome:
    reasons = list(dict.fromkeys(f"{gap.kind}: {gap.reason}" for gap in gaps))
    reasons += [
        f"{item.kind}: AWS listed {item.repeated} entries more than once; each is counted once"
        for item in evidence
        if item.repeated
    ]
    if account.state == AccountState.UNKNOWN:
        reasons.append("AWS gave no account state that is known; read as if active")
    if not gaps:
        coverage = Coverage.COMPLETE
    elif evidence:
        coverage = Coverage.PARTIAL
    else:
        coverage = Coverage.FAILED
    return Outcome(
        account_id=account.account_id,
        coverage=coverage,
        reason="; ".join(reasons),
        error_code=gaps[0].code if gaps else "",
        evidence=evidence,
        gaps=gaps,
    )


def _report_gaps(
    account_id: str, partition: str, evidence: tuple[Evidence, ...]
) -> tuple[Gap, ...]:
    """What is wrong with the report itself, judged before anyone relies on it.

    Raises :class:`orgscan.errors.IntegrityError` where an answer is another account's.
    """
    by_kind = {item.kind: item for item in evidence}
    for kind in by_kind.keys() & {Kind.USERS, Kind.VIRTUAL_MFA_DEVICES}:
        refuse_foreign(by_kind[kind].content, account_id, partition)
    report, users = by_kind.get(Kind.CREDENTIAL_REPORT), by_kind.get(Kind.USERS)
    if report is None or report.generated_at is None:
        return ()
    check = inspect_report(report.content, account_id, partition)
    faults = list(check.faults)
    if check.usable and (wrong := times_in_the_future(check, report.generated_at)):
        faults.append(wrong)
    if check.usable and users is not None:
        listed = {user["UserName"]: user["CreateDate"] for user in json.loads(users.content)}
        absent = names_missing_from_report(check, listed, report.generated_at)
        faults += [absent] if absent else []
    return tuple(
        Gap(kind=Kind.CREDENTIAL_REPORT, code=fault.code, reason=fault.reason, usable=fault.usable)
        for fault in faults
    )
