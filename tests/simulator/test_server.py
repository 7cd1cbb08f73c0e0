from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.simulator import AUDIT_ROLE, DECLARED_ACTIONS, Credentials, Fault, Simulator
from orgscan.simulator.rates import Rate
from tests.kit import faults
from tests.kit.serving import SimulatorProcess
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable


def request(simulator: Simulator, body: str, service: str = "sts") -> bytes:
    key = simulator.credentials.access_key_id
    return (
        "POST / HTTP/1.1\r\nHost: simulated\r\n"
        f"authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/{service}/"
        "aws4_request, SignedHeaders=host, Signature=0\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def exchange(simulator: Simulator, *pieces: bytes, answers: int = 1) -> list[bytes]:
    """Send pieces over one connection and read so many answers."""
    host, port = simulator.endpoint_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        found = []
        for _ in range(answers):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
            found.append(head + await reader.readexactly(length))
        return found
    finally:
        writer.close()
        await writer.wait_closed()


WHO = "Action=GetCallerIdentity&Version=2011-06-15"


async def test_requests_may_arrive_in_pieces_and_in_a_row() -> None:
    async with Simulator(WORLDS["small"]()) as simulator:
        whole = request(simulator, WHO)
        pieces = [whole[place : place + 7] for place in range(0, len(whole), 7)]
        found = await exchange(simulator, *pieces, whole + whole, answers=3)
        assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in found)
        assert simulator.connections == 1
        assert simulator.count(action="GetCallerIdentity") == 3


async def test_the_same_seed_answers_the_same_bytes(now: datetime) -> None:
    async def ask() -> list[bytes]:
        world = WORLDS["demo"](now=now, seed=3)
        async with Simulator(world, clock=lambda: 1_800_000_000.0) as simulator:
            bodies = ("Action=ListUsers", "Action=GenerateCredentialReport") * 2
            pieces = [request(simulator, body, "iam") for body in bodies]
            return await exchange(simulator, *pieces, answers=len(pieces))

    assert await ask() == await ask()


async def test_answers_carry_the_date_and_a_request_id() -> None:
    world = WORLDS["small"](now=datetime.fromtimestamp(1_800_000_000, UTC))
    async with Simulator(world, clock=lambda: 1_800_000_000.0) as simulator:
        first, second = await exchange(simulator, request(simulator, WHO) * 2, answers=2)
    date = first.split(b"Date: ")[1].split(b"\r\n")[0].decode()
    assert parsedate_to_datetime(date).timestamp() == 1_800_000_000
    ids = [answer.split(b"RequestId: ")[1].split(b"\r\n")[0] for answer in (first, second)]
    assert ids[0] != ids[1]
    assert ids[0] in first.split(b"\r\n\r\n")[1]


def date_of(answer: bytes) -> datetime:
    return parsedate_to_datetime(answer.split(b"Date: ")[1].split(b"\r\n")[0].decode())


async def test_the_date_is_the_worlds_and_advances_with_the_clock(now: datetime) -> None:
    times = [1_800_000_000.0]
    world = WORLDS["small"](now=now)
    async with Simulator(world, clock=lambda: times[0]) as simulator:
        (first,) = await exchange(simulator, request(simulator, WHO))
        times[0] += 3725
        (second,) = await exchange(simulator, request(simulator, WHO))
    assert (date_of(first), date_of(second)) == (now, now + timedelta(seconds=3725))


async def test_a_clock_that_counts_from_zero_still_gives_the_worlds_date(now: datetime) -> None:
    skew = timedelta(minutes=2)
    async with Simulator(WORLDS["small"](now=now), clock=lambda: 7.0, skew=skew) as simulator:
        (answer,) = await exchange(simulator, b"GET / HTTP/1.1\r\n\r\n")
    assert date_of(answer) == now + skew


async def test_a_world_of_the_present_has_the_machines_date() -> None:
    async with Simulator(WORLDS["small"]()) as simulator:
        (answer,) = await exchange(simulator, request(simulator, WHO))
    assert abs(date_of(answer).timestamp() - time.time()) < 5


async def test_what_is_no_aws_call_is_refused() -> None:
    async with Simulator(WORLDS["small"]()) as simulator:
        (unsigned,) = await exchange(simulator, b"GET /latest/meta-data HTTP/1.1\r\n\r\n")
        assert b"MissingAuthenticationToken" in unsigned
        (foreign,) = await exchange(simulator, request(simulator, "Action=ListBuckets", "s3"))
        assert foreign.startswith(b"HTTP/1.1 403 Forbidden")
        assert [call.name for call in simulator.undeclared] == ["s3:ListBuckets"]


async def test_calls_are_recorded_in_order() -> None:
    world = WORLDS["small"]()
    account = world.accounts[1].id
    role = f"Action=AssumeRole&RoleSessionName=me&RoleArn=arn:aws:iam::{account}:role/{AUDIT_ROLE}"
    async with Simulator(world) as simulator:
        await exchange(simulator, request(simulator, WHO), request(simulator, role), answers=2)
        first, second = simulator.calls
    assert (first.index, second.index) == (0, 1)
    assert second.account == world.management_account_id
    assert second.target == account
    assert second.parameters["RoleArn"].endswith(AUDIT_ROLE)
    assert (second.status, second.code, second.refused) == (200, "", False)
    assert simulator.count(target=account) == 1
    assert simulator.count(account=world.management_account_id) == 2
    assert simulator.count(service="iam") == 0


async def test_without_recording_only_counts_are_kept() -> None:
    async with Simulator(WORLDS["small"](), record=False) as simulator:
        await exchange(simulator, request(simulator, WHO))
        assert simulator.calls == []
        assert simulator.count(action="GetCallerIdentity") == 1
        with pytest.raises(LookupError):
            simulator.count(account="1")


async def test_a_slow_answer_holds_up_its_own_connection_only() -> None:
    fault = Fault(effect=faults.Delivery(delay=0.02), action="GetCallerIdentity", times=1)
    async with Simulator(WORLDS["small"](), faults=[fault]) as simulator:
        slow, quick = await exchange(simulator, request(simulator, WHO) * 2, answers=2)
        assert slow.split(b"\r\n\r\n")[0].startswith(b"HTTP/1.1 200")
        assert quick.endswith(b"</GetCallerIdentityResponse>")


async def test_a_dripping_answer_is_whole_in_the_end() -> None:
    fault = Fault(effect=faults.Delivery(drip=0.00001), action="GetCallerIdentity", times=1)
    async with Simulator(WORLDS["small"](), faults=[fault]) as simulator:
        (answer,) = await exchange(simulator, request(simulator, WHO))
        assert answer.endswith(b"</GetCallerIdentityResponse>")


async def test_a_huge_answer_is_streamed() -> None:
    fault = Fault(effect=faults.Delivery(padding=5 << 20), action="GetCallerIdentity")
    async with Simulator(WORLDS["small"](), faults=[fault]) as simulator:
        (answer,) = await exchange(simulator, request(simulator, WHO))
        assert len(answer) > 5 << 20


async def test_leaving_drops_those_who_still_wait() -> None:
    fault = Fault(effect=faults.SILENCE)
    async with Simulator(WORLDS["small"](), faults=[fault]) as simulator:
        waiting = asyncio.create_task(exchange(simulator, request(simulator, WHO)))
        while not simulator.calls:  # noqa: ASYNC110 - the simulator tells nobody
            await asyncio.sleep(0)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await waiting


async def test_a_redirect_names_the_other_host() -> None:
    fault = Fault(effect=faults.redirect("http://127.0.0.1:9/", 301))
    async with Simulator(WORLDS["small"](), faults=[fault]) as simulator:
        (answer,) = await exchange(simulator, request(simulator, WHO))
    assert answer.startswith(b"HTTP/1.1 301 Moved Permanently")
    assert b"Location: http://127.0.0.1:9/\r\n" in answer


async def test_rates_are_kept_per_account_and_action() -> None:
    times = [1_800_000_000.0]
    rates = {"sts": Rate(2, 3), "sts:AssumeRole": Rate(1, 1)}
    async with Simulator(WORLDS["small"](), rates=rates, clock=lambda: times[0]) as simulator:
        await exchange(simulator, request(simulator, WHO) * 5, answers=5)
        times[0] += 0.5
        await exchange(simulator, request(simulator, WHO) * 2, answers=2)
    codes = [call.code for call in simulator.calls]
    assert codes == ["", "", "", "Throttling", "Throttling", "", "Throttling"]


def test_a_process_of_its_own_serves_the_same_world(
    client: Callable[..., Any], now: datetime
) -> None:
    world = WORLDS["uniform"](accounts=5, users=1, now=now)
    with SimulatorProcess(
        "uniform", accounts=5, users=1, now=now.isoformat(), limits=True
    ) as process:
        assert process.credentials == Simulator(world).credentials
        assert process.pid > 0
        stand_in: Any = process
        organizations = client(stand_in, "organizations")
        found = [account["Id"] for account in organizations.list_accounts()["Accounts"]]
    assert found == [account.id for account in world.accounts]


@pytest.mark.parametrize("name", ["changing", "contradictory"])
def test_a_process_serves_worlds_that_contradict_themselves(
    client: Callable[..., Any], name: str
) -> None:
    sizes = {"accounts": 3, "users": 2} if name == "changing" else {}
    with SimulatorProcess(name, **sizes) as process:
        stand_in: Any = process
        found = client(stand_in, "organizations").list_accounts()["Accounts"]
    assert len(found) >= 3


def test_the_command_prints_its_address_and_checks_its_options() -> None:
    command = [sys.executable, "-m", "orgscan.simulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.terminate()
        assert process.wait(10) == 0
    assert line.startswith("http://127.0.0.1:")
    wrong = subprocess.run([*command, "--users", "3"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert "no option users" in wrong.stderr
    assert json.dumps(Credentials("a", "b")) == '["a", "b", null]'


def test_the_declared_actions_are_few() -> None:
    assert len(DECLARED_ACTIONS) == 21
    services = {name.partition(":")[0] for name in DECLARED_ACTIONS}
    assert services == {"iam", "sts", "organizations"}
