from __future__ import annotations

import gzip
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    PaginationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from orgscan.simulator import AUDIT_ROLE, Fault
from orgscan.simulator.call import Call
from orgscan.simulator.faults import Faults, Per
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orgscan.simulator import Simulator, World


def call(action: str = "ListUsers", target: str = "1", **parameters: Any) -> Call:
    return Call(0, "iam", action, target, target, "ASIA", parameters)


def strikes(fault: Fault, *calls: Call) -> list[bool]:
    scripted = Faults([fault])
    return [bool(scripted.striking(one)) for one in calls]


def test_a_fault_strikes_what_it_names() -> None:
    assert strikes(Fault(effect=faults.RESET), call()) == [True]
    assert strikes(Fault(effect=faults.RESET, service="sts"), call()) == [False]
    by_account = Fault(effect=faults.RESET, account="2")
    assert strikes(by_account, call(), call(target="2")) == [False, True]
    by_user = Fault(effect=faults.RESET, user="a", action="ListAccessKeys")
    calls = (call("ListAccessKeys", UserName="a"), call("ListAccessKeys", UserName="b"))
    assert strikes(by_user, *calls) == [True, False]


def test_a_fault_strikes_when_it_is_its_turn() -> None:
    calls = [call() for _ in range(5)]
    second = Fault(effect=faults.RESET, nth=2)
    assert strikes(second, *calls) == [False, True, False, False, False]
    middle = Fault(effect=faults.RESET, nth=range(2, 4))
    assert strikes(middle, *calls) == [False, True, True, False, False]
    twice = Fault(effect=faults.RESET, times=2)
    assert strikes(twice, *calls) == [True, True, False, False, False]
    each = Fault(effect=faults.RESET, times=1, per=Per.ACCOUNT)
    assert strikes(each, call(), call(), call(target="2")) == [True, False, True]


def test_a_fault_can_pass_with_time() -> None:
    moments = iter([10.0, 11.0, 12.0, 13.0])
    scripted = Faults([Fault(effect=faults.RESET, seconds=2.0)], clock=lambda: next(moments))
    assert [bool(scripted.striking(call())) for _ in range(4)] == [True, True, True, False]


def test_chance_does_not_depend_on_the_order_of_calls() -> None:
    fault = Fault(effect=faults.RESET, probability=0.3, seed=7)
    calls = [call(target=str(number)) for number in range(400)]
    forward = strikes(fault, *calls)
    backward = strikes(fault, *calls[::-1])
    assert forward == backward[::-1]
    assert 80 < sum(forward) < 160


@pytest.fixture
def world() -> World:
    built: World = WORLDS["small"]()
    return built


def broken(effect: faults.Effect, action: str) -> list[Fault]:
    return [Fault(effect=effect, action=action)]


@pytest.mark.parametrize("name", sorted(faults.TRANSIENT))
def test_transient_faults_pass(
    name: str,
    world: World,
    serve: Callable[..., Simulator],
    member: Callable[..., Any],
) -> None:
    fault = Fault(effect=faults.TRANSIENT[name], action="ListUsers", times=1)
    simulator = serve(world, faults=[fault])
    iam = member(simulator, world.accounts[2].id)
    with pytest.raises((ClientError, BotoCoreError)):
        iam.list_users()
    assert len(iam.list_users()["Users"]) == 1


@pytest.mark.parametrize("name", sorted(set(faults.MALFORMED) - {"empty", "no-result"}))
def test_malformed_answers_are_no_answers(
    name: str,
    world: World,
    serve: Callable[..., Simulator],
    member: Callable[..., Any],
) -> None:
    simulator = serve(world, faults=broken(faults.MALFORMED[name], "ListUsers"))
    with pytest.raises((ResponseParserError, KeyError)):  # botocore itself trips over HTML
        member(simulator, world.accounts[2].id).list_users()


@pytest.mark.parametrize("name", sorted(set(faults.REPORT_EDITS) - {"bad-base64"}))
def test_reports_are_damaged_inside_a_sound_answer(
    name: str,
    world: World,
    serve: Callable[..., Simulator],
    member: Callable[..., Any],
) -> None:
    def content(*scripted: Fault) -> bytes:
        iam = member(serve(world, faults=scripted), world.accounts[2].id)
        iam.generate_credential_report()
        iam.generate_credential_report()
        return bytes(iam.generate_credential_report() and iam.get_credential_report()["Content"])

    assert content() != content(*broken(faults.REPORT_EDITS[name], "GetCredentialReport"))


def test_paging_faults_deceive_a_reader(
    world: World, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    def pages(name: str) -> list[dict[str, Any]]:
        simulator = serve(world, faults=broken(faults.PAGE_EDITS[name], "ListUsers"))
        iam = member(simulator, world.accounts[2].id)
        return [page for page, _ in zip(iam.get_paginator("list_users").paginate(), "12345")]  # noqa: B905

    with pytest.raises(PaginationError):
        pages("same-marker")
    assert [page["Marker"] for page in pages("marker-circle")] == ["A", "B", "A", "B", "A"]
    assert [page["Marker"] for page in pages("endless")][:3] == ["M#1", "M#2", "M#3"]
    assert [len(page["Users"]) for page in pages("duplicate-page")] == [1, 1]
    assert [len(page["Users"]) for page in pages("empty-page")] == [0, 1]
    (page,) = pages("no-marker")
    assert page["IsTruncated"]
    assert "Marker" not in page


def test_paging_faults_speak_json_too(
    world: World, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    simulator = serve(world, faults=broken(faults.PAGE_EDITS["empty-page"], "ListAccounts"))
    paginator = client(simulator, "organizations").get_paginator("list_accounts")
    assert [len(page["Accounts"]) for page in paginator.paginate()] == [0, 4]
    assert simulator.calls[-1].parameters == {"NextToken": "detour"}


def test_answers_can_speak_of_another_account(
    world: World, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    other = faults.OtherAccount("999999999999")
    simulator = serve(world, faults=broken(other, "GetCredentialReport"))
    iam = member(simulator, world.accounts[2].id)
    while iam.generate_credential_report()["State"] != "COMPLETE":
        pass
    assert b"arn:aws:iam::999999999999:root" in iam.get_credential_report()["Content"]


def test_a_role_can_open_the_wrong_account(
    world: World, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    simulator = serve(world, faults=broken(faults.OtherAccount("999999999999"), "AssumeRole"))
    answer = client(simulator, "sts").assume_role(
        RoleArn=f"arn:aws:iam::{world.accounts[2].id}:role/{AUDIT_ROLE}", RoleSessionName="me"
    )
    assert answer["AssumedRoleUser"]["Arn"].startswith("arn:aws:sts::999999999999:")


def test_a_state_can_change_between_two_calls(
    world: World, serve: Callable[..., Simulator], client: Callable[..., Any], member: Any
) -> None:
    victim = world.accounts[2].id
    change = faults.SetState(victim, "SUSPENDED")
    simulator = serve(world, faults=[Fault(effect=change, action="ListRoots")])
    member(simulator, victim)
    client(simulator, "organizations").list_roots()
    with pytest.raises(ClientError, match="AccessDenied"):
        member(simulator, victim)


def test_sessions_can_end_in_the_middle(
    world: World, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    fault = Fault(effect=faults.ExpireSessions(), action="ListUsers", times=1)
    simulator = serve(world, faults=[fault])
    iam = member(simulator, world.accounts[2].id)
    for _ in range(2):
        with pytest.raises(ClientError, match="ExpiredToken"):
            iam.list_users()
    member(simulator, world.accounts[2].id).list_users()


def test_the_callers_credentials_can_end_in_the_middle(
    world: World, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    expired = Fault(effect=faults.ExpireCallers(), action="GetCallerIdentity", nth=2)
    sts = client(serve(world, faults=[expired]), "sts")
    sts.get_caller_identity()
    for _ in range(2):
        with pytest.raises(ClientError, match="ExpiredToken"):
            sts.get_caller_identity()


def test_a_report_can_vanish(
    world: World, serve: Callable[..., Simulator], member: Callable[..., Any]
) -> None:
    fault = Fault(effect=faults.LoseReport(), action="GetCredentialReport", times=1)
    iam = member(serve(world, faults=[fault]), world.accounts[2].id)
    while iam.generate_credential_report()["State"] != "COMPLETE":
        pass
    with pytest.raises(ClientError, match="ReportNotPresent"):
        iam.get_credential_report()
    assert iam.generate_credential_report()["State"] == "STARTED"


def test_silence_lasts(
    world: World, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    simulator = serve(world, faults=broken(faults.SILENCE, "GetCallerIdentity"))
    sts = client(simulator, "sts", read_timeout=0.2)
    with pytest.raises((ReadTimeoutError, ConnectionClosedError)):
        sts.get_caller_identity()
    assert simulator.calls[-1].status == 0


def test_a_bomb_is_small_on_the_wire() -> None:
    bomb = faults.gzip_bomb(1 << 20)
    assert len(bomb.answer.body) < 2000
    assert len(gzip.decompress(bomb.answer.body)) == 1 << 20


def test_a_clock_that_is_off_is_told(
    world: World, serve: Callable[..., Simulator], client: Callable[..., Any]
) -> None:
    sts = client(serve(world, skew=timedelta(minutes=10)), "sts")
    with pytest.raises(ClientError, match="Signature expired"):
        sts.get_caller_identity()
    sts = client(serve(world, skew=timedelta(minutes=-10)), "sts")
    with pytest.raises(ClientError, match="not yet current"):
        sts.get_caller_identity()
