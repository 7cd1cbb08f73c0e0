"""One door per service and identity: paced, retried, bounded, translated."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from orgscan.aws.translate import FOREIGN, malformed, translate
from orgscan.errors import CallError, CredentialsExpired, Malformed, Throttled, Transient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractContextManager

    from orgscan.aws.pacing import Pace
    from orgscan.models import Clock

_LOG = logging.getLogger("orgscan.aws")

MAX_PAGES = 10_000
"""More than any list of the services in use can have; a guard against endless markers."""

MAX_ALIKE = 50
"""Equal pages in a row, empty ones included, that are taken for a list without an end."""

_TRANSIENT_TRIES = 6
_MALFORMED_TRIES = 3
_BY_TIME = 0
_THROTTLED_SECONDS = 180.0
"""How long one call keeps trying against throttling: it ends by itself, attempts do not help."""
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 10.0


@dataclass(frozen=True, slots=True)
class Paging:
    """How a service pages: the parameter to send, the member it comes back in."""

    token: str
    next_token: str
    truncated: str | None = None
    """A flag that every page has and that says whether more follows; without one, a token does."""


QUERY_PAGING = Paging("Marker", "Marker", "IsTruncated")
JSON_PAGING = Paging("NextToken", "NextToken")


@dataclass(slots=True)
class Traffic:
    """What was sent to one service."""

    calls: int = 0
    """Requests, retries included."""
    retries: int = 0
    throttles: int = 0


class Operation(Protocol):
    """One action of an SDK client."""

    def __call__(self, **parameters: Any) -> Awaitable[dict[str, Any]]:
        """Send one request."""
        ...


class ServiceCalls:
    """Implements :class:`orgscan.models.Calls` on one client and one identity."""

    def __init__(
        self,
        *,
        service: str,
        operation: Callable[[str], Operation],
        pace: Callable[[str], Pace],
        paging: Paging,
        slots: asyncio.Semaphore,
        timeout: float,
        clock: Clock,
        signed: Callable[[], AbstractContextManager[object]],
        renew: Callable[[object], Awaitable[None]] | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        """Take the collaborators.

        Args:
            service: The service's IAM prefix, as in ``iam``.
            operation: Finds the SDK's method for an action.
            pace: Finds the pace an action is charged to.
            paging: How the service pages.
            slots: Bounds requests in flight, so that no request waits for a connection while
                its deadline runs.
            timeout: Seconds one try may take, body included.
            clock: Time, sleep and jitter.
            signed: Enters the identity to sign with, and tells which it is.
            renew: Replaces that identity once it has expired; None where the caller signs.
            traffic: Counts the requests of all identities together.
        """
        self._service = service
        self._operation = operation
        self._pace = pace
        self._paging = paging
        self._slots = slots
        self._timeout = timeout
        self._clock = clock
        self._signed = signed
        self._renew = renew
        self.traffic = traffic or Traffic()

    async def call(self, action: str, result: str, /, **parameters: Any) -> dict[str, Any]:
        """See :meth:`orgscan.models.Calls.call`."""
        patience = _Patience(self._clock)
        while True:
            try:
                return await self._try(action, result, parameters, patience)
            except CredentialsExpired:
                if self._renew is None or patience.renewed:
                    raise
                patience.renewed = True
                await self._renew(patience.signer)
                self.traffic.retries += 1
            except (Transient, Malformed) as error:
                delay = patience.after(error)
                if delay is None:
                    raise
                _LOG.debug("%s: %s, retry in %.1f s", self._name(action), error.code, delay)
                await self._clock.sleep(delay)
                self.traffic.retries += 1

    async def pages(
        self, action: str, result: str, /, **parameters: Any
    ) -> AsyncIterator[list[Any]]:
        """See :meth:`orgscan.models.Calls.pages`.

        Bounded, and strict where SDK paginators are lenient. A marker leads to the next page,
        whatever the flag says. A repeated marker, a truncated page without one, a page that has
        neither flag nor marker, :data:`MAX_ALIKE` equal pages in a row and more than
        :data:`MAX_PAGES` pages are malformed, never a quiet end.
        """
        paging, seen = self._paging, set[str]()
        before, alike = None, 0
        for _ in range(MAX_PAGES):
            answer = await self.call(action, result, **parameters)
            alike = alike + 1 if answer[result] == before else 0
            before = answer[result]
            if alike >= MAX_ALIKE:
                raise malformed(self._name(action), f"the same page came {alike + 1} times")
            yield answer[result]
            token = self._next_token(action, answer)
            if not token:
                return
            if token in seen:
                raise malformed(self._name(action), "the same page marker came twice")
            seen.add(token)
            parameters[paging.token] = token
        raise malformed(self._name(action), f"no end after {MAX_PAGES} pages")

    def _next_token(self, action: str, answer: Mapping[str, Any]) -> str:
        """The marker of the next page; empty after the last one."""
        token = str(answer.get(self._paging.next_token) or "")
        flag = self._paging.truncated
        if token or flag is None:
            return token
        if flag not in answer:
            # Half of the page may be lost, the marker with it.
            raise malformed(self._name(action), f"the page has neither {flag} nor a marker")
        if answer[flag]:
            raise malformed(self._name(action), "more pages announced, but no marker to them")
        return ""

    async def _try(
        self, action: str, result: str, parameters: Mapping[str, Any], patience: _Patience
    ) -> dict[str, Any]:
        pace, send = self._pace(action), self._operation(action)
        await pace.acquire()
        async with self._slots:
            self.traffic.calls += 1
            try:
                with self._signed() as patience.signer:
                    async with asyncio.timeout(self._timeout):
                        answer = await send(**parameters)
            except FOREIGN as error:
                ours = translate(error, self._name(action), own_credentials=self._renew is None)
                if isinstance(ours, Throttled):
                    self.traffic.throttles += 1
                    pace.slow_down()
                raise ours from error
        pace.speed_up()
        if result not in answer:
            raise malformed(self._name(action), f"the answer has no {result}")
        return answer

    def _name(self, action: str) -> str:
        return f"{self._service}:{action}"


class _Patience:
    """How often one call is tried again, and after how long."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._tries: Counter[int] = Counter()
        """Failures by the number of tries their kind is worth."""
        self.renewed = False
        self.signer: object = None
        """Who signed the last try."""

    def after(self, error: CallError) -> float | None:
        """Seconds to wait before the next try; None when patience is at its end.

        Kinds of failure are counted apart: a reset after much throttling is the first reset.
        """
        worth = _worth(error)
        self._tries[worth] += 1
        if worth == _BY_TIME:
            if self._clock.monotonic() - self._began > _THROTTLED_SECONDS:
                return None
        elif self._tries[worth] >= worth:
            return None
        ceiling = min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(self._tries.total(), 10))
        # Never nothing at all, or a fast refusal becomes a storm.
        return ceiling * (0.2 + 0.8 * self._clock.jitter())


def _worth(error: CallError) -> int:
    """How many tries an error is worth."""
    if isinstance(error, Throttled):
        return _BY_TIME
    if isinstance(error, Malformed):
        return _MALFORMED_TRIES if error.code == "MalformedAnswer" else 1
    return _MALFORMED_TRIES if error.code == "Timeout" else _TRANSIENT_TRIES
