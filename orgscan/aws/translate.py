"""Foreign errors become ours here, and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from orgscan.aws.signin import SignInError
from orgscan.aws.transport import BodyTooLargeError, RedirectRefusedError, UnusableProxyError
from orgscan.aws.wire import UnparsableError, UnsignableError
from orgscan.errors import (
    Absent,
    CallerBroken,
    CallError,
    CredentialsExpired,
    Denied,
    Malformed,
    Refused,
    Throttled,
    Transient,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

FOREIGN = (
    BotoCoreError,
    ClientError,
    ResponseParserError,
    aiohttp.ClientError,
    RedirectRefusedError,
    BodyTooLargeError,
    SignInError,
    UnparsableError,
    UnsignableError,
    UnusableProxyError,
    TimeoutError,
    OSError,
)
"""Every exception a call can end with short of a bug of ours; tests hold it to the fault matrix.

TypeError, LookupError, ValueError and the like are missing on purpose: where they are the
answer's fault, :mod:`orgscan.aws.wire` has made an UnparsableError of them.
"""

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "UnauthorizedOperation",
    "AWSOrganizationsNotInUseException",
}
_ABSENT = {"NoSuchEntity", "NoSuchEntityException", "AccountNotFoundException"}
_THROTTLED = {
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceeded",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "TooManyRequestsException",
    "TransactionInProgressException",
}
_TRANSIENT = {
    "ConcurrentModification",
    "ConcurrentModificationException",
    "InternalError",
    "InternalFailure",
    "InternalServiceError",
    "InternalServiceException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceException",
    "ServiceFailure",
    "ServiceUnavailable",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_UNKNOWN_KEY = {
    "AuthFailure",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
}
_BAD_SIGNATURE = {
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
}
_CLOCK_CODES = {"RequestExpired", "RequestTimeTooSkewed"}
_CLOCK_OFF = re.compile(r"(?i)signature (expired|not yet current)")
_SERVER_ERROR = 500
_LONGEST_MESSAGE = 400


def translate(error: BaseException, action: str, *, own_credentials: bool) -> CallError:
    """The :class:`CallError` for one of :data:`FOREIGN`.

    ``own_credentials`` says that the request was signed as the caller rather than with a
    member account's session: what a fresh session could cure there is the end of the run here.
    """
    if isinstance(error, ClientError):
        return _from_answer(error.response, action, own_credentials=own_credentials)
    kind: type[CallError] = Malformed
    code = "MalformedAnswer"
    text = f"{action} was answered with something that is not AWS's ({_named(error)})"
    match error:
        case aiohttp.ClientConnectorCertificateError():
            kind, code = CallerBroken, "CertificateNotTrusted"
            text = f"the certificate of {error.host} is not trusted ({error.certificate_error})"
        case TimeoutError():
            kind, code = Unreachable, "Timeout"
            text = f"{action} got no answer in time"
        case RedirectRefusedError():
            code = "RedirectRefused"
            text = f"{action} was answered with a redirect, which was not followed"
        case BodyTooLargeError():
            code = "AnswerTooLarge"
            text = f"{action} was answered with more than any honest answer holds"
        case UnsignableError():
            kind, code = CallerBroken, "BadCredentials"
            text = f"the caller's {unsignable(error)}"
        case SignInError():
            kind, code, text = CallerBroken, error.code, str(error)
        case (
            aiohttp.ClientConnectionError()
            | aiohttp.ClientPayloadError()
            | UnusableProxyError()
            | OSError()
        ):
            kind, code = Unreachable, "ConnectionError"
            text = f"{action} could not reach AWS ({_brief(str(error)) or type(error).__name__})"
        case BotoCoreError() if not isinstance(error, ResponseParserError):
            # Credential providers, not answers: an expired SSO session, a failing process.
            kind, code = CallerBroken, type(error).__name__
            text = f"the caller's credentials do not work: {_brief(str(error))}"
        case _:
            pass  # UnparsableError: what botocore's parsers tripped over
    return kind(text, code=code, action=action)


def _named(error: BaseException) -> str:
    """The kind of error, which for an answer that could not be parsed is the parser's."""
    return str(error) if isinstance(error, UnparsableError) else type(error).__name__


def unsignable(error: UnsignableError) -> str:
    """What is wrong with keys no header can carry."""
    return (
        f"{error} holds what AWS never puts there: a blank, a line break, a letter with an accent "
        "or the like"
    )


def malformed(action: str, what: str) -> Malformed:
    """An answer that parses but cannot be true."""
    return Malformed(f"{action}: {what}", code="MalformedAnswer", action=action)


def _from_answer(answer: Mapping[str, Any], action: str, *, own_credentials: bool) -> CallError:
    error = answer.get("Error", {})
    metadata = answer.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 0)
    code = str(error.get("Code", ""))
    if not code or code == str(status):
        code = f"HTTP{status}"  # a load balancer's page, say, instead of the service's answer
    kind = _kind(code, status, own_credentials=own_credentials)
    # A load balancer's page names the request in its head only.
    headers = metadata.get("HTTPHeaders", {})
    request_id = str(metadata.get("RequestId") or headers.get("x-amzn-requestid") or "")
    message = _brief(str(error.get("Message", ""))) or code
    text = f"{action}: {message}"
    if code in _BAD_SIGNATURE and (_CLOCK_OFF.search(message) or code in _CLOCK_CODES):
        # AWS names the signature; what is wrong is the time in it.
        code = "ClockOff"
        text = f"this machine's clock differs too much from AWS's ({text})"
    if kind is Transient and request_id:
        # AWS support asks for it, and only for failures on AWS's side.
        text += f" (request id {request_id})"
    return kind(text, code=code, action=action, request_id=request_id)


def _kind(code: str, status: int, *, own_credentials: bool) -> type[CallError]:
    for codes, kind in (
        (_DENIED, Denied),
        (_ABSENT, Absent),
        (_THROTTLED, Throttled),
        (_TRANSIENT, Transient),
        (_BAD_SIGNATURE, CallerBroken),
    ):
        if code in codes:
            return kind
    if code in _EXPIRED or code in _UNKNOWN_KEY:
        return CallerBroken if own_credentials else CredentialsExpired
    return Transient if status >= _SERVER_ERROR else Refused


def _brief(message: str) -> str:
    """One line without console links and authorization ids, so that like reasons group."""
    if message.lstrip().startswith("<"):
        return ""  # a page for browsers
    message = re.sub(r"https?://\S+", "", message)
    message = re.sub(
        r"(?i)(encoded )?authorization (failure )?(message|id)\s*[:=]\s*\S+", "", message
    )
    message = " ".join(message.split()).rstrip(" .:")
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
