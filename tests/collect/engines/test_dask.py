"""The engine on Dask; the work is made up, the clusters are real."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import dask.config
import pytest
from distributed import Client, LocalCluster, Scheduler

from orgscan.collect import engines as engine
from orgscan.errors import RunError, UsageError
from tests.kit.jobs import EchoJob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AsyncExitStack
    from pathlib import Path

pytestmark = pytest.mark.cluster

CANARY = "canary-9f2c41d7"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where jobs write what happens to them."""
    return tmp_path / "journal"


def told(journal: Path, what: str) -> list[str]:
    """The processes that said so, in their order."""
    lines = journal.read_text().splitlines() if journal.exists() else []
    return [line.split()[1] for line in lines if line.split()[0] == what]


async def until(seen: Callable[[], bool]) -> None:
    """Let the workers of this loop go on until something of theirs is seen."""
    while not seen():  # noqa: ASYNC110 - it is seen in a file
        await asyncio.sleep(0)


async def joined(cluster: LocalCluster, job: Any, entered: AsyncExitStack) -> Any:
    place = engine.Cluster(scheduler=cluster.scheduler_address)
    return await entered.enter_async_context(engine.connect(place, job, concurrency=8))


def test_there_is_one_way_to_name_a_cluster() -> None:
    for both_or_neither in ({}, {"workers": 2, "scheduler": "tcp://there:8786"}):
        with pytest.raises(UsageError, match="give one of the two"):
            engine.Cluster(**both_or_neither)


@pytest.mark.parametrize("package", ["distributed", "cryptography"])
def test_without_the_extra_one_line_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(UsageError, match=r"pip install 'orgscan\[dask\]'"):
        engine.Cluster(workers=2)


async def test_work_is_spread_over_processes_that_open_once_and_close(
    journal: Path,
    scheduler: Callable[[], Scheduler],
    known_to: Callable[[Scheduler], bytes],
) -> None:
    job = EchoJob(journal, secret=CANARY)
    async with engine.connect(engine.Cluster(workers=2), job, concurrency=8) as work:
        answers = await asyncio.gather(*map(work, range(200)), work("secret"))
        assert answers.pop() == CANARY  # it is there,
        at = scheduler()
        assert at.address.startswith("tls://127.0.0.1:")
        assert sum(worker.nthreads for worker in at.workers.values()) == 8
        hanging = asyncio.ensure_future(work("hang"))
        await until(lambda: bool(told(journal, "hanging")))
        known = known_to(at)
        assert b"hang" in known  # what is sent through the scheduler would be found,
        assert CANARY.encode() not in known  # and the secret got there without it
        hanging.cancel()

    assert [item for item, _process, _workers in answers] == list(range(200))
    processes = {process for _item, process, _workers in answers}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {workers for _item, _process, workers in answers} == {2}
    for what in ("opened", "closed"):
        assert Counter(told(journal, what)) == dict.fromkeys(map(str, processes), 1)


async def test_an_item_that_kills_its_workers_is_given_up_and_the_rest_is_done(
    journal: Path,
) -> None:
    # One death is enough to tell; by default Dask wants four of them.
    dask.config.set({"distributed.scheduler.allowed-failures": 0})
    try:
        place = engine.Cluster(workers=1)
        async with engine.connect(place, EchoJob(journal), concurrency=1) as work:
            assert await work("die") == ("lost", "die")
            assert (await work(1))[0] == 1
    finally:
        dask.config.refresh()
    assert len(told(journal, "opened")) == 2


async def test_a_cluster_that_is_joined_is_left_as_it_was_found(
    foreign: Any, journal: Path, known_to: Callable[[Scheduler], bytes]
) -> None:
    cluster = await foreign()
    before = {**cluster.scheduler.worker_plugins}
    place = engine.Cluster(scheduler=cluster.scheduler_address)
    job = EchoJob(journal, secret=CANARY)
    async with engine.connect(place, job, concurrency=8) as work:
        assert (await work(7))[::2] == (7, 2)
        assert await work("secret") == ""  # nothing is sent that should not be
        assert len(cluster.scheduler.worker_plugins) == len(before) + 1
        assert CANARY.encode() not in known_to(cluster.scheduler)
    assert cluster.scheduler.worker_plugins == before
    assert len(told(journal, "opened")) == len(told(journal, "closed")) == 1
    assert len(cluster.workers) == 2


async def test_a_worker_that_joins_later_takes_part(
    foreign: Any, journal: Path, entered: AsyncExitStack
) -> None:
    cluster = await foreign(1)
    work = await joined(cluster, EchoJob(journal), entered)
    cluster.scale(3)
    async with Client(cluster, asynchronous=True, set_as_default=False) as client:
        await client.wait_for_workers(3)
    shared = 1
    while shared != 3:  # the client asks every two seconds
        _item, _process, shared = await work(0)


async def test_of_several_items_the_slow_one_holds_nothing_back(
    foreign: Any, journal: Path, entered: AsyncExitStack
) -> None:
    work = await joined(await foreign(), EchoJob(journal), entered)
    slow = asyncio.ensure_future(work("hang"))
    answers = await asyncio.gather(*map(work, range(50)))
    assert len(answers) == 50
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)
    assert slow.cancelled()


async def test_what_is_still_running_at_the_end_is_cancelled(foreign: Any, journal: Path) -> None:
    cluster = await foreign()
    stop = asyncio.Event()

    async def items() -> AsyncGenerator[str]:
        yield "hang"
        yield "hang"
        await until(lambda: len(told(journal, "hanging")) == 2)
        stop.set()

    place = engine.Cluster(scheduler=cluster.scheduler_address)
    async with engine.connect(place, EchoJob(journal), concurrency=8) as work:
        whole = await engine.run(items(), work, concurrency=8, stop=stop, drain_seconds=0.01)
    assert whole is False
    assert len(told(journal, "cancelled")) == 2
    assert told(journal, "closed")


async def test_a_failure_of_the_work_itself_is_raised_as_it_is(
    foreign: Any, journal: Path, entered: AsyncExitStack
) -> None:
    work = await joined(await foreign(), EchoJob(journal), entered)
    with pytest.raises(LookupError, match="fail"):
        await work("fail")


async def test_a_worker_that_cannot_be_used_is_told_before_the_start(
    foreign: Any, journal: Path
) -> None:
    cluster = await foreign()
    before = {**cluster.scheduler.worker_plugins}
    place = engine.Cluster(scheduler=cluster.scheduler_address)
    job = EchoJob(journal, refusal="no AWS credentials found")
    with pytest.raises(UsageError, match=r"^Dask worker tcp://\S+: no AWS credentials found$"):
        async with engine.connect(place, job, concurrency=8):
            pytest.fail("there is nothing to work with")
    assert cluster.scheduler.worker_plugins == before


async def test_workers_of_another_version_are_refused(
    foreign: Any,
    journal: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = await foreign()
    other = tmp_path / "orgscan-99.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: orgscan\nVersion: 99.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # the workers share this process
    place = engine.Cluster(scheduler=cluster.scheduler_address)
    with pytest.raises(UsageError, match=r"has orgscan 99\.0, this is orgscan .*install the same"):
        async with engine.connect(place, EchoJob(journal), concurrency=8):
            pytest.fail("they would not understand each other")


async def test_the_scheduler_going_away_is_a_failed_run_and_no_end_without_words(
    foreign: Any, journal: Path, entered: AsyncExitStack
) -> None:
    cluster = await foreign()
    work = await joined(cluster, EchoJob(journal), entered)
    hanging = asyncio.ensure_future(work("hang"))
    await until(lambda: bool(told(journal, "hanging")))
    await cluster.close()
    with pytest.raises(
        RunError, match=r"the connection to the Dask cluster was lost: .*; evidence is kept"
    ):
        await hanging


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:{closed}", "tls://127.0.0.1:{closed}", "carrier://pigeon", "a b"]
)
async def test_a_scheduler_that_is_not_there_is_one_line(journal: Path, address: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # nobody accepts
        place = engine.Cluster(scheduler=address.format(closed=listener.getsockname()[1]))
        with pytest.raises(UsageError, match="no Dask scheduler responds at") as caught:
            async with engine.connect(place, EchoJob(journal), concurrency=8):
                pytest.fail("there is no scheduler")
    assert "\n" not in str(caught.value)
