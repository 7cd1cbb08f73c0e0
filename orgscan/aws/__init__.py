"""The only room that knows the AWS SDK."""

from __future__ import annotations

from orgscan.aws.client import Aws

__all__ = ["Aws"]
