"""AWS STS: who the caller is, and sessions in other accounts."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from orgscan.models import AccountState
from orgscan.simulator.call import ServiceError, denied

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud, Session
    from orgscan.simulator.world import Role

_ROLE_ARN = re.compile(r"arn:([\w-]+):iam::(\d{12}):role(/(?:[!-~]+/)?)([\w+=,.@-]{1,64})")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")
_SHORTEST, _DEFAULT, _LONGEST = 900, 3600, 43_200
_POLICY_LIMIT = 2048
_EXTERNAL_ID = range(2, 1225)
_READ_EVERYTHING = ("SecurityAudit", "ReadOnlyAccess", "AdministratorAccess")


class RoleArn(NamedTuple):
    """A role's ARN in parts."""

    partition: str
    account_id: str
    path: str
    name: str


def parse_role_arn(text: str) -> RoleArn | None:
    """The parts of a role's ARN; None where it is none."""
    match = _ROLE_ARN.fullmatch(text)
    return RoleArn(*match.groups()) if match else None


def get_caller_identity(_cloud: Cloud, session: Session, _call: Call) -> str:
    """Who signed the request; needs no permission."""
    return (
        f"<Arn>{session.arn}</Arn><UserId>{session.user_id}</UserId>"
        f"<Account>{session.account_id}</Account>"
    )


def assume_role(cloud: Cloud, session: Session, call: Call) -> str:
    """A session in the role's account.

    A missing role, a wrong external id and an inactive account are told apart by nothing.
    """
    parameters = call.parameters
    arn = parameters.get("RoleArn", "")
    name = parameters.get("RoleSessionName", "")
    if not _SESSION_NAME.fullmatch(name):
        raise _invalid(f"Value '{name}' at 'roleSessionName' failed to satisfy constraint")
    role = _role(cloud, arn, parameters.get("ExternalId"))
    if role is None or (session.role and "sts:AssumeRole" in session.role.denied_actions):
        raise denied(
            f"User: {session.arn} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        )
    duration = _duration(parameters.get("DurationSeconds"), role, chained=_is_chained(session))
    expires_at = cloud.clock() + duration
    allowed = _allowed(parameters)
    opened = cloud.open_session(call.target, role, name, allowed=allowed, expires_at=expires_at)
    expiration = datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    credentials = opened.credentials
    return (
        f"<AssumedRoleUser><AssumedRoleId>{opened.user_id}</AssumedRoleId>"
        f"<Arn>{opened.arn}</Arn></AssumedRoleUser>"
        f"<Credentials><AccessKeyId>{credentials.access_key_id}</AccessKeyId>"
        f"<SecretAccessKey>{credentials.secret_access_key}</SecretAccessKey>"
        f"<SessionToken>{credentials.session_token}</SessionToken>"
        f"<Expiration>{expiration}</Expiration></Credentials>"
        "<PackedPolicySize>6</PackedPolicySize>"
    )


def _role(cloud: Cloud, arn: str, external_id: str | None) -> Role | None:
    parts = parse_role_arn(arn)
    if parts is None:
        raise _invalid(f"{arn} is invalid")
    if external_id is not None and len(external_id) not in _EXTERNAL_ID:
        raise _invalid("1 validation error detected: Value at 'externalId' is too short or long")
    account = cloud.accounts.get(parts.account_id)
    if account is None or parts.partition != cloud.world.partition:
        return None
    if cloud.state(account) in _INACTIVE:
        return None
    for role in account.roles:
        if (role.name, role.path) == (parts.name, parts.path):
            return role if role.external_id in {None, external_id} else None
    return None


_INACTIVE = {
    AccountState.SUSPENDED,
    AccountState.PENDING_CLOSURE,
    AccountState.CLOSED,
    AccountState.PENDING_ACTIVATION,
}


def _is_chained(session: Session) -> bool:
    return session.credentials.session_token is not None


def _duration(text: str | None, role: Role, *, chained: bool) -> int:
    try:
        seconds = int(text) if text is not None else _DEFAULT
    except ValueError:
        raise _invalid("Value at 'durationSeconds' is no number") from None
    if not _SHORTEST <= seconds <= _LONGEST:
        raise _invalid(f"Value '{seconds}' at 'durationSeconds' failed to satisfy constraint")
    if chained and seconds > _DEFAULT:
        raise _invalid(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
            "role chaining"
        )
    if seconds > role.maximum_session:
        raise _invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return seconds


def _allowed(parameters: dict[str, Any]) -> tuple[str, ...] | None:
    """The actions the session policies list; None where none is given."""
    arns = [value for key, value in parameters.items() if key.startswith("PolicyArns.")]
    text = parameters.get("Policy")
    if text is None and not arns:
        return None
    if text is not None and len(text) > _POLICY_LIMIT:
        raise ServiceError(400, "PackedPolicyTooLarge", "The session policy is too large.")
    actions = tuple(_actions(text)) if text is not None else ()
    if any(arn.endswith(_READ_EVERYTHING) for arn in arns):
        actions += ("*",)
    return actions


def _actions(text: str) -> Iterator[str]:
    try:
        statements = json.loads(text)["Statement"]
        statements = [statements] if isinstance(statements, dict) else statements
        for statement in statements:
            actions = statement["Action"]
            if statement["Effect"] == "Allow":
                yield from [actions] if isinstance(actions, str) else actions
    except (ValueError, TypeError, KeyError):
        raise ServiceError(
            400, "MalformedPolicyDocument", "The policy is not in the valid JSON format."
        ) from None


def _invalid(message: str) -> ServiceError:
    return ServiceError(400, "ValidationError", message)


ACTIONS: dict[str, Callable[[Cloud, Session, Call], str]] = {
    "GetCallerIdentity": get_caller_identity,
    "AssumeRole": assume_role,
}
