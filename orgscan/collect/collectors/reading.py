"""Collecting one account: what waits for what, and which sources are asked again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.access_keys import CONTRADICT, Expected, list_keys
from orgscan.collect.collectors.account_summary import collect_account_summary
from orgscan.collect.collectors.credential_report import collect_credential_report
from orgscan.collect.collectors.password_policy import collect_password_policy
from orgscan.collect.collectors.service_credentials import collect_service_credentials
from orgscan.collect.collectors.ssh_public_keys import collect_ssh_public_keys
from orgscan.collect.collectors.user_details import collect_user_details
from orgscan.collect.collectors.users import Listing, list_users
from orgscan.collect.collectors.virtual_mfa_devices import collect_virtual_mfa_devices
from orgscan.errors import CallerBroken, CallError, IntegrityError
from orgscan.models import ROOT_USER, Gap, Kind
from orgscan.report import (
    SETTLING,
    Report,
    denies_credentials,
    denies_password,
    match,
    parse,
    slot_times,
    states_mfa,
    to_second,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Collection

    from orgscan.collect.collectors.access_keys import KeyListing
    from orgscan.collect.collectors.service_credentials import Credentials
    from orgscan.models import Calls, Clock, Evidence
    from orgscan.report import Matching

_PER_USER_SLACK = 3.0
"""How much longer than the pace alone asking about one user may take."""
_ACTIVE = "Active"
_OLDEST_REPORT = timedelta(hours=6)
"""AWS returns a report for four hours, and reading an account takes some time."""


@dataclass(frozen=True, slots=True)
class AccountBudget:
    """Seconds an account may take, and how many calls a second it is granted."""

    report_seconds: float
    account_seconds: float
    calls_per_second: float


class AccountReading:
    """The evidence and gaps of one account, filled by :meth:`collect_all`."""

    def __init__(
        self, calls: Calls, clock: Clock, budget: AccountBudget, kinds: Collection[Kind]
    ) -> None:
        """Collect ``kinds`` alone: those the run requires."""
        self._calls = calls
        self._clock = clock
        self._budget = budget
        self._kinds = kinds
        self.evidence: dict[Kind, Evidence] = {}
        self.gaps: list[Gap] = []
        self.broken: CallerBroken | IntegrityError | None = None
        self._report_settled = asyncio.Event()
        self._service_credentials_settled = asyncio.Event()
        self._report = Report()
        self._generated_at: datetime | None = None
        self._service_credentials: Credentials | None = None
        self._rows: dict[str, list[str]] = {}
        """The report's rows by user."""
        self._counts: dict[str, int] | None = None
        """The account summary as read last; None where that failed."""

    async def collect_all(self) -> None:
        """Ask for everything; what fails becomes a gap with its reason.

        Users and keys are listed once the report is there: the tables take the listing for the
        newer of the two, and a user created in between must not look deleted. The summary
        follows the listing, which it confirms.
        """
        async with asyncio.TaskGroup() as group:
            for work in (
                self._credential_report(),
                self._principals(),
                self._list_service_credentials(),
                self._kind(Kind.PASSWORD_POLICY, collect_password_policy(self._calls, self._clock)),
            ):
                group.create_task(work)

    async def _credential_report(self) -> None:
        work = collect_credential_report(
            self._calls, self._clock, timeout=self._budget.report_seconds
        )
        # The collector keeps its own deadline; this one is for calls that hang.
        seconds = self._budget.report_seconds + self._budget.account_seconds
        try:
            await self._kind(Kind.CREDENTIAL_REPORT, work, seconds)
        finally:
            if (report := self.evidence.get(Kind.CREDENTIAL_REPORT)) is not None:
                self._report = parse(report.content)
                self._rows = {row[0]: row for row in self._report.rows}
                self._generated_at = report.generated_at
            self._report_settled.set()

    @property
    def _has_report(self) -> bool:
        """Whether there is a report, if only one without rows, to hold the listings against."""
        return self._generated_at is not None and self._report.usable

    async def _principals(self) -> None:
        await self._report_settled.wait()
        listed = await self._listed_users()
        await self._virtual_mfa_devices(listed)
        if listed is None:
            reason = "keys are listed user by user, and the users could not be listed"
            self._gap(Kind.ACCESS_KEYS, "UsersNotListed", reason)
        if listed is None and not self._rows:
            reason = "neither the listing nor the report names the users of the account"
            for kind in (Kind.USER_DETAILS, Kind.SSH_PUBLIC_KEYS):
                self._gap(kind, "UsersNotListed", reason)
            return
        listing = Listing(()) if listed is None else listed
        if listed is not None:
            await self._confirm_owners(listed)
        matched = match(self._report, listing.created)
        keys = None if listed is None else await self._listed_keys(listing, matched)
        gone = set() if keys is None else set(keys.deleted)
        details = await self._details(listing, matched, keys, gone)
        people = [name for name in listing.created if name not in gone]
        await self._ssh_keys(people, matched, keys, details)

    async def _listed_users(self) -> Listing | None:
        """The users, confirmed by the account summary and by the report.

        Where they disagree both are asked again, once. What disagrees even then is a gap, and
        the users of both listings are kept.
        """
        first, counts = await self._users_and_counts()
        if first is None:
            return None
        if not self._unlisted(first) and (counts is None or self._confirmed(first)):
            return first
        evidence = self.evidence[Kind.USERS]
        again, _ = await self._users_and_counts()
        if again is None:
            # The first listing may be judged; that nothing confirms it stays a gap.
            self.evidence[Kind.USERS] = evidence
            self.gaps = [
                replace(gap, reason=f"the second listing failed: {gap.reason}", usable=True)
                if gap.kind == Kind.USERS
                else gap
                for gap in self.gaps
            ]
            return first
        if self._confirmed(again):
            return again
        # Without a second count, a first one that named another number stays unexplained.
        if self._counts is None and counts is None and not self._unlisted(again):
            return again
        union = first.with_those_of(again)
        self.evidence[Kind.USERS] = union.evidence(self._clock)
        self._gap(Kind.USERS, "UsersNotConfirmed", self._disagreement(union), usable=True)
        return union

    async def _users_and_counts(self) -> tuple[Listing | None, dict[str, int] | None]:
        """One listing of the users, and the account summary after it."""
        listings: list[Listing] = []

        async def ask() -> Evidence:
            listings.append(await list_users(self._calls, self._clock))
            return listings[0].evidence(self._clock)

        await self._kind(Kind.USERS, ask())
        await self._summary()
        return (listings[0] if Kind.USERS in self.evidence else None), self._counts

    def _confirmed(self, listing: Listing) -> bool:
        """Whether the account summary counts as many users as are listed."""
        return self._counts is not None and self._counts["Users"] == len(listing.users)

    def _unlisted(self, listing: Listing) -> list[str]:
        """The users of the report that are not listed."""
        return sorted(match(self._report, listing.created).unlisted)

    def _disagreement(self, listing: Listing) -> str:
        counted = (
            "the account summary is not available to confirm it"
            if self._counts is None
            else f"the account summary counts {self._counts['Users']}"
        )
        unlisted = self._unlisted(listing)
        named = f"; not listed: {unlisted[0]!r}" if unlisted else ""
        if len(unlisted) > 1:
            named += f" and {_count_users(len(unlisted) - 1, 'more ')} of the credential report"
        listed = _count_users(len(listing.users))
        return f"ListUsers returned {listed} in two listings, {counted}{named}"

    async def _summary(self) -> None:
        self._counts = None

        async def ask() -> Evidence:
            evidence, self._counts = await collect_account_summary(self._calls, self._clock)
            return evidence

        await self._kind(Kind.ACCOUNT_SUMMARY, ask())

    def _root_may_have_mfa(self) -> bool:
        """Whether root may have an MFA device: only both sources together rule it out."""
        stated = self._rows.get(ROOT_USER)
        denied = stated is not None and states_mfa(stated) is False
        return not (denied and self._counts is not None and not self._counts["AccountMFAEnabled"])

    async def _virtual_mfa_devices(self, listing: Listing | None) -> None:
        """The virtual devices; each is assigned to root or to a listed user.

        AWS deletes no user with an MFA device. A user may have been created or renamed since
        the users were listed: the devices are listed once more before it is a gap.
        """
        strangers: set[str] = set()

        async def ask() -> Evidence:
            evidence, owners = await collect_virtual_mfa_devices(
                self._calls, self._clock, roots_matters=self._root_may_have_mfa()
            )
            strangers.clear()
            strangers.update(owners - listing.created.keys() if listing is not None else ())
            return evidence

        await self._kind(Kind.VIRTUAL_MFA_DEVICES, ask())
        if strangers:
            await self._kind(Kind.VIRTUAL_MFA_DEVICES, ask())
        if strangers:
            reason = (
                f"an MFA device is assigned to {min(strangers)!r}, whom ListUsers did not return"
            )
            self._gap(Kind.USERS, "OwnerNotListed", reason, usable=True)

    async def _list_service_credentials(self) -> None:
        self._service_credentials = None

        async def ask() -> Evidence:
            evidence, self._service_credentials = await collect_service_credentials(
                self._calls, self._clock
            )
            return evidence

        if Kind.SERVICE_SPECIFIC_CREDENTIALS in self._kinds:
            await self._kind(Kind.SERVICE_SPECIFIC_CREDENTIALS, ask())
        self._service_credentials_settled.set()

    async def _confirm_owners(self, listing: Listing) -> None:
        """Every service-specific credential belongs to a listed user, or its owner is unknown.

        A user may have been deleted or renamed since the credentials were listed: they are
        listed once more before it is a gap.
        """
        await self._service_credentials_settled.wait()
        if self._without_owner(listing):
            await self._list_service_credentials()
        if strangers := self._without_owner(listing):
            reason = f"credentials belong to users that ListUsers did not return: {strangers[0]!r}"
            if len(strangers) > 1:
                reason += f" and {len(strangers) - 1} more"
            self._gap(Kind.SERVICE_SPECIFIC_CREDENTIALS, "OwnerNotListed", reason, usable=True)

    def _without_owner(self, listing: Listing) -> list[str]:
        """The owners of service-specific credentials that are not listed."""
        owners = {item["UserName"] for item in self._service_credentials or ()}
        return sorted(owners - listing.created.keys())

    async def _listed_keys(self, listing: Listing, matched: Matching) -> KeyListing | None:
        # Without a report nothing confirms a key, and asking twice would help no verdict.
        unknown: list[str] | None = None if self._has_report else []
        slots = {
            name: slot_times(self._rows[name]) if name in matched.described else unknown
            for name in listing.created
        }
        expected = Expected(slots)
        if self._generated_at is not None:
            expected = Expected(
                slots,
                complete_until=to_second(self._generated_at - SETTLING),
                latest=to_second(self._generated_at + _OLDEST_REPORT),
            )
        listings: list[KeyListing] = []

        async def ask() -> Evidence:
            listings.append(
                await list_keys(self._calls, self._clock, expected, self._really_deleted)
            )
            return listings[0].evidence(self._clock)

        # An account of 5,000 users needs minutes at AWS's pace and is no reason to give up.
        patience = len(slots) * _PER_USER_SLACK / self._budget.calls_per_second
        await self._kind(Kind.ACCESS_KEYS, ask(), self._budget.account_seconds + patience)
        if not listings:
            return None
        if (gap := listings[0].gap) is not None:
            self.gaps.append(gap)
        return listings[0]

    async def _really_deleted(self, names: Collection[str]) -> set[str]:
        """Those of ``names`` that a further listing lacks, if the account summary confirms it."""
        try:
            again = await list_users(self._calls, self._clock)
        except CallerBroken:
            raise
        except CallError:
            return set()
        await self._summary()
        return set(names) - again.created.keys() if self._confirmed(again) else set()

    async def _details(
        self, listing: Listing, matched: Matching, keys: KeyListing | None, gone: Collection[str]
    ) -> dict[str, Any]:
        """Ask directly about the users and keys that the report is too old to describe."""
        if Kind.USER_DETAILS not in self._kinds:
            return {}
        names, key_ids = [], []
        if self._has_report:
            names = [
                name
                for name in (
                    *self._undescribed(listing, matched),
                    *self._signed_in(listing, matched),
                )
                if name not in gone
            ]
            key_ids = self._undescribed_keys(matched, keys, names)
        answers: list[tuple[dict[str, Any], Gap | None]] = []

        async def ask() -> Evidence:
            evidence, details, gap = await collect_user_details(
                self._calls, self._clock, names, key_ids
            )
            answers.append((details, gap))
            return evidence

        patience = len(names) * _PER_USER_SLACK + len(key_ids)
        await self._kind(Kind.USER_DETAILS, ask(), self._budget.account_seconds + patience)
        if not answers:
            return {}
        details, gap = answers[0]
        if gap is not None:
            self.gaps.append(gap)
        if keys is not None and (users := keys.used_before_creation(details["keys"])):
            keys.distrust(users, CONTRADICT)
            self.evidence[Kind.ACCESS_KEYS] = keys.evidence(self._clock)
            self.gaps = [gap for gap in self.gaps if gap.kind != Kind.ACCESS_KEYS]
            self.gaps += filter(None, [keys.gap])
        return dict(details["users"])

    def _signed_in(self, listing: Listing, matched: Matching) -> list[str]:
        """Users who signed in after the report with a password that their row denies."""
        used = {user["UserName"]: user.get("PasswordLastUsed") for user in listing.users}
        return [
            name
            for name, when in used.items()
            if isinstance(when, datetime)
            and self._generated_at is not None
            and when > self._generated_at
            and name in matched.described
            and denies_password(self._rows[name])
        ]

    def _undescribed(self, listing: Listing, matched: Matching) -> list[str]:
        """Users created, re-created or renamed since the report, in the order of the listing.

        Users that the report should describe and does not are none of them: it was cut, which
        is a gap, and the account may have thousands of users.
        """
        latest = self._generated_at - SETTLING if self._generated_at else None
        created = {user["UserName"]: user["CreateDate"] for user in listing.users}
        return [
            name
            for name in matched.unreported
            if (latest is not None and created[name] >= latest) or matched.may_be_renamed(name)
        ]

    def _undescribed_keys(
        self, matched: Matching, keys: KeyListing | None, undescribed: Collection[str]
    ) -> list[str]:
        """Ids of keys that no slot of their user's row describes, or that two describe equally."""
        if keys is None:
            return []
        key_ids = []
        for name, listed in keys.keys.items():
            if name not in matched.described:
                if name in undescribed:
                    key_ids += [key["AccessKeyId"] for key in listed]
                continue
            slots = slot_times(self._rows[name])
            created = [to_second(key["CreateDate"]) for key in listed]
            key_ids += [
                key["AccessKeyId"]
                for key, second in zip(listed, created, strict=True)
                if slots.count(second) != 1 or created.count(second) != 1
            ]
        return key_ids

    async def _ssh_keys(
        self,
        names: list[str],
        matched: Matching,
        keys: KeyListing | None,
        details: dict[str, Any],
    ) -> None:
        if Kind.SSH_PUBLIC_KEYS not in self._kinds:
            return
        await self._service_credentials_settled.wait()
        active = {
            item["UserName"]
            for item in self._service_credentials or ()
            if item["Status"] == _ACTIVE
        }
        asked = [
            name
            for name in names
            if name not in active
            and keys is not None
            and not any(key["Status"] == _ACTIVE for key in keys.keys.get(name, ()))
            and _nothing_else(
                self._rows.get(name) if name in matched.described else None, details.get(name)
            )
        ]
        await self._kind(
            Kind.SSH_PUBLIC_KEYS,
            collect_ssh_public_keys(self._calls, self._clock, asked),
            self._budget.account_seconds + len(asked) * _PER_USER_SLACK,
        )

    async def _kind(
        self, kind: Kind, work: Awaitable[Evidence], seconds: float | None = None
    ) -> None:
        """Collect one kind; a second attempt replaces the evidence of the first, or its gap."""
        limit = self._budget.account_seconds if seconds is None else seconds
        item, failure = None, None
        try:
            async with asyncio.timeout(limit):
                item = await work
        except (CallerBroken, IntegrityError) as error:
            # Kept as a value: a group of exceptions would hide which of the two it was.
            if not isinstance(self.broken, IntegrityError):
                self.broken = error
        except CallError as error:
            failure = (error.code, str(error))
        except TimeoutError:
            failure = ("Timeout", f"not collected within {limit:.0f} seconds")
        # Not before: an attempt that is cancelled from outside replaces nothing.
        self.gaps = [gap for gap in self.gaps if gap.kind != kind]
        self.evidence.pop(kind, None)
        if item is not None:
            self.evidence[kind] = item
        if failure is not None:
            self._gap(kind, *failure)

    def _gap(self, kind: Kind, code: str, reason: str, *, usable: bool = False) -> None:
        if kind in self._kinds:
            self.gaps.append(Gap(kind=kind, code=code, reason=reason, usable=usable))


def _count_users(number: int, which: str = "") -> str:
    return f"{number} {which}{'user' if number == 1 else 'users'}"


def _nothing_else(row: list[str] | None, details: dict[str, Any] | None) -> bool:
    """Whether a user is known to have neither password nor active certificate."""
    if details is not None:
        certificates = details["signing_certificates"]
        return details["login_profile"] is None and not any(
            certificate["Status"] == _ACTIVE for certificate in certificates
        )
    return row is not None and denies_credentials(row)
