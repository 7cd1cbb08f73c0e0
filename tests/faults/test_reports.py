"""Credential reports that are late, damaged or old; rows of the fault matrix by number."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.simulator import Fault
from tests.kit import faults
from tests.kit.clocks import HurriedClock
from tests.kit.faults import Edit, EditReport
from tests.kit.scans import NOW, assert_alone, assert_same_tables, assert_sound, scan
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orgscan.simulator import World
    from orgscan.simulator.faults import Effect

STRUCK = "tidy-staging"
USERS = {"backup-agent", "ci-deploy"}


def at_report(small: World, effect: Effect, **more: Any) -> Fault:
    account = next(one.id for one in small.accounts if one.name == STRUCK)
    return Fault(**{"effect": effect, "account": account, "action": "GetCredentialReport", **more})


def assert_users_kept(scanned: Any) -> None:
    """The live listing stands, whatever became of the report: never "no users"."""
    users = set(scanned.of("credentials", STRUCK)["user"])
    assert users >= USERS
    assert scanned.row(STRUCK)["users"] == len(USERS)
    assert len(scanned.of("access_keys", STRUCK)) == 2


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("bad-base64", "ReportEmpty"),  # botocore decodes what it can: nothing
        ("cut", "ReportRowMalformed"),
        ("empty", "ReportEmpty"),
        ("byte-order-mark", "ReportRewritten"),
        ("carriage-returns", "ReportRewritten"),
        ("not-text", "ReportNotUtf8"),
    ],
)
async def test_fault_10_damaged_bytes_make_it_partial_and_never_no_users(
    small: World, tmp_path: Path, damage: str, code: str
) -> None:
    scanned = await scan(small, tmp_path / "run", at_report(small, faults.REPORT_EDITS[damage]))
    assert_alone(scanned, STRUCK, "PARTIAL", "credential_report", code)
    assert_users_kept(scanned)
    passed = scanned.of("findings", STRUCK).query("status == 'PASS'")["control_id"]
    if code != "ReportRewritten":
        assert "root-mfa" not in set(passed)


async def test_fault_10_base64_that_cannot_be_decoded_is_malformed(
    small: World, tmp_path: Path
) -> None:
    cut = Edit(lambda body: re.sub(rb"<Content>.*</Content>", b"<Content>QUJDR</Content>", body))
    scanned = await scan(small, tmp_path / "run", at_report(small, cut))
    assert_alone(scanned, STRUCK, "PARTIAL", "credential_report", "MalformedAnswer")
    assert_users_kept(scanned)
    assert scanned.asked("GetCredentialReport", STRUCK) == 3


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("missing-column", "ReportColumnMissing"),
        ("duplicate-user", "ReportUserDuplicated"),
        ("short-row", "ReportRowMalformed"),
        ("long-row", "ReportRowMalformed"),
        ("quoted-newline", "ReportRowMalformed"),
        ("header-only", "ReportWithoutRows"),
        ("cut-between-rows", "ReportIncomplete"),
        ("no-root", "ReportWithoutRoot"),
    ],
)
async def test_fault_11_structural_faults_make_it_partial(
    small: World, tmp_path: Path, damage: str, code: str
) -> None:
    scanned = await scan(small, tmp_path / "run", at_report(small, faults.REPORT_EDITS[damage]))
    assert_alone(scanned, STRUCK, "PARTIAL", "credential_report", code)
    assert_users_kept(scanned)


def _with_quotes(report: bytes) -> bytes:
    header, *rows = report.split(b"\n")
    return b"\n".join([header + b",remarks", *(row + b',"a ""b"",\nc"' for row in rows)])


LEGAL = {
    "extra-column": faults.REPORT_EDITS["extra-column"],
    "reordered-columns": faults.REPORT_EDITS["reordered-columns"],
    "quotes-and-newlines": EditReport(_with_quotes),
}


@pytest.mark.parametrize("name", LEGAL)
async def test_fault_11_what_csv_allows_changes_no_verdict(
    small: World, tmp_path: Path, name: str
) -> None:
    scanned = await scan(small, tmp_path / "run", at_report(small, LEGAL[name]))
    assert_alone(scanned, STRUCK, "COMPLETE")
    calm = await scan(small, tmp_path / "calm")
    columns = ["control_id", "user", "status", "reason"]
    found, expected = (one.of("findings", STRUCK)[columns] for one in (scanned, calm))
    assert found.to_dict("list") == expected.to_dict("list")


async def test_fault_12_a_report_that_is_never_ready_leaves_the_live_listing(
    small: World, tmp_path: Path
) -> None:
    clock = HurriedClock(NOW)
    never = at_report(small, faults.NEVER_READY, action="GenerateCredentialReport")
    scanned = await scan(small, tmp_path / "run", never, clock=clock)
    assert_alone(scanned, STRUCK, "PARTIAL", "credential_report", "ReportNotReady")
    assert_users_kept(scanned)
    assert set(scanned.of("credentials", STRUCK).query("user in @USERS")["source"]) == {"live_only"}
    assert clock.waited < 400
    assert scanned.asked("GenerateCredentialReport", STRUCK) < 80


async def test_fault_12_a_report_in_progress_for_long_is_waited_for(
    small: World, tmp_path: Path
) -> None:
    accounts = [
        replace(one, report_rounds=40) if one.name == STRUCK else one for one in small.accounts
    ]
    world = replace(small, accounts=tuple(accounts))
    scanned = await scan(world, tmp_path / "run")
    assert_alone(scanned, STRUCK, "COMPLETE")
    assert scanned.asked("GetCredentialReport", STRUCK) == 1
    assert_same_tables(scanned.run, (await scan(small, tmp_path / "calm")).run)


@pytest.mark.parametrize("effect", [faults.REPORT_EXPIRED, faults.REPORT_NOT_PRESENT])
async def test_fault_12_a_report_that_vanished_is_made_anew_twice_at_most(
    small: World, tmp_path: Path, effect: Effect
) -> None:
    twice = await scan(small, tmp_path / "twice", at_report(small, effect, times=2))
    assert_alone(twice, STRUCK, "COMPLETE")
    always = await scan(small, tmp_path / "always", at_report(small, effect))
    assert_alone(always, STRUCK, "PARTIAL", "credential_report", effect.code)  # type: ignore[attr-defined]
    assert always.asked("GetCredentialReport", STRUCK) == 3
    assert_users_kept(always)


async def test_fault_12_ready_then_gone_then_ready_is_complete(
    small: World, tmp_path: Path
) -> None:
    lost = at_report(small, faults.LoseReport(), times=2)
    scanned = await scan(small, tmp_path / "run", lost)
    assert_alone(scanned, STRUCK, "COMPLETE")
    assert scanned.asked("GetCredentialReport", STRUCK) == 3


async def test_fault_13_no_capacity_for_reports_is_waited_out_with_jitter(
    small: World, tmp_path: Path, new_clock: Callable[..., Any]
) -> None:
    full = at_report(small, faults.LIMIT_EXCEEDED, action="GenerateCredentialReport", times=6)
    slept = []
    for seed in (1, 2):
        clock = new_clock(seed=seed)
        clock.GRACE = 60
        scanned = await scan(small, tmp_path / str(seed), full, clock=clock)
        assert_alone(scanned, STRUCK, "COMPLETE")
        # Then STARTED, INPROGRESS and COMPLETE.
        assert scanned.asked("GenerateCredentialReport", STRUCK) == 6 + 3
        slept.append(sorted(clock.slept)[-6:])
    assert slept[0] != slept[1]
    assert max(map(max, slept)) <= 10.0


async def test_fault_14_users_and_keys_changed_since_the_report_say_so(tmp_path: Path) -> None:
    world = WORLDS["drift"](now=NOW)
    scanned = await scan(world, tmp_path / "run")
    assert_sound(scanned)
    assert scanned.state("drift-member") == ("COMPLETE", "", "")
    age = NOW - scanned.row("drift-member")["report_generated_at"].to_pydatetime()
    assert age == timedelta(hours=3, minutes=59)
    assert scanned.asked("GenerateCredentialReport", "drift-member") == 1
    source = scanned.of("credentials", "drift-member").set_index("user")["source"]
    match = scanned.of("access_keys", "drift-member").groupby("user")["match"].agg(sorted)
    assert source["drift-user-created"] == "live_only"
    assert source["drift-user-deleted"] == "report_only"
    assert source["drift-unchanged"] == "both"
    assert match["drift-key-created"] == ["live_only", "matched"]
    assert match["drift-key-deleted"] == ["matched", "report_only"]
    assert match["drift-key-replaced"] == ["live_only", "report_only"]
    assert match["drift-twins-differ"] == ["ambiguous", "ambiguous"]
