"""(a) Collection beside the least anyone could do, and beside what others do.

Each way reads the same accounts of the same simulated organization with the same calls, in a
process of its own; the simulator runs in another. Imports, the making of what is shared, and
the first calls are not counted.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orgscan.simulator import AUDIT_ROLE
from tests.benchmarks.measure import Figure, Stopwatch, alone, medians
from tests.benchmarks.signing import form, signed
from tests.kit.serving import SimulatorProcess
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_IN_FLIGHT = 64
_PLAIN = 6
"""Calls in an account besides AssumeRole and one ListAccessKeys for each user."""
_IAM, _STS = "2010-05-08", "2011-06-15"
_USERS = 10


def run(*, quick: bool) -> list[Figure]:
    many, few, repeats = (6, 3, 1) if quick else (300, 50, 3)
    ways = {"floor": many, "ours": many, "per_account": few}
    if cove := importlib.util.find_spec("botocove"):
        ways["cove"] = few
    taken: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    ids = [account.id for account in WORLDS["uniform"](accounts=many, users=_USERS).accounts]
    with SimulatorProcess("uniform", accounts=many, users=_USERS) as simulator:
        for _ in range(repeats):
            for way, count in ways.items():
                # orgscan finds the accounts by itself, the management account among them. The
                # others are told which; without that one, which has no role to assume.
                where: dict[str, Any] = {
                    "endpoint": simulator.endpoint_url,
                    "keys": [key or "" for key in simulator.credentials],
                    "accounts": ids if way == "ours" else ids[1 : count + 1],
                }
                taken[way].append(_each(alone(f"collection:{way}", here=quick, **where)))
    typical = {way: medians(runs) for way, runs in taken.items()}
    figures = _figures(typical)
    if not cove:
        figures.append(Figure("botocove", "not installed: `pip install botocove`"))
    return figures


def _each(run: dict[str, float]) -> dict[str, float]:
    return {
        "call": run["cpu"] / run["calls"] * 1000,
        "account": run["cpu"] / run["accounts"] * 1000,
        "wall": run["wall"] / run["accounts"] * 1000,
    }


def _figures(typical: dict[str, dict[str, float]]) -> list[Figure]:
    def told(way: str) -> str:
        of = typical[way]
        return f"{of['call']:.2f} ms of CPU per call, {of['wall']:.0f} ms wall per account"

    ours, floor, naive = typical["ours"], typical["floor"], typical["per_account"]
    over, less = ours["call"] / floor["call"], naive["account"] / ours["account"]
    faster = naive["wall"] / ours["wall"]
    figures = [
        Figure("Hand-signed aiohttp (the floor)", told("floor")),
        Figure("orgscan", told("ours")),
        Figure("A client per account (plain aioboto3)", told("per_account")),
        Figure("CPU per call, orgscan to the floor", f"{over:.1f} x", "<= 5 x", over <= 5),
        Figure("CPU, a client per account to orgscan", f"{less:.0f} x", ">= 12 x", less >= 12),
        # Wall time of orgscan holds AWS's pace for the list and the evidence on disk.
        Figure("Wall, a client per account to orgscan", f"{faster:.0f} x", ">= 12 x", faster >= 12),
    ]
    if "cove" in typical:
        cove = typical["cove"]
        times = cove["account"] / ours["account"], cove["wall"] / ours["wall"]
        text = f"{told('cove')}: orgscan {times[0]:.0f} x less CPU, {times[1]:.0f} x faster"
        figures.append(Figure("botocove, 20 threads", text))
    return figures


def _told(watch: Stopwatch, accounts: int, users: int) -> dict[str, float]:
    return {**watch.read(), "accounts": accounts, "calls": accounts * (1 + _PLAIN) + users}


async def _bounded(accounts: list[str], read: Callable[[str], Awaitable[int]]) -> int:
    slots = asyncio.Semaphore(_IN_FLIGHT)

    async def one(account: str) -> int:
        async with slots:
            return await read(account)

    return sum(await asyncio.gather(*map(one, accounts)))


def floor(endpoint: str, keys: list[str], accounts: list[str]) -> dict[str, float]:
    """Hand-signed requests, answers read and not parsed but for what the next call needs."""
    return asyncio.run(_floor(endpoint, (keys[0], keys[1], keys[2]), accounts))


async def _floor(
    endpoint: str, caller: tuple[str, str, str], accounts: list[str]
) -> dict[str, float]:
    import aiohttp  # noqa: PLC0415 - each way loads its own libraries

    host = endpoint.removeprefix("http://")
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def send(service: str, body: bytes, keys: tuple[str, str, str]) -> str:
            headers = signed(service, host, body, keys)
            async with http.post(f"{endpoint}/", data=body, headers=headers) as answer:
                text = (await answer.read()).decode()
                if answer.status != 200:
                    raise RuntimeError(text)
                return text

        async def read(account: str) -> int:
            role = f"arn:aws:iam::{account}:role/{AUDIT_ROLE}"
            body = form("AssumeRole", _STS, RoleArn=role, RoleSessionName="floor")
            answer = await send("sts", body, caller)
            names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
            one, two, three = (re.search(f"<{n}>(.*?)</{n}>", answer)[1] for n in names)  # type: ignore[index]
            keys = (one, two, three)
            await send("iam", form("GenerateCredentialReport", _IAM), keys)
            await send("iam", form("GetCredentialReport", _IAM), keys)
            answer = await send("iam", form("ListUsers", _IAM, MaxItems="1000"), keys)
            users = re.findall("<UserName>(.*?)</UserName>", answer)
            for user in users:
                await send("iam", form("ListAccessKeys", _IAM, UserName=user), keys)
            await send("iam", form("GetAccountSummary", _IAM), keys)
            await send("iam", form("GetAccountPasswordPolicy", _IAM), keys)
            await send("iam", form("ListVirtualMFADevices", _IAM), keys)
            return len(users)

        await read(accounts[0])
        watch = Stopwatch()
        users = await _bounded(accounts, read)
        return _told(watch, len(accounts), users)


def ours(endpoint: str, keys: list[str], accounts: list[str]) -> dict[str, float]:
    """``collect``: enumeration at AWS's pace, checks and the evidence store included."""
    from orgscan import settings  # noqa: PLC0415
    from orgscan.collect.engines import new_event_loop  # noqa: PLC0415
    from orgscan.models import Clock, Credentials, Kind, Observer  # noqa: PLC0415
    from orgscan.pipeline.scan import collect  # noqa: PLC0415
    from orgscan.runs.evidence import EvidenceStore  # noqa: PLC0415

    class Begin(Observer):
        watch: Stopwatch

        def phase(self, text: str) -> None:
            if text == "Reading accounts":
                self.watch = Stopwatch()

    chosen = settings.load(environment={}, role_name=AUDIT_ROLE, endpoint_url=endpoint)
    begin = Begin()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "run"
        work = collect(chosen, path, clock=Clock(), observer=begin, credentials=Credentials(*keys))
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(work)
        read = begin.watch.read()
        users = 0
        with EvidenceStore.read(path / "evidence.sqlite") as store:
            for reading in store:
                if evidence := reading.usable(Kind.USERS):
                    users += len(json.loads(evidence.content))
    calls = len(accounts) * (1 + _PLAIN) + users - 1  # the management account needs no AssumeRole
    return {**read, "accounts": len(accounts), "calls": calls}


def per_account(endpoint: str, keys: list[str], accounts: list[str]) -> dict[str, float]:
    """What most people write: a session and a client for each account."""
    return asyncio.run(_per_account(endpoint, keys, accounts))


async def _per_account(endpoint: str, keys: list[str], accounts: list[str]) -> dict[str, float]:
    import aioboto3  # noqa: PLC0415

    def client(service: str, session_keys: list[str]) -> Any:
        session = aioboto3.Session(
            aws_access_key_id=session_keys[0],
            aws_secret_access_key=session_keys[1],
            aws_session_token=session_keys[2] or None,
            region_name="us-east-1",
        )
        return session.client(service, endpoint_url=endpoint)

    async def read(account: str) -> int:
        role = f"arn:aws:iam::{account}:role/{AUDIT_ROLE}"
        answer = await sts.assume_role(RoleArn=role, RoleSessionName="naive")
        names = ("AccessKeyId", "SecretAccessKey", "SessionToken")
        async with client("iam", [answer["Credentials"][name] for name in names]) as iam:
            await iam.generate_credential_report()
            await iam.get_credential_report()
            users = (await iam.list_users(MaxItems=1000))["Users"]
            for user in users:
                await iam.list_access_keys(UserName=user["UserName"])
            await iam.get_account_summary()
            await iam.get_account_password_policy()
            await iam.list_virtual_mfa_devices()
        return len(users)

    async with client("sts", keys) as sts:
        await read(accounts[0])
        watch = Stopwatch()
        users = await _bounded(accounts, read)
        return _told(watch, len(accounts), users)


def cove(endpoint: str, keys: list[str], accounts: list[str]) -> dict[str, float]:
    """botocove runs a function in every account, on threads."""
    os.environ["AWS_ENDPOINT_URL"] = endpoint
    os.environ |= {"AWS_DEFAULT_REGION": "us-east-1", "TQDM_DISABLE": "1"}
    import boto3  # noqa: PLC0415
    from botocove import cove as in_every_account  # noqa: PLC0415

    session = boto3.Session(
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        aws_session_token=keys[2] or None,
        region_name="us-east-1",
    )
    # botocove 1.7.4 asks for Account.Status, which AWS has withdrawn.
    session.events.register("after-call.organizations.ListAccounts", _with_status)

    @in_every_account(
        target_ids=accounts, rolename=AUDIT_ROLE, assuming_session=session, raise_exception=True
    )
    def read(session: Any) -> int:
        iam = session.client("iam")
        iam.generate_credential_report()
        iam.get_credential_report()
        users = iam.list_users(MaxItems=1000)["Users"]
        for user in users:
            iam.list_access_keys(UserName=user["UserName"])
        iam.get_account_summary()
        iam.get_account_password_policy()
        iam.list_virtual_mfa_devices()
        return len(users)

    watch = Stopwatch()
    results = read()["Results"]
    return _told(watch, len(accounts), sum(result["Result"] for result in results))


def _with_status(parsed: dict[str, Any], **_event: object) -> None:
    for account in parsed["Accounts"]:
        account.setdefault("Status", account["State"])
