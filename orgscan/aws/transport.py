"""How a signed request reaches AWS: pooled, never redirected, never larger than a cap.

aiobotocore's own HTTP session follows redirects and sends the session token along, and reads
bodies of any size. This one does neither.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from botocore.httpsession import where as default_ca_bundle
from yarl import URL

from orgscan.endpoint import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from types import TracebackType

MAX_BODY_BYTES = 64 * 1024 * 1024
"""The largest honest answer, a report of 5,000 users, has about 4 MB."""

MAX_SHARED_BYTES = 192 * 1024 * 1024
"""What all bodies being received may hold together; one more body of the cap may come on top."""

_UNCOUNTED_BYTES = 64 * 1024
"""Nearly every answer is smaller, and the connection pools bound how many there are."""

_FIRST_REDIRECT, _LAST_REDIRECT = 300, 399


@lru_cache(maxsize=4)
def _trust(ca_bundle: str) -> ssl.SSLContext:
    """The authorities in a file, read once: it takes 40 ms in which nothing else runs."""
    return ssl.create_default_context(cafile=ca_bundle)


class RedirectRefusedError(Exception):
    """AWS does not redirect these calls; following one would hand the session token over."""


class BodyTooLargeError(Exception):
    """The answer is larger than anything AWS sends."""


class UnusableProxyError(Exception):
    """The environment names a proxy that no connection can be made to."""


class Answer(NamedTuple):
    """A response read to its end; header names in lower case, as botocore's parsers ask."""

    status_code: int
    headers: dict[str, str]
    body: bytes


class Request(Protocol):
    """What there is to send, signed already."""

    @property
    def method(self) -> str:
        """The HTTP method."""
        ...

    @property
    def url(self) -> str:
        """Where to, with the path encoded."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers."""
        ...

    @property
    def body(self) -> bytes:
        """The body."""
        ...


class BodyBudget:
    """The memory that the bodies of all transports of a process share while they are received.

    A body takes its share as its bytes arrive. Where none is left it waits for its turn; the one
    whose turn it is is read to its end whatever it takes, so that bodies never wait for each
    other. At most ``shared`` bytes and one whole body are held at any time.
    """

    def __init__(self, shared: int = MAX_SHARED_BYTES) -> None:
        """``shared`` is the number of bytes bodies hold before they take turns."""
        self._left = shared
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def share(self) -> AsyncIterator[Callable[[int], Awaitable[None]]]:
        """Yield what to call with the number of bytes arrived before they are kept."""
        held, has_turn = 0, False

        async def take(size: int) -> None:
            nonlocal held, has_turn
            if has_turn:
                return
            if size <= self._left:
                self._left -= size
                held += size
            else:
                await self._turn.acquire()
                has_turn = True

        try:
            yield take
        finally:
            self._left += held
            if has_turn:
                self._turn.release()


class Transport:
    """One connection pool for one service's client. An async context manager."""

    def __init__(
        self,
        *,
        connections: int,
        connect_timeout: float,
        ca_bundle: str | None,
        budget: BodyBudget | None = None,
    ) -> None:
        """``connections`` bounds the pool; ``ca_bundle`` replaces the trusted authorities.

        ``budget`` is shared with other transports; without one this has its own.
        """
        self._budget = budget or BodyBudget()
        self._connections = connections
        self._connect_timeout = connect_timeout
        self._ca_bundle = ca_bundle
        self._http: aiohttp.ClientSession | None = None
        self._proxies: dict[tuple[str, str], str | None] = {}
        self.dated: tuple[str, datetime] | None = None
        """The Date of the latest answer, and when it was here by our clock."""

    async def __aenter__(self) -> Self:
        context = _trust(self._ca_bundle or default_ca_bundle())
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._connections, ssl=context, keepalive_timeout=30
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Content-Type", "User-Agent", "Accept"),
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def send(self, request: Request) -> Answer:
        """Send ``request`` and read the answer whole.

        Raises aiohttp's errors, :class:`RedirectRefusedError`, :class:`BodyTooLargeError` and
        :class:`UnusableProxyError`.
        """
        if self._http is None:
            raise RuntimeError("the transport is used outside its context")
        async with self._http.request(
            request.method,
            URL(request.url, encoded=True),
            headers={**request.headers, "Accept-Encoding": "identity"},
            data=request.body,
            allow_redirects=False,
            proxy=self._proxy_for(request.url),
        ) as response:
            if _FIRST_REDIRECT <= response.status <= _LAST_REDIRECT:
                raise RedirectRefusedError(response.headers.get("Location", "nowhere"))
            body = await _read(response, self._budget)
            if (date := response.headers.get("Date")) is not None:
                self.dated = date, datetime.now(UTC)
        lowered = {name.lower(): text for name, text in response.headers.items()}
        return Answer(response.status, lowered, body)

    def _proxy_for(self, url: str) -> str | None:
        """The proxy the environment names for this host, looked up once per host."""
        parts = urlsplit(url)
        host = (parts.scheme, parts.hostname or "")
        if host not in self._proxies:
            # What is sent to this machine needs no encryption only because it stays here.
            bypass = is_loopback(host[1]) or proxy_bypass(host[1])
            proxy = None if bypass else getproxies().get(parts.scheme)
            if proxy:
                _must_be_usable(proxy)
            self._proxies[host] = proxy
        return self._proxies[host]


def _must_be_usable(proxy: str) -> None:
    """Refuse what aiohttp would fail on with a bare UnicodeError or the like."""
    try:
        url = URL(proxy)
        (url.raw_host or "").encode("idna")
        f"{url.user}{url.password}".encode("latin-1")
    except ValueError:
        # Not the address: it may hold a password.
        raise UnusableProxyError(
            "the proxy's address is invalid; check HTTPS_PROXY: host, port and password"
        ) from None


async def _read(response: aiohttp.ClientResponse, budget: BodyBudget) -> bytes:
    announced = response.content_length
    if announced is not None:
        if announced > MAX_BODY_BYTES:
            raise BodyTooLargeError(announced)
        if announced <= _UNCOUNTED_BYTES:
            return await response.read()
    chunks: list[bytes] = []
    length = 0
    async with budget.share() as take:
        async for chunk in response.content.iter_any():
            length += len(chunk)
            if length > MAX_BODY_BYTES:
                raise BodyTooLargeError(length)
            if length > _UNCOUNTED_BYTES:
                await take(len(chunk))
            chunks.append(chunk)
        return b"".join(chunks)
