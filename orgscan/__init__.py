"""Finds long-lived IAM credentials in an AWS organization and judges them by the benchmark."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("orgscan")
