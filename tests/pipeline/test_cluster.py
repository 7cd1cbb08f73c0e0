"""The pipeline with the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orgscan import settings
from orgscan.collect.collection import resume as resume_run
from orgscan.collect.engines import Cluster
from orgscan.collect.worker import ReadingJob
from orgscan.errors import RunInterrupted, UsageError
from orgscan.models import (
    Account,
    Caller,
    Clock,
    Coverage,
    Credentials,
    Kind,
    Observer,
    Outcome,
)
from orgscan.pipeline.render import render
from orgscan.pipeline.scan import collect as collect_run
from orgscan.runs.run import Run
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from distributed import LocalCluster, Scheduler

pytestmark = pytest.mark.cluster

OWN = {
    "attempts", "started_at", "duration_seconds", "evidence_sha256", "as_of", "age_days",
    "idle_days", "first_seen_at", "report_generated_at", "reason",
}  # fmt: skip
"""Columns with a run's own times, or with the ids of its requests."""
EXTERNAL_ID = "canary-5d1be07a"


class Seen(Observer):
    """Does something once so many accounts are settled."""

    def __init__(self, accounts: int, then: Callable[[], None]) -> None:
        self.outcomes: list[Outcome] = []
        self._accounts = accounts
        self._then = then

    def settled(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if len(self.outcomes) == self._accounts:
            self._then()


def finish(run: Path) -> Run:
    render(run, clock=Clock(), observer=Observer())
    return Run(run)


def assert_same_tables(one: Run, other: Run) -> None:
    for name in ("accounts", "credentials", "access_keys", "findings"):
        left, right = getattr(one, name), getattr(other, name)
        kept = [column for column in left.columns if column not in OWN]
        pd.testing.assert_frame_equal(left[kept], right[kept])


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Give the workers of this process the credentials of a simulated caller."""

    def sign_in(keys: Any) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys.secret_access_key)
        if keys.session_token:
            monkeypatch.setenv("AWS_SESSION_TOKEN", keys.session_token)

    return sign_in


@pytest.fixture
def on(foreign: Callable[[], Awaitable[LocalCluster]], tmp_path: Path) -> Callable[..., Any]:
    """Collect from a simulator with the workers of a cluster that is there already."""

    async def collect(
        simulator: Simulator, cluster: LocalCluster | None = None, *, resume: bool = False,
        observer: Observer | None = None, stop: asyncio.Event | None = None, **options: Any,
    ) -> Path:  # fmt: skip
        cluster = cluster or await foreign()
        keys = simulator.credentials
        work = resume_run if resume else collect_run
        await work(
            settings.load(
                environment={},
                role_name=AUDIT_ROLE,
                endpoint_url=simulator.endpoint_url,
                **options,
            ),
            tmp_path / "run",
            clock=Clock(),
            observer=observer or Observer(),
            stop=stop,
            credentials=Credentials(keys.access_key_id, keys.secret_access_key, ""),
            cluster=Cluster(scheduler=cluster.scheduler_address),
        )
        return tmp_path / "run"

    return collect


async def test_the_same_tables_one_by_one_many_at_once_and_on_workers_and_no_secret_is_told(
    collect: Callable[..., Any],
    tmp_path: Path,
    scheduler: Callable[[], Scheduler],
    known_to: Callable[[Scheduler], bytes],
) -> None:
    hostile, denied = WORLDS["hostile"](), WORLDS["denied"]()
    world = replace(hostile, accounts=(*hostile.accounts[:10], *denied.accounts[1:]))
    for accounts in (1, 64):
        async with collect(world, tmp_path / f"{accounts}", concurrency=accounts):
            pass
    known = b""

    def look() -> None:
        nonlocal known
        known += known_to(scheduler())
        for process in multiprocessing.active_children():
            for name in ("environ", "cmdline"):
                known += Path(f"/proc/{process.pid}/{name}").read_bytes()

    async with collect(
        world,
        tmp_path / "workers",
        cluster=Cluster(workers=2),
        external_id=EXTERNAL_ID,
        observer=Seen(1, look),
    ) as simulator:
        secrets = {*simulator.secrets, simulator.credentials.secret_access_key, EXTERNAL_ID}
        sent = [call.parameters for call in simulator.calls if call.action == "AssumeRole"]

    assert {parameters["ExternalId"] for parameters in sent} == {EXTERNAL_ID}
    assert world.accounts[-1].id.encode() in known  # accounts wait there, so secrets would too
    assert [secret for secret in secrets if secret.encode() in known] == []
    one = finish(tmp_path / "1")
    assert len(one.accounts) == len(world.accounts)
    assert_same_tables(one, finish(tmp_path / "64"))
    assert_same_tables(one, finish(tmp_path / "workers"))


async def test_a_worker_killed_in_the_middle_costs_nothing(
    collect: Callable[..., Any], tmp_path: Path, scheduler: Callable[[], Scheduler]
) -> None:
    world = WORLDS["uniform"](accounts=60, users=3)
    lost = 0

    def kill() -> None:
        nonlocal lost
        busiest = max(scheduler().workers.values(), key=lambda worker: len(worker.processing))
        lost = len(busiest.processing)
        os.kill(busiest.pid, signal.SIGKILL)

    observer = Seen(5, kill)
    async with collect(
        world,
        tmp_path / "run",
        cluster=Cluster(workers=2),
        concurrency=16,
        observer=observer,
    ) as simulator:
        assumed = simulator.count(action="AssumeRole")

    assert lost  # it was reading accounts, and these were read again
    assert assumed >= len(world.accounts) - 1
    told = [outcome.account_id for outcome in observer.outcomes]
    assert sorted(told) == sorted(account.id for account in world.accounts)
    run = finish(tmp_path / "run")
    assert list(run.accounts["account_id"]) == sorted(told)
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert len(run.access_keys) > 0


async def test_workers_sign_in_by_their_own_means(
    on: Callable[..., Any], simulate: Any, signed_in: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORGSCAN_EXTERNAL_ID", EXTERNAL_ID)
    simulator = await simulate(WORLDS["small"]())
    signed_in(simulator.credentials)
    run = finish(await on(simulator, external_id=EXTERNAL_ID, profile=None))
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    sent = [call.parameters for call in simulator.calls if call.action == "AssumeRole"]
    assert {parameters["ExternalId"] for parameters in sent} == {EXTERNAL_ID}


async def test_workers_that_cannot_be_used_leave_no_run_behind(
    on: Callable[..., Any], simulate: Any, signed_in: Any, foreign: Any, tmp_path: Path
) -> None:
    cluster = await foreign()
    simulator = await simulate(WORLDS["small"]())
    with pytest.raises(UsageError, match=r"Dask worker .*: no AWS credentials found"):
        await on(simulator, cluster)
    signed_in(simulator.credentials)
    with pytest.raises(UsageError, match="has no external ID; set ORGSCAN_EXTERNAL_ID"):
        await on(simulator, cluster, external_id=EXTERNAL_ID)
    assert not (tmp_path / "run").exists()


async def test_workers_that_are_somebody_else_are_refused(
    on: Callable[..., Any], simulate: Any, signed_in: Any, connect: Any
) -> None:
    world = WORLDS["small"]()
    simulator = await simulate(world)
    aws = await connect(simulator)
    answer = await aws.sts.call(
        "AssumeRole",
        "Credentials",
        RoleArn=f"arn:aws:iam::{world.accounts[1].id}:role/{AUDIT_ROLE}",
        RoleSessionName="someone",
    )
    keys = answer["Credentials"]
    session = simulator.cloud.sessions[keys["AccessKeyId"]]
    signed_in(session.credentials)
    with pytest.raises(UsageError, match=rf"uses account {world.accounts[1].id}, but this"):
        await on(simulator)


async def test_a_caller_that_can_call_no_more_stops_the_run(
    on: Callable[..., Any], simulate: Any, signed_in: Any
) -> None:
    world = WORLDS["uniform"](accounts=40, users=1)
    expired = Fault(effect=faults.EXPIRED_TOKEN, action="AssumeRole", nth=9)
    simulator = await simulate(world, faults=[expired])
    signed_in(simulator.credentials)
    run = finish(await on(simulator, concurrency=4))
    coverage = run.accounts["coverage"].value_counts().to_dict()
    assert coverage.keys() == {"COMPLETE", "NOT_ATTEMPTED"}
    assert simulator.count(action="AssumeRole") < 16
    notes = run.manifest["notes"]
    assert any("stopped early" in note for note in notes)


async def test_an_interrupted_run_goes_on(
    on: Callable[..., Any], simulate: Any, signed_in: Any, foreign: Any, tmp_path: Path
) -> None:
    cluster = await foreign()
    world = WORLDS["uniform"](accounts=30, users=2)
    simulator = await simulate(world)
    signed_in(simulator.credentials)
    stop = asyncio.Event()
    observer = Seen(8, stop.set)
    with pytest.raises(RunInterrupted):
        await on(simulator, cluster, observer=observer, stop=stop, concurrency=4)
    before = {outcome.account_id for outcome in observer.outcomes}
    assert 8 <= len(before) < 16  # what was in flight was drained
    again = Seen(0, stop.set)
    await on(simulator, cluster, resume=True, observer=again)
    assert before.isdisjoint(outcome.account_id for outcome in again.outcomes)
    run = finish(tmp_path / "run")
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert set(run.accounts["attempts"]) == {1}


def test_what_goes_through_a_scheduler_holds_no_secret_and_its_repr_never_does() -> None:
    caller = Caller(account_id="1" * 12, arn="arn:aws:iam::111111111111:user/me", partition="aws")
    told = settings.load(environment={}, external_id=EXTERNAL_ID, profile="mine")
    keys = Credentials("AKIAEXAMPLE", f"{EXTERNAL_ID}-key", f"{EXTERNAL_ID}-token")
    job = ReadingJob(told, caller, keys, external_id_used=True)
    assert EXTERNAL_ID.encode() in pickle.dumps(job)
    assert EXTERNAL_ID.encode() not in pickle.dumps(job.bare())
    assert EXTERNAL_ID not in repr(job)
    assert job.bare().settings.profile is None  # a name on this machine, not on theirs
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 - our own


def test_an_account_its_workers_died_of_is_a_gap_with_a_reason() -> None:
    caller = Caller(account_id="1" * 12, arn="arn:aws:iam::111111111111:user/me", partition="aws")
    outcome = ReadingJob(settings.load(environment={}), caller).lost(Account(account_id="2" * 12))
    assert (outcome.account_id, outcome.coverage) == ("2" * 12, Coverage.FAILED)
    assert (outcome.error_code, outcome.missing) == ("WorkerLost", ",".join(Kind))
    assert "died" in outcome.reason
