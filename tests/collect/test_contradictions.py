"""Answers that contradict each other: asked again, and otherwise a gap, never a better verdict."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collect import collectors
from orgscan.collect.collectors import credential_report, service_credentials
from orgscan.errors import CallerBroken, Denied, IntegrityError, Malformed, Throttled
from orgscan.models import FIRST_KINDS, Kind
from tests.kit.iam import (
    LATER,
    LIMITS,
    NEVER_USED,
    NO_PROFILE,
    NOT_FOUND,
    NOW,
    REPORT,
    ByUser,
    Iam,
    InTurn,
    key,
    key_id,
    refused,
    report,
    root,
    row,
    sent,
    summary,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from orgscan.collect.collectors import AccountBudget
    from orgscan.models import Gap
    from tests.kit.clocks import FakeClock

DENIED = refused("AccessDenied", Denied)
BROKEN = refused("ExpiredToken", CallerBroken)
ROOTS_DEVICE = {"SerialNumber": "arn:aws:iam::012345678901:mfa/root-account-mfa-device"}
ANNS_DEVICE = {
    "SerialNumber": "arn:aws:iam::012345678901:mfa/ann",
    "User": {"Arn": "arn:aws:iam::012345678901:user/ann"},
}


@dataclass(frozen=True)
class Found:
    """What was collected from one account."""

    answers: dict[Kind, Any]
    gaps: dict[Kind, Gap]

    @property
    def users(self) -> list[str]:
        return [one["UserName"] for one in self.answers[Kind.USERS]]

    @property
    def keys(self) -> list[tuple[str, str]]:
        return [
            (one["UserName"], one["AccessKeyId"]) for one in self.answers[Kind.ACCESS_KEYS]["keys"]
        ]

    @property
    def details(self) -> dict[str, Any]:
        return {**self.answers[Kind.USER_DETAILS]["users"]}

    @property
    def uses(self) -> dict[str, Any]:
        return {**self.answers[Kind.USER_DETAILS]["keys"]}


async def collect(
    iam: Iam,
    clock: FakeClock,
    limits: AccountBudget = LIMITS,
    kinds: Collection[Kind] = tuple(Kind),
) -> Found:
    before = asyncio.all_tasks()
    evidence, gaps = await collectors.collect_evidence(iam, clock, limits, kinds)
    assert asyncio.all_tasks() <= before
    answers = {
        item.kind: json.loads(item.content)
        for item in evidence
        if item.kind is not Kind.CREDENTIAL_REPORT
    }
    by_kind = {gap.kind: gap for gap in gaps}
    assert len(by_kind) == len(gaps), "a kind has one gap"
    kept = {item.kind for item in evidence}
    assert kept | set(by_kind) == set(kinds), "every kind is evidence or a gap"
    assert {kind for kind, gap in by_kind.items() if gap.usable} == kept & set(by_kind)
    return Found(answers, by_kind)


def code(found: Found, kind: Kind) -> str:
    """The code of the one gap there is."""
    assert set(found.gaps) == {kind}
    return found.gaps[kind].code


class TestUnknownToListAccessKeys:
    """NoSuchEntity for a user that ListUsers names."""

    async def test_once_is_asked_again(self, clock: FakeClock) -> None:
        keys = ByUser({"ann": InTurn(NOT_FOUND, [key("1")]), "ben": [key("2")]})
        iam = Iam(ListUsers=[user("ann"), user("ben")], ListAccessKeys=keys)
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.keys == [("ann", key_id("1")), ("ben", key_id("2"))]
        assert found.answers[Kind.ACCESS_KEYS]["deleted_users"] == []
        # The first listing of users and the one that tells whether ann was deleted.
        assert iam.count("ListUsers") == 2

    @pytest.mark.parametrize("times", [2, 3, 5])
    async def test_is_asked_again_with_growing_waits(self, clock: FakeClock, times: int) -> None:
        clock.dice = lambda: 1.0
        keys = InTurn(*[NOT_FOUND] * times, [key("1")])
        found = await collect(Iam(ListUsers=[user("ann")], ListAccessKeys=keys), clock)
        assert found.gaps == {}
        assert found.keys == [("ann", key_id("1"))]
        assert clock.slept == [1.0, 2.0, 4.0, 8.0][: times - 1]

    async def test_for_ever_is_a_gap_and_the_keys_of_others_are_kept(
        self, clock: FakeClock
    ) -> None:
        people = [user(name) for name in ("ann", "ben", "cid")]
        keys = ByUser({"ann": [key("1")], "ben": NOT_FOUND, "cid": [key("2")]})
        found = await collect(Iam(ListUsers=people, ListAccessKeys=keys), clock)
        assert code(found, Kind.ACCESS_KEYS) == "UserNotFound"
        gap = found.gaps[Kind.ACCESS_KEYS]
        assert gap.reason == "the keys of 1 user could not be listed: 'ben'"
        assert [name for name, _ in found.keys] == ["ann", "cid"]
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == ["ben"]
        assert found.users == ["ann", "ben", "cid"]

    async def test_for_ever_and_every_user_takes_no_longer_than_for_one(
        self, clock: FakeClock
    ) -> None:
        names = [f"u{number:02}" for number in range(40)]
        iam = Iam(ListUsers=[*map(user, names)], ListAccessKeys=NOT_FOUND)
        found = await collect(iam, clock)
        assert code(found, Kind.ACCESS_KEYS) == "UserNotFound"
        said = "the keys of 40 users could not be listed: 'u00', 'u01', 'u02' and 37 more"
        assert found.gaps[Kind.ACCESS_KEYS].reason == said
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == names
        assert clock.elapsed <= 15
        assert iam.count("ListUsers") == 2

    async def test_because_it_was_deleted_is_no_gap(self, clock: FakeClock) -> None:
        ann, ben = user("ann"), user("ben")
        iam = Iam(
            GetCredentialReport=sent(report(row(ann), row(ben))),
            ListUsers=InTurn([ann, ben], [ben]),
            GetAccountSummary=InTurn(summary(2), summary(1)),
            ListAccessKeys=ByUser({"ann": NOT_FOUND}, default=[]),
        )
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.answers[Kind.ACCESS_KEYS]["deleted_users"] == ["ann"]
        assert found.answers[Kind.ACCOUNT_SUMMARY]["Users"] == 1
        assert clock.slept == []
        assert "ann" not in iam.about("ListSSHPublicKeys")

    @pytest.mark.parametrize(
        ("listings", "summaries"),
        [
            (InTurn([user("ann")], []), InTurn(summary(1))),
            (InTurn([user("ann")], []), InTurn(summary(1), DENIED)),
            (InTurn([user("ann")], DENIED), InTurn(summary(1))),
            (InTurn([user("ann")], refused("Throttling", Throttled)), InTurn(summary(1))),
        ],
        ids=["summary disagrees", "no summary", "listing denied", "listing throttled"],
    )
    async def test_is_no_deletion_unless_a_listing_and_the_summary_agree(
        self, clock: FakeClock, listings: InTurn, summaries: InTurn
    ) -> None:
        iam = Iam(ListUsers=listings, GetAccountSummary=summaries, ListAccessKeys=NOT_FOUND)
        found = await collect(iam, clock)
        assert found.gaps[Kind.ACCESS_KEYS].code == "UserNotFound"
        assert found.answers[Kind.ACCESS_KEYS]["deleted_users"] == []
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == ["ann"]

    @pytest.mark.parametrize("error", [BROKEN, IntegrityError("another account")])
    async def test_and_a_caller_that_breaks_meanwhile_is_raised(
        self, clock: FakeClock, error: Exception
    ) -> None:
        iam = Iam(
            ListUsers=InTurn([user("ann")], error),
            GetAccountSummary=summary(1),
            ListAccessKeys=NOT_FOUND,
        )
        with pytest.raises(type(error)):
            await collect(iam, clock)

    async def test_out_of_time_the_summary_read_before_is_kept(self, clock: FakeClock) -> None:
        async def people(**_parameters: Any) -> Any:
            if iam.count("ListUsers") > 1:
                await asyncio.sleep(0.2)
            return [user("ann")]

        async def counts() -> Any:
            if iam.count("GetAccountSummary") > 1:
                await asyncio.Event().wait()
            return summary(1)

        iam = Iam(ListUsers=people, GetAccountSummary=counts, ListAccessKeys=NOT_FOUND)
        # The keys run out of time while the second summary is under way, which has some left.
        limits = replace(LIMITS, account_seconds=0.3, calls_per_second=1_000)
        found = await collect(iam, clock, limits)
        assert iam.count("GetAccountSummary") == 2
        assert code(found, Kind.ACCESS_KEYS) == "Timeout"
        assert found.answers[Kind.ACCOUNT_SUMMARY]["Users"] == 1


class TestUsersThatAreNotListed:
    """The report or the account summary knows more users than ListUsers returns."""

    ANN, BEN, CID = user("ann"), user("ben"), user("cid")

    def iam(self, *listings: Any, counts: Any = None, **more: Any) -> Iam:
        everybody = (self.ANN, self.BEN, self.CID)
        return Iam(
            GetCredentialReport=sent(
                report(*(row(one, key(one["UserName"])) for one in everybody))
            ),
            GetAccountSummary=summary(3) if counts is None else counts,
            ListUsers=InTurn(*listings),
            ListAccessKeys=ByUser({name: [key(name)] for name in ("ann", "ben", "cid")}),
            **more,
        )

    async def test_are_found_by_the_second_listing(self, clock: FakeClock) -> None:
        iam = self.iam([self.ANN], [self.ANN, self.BEN, self.CID])
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.users == [name for name, _ in found.keys] == ["ann", "ben", "cid"]
        assert iam.count("ListUsers") == iam.count("GetAccountSummary") == 2

    async def test_are_not_looked_for_where_all_sources_agree(self, clock: FakeClock) -> None:
        iam = self.iam([self.ANN, self.BEN, self.CID])
        assert (await collect(iam, clock)).gaps == {}
        assert iam.count("ListUsers") == iam.count("GetAccountSummary") == 1

    @pytest.mark.parametrize("listing", [[], [user("ann")]], ids=["none", "some"])
    async def test_for_ever_are_a_gap_and_those_listed_are_kept(
        self, clock: FakeClock, listing: list[Any]
    ) -> None:
        iam = self.iam(listing)
        found = await collect(iam, clock)
        assert code(found, Kind.USERS) == "UsersNotConfirmed"
        reason = found.gaps[Kind.USERS].reason
        assert "the account summary counts 3" in reason
        listed, first, more = (
            ("1 user", "'ben'", "1 more user") if listing else ("0 users", "'ann'", "2 more users")
        )
        assert f"ListUsers returned {listed} in two listings" in reason
        assert f"not listed: {first} and {more} of the credential report" in reason
        assert found.users == [one["UserName"] for one in listing]
        assert iam.count("ListUsers") == iam.count("GetAccountSummary") == 2

    async def test_users_of_both_listings_are_kept_the_second_ones_description_first(
        self, clock: FakeClock
    ) -> None:
        again = user("ann", created=LATER, number=1)
        found = await collect(self.iam([self.ANN, self.BEN], [again, self.CID]), clock)
        assert code(found, Kind.USERS) == "UsersNotConfirmed"
        assert found.users == ["ann", "ben", "cid"]
        assert found.answers[Kind.USERS][0]["UserId"] == again["UserId"]

    async def test_that_only_the_summary_counts_are_a_gap(self, clock: FakeClock) -> None:
        iam = Iam(ListUsers=[self.ANN], GetAccountSummary=summary(2))
        found = await collect(iam, clock)
        assert code(found, Kind.USERS) == "UsersNotConfirmed"
        assert "the account summary counts 2" in found.gaps[Kind.USERS].reason

    async def test_without_a_report_the_summary_alone_finds_them(self, clock: FakeClock) -> None:
        iam = self.iam([], [self.ANN, self.BEN, self.CID])
        iam._answers["GenerateCredentialReport"] = DENIED
        found = await collect(iam, clock)
        assert code(found, Kind.CREDENTIAL_REPORT) == "AccessDenied"
        assert found.users == ["ann", "ben", "cid"]

    async def test_because_they_were_deleted_are_no_gap(self, clock: FakeClock) -> None:
        iam = self.iam([self.BEN], counts=summary(1))
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.users == ["ben"]
        # Deletion takes a second listing that the account summary agrees with.
        assert iam.count("ListUsers") == iam.count("GetAccountSummary") == 2

    async def test_all_of_them_because_they_were_deleted_are_no_gap(self, clock: FakeClock) -> None:
        found = await collect(self.iam([], counts=summary(0)), clock)
        assert found.gaps == {}
        assert found.users == found.keys == []

    async def test_and_a_summary_that_counted_a_deleted_user_is_read_again(
        self, clock: FakeClock
    ) -> None:
        counts = InTurn(summary(3), summary(2))
        found = await collect(self.iam([self.ANN, self.BEN], counts=counts), clock)
        assert found.gaps == {}
        assert found.answers[Kind.ACCOUNT_SUMMARY]["Users"] == 2

    async def test_without_a_summary_they_are_a_gap(self, clock: FakeClock) -> None:
        found = await collect(self.iam([self.ANN, self.BEN], counts=DENIED), clock)
        assert set(found.gaps) == {Kind.USERS, Kind.ACCOUNT_SUMMARY}
        said = (
            "ListUsers returned 2 users in two listings, the account summary is not available to "
            "confirm it; not listed: 'cid'"
        )
        assert found.gaps[Kind.USERS].reason == said

    async def test_without_a_summary_a_second_listing_with_all_of_them_is_enough(
        self, clock: FakeClock
    ) -> None:
        listings = [self.ANN, self.BEN], [self.ANN, self.BEN, self.CID]
        found = await collect(self.iam(*listings, counts=DENIED), clock)
        assert code(found, Kind.ACCOUNT_SUMMARY) == "AccessDenied"
        assert found.users == ["ann", "ben", "cid"]

    async def test_without_a_summary_and_with_all_of_them_nothing_is_asked_again(
        self, clock: FakeClock
    ) -> None:
        iam = self.iam([self.ANN, self.BEN, self.CID], counts=DENIED)
        assert code(await collect(iam, clock), Kind.ACCOUNT_SUMMARY) == "AccessDenied"
        assert iam.count("ListUsers") == 1

    async def test_a_count_that_no_second_one_explains_is_a_gap(self, clock: FakeClock) -> None:
        everybody = [self.ANN, self.BEN, self.CID]
        found = await collect(self.iam(everybody, counts=InTurn(summary(4), DENIED)), clock)
        assert set(found.gaps) == {Kind.USERS, Kind.ACCOUNT_SUMMARY}
        assert found.gaps[Kind.USERS].code == "UsersNotConfirmed"

    async def test_and_a_second_listing_that_fails_leaves_the_first_with_a_gap(
        self, clock: FakeClock
    ) -> None:
        found = await collect(self.iam([self.ANN, self.BEN], DENIED), clock)
        assert code(found, Kind.USERS) == "AccessDenied"
        assert found.gaps[Kind.USERS].reason == "the second listing failed: it said AccessDenied"
        assert found.users == [name for name, _ in found.keys] == ["ann", "ben"]

    async def test_and_a_caller_that_breaks_at_the_second_listing_is_raised(
        self, clock: FakeClock
    ) -> None:
        with pytest.raises(CallerBroken):
            await collect(self.iam([self.ANN], BROKEN), clock)

    async def test_a_summary_that_hangs_costs_neither_users_nor_keys(
        self, clock: FakeClock
    ) -> None:
        async def hang() -> None:
            await asyncio.Event().wait()

        everybody = [self.ANN, self.BEN, self.CID]
        limits = replace(LIMITS, account_seconds=0.01)
        found = await collect(self.iam(everybody, counts=hang), clock, limits)
        assert code(found, Kind.ACCOUNT_SUMMARY) == "Timeout"
        assert found.users == [name for name, _ in found.keys] == ["ann", "ben", "cid"]

    @pytest.mark.parametrize("lost", ["Users", "AccountMFAEnabled", "AccountAccessKeysPresent"])
    @pytest.mark.parametrize("value", [None, "3"])
    async def test_a_summary_without_a_count_is_malformed(
        self, clock: FakeClock, lost: str, value: Any
    ) -> None:
        counts = summary(3)
        counts["SummaryMap"][lost] = value
        found = await collect(self.iam([self.ANN, self.BEN, self.CID], counts=counts), clock)
        assert code(found, Kind.ACCOUNT_SUMMARY) == "MalformedAnswer"
        assert lost in found.gaps[Kind.ACCOUNT_SUMMARY].reason


PROFILE = {"LoginProfile": {"UserName": "ann", "CreateDate": LATER}}


class TestNewerThanTheReport:
    """Users and keys that the report does not describe are asked about directly."""

    def iam(self, *rows: dict[str, str], listed: Any = (), **more: Any) -> Iam:
        people = list(listed) or [user("ann", created=LATER)]
        given = {
            "GetCredentialReport": sent(report(*rows)),
            "GetAccountSummary": summary(len(people)),
            "ListUsers": people,
            **more,
        }
        return Iam(**given)

    async def test_a_new_user(self, clock: FakeClock) -> None:
        certificate = {"CertificateId": "C" * 24, "Status": "Active", "UploadDate": LATER}
        device = {"SerialNumber": "arn:mfa/ann", "EnableDate": LATER, "UserName": "ann"}
        iam = self.iam(
            GetLoginProfile=PROFILE,
            ListMFADevices=[device],
            ListSigningCertificates=[{**certificate, "CertificateBody": "PEM"}],
            ListAccessKeys=[key("1", created=LATER)],
        )
        found = await collect(iam, clock)
        assert found.gaps == {}
        at = LATER.isoformat()
        assert found.details == {
            "ann": {
                "login_profile": {"CreateDate": at},
                "mfa_devices": [{"SerialNumber": "arn:mfa/ann", "EnableDate": at}],
                "signing_certificates": [{**certificate, "UploadDate": at}],
            }
        }
        assert found.uses == {key_id("1"): NEVER_USED}

    async def test_a_user_created_just_before_the_report(self, clock: FakeClock) -> None:
        settling = user("ann", created=NOW - timedelta(minutes=14))
        found = await collect(self.iam(listed=[settling]), clock)
        assert set(found.details) == {"ann"}

    async def test_a_user_created_again(self, clock: FakeClock) -> None:
        again = user("ann", created=LATER, number=1)
        iam = self.iam(row(user("ann"), key("1")), listed=[again], GetLoginProfile=PROFILE)
        iam._answers["ListAccessKeys"] = [key("2", created=LATER)]
        found = await collect(iam, clock)
        # The former user is not listed any more; the second listing and the summary agree.
        assert found.gaps == {}
        assert iam.count("ListUsers") == 2
        assert found.details["ann"]["login_profile"] == {"CreateDate": LATER.isoformat()}
        assert list(found.uses) == [key_id("2")]

    async def test_a_renamed_user_and_its_key(self, clock: FakeClock) -> None:
        iam = self.iam(row(user("anna"), key("1")), listed=[user("ann")], ListAccessKeys=[key("1")])
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert set(found.details) == {"ann"}
        assert list(found.uses) == [key_id("1")]

    async def test_is_no_user_that_was_cut_from_the_report(self, clock: FakeClock) -> None:
        old = [user(name, created=NOW - timedelta(days=9)) for name in ("ann", "ben")]
        keys = ByUser({"ann": [key("1")]}, default=[key("2")])
        iam = self.iam(row(old[0]), listed=old, ListAccessKeys=keys)
        found = await collect(iam, clock)
        assert found.details == {}
        assert iam.about("GetAccessKeyLastUsed", "AccessKeyId") == [key_id("1")]
        # The key of ann is in no slot; ben is not described at all.
        assert iam.count("GetLoginProfile") == 0

    async def test_without_a_report_nobody_is_asked_about(self, clock: FakeClock) -> None:
        iam = self.iam(GetCredentialReport=DENIED, ListAccessKeys=[key("1", created=LATER)])
        found = await collect(iam, clock)
        assert code(found, Kind.CREDENTIAL_REPORT) == "AccessDenied"
        assert (found.details, found.uses) == ({}, {})

    async def test_a_key(self, clock: FakeClock) -> None:
        ann = user("ann")
        use = {"LastUsedDate": LATER, "Region": "eu-west-1", "ServiceName": "s3"}
        iam = self.iam(
            row(ann, key("1")),
            listed=[ann],
            ListAccessKeys=[key("1"), key("2", created=LATER)],
            GetAccessKeyLastUsed={"AccessKeyLastUsed": use, "UserName": "ann"},
        )
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.details == {}
        assert found.uses == {key_id("2"): {**use, "LastUsedDate": LATER.isoformat()}}

    async def test_a_key_that_another_of_its_second_might_be(self, clock: FakeClock) -> None:
        ann = user("ann")
        iam = self.iam(
            row(ann, key("1"), key("2")), listed=[ann], ListAccessKeys=[key("1"), key("2")]
        )
        found = await collect(iam, clock)
        assert list(found.uses) == [key_id("1"), key_id("2")]

    async def test_a_key_of_a_user_deleted_since_is_not_asked_about(self, clock: FakeClock) -> None:
        young = user("ann", created=LATER)
        iam = self.iam(
            ListUsers=InTurn([young], []),
            GetAccountSummary=InTurn(summary(1), summary(0)),
            ListAccessKeys=NOT_FOUND,
        )
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert (found.details, found.uses) == ({}, {})

    async def test_keys_that_could_not_be_listed_are_not_asked_about(
        self, clock: FakeClock
    ) -> None:
        found = await collect(self.iam(ListAccessKeys=DENIED), clock)
        assert code(found, Kind.ACCESS_KEYS) == "AccessDenied"
        assert found.uses == {}
        assert set(found.details) == {"ann"}

    @pytest.mark.parametrize(("refusals", "calls"), [(0, 1), (1, 2), (2, 3)])
    async def test_a_password_that_is_not_found_at_first_is_found(
        self, clock: FakeClock, refusals: int, calls: int
    ) -> None:
        iam = self.iam(GetLoginProfile=InTurn(*[NO_PROFILE] * refusals, PROFILE))
        found = await collect(iam, clock)
        assert found.details["ann"]["login_profile"] == {"CreateDate": LATER.isoformat()}
        assert iam.count("GetLoginProfile") == calls

    async def test_unknown_to_get_login_profile_a_listed_user_is_a_gap_and_not_without_password(
        self, clock: FakeClock
    ) -> None:
        iam = self.iam(GetLoginProfile=NOT_FOUND)
        found = await collect(iam, clock)
        assert code(found, Kind.USER_DETAILS) == "NoSuchEntity"
        assert "ann" not in found.details
        assert iam.count("GetLoginProfile") == 5

    async def test_no_password_takes_three_answers(self, clock: FakeClock) -> None:
        iam = self.iam()
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.details["ann"]["login_profile"] is None
        assert iam.count("GetLoginProfile") == len(clock.slept) + 1 == 3

    @pytest.mark.parametrize("action", ["ListMFADevices", "ListSigningCertificates"])
    async def test_a_user_that_is_not_found_at_first_is_asked_about_again(
        self, clock: FakeClock, action: str
    ) -> None:
        found = await collect(self.iam(**{action: InTurn(NOT_FOUND, [])}), clock)
        assert found.gaps == {}
        assert set(found.details) == {"ann"}

    async def test_a_certificate_missing_from_one_listing_is_found(self, clock: FakeClock) -> None:
        certificate = {"CertificateId": "C" * 24, "Status": "Active"}
        found = await collect(self.iam(ListSigningCertificates=InTurn([], [certificate])), clock)
        assert found.details["ann"]["signing_certificates"] == [certificate]

    @pytest.mark.parametrize(
        "action", ["GetLoginProfile", "ListMFADevices", "ListSigningCertificates"]
    )
    @pytest.mark.parametrize("error", [DENIED, refused("Throttling", Throttled)], ids=str)
    async def test_whatever_is_refused_about_a_user_is_a_gap_and_others_are_kept(
        self, clock: FakeClock, action: str, error: Exception
    ) -> None:
        people = [user("ann", created=LATER), user("ben", created=LATER)]
        otherwise = NO_PROFILE if action == "GetLoginProfile" else []
        answers = {action: ByUser({"ann": error}, default=otherwise)}
        keys = ByUser({"ann": [key("1", created=LATER)]})
        iam = self.iam(listed=people, ListAccessKeys=keys, **answers)
        found = await collect(iam, clock)
        assert code(found, Kind.USER_DETAILS) == error.code  # type: ignore[attr-defined]
        assert set(found.details) == {"ben"}
        assert list(found.uses) == [key_id("1")]

    async def test_a_last_use_that_is_refused_is_a_gap_and_others_are_kept(
        self, clock: FakeClock
    ) -> None:
        iam = self.iam(
            ListAccessKeys=[key("1", created=LATER), key("2", created=LATER)],
            GetAccessKeyLastUsed=ByUser(
                {key_id("1"): DENIED}, default={"AccessKeyLastUsed": NEVER_USED}
            ),
        )
        found = await collect(iam, clock)
        assert code(found, Kind.USER_DETAILS) == "AccessDenied"
        assert set(found.details) == {"ann"}
        assert list(found.uses) == [key_id("2")]

    @pytest.mark.parametrize("error", [BROKEN, IntegrityError("another account")])
    async def test_a_broken_caller_is_raised(self, clock: FakeClock, error: Exception) -> None:
        with pytest.raises(type(error)):
            await collect(self.iam(ListMFADevices=error), clock)

    async def test_in_no_time_is_a_gap(self, clock: FakeClock) -> None:
        async def hang(**_parameters: Any) -> None:
            await asyncio.Event().wait()

        ann = user("ann")
        iam = self.iam(row(ann), listed=[ann], ListAccessKeys=[key("1")], GetAccessKeyLastUsed=hang)
        limits = replace(LIMITS, account_seconds=0.01, calls_per_second=1_000)
        found = await collect(iam, clock, limits)
        assert code(found, Kind.USER_DETAILS) == "Timeout"

    @pytest.mark.parametrize(
        ("action", "given"),
        [
            ("GetLoginProfile", {"LoginProfile": {"UserName": "ben", "CreateDate": LATER}}),
            ("GetLoginProfile", {"LoginProfile": {"UserName": "ann"}}),
            ("GetLoginProfile", {"LoginProfile": {}}),
            ("ListMFADevices", [{"SerialNumber": "", "EnableDate": LATER}]),
            ("ListMFADevices", [{"SerialNumber": "1"}]),
            ("ListMFADevices", [{"SerialNumber": "1", "EnableDate": LATER, "UserName": "ben"}]),
            ("ListSigningCertificates", [{"CertificateId": "1"}]),
            ("ListSigningCertificates", [{"Status": "Active"}]),
            (
                "ListSigningCertificates",
                [{"CertificateId": "1", "Status": "Active", "UserName": "ben"}],
            ),
            ("GetAccessKeyLastUsed", {"AccessKeyLastUsed": None}),
            ("GetAccessKeyLastUsed", {"AccessKeyLastUsed": {}}),
            ("GetAccessKeyLastUsed", {"AccessKeyLastUsed": {"Region": "N/A"}}),
            ("GetAccessKeyLastUsed", {"AccessKeyLastUsed": {**NEVER_USED, "Region": ""}}),
        ],
        ids=str,
    )
    async def test_an_answer_that_lacks_a_member_or_is_about_another_is_malformed(
        self, clock: FakeClock, action: str, given: Any
    ) -> None:
        iam = self.iam(ListAccessKeys=[key("1", created=LATER)], **{action: given})
        found = await collect(iam, clock)
        assert code(found, Kind.USER_DETAILS) == "MalformedAnswer"


class TestKeysMissingFromAListing:
    ANN = user("ann")

    def iam(self, *listings: Any, **more: Any) -> Iam:
        known = report(row(self.ANN, key("1"), key("2", created=NOW - timedelta(days=9))))
        given = {
            "GetCredentialReport": sent(known),
            "ListUsers": [self.ANN],
            "ListAccessKeys": InTurn(*listings),
            **more,
        }
        return Iam(**given)

    BOTH = (key("1"), key("2", created=NOW - timedelta(days=9)))

    async def test_that_lacks_none_it_is_not_repeated(self, clock: FakeClock) -> None:
        iam = self.iam([*self.BOTH])
        assert len((await collect(iam, clock)).keys) == 2
        assert iam.count("ListAccessKeys") == 1

    @pytest.mark.parametrize("first", [[], [BOTH[0]], [BOTH[1]]], ids=len)
    async def test_are_found_by_later_ones(self, clock: FakeClock, first: list[Any]) -> None:
        iam = self.iam(first, [*self.BOTH])
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert len(found.keys) == 2
        # One that lacked a key, and two that agree.
        assert iam.count("ListAccessKeys") == 3

    async def test_were_deleted_if_two_in_a_row_agree(self, clock: FakeClock) -> None:
        iam = self.iam([self.BOTH[0]])
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.keys == [("ann", key_id("1"))]
        assert iam.count("ListAccessKeys") == 2

    async def test_of_one_second_are_counted(self, clock: FakeClock) -> None:
        twins = [key("1"), key("2")]
        iam = self.iam([key("1")], twins)
        iam._answers["GetCredentialReport"] = sent(report(row(self.ANN, *twins)))
        assert len((await collect(iam, clock)).keys) == 2

    async def test_that_never_agree_are_a_gap_and_the_keys_of_others_are_kept(
        self, clock: FakeClock
    ) -> None:
        one, other = [[item] for item in self.BOTH]
        ben = user("ben")
        iam = self.iam(
            ListUsers=[self.ANN, ben],
            ListAccessKeys=ByUser({"ann": InTurn(one, other, one, other), "ben": [key("3")]}),
        )
        iam._answers["GetAccountSummary"] = summary(2)
        iam._answers["GetCredentialReport"] = sent(
            report(row(self.ANN, *self.BOTH), row(ben, key("3")))
        )
        found = await collect(iam, clock)
        assert code(found, Kind.ACCESS_KEYS) == "ListingsDisagree"
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == ["ann"]
        assert found.keys == [("ben", key_id("3"))]
        assert iam.count("ListAccessKeys", UserName="ann") == 4

    async def test_of_a_user_that_no_report_confirms_take_two(self, clock: FakeClock) -> None:
        young = user("ann", created=LATER)
        iam = self.iam([], [key("1")], ListUsers=[young])
        iam._answers["GetCredentialReport"] = sent()
        found = await collect(iam, clock)
        assert found.keys == [("ann", key_id("1"))]

    async def test_without_a_report_are_listed_once(self, clock: FakeClock) -> None:
        iam = self.iam([key("1")], GetCredentialReport=DENIED)
        await collect(iam, clock)
        assert iam.count("ListAccessKeys") == 1

    async def test_that_never_agree_after_the_user_was_not_found_are_a_gap(
        self, clock: FakeClock
    ) -> None:
        one, other = [[item] for item in self.BOTH]
        found = await collect(self.iam(NOT_FOUND, one, other, one, other), clock)
        assert code(found, Kind.ACCESS_KEYS) == "ListingsDisagree"
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == ["ann"]


class TestItems:
    """An item without what identifies or describes it."""

    @pytest.mark.parametrize("identity", ["", "AKIA", "A" * 15, "A" * 129, "AKIA 000000000000001"])
    async def test_an_access_key_id_that_is_none_is_malformed(
        self, clock: FakeClock, identity: str
    ) -> None:
        keys = [{**key("1"), "AccessKeyId": identity}]
        found = await collect(Iam(ListUsers=[user("ann")], ListAccessKeys=keys), clock)
        assert code(found, Kind.ACCESS_KEYS) == "MalformedAnswer"

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("UserId", ""),
            ("UserId", "AIDA"),
            ("UserName", ""),
            ("UserName", "an"),
            ("Arn", ""),
            ("Arn", "arn:aws:iam::012345678901:user/ben"),
            ("CreateDate", None),
            ("CreateDate", "2026-11-03T12:00:00Z"),
        ],
    )
    async def test_a_user_that_is_not_described_is_malformed(
        self, clock: FakeClock, member: str, value: Any
    ) -> None:
        listed = [{**user("ann"), member: value}, user("ben")]
        found = await collect(Iam(ListUsers=listed, GetAccountSummary=summary(2)), clock)
        assert found.gaps[Kind.USERS].code == "MalformedAnswer"
        assert set(found.gaps) == {Kind.USERS, Kind.ACCESS_KEYS}

    @pytest.mark.parametrize("status", ["", None, 1])
    async def test_a_key_without_a_status_is_malformed(self, clock: FakeClock, status: Any) -> None:
        keys = [key("1", Status=status)]
        found = await collect(Iam(ListUsers=[user("ann")], ListAccessKeys=keys), clock)
        assert code(found, Kind.ACCESS_KEYS) == "MalformedAnswer"

    async def test_a_status_that_is_not_known_is_kept_as_it_is(self, clock: FakeClock) -> None:
        keys = [key("1", Status="Dormant")]
        found = await collect(Iam(ListUsers=[user("ann")], ListAccessKeys=keys), clock)
        assert found.answers[Kind.ACCESS_KEYS]["keys"][0]["Status"] == "Dormant"

    async def test_a_key_described_in_two_ways_is_malformed(self, clock: FakeClock) -> None:
        keys = [[key("1")], [key("1", Status="Inactive")]]
        found = await collect(Iam(ListUsers=[user("ann")], ListAccessKeys=keys), clock)
        assert code(found, Kind.ACCESS_KEYS) == "MalformedAnswer"
        assert "AccessKeyId in two ways" in found.gaps[Kind.ACCESS_KEYS].reason

    async def test_a_user_described_in_two_ways_is_malformed(self, clock: FakeClock) -> None:
        listed = [[user("ann")], [user("ann", number=1)]]
        found = await collect(Iam(ListUsers=listed), clock)
        assert "UserName in two ways" in found.gaps[Kind.USERS].reason


def credential(number: int = 1, name: str = "ann", **more: Any) -> dict[str, Any]:
    return {
        "ServiceSpecificCredentialId": f"ACCA{number:016}",
        "UserName": name,
        "Status": "Active",
        "ServiceName": "bedrock.amazonaws.com",
        "CreateDate": NOW,
        **more,
    }


class TestServiceCredentials:
    async def test_are_listed_until_two_listings_agree(self, clock: FakeClock) -> None:
        listings = InTurn([], [credential()], [credential()])
        iam = Iam(ListUsers=[user("ann")], ListServiceSpecificCredentials=listings)
        found = await collect(iam, clock)
        assert len(found.answers[Kind.SERVICE_SPECIFIC_CREDENTIALS]) == 1
        assert iam.count("ListServiceSpecificCredentials", AllUsers=True) == 3

    async def test_that_agree_take_two_listings(self, clock: FakeClock) -> None:
        iam = Iam(ListServiceSpecificCredentials=[])
        assert (await collect(iam, clock)).gaps == {}
        assert iam.count("ListServiceSpecificCredentials") == 2

    async def test_that_never_agree_are_a_gap(self, clock: FakeClock) -> None:
        listings = InTurn([], [credential()], [], [credential()])
        iam = Iam(ListServiceSpecificCredentials=listings)
        found = await collect(iam, clock)
        assert code(found, Kind.SERVICE_SPECIFIC_CREDENTIALS) == "ListingsDisagree"
        assert iam.count("ListServiceSpecificCredentials") == 4

    @pytest.mark.parametrize("word", ["NotSupportedService", "ServiceNotSupported"])
    async def test_that_are_not_supported_are_none(self, clock: FakeClock, word: str) -> None:
        found = await collect(Iam(ListServiceSpecificCredentials=refused(word)), clock)
        assert found.gaps == {}
        assert found.answers[Kind.SERVICE_SPECIFIC_CREDENTIALS] == []

    @pytest.mark.parametrize("error", [DENIED, refused("Odd"), NOT_FOUND], ids=str)
    async def test_that_are_refused_are_a_gap(self, clock: FakeClock, error: Any) -> None:
        found = await collect(Iam(ListServiceSpecificCredentials=error), clock)
        assert code(found, Kind.SERVICE_SPECIFIC_CREDENTIALS) == error.code

    async def test_keep_what_is_evaluated_and_no_secret(self, clock: FakeClock) -> None:
        expires = credential(ExpirationDate=LATER)
        iam = Iam(
            ListServiceSpecificCredentials=[
                {**expires, "ServicePassword": "secret", "ServiceUserName": "ann-at-1"}
            ]
        )
        evidence, found = await service_credentials.collect_service_credentials(iam, clock)
        assert found == [expires]
        assert b"secret" not in evidence.content

    @pytest.mark.parametrize(
        ("member", "value"),
        [
            ("ServiceSpecificCredentialId", ""),
            ("ServiceSpecificCredentialId", "ACCA"),
            ("UserName", ""),
            ("Status", None),
            ("ServiceName", ""),
            ("CreateDate", None),
            ("ExpirationDate", "2026-11-03"),
            ("ExpirationDate", None),
        ],
    )
    async def test_without_a_member_are_malformed(
        self, clock: FakeClock, member: str, value: Any
    ) -> None:
        iam = Iam(ListServiceSpecificCredentials=[credential(**{member: value})])
        found = await collect(iam, clock)
        assert code(found, Kind.SERVICE_SPECIFIC_CREDENTIALS) == "MalformedAnswer"
        assert member in found.gaps[Kind.SERVICE_SPECIFIC_CREDENTIALS].reason


class TestSshKeys:
    """Asked for users without any other credential alone."""

    async def asked(self, clock: FakeClock, name: str = "ann", **answers: Any) -> bool:
        """Whether they were asked about one user."""
        iam = Iam(**{"ListUsers": [user(name)], **answers})
        await collect(iam, clock)
        return iam.about("ListSSHPublicKeys") == [name, name]  # two listings agree

    async def test_of_a_user_without_credentials_are_kept(self, clock: FakeClock) -> None:
        ssh = {"SSHPublicKeyId": "APKA000000000000", "Status": "Active"}
        iam = Iam(
            ListUsers=[user("ann")],
            ListSSHPublicKeys=InTurn(NOT_FOUND, [{**ssh, "UserName": "ann", "UploadDate": NOW}]),
        )
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.answers[Kind.SSH_PUBLIC_KEYS] == {"ann": [ssh]}

    @pytest.mark.parametrize(
        ("cells", "asked"),
        [
            ({}, True),
            ({"password_enabled": "FALSE"}, True),
            ({"password_enabled": "true"}, False),
            ({"password_enabled": "not_supported"}, False),
            ({"cert_1_active": "true"}, False),
            ({"cert_2_active": "TRUE"}, False),
        ],
        ids=str,
    )
    async def test_depend_on_the_report_row(
        self, clock: FakeClock, cells: dict[str, str], *, asked: bool
    ) -> None:
        content = sent(report(row(user("ann"), **cells)))
        assert await self.asked(clock, GetCredentialReport=content) is asked

    @pytest.mark.parametrize(
        ("status", "asked"), [("Active", False), ("Inactive", True), ("Expired", True)]
    )
    async def test_depend_on_access_keys(
        self, clock: FakeClock, status: str, *, asked: bool
    ) -> None:
        assert await self.asked(clock, ListAccessKeys=[key("1", Status=status)]) is asked

    @pytest.mark.parametrize(
        ("item", "asked"),
        [
            (credential(), False),
            (credential(Status="Inactive"), True),
            (credential(name="ben"), True),
        ],
        ids=["active", "inactive", "another's"],
    )
    async def test_depend_on_service_credentials(
        self, clock: FakeClock, item: dict[str, Any], *, asked: bool
    ) -> None:
        assert await self.asked(clock, ListServiceSpecificCredentials=[item]) is asked

    @pytest.mark.parametrize(
        ("answers", "asked"),
        [
            ({}, True),
            ({"GetLoginProfile": PROFILE}, False),
            (
                {"ListSigningCertificates": [{"CertificateId": "C" * 24, "Status": "Active"}]},
                False,
            ),
            (
                {"ListSigningCertificates": [{"CertificateId": "C" * 24, "Status": "Inactive"}]},
                True,
            ),
            ({"ListMFADevices": DENIED}, False),
        ],
        ids=["nothing", "password", "certificate", "inactive certificate", "not known"],
    )
    async def test_of_a_user_newer_than_the_report_depend_on_direct_answers(
        self, clock: FakeClock, answers: dict[str, Any], *, asked: bool
    ) -> None:
        given = {
            "ListUsers": [user("ann", created=LATER)],
            "GetCredentialReport": sent(),
            **answers,
        }
        assert await self.asked(clock, **given) is asked

    async def test_of_a_user_created_again_do_not_depend_on_the_former_one(
        self, clock: FakeClock
    ) -> None:
        former = sent(report(row(user("ann"), password_enabled="true")))
        again = [user("ann", created=LATER, number=1)]
        assert await self.asked(clock, ListUsers=again, GetCredentialReport=former)

    async def test_are_not_asked_for_where_keys_were_not_listed(self, clock: FakeClock) -> None:
        assert not await self.asked(clock, ListAccessKeys=DENIED)

    async def test_are_asked_for_where_service_credentials_were_not_listed(
        self, clock: FakeClock
    ) -> None:
        assert await self.asked(clock, ListServiceSpecificCredentials=DENIED)

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            (DENIED, "AccessDenied"),
            ([{"SSHPublicKeyId": "", "Status": "Active"}], "MalformedAnswer"),
            ([{"SSHPublicKeyId": "APKA000000000000"}], "MalformedAnswer"),
            (
                [{"SSHPublicKeyId": "A" * 20, "Status": "Active", "UserName": "ben"}],
                "MalformedAnswer",
            ),
        ],
        ids=["denied", "no id", "no status", "another's"],
    )
    async def test_that_cannot_be_read_are_a_gap(
        self, clock: FakeClock, given: Any, said: str
    ) -> None:
        found = await collect(Iam(ListUsers=[user("ann")], ListSSHPublicKeys=given), clock)
        assert code(found, Kind.SSH_PUBLIC_KEYS) == said


class TestVirtualDevices:
    """Without a virtual device of root, root's device would pass for a hardware one."""

    def iam(self, *listings: Any, mfa: str = "true", enabled: Any = 1) -> Iam:
        counts = (
            enabled if isinstance(enabled, Exception) else summary(1, AccountMFAEnabled=enabled)
        )
        return Iam(
            ListUsers=[user("ann")],
            GetCredentialReport=sent(report(first=root(mfa_active=mfa))),
            GetAccountSummary=counts,
            ListVirtualMFADevices=InTurn(*listings),
        )

    async def test_of_root_missing_once_is_found(self, clock: FakeClock) -> None:
        iam = self.iam([ANNS_DEVICE], [ANNS_DEVICE, ROOTS_DEVICE])
        found = await collect(iam, clock)
        assert ROOTS_DEVICE in found.answers[Kind.VIRTUAL_MFA_DEVICES]
        assert iam.count("ListVirtualMFADevices") == 3

    async def test_of_root_missing_twice_does_not_exist(self, clock: FakeClock) -> None:
        iam = self.iam([ANNS_DEVICE])
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert found.answers[Kind.VIRTUAL_MFA_DEVICES] == [ANNS_DEVICE]
        assert iam.count("ListVirtualMFADevices") == 2

    async def test_of_root_is_not_looked_for_again(self, clock: FakeClock) -> None:
        iam = self.iam([ROOTS_DEVICE])
        await collect(iam, clock)
        assert iam.count("ListVirtualMFADevices") == 1

    async def test_that_never_agree_are_a_gap(self, clock: FakeClock) -> None:
        found = await collect(self.iam([], [ANNS_DEVICE], [], [ANNS_DEVICE]), clock)
        assert code(found, Kind.VIRTUAL_MFA_DEVICES) == "ListingsDisagree"

    async def test_that_are_denied_the_second_time_are_a_gap(self, clock: FakeClock) -> None:
        found = await collect(self.iam([], DENIED), clock)
        assert code(found, Kind.VIRTUAL_MFA_DEVICES) == "AccessDenied"

    @pytest.mark.parametrize(
        ("mfa", "enabled", "times"),
        [
            ("false", 0, 1),
            ("FALSE", 0, 1),
            ("false", 1, 2),
            ("true", 0, 2),
            ("N/A", 0, 2),
            ("false", DENIED, 2),
        ],
    )
    async def test_are_confirmed_unless_both_sources_say_that_root_has_none(
        self, clock: FakeClock, mfa: str, enabled: Any, times: int
    ) -> None:
        iam = self.iam([], mfa=mfa, enabled=enabled)
        await collect(iam, clock)
        assert iam.count("ListVirtualMFADevices") == times

    async def test_are_confirmed_without_a_report(self, clock: FakeClock) -> None:
        iam = self.iam([])
        iam._answers["GetCredentialReport"] = DENIED
        await collect(iam, clock)
        assert iam.count("ListVirtualMFADevices") == 2

    @pytest.mark.parametrize("serial", ["", None])
    async def test_without_a_serial_number_are_malformed(
        self, clock: FakeClock, serial: Any
    ) -> None:
        found = await collect(self.iam([{"SerialNumber": serial}]), clock)
        assert code(found, Kind.VIRTUAL_MFA_DEVICES) == "MalformedAnswer"


class TestAgeOfTheReport:
    """By the Date of the answer that brings the report, never by the clock of this machine."""

    async def attempt(self, clock: FakeClock, *answers: dict[str, Any]) -> tuple[Iam, Any]:
        iam = Iam(GetCredentialReport=InTurn(*answers))
        return iam, await credential_report.collect_credential_report(iam, clock, timeout=300)

    @pytest.mark.parametrize(
        "age",
        [
            timedelta(minutes=-5),
            timedelta(),
            timedelta(hours=4),
            timedelta(hours=4, minutes=4, seconds=59),
        ],
        ids=str,
    )
    async def test_that_aws_would_return_is_accepted(
        self, clock: FakeClock, age: timedelta
    ) -> None:
        iam, evidence = await self.attempt(clock, sent(generated=NOW - age))
        assert evidence.generated_at == NOW - age
        assert iam.count("GetCredentialReport") == 1
        assert clock.slept == []

    @pytest.mark.parametrize("shift", [timedelta(days=400), timedelta(days=-400)], ids=str)
    async def test_is_not_measured_by_this_machine(
        self, clock: FakeClock, shift: timedelta
    ) -> None:
        clock._started += shift
        iam, evidence = await self.attempt(clock, sent())
        assert (iam.count("GetCredentialReport"), evidence.generated_at) == (1, NOW)

    WRONG = (
        ("ReportFromFuture", sent(generated=NOW + timedelta(minutes=5, seconds=2))),
        ("ReportFromFuture", sent(generated=NOW + timedelta(days=400))),
        ("ReportTooOld", sent(generated=NOW - timedelta(hours=4, minutes=5))),
        ("ReportTooOld", sent(generated=NOW - timedelta(days=400))),
        ("ReportAgeUnknown", sent(date=None)),
        ("ReportAgeUnknown", sent(date="")),
        ("ReportAgeUnknown", sent(date="yesterday")),
        ("ReportAgeUnknown", sent(date="Tue, 03 Nov 99999999999999999999 12:00:00 GMT")),
        ("ReportAgeUnknown", sent(date="Tue, 03 Nov 2026 12:00:00 +999999")),
        ("ReportAgeUnknown", sent(date="Fri, 31 Dec 9999 23:59:59 -2300")),
        ("ReportAgeUnknown", {"Content": REPORT, "GeneratedTime": NOW}),
    )

    @pytest.mark.parametrize(("word", "wrong"), WRONG)
    async def test_that_is_impossible_is_asked_about_once_more(
        self, clock: FakeClock, word: str, wrong: dict[str, Any]
    ) -> None:
        iam, evidence = await self.attempt(clock, wrong, sent())
        assert evidence.content == REPORT
        assert iam.count("GetCredentialReport") == iam.count("GenerateCredentialReport") == 2
        assert clock.slept, word

    @pytest.mark.parametrize(("word", "wrong"), WRONG)
    async def test_that_stays_impossible_is_a_gap_with_its_code(
        self, clock: FakeClock, word: str, wrong: dict[str, Any]
    ) -> None:
        iam = Iam(GetCredentialReport=wrong)
        found = await collect(iam, clock)
        assert code(found, Kind.CREDENTIAL_REPORT) == word
        assert iam.count("GetCredentialReport") == 2

    async def test_is_told_with_both_times_in_utc(self, clock: FakeClock) -> None:
        late = sent(generated=NOW - timedelta(hours=9), date="Tue, 03 Nov 2026 14:00:00 +0200")
        with pytest.raises(Malformed) as caught:
            await self.attempt(clock, late)
        assert "is dated 2026-11-03 03:00 UTC and was sent 2026-11-03 12:00 UTC" in str(
            caught.value
        )

    async def test_in_an_old_form_of_http_dates_is_read(self, clock: FakeClock) -> None:
        _, evidence = await self.attempt(clock, sent(date="Tue, 03 Nov 2026 12:00:01 -0000"))
        assert evidence.generated_at == NOW


OLD = NOW - timedelta(days=400)


class TestCreationTimes:
    """Of keys, against the report: neither may make a key look younger than it is."""

    def iam(self, created: datetime, slot: datetime = OLD) -> Iam:
        ann = user("ann", OLD)
        content = report(row(ann, key("1", slot)))
        return Iam(
            ListUsers=[ann], ListAccessKeys=[key("1", created)], GetCredentialReport=sent(content)
        )

    async def test_that_the_report_must_know_and_contradicts_are_a_gap(
        self, clock: FakeClock
    ) -> None:
        found = await collect(self.iam(NOW - timedelta(days=4)), clock)
        assert code(found, Kind.ACCESS_KEYS) == "KeysContradictReport"
        assert found.gaps[Kind.ACCESS_KEYS].usable
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == ["ann"]
        assert found.keys == []

    @pytest.mark.parametrize(
        "created", [NOW - timedelta(minutes=14), NOW + timedelta(hours=3)], ids=str
    )
    async def test_of_a_key_that_replaced_another_since_the_report_are_fine(
        self, clock: FakeClock, created: datetime
    ) -> None:
        found = await collect(self.iam(created), clock)
        assert found.gaps == {}
        assert found.keys == [("ann", key_id("1"))]

    async def test_of_a_key_the_report_lacks_although_older_are_kept(
        self, clock: FakeClock
    ) -> None:
        ann = user("ann", OLD)
        iam = Iam(
            ListUsers=[ann],
            ListAccessKeys=[key("1", OLD), key("2", NOW - timedelta(days=4))],
            GetCredentialReport=sent(report(row(ann, key("1", OLD)))),
        )
        found = await collect(iam, clock)
        assert found.gaps == {}
        assert set(found.uses) == {key_id("2")}

    async def test_in_the_future_are_malformed(self, clock: FakeClock) -> None:
        found = await collect(self.iam(NOW + timedelta(days=2)), clock)
        assert code(found, Kind.ACCESS_KEYS) == "MalformedAnswer"


class TestImpossible:
    """Well-formed answers that IAM never gives."""

    @pytest.mark.parametrize("name", ["Users", "AccountAccessKeysPresent", "Groups"])
    async def test_counts_are_malformed(self, clock: FakeClock, name: str) -> None:
        iam = Iam(GetAccountSummary=summary(0, **{name: -1}))
        assert code(await collect(iam, clock), Kind.ACCOUNT_SUMMARY) == "MalformedAnswer"

    async def test_one_id_of_two_users_is_malformed(self, clock: FakeClock) -> None:
        people = [user("ann"), {**user("ben"), "UserId": user("ann")["UserId"]}]
        found = await collect(Iam(ListUsers=people), clock)
        assert found.gaps[Kind.USERS].code == "MalformedAnswer"


class TestKinds:
    """Only the kinds the run recorded when it began are collected."""

    LATER_ACTIONS = (
        "GetAccessKeyLastUsed",
        "GetLoginProfile",
        "ListMFADevices",
        "ListSigningCertificates",
        "ListServiceSpecificCredentials",
        "ListSSHPublicKeys",
    )

    def iam(self, **more: Any) -> Iam:
        return Iam(
            GetCredentialReport=sent(),
            GetAccountSummary=summary(1),
            ListUsers=[user("ann", created=LATER)],
            ListAccessKeys=[key("1", created=LATER, Status="Inactive")],
            **more,
        )

    async def test_of_an_older_run_take_no_newer_action(self, clock: FakeClock) -> None:
        iam = self.iam(**dict.fromkeys(self.LATER_ACTIONS, DENIED))
        found = await collect(iam, clock, kinds=FIRST_KINDS)
        assert found.gaps == {}
        assert not {action for action, _ in iam.asked} & {*self.LATER_ACTIONS}

    async def test_of_a_newer_run_take_them_all(self, clock: FakeClock) -> None:
        iam = self.iam()
        await collect(iam, clock)
        assert {*self.LATER_ACTIONS} <= {action for action, _ in iam.asked}

    @pytest.mark.parametrize("kind", sorted(set(Kind) - set(FIRST_KINDS)))
    async def test_can_lack_any_of_the_newer_ones(self, clock: FakeClock, kind: Kind) -> None:
        kinds = [one for one in Kind if one is not kind]
        assert (await collect(self.iam(), clock, kinds=kinds)).gaps == {}

    async def test_of_an_older_run_have_no_gap_of_another_kind(self, clock: FakeClock) -> None:
        iam = self.iam(GenerateCredentialReport=DENIED)
        iam._answers["ListUsers"] = DENIED
        found = await collect(iam, clock, kinds=FIRST_KINDS)
        assert set(found.gaps) == {Kind.CREDENTIAL_REPORT, Kind.USERS, Kind.ACCESS_KEYS}

    async def test_that_need_users_are_gaps_where_no_source_names_any(
        self, clock: FakeClock
    ) -> None:
        iam = self.iam(GenerateCredentialReport=DENIED)
        iam._answers["ListUsers"] = DENIED
        found = await collect(iam, clock)
        codes = {kind: gap.code for kind, gap in found.gaps.items()}
        assert codes == {
            Kind.CREDENTIAL_REPORT: "AccessDenied",
            Kind.USERS: "AccessDenied",
            Kind.ACCESS_KEYS: "UsersNotListed",
            Kind.USER_DETAILS: "UsersNotListed",
            Kind.SSH_PUBLIC_KEYS: "UsersNotListed",
        }


FUTURE = NOW + timedelta(days=365)
OLD = NOW - timedelta(days=500)


class TestTimesInTheFuture:
    """Such a time makes a credential look younger or more used than it is."""

    @pytest.mark.parametrize(
        ("answers", "kind"),
        [
            ({"ListUsers": [user("ann", created=FUTURE)]}, Kind.USERS),
            ({"ListUsers": [user("ann", PasswordLastUsed=FUTURE)]}, Kind.USERS),
            (
                {"GetLoginProfile": {"LoginProfile": {"UserName": "ann", "CreateDate": FUTURE}}},
                Kind.USER_DETAILS,
            ),
            (
                {
                    "GetAccessKeyLastUsed": {
                        "AccessKeyLastUsed": {**NEVER_USED, "LastUsedDate": FUTURE}
                    }
                },
                Kind.USER_DETAILS,
            ),
            (
                {
                    "ListServiceSpecificCredentials": [
                        {
                            "ServiceSpecificCredentialId": "A" * 20,
                            "UserName": "ann",
                            "Status": "Active",
                            "ServiceName": "codecommit.amazonaws.com",
                            "CreateDate": FUTURE,
                        }
                    ]
                },
                Kind.SERVICE_SPECIFIC_CREDENTIALS,
            ),
        ],
        ids=["user", "password used", "password", "key used", "service credential"],
    )
    async def test_are_malformed(
        self, clock: FakeClock, answers: dict[str, Any], kind: Kind
    ) -> None:
        given = {
            "GetCredentialReport": sent(report()),
            "GetAccountSummary": summary(1),
            "ListUsers": [user("ann", created=LATER)],
            "ListAccessKeys": [key("1", created=LATER)],
        }
        found = await collect(Iam(**given | answers), clock)
        assert found.gaps[kind].code == "MalformedAnswer"
        assert not found.gaps[kind].usable or kind is Kind.USER_DETAILS


class TestKeyOfSeveralUsers:
    """A key has one owner: the wrong answer hides another key."""

    def iam(self, anns: Any) -> Iam:
        ann, ben = user("ann"), user("ben")
        return Iam(
            GetCredentialReport=sent(report(row(ann, key("1")), row(ben, key("2")))),
            GetAccountSummary=summary(2),
            ListUsers=[ann, ben],
            ListAccessKeys=ByUser({"ann": anns, "ben": [key("2")]}),
        )

    async def test_once_is_asked_again(self, clock: FakeClock) -> None:
        found = await collect(self.iam(InTurn([key("2")], [key("1")])), clock)
        assert found.gaps == {}
        assert found.keys == [("ann", key_id("1")), ("ben", key_id("2"))]

    async def test_for_ever_is_a_gap(self, clock: FakeClock) -> None:
        found = await collect(self.iam([key("2")]), clock)
        assert code(found, Kind.ACCESS_KEYS) == "KeyOfSeveralUsers"
        assert found.keys == []
        assert found.answers[Kind.ACCESS_KEYS]["unlisted_users"] == ["ann", "ben"]


async def test_a_key_used_before_it_was_created_is_not_believed(clock: FakeClock) -> None:
    ann = user("ann", created=OLD)
    iam = Iam(
        GetCredentialReport=sent(report(row(ann, key("1", created=OLD)))),
        GetAccountSummary=summary(1),
        ListUsers=[ann],
        ListAccessKeys=[key("1", created=LATER)],
        GetAccessKeyLastUsed={
            "AccessKeyLastUsed": {**NEVER_USED, "LastUsedDate": OLD + timedelta(days=100)}
        },
    )
    found = await collect(iam, clock)
    assert code(found, Kind.ACCESS_KEYS) == "KeysContradictReport"
    assert found.keys == []


class TestOwnersOfDevices:
    """AWS deletes no user with an MFA device: such a user exists."""

    def iam(self, *devices: Any) -> Iam:
        return Iam(
            GetCredentialReport=sent(report(row(user("ben")), first=root(mfa_active="false"))),
            GetAccountSummary=summary(1),
            ListUsers=[user("ben")],
            ListVirtualMFADevices=InTurn(*devices),
        )

    async def test_who_are_not_listed_are_a_gap(self, clock: FakeClock) -> None:
        found = await collect(self.iam([ANNS_DEVICE]), clock)
        assert code(found, Kind.USERS) == "OwnerNotListed"
        assert found.gaps[Kind.USERS].usable
        assert "'ann'" in found.gaps[Kind.USERS].reason

    async def test_once_is_asked_again(self, clock: FakeClock) -> None:
        found = await collect(self.iam([ANNS_DEVICE], []), clock)
        assert found.gaps == {}


async def test_a_sign_in_after_the_report_contradicts_that_there_is_no_password(
    clock: FakeClock,
) -> None:
    ann = user("ann", PasswordLastUsed=LATER)
    iam = Iam(
        GetCredentialReport=sent(report(row(ann))),
        GetAccountSummary=summary(1),
        ListUsers=[ann],
        GetLoginProfile=PROFILE,
    )
    found = await collect(iam, clock)
    assert set(found.details) == {"ann"}
