"""What happens to one account, and must stay its own affair; rows of the fault matrix."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from orgscan.errors import ExitCode, RunError
from orgscan.models import INTEGRITY_FAILURE, Kind
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.rundir import EVIDENCE
from orgscan.simulator import Fault, Simulator, iam
from orgscan.simulator.faults import Error
from tests.kit import faults
from tests.kit.clocks import HurriedClock
from tests.kit.scans import (
    NOW,
    Judged,
    Scanned,
    assert_alone,
    assert_same_tables,
    assert_sound,
    collect,
    finish,
    resume,
    scan,
)
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from pathlib import Path

    from orgscan.simulator import World
    from orgscan.simulator.faults import Effect

STRUCK = "tidy-staging"
EVERYTHING = ",".join(Kind)
KINDS_OF = {
    "GenerateCredentialReport": "credential_report",
    "GetCredentialReport": "credential_report",
    "ListUsers": "users,access_keys",
    "ListAccessKeys": "access_keys",
    "GetAccountSummary": "account_summary",
    "GetAccountPasswordPolicy": "password_policy",
    "ListVirtualMFADevices": "virtual_mfa_devices",
    "ListServiceSpecificCredentials": "service_specific_credentials",
}
"""The kinds that are missing without an action. Those asked about new users and about users without
other credentials alone are in test_contradictions.py."""


def struck(small: World) -> str:
    return next(account.id for account in small.accounts if account.name == STRUCK)


async def test_fault_15_a_user_deleted_meanwhile_is_a_state_and_no_error(
    small: World, tmp_path: Path
) -> None:
    gone = Fault(
        effect=faults.DeleteUser("ci-deploy"),
        action="ListAccessKeys",
        account=struck(small),
        user="ci-deploy",
    )
    scanned = await scan(small, tmp_path / "run", gone)
    assert_alone(scanned, STRUCK, "COMPLETE")
    assert scanned.asked("ListAccessKeys", STRUCK) == 2
    source = scanned.of("credentials", STRUCK).set_index("user")["source"]
    assert source.to_dict() == {
        "<root_account>": "report_only",  # no listing knows root
        "backup-agent": "both",
        "ci-deploy": "report_only",
    }
    assert "ci-deploy" not in set(scanned.of("findings", STRUCK)["user"])


@pytest.mark.parametrize(
    "action", ["GenerateCredentialReport", "GetCredentialReport", "ListUsers", "ListAccessKeys"]
)
async def test_fault_16_a_session_that_ends_in_the_middle_is_renewed_once(
    small: World, tmp_path: Path, action: str
) -> None:
    expired = Fault(effect=faults.ExpireSessions(), action=action, account=struck(small), nth=1)
    scanned = await scan(small, tmp_path / "run", expired)
    assert_alone(scanned, STRUCK, "COMPLETE")
    assert scanned.asked("AssumeRole", STRUCK) == 2
    calm = await scan(small, tmp_path / "calm")
    assert_same_tables(scanned.run, calm.run)


async def test_fault_16_sessions_that_never_last_are_given_up(small: World, tmp_path: Path) -> None:
    expired = Fault(effect=faults.EXPIRED_TOKEN, service="iam", account=struck(small))
    scanned = await scan(small, tmp_path / "run", expired)
    assert_alone(scanned, STRUCK, "FAILED", EVERYTHING, "ExpiredToken")
    assert scanned.asked("AssumeRole", STRUCK) <= 1 + len(Kind)


async def test_fault_17_expired_caller_credentials_stop_the_run_and_it_can_be_resumed(
    tmp_path: Path,
) -> None:
    world = WORLDS["uniform"](accounts=30, users=2, now=NOW)
    ended = Fault(effect=faults.ExpireCallers(), action="AssumeRole", nth=12)
    scanned = await scan(world, tmp_path / "run", ended, concurrency=4)
    assert_sound(scanned)
    coverage = scanned.run.accounts["coverage"]
    assert set(coverage) == {"COMPLETE", "NOT_ATTEMPTED"}
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS
    assert any(
        "Resume it with `orgscan scan --resume`" in note for note in scanned.run.manifest["notes"]
    )
    # Nothing was admitted any more, and nobody tried again.
    assert scanned.simulator.count(action="AssumeRole") <= 12 + 4

    done = set(scanned.run.accounts["account_id"][coverage == "COMPLETE"])
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "run")
        asked = {call.target for call in simulator.calls if call.service in {"iam", "sts"}}
    assert not (asked - {world.management_account_id}) & done
    calm = await scan(world, tmp_path / "calm")
    assert_same_tables(Judged(tmp_path / "run"), calm.run)


async def test_fault_17_expiry_while_the_list_is_read_fails_the_run_but_keeps_what_was_read(
    tmp_path: Path,
) -> None:
    world = replace(WORLDS["uniform"](accounts=40, users=1, now=NOW), page_size=5)
    ended = Fault(effect=faults.ExpireCallers(), action="ListAccountsForParent", nth=6)
    async with Simulator(world, faults=[ended]) as simulator:
        with pytest.raises(RunError, match="token included in the request is expired"):
            await collect(simulator, tmp_path / "run")
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "run")
    calm = await scan(world, tmp_path / "calm")
    assert_same_tables(Judged(tmp_path / "run"), calm.run)


async def test_fault_17_expiry_before_any_account_was_read_is_told_as_that(tmp_path: Path) -> None:
    world = WORLDS["uniform"](accounts=4, users=1, now=NOW)
    ended = Fault(effect=faults.ExpireCallers(), action="AssumeRole")
    only = {"accounts": [world.accounts[2].id]}
    async with Simulator(world, faults=[ended]) as simulator:
        with pytest.raises(RunError) as caught:
            await collect(simulator, tmp_path / "run", **only)
    assert str(caught.value).startswith("stopped before any account was read: ")
    assert "token included in the request is expired" in str(caught.value)
    assert str(caught.value).endswith("then run `orgscan scan --resume`")
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "run", **only)
    assert Judged(tmp_path / "run").exit_code() == ExitCode.OK


async def test_unread_tags_turn_no_failure_into_a_pass(tmp_path: Path) -> None:
    world = WORLDS["small"](now=NOW)
    tagged = tuple(replace(one, tags={"env": "prod"}) for one in world.accounts)
    world = replace(world, accounts=tagged)
    limits = {
        "account_tags": True,
        "threshold_overrides": [{"tag": "env=prod", "access_key_max_age_days": 10}],
    }
    denied = Fault(effect=Error("AccessDeniedException", 400), action="ListTagsForResource")
    await scan(world, tmp_path / "calm", **limits)
    await scan(world, tmp_path / "run", denied, **limits)
    calm, blind = finish(tmp_path / "calm"), finish(tmp_path / "run")
    before, after = (
        run.findings.set_index("finding_id")["status"].astype(str) for run in (calm, blind)
    )
    turned = after[(before == "FAIL") & (after != "FAIL")]
    assert len(turned)
    assert set(turned) == {"UNKNOWN"}
    assert not ((after == "PASS") & (before != "PASS")).any()
    assert (calm.exit_code(), blind.exit_code()) == (ExitCode.OK, ExitCode.COVERAGE_GAPS)
    notes = " ".join(blind.manifest["notes"])
    assert f"The tags of {len(tagged)} accounts could not be read: there, verdicts" in notes
    assert "apply to no account" not in notes


async def test_fault_18_an_account_that_denies_the_role_is_asked_once(
    small: World, tmp_path: Path
) -> None:
    denied = Fault(effect=Error("AccessDenied", 403), action="AssumeRole", account=struck(small))
    scanned = await scan(small, tmp_path / "run", denied)
    assert_alone(scanned, STRUCK, "DENIED", EVERYTHING, "AccessDenied")
    assert scanned.asked("AssumeRole", STRUCK) == 1
    assert scanned.simulator.count(service="iam", account=struck(small)) == 0
    assert set(scanned.of("findings", STRUCK)["status"]) == {"UNKNOWN"}


@pytest.mark.parametrize("action", [one for one in iam.ACTIONS if one in KINDS_OF])
async def test_fault_19_a_denied_action_leaves_the_other_kinds_and_names_its_own(
    small: World, tmp_path: Path, action: str
) -> None:
    denied = Fault(effect=Error("AccessDenied", 403), action=action, account=struck(small))
    scanned = await scan(small, tmp_path / "run", denied)
    assert_alone(scanned, STRUCK, "PARTIAL", KINDS_OF[action], "AccessDenied")
    # Eight users are asked about at a time; each of the two here is refused once.
    assert scanned.asked(action, STRUCK) == (2 if action == "ListAccessKeys" else 1)


async def test_fault_19_a_deny_by_service_control_policy_keeps_its_text(
    small: World, tmp_path: Path
) -> None:
    blocked = Fault(
        effect=faults.DENIED_AT_LENGTH, action="GetAccountSummary", account=struck(small)
    )
    scanned = await scan(small, tmp_path / "run", blocked)
    assert_alone(scanned, STRUCK, "PARTIAL", "account_summary", "AccessDenied")
    reason = scanned.row(STRUCK)["reason"]
    assert "with an explicit deny in a service control policy" in reason
    assert "https://" not in reason
    assert "7b1c5f2e-9d0a" not in reason


@pytest.mark.parametrize("action", ["AssumeRole", "GetCredentialReport", "ListUsers"])
async def test_fault_20_answers_of_another_account_are_an_integrity_failure_and_never_kept(
    small: World, tmp_path: Path, action: str
) -> None:
    other = next(account.id for account in small.accounts if account.name == "tidy-production")
    foreign = Fault(effect=faults.OtherAccount(other), action=action, account=struck(small))
    scanned = await scan(small, tmp_path / "run", foreign)
    assert_sound(scanned)
    assert scanned.state(STRUCK) == ("FAILED", EVERYTHING, INTEGRITY_FAILURE)
    assert scanned.run.exit_code() == ExitCode.INTEGRITY
    assert scanned.of("credentials", STRUCK).empty
    assert scanned.of("access_keys", STRUCK).empty
    with EvidenceStore.read(tmp_path / "run" / EVIDENCE) as store:
        reading = next(one for one in store if one.account.account_id == struck(small))
    assert reading.outcome.evidence == ()
    calm = await scan(small, tmp_path / "calm")
    kept = scanned.of("credentials", "tidy-production")
    assert kept.reset_index(drop=True).equals(
        calm.of("credentials", "tidy-production").reset_index(drop=True)
    )


async def test_fault_23_an_account_of_5000_users_completes_beside_small_ones(
    tmp_path: Path,
) -> None:
    world = WORLDS["uniform"](accounts=6, users=2, large=5_000, now=NOW)
    large = world.accounts[3]
    # The deadline for the keys grows by the user: without that, two seconds end it.
    scanned = await scan(
        world, tmp_path / "run", account_timeout_seconds=2, iam_requests_per_second=200
    )
    assert_alone(scanned, large.name, "COMPLETE")
    assert scanned.row(large.name)["users"] == 5_000
    assert scanned.asked("ListAccessKeys", large.name) == 5_000
    last = max(
        call.index
        for call in scanned.simulator.calls
        if call.target not in {large.id, ""} and call.service == "iam"
    )
    asked_by_then = sum(
        call.target == large.id and call.action == "ListAccessKeys"
        for call in scanned.simulator.calls[:last]
    )
    assert asked_by_then < 500  # the small ones were done long before it


async def test_fault_25_hostile_names_are_exact_in_tables_and_inert_in_excel(
    tmp_path: Path,
) -> None:
    world = WORLDS["hostile"](now=NOW)
    scanned = await scan(world, tmp_path / "run")
    run = finish(tmp_path / "run")
    assert_sound(Scanned(run, scanned.simulator, world.accounts))
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    users = {user.name for account in world.accounts for user in account.users}
    assert users == set(run.credentials["user"]) - {"<root_account>"}
    written = {
        account.name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for account in world.accounts
    }
    assert set(run.accounts["account_name"]) == written
    # No name became a directory.
    assert len([*os.walk(tmp_path)]) == 2
    workbook = openpyxl.load_workbook(run.workbook)
    cells = [cell for sheet in workbook for row in sheet.iter_rows() for cell in row]
    workbook.close()
    assert not {"f", "e"} & {cell.data_type for cell in cells}
    assert not [cell for cell in cells if cell.hyperlink and "evil" in str(cell.hyperlink.target)]


@pytest.mark.parametrize("name", ["aws-cn", "aws-us-gov"])
async def test_fault_31_other_partitions_have_their_own_arns(tmp_path: Path, name: str) -> None:
    world = WORLDS["partition"](name=name, now=NOW)
    scanned = await scan(world, tmp_path / "run")
    assert_alone(scanned, STRUCK, "COMPLETE")
    roles = [
        call.parameters["RoleArn"]
        for call in scanned.simulator.calls
        if call.action == "AssumeRole"
    ]
    assert len(roles) == 3
    arns = [*roles, *scanned.run.credentials["arn"].dropna()]
    assert {arn.split(":")[1] for arn in arns} == {name}
    assert scanned.run.info.caller.partition == name


async def test_fault_31_a_report_of_another_partition_is_an_integrity_failure(
    small: World, tmp_path: Path
) -> None:
    moved: Effect = faults.EditReport(lambda text: text.replace(b"arn:aws:", b"arn:aws-cn:"))
    foreign = Fault(effect=moved, action="GetCredentialReport", account=struck(small))
    scanned = await scan(small, tmp_path / "run", foreign)
    assert scanned.state(STRUCK) == ("FAILED", EVERYTHING, INTEGRITY_FAILURE)
    assert scanned.run.exit_code() == ExitCode.INTEGRITY


@pytest.mark.parametrize("world", ["demo", "states"])
async def test_what_these_tests_judge_is_what_is_written(tmp_path: Path, world: str) -> None:
    scanned = await scan(WORLDS[world](now=NOW), tmp_path / "run", clock=HurriedClock(NOW))
    written: Any = finish(tmp_path / "run")
    assert_same_tables(scanned.run, written)
    for name, value in scanned.run.manifest.items():
        assert written.manifest[name] == value, name
    assert scanned.run.exit_code() == written.exit_code()
