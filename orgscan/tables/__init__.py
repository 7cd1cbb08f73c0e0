"""Evidence to typed DataFrames: the credential report read, the listings merged into it.

No AWS imports and no clock: everything follows from the evidence and ``as_of``.
"""

from __future__ import annotations

from orgscan.tables.accounts import recorded
from orgscan.tables.build import PARTITION, Tables, build, partitions

__all__ = [
    "PARTITION",
    "Tables",
    "build",
    "partitions",
    "recorded",
]
