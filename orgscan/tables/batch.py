"""The only loop over accounts: evidence laid out as long columns, typed later all at once.

Everything here is plain Python per account and per row, so it does little: parse, index, append.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from orgscan.errors import IntegrityError
from orgscan.models import Kind
from orgscan.tables.report import Report, parse

if TYPE_CHECKING:
    from datetime import datetime

    from orgscan.models import Reading

_decode = json.JSONDecoder().decode
_ROOT_DEVICE = ":mfa/root-account-mfa-device"


@dataclass(slots=True)
class Principals:
    """One entry per principal: its account and where it stands in the two sources (-1: not)."""

    account: list[int] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    report_row: list[int] = field(default_factory=list)
    live_row: list[int] = field(default_factory=list)


@dataclass(slots=True)
class LiveUsers:
    """One entry per user in a live listing."""

    user_id: list[str | None] = field(default_factory=list)
    arn: list[str | None] = field(default_factory=list)
    created: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class LiveKeys:
    """One entry per listed access key; ``principal`` is its owner's place in Principals."""

    principal: list[int] = field(default_factory=list)
    key_id: list[str | None] = field(default_factory=list)
    status: list[str | None] = field(default_factory=list)
    created: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class AccountFacts:
    """What the rest of an account's evidence says; None where it was not collected."""

    users_listed: bool = False
    keys_listed: bool = False
    generated_at: datetime | None = None
    """Of a usable report, else None."""
    has_summary: bool = False
    summary_root_keys: int | None = None
    has_policy_answer: bool = False
    policy_exists: bool | None = None
    policy_minimum_length: int | None = None
    policy_reuse_prevention: int | None = None
    root_virtual_mfa: bool | None = None


@dataclass(slots=True)
class Batch:
    """Some accounts, whole; small enough that its Python objects do not matter."""

    readings: list[Reading] = field(default_factory=list)
    facts: list[AccountFacts] = field(default_factory=list)
    principals: Principals = field(default_factory=Principals)
    users: LiveUsers = field(default_factory=LiveUsers)
    keys: LiveKeys = field(default_factory=LiveKeys)
    report_rows: list[list[str]] = field(default_factory=list)
    report_account: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        """Accounts and principals together: what the batch weighs."""
        return len(self.readings) + len(self.principals.name)

    def add(self, reading: Reading) -> None:
        """Lay out one account.

        Raises :class:`orgscan.errors.IntegrityError` for stored JSON that is not JSON.
        """
        account = len(self.readings)
        usable = _Usable(reading)
        facts = _facts(usable)
        report, facts.generated_at = _report(usable)
        listed, keys = _listings(usable)
        facts.users_listed = Kind.USERS in usable.evidence
        # ListAccessKeys is asked per listed user: without that list, silence proves nothing.
        facts.keys_listed = facts.users_listed and Kind.ACCESS_KEYS in usable.evidence
        self.readings.append(reading)
        self.facts.append(facts)
        places = self._add_principals(account, report, listed, keys)
        self.report_rows.extend(report.rows)
        self.report_account.extend([account] * len(report.rows))
        self._add_keys(keys, places)

    def _add_principals(
        self,
        account: int,
        report: Report,
        listed: dict[str, dict[str, Any]],
        keys: list[dict[str, Any]],
    ) -> dict[str, int]:
        reported = {row[0]: place for place, row in enumerate(report.rows, len(self.report_rows))}
        live = {name: place for place, name in enumerate(listed, len(self.users.arn))}
        self.users.user_id += [user.get("UserId") for user in listed.values()]
        self.users.arn += [user.get("Arn") for user in listed.values()]
        self.users.created += [user.get("CreateDate") for user in listed.values()]
        names = sorted(reported.keys() | live.keys() | {key["UserName"] for key in keys})
        into, first = self.principals, len(self.principals.name)
        into.account += [account] * len(names)
        into.name += names
        into.report_row += [reported.get(name, -1) for name in names]
        into.live_row += [live.get(name, -1) for name in names]
        return {name: place for place, name in enumerate(names, first)}

    def _add_keys(self, keys: list[dict[str, Any]], places: dict[str, int]) -> None:
        into = self.keys
        into.principal += [places[key["UserName"]] for key in keys]
        into.key_id += [key.get("AccessKeyId") for key in keys]
        into.status += [key.get("Status") for key in keys]
        into.created += [key.get("CreateDate") for key in keys]


class _Usable:
    """The evidence of one account that may be judged, by kind."""

    __slots__ = ("_account_id", "evidence")

    def __init__(self, reading: Reading) -> None:
        refused = {gap.kind for gap in reading.outcome.gaps if not gap.usable}
        items = reading.outcome.evidence
        self.evidence = {item.kind: item for item in items if item.kind not in refused}
        self._account_id = reading.account.account_id

    def answer(self, kind: Kind, default: Any = None) -> Any:
        """The stored JSON of a kind; ``default`` where that kind may not be judged."""
        if kind not in self.evidence:
            return default
        try:
            return _decode(self.evidence[kind].content.decode())
        except ValueError as error:
            message = (
                f"the {kind} evidence of account {self._account_id} is not JSON "
                f"({error}); it was changed after it was collected"
            )
            raise IntegrityError(message) from None


def _report(usable: _Usable) -> tuple[Report, datetime | None]:
    """The report and its age, if it can be judged; a report of unknown age cannot."""
    evidence = usable.evidence.get(Kind.CREDENTIAL_REPORT)
    if evidence is None or evidence.generated_at is None:
        return Report(), None
    report = parse(evidence.content)
    return report, evidence.generated_at if report.rows else None


def _listings(usable: _Usable) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Live users by name and live keys, each id once, both in AWS's order.

    A user that vanished between the two listings is gone from both.
    """
    answer = usable.answer(Kind.ACCESS_KEYS, {})
    gone = set(answer.get("deleted_users", ()))
    users = [user for user in usable.answer(Kind.USERS, ()) if user["UserName"] not in gone]
    keys = [key for key in answer.get("keys", ()) if key["UserName"] not in gone]
    return (
        {user["UserName"]: user for user in users},
        list({key["AccessKeyId"]: key for key in keys}.values()),
    )


def _facts(usable: _Usable) -> AccountFacts:
    facts = AccountFacts()
    if Kind.ACCOUNT_SUMMARY in usable.evidence:
        facts.has_summary = True
        summary = usable.answer(Kind.ACCOUNT_SUMMARY)
        facts.summary_root_keys = summary.get("AccountAccessKeysPresent")
    if Kind.PASSWORD_POLICY in usable.evidence:
        policy = usable.answer(Kind.PASSWORD_POLICY)
        facts.has_policy_answer, facts.policy_exists = True, policy is not None
        facts.policy_minimum_length = (policy or {}).get("MinimumPasswordLength")
        facts.policy_reuse_prevention = (policy or {}).get("PasswordReusePrevention")
    if Kind.VIRTUAL_MFA_DEVICES in usable.evidence:
        facts.root_virtual_mfa = any(map(_is_roots, usable.answer(Kind.VIRTUAL_MFA_DEVICES)))
    return facts


def _is_roots(device: dict[str, Any]) -> bool:
    owner = (device.get("User") or {}).get("Arn") or ""
    return owner.endswith(":root") or device.get("SerialNumber", "").endswith(_ROOT_DEVICE)
