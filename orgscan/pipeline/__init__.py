"""The composition root: the only place that opens rooms.

organization -> sessions -> collectors -> evidence -> tables -> controls -> reports
"""

from __future__ import annotations

from orgscan.pipeline.catalogue import CatalogueEntry, catalogue, catalogue_entry
from orgscan.pipeline.demo import collect_demo
from orgscan.pipeline.policy import audit_role_policy, caller_policy, declared_actions
from orgscan.pipeline.render import render
from orgscan.pipeline.run import Run
from orgscan.pipeline.scan import collect, default_output, resume, scan, stored_settings

__all__ = [
    "CatalogueEntry",
    "Run",
    "audit_role_policy",
    "caller_policy",
    "catalogue",
    "catalogue_entry",
    "collect",
    "collect_demo",
    "declared_actions",
    "default_output",
    "render",
    "resume",
    "scan",
    "stored_settings",
]
