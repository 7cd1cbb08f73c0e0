from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collect import collectors, sessions
from orgscan.collect.sessions import Sessions
from orgscan.errors import Denied, IntegrityError, Malformed
from orgscan.models import Credentials
from orgscan.simulator import AUDIT_ROLE, Fault
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MEMBER = "000000000042"
KEYS = {"AccessKeyId": "ASIAX", "SecretAccessKey": "s3cret", "SessionToken": "t0ken"}


class Sts:
    """Gives one answer and keeps what it was asked."""

    def __init__(self, **answer: Any) -> None:
        self.asked: list[dict[str, Any]] = []
        self._answer = answer

    async def call(self, _action: str, _result: str, /, **parameters: Any) -> dict[str, Any]:
        self.asked.append(parameters)
        return self._answer

    pages: Any = None


def assumed(account_id: str = MEMBER, **keys: Any) -> dict[str, Any]:
    arn = f"arn:aws:sts::{account_id}:assumed-role/audit/orgscan"
    return {"AssumedRoleUser": {"Arn": arn}, "Credentials": {**KEYS, **keys}}


def make(sts: Any, **more: Any) -> Sessions:
    values = {"partition": "aws", "role_name": "audit", "actions": ("iam:ListUsers",), **more}
    return Sessions(sts, **values)


async def test_assuming_gives_the_credentials_of_the_account() -> None:
    credentials = await make(Sts(**assumed())).assume(MEMBER)
    assert credentials == Credentials("ASIAX", "s3cret", "t0ken")


@pytest.mark.parametrize(
    ("partition", "path", "arn"),
    [
        ("aws", "/", f"arn:aws:iam::{MEMBER}:role/audit"),
        ("aws-cn", "/", f"arn:aws-cn:iam::{MEMBER}:role/audit"),
        (
            "aws-us-gov",
            "/security/audit/",
            f"arn:aws-us-gov:iam::{MEMBER}:role/security/audit/audit",
        ),
    ],
)
async def test_the_role_is_named_by_partition_and_path(partition: str, path: str, arn: str) -> None:
    sts = Sts(**assumed())
    await make(sts, partition=partition, role_path=path).assume(MEMBER)
    assert sts.asked[0]["RoleArn"] == arn


async def test_an_external_id_is_sent_where_there_is_one_and_only_there() -> None:
    sts = Sts(**assumed())
    await make(sts).assume(MEMBER)
    await make(sts, external_id="shibboleth").assume(MEMBER)
    assert [asked.get("ExternalId", "none") for asked in sts.asked] == ["none", "shibboleth"]


async def test_the_session_lasts_as_long_as_the_settings_say_and_has_our_name() -> None:
    sts = Sts(**assumed())
    await make(sts, duration_seconds=900).assume(MEMBER)
    assert (sts.asked[0]["DurationSeconds"], sts.asked[0]["RoleSessionName"]) == (900, "orgscan")


class TestSessionPolicy:
    def test_allows_exactly_the_declared_actions(self) -> None:
        policy = json.loads(sessions.session_policy(collectors.ACTIONS))
        (statement,) = policy["Statement"]
        assert statement == {
            "Effect": "Allow",
            "Action": sorted(collectors.ACTIONS),
            "Resource": "*",
        }
        assert not [action for action in statement["Action"] if "*" in action]

    def test_fits_into_what_aws_accepts(self) -> None:
        assert len(sessions.session_policy(collectors.ACTIONS)) < 2_048

    async def test_goes_along_with_every_session(self) -> None:
        sts = Sts(**assumed())
        await make(sts, actions=("iam:B", "iam:A")).assume(MEMBER)
        assert sts.asked[0]["Policy"] == sessions.session_policy(("iam:A", "iam:B"))


@pytest.mark.parametrize(
    "answer",
    [
        assumed("000000000041"),
        assumed("42"),
        {"Credentials": KEYS},
        {"AssumedRoleUser": {}, "Credentials": KEYS},
        {"AssumedRoleUser": {"Arn": MEMBER}, "Credentials": KEYS},
        {"AssumedRoleUser": {"Arn": f"a:b:c:d:e:{MEMBER}"}, "Credentials": KEYS},
    ],
    ids=["other", "short", "no user", "no arn", "no parts", "wrong place"],
)
async def test_a_session_of_another_account_is_never_used(answer: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match=f"asked for a session in account {MEMBER}, got"):
        await make(Sts(**answer)).assume(MEMBER)


@pytest.mark.parametrize("part", KEYS)
async def test_credentials_with_a_part_missing_are_malformed(part: str) -> None:
    answer = assumed()
    del answer["Credentials"][part]
    with pytest.raises(Malformed, match="lacks a part of the credentials"):
        await make(Sts(**answer)).assume(MEMBER)


async def test_credentials_that_are_none_are_malformed() -> None:
    with pytest.raises(Malformed):
        await make(Sts(**{**assumed(), "Credentials": None})).assume(MEMBER)


def test_credentials_are_never_printed() -> None:
    credentials = Credentials("ASIAX", "s3cret", "t0ken")
    for text in (repr(credentials), str(credentials), f"{[credentials]}"):
        assert "ASIAX" in text
        assert "s3cret" not in text
        assert "t0ken" not in text


class TestIdentity:
    async def test_is_the_account_and_partition_of_the_arn(self) -> None:
        arn = f"arn:aws-cn:sts::{MEMBER}:assumed-role/Auditor/me"
        caller = await sessions.identify(Sts(Arn=arn, Account=MEMBER))
        assert (caller.account_id, caller.arn, caller.partition) == (MEMBER, arn, "aws-cn")

    @pytest.mark.parametrize(
        "answer",
        [{"Arn": "", "Account": MEMBER}, {"Arn": "arn:aws:iam::1:root"}, {"Arn": None}],
        ids=str,
    )
    async def test_that_is_incomplete_is_malformed(self, answer: dict[str, Any]) -> None:
        with pytest.raises(Malformed, match="the answer names no account"):
            await sessions.identify(Sts(**answer))


class TestAgainstTheSimulator:
    async def test_only_declared_actions_are_allowed_whatever_the_role_allows(
        self, simulate: Callable[..., Awaitable[Any]], connect: Callable[..., Awaitable[Any]]
    ) -> None:
        world = WORLDS["small"]()
        simulator = await simulate(world)
        aws = await connect(simulator)
        caller = await sessions.identify(aws.sts)
        assert caller.account_id == world.management_account_id
        made = make(aws.sts, role_name=AUDIT_ROLE)
        account = world.accounts[1].id
        iam = await aws.member_account(lambda: made.assume(account))
        await iam.call("ListUsers", "Users")
        with pytest.raises(Denied, match="no session policy allows the iam:GetAccountSummary"):
            await iam.call("GetAccountSummary", "SummaryMap")

    async def test_a_refused_role_is_asked_for_once(
        self, simulate: Callable[..., Awaitable[Any]], connect: Callable[..., Awaitable[Any]]
    ) -> None:
        world = WORLDS["denied"]()
        simulator = await simulate(world)
        made = make((await connect(simulator)).sts, role_name=AUDIT_ROLE, external_id="wrong-id")
        by_name = {account.name: account.id for account in world.accounts}
        for name in ("no-role", "external-id", "other-path"):
            with pytest.raises(Denied):
                await made.assume(by_name[name])
            assert simulator.count(action="AssumeRole", target=by_name[name]) == 1

    async def test_another_accounts_session_is_found_out(
        self, simulate: Callable[..., Awaitable[Any]], connect: Callable[..., Awaitable[Any]]
    ) -> None:
        world = WORLDS["small"]()
        wrong = Fault(effect=faults.OtherAccount(world.accounts[2].id), action="AssumeRole")
        simulator = await simulate(world, faults=[wrong])
        made = make((await connect(simulator)).sts, role_name=AUDIT_ROLE)
        with pytest.raises(IntegrityError, match=world.accounts[2].id):
            await made.assume(world.accounts[1].id)
