"""Controls: values with a pure predicate, judged over whole tables at ``as_of``."""

from __future__ import annotations

from orgscan.controls.catalogue import CATALOGUE, requested
from orgscan.controls.control import Control, Unit
from orgscan.controls.evaluate import evaluate
from orgscan.controls.frameworks import Framework, from_definition, read_files, shipped
from orgscan.controls.identity import is_id_of
from orgscan.controls.limits import (
    Limits,
    general,
    limits_unread,
    overridden,
    override_notes,
)
from orgscan.controls.requirements import Tally, affected, assess

__all__ = [
    "CATALOGUE",
    "Control",
    "Framework",
    "Limits",
    "Tally",
    "Unit",
    "affected",
    "assess",
    "evaluate",
    "from_definition",
    "general",
    "is_id_of",
    "limits_unread",
    "overridden",
    "override_notes",
    "read_files",
    "requested",
    "shipped",
]
