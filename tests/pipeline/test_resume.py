"""A run that was stopped goes on, and ends as if it had never been."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orgscan import settings
from orgscan.collect.collection import resume as resume_run
from orgscan.errors import ExitCode, IntegrityError, RunInterrupted, UsageError
from orgscan.models import Clock, Observer, Outcome
from orgscan.pipeline.render import render
from orgscan.pipeline.run_plan import stored_settings
from orgscan.pipeline.verify import verify
from orgscan.runs.run import Run
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator
from orgscan.simulator.faults import Error
from tests.kit import faults
from tests.kit.observers import StopAfter
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orgscan.simulator import World

Resume = Any

OWN_TIMES = {
    "attempts", "started_at", "duration_seconds", "evidence_sha256", "as_of", "age_days",
    "idle_days", "first_seen_at", "report_generated_at", "reason",
}  # fmt: skip


def finish(run: Path) -> Run:
    render(run, clock=Clock(), observer=Observer())
    return Run(run)


def assert_same_tables(one: Run, other: Run) -> None:
    for name in ("accounts", "credentials", "access_keys", "findings"):
        left, right = getattr(one, name), getattr(other, name)
        kept = [column for column in left.columns if column not in OWN_TIMES]
        pd.testing.assert_frame_equal(left[kept], right[kept])


@pytest.mark.parametrize("stop_after", [1, 7, 19])
async def test_a_resumed_run_equals_an_undisturbed_one(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path, stop_after: int
) -> None:
    world = WORLDS["demo"]()
    async with collect(world, tmp_path / "whole"):
        pass
    observer = StopAfter(stop_after)
    with suppress(RunInterrupted):
        async with collect(
            world, tmp_path / "cut", stop=observer.stop, observer=observer, concurrency=2
        ):
            pass
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "cut")

    assert_same_tables(finish(tmp_path / "whole"), finish(tmp_path / "cut"))


async def test_what_is_complete_is_never_read_again(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    world = WORLDS["uniform"](accounts=30, users=3)
    observer = StopAfter(10)
    with pytest.raises(RunInterrupted):
        async with collect(
            world, tmp_path / "run", stop=observer.stop, observer=observer, concurrency=2
        ):
            pass
    before = finish(tmp_path / "run").accounts.query("coverage == 'COMPLETE'")["account_id"]
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "run")
        asked = {call.account for call in simulator.calls if call.service == "iam"}

    assert len(before) >= 10
    assert not asked & set(before)
    run = finish(tmp_path / "run")
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert set(run.accounts["attempts"]) == {1}
    assert run.exit_code() == ExitCode.OK


async def test_gaps_are_read_again_and_better_answers_replace_worse(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    world = WORLDS["uniform"](accounts=6, users=2)
    chosen = world.accounts[2].id
    denied = Fault(effect=Error("AccessDenied", 403), action="AssumeRole", account=chosen)
    async with collect(world, tmp_path / "run", faults=[denied]):
        pass
    assert finish(tmp_path / "run").exit_code() == ExitCode.COVERAGE_GAPS
    async with Simulator(world) as simulator:
        with pytest.raises(UsageError, match="--retry-gaps"):
            await resume(simulator, tmp_path / "run")
        await resume(simulator, tmp_path / "run", retry_gaps=True)
        asked = {call.account for call in simulator.calls if call.service == "iam"}

    run = finish(tmp_path / "run")
    assert asked == {chosen}
    assert run.exit_code() == ExitCode.OK
    assert run.accounts.set_index("account_id")["attempts"][chosen] == 2


async def test_a_second_attempt_that_brings_less_changes_nothing(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    world = WORLDS["uniform"](accounts=4, users=2)
    chosen = world.accounts[2].id
    partial = Fault(effect=Error("AccessDenied", 403), action="ListUsers", account=chosen)
    async with collect(world, tmp_path / "run", faults=[partial]):
        pass
    before = finish(tmp_path / "run")
    denied = Fault(effect=Error("AccessDenied", 403), action="AssumeRole", account=chosen)
    async with Simulator(world, faults=[denied]) as simulator:
        await resume(simulator, tmp_path / "run", retry_gaps=True)

    after = finish(tmp_path / "run")
    assert after.accounts.set_index("account_id")["coverage"][chosen] == "PARTIAL"
    assert after.accounts.set_index("account_id")["attempts"][chosen] == 2
    assert_same_tables(before, after)


async def test_accounts_that_joined_left_or_changed_state_are_told(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    world = WORLDS["uniform"](accounts=30, users=1)
    observer = StopAfter(5)
    with pytest.raises(RunInterrupted):
        async with collect(
            world, tmp_path / "run", stop=observer.stop, observer=observer, concurrency=1
        ):
            pass
    read = set(finish(tmp_path / "run").accounts.query("coverage == 'COMPLETE'")["account_id"])
    unread = [account for account in world.accounts if account.id not in read]
    left, closed = unread[-1], unread[-2]
    joined = replace(left, id="999999999999", name="joined")
    kept = [item for item in world.accounts if item.id != left.id]
    moved: World = replace(world, accounts=(*kept, joined))
    async with Simulator(moved) as simulator:
        simulator.cloud.states[closed.id] = "SUSPENDED"
        await resume(simulator, tmp_path / "run")

    run = finish(tmp_path / "run")
    coverage = run.accounts.set_index("account_id")["coverage"]
    notes = " ".join(run.manifest["notes"])
    assert Counter(run.accounts["account_id"]).most_common(1)[0][1] == 1
    assert coverage["999999999999"] == "COMPLETE"
    assert coverage[left.id] == "NOT_ACTIVE"
    assert coverage[closed.id] == "NOT_ACTIVE"
    assert "joined the organization: 999999999999" in notes
    assert f"left the organization: {left.id}" in notes
    assert f"changed state: {closed.id}" in notes


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"role_name": "Another"}, "role_name"),
        ({"accounts": ("999999999999",)}, "accounts"),
        ({"exclude_accounts": ("999999999999",)}, "exclude_accounts"),
        ({"include_ous": ("Root/Security",)}, "include_ous"),
        ({"thresholds": {"access_key_max_age_days": 1}}, "thresholds"),
    ],
)
async def test_another_scope_is_refused(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    async with collect("small", tmp_path / "run") as simulator:
        with pytest.raises(UsageError, match=words):
            await resume(simulator, tmp_path / "run", retry_gaps=True, **options)


async def test_another_organization_is_refused_and_the_run_left_whole(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    async with collect("small", tmp_path / "run"):
        pass
    before = finish(tmp_path / "run").manifest
    async with Simulator(WORLDS["small"](seed=7)) as simulator:
        with pytest.raises(UsageError, match="is a run of organization"):
            await resume(simulator, tmp_path / "run", retry_gaps=True)
    assert Run(tmp_path / "run").manifest == before


async def test_an_external_id_is_asked_for_again(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    async with collect("small", tmp_path / "run", external_id="somebody") as simulator:
        with pytest.raises(UsageError, match="--external-id"):
            await resume(simulator, tmp_path / "run", retry_gaps=True)


async def test_expired_caller_credentials_are_survived_by_resuming(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    world = WORLDS["uniform"](accounts=30, users=2)
    expired = Fault(effect=Error("ExpiredToken", 403), action="AssumeRole", nth=range(8, 999))
    async with collect(world, tmp_path / "run", faults=[expired], concurrency=3):
        pass
    cut = finish(tmp_path / "run")
    assert "NOT_ATTEMPTED" in set(cut.accounts["coverage"])
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "run")
    whole = finish(tmp_path / "run")

    assert set(whole.accounts["coverage"]) == {"COMPLETE"}
    assert not whole.manifest["notes"]


async def test_a_run_in_use_is_refused(collect: Callable[..., Any], tmp_path: Path) -> None:
    refused: list[str] = []

    class Intruder(Observer):
        def settled(self, outcome: Outcome) -> None:  # noqa: ARG002 - any account will do
            try:
                stored_settings(tmp_path / "run")
            except UsageError as error:
                refused.append(str(error))

    async with collect("small", tmp_path / "run", observer=Intruder()):
        pass
    assert len(refused) == 4
    assert all("in use" in text for text in refused)
    assert stored_settings(tmp_path / "run")["role_name"] == AUDIT_ROLE


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE outcomes SET coverage = 'EXCLUDED' WHERE coverage = 'DENIED'", "was changed"),
        ("DELETE FROM accounts WHERE account_id IN (SELECT account_id FROM outcomes)", "changed"),
        ("CREATE TABLE another (column_of_ours TEXT)", "was changed"),
        ("", "does not match its own hash"),
    ],
)
async def test_what_was_altered_after_the_run_is_not_certified_by_going_on(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path, change: str, told: str
) -> None:
    run = tmp_path / "run"
    async with collect("denied", run) as simulator:
        finish(run)
        if change:
            with closing(sqlite3.connect(run / "evidence.sqlite")) as store, store:
                store.execute(change)
        else:
            manifest = run / "manifest.json"
            manifest.write_text(manifest.read_text().replace('"DENIED": ', '"DENIED":  '))
        before = {path.name: path.read_bytes() for path in run.iterdir()}
        with pytest.raises(IntegrityError, match=told):
            await resume(simulator, run, retry_gaps=True)
        with pytest.raises(IntegrityError, match=told):
            finish(run)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


async def test_drift_once_told_is_told_again_by_later_continuations(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    world = WORLDS["denied"]()
    async with collect(world, tmp_path / "run"):
        finish(tmp_path / "run")
    left = world.accounts[-1]
    for accounts in (world.accounts[:-1], world.accounts):
        async with Simulator(replace(world, accounts=accounts)) as simulator:
            await resume(simulator, tmp_path / "run", retry_gaps=True)
        notes = finish(tmp_path / "run").manifest["notes"]
        assert sum("left the organization" in note and left.id in note for note in notes) == 1


async def test_reports_are_not_written_into_the_run_they_report_on(
    collect: Callable[..., Any], tmp_path: Path
) -> None:
    async with collect("small", tmp_path / "run"):
        finish(tmp_path / "run")
    inside = tmp_path / "run" / "again"
    with pytest.raises(UsageError, match="is inside the run directory"):
        render(tmp_path / "run", clock=Clock(), observer=Observer(), output=inside)
    assert not verify(tmp_path / "run").problems


async def test_a_run_that_only_lacks_its_reports_asks_aws_nothing(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path
) -> None:
    async with collect("small", tmp_path / "run"):
        pass  # killed here, as it were: before the reports
    async with Simulator(WORLDS["small"]()) as simulator:
        await resume(simulator, tmp_path / "run")
        assert simulator.calls == []
        assert finish(tmp_path / "run").exit_code() == ExitCode.OK
        with pytest.raises(UsageError, match=r"complete.*no gaps"):
            await resume(simulator, tmp_path / "run")


@pytest.mark.parametrize("elsewhere", [None, "https://aws.example.com"])
async def test_simulated_evidence_and_that_of_aws_are_not_mixed(
    collect: Callable[..., Any], tmp_path: Path, elsewhere: str | None
) -> None:
    run = tmp_path / "run"
    async with collect("denied", run):
        pass
    before = (run / "evidence.sqlite").read_bytes()
    stored = {**stored_settings(run), "endpoint_url": elsewhere}
    with pytest.raises(
        UsageError, match=r"the run was started with http://127\.0\.0\.1"
    ) as refused:
        await resume_run(
            settings.load(environment={}, stored=stored),
            run,
            retry_gaps=True,
            clock=Clock(),
            observer=Observer(),
        )
    assert len(str(refused.value).splitlines()) == 1
    assert (run / "evidence.sqlite").read_bytes() == before


class Wrong:
    """Faults by which an account receives another one's answers."""

    @staticmethod
    def session(account: str, other: str) -> Fault:
        return Fault(effect=faults.OtherAccount(other), action="AssumeRole", account=account)

    @staticmethod
    def report(account: str, other: str) -> Fault:
        effect = faults.OtherAccount(other)
        return Fault(effect=effect, action="GetCredentialReport", account=account)


@pytest.mark.parametrize("wrong", [Wrong.session, Wrong.report], ids=["session", "report"])
@pytest.mark.parametrize("gap", ["ListUsers", "AssumeRole"])
async def test_another_account_s_answers_on_a_retry_are_an_integrity_failure(
    collect: Callable[..., Any], resume: Resume, tmp_path: Path,
    wrong: Callable[[str, str], Fault], gap: str,
) -> None:  # fmt: skip
    world = WORLDS["uniform"](accounts=4, users=2)
    chosen, other = world.accounts[2].id, world.accounts[3].id
    run, denied = tmp_path / "run", Error("AccessDenied", 403)
    async with collect(world, run, faults=[Fault(effect=denied, action=gap, account=chosen)]):
        pass
    before = finish(run)
    assert before.exit_code() == ExitCode.COVERAGE_GAPS

    async def retried(*struck: Fault) -> pd.Series:
        async with Simulator(world, faults=struck) as simulator:
            await resume(simulator, run, retry_gaps=True)
        return finish(run).accounts.set_index("account_id").loc[chosen]

    for attempts in (2, 3):  # again and again, which is told once
        row = await retried(wrong(chosen, other))
        assert (row["error_code"], row["attempts"]) == ("IntegrityFailure", attempts)
        assert other in row["reason"]
        assert row["reason"].count(other) == 1
        assert Run(run).exit_code() == ExitCode.INTEGRITY
        assert Run(run).manifest["integrity_failures"] == [chosen]
        assert not verify(run).problems
    # What was collected before from the right account is kept.
    assert row["coverage"] == ("PARTIAL" if gap == "ListUsers" else "FAILED")
    then, now = (one.credentials["account_id"] == chosen for one in (before, Run(run)))
    assert then.sum() == now.sum()

    # Losing access does not clear it; an attempt that succeeds does.
    row = await retried(Fault(effect=denied, action="AssumeRole", account=chosen))
    assert row["error_code"] == "IntegrityFailure"
    assert Run(run).exit_code() == ExitCode.INTEGRITY
    row = await retried()
    assert (row["coverage"], row["attempts"]) == ("COMPLETE", 5)
    assert Run(run).exit_code() == ExitCode.OK


EDITS = {
    "complete without evidence": (
        "UPDATE outcomes SET coverage = 'COMPLETE', gaps = '[]' WHERE coverage = 'DENIED'"
    ),
    "complete with gaps": "UPDATE outcomes SET coverage = 'COMPLETE' WHERE coverage = 'PARTIAL'",
    "gaps removed": "UPDATE outcomes SET gaps = '[]' WHERE coverage = 'PARTIAL'",
    "gaps removed and complete": (
        "UPDATE outcomes SET coverage = 'COMPLETE', gaps = '[]' WHERE coverage = 'PARTIAL'"
    ),
    "not active although active": (
        "UPDATE outcomes SET coverage = 'NOT_ACTIVE', gaps = '[]' WHERE coverage = 'DENIED'"
    ),
    "excluded without a scope": (
        "UPDATE outcomes SET coverage = 'EXCLUDED', gaps = '[]' WHERE coverage = 'DENIED'"
    ),
}
"""What the rules find, also in a store without hashes."""
HASHED = {
    "an outcome deleted": "DELETE FROM outcomes WHERE coverage = 'DENIED'",
    "an account deleted": (
        "DELETE FROM accounts WHERE account_id IN "
        "(SELECT account_id FROM outcomes WHERE coverage = 'DENIED'); "
        "DELETE FROM outcomes WHERE coverage = 'DENIED'"
    ),
    "an account deleted with its evidence": (
        "DELETE FROM evidence WHERE account_id = (SELECT max(account_id) FROM accounts); "
        "DELETE FROM outcomes WHERE account_id = (SELECT max(account_id) FROM accounts); "
        "DELETE FROM accounts WHERE account_id = (SELECT max(account_id) FROM accounts)"
    ),
    "a reason changed": "UPDATE outcomes SET reason = 'fine' WHERE coverage = 'DENIED'",
    "a state changed": (
        "UPDATE accounts SET account = json_set(account, '$.state', 'SUSPENDED') "
        "WHERE account_id IN (SELECT account_id FROM outcomes WHERE coverage = 'DENIED'); "
        "UPDATE outcomes SET coverage = 'NOT_ACTIVE', gaps = '[]' WHERE coverage = 'DENIED'"
    ),
    "a name changed": "UPDATE accounts SET account = json_set(account, '$.name', 'x')",
    "a time changed": "UPDATE outcomes SET started_at = '2020-01-01T00:00:00+00:00'",
    "the list called whole": "UPDATE run SET info = json_set(info, '$.enumerated', json('true'))",
    "the notes removed": "UPDATE run SET info = json_set(info, '$.notes', json('[]'))",
}


@pytest.fixture
async def unfinished(collect: Callable[..., Any], tmp_path: Path) -> Path:
    """A run without its reports: an account DENIED, one PARTIAL, and lists that differ."""
    world = WORLDS["uniform"](accounts=4, users=2)
    trouble = [
        Fault(effect=Error("AccessDenied", 403), action="AssumeRole", account=world.accounts[1].id),
        Fault(effect=Error("AccessDenied", 403), action="ListUsers", account=world.accounts[2].id),
        Fault(effect=Error("AccessDeniedException", 400), action="ListAccounts"),
    ]
    async with collect(world, tmp_path / "run", faults=trouble):
        pass
    return tmp_path / "run"


def edit(run: Path, statements: str) -> None:
    with closing(sqlite3.connect(run / "evidence.sqlite")) as store, store:
        before = store.total_changes
        for statement in statements.split("; "):
            store.execute(statement)
        assert store.total_changes > before


def as_older(run: Path) -> None:
    """The store as an orgscan wrote it that did not hash its outcomes."""
    with closing(sqlite3.connect(run / "evidence.sqlite")) as store, store:
        store.execute("DROP TABLE seal")
        store.execute("ALTER TABLE outcomes DROP COLUMN outcome_sha256")


def contents(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


async def assert_refused(run: Path, resume: Resume) -> None:
    """Neither resumed nor rendered nor verified: one line each that names the file."""
    before = contents(run)
    async with Simulator(WORLDS["uniform"](accounts=4, users=2)) as simulator:
        for retry_gaps in (False, True):
            with pytest.raises(IntegrityError, match=r"evidence\.sqlite") as caught:
                await resume(simulator, run, retry_gaps=retry_gaps)
            assert len(str(caught.value).splitlines()) == 1
        assert simulator.calls == []
    with pytest.raises(IntegrityError, match=r"evidence\.sqlite"):
        finish(run)
    with pytest.raises(IntegrityError, match=r"evidence\.sqlite"):
        verify(run)
    assert contents(run) == before


@pytest.mark.parametrize("change", [*EDITS, *HASHED])
async def test_an_unfinished_run_that_was_edited_is_an_integrity_failure(
    unfinished: Path, resume: Resume, change: str
) -> None:
    with pytest.raises(UsageError, match="is not finished"):
        verify(unfinished)
    edit(unfinished, {**EDITS, **HASHED}[change])
    await assert_refused(unfinished, resume)


@pytest.mark.parametrize("change", EDITS)
async def test_what_cannot_be_true_is_found_in_an_older_store_too(
    unfinished: Path, resume: Resume, change: str
) -> None:
    as_older(unfinished)
    edit(unfinished, EDITS[change])
    await assert_refused(unfinished, resume)


async def test_an_older_store_is_read_resumed_and_hashed_from_then_on(
    resume: Resume, unfinished: Path
) -> None:
    as_older(unfinished)
    assert finish(unfinished).exit_code() == ExitCode.COVERAGE_GAPS
    assert not verify(unfinished).problems
    async with Simulator(WORLDS["uniform"](accounts=4, users=2)) as simulator:
        await resume(simulator, unfinished, retry_gaps=True)
    run = finish(unfinished)
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert run.exit_code() == ExitCode.OK
    assert not verify(unfinished).problems

    (unfinished / "manifest.json").unlink()
    edit(unfinished, HASHED["a time changed"])
    await assert_refused(unfinished, resume)


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE seal",
        "DELETE FROM seal",
        "UPDATE seal SET accounts_sum = head_sha256",
        "ALTER TABLE outcomes DROP COLUMN outcome_sha256",
        "UPDATE outcomes SET outcome_sha256 = NULL",
        "UPDATE outcomes SET outcome_sha256 = evidence_sha256",
    ],
)
async def test_hashes_that_were_removed_or_altered_are_missed(
    unfinished: Path, resume: Resume, change: str
) -> None:
    with closing(sqlite3.connect(unfinished / "evidence.sqlite")) as store, store:
        store.execute(change)
    await assert_refused(unfinished, resume)
