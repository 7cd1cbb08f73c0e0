"""Controls: values with a pure predicate, judged over whole tables at ``as_of``."""

from __future__ import annotations

from orgscan.controls.catalogue import CATALOGUE, requested
from orgscan.controls.control import Control, Unit
from orgscan.controls.frameworks import Framework, from_definition, read_files, shipped
from orgscan.controls.identity import is_id_of
from orgscan.controls.limits import (
    Limits,
    general,
    limits_unread,
    overridden,
    override_notes,
)
from orgscan.controls.requirements import affected, assess, count, unknown_causes

__all__ = [
    "CATALOGUE",
    "Control",
    "Framework",
    "Limits",
    "Unit",
    "affected",
    "assess",
    "count",
    "from_definition",
    "general",
    "is_id_of",
    "limits_unread",
    "overridden",
    "override_notes",
    "read_files",
    "requested",
    "shipped",
    "unknown_causes",
]
