"""The only loop over accounts: evidence laid out as long columns, typed later all at once.

Everything here is plain Python per account and per row, so it does little: parse, index, append.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from orgscan.errors import IntegrityError
from orgscan.models import ROOT_USER, STATUSES, Kind, mfa_owner
from orgscan.report import CHINA, Report, match, parse, same_second

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from orgscan.models import Reading
    from orgscan.report import Matching

_decode = json.JSONDecoder().decode


@dataclass(slots=True)
class Principals:
    """One entry per principal: its account and its place in the two sources (-1: not in it)."""

    account: list[int] = field(default_factory=list)
    name: list[str] = field(default_factory=list)
    user_id: list[str | None] = field(default_factory=list)
    superseded: list[bool] = field(default_factory=list)
    """Whether the user was deleted and another one has its name now."""
    keys_unlisted: list[bool] = field(default_factory=list)
    """Whether the user exists and its keys could not be listed."""
    additional: list[str | None] = field(default_factory=list)
    """The report's text on credentials that no column describes."""
    report_row: list[int] = field(default_factory=list)
    live_row: list[int] = field(default_factory=list)


@dataclass(slots=True)
class LiveUsers:
    """One entry per user in a live listing."""

    arn: list[str | None] = field(default_factory=list)
    created: list[str | None] = field(default_factory=list)
    password_last_used: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class Details:
    """One entry per user that AWS was asked about directly; ``principal`` is its place."""

    principal: list[int] = field(default_factory=list)
    password_set: list[str | None] = field(default_factory=list)
    """CreateDate of the login profile; None without a console password."""
    mfa: list[bool] = field(default_factory=list)
    certificates: list[list[dict[str, Any]]] = field(default_factory=list)


@dataclass(slots=True)
class MoreCredentials:
    """Credentials outside the report, by principal: how many are active."""

    principal: list[int] = field(default_factory=list)
    active: list[int | None] = field(default_factory=list)


@dataclass(slots=True)
class ServiceCredentials:
    """One entry per service-specific credential, in the order of their ids within an account."""

    account: list[int] = field(default_factory=list)
    user: list[str] = field(default_factory=list)
    arn: list[str | None] = field(default_factory=list)
    credential_id: list[str] = field(default_factory=list)
    service: list[str] = field(default_factory=list)
    status: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    expires: list[str | None] = field(default_factory=list)


@dataclass(slots=True)
class LiveKeys:
    """One entry per listed access key; ``principal`` is its owner's place in Principals."""

    principal: list[int] = field(default_factory=list)
    key_id: list[str | None] = field(default_factory=list)
    status: list[str | None] = field(default_factory=list)
    created: list[str | None] = field(default_factory=list)
    use: list[dict[str, str] | None] = field(default_factory=list)
    """The answer to the direct question for the last use; None where it was not asked."""


@dataclass(slots=True)
class AccountFacts:
    """What the rest of an account's evidence says; None where it was not collected."""

    users_listed: bool = False
    """In full: a user that is not listed does not exist."""
    keys_listed: bool = False
    generated_at: datetime | None = None
    """Of a usable report, else None."""
    has_summary: bool = False
    summary_root_keys: int | None = None
    summary_root_mfa: int | None = None
    summary_root_password: int | None = None
    summary_root_certificates: int | None = None
    summary_at: datetime | None = None
    root_not_reported: bool = False
    """Whether reports of the partition have no root row."""
    more_credentials_requested: bool = False
    service_credentials_listed: bool = False
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
    details: Details = field(default_factory=Details)
    service_counts: MoreCredentials = field(default_factory=MoreCredentials)
    ssh_counts: MoreCredentials = field(default_factory=MoreCredentials)
    service_credentials: ServiceCredentials = field(default_factory=ServiceCredentials)
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
        in_china = reading.account.arn.startswith(f"arn:{CHINA}:")
        report, facts.generated_at = _report(usable, rows_needed=not in_china)
        facts.root_not_reported = (
            in_china
            and facts.generated_at is not None
            and ROOT_USER not in (row[0] for row in report.rows)
        )
        live = _listings(usable)
        facts.users_listed = usable.is_whole(Kind.USERS)
        # ListAccessKeys is asked per listed user: without that list, silence proves nothing.
        facts.keys_listed = facts.users_listed and Kind.ACCESS_KEYS in usable.evidence
        self.readings.append(reading)
        self.facts.append(facts)
        places = self._add_principals(account, report, live)
        self.report_rows.extend(report.rows)
        self.report_account.extend([account] * len(report.rows))
        details = usable.answer(Kind.USER_DETAILS, {})
        self._add_keys(live.keys, places, details.get("keys", {}))
        self._add_details(details.get("users", {}), places)
        self._add_more_credentials(account, usable, places)

    def _add_principals(self, account: int, report: Report, live: _Live) -> dict[str, int]:
        """Enter an account's principals; the place of each name, a live user before another."""
        rows = {row[0]: place for place, row in enumerate(report.rows, len(self.report_rows))}
        created = {name: str(user.get("CreateDate")) for name, user in live.users.items()}
        matched = match(report, created)
        entries = [
            (name, user.get("UserId"), rows[name] if name in matched.described else -1, place)
            for place, (name, user) in enumerate(live.users.items(), len(self.users.arn))
        ]
        entries += [(name, None, rows[name], -1) for name in matched.unlisted]
        if ROOT_USER in rows:
            entries.append((ROOT_USER, None, rows[ROOT_USER], -1))
        known = live.users.keys() | rows.keys()
        entries += [
            (name, None, -1, -1)
            for name in {key["UserName"] for key in live.keys}
            if name not in known
        ]
        entries.sort(key=lambda entry: (entry[0], entry[1] is None, entry[1] or "", entry[3] < 0))
        self.users.arn += [user.get("Arn") for user in live.users.values()]
        self.users.created += [user.get("CreateDate") for user in live.users.values()]
        self.users.password_last_used += [
            user.get("PasswordLastUsed") for user in live.users.values()
        ]
        into, first = self.principals, len(self.principals.name)
        into.account += [account] * len(entries)
        into.name += [name for name, *_ in entries]
        into.user_id += [user_id for _, user_id, _, _ in entries]
        into.report_row += [row for _, _, row, _ in entries]
        into.live_row += [place for *_, place in entries]
        into.superseded += [place < 0 and name in live.users for name, _, _, place in entries]
        into.keys_unlisted += [name in live.keys_unlisted for name, *_ in entries]
        additional = _additional(report, matched)
        into.additional += [additional.get(name) for name, *_ in entries]
        places: dict[str, int] = {}
        for place, (name, *_) in enumerate(entries, first):
            places.setdefault(name, place)
        return places

    def _add_keys(
        self, keys: list[dict[str, Any]], places: dict[str, int], uses: dict[str, dict[str, str]]
    ) -> None:
        into = self.keys
        into.principal += [places[key["UserName"]] for key in keys]
        into.key_id += [key.get("AccessKeyId") for key in keys]
        into.status += [key.get("Status") for key in keys]
        into.created += [key.get("CreateDate") for key in keys]
        into.use += [uses.get(key["AccessKeyId"]) for key in keys]

    def _add_details(self, users: dict[str, dict[str, Any]], places: dict[str, int]) -> None:
        into = self.details
        for name, user in users.items():
            if name not in places:
                continue  # deleted meanwhile
            into.principal.append(places[name])
            into.password_set.append((user["login_profile"] or {}).get("CreateDate"))
            into.mfa.append(bool(user["mfa_devices"]))
            into.certificates.append(user["signing_certificates"])

    def _add_more_credentials(self, account: int, usable: _Usable, places: dict[str, int]) -> None:
        ssh_keys = usable.answer(Kind.SSH_PUBLIC_KEYS, {})
        for name, keys in ssh_keys.items():
            if name in places:
                self.ssh_counts.principal.append(places[name])
                self.ssh_counts.active.append(_active(keys))
        if Kind.SERVICE_SPECIFIC_CREDENTIALS not in usable.evidence:
            return
        listed = usable.answer(Kind.SERVICE_SPECIFIC_CREDENTIALS)
        owned: dict[str, list[dict[str, Any]]] = {name: [] for name in places if name != ROOT_USER}
        for item in sorted(listed, key=lambda one: str(one["ServiceSpecificCredentialId"])):
            owned.setdefault(item["UserName"], []).append(item)
            self._add_service_credential(account, item, places)
        whole = usable.is_whole(Kind.SERVICE_SPECIFIC_CREDENTIALS)
        for name, items in owned.items():
            # A credential of an unknown owner may be anybody's: no count of 0 is certain.
            if name in places and (whole or items):
                self.service_counts.principal.append(places[name])
                self.service_counts.active.append(_active(items))

    def _add_service_credential(
        self, account: int, item: dict[str, Any], places: dict[str, int]
    ) -> None:
        into, owner = self.service_credentials, places.get(item["UserName"], -1)
        row = self.principals.live_row[owner] if owner >= 0 else -1
        into.account.append(account)
        into.user.append(item["UserName"])
        into.arn.append(self.users.arn[row] if row >= 0 else None)
        into.credential_id.append(item["ServiceSpecificCredentialId"])
        into.service.append(item["ServiceName"])
        into.status.append(item["Status"])
        into.created.append(item["CreateDate"])
        into.expires.append(item.get("ExpirationDate"))


def _additional(report: Report, matched: Matching) -> Mapping[str, str]:
    """By user, the report's text on credentials that no column describes.

    A user without a row may be the renamed one of a row of the same second: its text may be the
    user's.
    """
    if not report.additional:
        return {}
    former = {
        new: report.additional[old]
        for new, created in matched.unreported.items()
        for old, when in matched.unlisted.items()
        if old in report.additional and same_second(when, created)
    }
    return {**former, **report.additional}


def _active(items: list[dict[str, Any]]) -> int | None:
    """How many can be used; None where only an unknown status keeps one from counting."""
    statuses = [item["Status"] for item in items]
    active = statuses.count("Active")
    return None if not active and not STATUSES.issuperset(statuses) else active


class _Usable:
    """The evidence of one account that may be judged, by kind."""

    __slots__ = ("_account_id", "_gaps", "evidence")

    def __init__(self, reading: Reading) -> None:
        self._gaps = {gap.kind for gap in reading.outcome.gaps}
        refused = {gap.kind for gap in reading.outcome.gaps if not gap.usable}
        items = reading.outcome.evidence
        self.evidence = {item.kind: item for item in items if item.kind not in refused}
        self._account_id = reading.account.account_id

    def is_whole(self, kind: Kind) -> bool:
        """Whether a kind was collected and nothing of it is missing."""
        return kind in self.evidence and kind not in self._gaps

    def is_requested(self, kind: Kind) -> bool:
        """Whether the run required a kind of the account."""
        return kind in self.evidence or kind in self._gaps

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


def _report(usable: _Usable, *, rows_needed: bool) -> tuple[Report, datetime | None]:
    """The report and its age, if it can be judged; a report of unknown age cannot.

    Where root has no row in it, an account without users has a report without rows.
    """
    evidence = usable.evidence.get(Kind.CREDENTIAL_REPORT)
    if evidence is None or evidence.generated_at is None:
        return Report(), None
    report = parse(evidence.content)
    if not report.usable or (rows_needed and not report.rows):
        return report, None
    return report, evidence.generated_at


class _Live(NamedTuple):
    """What exists by the listings, in AWS's order."""

    users: dict[str, dict[str, Any]]
    keys: list[dict[str, Any]]
    """Each id once."""
    keys_unlisted: frozenset[str]
    """Users whose keys could not be listed."""


def _listings(usable: _Usable) -> _Live:
    """The live users and keys; a user deleted between the two listings is in neither."""
    answer = usable.answer(Kind.ACCESS_KEYS, {})
    gone = set(answer.get("deleted_users", ()))
    users = [user for user in usable.answer(Kind.USERS, ()) if user["UserName"] not in gone]
    keys = [key for key in answer.get("keys", ()) if key["UserName"] not in gone]
    return _Live(
        {user["UserName"]: user for user in users},
        list({key["AccessKeyId"]: key for key in keys}.values()),
        frozenset(answer.get("unlisted_users", ())),
    )


def _facts(usable: _Usable) -> AccountFacts:
    facts = AccountFacts()
    if Kind.ACCOUNT_SUMMARY in usable.evidence:
        facts.has_summary = True
        summary = usable.answer(Kind.ACCOUNT_SUMMARY)
        facts.summary_root_keys = summary.get("AccountAccessKeysPresent")
        facts.summary_root_mfa = summary.get("AccountMFAEnabled")
        facts.summary_root_password = summary.get("AccountPasswordPresent")
        facts.summary_root_certificates = summary.get("AccountSigningCertificatesPresent")
        facts.summary_at = usable.evidence[Kind.ACCOUNT_SUMMARY].collected_at
    if Kind.PASSWORD_POLICY in usable.evidence:
        policy = usable.answer(Kind.PASSWORD_POLICY)
        facts.has_policy_answer, facts.policy_exists = True, policy is not None
        facts.policy_minimum_length = (policy or {}).get("MinimumPasswordLength")
        facts.policy_reuse_prevention = (policy or {}).get("PasswordReusePrevention")
    if Kind.VIRTUAL_MFA_DEVICES in usable.evidence:
        owners = set(map(mfa_owner, usable.answer(Kind.VIRTUAL_MFA_DEVICES)))
        # A device without an owner may be root's.
        facts.root_virtual_mfa = True if ROOT_USER in owners else None if "" in owners else False
    facts.more_credentials_requested = usable.is_requested(Kind.SERVICE_SPECIFIC_CREDENTIALS)
    facts.service_credentials_listed = Kind.SERVICE_SPECIFIC_CREDENTIALS in usable.evidence
    return facts
