"""Our signature is botocore's signature."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import botocore.auth
import botocore.session
import pytest
from aiobotocore.parsers import AioResponseParserFactory
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.parsers import ResponseParserError
from hypothesis import given
from hypothesis import strategies as st

from orgscan.aws.translate import translate
from orgscan.aws.transport import Answer
from orgscan.aws.wire import Keys, UnparsableError, Wire, form_encoded, sign
from orgscan.errors import Malformed

NOW = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)
HOSTS = (
    "https://iam.amazonaws.com/",
    "https://iam.cn-north-1.amazonaws.com.cn",
    "http://127.0.0.1:4566/",
    "http://localhost:80/",
    "https://localhost:443",
    "http://[::1]:8080/",
)


@given(
    url=st.sampled_from(HOSTS),
    key=TEXT,
    secret=TEXT,
    token=st.none() | TEXT,
    body=st.binary(max_size=200),
    target=st.none() | st.just("AWSOrganizationsV20161128.ListAccounts"),
    agent=TEXT,
    region=st.sampled_from(["us-east-1", "us-gov-west-1", "cn-north-1"]),
    service=st.sampled_from(["iam", "sts", "organizations"]),
)
def test_it_signs_as_botocore_signs(
    *, url: str, key: str, secret: str, token: str | None, body: bytes, target: str | None,
    agent: str, region: str, service: str,
) -> None:  # fmt: skip
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    headers |= {"User-Agent": agent} | ({"X-Amz-Target": target} if target else {})
    ours = sign(
        Keys(key, secret, token), method="POST", url=url, headers=headers, body=body,
        region=region, service=service, now=NOW,
    )  # fmt: skip

    theirs = AWSRequest(method="POST", url=url, headers=dict(headers), data=body)
    with pytest.MonkeyPatch.context() as patch:
        # botocore reads the clock itself; hand it ours.
        patch.setattr(botocore.auth, "get_current_datetime", lambda *_: NOW.replace(tzinfo=None))
        botocore.auth.SigV4Auth(Credentials(key, secret, token), service, region).add_auth(theirs)
    assert ours.headers["Authorization"] == theirs.headers["Authorization"]
    assert ours.headers["X-Amz-Date"] == theirs.headers["X-Amz-Date"]
    assert ours.headers.get("X-Amz-Security-Token") == theirs.headers.get("X-Amz-Security-Token")


def test_header_values_are_signed_as_they_are_sent() -> None:
    spaced = SimpleNamespace(value="  two   words ")
    signed = sign(
        Keys("AKIA", "secret", None), method="POST", url=HOSTS[0],
        headers={"X-Amz-Target": spaced.value}, body=b"", region="us-east-1", service="iam",
        now=NOW,
    )  # fmt: skip
    assert signed.headers["X-Amz-Target"] == "two words"


@given(fields=st.dictionaries(st.text(min_size=1), st.text() | st.integers()))
def test_bodies_are_encoded_as_the_sdk_encodes_them(fields: dict[str, str]) -> None:
    assert form_encoded(fields) == urlencode(fields, doseq=True)


class Answering:
    """A transport that has one answer for everything."""

    def __init__(self, body: bytes, status: int) -> None:
        self._answer = Answer(status, {"content-type": "text/xml"}, body)

    async def send(self, _request: object) -> Answer:
        return self._answer


class Failing:
    """A parser that raises one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def parse(self, *_content: object) -> dict[str, Any]:
        raise self._error


async def own_keys() -> Keys:
    return Keys("AKIA", "secret", None)


async def brought(transport: Any, parser: Any, keys: Any = own_keys, action: str = "X") -> Any:
    """The parsed answer to a request that the SDK has serialised."""
    signer = SimpleNamespace(region_name="us-east-1", signing_name="iam")
    params = {"method": "POST", "url": HOSTS[0], "headers": {}, "body": {"Action": action}}
    model = SimpleNamespace(name=action, output_shape=shape(action) if action != "X" else None)
    _, parsed = await Wire(transport, parser, keys).answer(model, params, signer, {})
    return parsed


def shape(action: str) -> Any:
    service = "iam" if action == "ListUsers" else "organizations"
    return SESSION.get_service_model(service).operation_model(action).output_shape


SESSION = botocore.session.get_session()
PARSERS = AioResponseParserFactory()


@pytest.mark.parametrize(
    "error",
    [
        ResponseParserError("bad xml"),
        AttributeError("text"),
        IndexError("0"),
        KeyError("Error"),
        RecursionError("nested"),
        TypeError("None"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        ValueError("2026"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_in_the_parser_is_the_fault_of_the_answer(error: Exception) -> None:
    with pytest.raises(UnparsableError, match=type(error).__name__) as caught:
        await brought(Answering(b"", 200), Failing(error))
    assert caught.value.__cause__ is error
    translated = translate(caught.value, "iam:X", own_credentials=True)
    assert (type(translated), translated.code) == (Malformed, "MalformedAnswer")


@pytest.mark.parametrize(
    ("protocol", "action", "status", "body"),
    [
        ("query", "ListUsers", 200, b""),
        ("query", "ListUsers", 200, b"<ListUsersResponse/>"),
        ("query", "ListUsers", 400, b"<ErrorResponse><Error>no</Error></ErrorResponse>"),
        ("query", "ListUsers", 400, b"<ErrorResponse><Error/></ErrorResponse>"),
        (
            "query",
            "ListUsers",
            400,
            b"<ErrorResponse><Error><Code><A/></Code></Error></ErrorResponse>",
        ),
        ("json", "ListAccounts", 200, b"null"),
        ("json", "ListAccounts", 200, b"[]"),
        ("json", "ListAccounts", 400, b"null"),
        ("json", "ListAccounts", 400, b'{"__type": 5}'),
        ("json", "ListAccounts", 400, b'{"__type": {}}'),
        ("json", "ListAccounts", 400, b'{"__type": []}'),
    ],
)
async def test_an_answer_that_the_sdk_would_trip_over_later_is_unparsable(
    protocol: str, action: str, status: int, body: bytes
) -> None:
    with pytest.raises(UnparsableError):
        await brought(Answering(body, status), PARSERS.create_parser(protocol), action=action)


@pytest.mark.parametrize(
    ("protocol", "action", "body", "code"),
    [
        (
            "query",
            "ListUsers",
            b"<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>",
            "Throttling",
        ),
        ("query", "ListUsers", b"<ErrorResponse><Error><Code/></Error></ErrorResponse>", None),
        (
            "json",
            "ListAccounts",
            b'{"__type": "TooManyRequestsException"}',
            "TooManyRequestsException",
        ),
    ],
)
async def test_an_error_of_the_service_is_parsed(
    protocol: str, action: str, body: bytes, code: str | None
) -> None:
    parser = PARSERS.create_parser(protocol)
    parsed = await brought(Answering(body, 400), parser, action=action)
    assert parsed["Error"]["Code"] == code


async def test_an_error_of_our_own_before_the_parser_is_not_the_fault_of_the_answer() -> None:
    async def broken() -> Keys:
        message = "ours"
        raise TypeError(message)

    with pytest.raises(TypeError, match="ours"):
        await brought(Answering(b"", 200), Failing(ValueError()), broken)
