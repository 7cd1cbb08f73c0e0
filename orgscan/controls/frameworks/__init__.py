"""Frameworks as data: which control answers which requirement of which version.

The files beside this one are what comes with orgscan; a user's own file has the same form.
"""

from __future__ import annotations

from orgscan.controls.frameworks.framework import Framework
from orgscan.controls.frameworks.reading import from_definition, read_files, shipped

__all__ = ["Framework", "from_definition", "read_files", "shipped"]
