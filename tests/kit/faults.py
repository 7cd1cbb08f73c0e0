"""Effects that only tests need: answers damaged, delayed, lost or contradicting each other."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from orgscan.models import ROOT_USER
from orgscan.simulator.call import ServiceError
from orgscan.simulator.faults import Effect, Error, Fault, Per
from orgscan.simulator.query import read_marker, stamp
from orgscan.simulator.wire import Answer
from tests.kit.elements import Mutation, mutate, parse_path, without_members

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from orgscan.simulator.call import Call
    from orgscan.simulator.faults import State

_HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body>Oops</body></html>"
_CONTENT = re.compile(rb"<Content>(.*?)</Content>", re.DOTALL)
_PAGING = re.compile(rb"<IsTruncated>\w+</IsTruncated>(?:<Marker>[^<]*</Marker>)?")
_LISTS = re.compile(
    rb"<(Users|AccessKeyMetadata|VirtualMFADevices|MFADevices|Certificates|SSHPublicKeys"
    rb"|ServiceSpecificCredentials)>.*</\1>",
    re.DOTALL,
)
_MARKER = re.compile(rb"<Marker>([^<]*)</Marker>")
_ENDED = b"<IsTruncated>false</IsTruncated>"
_GENERATED = re.compile(rb"(?<=<GeneratedTime>)[^<]+")
_OK = 200


@dataclass(frozen=True)
class Reply(Effect):
    """A fixed answer, whatever was asked."""

    answer: Answer

    def before(self, _cloud: State, _call: Call, /) -> str | Answer | None:
        """Give it."""
        return self.answer


@dataclass(frozen=True)
class Result(Effect):
    """A fixed result in the service's envelope."""

    fragment: str

    def before(self, _cloud: State, _call: Call, /) -> str | Answer | None:
        """Give it."""
        return self.fragment


@dataclass(frozen=True)
class Delivery(Effect):
    """The right answer, delivered badly; see :class:`~orgscan.simulator.wire.Answer`."""

    delay: float = 0.0
    drip: float = 0.0
    send: float = 1.0
    reset: bool = False
    silent: bool = False
    padding: int = 0

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Mark the answer."""
        return replace(
            answer,
            delay=answer.delay + self.delay,
            drip=self.drip,
            send=self.send,
            reset=self.reset,
            silent=self.silent,
            padding=self.padding,
        )


@dataclass(frozen=True)
class Edit(Effect):
    """The body of a successful answer, changed."""

    edit: Callable[[bytes], bytes]

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Change it."""
        return replace(answer, body=self.edit(answer.body)) if answer.status == _OK else answer


@dataclass(frozen=True)
class EditReport(Effect):
    """The credential report inside GetCredentialReport's answer, changed."""

    edit: Callable[[bytes], bytes]

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Unwrap, change, wrap."""
        return replace(answer, body=_CONTENT.sub(self._content, answer.body))

    def _content(self, match: re.Match[bytes]) -> bytes:
        return b"<Content>" + b64encode(self.edit(b64decode(match[1]))) + b"</Content>"


@dataclass(frozen=True)
class OtherAccount(Effect):
    """The answer speaks of another account: of AssumeRole's ARN, or of a report's ARNs."""

    account_id: str

    def after(self, answer: Answer, call: Call, /) -> Answer:
        """Swap the id; inside a report, behind its wrapping."""
        old, new = call.target.encode(), self.account_id.encode()
        if call.action == "GetCredentialReport":
            return EditReport(lambda text: text.replace(old, new)).after(answer, call)
        return replace(answer, body=answer.body.replace(b"::" + old, b"::" + new))


@dataclass(frozen=True)
class Markers(Effect):
    """Every page is the first one and promises another.

    ``markers`` follow each other in a circle: ``("A",)`` or ``("A", "B")``. One that ends in
    ``#`` is counted up without end. None at all: truncated, and no marker to go on with.
    """

    markers: tuple[str, ...] = ()
    empty: bool = False

    def before(self, _cloud: State, call: Call, /) -> str | Answer | None:
        """Ask for the first page, whatever the marker."""
        call.parameters = _without_marker(call.parameters)
        return None

    def after(self, answer: Answer, call: Call, /) -> Answer:
        """Promise another page."""
        current = call.parameters.get("Marker") or call.parameters.get("NextToken")
        return _promise(answer, self._following(current), empty=self.empty)

    def _following(self, current: str | None) -> str | None:
        if not self.markers:
            return None
        if self.markers[0].endswith("#"):
            return self.markers[0] + str(int(current.rpartition("#")[2]) + 1 if current else 1)
        if current not in self.markers:
            return self.markers[0]
        return self.markers[(self.markers.index(current) + 1) % len(self.markers)]


@dataclass(frozen=True)
class Detour(Effect):
    """An extra page in front of the first: a copy of it, or an empty one; then all goes well."""

    empty: bool = False
    marker: str = "detour"

    def before(self, _cloud: State, call: Call, /) -> str | Answer | None:
        """The detour's own marker means the first page."""
        if self.marker in {call.parameters.get("Marker"), call.parameters.get("NextToken")}:
            call.parameters = _without_marker(call.parameters)
        return None

    def after(self, answer: Answer, call: Call, /) -> Answer:
        """Send the first caller round."""
        if "Marker" in call.parameters or "NextToken" in call.parameters:
            return answer
        return _promise(answer, self.marker, empty=self.empty)


@dataclass(frozen=True)
class MutateElement(Effect):
    """One element of an XML answer dropped, emptied or halved.

    ``path`` is one of :func:`~tests.kit.elements.element_paths`. An answer without such
    an element stays as it is.
    """

    path: str
    how: Mutation

    def __post_init__(self) -> None:
        """Raise :class:`ValueError` for a path that cannot be read, before anything is served."""
        parse_path(self.path)

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Change it."""
        if not _is_xml(answer):
            return answer
        return replace(answer, body=mutate(answer.body, self.path, self.how))


@dataclass(frozen=True)
class HideMember(Effect):
    """A list of IAM lacks the members with this name or id."""

    text: str

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Leave them out."""
        if not _is_xml(answer):
            return answer
        return replace(answer, body=without_members(answer.body, self.text))


@dataclass(frozen=True)
class DeleteUser(Effect):
    """The user is deleted when the call arrives."""

    user: str

    def before(self, cloud: State, call: Call, /) -> str | Answer | None:
        """Delete it, then let the call pass."""
        cloud.delete_user(call.account, self.user)
        return None


class DropLastPage(Effect):
    """A list of IAM ends one page early: the last page but one says that none follows."""

    def after(self, answer: Answer, call: Call, /) -> Answer:
        """End the list where one page is left."""
        match = _MARKER.search(answer.body) if _is_xml(answer) else None
        if match is None:
            return answer
        place, total = read_marker(match[1].decode())
        before = call.parameters.get("Marker")
        size = place - (read_marker(before)[0] if before else 0)
        if total - place > size:
            return answer
        return replace(answer, body=_PAGING.sub(_ENDED, answer.body))


class EmptyList(Effect):
    """A list is empty and ends, in either protocol."""

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Empty it."""
        if answer.status != _OK:
            return answer
        if _is_xml(answer):
            body = _PAGING.sub(_ENDED, _LISTS.sub(rb"<\1></\1>", answer.body))
            return replace(answer, body=body)
        content: dict[str, list[Any]] = {
            name: [] for name, value in json.loads(answer.body).items() if isinstance(value, list)
        }
        return replace(answer, body=json.dumps(content).encode())


@dataclass(frozen=True)
class EditPaging(Effect):
    """The elements that say whether another page follows, written otherwise.

    ``truncated`` None: IsTruncated is missing. Without ``marker`` the Marker is missing, too;
    with it only pages that have a Marker are changed.
    """

    truncated: bool | None
    marker: bool

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Write them."""
        if not _is_xml(answer):
            return answer
        marker = _MARKER.search(answer.body)
        if self.marker and marker is None:
            return answer
        flag = b""
        if self.truncated is not None:
            flag = b"<IsTruncated>%s</IsTruncated>" % (b"true" if self.truncated else b"false")
        paging = flag + (marker[0] if marker and self.marker else b"")
        return replace(answer, body=_PAGING.sub(paging, answer.body))


class UnknownUser(Effect):
    """A user that exists is not known: NoSuchEntity for any call that names it."""

    def before(self, _cloud: State, call: Call, /) -> str | Answer | None:
        """Raise it; calls that name no user pass."""
        name = call.parameters.get("UserName")
        if name is None:
            return None
        raise ServiceError(404, "NoSuchEntity", f"The user with name {name} cannot be found.")


@dataclass(frozen=True)
class ShiftReport(Effect):
    """The report is older than it is, or with a negative age from the future."""

    age: timedelta

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Shift GeneratedTime; the report's content stays."""
        return replace(answer, body=_GENERATED.sub(self._shifted, answer.body))

    def _shifted(self, match: re.Match[bytes]) -> bytes:
        return stamp(datetime.fromisoformat(match[0].decode()) - self.age).encode()


@dataclass(frozen=True)
class ListedState(Effect):
    """A list of Organizations gives one account another state."""

    account_id: str
    state: str

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Change the field, or both, that carries it."""
        return _edit_accounts(answer, self._changed)

    def _changed(self, account: dict[str, Any]) -> dict[str, Any] | None:
        if account["Id"] != self.account_id:
            return account
        return account | dict.fromkeys({"State", "Status"} & account.keys(), self.state)


@dataclass(frozen=True)
class HideAccount(Effect):
    """A list of Organizations lacks one account."""

    account_id: str

    def after(self, answer: Answer, _call: Call, /) -> Answer:
        """Leave it out."""
        return _edit_accounts(answer, self._kept)

    def _kept(self, account: dict[str, Any]) -> dict[str, Any] | None:
        return None if account["Id"] == self.account_id else account


@dataclass(frozen=True)
class SetState(Effect):
    """The account's state changes when the call arrives."""

    account_id: str
    state: str

    def before(self, cloud: State, _call: Call, /) -> str | Answer | None:
        """Change it, then let the call pass."""
        cloud.states[self.account_id] = self.state
        return None


class LoseReport(Effect):
    """The stored credential report is gone when the call arrives."""

    def before(self, cloud: State, call: Call, /) -> str | Answer | None:
        """Drop it, then let the call pass."""
        cloud.forget_report(call.account)
        return None


class ExpireSessions(Effect):
    """Every session of the call's account has ended when the call arrives."""

    def before(self, cloud: State, call: Call, /) -> str | Answer | None:
        """End them; the call itself fails as AWS would have it fail."""
        cloud.expire_sessions(call.account)
        raise ServiceError(
            403, "ExpiredToken", "The security token included in the request is expired"
        )


class ExpireCallers(Effect):
    """The callers' own credentials have ended when the call arrives, and stay so."""

    def before(self, cloud: State, _call: Call, /) -> str | Answer | None:
        """End them; the call itself fails as AWS would have it fail."""
        cloud.expire_callers()
        raise ServiceError(
            403, "ExpiredToken", "The security token included in the request is expired"
        )


def _without_marker(parameters: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value for name, value in parameters.items() if name not in {"Marker", "NextToken"}
    }


def _is_xml(answer: Answer) -> bool:
    return answer.status == _OK and answer.content_type == "text/xml"


def _edit_accounts(
    answer: Answer, edit: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> Answer:
    """A list of accounts with each of them edited; None leaves it out."""
    if answer.status != _OK or answer.content_type == "text/xml":
        return answer
    content = json.loads(answer.body)
    if "Accounts" not in content:
        return answer
    edited = map(edit, content["Accounts"])
    content["Accounts"] = [account for account in edited if account is not None]
    return replace(answer, body=json.dumps(content).encode())


def _promise(answer: Answer, marker: str | None, *, empty: bool) -> Answer:
    """The answer with another page promised, in either protocol."""
    if answer.status != _OK:
        return answer
    if answer.content_type == "text/xml":
        paging = b"<IsTruncated>true</IsTruncated>"
        if marker is not None:
            paging += b"<Marker>" + marker.encode() + b"</Marker>"
        body = _PAGING.sub(paging, answer.body)
        return replace(answer, body=_LISTS.sub(rb"<\1></\1>", body) if empty else body)
    content = json.loads(answer.body)
    if empty:
        content = {name: [] for name, value in content.items() if isinstance(value, list)}
    content["NextToken"] = marker
    return replace(answer, body=json.dumps(content).encode())


THROTTLING = Error("Throttling", 400, "Rate exceeded")
TOO_MANY_REQUESTS = Error("TooManyRequestsException", 400, "Too many requests")
SERVICE_FAILURE = Error("ServiceFailure", 500, "Unable to process request at this time")
LIMIT_EXCEEDED = Error(
    "LimitExceeded", 409, "There is no more capacity to launch new report generation tasks"
)
EXPIRED_TOKEN = Error("ExpiredToken", 403, "The security token included in the request is expired")
SIGNATURE_EXPIRED = Error(
    "SignatureDoesNotMatch",
    403,
    "Signature expired: 20260101T000000Z is now earlier than 20260101T000500Z",
)
REQUEST_EXPIRED = Error("RequestExpired", 400, "Request has expired.")
INVALID_SIGNATURE = Error(
    "InvalidSignatureException",
    403,
    "Signature not yet current: 20260101T001000Z is still later than 20260101T000500Z",
)
DENIED_AT_LENGTH = Error(
    "AccessDenied",
    403,
    "User is not authorized to perform this action with an explicit deny in a service control "
    "policy. "
    + "The policy that denies it was evaluated among many others. "
    * 20
    + "See https://console.aws.amazon.com/iam/home#/authorization?id=7b1c5f2e for more. "
    "Authorization ID: 7b1c5f2e-9d0a-4c7b-8f6e-0123456789ab",
)
RESET = Delivery(send=0.0, reset=True)
RESET_WITHIN = Delivery(send=0.5, reset=True)
CUT = Delivery(send=0.5)
DRIP = Delivery(drip=0.5)
SILENCE = Delivery(silent=True)
EMPTY = Reply(Answer())
HTML = Reply(Answer(body=_HTML, content_type="text/html"))
BINARY = Reply(Answer(body=bytes(range(256)) * 4, content_type="application/octet-stream"))
TRUNCATED_XML = Edit(lambda body: body[: len(body) // 2])
BAD_BASE64 = Edit(lambda body: _CONTENT.sub(b"<Content>%%%% ? %%%%</Content>", body))
NEVER_READY = Result("<State>INPROGRESS</State>")
REPORT_IN_PROGRESS = Error("ReportInProgress", 404, "Report generation is in progress")
REPORT_NOT_PRESENT = Error("ReportNotPresent", 410, "No report present.")
REPORT_EXPIRED = Error("ReportExpired", 410, "Report is expired.")
NO_SUCH_ENTITY = Error("NoSuchEntity", 404, "The user cannot be found.")
DEVICE_WITHOUT_USER = MutateElement(
    "ListVirtualMFADevicesResult/VirtualMFADevices/member/User", Mutation.DROPPED
)
"""The first virtual MFA device of the list, root's if it has one, says nothing of its user."""
HUGE = Delivery(padding=200 << 20)


def lagging(calls: int, *, user: str = "", account: str = "") -> Fault:
    """Users that exist are not known to the first ``calls`` calls about each of them.

    Without ``user`` every user lags. This is how IAM's eventual consistency shows.
    """
    return Fault(
        effect=UnknownUser(),
        service="iam",
        account=account,
        user=user,
        times=calls,
        per=Per.USER,
    )


def bad_gateway(status: int = 502) -> Reply:
    """What a load balancer says where there is no service: HTML."""
    return Reply(Answer(status=status, body=_HTML, content_type="text/html"))


def redirect(location: str, status: int = 307) -> Reply:
    """Send the client to another host, which must never see a credential."""
    return Reply(Answer(status=status, headers=(("Location", location),)))


@cache
def gzip_bomb(size: int = 200 << 20) -> Reply:
    """``size`` spaces in a body a thousandth as long."""
    body = gzip.compress(b" " * size, compresslevel=9, mtime=0)
    return Reply(Answer(body=body, headers=(("Content-Encoding", "gzip"),)))


def _lines(edit: Callable[[list[bytes]], list[bytes]]) -> EditReport:
    return EditReport(lambda text: b"\n".join(edit(text.split(b"\n"))))


def _cells(edit: Callable[[list[bytes]], list[bytes]]) -> EditReport:
    return _lines(lambda lines: [b",".join(edit(line.split(b","))) for line in lines])


REPORT_EDITS: dict[str, Effect] = {
    "cut": EditReport(lambda text: text[: len(text) * 7 // 10]),
    "empty": EditReport(lambda _text: b""),
    "byte-order-mark": EditReport(lambda text: b"\xef\xbb\xbf" + text),
    "carriage-returns": EditReport(lambda text: text.replace(b"\n", b"\r\n")),
    "not-text": EditReport(lambda text: text.replace(b"arn", b"\xff\xfe")),
    "cut-between-rows": _lines(lambda lines: lines[:-1]),
    "header-only": _lines(lambda lines: lines[:1]),
    "no-root": _lines(
        lambda lines: [line for line in lines if not line.startswith(ROOT_USER.encode())]
    ),
    "missing-column": _cells(lambda cells: cells[:7] + cells[8:]),
    "extra-column": _cells(lambda cells: [*cells, b"extra_column"]),
    "reordered-columns": _cells(lambda cells: cells[::-1]),
    "duplicate-user": _lines(lambda lines: [*lines, lines[-1]]),
    "short-row": _lines(lambda lines: [*lines[:-1], lines[-1].rpartition(b",")[0]]),
    "long-row": _lines(lambda lines: [*lines[:-1], lines[-1] + b",surplus"]),
    "quoted-newline": _lines(lambda lines: [*lines, lines[-1].replace(b",", b'-2,"a\nb",', 1)]),
    "bad-base64": BAD_BASE64,
}
"""Ways a credential report can be damaged, by name."""

PAGE_EDITS: dict[str, Effect] = {
    "same-marker": Markers(("A",)),
    "marker-circle": Markers(("A", "B")),
    "endless": Markers(("M#",)),
    "no-marker": Markers(),
    "duplicate-page": Detour(),
    "empty-page": Detour(empty=True),
    "empty-for-ever": Markers(("M#",), empty=True),
}
"""Ways paging can go wrong, by name; the last but one is legal."""

PAGING_EDITS: dict[str, Effect] = {
    "marker-not-truncated": EditPaging(truncated=False, marker=True),
    "marker-without-flag": EditPaging(truncated=None, marker=True),
    "neither": EditPaging(truncated=None, marker=False),
}
"""Ways the paging elements of IAM's lists can contradict each other or be missing, by name."""

TRANSIENT: dict[str, Effect] = {
    "throttling": THROTTLING,
    "service-failure": SERVICE_FAILURE,
    "bad-gateway": bad_gateway(502),
    "unavailable": bad_gateway(503),
    "gateway-timeout": bad_gateway(504),
    "reset": RESET,
    "reset-within": RESET_WITHIN,
    "cut": CUT,
}
"""Effects that a single repetition overcomes, by name."""

MALFORMED: dict[str, Effect] = {
    "empty": EMPTY,
    "html": HTML,
    "binary": BINARY,
    "truncated-xml": TRUNCATED_XML,
    "no-result": Result(""),
}
"""Answers of status 200 that are none, by name."""
