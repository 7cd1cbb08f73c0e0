from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from orgscan.simulator import AUDIT_ROLE
from orgscan.simulator.cloud import CANARY
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orgscan.simulator import Simulator, World


def arn_of(world: World, place: int, *, path: str = "/", name: str = AUDIT_ROLE) -> str:
    return f"arn:aws:iam::{world.accounts[place].id}:role{path}{name}"


def refusal(call: Callable[..., Any], **parameters: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_the_caller_is_who_signed(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["small"]()
    answer = client(serve(world), "sts").get_caller_identity()
    assert answer["Account"] == world.management_account_id
    assert answer["Arn"] == f"arn:aws:iam::{world.management_account_id}:user/auditor"


def test_a_role_opens_its_own_account(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["small"]()
    simulator = serve(world, clock=lambda: 1_800_000_000.0)
    sts = client(simulator, "sts")
    answer = sts.assume_role(RoleArn=arn_of(world, 2), RoleSessionName="me", DurationSeconds=900)
    account = world.accounts[2].id
    assert (
        answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{account}:assumed-role/{AUDIT_ROLE}/me"
    )
    found = answer["Credentials"]
    assert found["Expiration"].timestamp() == 1_800_000_900
    assert found["AccessKeyId"].startswith("ASIA")
    assert {found["SecretAccessKey"], found["SessionToken"]} <= simulator.secrets
    assert all(secret.startswith(CANARY) for secret in simulator.secrets)
    session = (found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])
    assert client(simulator, "sts", session).get_caller_identity()["Account"] == account


def test_every_reason_for_refusing_a_role_looks_the_same(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["denied"]()
    demo = WORLDS["demo"]()
    names = [account.name for account in world.accounts]
    assume = client(serve(world), "sts").assume_role
    arns = [
        arn_of(world, names.index("no-role")),
        arn_of(world, names.index("external-id")),
        arn_of(world, names.index("other-path")),
        arn_of(world, 0),
        f"arn:aws:iam::999999999999:role/{AUDIT_ROLE}",
        arn_of(world, 1).replace("arn:aws:", "arn:aws-cn:"),
    ]
    for arn in arns:
        assert refusal(assume, RoleArn=arn, RoleSessionName="me") == ("AccessDenied", 403)
    suspended = next(account for account in demo.accounts if account.state == "SUSPENDED")
    arn = f"arn:aws:iam::{suspended.id}:role/{AUDIT_ROLE}"
    assume = client(serve(demo), "sts").assume_role
    assert refusal(assume, RoleArn=arn, RoleSessionName="me") == ("AccessDenied", 403)


def test_an_external_id_and_a_path_are_part_of_the_question(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["denied"]()
    names = [account.name for account in world.accounts]
    sts = client(serve(world), "sts")
    place = names.index("external-id")
    told = {"RoleSessionName": "me", "ExternalId": "shibboleth-42"}
    entered = sts.assume_role(RoleArn=arn_of(world, place), **told)
    assert f"::{world.accounts[place].id}:" in entered["AssumedRoleUser"]["Arn"]
    place = names.index("other-path")
    role = arn_of(world, place, path="/audit/")
    entered = sts.assume_role(RoleArn=role, RoleSessionName="me")
    assert f"::{world.accounts[place].id}:" in entered["AssumedRoleUser"]["Arn"]


def test_durations_are_bounded(serve: Callable[..., Simulator], client: Callable[..., Any]) -> None:
    world = WORLDS["small"]()
    simulator = serve(world)
    assume = client(simulator, "sts").assume_role
    arn = arn_of(world, 1)
    too_long = refusal(assume, RoleArn=arn, RoleSessionName="me", DurationSeconds=3601)
    assert too_long == ("ValidationError", 400)
    caller = WORLDS["delegated"]()
    assume = client(serve(caller), "sts").assume_role
    chained = refusal(assume, RoleArn=arn_of(caller, 2), RoleSessionName="me", DurationSeconds=7200)
    assert chained == ("ValidationError", 400)


def test_a_session_policy_narrows_the_session(
    serve: Callable[..., Simulator], client: Callable[..., Any], member: Callable[..., Any]
) -> None:
    world = WORLDS["small"]()
    simulator = serve(world)
    statement = {"Effect": "Allow", "Action": ["iam:Get*", "iam:listusers"], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam = member(simulator, world.accounts[2].id, Policy=policy)
    assert iam.get_account_summary()["SummaryMap"]["Users"] == 1
    assert len(iam.list_users()["Users"]) == 1
    assert refusal(iam.list_access_keys, UserName="ci-deploy") == ("AccessDenied", 403)
    assume = client(simulator, "sts").assume_role
    wrong = refusal(assume, RoleArn=arn_of(world, 1), RoleSessionName="me", Policy="{")
    assert wrong == ("MalformedPolicyDocument", 400)


def test_keys_and_tokens_must_fit(
    serve: Callable[..., Simulator], client: Callable[..., Any], member: Callable[..., Any]
) -> None:
    world = WORLDS["small"]()
    simulator = serve(world)
    stranger = client(simulator, "sts", ("AKIAQQQQQQQQQQQQQQQQ", "secret", None))
    assert refusal(stranger.get_caller_identity) == ("InvalidClientTokenId", 403)
    key, secret, _ = simulator.credentials
    tokened = client(simulator, "sts", (key, secret, "token"))
    assert refusal(tokened.get_caller_identity) == ("InvalidClientTokenId", 403)
    stranger = client(simulator, "organizations", ("AKIAQQQQQQQQQQQQQQQQ", "secret", None))
    assert refusal(stranger.list_accounts) == ("UnrecognizedClientException", 400)
    iam = member(simulator, world.accounts[1].id)
    simulator.cloud.expire_sessions(world.accounts[1].id)
    assert refusal(iam.list_users) == ("ExpiredToken", 403)


def test_sessions_end_by_the_clock(
    serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    world = WORLDS["small"]()
    times = [1_800_000_000.0]
    iam = member(serve(world, clock=lambda: times[0]), world.accounts[1].id)
    iam.list_users()
    times[0] += 3601
    assert refusal(iam.list_users) == ("ExpiredToken", 403)


def test_a_caller_with_temporary_credentials_can_run_out_of_them(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    world = WORLDS["delegated"]()
    simulator = serve(world)
    sts = client(simulator, "sts")
    sts.get_caller_identity()
    simulator.cloud.expire_callers()
    assert refusal(sts.get_caller_identity) == ("ExpiredToken", 403)
    codes = refusal(client(simulator, "organizations").list_accounts)
    assert codes == ("ExpiredTokenException", 400)


def test_sessions_are_the_same_in_every_run(
    serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    def mint(world: World) -> str:
        sts = client(serve(world), "sts")
        answer = sts.assume_role(RoleArn=arn_of(world, 1), RoleSessionName="me")
        return str(answer["Credentials"]["SecretAccessKey"])

    world = WORLDS["small"]()
    assert mint(world) == mint(world)
    assert mint(world) != mint(replace(world, seed=1))
