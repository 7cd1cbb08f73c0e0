"""IAM of one account as a dictionary of answers."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors import AccountBudget
from orgscan.errors import Absent, CallError, Refused
from orgscan.models import ROOT_USER
from orgscan.report import COLUMNS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

LIMITS = AccountBudget(report_seconds=300, account_seconds=20, calls_per_second=20)
NOW = datetime(2026, 11, 3, 12, 0, 0, tzinfo=UTC)
"""When the report was generated and sent; users and keys are this old unless they say otherwise."""
LATER = NOW + timedelta(minutes=10)
ACCOUNT = "012345678901"


class Iam:
    """IAM as a dictionary: an answer, an exception or something to call, by action.

    The report and the account summary agree with the users listed unless a test gives others.
    """

    def __init__(self, **answers: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        people = [*_people(answers.get("ListUsers"))]
        self._answers = {
            "GenerateCredentialReport": {"State": "COMPLETE"},
            "GetCredentialReport": sent(report(*(row(one) for one in people))),
            "ListUsers": [],
            "ListAccessKeys": [],
            "GetAccountSummary": summary(len({one["UserName"] for one in people})),
            "GetAccountPasswordPolicy": {"PasswordPolicy": {"MinimumPasswordLength": 14}},
            "ListVirtualMFADevices": [],
            "GetAccessKeyLastUsed": {"AccessKeyLastUsed": NEVER_USED},
            "GetLoginProfile": NO_PROFILE,
            "ListMFADevices": [],
            "ListSigningCertificates": [],
            "ListServiceSpecificCredentials": [],
            "ListSSHPublicKeys": [],
            **answers,
        }

    async def _answer(self, action: str, parameters: dict[str, Any]) -> Any:
        self.asked.append((action, parameters))
        answer = self._answers[action]
        if callable(answer):
            answer = await answer(**parameters)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def call(self, action: str, _result: str, /, **parameters: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await self._answer(action, parameters)
        return answer

    async def pages(self, action: str, _result: str, /, **parameters: Any) -> AsyncIterator[Any]:
        items = await self._answer(action, parameters)
        for page in items if items and isinstance(items[0], list) else [items]:
            yield page

    def count(self, action: str, **parameters: Any) -> int:
        """How often an action was called, with these parameters among others."""
        return sum(
            asked == action and given.items() >= parameters.items() for asked, given in self.asked
        )

    def about(self, action: str, parameter: str = "UserName") -> list[Any]:
        """What an action was asked about, in the order of asking."""
        return [given[parameter] for asked, given in self.asked if asked == action]


NEVER_USED = {"Region": "N/A", "ServiceName": "N/A"}


def _people(listed: Any) -> Iterator[dict[str, Any]]:
    for item in listed if isinstance(listed, list) else ():
        if isinstance(item, list):
            yield from _people(item)
        elif item.get("UserName") and isinstance(item.get("CreateDate"), datetime):
            yield item


class InTurn:
    """Gives its answers one after the other; the last for ever."""

    def __init__(self, *answers: Any) -> None:
        self._answers = [*answers]

    async def __call__(self, **_parameters: Any) -> Any:
        await asyncio.sleep(0)
        first = self._answers[0]
        if len(self._answers) > 1:
            self._answers.pop(0)
        return first


class ByUser:
    """Answers by the user (or the key) asked about; each may be :class:`InTurn` or an error."""

    def __init__(self, answers: dict[str, Any], default: Any = ()) -> None:
        self._answers = answers
        self._default = default

    async def __call__(
        self,
        UserName: str = "",  # noqa: N803
        AccessKeyId: str = "",  # noqa: N803
        MaxItems: int = 0,  # noqa: ARG002, N803
    ) -> Any:
        answer = self._answers.get(UserName or AccessKeyId, self._default)
        return await answer() if isinstance(answer, InTurn) else answer


def user(name: str, created: datetime = NOW, number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "UserName": name,
        "UserId": f"AIDA{name.upper():X<16.16}{number}",
        "Arn": f"arn:aws:iam::{ACCOUNT}:user/{name}",
        "CreateDate": created,
        **more,
    }


def key_id(name: str) -> str:
    """The id of a key, of the length that ids have."""
    return f"AKIA{name:0>16}"


def key(name: str, created: datetime = NOW, **more: Any) -> dict[str, Any]:
    return {"AccessKeyId": key_id(name), "Status": "Active", "CreateDate": created, **more}


def summary(users: int, **more: int) -> dict[str, Any]:
    counts = {"Users": users, "AccountMFAEnabled": 0, "AccountAccessKeysPresent": 0}
    return {"SummaryMap": counts | more}


def row(user: dict[str, Any], *keys: dict[str, Any], **cells: str) -> dict[str, str]:
    """The report row of a user; it has neither password nor certificate unless cells say so."""
    values = _row(user["UserName"], user["Arn"], user["CreateDate"])
    for slot, one in enumerate(keys, start=1):
        values[f"access_key_{slot}_active"] = str(one["Status"] == "Active").lower()
        values[f"access_key_{slot}_last_rotated"] = one["CreateDate"].isoformat()
    return values | cells


def root(**cells: str) -> dict[str, str]:
    return _row(ROOT_USER, f"arn:aws:iam::{ACCOUNT}:root", NOW) | cells


def _row(name: str, arn: str, created: datetime) -> dict[str, str]:
    values = {
        column: "false" if column.endswith(("_active", "_enabled")) else "N/A" for column in COLUMNS
    }
    return values | {"user": name, "arn": arn, "user_creation_time": created.isoformat()}


def report(*rows: dict[str, str], first: dict[str, str] | None = None) -> bytes:
    """A credential report: root's row ``first``, then ``rows``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows([root() if first is None else first, *rows])
    return text.getvalue().rstrip("\n").encode()


REPORT = report()
SENT = "Tue, 03 Nov 2026 12:00:01 GMT"


def sent(
    content: Any = REPORT,
    generated: datetime = NOW,
    date: str | None = "Tue, 03 Nov 2026 12:00:01 GMT",
) -> dict[str, Any]:
    """GetCredentialReport's answer, sent by AWS at ``date``."""
    headers = {} if date is None else {"date": date}
    return {
        "Content": content,
        "GeneratedTime": generated,
        "ResponseMetadata": {"HTTPHeaders": headers},
    }


def refused(code: str, kind: type[CallError] = Refused) -> CallError:
    return kind(f"it said {code}", code=code, action="iam:X")


NOT_FOUND = refused("NoSuchEntity", Absent)
NO_PROFILE = Absent(
    "iam:GetLoginProfile: Login Profile for User ann cannot be found",
    code="NoSuchEntity",
    action="iam:GetLoginProfile",
)
