"""The only room that knows the AWS SDK."""

from __future__ import annotations

from orgscan.aws.client import CLOCK_TOLERANCE_SECONDS, Aws

__all__ = ["CLOCK_TOLERANCE_SECONDS", "Aws"]
