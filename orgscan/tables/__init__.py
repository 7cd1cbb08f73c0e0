"""Evidence to typed DataFrames: the credential report read, the listings merged into it.

No AWS imports and no clock: everything follows from the evidence and ``as_of``.
"""

from __future__ import annotations

from orgscan.tables.accounts import recorded
from orgscan.tables.build import Tables, build
from orgscan.tables.typed import empty

__all__ = [
    "Tables",
    "build",
    "empty",
    "recorded",
]
