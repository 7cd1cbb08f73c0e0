"""Whole scans of simulated organizations in the loop of the test, and what must hold after each.

Time is handed in: waiting costs nothing, and ``now`` stands still at :data:`NOW`, so that two
runs of one world differ in nothing but how long they took.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from orgscan import settings, tables
from orgscan.collect.collection import resume as resume_run
from orgscan.controls.catalogue import CATALOGUE, requested
from orgscan.controls.evaluate import evaluate
from orgscan.controls.frameworks.reading import shipped
from orgscan.errors import ExitCode
from orgscan.models import (
    INTEGRITY_FAILURE,
    Clock,
    Coverage,
    Credentials,
    Observer,
    RunInfo,
    Status,
)
from orgscan.pipeline.render import render
from orgscan.pipeline.run_plan import stored_settings
from orgscan.pipeline.scan import collect as collect_run
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.run import Run
from orgscan.runs.rundir import EVIDENCE
from orgscan.settings import DEFAULT_FRAMEWORK
from orgscan.simulator import AUDIT_ROLE, Simulator
from orgscan.simulator.people import account_id
from orgscan.thresholds import Thresholds
from tests.kit.clocks import HurriedClock
from tests.kit.manifests import described

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orgscan.simulator import Fault, World
    from orgscan.simulator.world import Account

NOW = datetime(2026, 11, 3, 12, tzinfo=UTC)
TABLES = ("accounts", "credentials", "access_keys", "service_credentials", "findings")
GAPS = {"PARTIAL", "DENIED", "FAILED", "NOT_ATTEMPTED"}
"""Written out: what calls itself a gap must not be asked."""
OWN_TIMES = ("attempts", "started_at", "duration_seconds")
"""What tells one reading of an account from another of the same account."""


@dataclass(frozen=True)
class Scanned:
    """A finished run and the organization it is a run of."""

    run: Run
    simulator: Simulator
    accounts: tuple[Account, ...]
    """Those of the organization that ``run`` is to hold."""

    def id_of(self, name: str) -> str:
        return next(one.id for one in self.accounts if one.name == name)

    def alone(self, *names: str) -> Scanned:
        """What the run says of the management account and of these."""
        kept = tuple(one for one in self.accounts[1:] if one.name in names)
        assert len(kept) == len(names)
        accounts = (self.accounts[0], *kept)
        assert isinstance(self.run, Judged)
        return replace(self, run=self.run.only({one.id for one in accounts}), accounts=accounts)

    def row(self, name: str) -> dict[str, Any]:
        """The account's row in the coverage table; fails unless there is exactly one."""
        rows = self.run.accounts[self.run.accounts["account_id"] == self.id_of(name)]
        assert len(rows) == 1
        return {column: _plain(value) for column, value in rows.iloc[0].items()}

    def state(self, name: str) -> tuple[str, str, str]:
        """Coverage, missing kinds and error code of an account."""
        row = self.row(name)
        return row["coverage"], row["missing"], row["error_code"]

    def of(self, table: str, name: str) -> pd.DataFrame:
        """The account's rows of a table."""
        frame: pd.DataFrame = getattr(self.run, table)
        return frame[frame["account_id"] == self.id_of(name)]

    def asked(self, action: str, name: str) -> int:
        """How often ``action`` was called about the account."""
        return self.simulator.count(action=action, target=self.id_of(name))


def _plain(value: Any) -> Any:
    return "" if value is None or (not isinstance(value, str) and pd.isna(value)) else value


def assert_sound(scanned: Scanned) -> None:
    """Every account of the organization once, with an end state and a reason for every gap."""
    accounts = scanned.run.accounts
    assert Counter(accounts["account_id"]) == Counter(account.id for account in scanned.accounts)
    gaps = scanned.run.gaps
    assert gaps["reason"].str.len().gt(0).all()
    partial = accounts[accounts["coverage"] == Coverage.PARTIAL]
    assert partial["missing"].str.len().gt(0).all()
    assert scanned.simulator.undeclared == []


def assert_alone(
    scanned: Scanned, name: str, coverage: str, missing: str = "", error_code: str = ""
) -> None:
    """The account ended like this, every other one is COMPLETE, and the exit code says so."""
    assert_sound(scanned)
    assert scanned.state(name) == (coverage, missing, error_code), scanned.row(name)["reason"]
    accounts = scanned.run.accounts
    others = accounts[accounts["account_id"] != scanned.id_of(name)]
    assert set(others["coverage"]) <= {"COMPLETE"}
    assert others["error_code"].isna().all()
    wanted = ExitCode.COVERAGE_GAPS if coverage in GAPS else ExitCode.OK
    assert scanned.run.exit_code() == wanted


def chosen_settings(simulator: Simulator, **options: Any) -> settings.Settings:
    return settings.load(
        environment={},
        **{"role_name": AUDIT_ROLE, "endpoint_url": simulator.endpoint_url, **options},
    )


def credentials_of(simulator: Simulator) -> Credentials:
    key, secret, token = simulator.credentials
    return Credentials(key, secret, token or "")


async def collect(
    simulator: Simulator,
    directory: Path,
    *,
    clock: Clock | None = None,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> None:
    """Collect and leave no task behind, however it ends."""
    before = asyncio.all_tasks()
    try:
        await collect_run(
            chosen_settings(simulator, **options),
            directory,
            clock=clock or HurriedClock(NOW),
            observer=observer or Observer(),
            stop=stop,
            credentials=credentials_of(simulator),
        )
    finally:
        assert asyncio.all_tasks() == before


async def resume(
    simulator: Simulator,
    directory: Path,
    *,
    retry_gaps: bool = False,
    clock: Clock | None = None,
    observer: Observer | None = None,
    stop: asyncio.Event | None = None,
    **options: Any,
) -> None:
    """Go on with a run, with the settings it began with."""
    before = asyncio.all_tasks()
    try:
        await resume_run(
            settings.load(
                environment={},
                stored=stored_settings(directory),
                endpoint_url=simulator.endpoint_url,
                **options,
            ),
            directory,
            retry_gaps=retry_gaps,
            clock=clock or HurriedClock(NOW),
            observer=observer or Observer(),
            stop=stop,
            credentials=credentials_of(simulator),
        )
    finally:
        assert asyncio.all_tasks() == before


def finish(directory: Path) -> Run:
    """Judge and write."""
    render(directory, clock=HurriedClock(NOW), observer=Observer())
    return Run(directory)


async def scan(world: World, directory: Path, *faults: Fault, **options: Any) -> Scanned:
    """Collect and judge; the simulator is closed again but remembers its calls."""
    made = {name: options.pop(name) for name in ("skew", "clock_of_aws") if name in options}
    if "clock_of_aws" in made:
        made["clock"] = made.pop("clock_of_aws")
    async with Simulator(world, faults=faults, **made) as simulator:
        await collect(simulator, directory, **options)
    return Scanned(Judged(directory), simulator, world.accounts)


@dataclass(frozen=True)
class Case:
    """An account, and what befalls it alone."""

    account: Account
    faults: tuple[Fault, ...] = ()


def id_of_case(name: str) -> str:
    """The id of the account a case gets."""
    return account_id("case", name)


@dataclass(frozen=True)
class Struck:
    """One organization in which each case has an account of its own, which bears its name.

    It was scanned twice: with the faults and without.
    """

    directory: Path
    struck: Scanned
    unharmed: Scanned

    def __getitem__(self, case: str) -> Scanned:
        return self.struck.alone(case)

    def calm(self, case: str) -> Scanned:
        return self.unharmed.alone(case)


def strike(world: World, cases: Mapping[str, Case], parent: Path, **options: Any) -> Struck:
    """Scan the management account of ``world`` and the accounts of the cases."""
    accounts = [
        replace(case.account, id=id_of_case(name), name=name) for name, case in cases.items()
    ]
    faults = [
        replace(fault, account=id_of_case(name))
        for name, case in cases.items()
        for fault in case.faults
    ]
    world = replace(world, accounts=(world.accounts[0], *accounts), faults=())
    return Struck(
        parent / "struck",
        asyncio.run(scan(world, parent / "struck", *faults, **options)),
        asyncio.run(scan(world, parent / "calm")),
    )


class Judged(Run):
    """A run whose tables were made in memory: writing them takes longer than all the rest.

    A test holds it to what is written.
    """

    def __init__(self, directory: Path, *, as_of: datetime | None = None) -> None:
        self.path = directory
        with EvidenceStore.read(directory / EVIDENCE) as store:
            info = replace(store.info, as_of=as_of or store.info.as_of)
            built = tables.build(store, as_of=info.as_of)
        found = evaluate(
            built.accounts,
            built.credentials,
            built.access_keys,
            built.service_credentials,
            built.facts,
            organization_id=info.organization.id,
            as_of=info.as_of,
            thresholds=Thresholds(**info.thresholds),
            framework=shipped()[DEFAULT_FRAMEWORK],
            controls=requested(info.evidence_kinds),
        )
        self.info = info
        self.accounts = built.accounts
        self.credentials = built.credentials
        self.access_keys = built.access_keys
        self.service_credentials = built.service_credentials
        self.findings = found.astype(
            {name: "str" for name, kind in found.dtypes.items() if kind == "category"}
        )
        self.manifest = _manifest(info, built.accounts, found)
        self.details = described(**self.manifest)

    def only(self, accounts: set[str]) -> Judged:
        """The part of the run that is about these accounts, with an exit code of its own."""
        part = copy.copy(self)
        for name in TABLES:
            frame = getattr(self, name)
            setattr(part, name, frame[frame["account_id"].isin(accounts)].reset_index(drop=True))
        part.manifest = _manifest(self.info, part.accounts, part.findings)
        part.details = described(**part.manifest)
        return part


def assert_same_evidence(one: Path, other: Path) -> None:
    """Two runs, judged as of the same moment, say the same."""
    assert_same_tables(Judged(one, as_of=NOW), Judged(other, as_of=NOW))


def _manifest(info: RunInfo, accounts: pd.DataFrame, found: pd.DataFrame) -> dict[str, Any]:
    """The part of the manifest that decides the exit code."""
    coverage = accounts["coverage"].value_counts()
    counts = found.groupby(["control_id", "status"], observed=True).size()
    return {
        "as_of": info.as_of.isoformat(),
        "enumerated": info.enumerated,
        "notes": list(info.notes),
        "coverage": {value.value: int(coverage.get(value.value, 0)) for value in Coverage},
        "integrity_failures": sorted(
            accounts.loc[accounts["error_code"] == INTEGRITY_FAILURE, "account_id"]
        ),
        "findings": {
            control.id: {
                status.value: int(counts.get((control.id, status.value), 0)) for status in Status
            }
            for control in CATALOGUE
        },
        "severities": {control.id: control.severity.value for control in CATALOGUE},
    }


def assert_same_tables(one: Run, other: Run) -> None:
    """All five tables are equal in every column but an account's own times."""
    for name in TABLES:
        left, right = getattr(one, name), getattr(other, name)
        kept = [column for column in left.columns if column not in OWN_TIMES]
        pd.testing.assert_frame_equal(left[kept], right[kept], obj=name)
