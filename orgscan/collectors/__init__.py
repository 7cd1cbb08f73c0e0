"""Everything read from one account: one file per kind of evidence, composed here.

Each collector declares the ACTIONS it calls; the audit role and the session policy are
generated from them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan.collectors import (
    access_keys,
    account_summary,
    credential_report,
    password_policy,
    users,
    virtual_mfa_devices,
)
from orgscan.errors import CallerBroken, CallError, IntegrityError
from orgscan.models import Evidence, Gap, Kind

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from orgscan.models import Calls, Clock

_COLLECTORS = (
    access_keys,
    account_summary,
    credential_report,
    password_policy,
    users,
    virtual_mfa_devices,
)
ACTIONS: tuple[str, ...] = tuple(
    sorted(action for collector in _COLLECTORS for action in collector.ACTIONS)
)
"""All IAM actions orgscan ever calls in an account."""

_PER_USER_SLACK = 3.0
"""How much longer than the pace alone asking about one user may take."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds an account may take, and how many calls a second it is granted."""

    report_seconds: float
    account_seconds: float
    calls_per_second: float


async def collect(
    calls: Calls, clock: Clock, limits: Limits
) -> tuple[tuple[Evidence, ...], tuple[Gap, ...]]:
    """Collect every kind of evidence; what fails becomes a gap with its reason.

    Users and keys are listed once the report is there, all else meanwhile: the tables take the
    listing for the newer of the two, and a user created in between must not look deleted.

    Raises only :class:`orgscan.errors.CallerBroken`, because no other account would fare
    better, and :class:`orgscan.errors.IntegrityError` where a renewed session belongs to
    another account: nothing collected can be trusted then.
    """
    reading = _Reading(calls, clock, limits)
    async with asyncio.TaskGroup() as group:
        for work in (
            reading.report(),
            reading.people(),
            reading.plain(Kind.ACCOUNT_SUMMARY, account_summary.collect(calls, clock)),
            reading.plain(Kind.PASSWORD_POLICY, password_policy.collect(calls, clock)),
            reading.plain(Kind.VIRTUAL_MFA_DEVICES, virtual_mfa_devices.collect(calls, clock)),
        ):
            group.create_task(work)
    if reading.broken is not None:
        raise reading.broken
    order = list(Kind)
    return (
        tuple(sorted(reading.evidence, key=lambda item: order.index(item.kind))),
        tuple(sorted(reading.gaps, key=lambda gap: order.index(gap.kind))),
    )


async def try_out(calls: Calls) -> dict[str, CallError]:
    """Call each of :data:`ACTIONS` once, keep nothing; why those fail that do, by action.

    Raises as :func:`collect` does.
    """
    failures: dict[str, CallError] = {}
    for trial in (trial for collector in _COLLECTORS for trial in collector.TRIALS):
        failure = await trial.failure(calls)
        if isinstance(failure, CallerBroken):
            raise failure
        if failure is not None:
            failures[trial.action] = failure
    return failures


class _Reading:
    """What has been collected of one account so far."""

    def __init__(self, calls: Calls, clock: Clock, limits: Limits) -> None:
        self._calls = calls
        self._clock = clock
        self._limits = limits
        self.evidence: list[Evidence] = []
        self.gaps: list[Gap] = []
        self.broken: CallerBroken | IntegrityError | None = None
        self._report_settled = asyncio.Event()

    async def report(self) -> None:
        work = credential_report.collect(
            self._calls, self._clock, timeout=self._limits.report_seconds
        )
        # The collector keeps its own deadline; this one is for calls that hang.
        seconds = self._limits.report_seconds + self._limits.account_seconds
        try:
            await self.plain(Kind.CREDENTIAL_REPORT, work, seconds)
        finally:
            self._report_settled.set()

    async def people(self) -> None:
        """Users, then the keys of each: the one place where a kind needs another."""
        await self._report_settled.wait()
        names: list[str] | None = None

        async def list_users() -> Evidence:
            nonlocal names
            evidence, names = await users.collect(self._calls, self._clock)
            return evidence

        await self.plain(Kind.USERS, list_users())
        if names is None:
            reason = "keys are listed user by user, and the users could not be listed"
            self._gap(Kind.ACCESS_KEYS, "UsersNotListed", reason)
            return
        # An account of 5,000 users needs minutes at AWS's pace and is no reason to give up.
        patience = len(names) * _PER_USER_SLACK / self._limits.calls_per_second
        work = access_keys.collect(self._calls, self._clock, names)
        await self.plain(Kind.ACCESS_KEYS, work, self._limits.account_seconds + patience)

    async def plain(
        self, kind: Kind, work: Awaitable[Evidence], seconds: float | None = None
    ) -> None:
        limit = self._limits.account_seconds if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                self.evidence.append(await work)
        except (CallerBroken, IntegrityError) as error:
            # Kept as a value: a group of exceptions would hide which of the two it was.
            if not isinstance(self.broken, IntegrityError):
                self.broken = error
        except CallError as error:
            self._gap(kind, error.code, str(error))
        except TimeoutError:
            self._gap(kind, "Timeout", f"not collected within {limit:.0f} seconds")

    def _gap(self, kind: Kind, code: str, reason: str) -> None:
        self.gaps.append(Gap(kind=kind, code=code, reason=reason))
