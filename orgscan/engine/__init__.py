"""Where collection runs: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

from orgscan.engine.cluster import Cluster, Job, connect
from orgscan.engine.local import run
from orgscan.engine.loop import new_event_loop

__all__ = ["Cluster", "Job", "connect", "new_event_loop", "run"]
