"""Service-specific credentials, which the credential report never shows.

API keys for Bedrock and CloudWatch, and passwords for CodeCommit and Keyspaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    LIST_PAGE,
    agreed,
    document,
    is_id,
    is_text,
    is_time,
    malformed,
    unique,
)
from orgscan.collect.collectors.trial import Trial
from orgscan.errors import Absent, Refused
from orgscan.models import Evidence, Kind

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.SERVICE_SPECIFIC_CREDENTIALS
ACTIONS = ("iam:ListServiceSpecificCredentials",)
_UNSUPPORTED = frozenset({"NotSupportedService", "ServiceNotSupported"})
"""Where IAM has no such credentials, as in some partitions."""
TRIALS = (
    Trial(
        action=ACTIONS[0],
        result="ServiceSpecificCredentials",
        parameters={"AllUsers": True, "MaxItems": 1},
        granted=_UNSUPPORTED,
    ),
)
_MEMBERS = {
    "ServiceSpecificCredentialId": is_id,
    "UserName": is_text,
    "Status": is_text,
    "ServiceName": is_text,
    "CreateDate": is_time,
}

Credentials = list[dict[str, Any]]


async def collect(calls: Calls, clock: Clock) -> tuple[Evidence, Credentials]:
    """The service-specific credentials of all users; the secrets are never part of the answer.

    No other source knows them, so they are listed until two listings agree.

    Raises :class:`orgscan.errors.CallError`.
    """
    found = await agreed(lambda: _listed(calls), ACTIONS[0])
    return Evidence(kind=KIND, content=document(found), collected_at=clock.now()), found


async def _listed(calls: Calls) -> Credentials:
    try:
        pages = [
            page
            async for page in calls.pages(
                "ListServiceSpecificCredentials",
                "ServiceSpecificCredentials",
                AllUsers=True,
                MaxItems=LIST_PAGE,
            )
        ]
    except (Absent, Refused) as error:
        if error.code in _UNSUPPORTED:
            return []
        raise
    found, _repeated = unique(pages, _MEMBERS, ACTIONS[0])
    if any("ExpirationDate" in item and not is_time(item["ExpirationDate"]) for item in found):
        raise malformed(ACTIONS[0], "the answer contains an item without a valid ExpirationDate")
    return [
        {name: item[name] for name in (*_MEMBERS, "ExpirationDate") if name in item}
        for item in found
    ]
