"""A simulated AWS organization over HTTP: the demo's and the tests' AWS.

It answers as AWS does, records every call, refuses and records whatever orgscan has not
declared, and fails on demand. It knows nothing of the rest of orgscan but its nouns.
"""

from __future__ import annotations

from orgscan.simulator.accepted import accepted_risks
from orgscan.simulator.cloud import Call, Credentials
from orgscan.simulator.demo import DEMO_EXCLUDED_ACCOUNT, DEMO_LEADING_ZEROS
from orgscan.simulator.faults import Fault
from orgscan.simulator.process import SimulatorProcess, serve_in_thread
from orgscan.simulator.quarters import QUARTER, Deed, Event, Quarter, quarters
from orgscan.simulator.server import DECLARED_ACTIONS, Simulator
from orgscan.simulator.world import AUDIT_ROLE, World
from orgscan.simulator.worlds import WORLDS

__all__ = [
    "AUDIT_ROLE",
    "DECLARED_ACTIONS",
    "DEMO_EXCLUDED_ACCOUNT",
    "DEMO_LEADING_ZEROS",
    "QUARTER",
    "WORLDS",
    "Call",
    "Credentials",
    "Deed",
    "Event",
    "Fault",
    "Quarter",
    "Simulator",
    "SimulatorProcess",
    "World",
    "accepted_risks",
    "quarters",
    "serve_in_thread",
]
