"""An account list that fails, lies or never ends; rows of the fault matrix by number."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.errors import RunError, RunInterrupted
from orgscan.models import AccountState, Coverage
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.rundir import EVIDENCE
from orgscan.simulator import Fault, Simulator
from orgscan.simulator.faults import Error, Per
from tests.kit import faults
from tests.kit.observers import StopAfter
from tests.kit.scans import (
    NOW,
    Judged,
    assert_alone,
    assert_same_tables,
    assert_sound,
    collect,
    resume,
    scan,
)
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orgscan.simulator import World

LISTS = ("ListAccounts", "ListAccountsForParent", "ListOrganizationalUnitsForParent")


async def test_fault_03_throttling_and_empty_pages_cost_no_account_and_double_none(
    tmp_path: Path,
) -> None:
    world = WORLDS["paging"](now=NOW)
    throttled = Fault(
        effect=faults.TOO_MANY_REQUESTS, service="organizations", probability=0.4, seed=5
    )
    scanned = await scan(world, tmp_path / "run", throttled)
    assert_sound(scanned)
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}
    assert not scanned.run.manifest["notes"]
    calm = await scan(world, tmp_path / "calm")
    assert_same_tables(scanned.run, calm.run)


@pytest.mark.parametrize("action", LISTS)
async def test_fault_04_a_list_that_fails_for_good_in_the_middle_fails_the_run(
    tmp_path: Path, action: str
) -> None:
    world = WORLDS["paging"](now=NOW)
    broken = Fault(effect=Error("ServiceException", 500), action=action, nth=range(3, 10**6))
    async with Simulator(world, faults=[broken]) as simulator:
        with pytest.raises(RunError, match="could not be read in full") as caught:
            await collect(simulator, tmp_path / "run")
    assert caught.value.exit_code == 1
    # What was read may be rendered, but never as if it were the whole organization.
    with EvidenceStore.read(tmp_path / "run" / EVIDENCE) as store:
        assert not store.info.enumerated
    assert Judged(tmp_path / "run").exit_code() == 4


@pytest.mark.parametrize("name", ["same-marker", "marker-circle"])
@pytest.mark.parametrize("action", LISTS)
async def test_fault_22_token_loops_of_the_account_list_fail_the_run(
    small: World, tmp_path: Path, name: str, action: str
) -> None:
    loop = Fault(effect=faults.PAGE_EDITS[name], action=action)
    async with Simulator(small, faults=[loop]) as simulator:
        with pytest.raises(RunError, match="the same page marker came twice"):
            await collect(simulator, tmp_path / "run")
        assert simulator.count(action=action) < 20


@pytest.mark.parametrize("name", ["duplicate-page", "empty-page"])
@pytest.mark.parametrize("action", LISTS)
async def test_fault_22_extra_pages_of_the_account_list_double_no_account(
    small: World, tmp_path: Path, name: str, action: str
) -> None:
    extra = Fault(effect=faults.PAGE_EDITS[name], action=action)
    scanned = await scan(small, tmp_path / "run", extra)
    assert_alone(scanned, "tidy-staging", "COMPLETE")
    told = [note for note in scanned.run.manifest["notes"] if "more than once" in note]
    expected = ["4 entries"] if name == "duplicate-page" else []
    assert [" ".join(note.split()[3:5]) for note in told] == expected


@pytest.mark.parametrize("name", ["same-marker", "marker-circle", "endless", "no-marker"])
@pytest.mark.parametrize(
    ("action", "missing"),
    [
        ("ListUsers", "users,access_keys"),
        ("ListAccessKeys", "access_keys"),
        ("ListVirtualMFADevices", "virtual_mfa_devices"),
    ],
)
async def test_fault_22_marker_loops_of_iam_end_and_are_told(
    small: World, tmp_path: Path, name: str, action: str, missing: str
) -> None:
    account = next(one.id for one in small.accounts if one.name == "tidy-staging")
    loop = Fault(effect=faults.PAGE_EDITS[name], action=action, account=account)
    scanned = await scan(small, tmp_path / "run", loop)
    assert_alone(scanned, "tidy-staging", "PARTIAL", missing, "MalformedAnswer")
    # Endless ones are known by their pages, which are all the same.
    assert scanned.asked(action, "tidy-staging") < (120 if name == "endless" else 10)


@pytest.mark.parametrize("name", ["duplicate-page", "empty-page"])
@pytest.mark.parametrize("action", ["ListUsers", "ListAccessKeys", "ListVirtualMFADevices"])
async def test_fault_22_extra_pages_of_iam_are_collapsed_and_counted(
    tmp_path: Path, name: str, action: str
) -> None:
    world = WORLDS["uniform"](accounts=4, users=3, now=NOW)
    struck = world.accounts[2]
    extra = Fault(effect=faults.PAGE_EDITS[name], action=action, account=struck.id, per=Per.CALL)
    scanned = await scan(world, tmp_path / "run", extra)
    assert_alone(scanned, struck.name, "COMPLETE")
    calm = await scan(world, tmp_path / "calm")
    for table in ("credentials", "access_keys"):
        assert len(scanned.of(table, struck.name)) == len(calm.of(table, struck.name))
    with EvidenceStore.read(tmp_path / "run" / EVIDENCE) as store:
        reading = next(one for one in store if one.account.account_id == struck.id)
    kind = {"ListUsers": "users", "ListAccessKeys": "access_keys"}.get(
        action, "virtual_mfa_devices"
    )
    content = json.loads(next(one.content for one in reading.outcome.evidence if one.kind == kind))
    items = content["keys"] if kind == "access_keys" else content
    reason = scanned.row(struck.name)["reason"]
    told = f"{kind}: AWS listed {len(items)} entries more than once; each is counted once"
    assert reason == (told if name == "duplicate-page" and items else "")


def with_state(world: World, name: str, **change: Any) -> World:
    accounts = [replace(one, **change) if one.name == name else one for one in world.accounts]
    return replace(world, accounts=tuple(accounts))


@pytest.mark.parametrize("state", ["SUSPENDED", "PENDING_CLOSURE", "CLOSED"])
async def test_fault_21_suspended_between_enumeration_and_assumption_is_denied(
    small: World, tmp_path: Path, state: str
) -> None:
    account = next(one.id for one in small.accounts if one.name == "tidy-staging")
    closing = Fault(effect=faults.SetState(account, state), action="AssumeRole", account=account)
    scanned = await scan(small, tmp_path / "run", closing)
    row = scanned.row("tidy-staging")
    assert (row["coverage"], row["error_code"]) == ("DENIED", "AccessDenied")
    assert scanned.asked("AssumeRole", "tidy-staging") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"state": "HIBERNATING"},
        {"state": ""},
        {"state_fields": "neither"},
    ],
    ids=["unknown", "empty", "missing"],
)
async def test_fault_21_a_state_missing_or_unknown_is_read_and_flagged(
    small: World, tmp_path: Path, change: dict[str, str]
) -> None:
    scanned = await scan(with_state(small, "tidy-staging", **change), tmp_path / "run")
    assert_alone(scanned, "tidy-staging", "COMPLETE")
    row = scanned.row("tidy-staging")
    assert row["state"] == AccountState.UNKNOWN
    assert "no account state that is known" in row["reason"]
    assert len(scanned.of("credentials", "tidy-staging")) == 3


@pytest.mark.parametrize("fields", ["state", "status", "both"])
async def test_fault_21_an_inactive_account_is_told_by_either_field(
    small: World, tmp_path: Path, fields: str
) -> None:
    world = with_state(small, "tidy-staging", state="SUSPENDED", state_fields=fields)
    scanned = await scan(world, tmp_path / "run")
    assert_alone(scanned, "tidy-staging", Coverage.NOT_ACTIVE)
    assert scanned.asked("AssumeRole", "tidy-staging") == 0


async def test_without_the_account_list_nobody_vouches_for_the_tree(
    small: World, tmp_path: Path
) -> None:
    """An account that moved while the tree was read was taken to have left, with exit code 0."""
    gone = next(one.id for one in small.accounts if one.name == "tidy-staging")

    def without(content: bytes) -> bytes:
        answer = json.loads(content)
        answer["Accounts"] = [one for one in answer["Accounts"] if one["Id"] != gone]
        return json.dumps(answer).encode()

    blind = (
        Fault(effect=Error("AccessDeniedException", 400), action="ListAccounts"),
        Fault(effect=faults.Edit(without), action="ListAccountsForParent"),
    )
    # A plain scan cannot know of it, and must not claim to have read the whole list.
    scanned = await scan(small, tmp_path / "plain", *blind)
    assert scanned.run.exit_code() == 4
    # One that goes on knows, and must not say that it left.
    observer = StopAfter(1)
    with pytest.raises(RunInterrupted):
        async with Simulator(small) as simulator:
            await collect(
                simulator, tmp_path / "run", observer=observer, stop=observer.stop, concurrency=1
            )
    assert gone not in observer.seen
    async with Simulator(small, faults=blind) as simulator:
        await resume(simulator, tmp_path / "run", concurrency=1)
    run = Judged(tmp_path / "run")
    row = run.accounts[run.accounts["account_id"] == gone].iloc[0]
    assert row["coverage"] == "NOT_ATTEMPTED"
    assert run.exit_code() == 4


def editing(edit: Callable[[dict[str, Any]], None]) -> faults.Edit:
    """Change the answer of AWS Organizations."""

    def change(content: bytes) -> bytes:
        answer = json.loads(content)
        edit(answer)
        return json.dumps(answer).encode()

    return faults.Edit(change)


def stating(account: str, state: str) -> faults.Edit:
    """One of the lists gives the account this state."""

    def edit(answer: dict[str, Any]) -> None:
        for one in answer["Accounts"]:
            if one["Id"] == account:
                one |= {"State": state, "Status": state}

    return editing(edit)


def without(*accounts: str) -> faults.Edit:
    """One of the lists lacks the accounts."""

    def edit(answer: dict[str, Any]) -> None:
        answer["Accounts"] = [one for one in answer["Accounts"] if one["Id"] not in accounts]

    return editing(edit)


@pytest.mark.parametrize("state", ["SUSPENDED", "PENDING_CLOSURE", "CLOSED"])
@pytest.mark.parametrize("action", ["ListAccounts", "ListAccountsForParent"])
async def test_an_account_that_one_list_calls_active_is_read(
    small: World, tmp_path: Path, action: str, state: str
) -> None:
    account = next(one.id for one in small.accounts if one.name == "tidy-staging")
    lie = Fault(effect=stating(account, state), action=action)
    scanned = await scan(small, tmp_path / "run", lie)
    assert_sound(scanned)
    assert scanned.state("tidy-staging") == ("COMPLETE", "", "")
    assert scanned.run.exit_code() == 4
    assert not scanned.run.manifest["enumerated"]
    (note,) = scanned.run.manifest["notes"]
    assert account in note
    assert state in note


async def test_a_state_that_differs_once_settles_at_the_second_reading(
    small: World, tmp_path: Path
) -> None:
    account = next(one.id for one in small.accounts if one.name == "tidy-staging")
    lie = Fault(effect=stating(account, "SUSPENDED"), action="ListAccounts", times=1)
    scanned = await scan(small, tmp_path / "run", lie)
    assert_alone(scanned, "tidy-staging", "COMPLETE")
    assert scanned.run.manifest["enumerated"]
    assert scanned.run.manifest["notes"] == []
    assert scanned.simulator.count(action="ListRoots") == 2


@pytest.mark.parametrize("action", ["ListAccounts", "ListAccountsForParent"])
@pytest.mark.parametrize("every", [True, False], ids=["all", "one"])
async def test_a_list_that_lacks_accounts_is_not_taken_for_whole(
    small: World, tmp_path: Path, action: str, *, every: bool
) -> None:
    lost = [one.id for one in small.accounts if every or one.name == "tidy-staging"]
    scanned = await scan(small, tmp_path / "run", Fault(effect=without(*lost), action=action))
    assert_sound(scanned)
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}
    assert not scanned.run.manifest["enumerated"]
    assert scanned.run.exit_code() == 4
    (note,) = scanned.run.manifest["notes"]
    assert lost[-1] in note


async def test_accounts_that_joined_since_may_be_in_one_list_only(
    small: World, tmp_path: Path
) -> None:
    joined = NOW + timedelta(seconds=30)
    world = with_state(small, "tidy-staging", joined=joined)
    account = next(one.id for one in world.accounts if one.name == "tidy-staging")
    late = Fault(effect=without(account), action="ListAccounts")
    scanned = await scan(world, tmp_path / "run", late)
    assert_alone(scanned, "tidy-staging", "COMPLETE")
    assert scanned.run.manifest["enumerated"]


async def test_a_resumed_run_reads_what_an_unproven_list_called_inactive(
    small: World, tmp_path: Path
) -> None:
    """With the list denied the tree alone decides: it may be wrong."""
    account = next(one.id for one in small.accounts if one.name == "tidy-staging")
    blind = (
        Fault(effect=Error("AccessDeniedException", 400), action="ListAccounts"),
        Fault(effect=stating(account, "SUSPENDED"), action="ListAccountsForParent"),
    )
    scanned = await scan(small, tmp_path / "run", *blind)
    assert scanned.state("tidy-staging")[0] == "NOT_ACTIVE"
    assert scanned.run.exit_code() == 4
    async with Simulator(small) as simulator:
        await resume(simulator, tmp_path / "run")
    run = Judged(tmp_path / "run")
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert run.exit_code() == 0
