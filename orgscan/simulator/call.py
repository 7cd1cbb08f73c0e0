"""One call to the simulated AWS: what a client signs with, what it asked, what went wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class ServiceError(Exception):
    """An error AWS would answer with."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep the parts; the envelope depends on the service's protocol."""
        super().__init__(message)
        self.code = code
        self.status = status
        self.message = message


def denied(message: str) -> ServiceError:
    """AccessDenied as the query services say it."""
    return ServiceError(403, "AccessDenied", message)


class Credentials(NamedTuple):
    """What a client signs with."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


@dataclass(slots=True)
class Call:
    """One call as received, and how it was answered."""

    index: int
    """Rises by one with every call, from 0."""
    service: str
    action: str
    account: str
    """The account of the credentials; empty where they are unknown."""
    target: str
    """The account the call is about: the role's for AssumeRole, else the same as ``account``."""
    access_key_id: str
    parameters: dict[str, Any]
    status: int = 0
    """0 until answered, and for ever where a fault swallowed the answer."""
    code: str = ""
    """The error code, empty for success."""
    refused: bool = False
    """Whether orgscan has not declared the action: a test must find none."""
    request_id: str = ""

    @property
    def name(self) -> str:
        """``iam:ListUsers``, as a policy names the action."""
        return f"{self.service}:{self.action}"
