"""What holds for every scan, whatever the organization, the order of things and the faults."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orgscan.errors import OrgscanError, RunError, UsageError
from orgscan.models import Coverage, Status
from orgscan.runs.evidence import EvidenceStore, account_hash
from orgscan.runs.rundir import EVIDENCE
from orgscan.simulator import Fault, Simulator, iam
from orgscan.simulator.faults import Effect, Error, Per
from tests.kit import faults
from tests.kit.clocks import HurriedClock
from tests.kit.scans import NOW, Judged, assert_same_tables, collect, scan
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from orgscan.simulator import World

pytestmark = pytest.mark.slow

TRIED = settings.get_profile(os.environ.get("HYPOTHESIS_PROFILE", "scans"))
SEVERITY = [0, 4, 1, 5]
"""Exit codes, from best to worst."""


@cache
def world(name: str) -> World:
    """Worlds in which nothing changes while they are read."""
    if name == "fleet":
        return WORLDS["uniform"](accounts=9, users=4, now=NOW)
    return WORLDS[name](now=NOW)


WORLDS_WITHOUT_DRIFT = ("small", "denied", "states", "fleet", "demo")


def scanned(name: str, *scripted: Fault, **options: Any) -> Judged:
    """A scan from its beginning to its tables."""
    with tempfile.TemporaryDirectory() as directory:
        run = Path(directory) / "run"
        return asyncio.run(scan(world(name), run, *scripted, **options)).run


@cache
def undisturbed(name: str) -> Judged:
    return scanned(name)


def verdicts(run: Judged) -> pd.Series[str]:
    return run.findings.set_index("finding_id")["status"].astype("str")


def passes(run: Judged) -> pd.Series[int]:
    passed = run.findings[run.findings["status"] == Status.PASS].fillna({"user": ""})
    return passed.groupby(["control_id", "account_id", "user"]).size()


@pytest.mark.parametrize("name", WORLDS_WITHOUT_DRIFT)
def test_coverage_partitions_the_enumerated_accounts(name: str) -> None:
    run, accounts = undisturbed(name), world(name).accounts
    assert sorted(run.accounts["account_id"]) == sorted(account.id for account in accounts)
    assert set(run.accounts["coverage"]) <= {*Coverage}
    counted = run.manifest["coverage"]
    assert sum(counted.values()) == len(accounts)
    in_scope = run.accounts[~run.accounts["coverage"].isin(["NOT_ACTIVE", "EXCLUDED"])]
    assert set(run.findings["account_id"]) == set(in_scope["account_id"])


@pytest.mark.parametrize("name", WORLDS_WITHOUT_DRIFT)
def test_every_finding_traces_to_evidence_and_judges_the_same_again(
    name: str, tmp_path: Path
) -> None:
    done = asyncio.run(scan(world(name), tmp_path / "run"))
    with EvidenceStore.read(tmp_path / "run" / EVIDENCE) as store:
        for reading in store:
            evidence = reading.outcome.evidence
            hashes = sorted(
                f"{item.kind}:{hashlib.sha256(item.content).hexdigest()}\n" for item in evidence
            )
            whole = hashlib.sha256("".join(hashes).encode()).hexdigest() if hashes else None
            assert whole == account_hash(evidence) == reading.evidence_sha256
            rows = done.run.findings.query("account_id == @reading.account.account_id")
            assert set(rows["evidence_sha256"].dropna()) <= {whole}
            judged = rows[~rows["status"].isin(["UNKNOWN"])]
            assert judged["evidence_sha256"].notna().all()
    assert_same_tables(done.run, Judged(tmp_path / "run"))


class Shuffled(Effect):
    """Answers arrive in an order of their own: each is held back for a while."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)

    def after(self, answer: Any, _call: Any, /) -> Any:
        return faults.Delivery(delay=self._dice.random() * 0.004).after(answer, _call)


@settings(TRIED)
@given(
    name=st.sampled_from(WORLDS_WITHOUT_DRIFT[:4]),
    concurrency=st.sampled_from([1, 7, 64]),
    seed=st.integers(0, 2**16),
)
def test_concurrency_and_the_order_of_completion_change_nothing(
    name: str, concurrency: int, seed: int
) -> None:
    run = scanned(name, Fault(effect=Shuffled(seed)), concurrency=concurrency)
    assert_same_tables(run, undisturbed(name))


LASTING: dict[str, Effect] = {
    **faults.TRANSIENT,
    **faults.MALFORMED,
    "denied": Error("AccessDenied", 403),
    "expired": faults.EXPIRED_TOKEN,
    "absent": faults.NO_SUCH_ENTITY,
    "huge": faults.HUGE,
    "unheard-of": Error("SomethingNew", 400),
    "loop": faults.PAGE_EDITS["marker-circle"],
    "no-marker": faults.PAGE_EDITS["no-marker"],
    "lost-report": faults.LoseReport(),
    "lost-sessions": faults.ExpireSessions(),
    "lost-caller": faults.ExpireCallers(),
    **{f"report-{name}": effect for name, effect in faults.REPORT_EDITS.items()},
}
IAM_AND_STS = (*iam.ACTIONS, "AssumeRole", "")


@st.composite
def single_faults(draw: Callable[..., Any]) -> tuple[str, Fault]:
    """A world without drift, and one fault that lasts."""
    name = draw(st.sampled_from(WORLDS_WITHOUT_DRIFT[:4]))
    effect = draw(st.sampled_from(sorted(LASTING)))
    action = draw(st.sampled_from(IAM_AND_STS))
    if effect.startswith("report-"):
        action = "GetCredentialReport"
    fault = Fault(
        effect=LASTING[effect],
        action=action,
        service="" if action else "iam",
        account=draw(st.sampled_from(["", *(one.id for one in world(name).accounts)])),
        nth=draw(st.one_of(st.none(), st.integers(1, 12))),
    )
    return name, fault


@settings(TRIED, max_examples=TRIED.max_examples * 4)
@given(single_faults())
def test_a_fault_never_makes_a_pass_nor_a_better_exit_code(chosen: tuple[str, Fault]) -> None:
    name, fault = chosen
    calm = undisturbed(name)
    try:
        run = scanned(name, fault)
    except (RunError, UsageError):
        return  # told, and worse than any finished run
    before, after = verdicts(calm), verdicts(run)
    both = before.index.intersection(after.index)
    assert not ((after[both] == Status.PASS) & (before[both] != Status.PASS)).any()
    # Without its listing a key goes by its slot, under another id: count by user as well.
    more = passes(run).sub(passes(calm), fill_value=0)
    assert not (more > 0).any(), more[more > 0]
    # What was judged stays in the tables, or its account is a gap.
    gaps = set(run.gaps["account_id"])
    lost = calm.findings[calm.findings["finding_id"].isin(set(before.index) - set(after.index))]
    assert set(lost["account_id"]) <= gaps
    assert SEVERITY.index(run.exit_code()) >= SEVERITY.index(calm.exit_code())


@settings(TRIED)
@given(
    name=st.sampled_from(WORLDS_WITHOUT_DRIFT[:4]),
    effect=st.sampled_from(sorted(faults.TRANSIENT)),
    seed=st.integers(0, 2**16),
)
def test_transient_faults_within_the_budget_change_nothing(
    name: str, effect: str, seed: int
) -> None:
    chance = Fault(effect=faults.TRANSIENT[effect], probability=0.02, seed=seed)
    assert_same_tables(scanned(name, chance), undisturbed(name))


@pytest.mark.parametrize("effect", sorted(faults.TRANSIENT))
def test_every_call_may_fail_twice(effect: str) -> None:
    twice = Fault(effect=faults.TRANSIENT[effect], times=2, per=Per.CALL)
    assert_same_tables(scanned("small", twice), undisturbed("small"))


def test_a_failing_collection_leaves_an_unenumerated_run_that_says_so(tmp_path: Path) -> None:
    broken = Fault(effect=Error("ServiceException", 500), action="ListAccounts")

    async def run() -> None:
        async with Simulator(world("small"), faults=[broken]) as simulator:
            await collect(simulator, tmp_path / "run", clock=HurriedClock(NOW))

    with pytest.raises(OrgscanError):
        asyncio.run(run())
    assert Judged(tmp_path / "run").exit_code() == Coverage.NOT_ATTEMPTED.is_gap * 4
