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

    from orgscan.models import Evidence, Reading

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
        facts = _facts(reading)
        report = _report(reading)
        listed, keys = _listings(reading)
        facts.users_listed = _usable(reading, Kind.USERS)
        # ListAccessKeys is asked per listed user: without that list, silence proves nothing.
        facts.keys_listed = facts.users_listed and _usable(reading, Kind.ACCESS_KEYS)
        if report.rows:
            evidence = reading.usable(Kind.CREDENTIAL_REPORT)
            facts.generated_at = evidence.generated_at if evidence else None
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


def _report(reading: Reading) -> Report:
    """The report, if it can be judged; a report of unknown age cannot."""
    evidence = reading.usable(Kind.CREDENTIAL_REPORT)
    if evidence is None or evidence.generated_at is None:
        return Report()
    return parse(evidence.content)


def _usable(reading: Reading, kind: Kind) -> bool:
    return reading.usable(kind) is not None


def _listings(reading: Reading) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Live users by name and live keys, each id once, both in AWS's order.

    A user that vanished between the two listings is gone from both.
    """
    users, keys = reading.usable(Kind.USERS), reading.usable(Kind.ACCESS_KEYS)
    answer = _json(reading, keys) if keys else {}
    gone = set(answer.get("deleted_users", ()))
    listed = _json(reading, users) if users else ()
    return (
        {user["UserName"]: user for user in listed if user["UserName"] not in gone},
        list(
            {
                k["AccessKeyId"]: k for k in answer.get("keys", ()) if k["UserName"] not in gone
            }.values()
        ),
    )


def _facts(reading: Reading) -> AccountFacts:
    facts = AccountFacts()
    summary = reading.usable(Kind.ACCOUNT_SUMMARY)
    if summary is not None:
        facts.has_summary = True
        facts.summary_root_keys = _json(reading, summary).get("AccountAccessKeysPresent")
    policy = reading.usable(Kind.PASSWORD_POLICY)
    if policy is not None:
        answer = _json(reading, policy)
        facts.has_policy_answer, facts.policy_exists = True, answer is not None
        facts.policy_minimum_length = (answer or {}).get("MinimumPasswordLength")
        facts.policy_reuse_prevention = (answer or {}).get("PasswordReusePrevention")
    devices = reading.usable(Kind.VIRTUAL_MFA_DEVICES)
    if devices is not None:
        facts.root_virtual_mfa = any(map(_is_roots, _json(reading, devices)))
    return facts


def _is_roots(device: dict[str, Any]) -> bool:
    owner = (device.get("User") or {}).get("Arn") or ""
    return owner.endswith(":root") or device.get("SerialNumber", "").endswith(_ROOT_DEVICE)


def _json(reading: Reading, evidence: Evidence) -> Any:
    try:
        return json.loads(evidence.content)
    except ValueError as error:
        message = (
            f"the {evidence.kind} evidence of account {reading.account.account_id} is not JSON "
            f"({error}); it was changed after it was collected"
        )
        raise IntegrityError(message) from None
