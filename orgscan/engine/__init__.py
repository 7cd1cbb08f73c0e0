"""Where collection runs."""

from __future__ import annotations

from orgscan.engine.local import run

__all__ = ["run"]
