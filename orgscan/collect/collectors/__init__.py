"""Everything read from one account: one file per kind of evidence, composed here.

Each collector declares the ACTIONS it calls; the audit role and the session policy are
generated from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan.collect.collectors import (
    access_keys,
    account_summary,
    credential_report,
    password_policy,
    service_credentials,
    ssh_public_keys,
    user_details,
    users,
    virtual_mfa_devices,
)
from orgscan.collect.collectors.reading import AccountReading
from orgscan.errors import CallerBroken
from orgscan.models import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from orgscan.errors import CallError
    from orgscan.models import Calls, Clock, Evidence, Gap

_COLLECTORS = (
    access_keys,
    account_summary,
    credential_report,
    password_policy,
    service_credentials,
    ssh_public_keys,
    user_details,
    users,
    virtual_mfa_devices,
)
ACTIONS: tuple[str, ...] = tuple(
    sorted(action for collector in _COLLECTORS for action in collector.ACTIONS)
)
"""All IAM actions orgscan ever calls in an account."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds an account may take, and how many calls a second it is granted."""

    report_seconds: float
    account_seconds: float
    calls_per_second: float


async def collect(
    calls: Calls, clock: Clock, limits: Limits, kinds: Collection[Kind] = tuple(Kind)
) -> tuple[tuple[Evidence, ...], tuple[Gap, ...]]:
    """Collect every kind of evidence in ``kinds``; what fails becomes a gap with its reason.

    Raises only :class:`orgscan.errors.CallerBroken`, because no other account would fare
    better, and :class:`orgscan.errors.IntegrityError` where a renewed session belongs to
    another account: nothing collected can be trusted then.
    """
    reading = AccountReading(calls, clock, limits, kinds)
    await reading.collect()
    if reading.broken is not None:
        raise reading.broken
    order = list(Kind)
    return (
        tuple(sorted(reading.evidence.values(), key=lambda item: order.index(item.kind))),
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
