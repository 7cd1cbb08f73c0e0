"""From an evidence store to tables and verdicts, a partition of whole accounts at a time.

Each partition is judged, waived, compared and written before the next is read. What needs all
accounts is added up on the way and decided at the end; nothing is published before it.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan import compare, files, frames, tables
from orgscan.controls.catalogue import requested
from orgscan.controls.evaluate import evaluate
from orgscan.controls.limits import limits_unread, override_notes
from orgscan.controls.tally import Tally
from orgscan.endpoint import is_simulated
from orgscan.errors import UsageError
from orgscan.models import Coverage
from orgscan.reports.rows import FrameRows
from orgscan.reports.workbook import ranks
from orgscan.runs import parquet, rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.manifest import trusted
from orgscan.schema import CHANGES, FINDINGS, TABLES
from orgscan.text import count, minute
from orgscan.version import __version__
from orgscan.waivers import entries as decided
from orgscan.waivers.apply import Waiving, check, check_accounts
from orgscan.waivers.entries import is_listed, unlisted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from orgscan.controls.criteria import Criteria
    from orgscan.files import FileRecord
    from orgscan.models import Assessment, Clock, HumanEntry, RunInfo
    from orgscan.reports.rows import Rows
    from orgscan.runs.manifest import Previous
    from orgscan.runs.publication import Publication
    from orgscan.runs.spool import Spool
    from orgscan.schema import Table
    from orgscan.thresholds import Thresholds
    from orgscan.waivers.apply import Result
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
    accounts: pd.DataFrame
    tables: Mapping[str, Rows]
    """All tables by name, as they were written; changes are the last, where there are any."""
    listed: Rows
    """The findings that are not settled, as the workbook lists them."""
    tally: Tally
    """What all findings add up to."""
    overdue: Mapping[str, int]
    """Overdue failures by severity."""
    decisions: Decisions
    earlier_entries: tuple[HumanEntry, ...]
    """The entries among ``decisions`` whose findings are not listed any more."""
    results: tuple[Result, ...]
    due_days: Mapping[str, int]
    notes: tuple[str, ...]
    """The run's notes, and what the tables and decisions tell."""
    coverage: pd.DataFrame | None = None
    """Coverage changes of the previous run's accounts, as in :class:`orgscan.compare.Comparison`;
    None where no such run was given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a run is to be judged by, apart from its own evidence."""

    criteria: Callable[[RunInfo], Criteria]
    decisions: Decisions
    as_of: datetime | None = None
    """None: the run's own."""
    earlier: compare.EarlierRun | None = None
    """The earlier run to compare with."""
    partition: int = tables.PARTITION
    """Accounts and principals judged at a time; the results do not depend on it."""


def judge(
    run: Path,
    evidence: FileRecord,
    terms: Terms,
    publication: Publication,
    spool: Callable[[Table], Spool],
    *,
    clock: Clock,
) -> Judgement:
    """Judge the evidence of ``run`` and write the tables that follow from it.

    They are added to ``publication``. ``spool`` makes what rows of a table are set aside in.

    Raises :class:`orgscan.errors.UsageError` where the terms do not fit the run, and
    :class:`orgscan.errors.IntegrityError` where its evidence was altered.
    """
    decisions = terms.decisions
    with EvidenceStore.read(run / rundir.EVIDENCE) as store, ExitStack() as stack:
        info = _as_asked(store.info, terms)
        criteria = terms.criteria(info)
        max_days = decisions.max_days or decided.stored_max_days(info.settings)
        check(decisions.waivers, as_of=info.as_of, max_days=max_days)
        _hold_entries(run, decisions, info)
        if terms.earlier is not None:
            # Its tables are read along with the evidence.
            stack.enter_context(files.locked(terms.earlier.link.path, shared=True))
        judging = _Judging(info, criteria, terms, spool)
        partitions = tables.partitions(store, as_of=info.as_of, size=terms.partition)
        with closing(partitions):
            written = judging.write(partitions, publication)
        accounts_enumerated = len(store)
    accounts = judging.accounts
    _refuse_unknown_accounts(run, terms, accounts, info.as_of)
    decisions, results = judging.decisions, judging.waiving.results
    rendered = trusted(run)
    previous = None if rendered is None else rendered.previous  # rendering again keeps the chain
    if terms.earlier is not None:
        previous = terms.earlier.link.entry()
    due_days = (decisions.due_days or decided.stored_due_days(info.settings)).model_dump()
    left = tuple(unlisted(judging.listed.pieces(), decisions.entries))
    coverage, compared = None, _not_compared(previous)
    if terms.earlier is not None:
        snapshots = terms.earlier.summary, judging.snapshot(accounts=accounts)
        coverage, compared = compare.coverage_changes(*snapshots), compare.notes(*snapshots)
    return Judgement(
        info=info,
        judged_at=clock.now(),
        criteria=criteria,
        assessments=criteria.assess(
            judging.tally,
            judging.tallies,
            whole=info.enumerated and not _has_gaps(accounts),
            scope=_scope(accounts),
        ),
        accounts_enumerated=accounts_enumerated,
        accounts_judged=_accounts_judged(accounts),
        limits_unread=limits_unread(criteria.overrides, _in_scope(accounts)),
        evidence=evidence,
        previous=previous,
        accounts=accounts,
        tables={**written, "accounts": FrameRows(accounts)},
        listed=judging.listed,
        tally=judging.tally,
        overdue=decisions.due_dates(info.as_of, due_days).count(judging.listed.pieces()),
        decisions=decisions,
        earlier_entries=left,
        results=results,
        due_days=due_days,
        notes=(
            *info.notes,
            *_judged_for_earlier(info),
            *_stale_reports(accounts),
            *override_notes(criteria.overrides, accounts),
            *decisions.notes,
            *decided.waiver_notes(results, accounts),
            *decided.entry_notes(decisions, left),
            *compared,
            *decided.forgotten(decisions, rendered),
        ),
        coverage=coverage,
    )


class _Judging:
    """A judgement in the making: what was written, and what adds up over all partitions."""

    def __init__(
        self, info: RunInfo, criteria: Criteria, terms: Terms, spool: Callable[[Table], Spool]
    ) -> None:
        self._info, self._criteria, self._earlier = info, criteria, terms.earlier
        self._controls = requested(info.evidence_kinds)
        self.decisions = terms.decisions
        """With their entries at the ids that their findings have now."""
        self.waiving = Waiving(terms.decisions.waivers, as_of=info.as_of)
        self._again = criteria.judged_again()
        self.tally = Tally(tuple(control.id for control in self._controls))
        self.tallies = {
            key: Tally(tuple(control.id for control in again)) for key, again in self._again.items()
        }
        """By framework key, the tally of controls evaluated at the framework's own thresholds."""
        self._none = tables.build((), as_of=info.as_of)
        self.accounts = self._none.accounts
        self.listed = spool(FINDINGS)
        self._changes = spool(CHANGES)

    def write(
        self, partitions: Iterator[tables.Tables], publication: Publication
    ) -> dict[str, Rows]:
        """Judge partition after partition and write the tables; their rows, by name."""
        metadata = parquet_metadata(self._info, self._criteria.effective)
        paths, accounts = {}, [self.accounts]
        with ExitStack() as stack:
            writers = {}
            for table in reversed(TABLES):  # the last opened is finished first
                paths[table] = stack.enter_context(publication.file(f"{table.name}.parquet"))
                writer = parquet.Writer(paths[table], table, metadata=metadata)
                writers[table.name] = stack.enter_context(writer)
            for part in partitions:
                accounts.append(part.accounts)
                findings = self._judged(part)
                for name, writer in writers.items():
                    writer.add(findings if name == FINDINGS.name else getattr(part, name))
        self.accounts = pd.concat(accounts, ignore_index=True)
        if self._earlier is not None:
            # Accounts of the earlier run behind all that there are now.
            nothing = frames.empty(FINDINGS.columns)
            self._compared(self._earlier.until(None), self._none, nothing)
            with (
                publication.file(f"{CHANGES.name}.parquet") as paths[CHANGES],
                parquet.Writer(paths[CHANGES], CHANGES, metadata=metadata) as writer,
            ):
                for rows in self._changes.pieces():
                    writer.add(rows)
        return {
            table.name: parquet.Stored(paths[table], table)
            for table in (*TABLES, CHANGES)
            if table in paths
        }

    def _judged(self, part: tables.Tables) -> pd.DataFrame:
        """The findings of a partition: judged, waived, compared and added up."""
        findings = self._evaluated(
            part, framework=self._criteria.frameworks[0], controls=self._controls
        )
        findings = self.waiving.apply(findings, part.accounts)
        for framework in self._criteria.frameworks:
            if again := self._again.get(framework.key):
                others = self._evaluated(part, framework=framework, binding=True, controls=again)
                waiving = Waiving(self.decisions.waivers, as_of=self._info.as_of)
                self.tallies[framework.key].add(waiving.apply(others, part.accounts))
        if self._earlier is not None:
            earlier = self._earlier.until(part.accounts["account_id"].iloc[-1])
            findings = self._compared(earlier, part, findings)
        self.tally.add(findings)
        unsettled = findings[is_listed(findings)]
        self.listed.add(unsettled, ranks(unsettled))
        return findings

    def _evaluated(self, part: tables.Tables, **which: Any) -> pd.DataFrame:
        return evaluate(
            part.accounts,
            part.credentials,
            part.access_keys,
            part.service_credentials,
            part.facts,
            organization_id=self._info.organization.id,
            as_of=self._info.as_of,
            thresholds=self._criteria.thresholds,
            overrides=self._criteria.overrides,
            **which,
        )

    def _compared(
        self,
        earlier: compare.Snapshot,
        part: tables.Tables,
        findings: pd.DataFrame,
    ) -> pd.DataFrame:
        """The findings with the times they were first seen; what changed is set aside."""
        now = self.snapshot(
            accounts=part.accounts,
            credentials=part.credentials,
            access_keys=part.access_keys,
            service_credentials=part.service_credentials,
            findings=findings,
        )
        found = compare.differences(earlier, now)
        self._changes.add(found.changes, compare.ranks(found.changes))
        if found.renamed:
            self.decisions = self.decisions.following(found.renamed)
        return found.findings

    def snapshot(self, **given: pd.DataFrame) -> compare.Snapshot:
        """This run, with the tables given and no row of any other."""
        names = ("accounts", "credentials", "access_keys", "service_credentials")
        none = {name: getattr(self._none, name) for name in names}
        return compare.Snapshot(
            as_of=self._info.as_of,
            started_at=self._info.started_at,
            **{**none, "findings": frames.empty(FINDINGS.columns), **given},
            controls=frozenset(control.id for control in self._controls),
            enumerated=self._info.enumerated,
            thresholds=self._criteria.effective.model_dump(),
        )


def parquet_metadata(info: RunInfo, thresholds: Thresholds) -> dict[str, str]:
    """What every Parquet file says of its origin; nothing that differs between renderings."""
    return {
        "orgscan.version": __version__,
        "orgscan.run_id": info.run_id,
        "orgscan.organization_id": info.organization.id,
        "orgscan.as_of": info.as_of.isoformat(),
        "orgscan.enumerated": str(info.enumerated).lower(),
        "orgscan.simulated": str(is_simulated(info.endpoint_url)).lower(),
        "orgscan.thresholds": thresholds.model_dump_json(),
    }


def _in_scope(accounts: pd.DataFrame) -> pd.DataFrame:
    values = [value.value for value in Coverage if value.in_scope]
    return accounts[accounts["coverage"].isin(values)].reset_index(drop=True)


def _judged_for_earlier(info: RunInfo) -> Iterator[str]:
    if info.as_of < info.started_at:
        yield (
            f"Evaluated as of {minute(info.as_of)}, before the evidence was collected "
            f"({minute(info.started_at)}). Ages are as of that time; credentials, last use and "
            "settings are as collected. It does not show the state at that time."
        )


def _as_asked(info: RunInfo, terms: Terms) -> RunInfo:
    """The run at the as-of time asked for, which the earlier run must precede."""
    if terms.earlier is not None:
        link = terms.earlier.link
        link.must_be_of(info.organization)
        link.must_precede(info.run_id, info.started_at)
    return replace(info, as_of=terms.as_of or info.as_of)


def _hold_entries(run: Path, decisions: Decisions, info: RunInfo) -> None:
    try:
        decided.check_entries(decisions.entries, info.organization.id)
    except UsageError as error:
        # Before a scan the organization is not known, whose ids these are to be.
        message = (
            f"{error}; the evidence is kept; correct the workbook, "
            f"then run `orgscan report {run} --carry FILE`"
        )
        raise UsageError(message) from None


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


def _refuse_unknown_accounts(
    run: Path, terms: Terms, accounts: pd.DataFrame, as_of: datetime
) -> None:
    known = set(accounts["account_id"])
    if terms.earlier is not None:
        known |= terms.earlier.known_accounts()
    try:
        check_accounts(terms.decisions.waivers, known, as_of=as_of)
    except UsageError as error:
        # Only now are the accounts known; a scan is not in vain for that.
        message = (
            f"{error}; the evidence is kept; correct the file, then run `orgscan report {run}`"
        )
        raise UsageError(message) from None


def _not_compared(previous: Previous | None) -> tuple[str, ...]:
    """A run rendered again without its earlier run must not look like one without changes."""
    if previous is None:
        return ()
    note = (
        f"This run continues run {previous.run_id}, but the reports were written without it: "
        "nothing is compared, and all findings count as first seen in this run. "
        "To compare, run `orgscan report --previous`."
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
        f"The credential reports of {count(len(stale), 'account')} are more than 4 hours old "
        f"(oldest {oldest:%Y-%m-%d %H:%M} UTC). Passwords, MFA and last use are as of then."
    )
    return [note]
