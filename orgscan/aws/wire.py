"""From a serialised request to a parsed answer: sign, send, parse, and nothing else.

botocore builds a request from five objects, fires a dozen events and signs through a mail
message's headers: two thirds of the CPU a call costs. Its ``before-call`` event lets a handler
bring the answer instead, with botocore's serialiser before it and botocore's parser inside it.
Only Signature Version 4 is written out here, for the one shape of request the services in use
have; a test holds it to botocore's signer.
"""

from __future__ import annotations

import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote_plus, urlsplit
from xml.parsers.expat import ExpatError

from botocore.parsers import ResponseParserError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from orgscan.aws.transport import Answer, Transport

_ALGORITHM = "AWS4-HMAC-SHA256"
_whole_entries = re.compile(
    rb"<entry>\s*<key>[^<]+</key>\s*<value>[^<]*</value>\s*</entry>"
).findall
_is_one_word = re.compile(r"[!-~]+").fullmatch
_PARSER_ERRORS = (
    ResponseParserError,
    AttributeError,
    ExpatError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What botocore's parsers raise when an answer is not what the model promises."""
_UNSIGNED = {"accept-encoding", "user-agent", "expect", "transfer-encoding", "x-amzn-trace-id"}


class Keys(NamedTuple):
    """What a request is signed with."""

    access_key: str
    secret_key: str
    token: str | None

    def must_fit_a_header(self) -> None:
        """Raise :class:`UnsignableError` where they hold what AWS never puts there."""
        parts = {
            "access key id": self.access_key,
            "secret access key": self.secret_key,
            "session token": self.token or "-",
        }
        for name, part in parts.items():
            if not _is_one_word(part):
                raise UnsignableError(name)


class UnsignableError(Exception):
    """Keys no header can carry: copied with a line break, say. Names the part, not its value."""


class UnparsableError(Exception):
    """An answer that is not what the service's model promises. Says what is wrong in a word."""


class Outgoing(NamedTuple):
    """A signed request."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes


class Wire:
    """Brings the answers of one SDK client; register :meth:`answer` on ``before-call``."""

    def __init__(
        self, transport: Transport, parser: Any, keys: Callable[[], Awaitable[Keys]]
    ) -> None:
        """``parser`` is botocore's for the service's protocol; ``keys`` says who signs now."""
        self._transport = transport
        self._parser = parser
        self._keys = keys

    async def answer(
        self, model: Any, params: Any, request_signer: Any, context: Any, **_event: object
    ) -> tuple[Answer, dict[str, Any]]:
        """Handle ``before-call``: send what botocore serialised, parse what comes back.

        Raises :class:`UnparsableError` where the answer is at fault; any other TypeError,
        LookupError and the like is a bug of ours.
        """
        scope = context.get("signing", {})
        body = params["body"]
        if isinstance(body, dict):
            body = form_encoded(body)
        request = sign(
            await self._keys(),
            method=params["method"],
            url=params["url"],
            headers=params["headers"],
            body=body.encode() if isinstance(body, str) else body,
            region=scope.get("region") or request_signer.region_name,
            service=scope.get("signing_name") or request_signer.signing_name,
            # AWS checks this against its own clock, so it is never a clock handed in.
            now=datetime.now(UTC),
        )
        answer = await self._transport.send(request)
        return answer, await self._parsed(answer, model)

    async def _parsed(self, answer: Answer, model: Any) -> dict[str, Any]:
        content = {
            "headers": answer.headers,
            "status_code": answer.status_code,
            "body": answer.body,
            "context": {"operation_name": model.name},
        }
        shape = model.output_shape
        if not _has_whole_entries(answer.body):
            raise UnparsableError("entry")
        try:
            parsed = await self._parser.parse(content, shape)
        except _PARSER_ERRORS as error:
            raise UnparsableError(type(error).__name__) from error
        return _checked(parsed, answer.status_code)


def _checked(parsed: Any, status: int) -> dict[str, Any]:
    """What the parser returned, in the shape that botocore relies on when it raises an error."""
    if not isinstance(parsed, dict):
        raise UnparsableError(type(parsed).__name__)
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        error = parsed.get("Error", {})
        # The parser takes the elements of an error as they come, nested ones included.
        if not isinstance(error, dict) or not isinstance(error.get("Code", ""), str | None):
            raise UnparsableError("Error")
    return parsed


def _has_whole_entries(body: bytes) -> bool:
    """Whether every entry of an XML map has its key and its value.

    botocore's parser completes one that lacks a part with that of the entry before it.
    """
    return not body.startswith(b"<") or body.count(b"<entry") == len(_whole_entries(body))


def sign(
    keys: Keys,
    *,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes,
    region: str,
    service: str,
    now: datetime,
) -> Outgoing:
    """Sign a request without a query string by AWS Signature Version 4.

    Source: AWS's "Create a signed AWS API request". The path must be in canonical form, which
    ``/`` is; every header but those a proxy may change is signed.
    """
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    day = stamp[:8]
    host, path = _place(url)
    sent = {name: " ".join(str(value).split()) for name, value in headers.items()}
    sent["X-Amz-Date"] = stamp
    if keys.token:
        sent["X-Amz-Security-Token"] = keys.token
    named = {name.lower(): value for name, value in sent.items()} | {"host": host}
    signed = sorted(named.keys() - _UNSIGNED)
    canonical_headers = "".join([f"{name}:{named[name]}\n" for name in signed])
    names = ";".join(signed)
    canonical = "\n".join((method, path, "", canonical_headers, names, sha256(body).hexdigest()))
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, sha256(canonical.encode()).hexdigest()))
    key = _signing_key(keys.secret_key, day, region, service)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={keys.access_key}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}"
    )
    return Outgoing(method, url, sent, body)


@lru_cache(maxsize=256)
def _signing_key(secret_key: str, day: str, region: str, service: str) -> bytes:
    """The key of a day; an account's calls share one, so as many as are in flight are kept."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def form_encoded(fields: dict[str, str]) -> str:
    """The body of a query request; what botocore put in it is flat."""
    return "&".join([f"{_quoted(name)}={_quoted(str(value))}" for name, value in fields.items()])


_quoted = lru_cache(maxsize=1024)(quote_plus)
"""Names, actions and versions are the same in every request."""


@lru_cache(maxsize=16)
def _place(url: str) -> tuple[str, str]:
    """The host as it is signed, without a default port, and the path."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port is not None and parts.port != {"http": 80, "https": 443}[parts.scheme]:
        host = f"{host}:{parts.port}"
    return host, parts.path or "/"
