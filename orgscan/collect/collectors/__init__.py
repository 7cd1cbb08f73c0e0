"""Everything read from one account: one file per kind of evidence, composed here.

Each collector declares the ACTIONS it calls; the audit role and the session policy are
generated from them.
"""

from __future__ import annotations

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
from orgscan.collect.collectors.reading import AccountBudget, AccountReading
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
__all__ = ["ACTIONS", "AccountBudget", "collect_evidence", "try_out"]

ACTIONS: tuple[str, ...] = tuple(
    sorted(action for collector in _COLLECTORS for action in collector.ACTIONS)
)
"""All IAM actions orgscan ever calls in an account."""


async def collect_evidence(
    calls: Calls, clock: Clock, budget: AccountBudget, kinds: Collection[Kind] = tuple(Kind)
) -> tuple[tuple[Evidence, ...], tuple[Gap, ...]]:
    """Collect every kind of evidence in ``kinds``; what fails becomes a gap with its reason.

    Raises only :class:`orgscan.errors.CallerBroken`, because no other account would fare
    better, and :class:`orgscan.errors.IntegrityError` where a renewed session belongs to
    another account: nothing collected can be trusted then.
    """
    reading = AccountReading(calls, clock, budget, kinds)
    await reading.collect_all()
    if reading.broken is not None:
        raise reading.broken
    order = list(Kind)
    return (
        tuple(sorted(reading.evidence.values(), key=lambda item: order.index(item.kind))),
        tuple(sorted(reading.gaps, key=lambda gap: order.index(gap.kind))),
    )


async def try_out(calls: Calls) -> dict[str, CallError]:
    """Call each of :data:`ACTIONS` once, keep nothing; why those fail that do, by action.

    Raises as :func:`collect_evidence` does.
    """
    failures: dict[str, CallError] = {}
    for trial in (trial for collector in _COLLECTORS for trial in collector.TRIALS):
        failure = await trial.failure(calls)
        if isinstance(failure, CallerBroken):
            raise failure
        if failure is not None:
            failures[trial.action] = failure
    return failures
