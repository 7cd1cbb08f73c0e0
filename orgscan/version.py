"""The version of the installed package, a noun like any other."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("orgscan")
