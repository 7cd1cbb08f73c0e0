from __future__ import annotations

import asyncio
import ssl
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from orgscan.aws import transport
from orgscan.aws.translate import translate
from orgscan.aws.transport import (
    BodyBudget,
    BodyTooLargeError,
    RedirectRefusedError,
    Transport,
    UnusableProxyError,
)
from orgscan.errors import CallerBroken, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from contextlib import AsyncExitStack
    from pathlib import Path


class Host:
    """Answers every request with the same bytes and keeps what it was sent."""

    def __init__(self, answer: bytes, *, endless: bytes = b"") -> None:
        self.received: list[bytes] = []
        self.sent = 0
        self.url = ""
        self._answer = answer
        self._endless = endless

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.received.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self._answer)
            await writer.drain()
            while self._endless:
                writer.write(self._endless)
                self.sent += len(self._endless)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@pytest.fixture
def serve(entered: AsyncExitStack) -> Callable[..., Awaitable[Host]]:
    async def start(answer: bytes, *, tls: ssl.SSLContext | None = None, **options: Any) -> Host:
        host = Host(answer, **options)
        server = await asyncio.start_server(host, "127.0.0.1", 0, ssl=tls)
        await entered.enter_async_context(server)
        scheme = "https" if tls else "http"
        host.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return host

    return start


@pytest.fixture
async def opened() -> AsyncIterator[Transport]:
    async with Transport(connections=2, connect_timeout=5.0, ca_bundle=None) as one:
        yield one


def request(url: str, **headers: str) -> Any:
    return SimpleNamespace(url=url, method="POST", headers=headers, body=b"Action=X")


def response(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode() + body


async def test_an_answer_is_read_whole(opened: Transport, serve: Any) -> None:
    host = await serve(response(b"<Answer/>", "418 Teapot", "X-Amzn-RequestId: 7"))
    answer = await opened.send(request(f"{host.url}/path?a=%2F", Authorization="AWS4 signed"))
    assert (answer.status_code, answer.body) == (418, b"<Answer/>")
    assert answer.headers["x-amzn-requestid"] == "7"


async def test_what_was_signed_is_what_is_sent(opened: Transport, serve: Any) -> None:
    host = await serve(response())
    headers = {"Authorization": "AWS4 signed", "X-Amz-Security-Token": "tökén"}
    await opened.send(request(f"{host.url}/a%2Fb?c=%20d", **headers))
    head = host.received[0]
    assert head.startswith(b"POST /a%2Fb?c=%20d HTTP/1.1\r\n")
    assert b"Authorization: AWS4 signed\r\n" in head
    assert "X-Amz-Security-Token: tökén\r\n".encode() in head
    assert b"Accept-Encoding: identity\r\n" in head
    assert b"User-Agent" not in head


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Temp", "308 Perm"])
async def test_no_redirect_is_followed_and_the_other_host_sees_nothing(
    opened: Transport, serve: Any, status: str
) -> None:
    other = await serve(response())
    host = await serve(response(b"", status, f"Location: {other.url}/"))
    with pytest.raises(RedirectRefusedError):
        await opened.send(request(host.url, Authorization="secret"))
    assert other.received == []


async def test_a_body_announced_as_too_large_is_not_read(opened: Transport, serve: Any) -> None:
    size = transport.MAX_BODY_BYTES + 1
    host = await serve(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
    with pytest.raises(BodyTooLargeError):
        await opened.send(request(host.url))


async def test_a_body_without_end_is_cut_off_at_the_cap(opened: Transport, serve: Any) -> None:
    piece = b"%x\r\n" % (1 << 20) + b" " * (1 << 20) + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    host = await serve(head, endless=piece)
    with pytest.raises(BodyTooLargeError):
        await opened.send(request(host.url))
    assert host.sent < transport.MAX_BODY_BYTES + (8 << 20)


async def test_no_cookie_is_kept(opened: Transport, serve: Any) -> None:
    host = await serve(response(b"", "200 OK", "Set-Cookie: track=1", "Connection: close"))
    for _ in range(2):
        await opened.send(request(host.url))
    assert b"ookie" not in host.received[1]


async def test_a_proxy_of_the_environment_is_used_unless_the_host_is_exempt(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy, host = await serve(response(b"proxied")), await serve(response(b"direct"))
    monkeypatch.setenv("http_proxy", proxy.url)
    async with Transport(connections=1, connect_timeout=5.0, ca_bundle=None) as through:
        answer = await through.send(request("http://iam.example/"))
        assert answer.body == b"proxied"
        # What needs no encryption because it stays on this machine does stay there.
        assert (await through.send(request(host.url))).body == b"direct"
    monkeypatch.setenv("no_proxy", "iam.example")
    async with Transport(connections=1, connect_timeout=5.0, ca_bundle=None) as past:
        with pytest.raises(aiohttp.ClientConnectionError):
            await past.send(request("http://iam.example/"))


@pytest.mark.parametrize(
    "proxy",
    ["http://a..b:80", "http://user:\u043f\u0430\u0440@127.0.0.1:1", "http://proxy.example:99999"],
    ids=["host", "password", "port"],
)
async def test_an_unusable_proxy_is_no_error_of_ours_and_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    async with Transport(connections=1, connect_timeout=5.0, ca_bundle=None) as through:
        with pytest.raises(UnusableProxyError) as caught:
            await through.send(request("http://iam.example/"))
    error = translate(caught.value, "iam:X", own_credentials=True)
    assert (type(error), error.code) == (Unreachable, "ConnectionError")
    assert "HTTPS_PROXY" in str(error)
    assert proxy.removeprefix("http://") not in str(error)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "self-signed.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
        "-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    files = ["-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    return context


async def test_a_certificate_nobody_vouches_for_is_refused_before_anything_is_sent(
    opened: Transport, serve: Any, tls: ssl.SSLContext
) -> None:
    host = await serve(response(), tls=tls)
    with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
        await opened.send(request(host.url, Authorization="secret"))
    assert host.received == []
    error = translate(caught.value, "iam:X", own_credentials=False)
    assert (type(error), error.code) == (CallerBroken, "CertificateNotTrusted")
    assert "the certificate of 127.0.0.1 is not trusted" in str(error)


async def test_a_bundle_of_ones_own_authorities_is_trusted(
    serve: Any, tls: ssl.SSLContext, certificate: Path
) -> None:
    host = await serve(response(b"hello"), tls=tls)
    bundle = f"{certificate}.crt"
    async with Transport(connections=1, connect_timeout=5.0, ca_bundle=bundle) as trusting:
        assert (await trusting.send(request(host.url))).body == b"hello"


async def test_outside_its_context_it_sends_nothing() -> None:
    closed = Transport(connections=1, connect_timeout=1.0, ca_bundle=None)
    with pytest.raises(RuntimeError):
        await closed.send(request("http://127.0.0.1:9"))


class TestSharedMemory:
    """The bodies of all services together."""

    async def test_a_body_waits_for_another_to_end_and_is_read_then(self) -> None:
        budget, order = BodyBudget(shared=10), list[str]()

        async def read(name: str, pieces: int) -> None:
            async with budget.share() as take:
                for _ in range(pieces):
                    await take(6)
                    await asyncio.sleep(0)
                order.append(name)

        await asyncio.wait_for(asyncio.gather(*(read(name, 3) for name in "abcdef")), 5)
        assert sorted(order) == list("abcdef")
        assert budget._left == 10

    async def test_no_more_than_the_share_and_one_body_is_held(self) -> None:
        budget, held, most = BodyBudget(shared=20), 0, 0

        async def read() -> None:
            nonlocal held, most
            async with budget.share() as take:
                mine = 0
                for _ in range(10):
                    await take(1)
                    held, mine = held + 1, mine + 1
                    most = max(most, held)
                    await asyncio.sleep(0)
                held -= mine

        await asyncio.wait_for(asyncio.gather(*(read() for _ in range(50))), 5)
        assert 20 < most <= 30

    async def test_a_single_body_larger_than_the_share_is_read(self, serve: Any) -> None:
        body = b"x" * 1_000_000
        host = await serve(response(body))
        async with Transport(
            connections=1, connect_timeout=5.0, ca_bundle=None, budget=BodyBudget(shared=1000)
        ) as one:
            assert (await one.send(request(host.url))).body == body

    async def test_two_services_share_it_and_a_body_that_fails_gives_its_part_back(
        self, serve: Any
    ) -> None:
        budget = BodyBudget(shared=200_000)
        body = b"x" * 300_000
        whole = await serve(response(body))
        cut = await serve(response(body)[:-1])
        options: Any = {
            "connections": 9,
            "connect_timeout": 5.0,
            "ca_bundle": None,
            "budget": budget,
        }
        async with (
            Transport(**options) as a,
            Transport(**options) as b,
        ):
            sent = [one.send(request(whole.url)) for one in (a, b) * 4]
            failing = [a.send(request(cut.url)) for _ in range(3)]
            done = await asyncio.wait_for(
                asyncio.gather(*sent, *failing, return_exceptions=True), 10
            )
        assert [answer.body == body for answer in done[:8]] == [True] * 8
        assert all(isinstance(error, aiohttp.ClientError) for error in done[8:])
        assert budget._left == 200_000
        assert not budget._turn.locked()
