"""The account's password policy; having none is an answer, not an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.collect.collectors.document import document
from orgscan.collect.collectors.trial import Trial
from orgscan.errors import Absent
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.PASSWORD_POLICY
ACTIONS = ("iam:GetAccountPasswordPolicy",)
TRIALS = (Trial(action=ACTIONS[0], result="PasswordPolicy"),)


async def collect_password_policy(calls: Calls, clock: Clock) -> Evidence:
    """The policy, or ``null`` where the account has none.

    Raises :class:`orgscan.errors.CallError`.
    """
    try:
        answer = await calls.call("GetAccountPasswordPolicy", "PasswordPolicy")
    except Absent:
        policy = None
    else:
        policy = answer["PasswordPolicy"]
    return Evidence(kind=KIND, content=document(policy), collected_at=clock.now())
