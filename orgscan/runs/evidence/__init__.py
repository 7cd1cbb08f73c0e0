"""The evidence store: one SQLite file per run, the checkpoint and the proof.

Everything else in a run directory is derived from it and can be made again. SQLite because one
transaction per account is exactly its job, power loss included, and because an auditor can open
it in twenty years without orgscan.

What the hashes prove: every kind of evidence, every account with its outcome, and the head of the
run are hashed, and a sum over all accounts shows when a row was added or deleted. Whoever reads the
store checks them, and also that an account's outcome fits its state and its evidence. That finds
damage and rows edited with an SQL tool, before the run has a manifest as well as after. It does not
stop someone who rewrites the file with this code at hand: there is no secret in the hashes, so they
can be made anew. The signature of the manifest covers that.
"""

from __future__ import annotations

from orgscan.runs.evidence.consistency import contradiction
from orgscan.runs.evidence.inspection import Inspection, inspect
from orgscan.runs.evidence.rows import FORMAT
from orgscan.runs.evidence.seal import account_hash
from orgscan.runs.evidence.store import EvidenceStore

__all__ = [
    "FORMAT",
    "EvidenceStore",
    "Inspection",
    "account_hash",
    "contradiction",
    "inspect",
]
