"""Where collection runs: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

from orgscan.collect.engines.cluster import connect
from orgscan.collect.engines.job import Cluster, Job
from orgscan.collect.engines.local import run
from orgscan.collect.engines.loop import new_event_loop

__all__ = ["Cluster", "Job", "connect", "new_event_loop", "run"]
