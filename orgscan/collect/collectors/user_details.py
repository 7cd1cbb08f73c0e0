"""Direct questions about the few users and keys that the credential report does not describe.

The report may be four hours old. Users created, re-created or renamed since have no row in it,
keys created since no slot: for these the account's own answers take the report's place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import (
    agreed,
    document,
    is_text,
    is_time,
    list_items,
    malformed,
    refuse_future,
)
from orgscan.collect.collectors.patience import or_none, until_found
from orgscan.collect.collectors.trial import Trial
from orgscan.errors import CallerBroken, CallError
from orgscan.models import Evidence, Gap, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orgscan.models import Calls, Clock

KIND = Kind.USER_DETAILS
ACTIONS = (
    "iam:GetAccessKeyLastUsed",
    "iam:GetLoginProfile",
    "iam:ListMFADevices",
    "iam:ListSigningCertificates",
)
Details = dict[str, dict[str, Any]]
_NOBODY = {"UserName": "orgscan-check"}
TRIALS = (
    Trial(
        action=ACTIONS[0],
        result="AccessKeyLastUsed",
        parameters={"AccessKeyId": "AKIAORGSCANCHECK0000"},
    ),
    Trial(action=ACTIONS[1], result="LoginProfile", parameters=_NOBODY),
    Trial(action=ACTIONS[2], result="MFADevices", parameters={**_NOBODY, "MaxItems": 1}),
    Trial(action=ACTIONS[3], result="Certificates", parameters={**_NOBODY, "MaxItems": 1}),
)


async def collect_user_details(
    calls: Calls, clock: Clock, users: Iterable[str], keys: Iterable[str]
) -> tuple[Evidence, Details, Gap | None]:
    """Password, MFA devices and certificates of ``users``, and the last use of ``keys`` (ids).

    Whatever could not be answered is left out, and the gap names the first reason: its controls
    are UNKNOWN, and what was answered is evaluated.

    Raises only :class:`orgscan.errors.CallerBroken` and :class:`orgscan.errors.IntegrityError`.
    """
    details: Details = {"users": {}, "keys": {}}
    failure: CallError | None = None
    for kind, names, ask in (("users", users, _user), ("keys", keys, _last_use)):
        for name in names:
            try:
                details[kind][name] = await ask(calls, clock, name)
            except CallerBroken:
                raise
            except CallError as error:
                failure = failure or error
    gap = None
    if failure is not None:
        gap = Gap(kind=KIND, code=failure.code, reason=str(failure), usable=True)
    return evidence(details, clock), details, gap


def evidence(details: Details, clock: Clock) -> Evidence:
    """The details as they are stored."""
    return Evidence(kind=KIND, content=document(details), collected_at=clock.now())


async def _user(calls: Calls, clock: Clock, name: str) -> dict[str, Any]:
    return {
        "login_profile": await until_found(
            lambda: or_none(lambda: _login_profile(calls, clock, name), clock, "login profile"),
            clock,
        ),
        "mfa_devices": await until_found(
            lambda: agreed(lambda: _mfa_devices(calls, name), ACTIONS[2]), clock
        ),
        "signing_certificates": await until_found(
            lambda: agreed(lambda: _certificates(calls, name), ACTIONS[3]), clock
        ),
    }


async def _login_profile(calls: Calls, clock: Clock, name: str) -> dict[str, Any]:
    answer = await calls.call("GetLoginProfile", "LoginProfile", UserName=name)
    profile = answer["LoginProfile"]
    if profile.get("UserName", name) != name or not is_time(profile.get("CreateDate")):
        raise malformed(ACTIONS[1], "the answer describes no password of the user")
    refuse_future(ACTIONS[1], clock, [profile["CreateDate"]])
    return {"CreateDate": profile["CreateDate"]}


async def _mfa_devices(calls: Calls, name: str) -> list[dict[str, Any]]:
    members = {"SerialNumber": is_text, "EnableDate": is_time}
    return await _listed(calls, ACTIONS[2], "MFADevices", name, members=members)


async def _certificates(calls: Calls, name: str) -> list[dict[str, Any]]:
    members = {"CertificateId": is_text, "Status": is_text}
    return await _listed(
        calls, ACTIONS[3], "Certificates", name, members=members, optional=("UploadDate",)
    )


async def _listed(
    calls: Calls,
    action: str,
    result: str,
    user: str,
    *,
    members: dict[str, Any],
    optional: tuple[str, ...] = (),
) -> list[dict[str, Any]]:
    """The items of a list about one user, with their ``members`` and ``optional`` ones alone."""
    items, _repeated = await list_items(calls, action, result, members, UserName=user)
    return [{name: item[name] for name in (*members, *optional) if name in item} for item in items]


async def _last_use(calls: Calls, clock: Clock, key_id: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        answer = await calls.call("GetAccessKeyLastUsed", "AccessKeyLastUsed", AccessKeyId=key_id)
        use = answer["AccessKeyLastUsed"]
        if not isinstance(use, dict) or not all(
            is_text(use.get(name)) for name in ("Region", "ServiceName")
        ):
            raise malformed(ACTIONS[0], "the answer lacks a Region or a ServiceName")
        if is_time(use.get("LastUsedDate")):
            refuse_future(ACTIONS[0], clock, [use["LastUsedDate"]])
        return {
            name: use[name] for name in ("LastUsedDate", "Region", "ServiceName") if name in use
        }

    return await until_found(ask, clock)
