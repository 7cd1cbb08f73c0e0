"""The simulated AWS endpoint: one URL for every service, every call recorded."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from orgscan.simulator import iam, organizations, sts
from orgscan.simulator.call import Call, Credentials, ServiceError, denied
from orgscan.simulator.cloud import Cloud, Session
from orgscan.simulator.draw import digest
from orgscan.simulator.faults import Faults
from orgscan.simulator.rates import Buckets
from orgscan.simulator.wire import Answer, Connection, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta
    from types import TracebackType

    from orgscan.simulator.faults import Effect, Fault
    from orgscan.simulator.rates import Rate
    from orgscan.simulator.world import World

_QUERY = {"iam": iam.ACTIONS, "sts": sts.ACTIONS}
_NAMESPACES = {
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
}
_TARGET_PREFIX = "AWSOrganizationsV20161128."
_JSON = "application/x-amz-json-1.1"
_SKEW_ALLOWED = 300.0
_NEEDS_NO_PERMISSION = {"sts:GetCallerIdentity", "sts:AssumeRole"}
_JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "InvalidClientTokenId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
    "MissingAuthenticationToken": "MissingAuthenticationTokenException",
}

DECLARED_ACTIONS: frozenset[str] = frozenset(
    {f"{service}:{action}" for service, actions in _QUERY.items() for action in actions}
    | {f"organizations:{action}" for action in organizations.ACTIONS}
)
"""All that is answered; anything else is refused and recorded as refused."""


class Simulator:
    """Serves a world on a loopback port of the running event loop.

    ``record=False`` keeps only a count per action, for load. ``latency`` is added to every answer;
    ``rates`` caps calls a second, as :data:`orgscan.simulator.rates.PUBLISHED` does. ``skew`` puts
    the service's clock ahead of the client's. ``clock`` gives seconds since the epoch and lets a
    test make hours pass. Sessions end and signatures are checked by it, because the client compares
    those with its own clock. ``Date`` begins at the world's ``now`` and advances with ``clock``, so
    that a report generated now is as old as its GeneratedTime says, whatever the calendar of this
    machine.
    """

    def __init__(
        self,
        world: World,
        *,
        faults: Iterable[Fault] = (),
        record: bool = True,
        latency: float = 0.0,
        rates: Mapping[str, Rate] | None = None,
        skew: timedelta | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare everything; the port is opened by ``async with``."""
        self.world = world
        self.cloud = Cloud(world, clock=clock, remember=record)
        self.calls: list[Call] = []
        self.undeclared: list[Call] = []
        """Calls of actions orgscan has not declared; recorded always."""
        self.endpoint_url = ""
        self.connections = 0
        """How many connections were opened so far."""
        self.latency = latency
        self._record = record
        self._port = port
        self._buckets = Buckets(rates, clock) if rates else None
        self._skew = skew.total_seconds() if skew else 0.0
        self._organizations = organizations.Organizations(self.cloud)
        scripted = (*world.faults, *faults)
        self._faults = Faults(scripted, clock) if scripted else None
        self._counts: Counter[tuple[str, str]] = Counter()
        self._index = 0
        self._identity = f"{digest(world.seed, world.name) & 0xFFFFFFFF:08x}-0000-4000-8000-"
        self._date = (0, b"")
        self._peers: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def credentials(self) -> Credentials:
        """What the first caller of the world signs with."""
        return self.cloud.callers[0].credentials

    @property
    def secrets(self) -> set[str]:
        """Every secret access key and session token minted so far: none may be seen anywhere."""
        return self.cloud.secrets

    def count(
        self,
        *,
        service: str | None = None,
        action: str | None = None,
        account: str | None = None,
        target: str | None = None,
    ) -> int:
        """How many calls matched; with ``record=False``, by service and action only."""
        if account is None and target is None:
            return sum(
                number
                for (of_service, of_action), number in self._counts.items()
                if service in {None, of_service} and action in {None, of_action}
            )
        if not self._record:
            raise LookupError("calls are not recorded: count by service and action only")
        return sum(
            service in {None, call.service}
            and action in {None, call.action}
            and account in {None, call.account}
            and target in {None, call.target}
            for call in self.calls
        )

    async def __aenter__(self) -> Self:
        """Open the port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", self._port)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint_url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the port and drop whoever is still connected."""
        if self._server is None:
            return
        self._server.close()
        while self._peers:
            for peer in tuple(self._peers):
                peer.abort()
            await asyncio.sleep(0)
        await self._server.wait_closed()
        self._server = None

    def handle(self, request: Request) -> tuple[Answer, bytes]:
        """Answer one request; the second part is what every answer's head ends with."""
        call = _parse(request)
        call.index = self._index
        self._index += 1
        call.request_id = f"{self._identity}{call.index:012x}"
        answer = self._answer(call, request)
        if self.latency:
            answer = replace(answer, delay=answer.delay + self.latency)
        call.status = 0 if answer.silent or (answer.reset and not answer.send) else answer.status
        self._counts[call.service, call.action] += 1
        if self._record:
            self.calls.append(call)
        if call.refused:
            self.undeclared.append(call)
        return answer, self._common(call)

    def _connect(self) -> Connection:
        self.connections += 1
        return Connection(self.handle, self._peers)

    def _common(self, call: Call) -> bytes:
        second = int(self.cloud.date + self._skew)
        if second != self._date[0]:
            self._date = (second, f"Date: {formatdate(second, usegmt=True)}\r\n\r\n".encode())
        return f"x-amzn-RequestId: {call.request_id}\r\n".encode() + self._date[1]

    def _answer(self, call: Call, request: Request) -> Answer:
        session = self._identify(call)
        asked = call.parameters
        effects = self._faults.striking(call) if self._faults else []
        answer = self._served(call, request, session, effects)
        call.parameters = asked
        for effect in effects:
            answer = effect.after(answer, call)
        return answer

    def _served(
        self,
        call: Call,
        request: Request,
        session: Session | None,
        effects: Iterable[Effect],
    ) -> Answer:
        try:
            for effect in effects:
                instead = effect.before(self.cloud, call)
                if instead is not None:
                    return instead if isinstance(instead, Answer) else _query(call, instead)
            return self._dispatch(call, self._admitted(call, request, session))
        except ServiceError as error:
            return _failure(call, error)

    def _identify(self, call: Call) -> Session | None:
        """Whose key signed the call; decides whose account it is about."""
        session = self.cloud.sessions.get(call.access_key_id)
        if session is not None:
            call.account = call.target = session.account_id
        if call.action == "AssumeRole":
            role = sts.parse_role_arn(call.parameters.get("RoleArn", ""))
            call.target = role.account_id if role else ""
        return session

    def _admitted(self, call: Call, request: Request, session: Session | None) -> Session:
        """The session, if the request may be looked at at all."""
        if not call.access_key_id:
            raise ServiceError(
                403, "MissingAuthenticationToken", "Request is missing Authentication Token"
            )
        token = request.headers.get("x-amz-security-token")
        if session is None or session.credentials.session_token != token:
            raise ServiceError(
                403,
                "InvalidClientTokenId",
                "The security token included in the request is invalid.",
            )
        if session.expires_at is not None and session.expires_at <= self.cloud.clock():
            raise ServiceError(
                403, "ExpiredToken", "The security token included in the request is expired"
            )
        if self._skew:
            self._check_clock(request)
        return session

    def _check_clock(self, request: Request) -> None:
        text = request.headers["x-amz-date"]
        sent = datetime.strptime(f"{text}+0000", "%Y%m%dT%H%M%SZ%z")
        here = self.cloud.clock() + self._skew
        difference = sent.timestamp() - here
        if abs(difference) > _SKEW_ALLOWED:
            moment = datetime.fromtimestamp(here, UTC).strftime("%Y%m%dT%H%M%SZ")
            verdict = "not yet current" if difference > 0 else "expired"
            raise ServiceError(
                403, "SignatureDoesNotMatch", f"Signature {verdict}: {text} against {moment}"
            )

    def _dispatch(self, call: Call, session: Session) -> Answer:
        name = call.name
        if name not in DECLARED_ACTIONS:
            call.refused = True
            raise denied(f"{name} is not among the actions orgscan declares.")
        if self._buckets:
            self._buckets.spend(call)
        if name not in _NEEDS_NO_PERMISSION:
            session.authorize(name)
        if call.service == "organizations":
            body = json.dumps(self._organizations.call(session, call)).encode()
            return Answer(body=body, content_type=_JSON)
        return _query(call, _QUERY[call.service][call.action](self.cloud, session, call))


def _parse(request: Request) -> Call:
    """The call a request makes, whatever the protocol."""
    key, service = _scope(request.headers.get("authorization", ""))
    target = request.headers.get("x-amz-target", "")
    parameters: dict[str, Any]
    if target.startswith(_TARGET_PREFIX):
        service, action = "organizations", target.removeprefix(_TARGET_PREFIX)
        parameters = _json_object(request.body)
    else:
        text = request.body.decode("ascii", "replace")
        parameters = dict(parse_qsl(text, keep_blank_values=True))
        action = parameters.pop("Action", "") or f"{request.method} {request.target}"
        parameters.pop("Version", None)
    return Call(0, service, action, "", "", key, parameters)


def _scope(authorization: str) -> tuple[str, str]:
    """The access key id and the service of a Signature Version 4 header."""
    _, credential, rest = authorization.partition("Credential=")
    parts = rest.partition(",")[0].split("/")
    return (parts[0], parts[3]) if credential and len(parts) > 3 else ("", "unknown")  # noqa: PLR2004


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parameters = json.loads(body or b"{}")
    except ValueError:
        return {}
    return parameters if isinstance(parameters, dict) else {}


def _query(call: Call, fragment: str) -> Answer:
    action = call.action
    namespace = _NAMESPACES.get(call.service, "")
    body = (
        f'<{action}Response xmlns="{namespace}"><{action}Result>{fragment}</{action}Result>'
        f"<ResponseMetadata><RequestId>{call.request_id}</RequestId></ResponseMetadata>"
        f"</{action}Response>"
    )
    return Answer(body=body.encode())


def _failure(call: Call, error: ServiceError) -> Answer:
    if call.service == "organizations":
        call.code = _JSON_CODES.get(error.code, error.code)
        body = json.dumps({"__type": call.code, "Message": error.message})
        status = 400 if error.status < 500 else error.status  # noqa: PLR2004 - client's or ours
        return Answer(status=status, body=body.encode(), content_type=_JSON)
    call.code = error.code
    kind = "Sender" if error.status < 500 else "Receiver"  # noqa: PLR2004 - client's or ours
    namespace = _NAMESPACES.get(call.service, "")
    body = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{kind}</Type>'
        f"<Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
        f"<RequestId>{call.request_id}</RequestId></ErrorResponse>"
    )
    return Answer(status=error.status, body=body.encode())
