"""The composition root: the only place that opens rooms.

organization -> sessions -> collectors -> evidence -> tables -> controls -> reports
"""

from __future__ import annotations

from orgscan.collect.engines import Cluster, new_event_loop
from orgscan.controls.criteria import check_criteria
from orgscan.pipeline.check import Readiness, Step, StepState, check
from orgscan.pipeline.demo import collect_demo, demo_quarters, write_demo_waivers
from orgscan.pipeline.previous import (
    Difference,
    check_difference_file,
    check_previous,
    compare_runs,
    write_difference,
)
from orgscan.pipeline.publish import check_destination, open_history, publish
from orgscan.pipeline.render import render
from orgscan.pipeline.scan import collect, default_output, resume, scan, stored_settings
from orgscan.pipeline.sign import check_signing_key, sign
from orgscan.pipeline.verify import Verification, verify
from orgscan.reports.formats import FORMATS, check_formats
from orgscan.role.policy import audit_role_policy, caller_policy, declared_actions
from orgscan.role.templates import AuditRole
from orgscan.runs.run import Run
from orgscan.waivers.entries import Decisions, check_decisions, read_decisions

__all__ = [
    "FORMATS",
    "AuditRole",
    "Cluster",
    "Decisions",
    "Difference",
    "Readiness",
    "Run",
    "Step",
    "StepState",
    "Verification",
    "audit_role_policy",
    "caller_policy",
    "check",
    "check_criteria",
    "check_decisions",
    "check_destination",
    "check_difference_file",
    "check_formats",
    "check_previous",
    "check_signing_key",
    "collect",
    "collect_demo",
    "compare_runs",
    "declared_actions",
    "default_output",
    "demo_quarters",
    "new_event_loop",
    "open_history",
    "publish",
    "read_decisions",
    "render",
    "resume",
    "scan",
    "sign",
    "stored_settings",
    "verify",
    "write_demo_waivers",
    "write_difference",
]
