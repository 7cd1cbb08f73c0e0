"""A simulated AWS organization over HTTP: the demo's and the tests' AWS.

It answers as AWS does, records every call, refuses and records whatever orgscan has not
declared, and fails on demand. It knows nothing of the rest of orgscan but its nouns.
"""

from __future__ import annotations

from orgscan.simulator.accepted import accepted_risks
from orgscan.simulator.call import Call, Credentials
from orgscan.simulator.demo import DEMO_EXCLUDED_ACCOUNT, DEMO_LEADING_ZEROS
from orgscan.simulator.faults import Fault
from orgscan.simulator.quarters import QUARTER, Deed, Event, Quarter, quarters
from orgscan.simulator.server import DECLARED_ACTIONS, Simulator
from orgscan.simulator.world import AUDIT_ROLE, World

__all__ = [
    "AUDIT_ROLE",
    "DECLARED_ACTIONS",
    "DEMO_EXCLUDED_ACCOUNT",
    "DEMO_LEADING_ZEROS",
    "QUARTER",
    "Call",
    "Credentials",
    "Deed",
    "Event",
    "Fault",
    "Quarter",
    "Simulator",
    "World",
    "accepted_risks",
    "quarters",
]
