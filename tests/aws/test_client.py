"""One client for the whole organization, against the simulator."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from orgscan import settings
from orgscan.aws import Aws
from orgscan.aws.client import _parse_time, _signer
from orgscan.errors import CallerBroken, CredentialsExpired, Denied, Malformed, UsageError
from orgscan.models import Clock, Credentials
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator, World
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from orgscan.models import Calls


def assuming(aws: Aws, account_id: str) -> Callable[[], Awaitable[Credentials]]:
    sts = aws.sts

    async def assume() -> Credentials:
        arn = f"arn:aws:iam::{account_id}:role/{AUDIT_ROLE}"
        answer = await sts.call("AssumeRole", "Credentials", RoleArn=arn, RoleSessionName="it")
        keys = answer["Credentials"]
        return Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    return assume


async def enter(aws: Aws, account_id: str) -> Calls:
    return await aws.member_account(assuming(aws, account_id))


async def names(iam: Calls) -> list[str]:
    return [user["UserName"] async for page in iam.pages("ListUsers", "Users") for user in page]


@pytest.fixture
def small() -> World:
    return WORLDS["small"]()


class TestSigning:
    async def test_every_answer_belongs_to_the_account_of_the_task(
        self, simulate: Any, connect: Any
    ) -> None:
        world = WORLDS["uniform"](accounts=9, users=4)
        simulator = await simulate(world)
        aws = await connect(simulator, iam_requests_per_second=1000)

        async def one(account_id: str) -> None:
            iam = await enter(aws, account_id)
            expected = [user.name for user in simulator.cloud.estate(account_id).users]
            for _ in range(10):
                pages = await asyncio.gather(*(names(iam) for _ in range(3)))
                assert pages == [expected] * 3

        members = [account.id for account in world.accounts[1:]]
        await asyncio.gather(*(one(account_id) for account_id in members))
        seen = [call for call in simulator.calls if call.service == "iam"]
        assert Counter(call.account for call in seen) == dict.fromkeys(members, 30)
        changes = sum(one.account != two.account for one, two in pairwise(seen))
        assert changes > 60  # they were truly interleaved
        assert {call.code for call in seen} == {""}

    async def test_the_callers_own_account_is_signed_as_the_caller(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        simulator = await simulate(small)
        aws = await connect(simulator)
        member = await enter(aws, small.accounts[1].id)
        own = aws.own_account()
        await asyncio.gather(names(own), names(member), names(own))
        seen = Counter(call.account for call in simulator.calls if call.service == "iam")
        assert seen == {small.accounts[0].id: 2, small.accounts[1].id: 1}

    async def test_a_request_without_an_account_is_refused_and_never_sent(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        simulator = await simulate(small)
        aws = await connect(simulator)
        with pytest.raises(RuntimeError, match="without an account to sign for"):
            await aws._clients["iam"].list_users()
        assert simulator.count(service="iam") == 0

    async def test_no_account_is_left_behind_in_the_task(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        simulator = await simulate(small)
        await names((await connect(simulator)).own_account())
        assert _signer.get() is None

    async def test_temporary_credentials_of_the_caller_are_sent_with_their_token(
        self, simulate: Any, connect: Any
    ) -> None:
        simulator = await simulate(WORLDS["delegated"]())
        aws = await connect(simulator)
        answer = await aws.sts.call("GetCallerIdentity", "Arn")
        assert ":assumed-role/Auditor/" in answer["Arn"]
        assert await names(await enter(aws, simulator.world.accounts[0].id)) == []


class TestRenewal:
    async def test_one_new_session_serves_all_tasks_of_the_account(
        self, simulate: Any, connect: Any
    ) -> None:
        world = WORLDS["uniform"](accounts=3, users=3)
        account = world.accounts[1].id
        # The slow ones learn of the end long after the first has had the session renewed.
        slow = Fault(effect=faults.Delivery(delay=0.05), action="ListUsers", nth=range(11, 16))
        simulator = await simulate(world, faults=[slow])
        aws = await connect(simulator, iam_requests_per_second=1000)
        iam = await enter(aws, account)
        await names(iam)
        simulator.cloud.expire_sessions(account)
        found = await asyncio.gather(*(names(iam) for _ in range(20)))
        assert found == [found[0]] * 20
        assert len(found[0]) == 3
        assert simulator.count(action="AssumeRole", target=account) == 2
        expired = [call for call in simulator.calls if call.code == "ExpiredToken"]
        assert len(expired) == 20

    async def test_that_is_denied_is_an_error_of_the_call(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        account = small.accounts[1].id
        denied = Fault(effect=faults.Error("AccessDenied", 403), action="AssumeRole", nth=2)
        simulator = await simulate(small, faults=[denied])
        iam = await enter(await connect(simulator), account)
        simulator.cloud.expire_sessions(account)
        with pytest.raises(Denied):
            await names(iam)

    async def test_that_does_not_help_is_not_repeated(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        account = small.accounts[1].id
        expired = Fault(effect=faults.EXPIRED_TOKEN, service="iam")
        simulator = await simulate(small, faults=[expired])
        iam = await enter(await connect(simulator), account)
        with pytest.raises(CredentialsExpired):
            await names(iam)
        assert simulator.count(action="AssumeRole") == 2

    async def test_the_callers_own_credentials_have_nothing_to_renew(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        simulator = await simulate(small)
        aws = await connect(simulator)
        simulator.cloud.expire_callers()
        for call in (
            aws.sts.call("GetCallerIdentity", "Arn"),
            aws.organizations.call("DescribeOrganization", "Organization"),
            aws.own_account().call("GetAccountSummary", "SummaryMap"),
        ):
            with pytest.raises(CallerBroken):
                await call


class TestEnvironment:
    @pytest.mark.parametrize(
        "variables",
        [
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_ENDPOINT_URL_IAM": "http://[::1]:9"},
            {"AWS_ENDPOINT_URL_STS": "nonsense", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false"},
            {"AWS_MAX_ATTEMPTS": "9", "AWS_RETRY_MODE": "adaptive"},
            {"AWS_MAX_ATTEMPTS": "many", "AWS_RETRY_MODE": "sometimes"},
            {"AWS_MAX_ATTEMPTS": "-1", "AWS_NEW_RETRIES_2026": "true"},
        ],
        ids="+".join,
    )
    async def test_of_endpoints_and_retries_changes_nothing(
        self, simulate: Any, connect: Any, small: World,
        monkeypatch: pytest.MonkeyPatch, variables: dict[str, str],
    ) -> None:  # fmt: skip
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        broken = Fault(effect=faults.SERVICE_FAILURE, action="GetAccountSummary")
        simulator = await simulate(small, faults=[broken])
        iam = (await connect(simulator)).own_account()
        with pytest.raises(Exception, match="Unable to process"):
            await iam.call("GetAccountSummary", "SummaryMap")
        assert simulator.count(action="GetAccountSummary") == iam.traffic.calls == 6

    async def test_of_the_profile_does_not_lead_elsewhere_either(
        self, simulate: Any, small: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        simulator = await simulate(small)
        key, secret, _ = simulator.credentials
        config = tmp_path / "config"
        config.write_text(
            "[profile audit]\nregion = eu-west-1\nservices = other\n"
            "endpoint_url = http://127.0.0.1:9\nmax_attempts = 9\n"
            f"aws_access_key_id = {key}\naws_secret_access_key = {secret}\n"
            "[services other]\nsts =\n  endpoint_url = http://127.0.0.1:9\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
        chosen = settings.load(environment={}, profile="audit", endpoint_url=simulator.endpoint_url)
        async with Aws(chosen, Clock()) as aws:
            answer = await aws.sts.call("GetCallerIdentity", "Account")
            assert {client.meta.region_name for client in aws._clients.values()} <= {
                "eu-west-1",
                "aws-global",
            }
        assert answer["Account"] == small.management_account_id

    async def test_without_settings_of_ours_aws_is_asked_itself(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        monkeypatch.setenv("AWS_ENDPOINT_URL_ORGANIZATIONS", "http://127.0.0.1:9")
        credentials = Credentials("AKIAEXAMPLE", "secret", "")
        async with Aws(settings.load(environment={}), Clock(), credentials) as aws:
            hosts = {client.meta.endpoint_url for client in aws._clients.values()}
        assert all(host.endswith(".amazonaws.com") for host in hosts)
        assert all(host.startswith("https://") for host in hosts)


async def refused(**options: Any) -> str:
    """The message of a door that does not open: always one line."""
    with pytest.raises(UsageError) as caught:
        async with Aws(settings.load(environment={}, **options), Clock()):
            pytest.fail("the door opened")
    message = str(caught.value)
    assert message.splitlines() == [message]
    return message


class TestClock:
    async def test_the_difference_is_known_from_the_first_answer_on(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        aws = await connect(await simulate(small, skew=timedelta(seconds=90)))
        assert aws.seconds_ahead is None
        await aws.sts.call("GetCallerIdentity", "Arn")
        assert aws.seconds_ahead == pytest.approx(90, abs=2)

    async def test_an_answer_that_refuses_tells_it_too(
        self, simulate: Any, connect: Any, small: World
    ) -> None:
        aws = await connect(await simulate(small, skew=timedelta(hours=-1)))
        with pytest.raises(CallerBroken):
            await aws.sts.call("GetCallerIdentity", "Arn")
        assert aws.seconds_ahead == pytest.approx(-3_600, abs=2)

    @pytest.mark.parametrize("date", ["", "yesterday", "Tue, 99 Foo 2026 12:00:00 GMT"])
    async def test_a_date_that_cannot_be_read_tells_nothing(
        self, simulate: Any, connect: Any, small: World, date: str
    ) -> None:
        aws = await connect(await simulate(small))
        aws._transports["sts"].dated = (date, datetime.now(UTC))
        assert aws.seconds_ahead is None


class TestTimes:
    """The forms of AWS's protocols, and nothing that would have to be completed."""

    @pytest.mark.parametrize(
        "value",
        [
            "2026-11-03T12:00:05Z",
            "2026-11-03T12:00:05.000Z",
            "2026-11-03T12:00:05+00:00",
            "2026-11-03T13:00:05+0100",
            "2026-11-03T12:00:05",
            "20261103T120005Z",
            "Tue, 03 Nov 2026 12:00:05 GMT",
            "Tue, 3 Nov 2026 07:00:05 -0500",
            "1793707205",
            "1793707205.0",
            1793707205,
            1793707205.0,
        ],
        ids=str,
    )
    def test_are_read_in_every_form_of_the_protocols(self, value: Any) -> None:
        assert _parse_time(value) == datetime(2026, 11, 3, 12, 0, 5, tzinfo=UTC)
        assert _parse_time(value).tzinfo is not None

    @pytest.mark.parametrize(
        "value",
        [
            "", "2026", "2026-11", "2026-11-03", "20261103", "2026-W45-2", "2026-11-03T",
            "2026-11-03T12", "2026-11-03T12:00", "12:00:05", "November 2026", "3 Nov 2026 12:00:05",
            "Tue, 03 Nov 2026", "17937", "179370720", "2026-13-03T12:00:05Z", "today",
            "2026-11-03T12:00:05Z and more", "\uff12026-11-03T12:00:05Z", float("nan"),
            float("inf"), 1e20,
        ],
        ids=str,
    )  # fmt: skip
    def test_that_are_not_whole_are_refused(self, value: Any) -> None:
        with pytest.raises(ValueError, match=r"\S"):
            _parse_time(value)

    @pytest.mark.parametrize("kept", [4, 7, 10])
    async def test_that_are_cut_make_the_answer_malformed(
        self, simulate: Any, connect: Any, kept: int
    ) -> None:
        world = WORLDS["uniform"](accounts=2, users=1)

        def cut(body: bytes) -> bytes:
            date = re.compile(rb"<CreateDate>([^<]*)</CreateDate>")
            assert date.search(body)
            return date.sub(lambda m: b"<CreateDate>%b</CreateDate>" % m[1][:kept], body)

        fault = Fault(effect=faults.Edit(cut), action="ListUsers")
        simulator = await simulate(world, faults=[fault])
        iam = await enter(await connect(simulator), world.accounts[1].id)
        with pytest.raises(Malformed) as caught:
            await names(iam)
        assert caught.value.code == "MalformedAnswer"


class TestRefusals:
    async def test_no_credentials(self) -> None:
        assert "no AWS credentials found; sign in" in await refused()

    async def test_a_profile_that_does_not_exist(self) -> None:
        message = "AWS profile 'nope' does not exist; see `aws configure`"
        assert await refused(profile="nope") == message

    async def test_a_profile_of_the_environment_is_named_too(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nope")
        assert await refused() == "AWS profile 'nope' does not exist; see `aws configure`"

    async def test_half_of_the_credentials(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        assert "AWS settings do not work: Partial credentials found" in await refused()

    @pytest.mark.parametrize("region", ["not a region", "us-east-1\n"])
    async def test_a_region_that_is_none(
        self, monkeypatch: pytest.MonkeyPatch, region: str
    ) -> None:
        monkeypatch.setenv("AWS_DEFAULT_REGION", region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        message = await refused()
        assert "AWS settings do not work: " in message
        assert repr(region)[1:-1] in message

    @pytest.mark.parametrize("content", [None, "no certificates"])
    async def test_trusted_authorities_that_cannot_be_read(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
    ) -> None:
        bundle = tmp_path / "bundle.pem"
        if content is not None:
            bundle.write_text(content)
        monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        message = await refused()
        assert "the file of trusted authorities cannot be read" in message
        assert "AWS_CA_BUNDLE" in message

    async def test_a_broken_configuration_file(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        tmp_path.joinpath("config").write_text("[profile a\nregion")
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        assert "AWS settings do not work: " in await refused()


async def test_given_credentials_leave_the_machine_alone(
    simulate: Any, connect: Any, small: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tmp_path.joinpath("config").write_text("[profile a\nbroken")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "not a region")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASOMEBODYELSE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    aws = await connect(await simulate(small))
    answer = await aws.sts.call("GetCallerIdentity", "Account")
    assert answer["Account"] == small.management_account_id


async def test_no_secret_reaches_a_log_however_talkative(
    simulate: Any, connect: Any, small: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    html = Fault(effect=faults.HTML, action="AssumeRole", nth=1)
    simulator = await simulate(small, faults=[html])
    aws = await connect(simulator)
    iam = await enter(aws, small.accounts[1].id)
    await names(iam)
    with pytest.raises(Denied):
        await enter(aws, small.accounts[0].id)
    assert len(simulator.secrets) >= 3
    told = caplog.text + repr(aws) + repr(vars(iam))
    assert not [secret for secret in simulator.secrets if secret in told]


async def test_leaving_closes_every_connection(simulate: Any, small: World) -> None:
    simulator: Simulator = await simulate(small)
    key, secret, _ = simulator.credentials
    chosen = settings.load(environment={}, endpoint_url=simulator.endpoint_url)
    async with Aws(chosen, Clock(), Credentials(key, secret, "")) as aws:
        await asyncio.gather(*(aws.sts.call("GetCallerIdentity", "Arn") for _ in range(5)))
        assert simulator._peers
    async with asyncio.timeout(5):
        while simulator._peers:  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0)


async def test_organizations_is_asked_no_faster_than_its_buckets_allow(
    simulate: Any, connect: Any, clock: Any
) -> None:
    world = WORLDS["uniform"](accounts=600, users=0)
    aws = await connect(await simulate(world))
    found = [page async for page in aws.organizations.pages("ListAccounts", "Accounts")]
    assert sum(map(len, found)) == 600
    assert len(found) == 30
    assert 2.3 < clock.elapsed < 2.4  # 11 at once, then 8 a second; one token is left


async def test_one_of_several_processes_is_content_with_its_part_of_what_sts_grants(
    simulate: Any, connect: Any, small: World, clock: Any
) -> None:
    aws = await connect(await simulate(small))
    aws.share(60)
    await asyncio.gather(*(aws.sts.call("GetCallerIdentity", "Arn") for _ in range(31)))
    assert 3.0 < clock.elapsed < 3.1


async def test_throttling_of_one_account_does_not_slow_the_others(
    simulate: Any, connect: Any, small: World, clock: Any
) -> None:
    slow, quick = small.accounts[1].id, small.accounts[2].id
    fault = Fault(effect=faults.THROTTLING, service="iam", account=slow, times=12)
    aws = await connect(await simulate(small, faults=[fault]))
    throttled, free = await enter(aws, slow), await enter(aws, quick)
    waiting = asyncio.create_task(names(throttled))
    await asyncio.gather(*(names(free) for _ in range(20)))
    assert clock.elapsed < 1.0
    await waiting
    assert clock.elapsed > 10.0
