"""Service-specific credentials, which the credential report never shows.

API keys for Bedrock and CloudWatch, and passwords for CodeCommit and Keyspaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    agreed,
    document,
    is_id,
    is_text,
    is_time,
    list_items,
    malformed,
    refuse_future,
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


async def collect_service_credentials(calls: Calls, clock: Clock) -> tuple[Evidence, Credentials]:
    """The service-specific credentials of all users; the secrets are never part of the answer.

    No other source knows them, so they are listed until two listings agree.

    Raises :class:`orgscan.errors.CallError`.
    """
    credentials = await agreed(lambda: _listed(calls), ACTIONS[0])
    refuse_future(ACTIONS[0], clock, (item["CreateDate"] for item in credentials))
    content = document(credentials)
    return Evidence(kind=KIND, content=content, collected_at=clock.now()), credentials


async def _listed(calls: Calls) -> Credentials:
    try:
        items, _repeated = await list_items(
            calls, ACTIONS[0], "ServiceSpecificCredentials", _MEMBERS, AllUsers=True
        )
    except (Absent, Refused) as error:
        if error.code in _UNSUPPORTED:
            return []
        raise
    if any("ExpirationDate" in item and not is_time(item["ExpirationDate"]) for item in items):
        raise malformed(ACTIONS[0], "the answer contains an item without a valid ExpirationDate")
    return [
        {name: item[name] for name in (*_MEMBERS, "ExpirationDate") if name in item}
        for item in items
    ]
