"""Collecting an organization: enumeration on one side, accounts in flight on the other."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from orgscan.aws import Aws
from orgscan.collect import engines as engine
from orgscan.collect import organization, preflight
from orgscan.collect.account import AccountReader, unread
from orgscan.collect.worker import Broken, ReadingJob
from orgscan.endpoint import is_simulated
from orgscan.errors import CallerBroken, RunError, RunInterrupted, UsageError
from orgscan.models import DEPARTED, INTEGRITY_FAILURE, Coverage, Kind, Outcome, RunInfo, is_read
from orgscan.runs import rundir
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.publication import retract_manifest
from orgscan.runs.sealed import sealed_evidence
from orgscan.version import __version__

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
        Mapping,
        Sequence,
    )
    from datetime import datetime
    from pathlib import Path

    from orgscan.models import Account, Caller, Clock, Credentials, Observer, Organization
    from orgscan.settings import Settings

    Read = Callable[[Account], Awaitable[Outcome]]

DRAIN_SECONDS = 20.0
"""How long accounts in flight may take to end once a stop was asked for."""

_FIXED = (
    "role_name",
    "role_path",
    "include_ous",
    "accounts",
    "exclude_accounts",
    "account_tags",
    "thresholds",
    "threshold_overrides",
)
"""Settings a resumed run must share with its beginning."""

_GO_ON = "evidence is kept; correct the problem, then run `orgscan scan --resume`"
_MOVED = "While the run was interrupted"

_BATCH = 20
"""Accounts entered into the store at a time: one page of the Organizations API."""


async def start(
    settings: Settings,
    output: Path,
    *,
    frameworks: Mapping[str, Any],
    accept: Callable[[Organization], None],
    clock: Clock,
    observer: Observer,
    stop: asyncio.Event | None = None,
    credentials: Credentials | None = None,
    cluster: engine.Cluster | None = None,
) -> None:
    """Begin a run in ``output`` and collect its evidence.

    ``frameworks`` are the definitions of the user's own, for the run to keep. ``accept`` is given
    the caller's organization and raises :class:`orgscan.errors.UsageError` where it is not the
    right one; nothing is left of the run then.

    Raises :class:`orgscan.errors.UsageError` before anything was read,
    :class:`orgscan.errors.RunError` where the account list could not be read to its end or
    holds no account in scope.
    """
    rundir.create(output)
    try:
        async with Aws(settings, clock, credentials) as aws:
            observer.phase("Identifying the caller")
            caller, described = await preflight.ask(aws, settings)
            accept(described)
            info = _new_run(settings, frameworks, caller, described, clock.now())
            with EvidenceStore.create(output / rundir.EVIDENCE, info) as store:
                collection = _Collection(
                    settings,
                    clock,
                    observer,
                    aws,
                    store,
                    info,
                    cluster=cluster,
                    credentials=credentials,
                )
                await collection.run(stop or asyncio.Event())
    except UsageError:
        rundir.discard(output)
        raise


async def resume(
    settings: Settings,
    run: Path,
    *,
    retry_gaps: bool = False,
    clock: Clock,
    observer: Observer,
    stop: asyncio.Event | None = None,
    credentials: Credentials | None = None,
    cluster: engine.Cluster | None = None,
) -> None:
    """Resume an interrupted run; with ``retry_gaps``, also retry the gaps of a finished run.

    Where everything was read and only the reports are missing, AWS is not asked at all.
    Otherwise the organization is enumerated anew and what has moved since is noted. What is
    COMPLETE is never read again; a second attempt replaces a first one only if it brought no
    less.

    Raises as :func:`start` does, and :class:`orgscan.errors.UsageError` where ``settings``
    or the caller's organization are not those the run began with.
    """
    sealed_evidence(run)
    with EvidenceStore.resume(run / rundir.EVIDENCE) as store:
        info = store.info
        _must_match(settings, info)
        earlier = _Earlier.of(store)
        if info.enumerated and not earlier.unread and not retry_gaps:
            if not (run / rundir.MANIFEST).exists():
                return  # killed while the reports were written: they are all that is missing
            gaps = len(earlier.gaps)
            remedy = f"add --retry-gaps to retry its {gaps} gaps" if gaps else "it has no gaps"
            message = f"{run}: the run is already complete; {remedy}"
            raise UsageError(message)
        async with Aws(settings, clock, credentials) as aws:
            observer.phase("Identifying the caller")
            caller, described = await preflight.ask(aws, settings)
            if described != info.organization:
                message = (
                    f"{run}: is a run of organization {info.organization.id}, but the caller "
                    f"belongs to {described.id}; use credentials of the former"
                )
                raise UsageError(message)
            retract_manifest(run)
            info = replace(info, caller=caller, enumerated=False, finished_at=None)
            collection = _Collection(
                settings,
                clock,
                observer,
                aws,
                store,
                info,
                earlier,
                cluster=cluster,
                credentials=credentials,
            )
            await collection.run(stop or asyncio.Event())


def _must_match(settings: Settings, info: RunInfo) -> None:
    """Refuse to mix two scopes or two roles in one run."""
    now = settings.stored
    for name in _FIXED:
        if now[name] != info.settings.get(name):
            message = (
                f"the run was started with {name} = {info.settings.get(name)!r}, "
                f"not {now[name]!r}; resume it without that setting, or start a new run"
            )
            raise UsageError(message)
    if is_simulated(settings.endpoint_url) != is_simulated(info.endpoint_url):
        # The run says whether its evidence is simulated: it is one or the other.
        began = info.endpoint_url or "AWS"
        message = (
            f"the run was started with {began}, not {settings.endpoint_url or 'AWS'}; "
            "evidence from a simulator and from AWS cannot be mixed: resume it with its own "
            "endpoint, or start a new run"
        )
        raise UsageError(message)
    if info.external_id_used and settings.external_id is None:
        message = "the run uses an external ID, which is not stored; give --external-id again"
        raise UsageError(message)


def _new_run(
    settings: Settings,
    frameworks: Mapping[str, Any],
    caller: Caller,
    described: Organization,
    now: datetime,
) -> RunInfo:
    """The head of a run that begins ``now``; ``frameworks`` are definitions of the user's own."""
    return RunInfo(
        run_id=str(uuid.uuid4()),
        organization=described,
        caller=caller,
        started_at=now,
        as_of=now,
        version=__version__,
        role_name=settings.role_name or "",
        endpoint_url=settings.endpoint_url,
        scope={
            "include_ous": list(settings.include_ous),
            "accounts": list(settings.accounts),
            "exclude_accounts": list(settings.exclude_accounts),
        },
        thresholds=settings.thresholds.given,
        settings=settings.stored,
        frameworks=frameworks,
        external_id_used=settings.external_id is not None,
        evidence_kinds=tuple(Kind),
    )


@dataclass(frozen=True)
class _Earlier:
    """What an earlier process left: accounts known, done, with gaps."""

    accounts: dict[str, Account] = field(default_factory=dict)
    done: frozenset[str] = frozenset()
    not_active: frozenset[str] = frozenset()
    """Those of ``done`` that were not read because they were not active."""
    gaps: dict[str, int] = field(default_factory=dict)
    """Usable kinds of evidence of each account with a gap."""
    distrusted: frozenset[str] = frozenset()
    """Those of ``gaps`` that received another account's answers."""
    in_scope: int = 0
    drift: tuple[str, ...] = ()
    """What had moved by earlier continuations."""

    @classmethod
    def of(cls, store: EvidenceStore) -> _Earlier:
        """What ``store`` holds."""
        accounts, gaps, in_scope = {}, {}, 0
        done, not_active, distrusted = set(), set(), set()
        settled = store.finished()
        for reading in store:
            account_id, outcome = reading.account.account_id, reading.outcome
            accounts[account_id] = reading.account
            if account_id not in settled:
                continue
            in_scope += outcome.coverage.in_scope
            if outcome.coverage is Coverage.NOT_ACTIVE:
                not_active.add(account_id)
            if outcome.error_code == INTEGRITY_FAILURE:
                distrusted.add(account_id)
            if outcome.coverage.is_gap:
                gaps[account_id] = outcome.usable_kinds
            else:
                done.add(account_id)
        drift = tuple(note for note in store.info.notes if note.startswith(_MOVED))
        return cls(
            accounts=accounts,
            done=frozenset(done),
            not_active=frozenset(not_active),
            gaps=gaps,
            distrusted=frozenset(distrusted),
            in_scope=in_scope,
            drift=drift,
        )

    def settles(self, account: Account) -> bool:
        """Whether there is nothing left to do about the account as it is listed now.

        One that was not active is read once it is: the earlier list may have been wrong.
        """
        reopened = account.account_id in self.not_active and is_read(account.state)
        return account.account_id in self.done and not reopened

    @property
    def unread(self) -> int:
        """How many accounts have no result yet."""
        return len(self.accounts) - len(self.done) - len(self.gaps)


@dataclass
class _Collection:
    """One collection: enumeration on one side, accounts in flight on the other."""

    settings: Settings
    clock: Clock
    observer: Observer
    aws: Aws
    store: EvidenceStore
    info: RunInfo
    earlier: _Earlier = field(default_factory=_Earlier)
    cluster: engine.Cluster | None = None
    credentials: Credentials | None = None
    """What the caller signs with where the usual chain is not to be asked; for workers of ours."""
    listed: dict[str, Account] = field(default_factory=dict)
    """Accounts this process enumerated; kept only to check a scope or to report drift."""
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    """What this process, its workers and earlier ones sent, by service."""
    in_scope: int = 0
    broken: CallerBroken | None = None
    writer: ThreadPoolExecutor = field(
        # One thread: fsync must not stop the event loop, and the store has a single writer.
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="evidence")
    )

    async def run(self, stop: asyncio.Event) -> None:
        """Collect until everything is read, ``stop`` is set, or the caller can call no more."""
        began = self.clock.monotonic()
        self.observer.started(self.info)
        self.calls = {service: Counter(counts) for service, counts in self.info.calls.items()}
        enumeration = organization.Enumeration(
            self.aws.organizations,
            self.info.organization,
            with_tags=self.settings.account_tags,
            began_at=self.info.started_at,
        )
        scope = organization.Scope(
            self.settings.include_ous, self.settings.accounts, self.settings.exclude_accounts
        )
        async with self._reading() as read:
            self.observer.phase("Reading accounts")
            try:
                whole = await engine.run(
                    self._accounts(enumeration, scope),
                    partial(
                        self._settle,
                        read,
                        lambda account: scope.exclusion(account, enumeration.ou_paths),
                        stop,
                    ),
                    concurrency=self.settings.concurrency,
                    stop=stop,
                    drain_seconds=DRAIN_SECONDS,
                )
            finally:
                await asyncio.to_thread(self.writer.shutdown)
                self._close(enumeration.notes, self.clock.monotonic() - began)
        self._conclude(whole=whole)

    def _count(self, calls: Mapping[str, Mapping[str, int]]) -> None:
        self.observer.called(calls)
        for service, counts in calls.items():
            self.calls.setdefault(service, Counter()).update(counts)

    def _close(self, notes: Sequence[str], seconds: float) -> None:
        """Store what there is to say about the run as a whole."""
        notes = [*self.earlier.drift, *notes, *self._drift()]
        if self.broken is not None:
            notes.append(
                f"The run stopped early: {self.broken}. Resume it with `orgscan scan --resume`."
            )
        self._count(self.aws.counted())
        self.observer.took("collect", seconds)
        self.info = replace(
            self.info,
            notes=tuple(dict.fromkeys(notes)),
            finished_at=self.clock.now(),
            calls={service: dict(counts) for service, counts in self.calls.items()},
            collect_seconds=round(self.info.collect_seconds + seconds, 3),
        )
        self.store.update(self.info)

    def _conclude(self, *, whole: bool) -> None:
        """Raise where there is nothing to report on; gaps alone are no reason."""
        if self.broken is not None and not self.info.enumerated:
            message = f"stopped before the account list was complete: {self.broken}; {_GO_ON}"
            raise RunError(message)
        if self.broken is None and not whole:
            message = "interrupted; evidence is kept"
            raise RunInterrupted(message)
        if not self.in_scope + self.earlier.in_scope:
            if self.broken is not None:
                message = f"stopped before any account was read: {self.broken}; {_GO_ON}"
                raise RunError(message)
            message = (
                "no account is in scope, so nothing was audited; check the scope in the settings"
            )
            raise RunError(message)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Read]:
        """What reads an account: this process, or one of the cluster's."""
        caller = self.info.caller
        if self.cluster is None:
            kinds = self.info.evidence_kinds
            yield AccountReader.of(self.settings, self.aws, caller, self.clock, kinds).read
            return
        self.observer.phase("Waiting for the workers")
        job = ReadingJob(
            self.settings,
            caller,
            self.credentials,
            self.info.external_id_used,
            self.info.evidence_kinds,
        )
        concurrency = self.settings.concurrency
        async with engine.connect(self.cluster, job, concurrency=concurrency) as work:

            async def read(account: Account) -> Outcome:
                outcome = await work(account)
                if isinstance(outcome, Broken):
                    raise outcome.error()
                self._count(outcome.calls)
                return outcome

            yield read

    async def _accounts(
        self, enumeration: organization.Enumeration, scope: organization.Scope
    ) -> AsyncGenerator[Account]:
        """Accounts to read, as they are found. The list is read ahead of the reading.

        With a scope the whole list comes first: a number or OU that does not exist must be
        said before anything is read.
        """
        queue: asyncio.Queue[Account | None] = asyncio.Queue()
        listing = asyncio.create_task(self._enumerate(enumeration, scope, queue))
        try:
            while (account := await queue.get()) is not None:
                yield account
            await listing
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def _enumerate(
        self,
        enumeration: organization.Enumeration,
        scope: organization.Scope,
        queue: asyncio.Queue[Account | None],
    ) -> None:
        held: list[Account] = []
        batch: list[Account] = []
        try:
            async with aclosing(aiter(enumeration)) as accounts:
                async for account in accounts:
                    batch.append(account)
                    if len(batch) >= _BATCH:
                        await self._enter(batch, held if scope else queue)
                        self.observer.enumerated(enumeration.total, complete=False)
                        batch = []
            await self._enter(batch, held if scope else queue)
            if problem := scope.unknown(
                list(self.listed.values()),
                enumeration.ou_paths,
                tree_readable=enumeration.tree_readable,
            ):
                raise UsageError(problem)
            for account in held:
                queue.put_nowait(account)
            if enumeration.proven:
                await self._settle_departed()
            self.info = replace(
                self.info, enumerated=enumeration.proven, notes=tuple(enumeration.notes)
            )
            await self._write(self.store.update, self.info)
            self.observer.enumerated(enumeration.total, complete=True)
        finally:
            queue.put_nowait(None)

    async def _enter(
        self, batch: list[Account], target: list[Account] | asyncio.Queue[Account | None]
    ) -> None:
        """From here on the accounts are in the coverage, whatever happens."""
        # An account that is done keeps the name and state it was read under.
        new = [account for account in batch if not self.earlier.settles(account)]
        await self._write(self.store.add_accounts, new)
        if self.earlier.accounts or isinstance(target, list):
            self.listed |= {account.account_id: account for account in batch}
        for account in new:
            if isinstance(target, list):
                target.append(account)
            else:
                target.put_nowait(account)

    async def _settle(
        self,
        read: Read,
        exclusion: Callable[[Account], str],
        stop: asyncio.Event,
        account: Account,
    ) -> None:
        try:
            outcome = unread(account, exclusion(account)) or await read(account)
        except CallerBroken as error:
            # No other account would fare better: stop admitting and keep what there is.
            self.broken = self.broken or error
            stop.set()
            return
        account_id = account.account_id
        usable_before = self.earlier.gaps.get(account_id, 0)
        if outcome.error_code == INTEGRITY_FAILURE and usable_before:
            await self._write(self.store.distrust, outcome)
        elif outcome.usable_kinds < usable_before or (
            # Only an attempt that succeeds clears another account's answers.
            account_id in self.earlier.distrusted and not outcome.usable_kinds
        ):
            await self._write(self.store.count_attempt, account_id)
        else:
            await self._write(self.store.keep, outcome)
        self.in_scope += outcome.coverage.in_scope
        self.observer.settled(outcome)

    async def _settle_departed(self) -> None:
        """Give accounts that left before they were read an end state: there is nothing to ask."""
        left = self.earlier.accounts.keys() - self.listed.keys()
        for account_id in sorted(left - self.earlier.done - self.earlier.gaps.keys()):
            departed = Outcome(account_id=account_id, coverage=Coverage.NOT_ACTIVE, reason=DEPARTED)
            await self._write(self.store.keep, departed)

    def _drift(self) -> Iterator[str]:
        """What moved between the beginning of the run and its continuation."""
        if not self.earlier.accounts or not self.info.enumerated:
            return
        before, now = self.earlier.accounts, self.listed
        changed = {
            account_id
            for account_id in before.keys() & now.keys()
            if before[account_id].state != now[account_id].state
        }
        for what, account_ids in (
            ("joined the organization", now.keys() - before.keys()),
            ("left the organization", before.keys() - now.keys()),
            ("changed state", changed),
        ):
            if account_ids:
                yield (f"{_MOVED}, {what}: {', '.join(sorted(account_ids))}.")

    async def _write(self, work: Callable[[Any], None], argument: object) -> None:
        # A transaction under way is finished even if this task is cancelled. Should it fail
        # then, the error cannot be reported; the account correctly stays unread.
        written = asyncio.get_running_loop().run_in_executor(self.writer, work, argument)
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(written)
