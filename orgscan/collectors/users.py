"""The live list of IAM users: newer than the report, it decides who exists."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from orgscan.collectors.document import LIST_PAGE, document, unique
from orgscan.collectors.trial import Trial
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.USERS
ACTIONS = ("iam:ListUsers",)
TRIALS = (Trial(action=ACTIONS[0], result="Users", parameters={"MaxItems": 1}),)
_MEMBERS = {"UserName": str, "CreateDate": datetime}


async def collect(calls: Calls, clock: Clock) -> tuple[Evidence, list[str]]:
    """Every user, and their names for the collectors that ask per user.

    Raises :class:`orgscan.errors.CallError`.
    """
    pages = [page async for page in calls.pages("ListUsers", "Users", MaxItems=LIST_PAGE)]
    users, repeated = unique(pages, _MEMBERS, ACTIONS[0])
    evidence = Evidence(
        kind=KIND, content=document(users), collected_at=clock.now(), repeated=repeated
    )
    return evidence, [user["UserName"] for user in users]
