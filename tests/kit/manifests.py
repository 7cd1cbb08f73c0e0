"""A small manifest for tests that need one and no run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from orgscan.models import Coverage
from orgscan.runs.manifest import FORMAT, Manifest, StoredEvidence

MOMENT = datetime(2026, 11, 3, 23, 59, 58, 7, tzinfo=UTC)


def described(**changes: Any) -> Manifest:
    """The manifest of a run of no accounts, with these members in place of its own."""
    members: dict[str, Any] = {
        "format": FORMAT,
        "schema": 1,
        "run_id": "11111111-1111-4111-8111-111111111111",
        "organization_id": "o-abc123",
        "management_account_id": "000000000001",
        "caller": "arn:aws:iam::000000000001:root",
        "partition": "aws",
        "role_name": "audit",
        "endpoint_url": None,
        "scope": {"accounts": []},
        "settings": {"concurrency": 64},
        "external_id_used": False,
        "collected_by": "0.1.0",
        "started_at": MOMENT,
        "finished_at": None,
        "as_of": MOMENT,
        "rendered_at": MOMENT,
        "enumerated": True,
        "accounts": 0,
        "coverage": {coverage.value: 0 for coverage in Coverage},
        "integrity_failures": [],
        "findings": {},
        "severities": {},
        "thresholds": {"access_key_max_age_days": 90.0},
        "notes": [],
        "versions": {"orgscan": "0.1.0"},
        "files": {},
        "evidence": StoredEvidence(sha256="", size=0, external=True, accounts={}),
        "previous": None,
    }
    return Manifest(**{**members, **changes})
