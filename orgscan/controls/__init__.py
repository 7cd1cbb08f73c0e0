"""Controls: values with a pure predicate, judged over whole tables at ``as_of``."""

from __future__ import annotations

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.control import Control, Limits, Unit
from orgscan.controls.evaluate import evaluate
from orgscan.controls.frameworks import Framework, frameworks

__all__ = [
    "CATALOGUE",
    "Control",
    "Framework",
    "Limits",
    "Unit",
    "evaluate",
    "frameworks",
]
