"""What the manifest says of a run: how it was made, what came of it, and every file's hash."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from orgscan import controls
from orgscan.models import INTEGRITY_FAILURE, Coverage, Status
from orgscan.pipeline import decisions as decided
from orgscan.runs import rundir
from orgscan.runs.chain import MANIFEST_FORMAT
from orgscan.schema import SCHEMA_VERSION
from orgscan.settings import is_simulated
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from orgscan.models import Assessment
    from orgscan.pipeline.judgement import Judgement

_REPORTED_VERSIONS = ("aioboto3", "botocore", "openpyxl", "pandas", "pyarrow")


def manifest(judgement: Judgement, files: Mapping[str, rundir.FileRecord]) -> dict[str, Any]:
    """The manifest of a run whose reports are ``files``, by name; JSON values."""
    info, accounts = judgement.info, judgement.accounts
    coverage = accounts["coverage"].value_counts()
    findings = {
        control: {status.value: count for status, count in counts.items()}
        for control, counts in judgement.tally.counts.items()
    }
    return {
        "format": MANIFEST_FORMAT,
        "schema": SCHEMA_VERSION,
        "run_id": info.run_id,
        "organization_id": info.organization.id,
        "management_account_id": info.organization.management_account_id,
        "caller": info.caller.arn,
        "partition": info.caller.partition,
        "role_name": info.role_name,
        "endpoint_url": info.endpoint_url,
        "simulated": is_simulated(info.endpoint_url),
        "scope": dict(info.scope),
        "settings": dict(info.settings),
        "external_id_used": info.external_id_used,
        "collected_by": info.version,
        "started_at": info.started_at.isoformat(),
        "finished_at": info.finished_at.isoformat() if info.finished_at else None,
        "as_of": info.as_of.isoformat(),
        "rendered_at": judgement.judged_at.isoformat(),
        "enumerated": info.enumerated,
        "accounts": judgement.accounts_enumerated,
        "accounts_judged": judgement.accounts_judged,
        "limits_unread": judgement.limits_unread,
        "coverage": {value.value: int(coverage.get(value.value, 0)) for value in Coverage},
        "integrity_failures": sorted(
            accounts.loc[accounts["error_code"] == INTEGRITY_FAILURE, "account_id"]
        ),
        "findings": findings,
        "unknown": judgement.tally.unknown,
        "severities": {control.id: control.severity.value for control in controls.CATALOGUE},
        "thresholds": judgement.criteria.effective.model_dump(),
        "frameworks": [_assessed(assessment) for assessment in judgement.assessments],
        **decided.manifest_part(judgement.decisions, judgement.results, judgement.earlier_entries),
        "due_days": dict(judgement.due_days),
        "overdue": dict(judgement.overdue),
        "notes": list(judgement.notes),
        "versions": versions(),
        "files": {name: asdict(record) for name, record in sorted(files.items())},
        "evidence": {
            **asdict(judgement.evidence),
            "external": rundir.EVIDENCE not in files,
            "accounts": _evidence_hashes(accounts),
        },
        "previous": judgement.previous,
    }


def _assessed(assessment: Assessment) -> dict[str, Any]:
    """A framework as the manifest counts it."""
    return {
        "key": assessment.key,
        "title": assessment.title,
        "version": assessment.version,
        "related": assessment.related,
        "scope": assessment.scope,
        "totals": {status.value: count for status, count in assessment.totals.items()},
        "requirements": {
            one.id: {
                "status": one.status.value,
                "controls": list(one.counts),
                "findings": {
                    status.value: sum(counts[status] for counts in one.counts.values())
                    for status in Status
                },
                "limits": dict(one.limits),
                "organization_limits": dict(one.organization_limits),
            }
            for one in assessment.requirements
        },
    }


def _evidence_hashes(accounts: pd.DataFrame) -> dict[str, str | None]:
    pairs = zip(accounts["account_id"], accounts["evidence_sha256"], strict=True)
    return {account: digest if isinstance(digest, str) else None for account, digest in pairs}


def versions() -> dict[str, str]:
    """What the reports were made with."""
    return {
        "orgscan": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _REPORTED_VERSIONS},
    }
