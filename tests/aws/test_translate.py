"""Whatever happens on the way to AWS and back ends as one of our errors."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from orgscan.aws import Aws
from orgscan.aws.translate import FOREIGN, translate
from orgscan.aws.transport import BodyTooLargeError, RedirectRefusedError
from orgscan.aws.wire import UnparsableError
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
from orgscan.models import Credentials
from orgscan.settings import load
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator
from orgscan.simulator.wire import Answer
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from orgscan.aws.calls import ServiceCalls
    from tests.kit.clocks import FakeClock


def answered(
    code: str, status: int = 400, message: str = "text", *, own: bool = False
) -> CallError:
    metadata = {"HTTPStatusCode": status, "RequestId": "1-2-3"}
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
    error = boto.ClientError(response, "ListUsers")
    return translate(error, "iam:ListUsers", own_credentials=own)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("AccessDenied", 403, Denied),
        ("AccessDeniedException", 400, Denied),
        ("AWSOrganizationsNotInUseException", 400, Denied),
        ("NoSuchEntity", 404, Absent),
        ("Throttling", 400, Throttled),
        ("TooManyRequestsException", 400, Throttled),
        ("LimitExceeded", 409, Throttled),
        ("RequestLimitExceeded", 503, Throttled),
        ("ServiceFailure", 500, Transient),
        ("InternalFailure", 500, Transient),
        ("ConcurrentModification", 409, Transient),
        ("SomethingNew", 503, Transient),
        ("SignatureDoesNotMatch", 403, CallerBroken),
        ("ExpiredToken", 403, CredentialsExpired),
        ("ExpiredTokenException", 400, CredentialsExpired),
        ("InvalidClientTokenId", 403, CredentialsExpired),
        ("UnrecognizedClientException", 400, CredentialsExpired),
        ("ReportNotPresent", 410, Refused),
        ("ReportInProgress", 404, Refused),
        ("ValidationError", 400, Refused),
        ("SomethingNew", 400, Refused),
    ],
)
def test_every_code_has_a_kind(code: str, status: int, kind: type[CallError]) -> None:
    error = answered(code, status)
    assert type(error) is kind
    assert (error.code, error.action, error.request_id) == (code, "iam:ListUsers", "1-2-3")


@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidClientTokenId", "AuthFailure"])
def test_what_a_new_session_could_cure_is_the_end_for_the_callers_own(code: str) -> None:
    assert type(answered(code, 403, own=False)) is CredentialsExpired
    assert type(answered(code, 403, own=True)) is CallerBroken


@pytest.mark.parametrize("code", ["RequestExpired", "RequestTimeTooSkewed"])
def test_a_clock_that_is_off_is_named_as_what_it_is(code: str) -> None:
    error = answered(code, 400)
    assert (type(error), error.code) == (CallerBroken, "ClockOff")
    assert "clock differs too much" in str(error)


def test_a_member_that_denies_is_no_matter_of_the_caller() -> None:
    assert type(answered("AccessDenied", 403, own=True)) is Denied


class TestMessages:
    def test_are_one_line(self) -> None:
        assert str(answered("X", message=" a\n\tb \r\n c. ")) == "iam:ListUsers: a b c"

    def test_lose_console_links_and_authorization_ids_so_that_like_reasons_group(self) -> None:
        texts = {
            str(
                answered(
                    "AccessDenied",
                    message=f"User is not authorized. See https://console.aws.amazon.com/x?id={n} "
                    f"Authorization ID: {n}-abc Encoded authorization failure message: {n * 50}",
                )
            )
            for n in "123"
        }
        assert texts == {"iam:ListUsers: User is not authorized. See"}

    def test_are_cut_where_they_never_end(self) -> None:
        assert len(str(answered("X", message="long " * 1000))) < 430

    def test_fall_back_to_the_code(self) -> None:
        assert str(answered("X", message="")) == "iam:ListUsers: X"

    def test_do_not_repeat_pages_meant_for_browsers(self) -> None:
        error = answered("502", 502, message="<!DOCTYPE html><html>Bad</html>")
        assert str(error) == "iam:ListUsers: HTTP502 (request id 1-2-3)"

    def test_name_the_request_where_aws_failed_and_nowhere_else(self) -> None:
        assert str(answered("InternalFailure", 500)).endswith("(request id 1-2-3)")
        assert "1-2-3" not in str(answered("AccessDenied", 403))

    def test_of_an_answer_without_anything(self) -> None:
        error = translate(boto.ClientError({}, "X"), "iam:X", own_credentials=False)
        assert (type(error), error.code) == (Refused, "HTTP0")


def every_kind_of(*bases: type[BaseException]) -> list[type[BaseException]]:
    found: dict[str, type[BaseException]] = {}
    queue = list(bases)
    while queue:
        kind = queue.pop()
        if kind.__module__.startswith(
            ("botocore", "aiobotocore", "aiohttp", "orgscan", "builtins")
        ):
            found[f"{kind.__module__}.{kind.__name__}"] = kind
            queue += kind.__subclasses__()
    return [found[name] for name in sorted(found)]


def bare(kind: type[BaseException]) -> BaseException:
    """An instance without the arguments its constructor wants."""
    error = kind.__new__(kind)
    error.args = ("what happened",)
    return error


@pytest.mark.parametrize(
    "kind",
    every_kind_of(boto.BotoCoreError, aiohttp.ClientError),
    ids=lambda kind: f"{kind.__module__}.{kind.__name__}",
)
def test_no_exception_of_the_libraries_is_unknown(kind: type[BaseException]) -> None:
    assert issubclass(kind, FOREIGN)
    error = bare(kind)
    for name in ("_certificate_error", "_conn_key", "_os_error", "errno", "strerror", "_path"):
        if isinstance(
            error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError
        ):
            vars(error)[name] = ConnectionKey()
    translated = translate(error, "iam:X", own_credentials=False)
    assert isinstance(translated, CallError)
    assert str(translated).splitlines() == [str(translated)]


class ConnectionKey:
    """As much of aiohttp's as its errors print."""

    host, port, is_ssl, ssl, strerror = "iam.example", 443, True, True, "what happened"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (TimeoutError(), Unreachable, "Timeout"),
        (aiohttp.ServerTimeoutError(), Unreachable, "Timeout"),
        (ConnectionResetError(104, "Connection reset"), Unreachable, "ConnectionError"),
        (OSError(-2, "Name or service not known"), Unreachable, "ConnectionError"),
        (ssl.SSLError(1, "handshake failure"), Unreachable, "ConnectionError"),
        (aiohttp.ServerDisconnectedError(), Unreachable, "ConnectionError"),
        (aiohttp.ClientPayloadError("cut"), Unreachable, "ConnectionError"),
        (RedirectRefusedError("https://evil"), Malformed, "RedirectRefused"),
        (BodyTooLargeError(1), Malformed, "AnswerTooLarge"),
        (ResponseParserError("bad xml"), Malformed, "MalformedAnswer"),
        (UnparsableError("KeyError"), Malformed, "MalformedAnswer"),
        (boto.NoCredentialsError(), CallerBroken, "NoCredentialsError"),
        (boto.UnauthorizedSSOTokenError(), CallerBroken, "UnauthorizedSSOTokenError"),
        (
            boto.CredentialRetrievalError(provider="process", error_msg="exit 1"),
            CallerBroken,
            "CredentialRetrievalError",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_is_no_answer_of_aws(error: BaseException, kind: type[CallError], code: str) -> None:
    translated = translate(error, "iam:X", own_credentials=True)
    assert (type(translated), translated.code, translated.request_id) == (kind, code, "")


@pytest.mark.parametrize(
    "kind",
    [
        RuntimeError,
        asyncio.CancelledError,
        AttributeError,
        IndexError,
        KeyError,
        LookupError,
        RecursionError,
        TypeError,
        UnicodeDecodeError,
        ValueError,
    ],
)
def test_our_own_mistakes_are_not_translated(kind: type[BaseException]) -> None:
    assert not issubclass(kind, FOREIGN)


def refusal(content: bytes) -> faults.Reply:
    """An error answer of a query service with anything in it."""
    body = b"<ErrorResponse>" + content + b"</ErrorResponse>"
    return faults.Reply(Answer(status=400, body=body))


# What the simulator does to one account each, met through the whole of the SDK.
STRUCK: dict[str, tuple[Any, type[CallError], str, int]] = {
    "empty": (faults.EMPTY, Malformed, "MalformedAnswer", 3),
    "html": (faults.HTML, Malformed, "MalformedAnswer", 3),
    "binary": (faults.BINARY, Malformed, "MalformedAnswer", 3),
    "truncated": (faults.TRUNCATED_XML, Malformed, "MalformedAnswer", 3),
    "result missing": (faults.Result("<Other/>"), Malformed, "MalformedAnswer", 3),
    "text for an error": (refusal(b"<Error>no</Error>"), Malformed, "MalformedAnswer", 3),
    "elements for a code": (
        refusal(b"<Error><Code><A/></Code></Error>"),
        Malformed,
        "MalformedAnswer",
        3,
    ),
    "gzip bomb": (faults.gzip_bomb(1 << 20), Malformed, "MalformedAnswer", 3),
    "huge": (faults.HUGE, Malformed, "AnswerTooLarge", 1),
    "silent": (faults.SILENCE, Unreachable, "Timeout", 3),
    "dripping": (faults.DRIP, Unreachable, "Timeout", 3),
    "reset": (faults.RESET, Unreachable, "ConnectionError", 6),
    "reset within": (faults.RESET_WITHIN, Unreachable, "ConnectionError", 6),
    "cut": (faults.CUT, Unreachable, "ConnectionError", 6),
    "500": (faults.SERVICE_FAILURE, Transient, "ServiceFailure", 6),
    "502": (faults.bad_gateway(502), Transient, "HTTP502", 6),
    "503": (faults.bad_gateway(503), Transient, "HTTP503", 6),
    "504": (faults.bad_gateway(504), Transient, "HTTP504", 6),
    "denied": (faults.DENIED_AT_LENGTH, Denied, "AccessDenied", 1),
    "clock": (faults.SIGNATURE_EXPIRED, CallerBroken, "ClockOff", 1),
    "refused": (faults.Error("ValidationError", 400), Refused, "ValidationError", 1),
}
WORLD = WORLDS["uniform"](accounts=len(STRUCK) + 2, users=1)
ACCOUNTS = dict(zip(STRUCK, (account.id for account in WORLD.accounts[1:]), strict=False))
HEALTHY = WORLD.accounts[-1].id


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def struck(new_clock: Callable[[], FakeClock]) -> AsyncIterator[tuple[Simulator, Any]]:
    """One simulator in which every account has a fault of its own, and the way in."""
    scripted = [
        Fault(effect=effect, service="iam", action="GetAccountSummary", account=ACCOUNTS[name])
        for name, (effect, *_) in STRUCK.items()
    ]
    async with Simulator(WORLD, faults=scripted) as simulator:
        settings = load(
            environment={}, endpoint_url=simulator.endpoint_url, call_timeout_seconds=0.4
        )
        key, secret, _ = simulator.credentials
        async with Aws(settings, new_clock(), Credentials(key, secret, "")) as aws:

            async def enter(account_id: str) -> ServiceCalls:
                opened = aws.sts.call(
                    "AssumeRole",
                    "Credentials",
                    RoleArn=f"arn:aws:iam::{account_id}:role/{AUDIT_ROLE}",
                    RoleSessionName="orgscan",
                )
                keys = (await opened)["Credentials"]
                parts = [keys[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")]

                async def assume() -> Credentials:
                    return Credentials(*parts)

                return await aws.member_account(assume)

            yield simulator, enter


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", STRUCK)
async def test_a_broken_answer_is_told_for_what_it_is_after_so_many_tries(
    struck: tuple[Simulator, Any], name: str
) -> None:
    simulator, enter = struck
    _, kind, code, tries = STRUCK[name]
    iam = await enter(ACCOUNTS[name])
    before = iam.traffic.calls
    with pytest.raises(CallError) as caught:
        await iam.call("GetAccountSummary", "SummaryMap")
    error = caught.value
    assert (type(error), error.code) == (kind, code)
    assert (
        simulator.count(action="GetAccountSummary", target=ACCOUNTS[name])
        == tries
        == iam.traffic.calls - before
    )
    assert str(error).splitlines() == [str(error)]
    assert not any(secret in str(error) for secret in simulator.secrets)


@pytest.mark.asyncio(loop_scope="module")
async def test_none_of_it_keeps_a_slot_or_a_connection_from_the_others(
    struck: tuple[Simulator, Any],
) -> None:
    simulator, enter = struck
    silent, healthy = await enter(ACCOUNTS["silent"]), await enter(HEALTHY)
    calls = [silent.call("GetAccountSummary", "SummaryMap") for _ in range(205)]
    waiting = asyncio.gather(*calls, return_exceptions=True)
    answer = await healthy.call("GetAccountSummary", "SummaryMap")
    assert answer["SummaryMap"]["Users"] == 1
    assert {type(error) for error in await waiting} == {Unreachable}
    assert simulator.undeclared == []
