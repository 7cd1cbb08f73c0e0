"""A run that is stopped, killed, resumed and retried in any order ends like an undisturbed one."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orgscan.errors import OrgscanError, RunInterrupted, UsageError
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.rundir import EVIDENCE
from orgscan.simulator import Fault, Simulator
from orgscan.simulator.faults import Error
from tests.kit import faults
from tests.kit.observers import StopAfter
from tests.kit.scans import NOW, Judged, assert_same_tables, collect, resume, scan
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from orgscan.models import Outcome
    from orgscan.simulator import World

pytestmark = pytest.mark.slow

TRIED = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "scans"))


@cache
def world() -> World:
    return WORLDS["uniform"](accounts=8, users=2, now=NOW)


@cache
def undisturbed() -> Judged:
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(scan(world(), Path(directory) / "run")).run


def _at(place: int, effect: Any, action: str = "") -> Fault:
    return Fault(effect=effect, account=world().accounts[place].id, action=action)


TROUBLE: dict[str, tuple[Fault, ...]] = {
    "none": (),
    "two accounts denied": tuple(
        _at(place, Error("AccessDenied", 403), "AssumeRole") for place in (2, 5)
    ),
    "no listing": (_at(3, Error("AccessDenied", 403), "ListUsers"),),
    "no report": (_at(3, faults.REPORT_EDITS["empty"], "GetCredentialReport"),),
    "service fails": (_at(4, faults.SERVICE_FAILURE),),
    "caller expires": (Fault(effect=faults.ExpireCallers(), action="AssumeRole", nth=4),),
    "list fails": (Fault(effect=Error("ServiceException", 500), action="ListAccounts", nth=1),),
    "tree fails": (Fault(effect=Error("ServiceException", 500), action="ListAccountsForParent"),),
    "one in twenty": (Fault(effect=faults.THROTTLING, probability=0.05, seed=11),),
}


class Killer(StopAfter):
    """Copies the run as a kill would leave it once so many accounts are settled."""

    def __init__(self, accounts: int, source: Path, target: Path) -> None:
        super().__init__(accounts)
        self._source, self._target = source, target

    def settled(self, outcome: Outcome) -> None:
        super().settled(outcome)
        if self.stop.is_set() and not self._target.exists():
            # The store first, then its journal, both in the middle of whatever is written.
            shutil.copytree(self._source, self._target)


class Resumption(RuleBasedStateMachine):
    """One run directory, and everything that may befall it."""

    def __init__(self) -> None:
        super().__init__()
        self._place = tempfile.TemporaryDirectory()
        self._generation = 0
        self._complete: dict[str, str | None] = {}

    @property
    def run_directory(self) -> Path:
        return Path(self._place.name) / f"run{self._generation}"

    @property
    def begun(self) -> bool:
        return (self.run_directory / EVIDENCE).exists()

    def _go_on(
        self, trouble: str, observer: StopAfter | None, concurrency: int, *, retry: bool
    ) -> None:
        async def work() -> None:
            async with Simulator(world(), faults=TROUBLE[trouble]) as simulator:
                options: dict[str, Any] = {"concurrency": concurrency}
                if observer is not None:
                    options |= {"observer": observer, "stop": observer.stop}
                if self.begun:
                    await resume(simulator, self.run_directory, retry_gaps=retry, **options)
                else:
                    shutil.rmtree(self.run_directory, ignore_errors=True)
                    await collect(simulator, self.run_directory, **options)

        asyncio.run(work())

    @rule(
        trouble=st.sampled_from(sorted(TROUBLE)),
        accounts=st.integers(1, 7),
        concurrency=st.sampled_from([1, 3, 64]),
        retry=st.booleans(),
    )
    def is_stopped(self, trouble: str, accounts: int, concurrency: int, *, retry: bool) -> None:
        with suppress(OrgscanError):
            self._go_on(trouble, StopAfter(accounts), concurrency, retry=retry)

    @rule(
        trouble=st.sampled_from(sorted(TROUBLE)),
        accounts=st.integers(1, 7),
        concurrency=st.sampled_from([1, 3, 64]),
    )
    def is_killed(self, trouble: str, accounts: int, concurrency: int) -> None:
        copied = Path(self._place.name) / f"run{self._generation + 1}"
        killer = Killer(accounts, self.run_directory, copied)
        with suppress(OrgscanError):
            self._go_on(trouble, killer, concurrency, retry=False)
        if copied.exists():
            self._generation += 1

    @rule(trouble=st.sampled_from(sorted(TROUBLE)), retry=st.booleans())
    def is_let_run(self, trouble: str, *, retry: bool) -> None:
        with suppress(OrgscanError):
            self._go_on(trouble, None, 5, retry=retry)

    @precondition(lambda self: self.begun)
    @invariant()
    def every_account_is_there_at_most_once_and_what_was_complete_stays(self) -> None:
        with EvidenceStore.read(self.run_directory / EVIDENCE) as store:
            readings, enumerated = list(store), store.info.enumerated
        counted = Counter(one.account.account_id for one in readings)
        assert not counted or max(counted.values()) == 1
        known = {account.id for account in world().accounts}
        assert set(counted) == known if enumerated else set(counted) <= known
        complete = {
            one.account.account_id: one.evidence_sha256
            for one in readings
            if one.outcome.coverage == "COMPLETE"
        }
        assert self._complete.items() <= complete.items()
        self._complete = complete

    def teardown(self) -> None:
        try:
            with suppress(UsageError):  # nothing left to do
                self._go_on("none", None, 64, retry=True)
            assert_same_tables(Judged(self.run_directory), undisturbed())
        finally:
            self._place.cleanup()


Resumption.TestCase.settings = settings(TRIED, stateful_step_count=6)
TestResumption = Resumption.TestCase


def test_an_interrupted_run_says_so() -> None:
    with tempfile.TemporaryDirectory() as directory:
        observer = StopAfter(2)

        async def work() -> None:
            async with Simulator(world()) as simulator:
                await collect(
                    simulator,
                    Path(directory) / "run",
                    observer=observer,
                    stop=observer.stop,
                    concurrency=1,
                )

        try:
            asyncio.run(work())
        except RunInterrupted:
            coverage = Judged(Path(directory) / "run").manifest["coverage"]
            assert coverage["NOT_ATTEMPTED"] > 0
        else:
            raise AssertionError
