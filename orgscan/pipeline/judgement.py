"""From an evidence store to tables and verdicts: judged, waived, compared; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orgscan import compare, tables
from orgscan.controls.catalogue import requested
from orgscan.controls.evaluate import evaluate as evaluate_controls
from orgscan.controls.limits import limits_unread, override_notes
from orgscan.controls.requirements import count, unknown_causes
from orgscan.errors import UsageError
from orgscan.models import Coverage
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.manifest import trusted
from orgscan.waivers import entries as decided
from orgscan.waivers.apply import apply, check

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    import pandas as pd

    from orgscan.controls.criteria import Criteria
    from orgscan.files import FileRecord
    from orgscan.models import Assessment, Clock, RunInfo, Status
    from orgscan.runs.chain import Link
    from orgscan.runs.manifest import Previous
    from orgscan.waivers.apply import Applied, Result
    from orgscan.waivers.entries import Decisions

_REPORT_LIFETIME = timedelta(hours=4, minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What the reports of a run are made of."""

    info: RunInfo
    judged_at: datetime
    criteria: Criteria
    assessments: tuple[Assessment, ...]
    accounts_enumerated: int
    accounts_judged: int
    """Accounts that were read, in full or in part."""
    limits_unread: int
    """Accounts in scope whose limits nobody can tell, because OU or tags were not read."""
    evidence: FileRecord
    previous: Previous | None
    frames: dict[str, pd.DataFrame]
    """The four tables by name. Rows that are on disk and not needed again may be let go."""
    counts: Mapping[str, Mapping[Status, int]]
    """All findings by control and status."""
    unknown: Mapping[str, int]
    """UNKNOWN findings by cause, most frequent first."""
    decisions: Decisions
    results: tuple[Result, ...]
    due_days: Mapping[str, int]
    notes: tuple[str, ...]
    """The run's notes, and what the tables and decisions tell."""
    changes: pd.DataFrame | None = None
    """What became of the previous run's findings; None where no such run was given."""
    coverage: pd.DataFrame | None = None
    """What became of its accounts, as :class:`orgscan.compare.Comparison` tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run is to be judged by, apart from its own evidence."""

    criteria: Callable[[RunInfo], Criteria]
    decisions: Decisions
    as_of: datetime | None = None
    """None: the run's own."""
    earlier: tuple[Link, compare.Snapshot] | None = None
    """The earlier run to compare with."""


def judge(run: Path, evidence: FileRecord, terms: Terms, *, clock: Clock) -> Judgement:
    """Judge the evidence of ``run``: verdicts, then waivers, then what changed.

    Raises :class:`orgscan.errors.UsageError` where the terms do not fit the run, and
    :class:`orgscan.errors.IntegrityError` where its evidence was altered.
    """
    decisions = terms.decisions
    with EvidenceStore.read(run / rundir.EVIDENCE) as store:
        info = _as_asked(store.info, terms)
        criteria = terms.criteria(info)
        max_days = decisions.max_days or decided.stored_max_days(info.settings)
        check(decisions.waivers, as_of=info.as_of, max_days=max_days)
        _hold_entries(run, decisions, info)
        built = tables.build(store, as_of=info.as_of)
        accounts_enumerated = len(store)
    evaluate = _evaluation(info, criteria, built)
    waive = partial(_waived, run, terms, built.accounts, info.as_of)
    applied = waive(evaluate(framework=criteria.frameworks[0]))
    comparison = _compared(terms, info, criteria, built, applied.findings)
    findings = comparison.findings if comparison else applied.findings
    if comparison:
        decisions = decisions.following(comparison.renamed)
    rendered = trusted(run)
    previous = None if rendered is None else rendered.previous  # rendering again keeps the chain
    if terms.earlier:
        previous = terms.earlier[0].entry()
    due_days = decisions.due_days or decided.stored_due_days(info.settings)
    return Judgement(
        info=info,
        judged_at=clock.now(),
        criteria=criteria,
        assessments=criteria.assess(
            findings,
            # Frameworks with limits of their own have some controls judged again.
            lambda **which: waive(evaluate(**which)).findings,
            whole=info.enumerated and not _has_gaps(built.accounts),
            scope=_scope(built.accounts),
        ),
        accounts_enumerated=accounts_enumerated,
        accounts_judged=_accounts_judged(built.accounts),
        limits_unread=limits_unread(criteria.overrides, _in_scope(built.accounts)),
        evidence=evidence,
        previous=previous,
        frames={
            "accounts": built.accounts,
            "credentials": built.credentials,
            "access_keys": built.access_keys,
            "service_credentials": built.service_credentials,
            "findings": findings,
        },
        counts=count(findings),
        unknown=unknown_causes(findings),
        decisions=decisions,
        results=applied.results,
        due_days=due_days.model_dump(),
        notes=(
            *info.notes,
            *_judged_for_earlier(info),
            *_stale_reports(built.accounts),
            *override_notes(criteria.overrides, built.accounts),
            *decisions.notes,
            *decided.waiver_notes(applied.results, built.accounts),
            *decided.entry_notes(decisions, findings),
            *(comparison.notes if comparison else _not_compared(previous)),
            *decided.forgotten(decisions, rendered),
        ),
        changes=comparison.changes if comparison else None,
        coverage=comparison.coverage if comparison else None,
    )


def _in_scope(accounts: pd.DataFrame) -> pd.DataFrame:
    values = [value.value for value in Coverage if value.in_scope]
    return accounts[accounts["coverage"].isin(values)].reset_index(drop=True)


def _judged_for_earlier(info: RunInfo) -> Iterator[str]:
    if info.as_of < info.started_at:
        yield (
            f"Judged for {info.as_of.isoformat()}, before the evidence was collected "
            f"({info.started_at.isoformat()}): ages are those of that time, but credentials, last "
            "use and settings are those that were collected. It is no proof of what was so then."
        )


def _as_asked(info: RunInfo, terms: Terms) -> RunInfo:
    """The run at the as-of time asked for, which the earlier run must precede."""
    if terms.earlier is not None:
        link = terms.earlier[0]
        link.must_be_of(info.organization)
        link.must_precede(info.run_id, info.started_at)
    return replace(info, as_of=terms.as_of or info.as_of)


def _hold_entries(run: Path, decisions: Decisions, info: RunInfo) -> None:
    try:
        decided.check_entries(decisions.entries, info.organization.id)
    except UsageError as error:
        # Before a scan the organization is not known, whose ids these are to be.
        message = f"{error}; the evidence is kept, `orgscan report {run} --carry FILE` goes on"
        raise UsageError(message) from None


def _evaluation(
    info: RunInfo, criteria: Criteria, built: tables.Tables
) -> Callable[..., pd.DataFrame]:
    return partial(
        evaluate_controls,
        built.accounts,
        built.credentials,
        built.access_keys,
        built.service_credentials,
        built.facts,
        organization_id=info.organization.id,
        as_of=info.as_of,
        thresholds=criteria.thresholds,
        overrides=criteria.overrides,
        controls=requested(info.evidence_kinds),
    )


def _compared(
    terms: Terms, info: RunInfo, criteria: Criteria, built: tables.Tables, findings: pd.DataFrame
) -> compare.Comparison | None:
    if terms.earlier is None:
        return None
    now = compare.Snapshot(
        as_of=info.as_of,
        started_at=info.started_at,
        accounts=built.accounts,
        credentials=built.credentials,
        access_keys=built.access_keys,
        service_credentials=built.service_credentials,
        findings=findings,
        enumerated=info.enumerated,
        thresholds=criteria.effective.model_dump(),
    )
    return compare.compare(terms.earlier[1], now)


def _has_gaps(accounts: pd.DataFrame) -> bool:
    gaps = [coverage.value for coverage in Coverage if coverage.is_gap]
    return bool(accounts["coverage"].isin(gaps).any())


def _accounts_judged(accounts: pd.DataFrame) -> int:
    """Accounts that were read, in full or in part: the others have no evidence to judge."""
    judged = [coverage.value for coverage in Coverage if coverage.is_judged]
    return int(accounts["coverage"].isin(judged).sum())


def _scope(accounts: pd.DataFrame) -> str:
    """How many of the active accounts were judged, where the settings left some out."""
    states = accounts["coverage"].value_counts()
    if not states.get(Coverage.EXCLUDED.value, 0):
        return ""
    active = len(accounts) - int(states.get(Coverage.NOT_ACTIVE.value, 0))
    return f"{_accounts_judged(accounts)} of {active} accounts judged"


def _known_then(terms: Terms) -> set[str]:
    """The accounts earlier runs of the chain knew, those that have left among them."""
    if terms.earlier is None:
        return set()
    then = terms.earlier[1]
    remembered = () if then.changes is None else then.changes["account_id"]
    return {*then.accounts["account_id"], *remembered}


def _waived(
    run: Path, terms: Terms, accounts: pd.DataFrame, as_of: datetime, findings: pd.DataFrame
) -> Applied:
    given, left = terms.decisions.waivers, _known_then(terms)
    try:
        return apply(findings, accounts, given, as_of=as_of, left=left)
    except UsageError as error:
        # Only now are the accounts known; a scan is not in vain for that.
        message = (
            f"{error}; the evidence is kept, `orgscan report {run}` with a better file goes on"
        )
        raise UsageError(message) from None


def _not_compared(previous: Previous | None) -> tuple[str, ...]:
    """A run rendered again without its earlier run must not look like one without changes."""
    if previous is None:
        return ()
    note = (
        f"This run continues run {previous.run_id}, which was not given when these files "
        "were written: nothing is compared, and findings are first seen by this run. "
        "`orgscan report --previous` compares."
    )
    return (note,)


def _stale_reports(accounts: pd.DataFrame) -> list[str]:
    """AWS hands a report out for four hours; an older one says nothing of the time since."""
    age = accounts["started_at"] - accounts["report_generated_at"]
    stale = accounts[age > _REPORT_LIFETIME]
    if stale.empty:
        return []
    oldest = stale["report_generated_at"].min()
    note = (
        f"{len(stale)} accounts handed out a credential report more than 4 hours old (oldest "
        f"{oldest:%Y-%m-%d %H:%M} UTC): passwords, MFA and last use are as of then."
    )
    return [note]
