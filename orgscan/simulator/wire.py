"""HTTP/1.1 by hand: just enough for an AWS client, and every way to break it.

A general server would be slower than the program under test; this one parses a request head
with one ``split`` and writes an answer with one ``write``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST_REQUEST = 1 << 20
_CHUNK = b" " * (1 << 16)
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class Request(NamedTuple):
    """One request; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True, frozen=True, kw_only=True)
class Answer:
    """What is sent back, and how it goes wrong on the way."""

    status: int = 200
    body: bytes = b""
    content_type: str = "text/xml"
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0
    """Seconds before the first byte."""
    drip: float = 0.0
    """Seconds between single bytes; 0: all at once."""
    send: float = 1.0
    """The part of the body that is sent before the connection is closed."""
    reset: bool = False
    """Reset rather than close; with ``send`` 0, not even the head is sent."""
    silent: bool = False
    """Never answer and keep the connection open."""
    padding: int = 0
    """Spaces streamed after the body, never held in memory."""

    @property
    def is_plain(self) -> bool:
        """Whether it can go out in one write."""
        return not (
            self.delay or self.drip or self.reset or self.silent or self.padding or self.send < 1.0
        )


class Connection(asyncio.Protocol):
    """One keep-alive connection of a client."""

    def __init__(
        self, handle: Callable[[Request], tuple[Answer, bytes]], peers: set[Connection]
    ) -> None:
        """``handle`` gives the answer and the header lines common to all answers."""
        self._handle = handle
        self._peers = peers
        self._buffer = b""
        self._transport: asyncio.Transport
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._paused = False
        self._padding = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; small answers must not wait for the client's acknowledgement."""
        self._transport = cast("asyncio.Transport", transport)
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget the connection and whatever was still to be sent."""
        self._peers.discard(self)
        if self._timer:
            self._timer.cancel()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Collect bytes until a request is whole, then answer it."""
        self._buffer += data
        while not self._busy:
            request = self._take()
            if request is None:
                return
            answer, common = self._handle(request)
            self._send(answer, common)

    def pause_writing(self) -> None:
        """Stop streaming padding while the client does not read."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on streaming padding."""
        self._paused = False
        self._pump()

    def _take(self) -> Request | None:
        """The next whole request in the buffer, if there is one."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LARGEST_REQUEST:
                self.abort()
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "0")
        end += 4
        if not length.isdecimal() or int(length) > _LARGEST_REQUEST:
            self.abort()
            return None
        stop = end + int(length)
        if len(self._buffer) < stop:
            return None
        body, self._buffer = self._buffer[end:stop], self._buffer[stop:]
        method, _, rest = first.partition(" ")
        return Request(method, rest.partition(" ")[0], headers, body)

    def _send(self, answer: Answer, common: bytes) -> None:
        head = _head(answer, common)
        if answer.is_plain:
            self._transport.write(head + answer.body)
            return
        self._busy = True
        if answer.silent:
            return
        if answer.delay:
            self._later(answer.delay, self._break, answer, head)
        else:
            self._break(answer, head)

    def _break(self, answer: Answer, head: bytes) -> None:
        """Send what cannot go out in one write."""
        if answer.reset and not answer.send:
            self._reset()
        elif answer.drip:
            self._drip(head + answer.body, 0, answer.drip)
        elif answer.padding:
            self._transport.write(head + answer.body)
            self._padding = answer.padding
            self._pump()
        elif answer.reset or answer.send < 1.0:
            self._transport.write(head + answer.body[: int(len(answer.body) * answer.send)])
            self._later(0.0, self._reset if answer.reset else self._transport.close)
        else:
            self._transport.write(head + answer.body)
            self._next()

    def _next(self) -> None:
        self._busy = False
        self.data_received(b"")

    def _later(self, delay: float, step: Callable[..., None], *arguments: object) -> None:
        self._timer = asyncio.get_running_loop().call_later(delay, step, *arguments)

    def _drip(self, data: bytes, position: int, pause: float) -> None:
        self._transport.write(data[position : position + 1])
        if position + 1 < len(data):
            self._later(pause, self._drip, data, position + 1, pause)
        else:
            self._next()

    def _pump(self) -> None:
        while self._padding and not self._paused and not self._transport.is_closing():
            size = min(self._padding, len(_CHUNK))
            self._padding -= size
            self._transport.write(_CHUNK[:size])
            if not self._padding:
                self._next()

    def _reset(self) -> None:
        """Close with RST instead of FIN, as a failing load balancer does."""
        peer = self._transport.get_extra_info("socket")
        if peer is not None:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


def _head(answer: Answer, common: bytes) -> bytes:
    extra = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
    return (
        f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Unknown')}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body) + answer.padding}\r\n{extra}"
    ).encode("latin-1") + common
