"""The seam between the one process that enumerates and stores, and those that read accounts.

:func:`orgscan.collect.engines.local.run` admits, drains and cancels accounts in every case. With a
cluster, the work only travels to a worker and back, so that stopping, failing and resuming are the
same on one machine and on twenty.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from orgscan.collect.engines.job import Cluster, Job

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@asynccontextmanager
async def connect(
    cluster: Cluster, job: Job[_Item, _Result], *, concurrency: int
) -> AsyncIterator[Callable[[_Item], Awaitable[_Result]]]:
    """Have ``job`` opened on every worker; yields what has an item worked on by one of them.

    ``concurrency`` is for all workers together: those started here get equal shares of it, a
    cluster that is joined works on as many items as its workers have threads.

    Raises :class:`orgscan.errors.UsageError` where the workers cannot be used at all. What is
    yielded raises :class:`orgscan.errors.RunError` once no worker can be reached any more.
    """
    from orgscan.collect.engines import dask  # noqa: PLC0415 - a second to import, and an extra

    async with dask.connect(cluster, job, concurrency=concurrency) as work:
        yield work
