"""Who we are, and how we become the audit role of another account."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from orgscan.errors import IntegrityError, Malformed
from orgscan.models import Caller, Credentials

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orgscan.models import Calls

ACTIONS = ("sts:AssumeRole", "sts:GetCallerIdentity")
SESSION_NAME = "orgscan"
_ARN_PARTS = 6


async def identify(sts: Calls) -> Caller:
    """Ask AWS who signs our requests. Needs no permission.

    Raises :class:`orgscan.errors.CallError`.
    """
    answer = await sts.call("GetCallerIdentity", "Arn")
    parts = str(answer["Arn"]).split(":")
    if len(parts) < _ARN_PARTS or not answer.get("Account"):
        raise Malformed(
            "sts:GetCallerIdentity: the answer names no account",
            code="MalformedAnswer",
            action="sts:GetCallerIdentity",
        )
    return Caller(account_id=str(answer["Account"]), arn=str(answer["Arn"]), partition=parts[1])


def session_policy(actions: Sequence[str]) -> str:
    """An inline policy of exactly ``actions``; a session's rights are its meet with the role's."""
    statement = {"Effect": "Allow", "Action": sorted(actions), "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, separators=(",", ":"))


class Sessions:
    """Assumes the audit role of one account after another."""

    def __init__(
        self,
        sts: Calls,
        *,
        partition: str,
        role_name: str,
        role_path: str = "/",
        external_id: str | None = None,
        duration_seconds: int = 3_600,
        actions: Sequence[str],
    ) -> None:
        """``actions`` are all that a session may do, whatever the role allows."""
        self._sts = sts
        self._partition = partition
        self._role = f"{role_path}{role_name}"
        self._parameters = {
            "RoleSessionName": SESSION_NAME,
            "DurationSeconds": duration_seconds,
            "Policy": session_policy(actions),
        }
        if external_id is not None:
            self._parameters["ExternalId"] = external_id

    async def assume(self, account_id: str) -> Credentials:
        """Temporary credentials of the audit role in ``account_id``.

        Raises :class:`orgscan.errors.CallError`, and :class:`orgscan.errors.IntegrityError`
        where AWS hands out a session of another account: its answers would be filed under
        the wrong number.
        """
        answer = await self._sts.call(
            "AssumeRole",
            "Credentials",
            RoleArn=f"arn:{self._partition}:iam::{account_id}:role{self._role}",
            **self._parameters,
        )
        arn = str(answer.get("AssumedRoleUser", {}).get("Arn", ""))
        parts = arn.split(":")
        if len(parts) < _ARN_PARTS or parts[4] != account_id:
            raise IntegrityError(
                f"asked for a session in account {account_id}, got {arn or 'one without an ARN'}"
            )
        keys = answer["Credentials"]
        try:
            return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
        except (KeyError, TypeError):
            raise Malformed(
                "sts:AssumeRole: the answer lacks a part of the credentials",
                code="MalformedAnswer",
                action="sts:AssumeRole",
            ) from None
