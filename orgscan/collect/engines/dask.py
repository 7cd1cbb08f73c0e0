"""Collection on Dask: each item is a task of its own, and goes back as soon as it is done.

Why a task for each: a dead worker then loses only what it was reading, and 5,000 users in one
account hold no other account's evidence back. What is batched are the messages: half of what a
task costs is telling the scheduler about it. Dask itself does a dead worker's tasks again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import uuid
from concurrent.futures import CancelledError
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib import metadata
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import dask.config
from distributed import Client, KilledWorker, LocalCluster, Security
from distributed.comm.core import CommClosedError
from distributed.utils import silence_logging_cmgr

from orgscan.collect.engines.worker import Room, Unusable, ready, work
from orgscan.errors import RunError, UsageError
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping

    from orgscan.collect.engines.job import Cluster, Job

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_PATIENCE = 5.0
"""Seconds a scheduler has to answer, and to have a worker."""
_OPENING = 60.0
"""Seconds the workers have to make ready."""
_ALONE = 60.0
"""Seconds without any worker until the run is given up; a new process is there in two."""
_BEAT = 2.0
_GATHERED = 0.02
"""Seconds items are gathered for one message: nothing to the item, and under load, when many
come, what keeps this process from being busy with messages alone."""

_PRIVATE = {
    # Nothing but ours listens or looks: no pages over HTTP, no sampling of stacks.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
}
_NO_CONNECTION = (OSError, TimeoutError, ValueError, TypeError, RuntimeError)
"""What Dask raises for a scheduler that is not there, an address that is none, TLS that fails."""


@asynccontextmanager
async def connect(
    cluster: Cluster, job: Job[_Item, _Result], *, concurrency: int
) -> AsyncIterator[Callable[[_Item], Awaitable[_Result]]]:
    """See :func:`orgscan.collect.engines.cluster.connect`."""
    name = f"orgscan-{uuid.uuid4().hex}"
    async with AsyncExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
        if cluster.workers:
            room = Room(name, job, ours=True)
            client = await stack.enter_async_context(_started(cluster.workers, room, concurrency))
        else:
            room = Room(name, job.bare(), ours=False)
            client = await stack.enter_async_context(_joined(cluster.scheduler, room))
        await _prepare(client, name)
        pool = _Pool(client, name, job)
        stack.push_async_callback(pool.close)
        yield pool.work


@asynccontextmanager
async def _started(workers: int, room: Room, concurrency: int) -> AsyncIterator[Client]:
    """A cluster of our own on this machine, for as long as the command runs.

    Its connections are authenticated: whoever else is on the machine could otherwise hand work
    to processes that hold our credentials. Results are never spilled to disk.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(dask.config.set(_PRIVATE))
        scratch = stack.enter_context(TemporaryDirectory(prefix="orgscan-"))
        try:
            cluster = await stack.enter_async_context(
                LocalCluster(
                    n_workers=workers,
                    # Tasks are coroutines: a thread is a slot, and no thread is ever started.
                    threads_per_worker=math.ceil(concurrency / workers),
                    plugins=(room,),
                    security=Security.temporary(),
                    memory_limit=0,
                    local_directory=scratch,
                    silence_logs=logging.CRITICAL,
                    dashboard_address=None,
                    scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
                    asynchronous=True,
                )
            )
            client = await stack.enter_async_context(
                Client(cluster, asynchronous=True, set_as_default=False)
            )
        except _NO_CONNECTION as error:
            raise RunError(f"the workers could not be started: {_line(error)}") from error
        yield client


@asynccontextmanager
async def _joined(address: str, room: Room) -> AsyncIterator[Client]:
    """Somebody else's cluster; it is left as it was found."""
    client: Any = Client(address, asynchronous=True, set_as_default=False, timeout=_PATIENCE)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.close)
        try:
            async with asyncio.timeout(_PATIENCE + 1):
                await client
        except _NO_CONNECTION as error:
            raise UsageError(
                f"no Dask scheduler responds at {address} ({_line(error)}); check the address, "
                "and Dask's TLS settings if it requires TLS"
            ) from None
        try:
            await client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError:
            raise UsageError(
                f"the Dask scheduler at {address} has no workers; start some, then try again"
            ) from None
        await _same_version(client)
        # From here on a worker that joins the cluster is given the job as well.
        await client.register_plugin(room, name=room.name)
        stack.push_async_callback(_leave, client, room.name)
        yield client


async def _leave(client: Any, name: str) -> None:
    """Take the job back from the workers, if there are any to take it from."""
    if client.status == "running":
        with suppress(*_NO_CONNECTION):
            async with asyncio.timeout(_PATIENCE):
                await client.unregister_worker_plugin(name)


async def _same_version(client: Client) -> None:
    """Refuse workers with another orgscan; asked in a way that needs none."""
    versions = await client.run(metadata.version, "orgscan", on_error="return")
    for worker, version in sorted(versions.items()):
        if version != __version__:
            has = f"orgscan {version}" if isinstance(version, str) else "no orgscan"
            raise UsageError(
                f"Dask worker {worker} has {has}, this is orgscan {__version__}; install the "
                "same version on all"
            )


async def _prepare(client: Client, name: str) -> None:
    """Open the job everywhere now: what fails on a worker is said before anything is read."""
    try:
        async with asyncio.timeout(_OPENING):
            answers: Mapping[str, Unusable | None] = await client.run(ready, name)
    except TimeoutError:
        raise UsageError(f"the Dask workers were not ready after {_OPENING:.0f} seconds") from None
    for worker, unusable in sorted(answers.items()):
        if unusable is not None:
            raise UsageError(f"Dask worker {worker}: {unusable.why}")


class _Pool(Generic[_Item, _Result]):
    """Hands items to the workers and waits for what becomes of them."""

    def __init__(self, client: Client, name: str, job: Job[_Item, _Result]) -> None:
        self._client = client
        self._name = name
        self._job = job
        self._sent = 0
        self._outbox: list[tuple[_Item, asyncio.Future[Any]]] = []
        self._abandoned: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watching = asyncio.create_task(self._watch())

    async def close(self) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        if not self._abandoned.cancel():
            self._abandoned.exception()

    async def work(self, item: _Item) -> _Result:
        """What a worker makes of ``item``.

        Raises :class:`orgscan.errors.RunError` where the cluster is lost.
        """
        task = await self._submitted(item)
        try:
            result = await self._landed(task.result())
        except KilledWorker:
            return self._job.lost(item)
        finally:
            # Nobody wants it any more; a worker that still has it lets go.
            task.release()
        if isinstance(result, Unusable):
            raise RunError(f"a Dask worker stopped: {result.why}; collected evidence is kept")
        answer: _Result = result
        return answer

    async def _submitted(self, item: _Item) -> Any:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._outbox.append((item, future))
        if len(self._outbox) == 1:
            loop.call_later(_GATHERED, self._send)
        return await future

    def _send(self) -> None:
        batch = [(item, future) for item, future in self._outbox if not future.done()]
        self._outbox = []
        if not batch:
            return
        try:
            tasks = self._client.map(
                partial(work, room=self._name, workers=self._workers),
                [item for item, _future in batch],
                # Numbers, not account ids: keys stand in everybody's logs.
                key=[f"{self._name}-{self._sent + number}" for number in range(len(batch))],
                pure=False,
            )
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            for _item, future in batch:
                future.set_exception(_gone(error))
            return
        self._sent += len(batch)
        for (_item, future), task in zip(batch, tasks, strict=True):
            future.set_result(task)

    async def _landed(self, answer: Coroutine[Any, Any, Any]) -> Any:
        """Wait for ``answer``, but not for ever, and tell our being cancelled from Dask's."""
        waiting = asyncio.ensure_future(answer)
        try:
            await asyncio.wait({waiting, self._abandoned}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                self._abandoned.result()
            try:
                return waiting.result()
            except (asyncio.CancelledError, CancelledError, CommClosedError) as error:
                raise _gone(error) from None
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

    @property
    def _workers(self) -> int:
        return max(1, int(self._client.scheduler_info().get("n_workers", 1)))

    async def _watch(self) -> None:
        """Give the run up when no worker has been there for long: Dask would wait for ever."""
        alone = 0.0
        while alone < _ALONE:
            await asyncio.sleep(_BEAT)
            known = self._client.scheduler_info().get("n_workers", 1)
            alone = 0.0 if known else alone + _BEAT
        message = f"no Dask worker was available for {_ALONE:.0f} seconds"
        self._abandoned.set_exception(_gone(RunError(message)))


def _gone(error: BaseException) -> RunError:
    return RunError(
        f"the connection to the Dask cluster was lost: {_line(error)}; evidence is kept, "
        "resume with `orgscan scan --resume`"
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
