"""Fills the manifest of a judged run: how it was made, its results, and each file's hash."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

from orgscan.controls.catalogue import CATALOGUE
from orgscan.endpoint import is_simulated
from orgscan.models import INTEGRITY_FAILURE, Coverage, Status
from orgscan.runs.manifest import (
    FORMAT,
    AppliedWaiver,
    Carried,
    File,
    Framework,
    Manifest,
    Requirement,
    StoredEvidence,
    Traffic,
    Waivers,
    Work,
)
from orgscan.runs.rundir import EVIDENCE
from orgscan.schema import SCHEMA_VERSION
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orgscan.files import FileRecord
    from orgscan.models import Assessment, Clock, Observer, RunInfo, Severity
    from orgscan.pipeline.judgement import Judgement

_REPORTED_VERSIONS = ("aioboto3", "botocore", "openpyxl", "pandas", "pyarrow")


def describe(judgement: Judgement, files: Mapping[str, FileRecord]) -> Manifest:
    """The manifest of a run whose reports are ``files``, by name."""
    info, accounts = judgement.info, judgement.accounts
    coverage = accounts["coverage"].value_counts()
    digests = zip(accounts["account_id"], accounts["evidence_sha256"], strict=True)
    return Manifest(
        format=FORMAT,
        schema=SCHEMA_VERSION,
        run_id=info.run_id,
        organization_id=info.organization.id,
        management_account_id=info.organization.management_account_id,
        caller=info.caller.arn,
        partition=info.caller.partition,
        role_name=info.role_name,
        endpoint_url=info.endpoint_url,
        simulated=is_simulated(info.endpoint_url),
        scope=dict(info.scope),
        settings=dict(info.settings),
        external_id_used=info.external_id_used,
        collected_by=info.version,
        started_at=info.started_at,
        finished_at=info.finished_at,
        as_of=info.as_of,
        rendered_at=judgement.judged_at,
        enumerated=info.enumerated,
        accounts=judgement.accounts_enumerated,
        accounts_judged=judgement.accounts_judged,
        limits_unread=judgement.limits_unread,
        coverage={value.value: int(coverage.get(value.value, 0)) for value in Coverage},
        integrity_failures=sorted(
            accounts.loc[accounts["error_code"] == INTEGRITY_FAILURE, "account_id"]
        ),
        findings={
            control: {status.value: count for status, count in counts.items()}
            for control, counts in judgement.tally.counts.items()
        },
        unknown=judgement.tally.unknown,
        severities={control.id: control.severity.value for control in CATALOGUE},
        thresholds=judgement.criteria.effective.model_dump(),
        frameworks=[_framework(assessment) for assessment in judgement.assessments],
        waivers=_waivers(judgement),
        carried=_carried(judgement),
        due_days=dict(judgement.due_days),
        overdue=dict(judgement.overdue),
        notes=list(judgement.notes),
        versions=versions(),
        files={name: File(**asdict(record)) for name, record in files.items()},
        evidence=StoredEvidence(
            **asdict(judgement.evidence),
            external=EVIDENCE not in files,
            accounts={
                account: digest if isinstance(digest, str) else None for account, digest in digests
            },
        ),
        previous=judgement.previous,
    )


class Effort:
    """Times the stages of a report, for the manifest and the log."""

    def __init__(self, clock: Clock, observer: Observer, fail_on: Severity | None) -> None:
        """The first stage begins now."""
        self._clock = clock
        self._observer = observer
        self._fail_on = fail_on
        self._last = clock.monotonic()
        self._seconds: dict[str, float] = {}

    def end(self, stage: str) -> None:
        """A stage has ended, and the next one begins."""
        now = self._clock.monotonic()
        self._seconds[stage] = round(now - self._last, 3)
        self._observer.took(stage, now - self._last)
        self._last = now

    def added_to(self, manifest: Manifest, info: RunInfo) -> Manifest:
        """The manifest with what making the run took."""
        work = Work(
            calls={service: Traffic(**counts) for service, counts in info.calls.items()},
            seconds={"collect": info.collect_seconds, **self._seconds},
            exit_code=manifest.exit_code(self._fail_on),
        )
        return manifest.model_copy(update={"work": work})


def _framework(assessment: Assessment) -> Framework:
    return Framework(
        key=assessment.key,
        title=assessment.title,
        version=assessment.version,
        related=assessment.related,
        scope=assessment.scope,
        totals={status.value: count for status, count in assessment.totals.items()},
        requirements={
            requirement.id: Requirement(
                status=requirement.status.value,
                controls=list(requirement.counts),
                findings={
                    status.value: sum(counts[status] for counts in requirement.counts.values())
                    for status in Status
                },
                limits=dict(requirement.limits),
                organization_limits=dict(requirement.organization_limits),
            )
            for requirement in assessment.requirements
        },
    )


def _waivers(judgement: Judgement) -> Waivers | None:
    source = judgement.decisions.source
    if source is None:
        return None
    applied = [
        AppliedWaiver(
            id=result.waiver.id,
            state=result.state.value,
            fail_matched=result.failing,
            all_matched=result.matched,
            over_broad=result.over_broad,
            self_approved=result.waiver.is_self_approved,
        )
        for result in judgement.results
    ]
    return Waivers(file=source.file, sha256=source.sha256, waivers=applied)


def _carried(judgement: Judgement) -> Carried | None:
    carried = judgement.decisions.carried
    if carried is None:
        return None
    return Carried(
        file=carried.file,
        sha256=carried.sha256,
        entries=len(judgement.decisions.entries),
        no_longer_listed=len(judgement.earlier_entries),
    )


def versions() -> dict[str, str]:
    """What the reports were made with."""
    return {
        "orgscan": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in _REPORTED_VERSIONS},
    }
