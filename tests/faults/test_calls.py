"""Calls that are refused, lost, garbled or led astray; rows of the fault matrix by number."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.errors import ExitCode, UsageError
from orgscan.models import Kind
from orgscan.simulator import Fault, Simulator
from orgscan.simulator.faults import Error, Per
from tests.kit import faults
from tests.kit.scans import assert_alone, assert_sound, collect, scan
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from orgscan.simulator import World

STRUCK = "tidy-staging"
EVERYTHING = ",".join(Kind)
ROUNDS_FOR_ANSWERS = 60
"""Turns of the loop that fake time leaves to requests in flight before it moves on."""


def struck(small: World) -> str:
    return next(account.id for account in small.accounts if account.name == STRUCK)


async def test_fault_01_throttling_of_one_account_slows_that_account_alone(
    small: World, tmp_path: Path, new_clock: Callable[..., Any]
) -> None:
    throttled = Fault(
        effect=faults.THROTTLING,
        service="iam",
        account=struck(small),
        probability=0.95,
        seconds=60.0,
        seed=1,
    )
    durations = {}
    for name, scripted in (("calm", ()), ("throttled", (throttled,))):
        clock = new_clock()
        clock.GRACE = ROUNDS_FOR_ANSWERS
        scanned = await scan(
            small, tmp_path / name, *scripted, clock=clock, clock_of_aws=clock.monotonic
        )
        assert_alone(scanned, STRUCK, "COMPLETE")
        durations[name] = scanned.run.accounts.set_index("account_name")["duration_seconds"]
        if scripted:
            limit = scanned.asked("ListUsers", STRUCK) + scanned.simulator.count(service="iam")
            assert limit < 60 * 20  # refusals are no reason to ask at full pace for a minute
    assert durations["throttled"][STRUCK] > 60
    for name in set(durations["calm"].index) - {STRUCK}:
        assert durations["throttled"][name] < durations["calm"][name] + 2.0, name


async def test_fault_02_sts_throttling_loses_no_account(
    tmp_path: Path, new_clock: Callable[..., Any]
) -> None:
    clock = new_clock()
    world = WORLDS["uniform"](accounts=40, users=1, now=clock.now())
    throttled = Fault(
        effect=faults.THROTTLING, action="AssumeRole", probability=0.9, seconds=30.0, seed=3
    )
    scanned = await scan(
        world, tmp_path / "run", throttled, clock=clock, clock_of_aws=clock.monotonic
    )
    assert_sound(scanned)
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}
    # 600 a second for half a minute is what a pace that never falls would have asked.
    assert scanned.simulator.count(action="AssumeRole") < 40 * 40
    assert clock.elapsed > 10


SERVER_ERRORS = {
    "500": Error("InternalFailure", 500),
    "502": faults.bad_gateway(502),
    "503": faults.bad_gateway(503),
    "504": faults.bad_gateway(504),
    "ServiceFailure": faults.SERVICE_FAILURE,
}


@pytest.mark.parametrize("name", SERVER_ERRORS)
async def test_fault_05_server_errors_are_overcome(small: World, tmp_path: Path, name: str) -> None:
    passing = Fault(effect=SERVER_ERRORS[name], account=struck(small), times=2, per=Per.CALL)
    scanned = await scan(small, tmp_path / "run", passing)
    assert_alone(scanned, STRUCK, "COMPLETE")
    assert scanned.asked("AssumeRole", STRUCK) == 3


@pytest.mark.parametrize("name", SERVER_ERRORS)
async def test_fault_05_server_errors_for_good_fail_the_account_with_the_request_id(
    small: World, tmp_path: Path, name: str
) -> None:
    lasting = Fault(effect=SERVER_ERRORS[name], action="AssumeRole", account=struck(small))
    scanned = await scan(small, tmp_path / "run", lasting)
    code = {"500": "InternalFailure"}.get(name, f"HTTP{name}" if name.isdecimal() else name)
    assert_alone(scanned, STRUCK, "FAILED", EVERYTHING, code)
    last = [call for call in scanned.simulator.calls if call.target == struck(small)][-1]
    assert f"(request id {last.request_id})" in scanned.row(STRUCK)["reason"]
    assert scanned.asked("AssumeRole", STRUCK) == 6


@pytest.mark.parametrize("effect", [faults.RESET, faults.RESET_WITHIN, faults.CUT])
async def test_fault_06_a_connection_reset_before_or_within_the_answer_is_retried(
    small: World, tmp_path: Path, effect: Any
) -> None:
    reset = Fault(effect=effect, times=1, per=Per.CALL)
    scanned = await scan(small, tmp_path / "run", reset)
    assert_alone(scanned, STRUCK, "COMPLETE")
    assert scanned.asked("AssumeRole", STRUCK) == 2
    assert scanned.asked("ListUsers", STRUCK) == 2


@pytest.mark.parametrize("effect", [faults.DRIP, faults.SILENCE], ids=["slow", "silent"])
@pytest.mark.parametrize(
    ("action", "coverage", "missing"),
    [("AssumeRole", "FAILED", EVERYTHING), ("ListUsers", "PARTIAL", "users,access_keys")],
)
async def test_fault_07_slow_bytes_and_silence_end_at_the_deadline_and_free_the_slot(
    small: World, tmp_path: Path, *, effect: Any, action: str, coverage: str, missing: str
) -> None:
    hanging = Fault(effect=effect, action=action, account=struck(small))
    scanned = await scan(small, tmp_path / "run", hanging, call_timeout_seconds=0.3, concurrency=1)
    assert_alone(scanned, STRUCK, coverage, missing, "Timeout")
    assert scanned.asked(action, STRUCK) == 3


class Resolver:
    """The machine's name resolution, which fails so many times."""

    def __init__(self, failures: float) -> None:
        self.asked = 0
        self._failures = failures
        self._resolve = socket.getaddrinfo

    def __call__(self, host: Any, *arguments: Any, **more: Any) -> Any:
        self.asked += 1
        if self.asked <= self._failures:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        more["family"] = socket.AF_INET
        return self._resolve(host, *arguments[:1], **more)


async def test_fault_08_name_resolution_that_fails_and_comes_back_costs_nothing(
    small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(failures=3)
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    async with Simulator(small) as simulator:
        named = simulator.endpoint_url.replace("127.0.0.1", "localhost")
        await collect(simulator, tmp_path / "run", endpoint_url=named)
        assert simulator.count(action="GetCallerIdentity") == 1
    assert resolver.asked > 3


async def test_fault_08_name_resolution_that_never_works_ends_the_run(
    small: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolver = Resolver(failures=float("inf"))
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    async with Simulator(small) as simulator:
        named = simulator.endpoint_url.replace("127.0.0.1", "localhost")
        with pytest.raises(UsageError, match="cannot reach http://localhost"):
            await collect(simulator, tmp_path / "run", endpoint_url=named)
        assert simulator.calls == []
    assert resolver.asked == 6
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that no authority vouches for, with its key."""
    path = tmp_path_factory.mktemp("tls") / "self-signed.pem"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
        f"-subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout {path} -out {path}.crt"
    )
    try:
        subprocess.run(command.split(), check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return path


@asynccontextmanager
async def impostor(certificate: Path) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A TLS server that is not AWS; yields its URL and whatever it was told."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    told: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        told.append(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", told


async def test_fault_08_a_bad_certificate_ends_the_run_at_the_first_try(
    small: World, tmp_path: Path, certificate: Path, new_clock: Callable[..., Any]
) -> None:
    clock = new_clock()
    async with impostor(certificate) as (url, told), Simulator(small) as simulator:
        with pytest.raises(UsageError, match=r"certificate of 127\.0\.0\.1 is not trusted"):
            await collect(simulator, tmp_path / "run", endpoint_url=url, clock=clock)
    assert told == []
    assert max(clock.slept, default=0.0) < 0.1  # nothing was tried again
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", faults.MALFORMED)
@pytest.mark.parametrize(
    ("action", "coverage", "missing"),
    [
        ("AssumeRole", "FAILED", EVERYTHING),
        ("ListUsers", "PARTIAL", "users,access_keys"),
        ("GetAccountSummary", "PARTIAL", "account_summary"),
    ],
)
async def test_fault_09_garbled_answers_are_malformed_after_three_tries(
    small: World, tmp_path: Path, *, name: str, action: str, coverage: str, missing: str
) -> None:
    garbled = Fault(effect=faults.MALFORMED[name], action=action, account=struck(small))
    scanned = await scan(small, tmp_path / "run", garbled)
    assert_alone(scanned, STRUCK, coverage, missing, "MalformedAnswer")
    assert scanned.asked(action, STRUCK) == 3
    assert "KeyError:" not in scanned.row(STRUCK)["reason"]


@pytest.mark.parametrize("name", faults.MALFORMED)
async def test_fault_09_a_garbled_answer_is_overcome_by_a_sound_one(
    small: World, tmp_path: Path, name: str
) -> None:
    once = Fault(effect=faults.MALFORMED[name], account=struck(small), times=1, per=Per.CALL)
    scanned = await scan(small, tmp_path / "run", once)
    assert_alone(scanned, STRUCK, "COMPLETE")


@pytest.mark.parametrize(
    ("effect", "code"),
    [(faults.HUGE, "AnswerTooLarge"), (faults.gzip_bomb(), "MalformedAnswer")],
    ids=["200-megabytes", "bomb"],
)
@pytest.mark.parametrize(
    ("action", "missing"),
    [("GetCredentialReport", "credential_report"), ("ListUsers", "users,access_keys")],
)
async def test_fault_24_a_body_without_measure_is_cut_off(
    small: World, tmp_path: Path, *, effect: Any, code: str, action: str, missing: str
) -> None:
    large = Fault(effect=effect, action=action, account=struck(small))
    scanned = await scan(small, tmp_path / "run", large)
    assert_alone(scanned, STRUCK, "PARTIAL", missing, code)
    assert scanned.asked(action, STRUCK) == (1 if code == "AnswerTooLarge" else 3)
    assert (tmp_path / "run" / "evidence.sqlite").stat().st_size < 1 << 20


@pytest.mark.parametrize("minutes", [10, -10])
async def test_fault_26_a_clock_that_is_off_is_told_in_plain_words(
    small: World, tmp_path: Path, minutes: int
) -> None:
    with pytest.raises(UsageError, match="clock") as caught:
        await scan(small, tmp_path / "run", skew=timedelta(minutes=minutes))
    assert "this machine's clock" in str(caught.value)
    assert "sign in" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.fixture
async def elsewhere(small: World) -> AsyncIterator[Simulator]:
    """Another host, which must never hear of us."""
    async with Simulator(small) as other:
        yield other


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_fault_27_redirects_are_refused_and_the_other_host_sees_nothing(
    small: World, tmp_path: Path, elsewhere: Simulator, status: int
) -> None:
    away = faults.redirect(f"{elsewhere.endpoint_url}/", status)
    scanned = await scan(
        small,
        tmp_path / "run",
        Fault(effect=away, account=struck(small), action="GetCredentialReport"),
    )
    assert_alone(scanned, STRUCK, "PARTIAL", "credential_report", "RedirectRefused")
    assert scanned.asked("GetCredentialReport", STRUCK) == 1
    assert (elsewhere.calls, elsewhere.connections) == ([], 0)


async def test_fault_27_a_redirect_of_the_first_call_ends_the_run(
    small: World, tmp_path: Path, elsewhere: Simulator
) -> None:
    away = Fault(effect=faults.redirect(f"{elsewhere.endpoint_url}/"), action="GetCallerIdentity")
    with pytest.raises(Exception, match="redirect, which was not followed") as caught:
        await scan(small, tmp_path / "run", away)
    assert getattr(caught.value, "exit_code", None) == ExitCode.RUN_FAILED
    assert elsewhere.connections == 0
