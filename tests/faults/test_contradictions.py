"""Well-formed answers that contradict each other, and credentials that only one answer shows.

``fault`` numbers are rows of the fault matrix, ``source`` numbers those of the rows with an A; both
are listed in tests/README.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from orgscan.collect import collectors
from orgscan.errors import ExitCode
from orgscan.models import FIRST_KINDS, ROOT_USER, Coverage, Kind
from orgscan.pipeline.verify import verify
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.rundir import EVIDENCE
from orgscan.simulator import Fault, Simulator
from orgscan.simulator.faults import Error
from orgscan.simulator.people import Ages, account, guarded_root
from orgscan.simulator.world import CENTRAL_ROOT, Mfa
from tests.kit import faults
from tests.kit.clocks import HurriedClock
from tests.kit.elements import Mutation
from tests.kit.faults import MutateElement
from tests.kit.scans import (
    NOW,
    Case,
    Scanned,
    Struck,
    assert_alone,
    assert_same_tables,
    assert_sound,
    finish,
    resume,
    scan,
    strike,
)
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from orgscan.simulator import World
    from orgscan.simulator.faults import Effect
    from orgscan.simulator.world import Account

STRUCK = "tidy-staging"
DENIED = Error("AccessDenied", 403)
ROOT_CONTROLS = (
    "root-access-key",
    "root-mfa",
    "root-hardware-mfa",
    "root-usage",
    "root-signing-certificate",
)
MORE_ACTIONS = {
    "iam:GetAccessKeyLastUsed",
    "iam:GetLoginProfile",
    "iam:ListMFADevices",
    "iam:ListSSHPublicKeys",
    "iam:ListServiceSpecificCredentials",
    "iam:ListSigningCertificates",
}
"""What an audit role or a run of orgscan 0.1.0 knows nothing of; written out on purpose."""


def contradictory(name: str) -> Account:
    """One account of the contradictory world."""
    return next(one for one in WORLDS["contradictory"](now=NOW).accounts if one.name == name)


@pytest.fixture(scope="session")
def contradiction(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Scanned]:
    """What a scan of the contradictory world says of the management account and one other."""
    run = tmp_path_factory.mktemp("contradictory") / "run"
    return asyncio.run(scan(WORLDS["contradictory"](now=NOW), run)).alone


CASES: dict[str, Case] = {}
"""Accounts of one organization, each with faults of its own; filled beside the tests."""


@pytest.fixture(scope="session")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Struck:
    return strike(WORLDS["contradictory"](now=NOW), CASES, tmp_path_factory.mktemp("cases"))


def tidy(name: str = STRUCK) -> Account:
    """An account of the small world: two programs, each with a key, and no failure."""
    return next(one for one in WORLDS["small"](now=NOW).accounts if one.name == name)


def only(*accounts: Account, partition: str = "aws") -> World:
    """The management account of the contradictory world, and these."""
    world = WORLDS["contradictory"](now=NOW)
    return replace(world, accounts=(world.accounts[0], *accounts), partition=partition, faults=())


def fleet(**more: int) -> World:
    """Four accounts of six users, several of which fail controls."""
    return replace(WORLDS["uniform"](accounts=4, users=6, now=NOW), **more)  # type: ignore[arg-type]


def verdicts(scanned: Scanned, name: str, user: str | None = ROOT_USER) -> dict[str, str]:
    """Status by control of one user; of the account itself with None."""
    found = scanned.of("findings", name)
    rows = found[found["user"].isna() if user is None else found["user"] == user]
    assert not rows["control_id"].duplicated().any()
    return dict(zip(rows["control_id"], rows["status"], strict=True))


def failing(scanned: Scanned, name: str) -> set[tuple[str, str, str]]:
    """Control, user and status of all that neither passes nor is not applicable."""
    found = scanned.of("findings", name)
    found = found[~found["status"].isin(["PASS", "NOT_APPLICABLE"])]
    return set(zip(found["control_id"], found["user"].fillna(""), found["status"], strict=True))


def existing(scanned: Scanned, name: str) -> set[str]:
    """The principals of the account that exist."""
    rows = scanned.of("credentials", name)
    return set(rows["user"][rows["exists"]])


def assert_no_better(scanned: Scanned, calm: Scanned, name: str) -> None:
    """No principal vanished, and whatever failed is now either FAIL or UNKNOWN."""
    assert existing(scanned, name) == existing(calm, name)
    failed = {(control, user) for control, user, _ in failing(calm, name)}
    assert failed, "this world would hide what the test looks for"
    assert failed <= {(control, user) for control, user, _ in failing(scanned, name)}


def assert_same_statuses(scanned: Scanned, calm: Scanned) -> None:
    """The same findings with the same verdicts, whatever their reasons."""
    columns = ["finding_id", "account_id", "user", "control_id", "status"]
    found, wanted = (
        one.run.findings[columns].sort_values("finding_id").to_dict("list")
        for one in (scanned, calm)
    )
    assert found == wanted


CASES |= {
    "lagging-user": Case(tidy(), (faults.lagging(1, user="ci-deploy"),)),
    "lagging-account": Case(tidy(), (faults.lagging(1),)),
}


@pytest.mark.parametrize(("name", "lagged"), [("lagging-user", 1), ("lagging-account", 2)])
def test_fault_33_a_user_that_is_not_found_once_is_asked_about_again(
    struck: Struck, name: str, lagged: int
) -> None:
    scanned = struck[name]
    assert_alone(scanned, name, "COMPLETE")
    assert_same_tables(scanned.run, struck.calm(name).run)
    assert scanned.asked("ListAccessKeys", name) == 2 + lagged
    # One listing of the users and one summary for all of them together.
    assert scanned.asked("ListUsers", name) == scanned.asked("GetAccountSummary", name) == 2


FAILING = fleet().accounts[2]
"""Six users, several of whom fail controls."""
KEYED = min(user.name for user in FAILING.all_users() if any(key.active for key in user.keys))
CASES |= {
    name: Case(FAILING, (Fault(effect=faults.UnknownUser(), action="ListAccessKeys", user=user),))
    for name, user in {"unknown-user": KEYED, "unknown-users": ""}.items()
}


@pytest.mark.parametrize("name", ["unknown-user", "unknown-users"])
def test_fault_33_users_that_are_never_found_are_a_gap_and_do_not_vanish(
    struck: Struck, name: str
) -> None:
    scanned = struck[name]
    assert_alone(scanned, name, "PARTIAL", "access_keys", "UserNotFound")
    assert KEYED in scanned.row(name)["reason"]
    assert_no_better(scanned, struck.calm(name), name)
    # Asked at once, and with growing waits five times more.
    tries = [
        call
        for call in scanned.simulator.calls
        if (call.action, call.target) == ("ListAccessKeys", scanned.id_of(name))
        and call.parameters["UserName"] == KEYED
    ]
    assert len(tries) == 6


CASES["hidden-user"] = Case(
    tidy(),
    (
        Fault(effect=faults.NO_SUCH_ENTITY, action="ListAccessKeys", user="ci-deploy"),
        Fault(effect=faults.HideMember("ci-deploy"), action="ListUsers", nth=range(2, 99)),
    ),
)


def test_fault_33_a_listing_alone_proves_no_deletion(struck: Struck) -> None:
    scanned = struck["hidden-user"]
    assert_alone(scanned, "hidden-user", "PARTIAL", "access_keys", "UserNotFound")
    assert "ci-deploy" in existing(scanned, "hidden-user")
    assert verdicts(scanned, "hidden-user", "ci-deploy")


LAGS = {f"new-user-{calls}": calls for calls in (1, 3, 5)}
CASES |= {
    name: Case(contradictory("created-again"), (faults.lagging(calls, user="ines.abara"),))
    for name, calls in LAGS.items()
}


@pytest.mark.parametrize("name", LAGS)
def test_fault_33_a_new_user_that_is_not_visible_yet_is_judged_all_the_same(
    struck: Struck, name: str
) -> None:
    assert_alone(struck[name], name, "COMPLETE")
    assert_same_tables(struck[name].run, struck.calm(name).run)


CASES["lagging-password"] = Case(
    contradictory("created-again"),
    (Fault(effect=faults.NO_SUCH_ENTITY, action="GetLoginProfile", times=2),),
)


def test_fault_33_a_password_that_is_not_found_once_is_not_taken_for_none(struck: Struck) -> None:
    name = "lagging-password"
    assert_alone(struck[name], name, "COMPLETE")
    assert verdicts(struck[name], name, "ines.abara")["console-mfa"] == "FAIL"
    assert struck[name].asked("GetLoginProfile", name) == 3


SHORTENED: dict[str, Effect] = {
    "empty": faults.EmptyList(),
    "without-last-page": faults.DropLastPage(),
}


@pytest.fixture(scope="session")
def shortened(tmp_path_factory: pytest.TempPathFactory) -> Struck:
    """Lists of users in two pages that are short, once or always."""
    cases = {
        f"{name}-{how}": Case(FAILING, (Fault(effect=effect, action="ListUsers", nth=nth),))
        for name, effect in SHORTENED.items()
        for how, nth in {"once": 1, "always": None}.items()
    }
    return strike(fleet(iam_page_size=4), cases, tmp_path_factory.mktemp("shortened"))


@pytest.mark.parametrize("name", SHORTENED)
def test_fault_34_a_list_of_users_that_is_short_once_is_read_again(
    shortened: Struck, name: str
) -> None:
    scanned, name = shortened[f"{name}-once"], f"{name}-once"
    assert_alone(scanned, name, "COMPLETE")
    assert_same_tables(scanned.run, shortened.calm(name).run)
    assert scanned.asked("GetAccountSummary", name) == 2


@pytest.mark.parametrize("name", SHORTENED)
def test_fault_34_a_list_of_users_that_stays_short_is_a_gap(shortened: Struck, name: str) -> None:
    scanned, name = shortened[f"{name}-always"], f"{name}-always"
    assert_alone(scanned, name, "PARTIAL", "users", "UsersNotConfirmed")
    assert_no_better(scanned, shortened.calm(name), name)
    assert scanned.row(name)["users"] == 6
    # Both sources once more, and no further.
    assert scanned.asked("ListUsers", name) == 2
    assert scanned.asked("GetAccountSummary", name) == 2


SHORT_AND_DENIED = {
    "short-without-summary": ("GetAccountSummary", "users,account_summary"),
    "short-without-report": ("GetCredentialReport", "credential_report,users"),
}
CASES |= {
    name: Case(
        tidy(),
        (
            Fault(effect=faults.HideMember("ci-deploy"), action="ListUsers"),
            Fault(effect=DENIED, action=denied),
        ),
    )
    for name, (denied, _missing) in SHORT_AND_DENIED.items()
}


@pytest.mark.parametrize("name", SHORT_AND_DENIED)
def test_fault_34_report_or_summary_alone_show_that_users_are_missing(
    struck: Struck, name: str
) -> None:
    scanned = struck[name]
    denied, missing = SHORT_AND_DENIED[name]
    assert_sound(scanned)
    coverage, lacking, _ = scanned.state(name)
    assert (coverage, lacking) == ("PARTIAL", missing)
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS
    assert set(verdicts(scanned, name).values()) == {"UNKNOWN"}
    if denied == "GetAccountSummary":
        assert "ci-deploy" in existing(scanned, name)


def test_fault_34_the_summary_counts_a_user_that_no_source_names(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("summary-more-users")
    assert_alone(scanned, "summary-more-users", "PARTIAL", "users", "UsersNotConfirmed")
    assert "ci-deploy" in existing(scanned, "summary-more-users")


CASES["deleted-user"] = Case(
    tidy(), (Fault(effect=faults.DeleteUser("ci-deploy"), action="ListUsers"),)
)


def test_fault_34_users_that_were_really_deleted_are_no_gap(struck: Struck) -> None:
    scanned, name = struck["deleted-user"], "deleted-user"
    assert_alone(scanned, name, "COMPLETE")
    assert existing(scanned, name) == {ROOT_USER, "backup-agent"}
    assert verdicts(scanned, name, "ci-deploy") == {}
    # The row of what the report still shows is kept.
    assert "ci-deploy" in set(scanned.of("credentials", name)["user"])


PAGED = {
    "ListUsers": "users,access_keys",
    "ListAccessKeys": "access_keys",
    "ListVirtualMFADevices": "virtual_mfa_devices",
    "ListServiceSpecificCredentials": "service_specific_credentials",
}


MARKED = ["marker-not-truncated", "marker-without-flag"]


@pytest.fixture(scope="session")
def paged(tmp_path_factory: pytest.TempPathFactory) -> Struck:
    """Pages of one entry each, whose flags and markers contradict each other."""
    cases = {
        f"{action}-{name}": Case(FAILING, (Fault(effect=faults.PAGING_EDITS[name], action=action),))
        for action in PAGED
        for name in (*MARKED, "neither")
    }
    return strike(fleet(iam_page_size=1), cases, tmp_path_factory.mktemp("paged"))


@pytest.mark.parametrize("name", MARKED)
@pytest.mark.parametrize("action", PAGED)
def test_fault_35_a_marker_leads_to_the_next_page_in_a_whole_scan(
    paged: Struck, action: str, name: str
) -> None:
    case = f"{action}-{name}"
    assert_alone(paged[case], case, "COMPLETE")
    assert_same_tables(paged[case].run, paged.calm(case).run)


@pytest.mark.parametrize("action", PAGED)
def test_fault_35_a_page_with_neither_flag_nor_marker_is_a_gap(paged: Struck, action: str) -> None:
    case = f"{action}-neither"
    assert_alone(paged[case], case, "PARTIAL", PAGED[action], "MalformedAnswer")
    assert existing(paged[case], case) == {
        ROOT_USER,
        *(user.name for user in FAILING.all_users()),
    }


def test_fault_36_a_user_created_again_is_not_judged_by_the_former_one(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("created-again")
    assert_alone(scanned, "created-again", "COMPLETE")
    rows = scanned.of("credentials", "created-again").query("user == 'ines.abara'")
    former, present = rows.sort_values("user_created_at").to_dict("records")
    assert (former["source"], bool(former["exists"])) == ("report_only", False)
    assert (present["source"], bool(present["exists"])) == ("live_only", True)
    assert present["user_id"].startswith("AIDA")
    assert former["user_id"] != present["user_id"]
    # The former user had MFA, the present one has none; its key is not the former one's either.
    assert verdicts(scanned, "created-again", "ines.abara")["console-mfa"] == "FAIL"
    keys = scanned.of("access_keys", "created-again").set_index("match")
    assert sorted(keys.index) == ["live_only", "report_only"]
    judged = scanned.of("findings", "created-again")["access_key_id"].dropna()
    assert set(judged) == {keys["access_key_id"]["live_only"]}


async def test_fault_36_a_renamed_user_is_the_same_principal_with_the_same_key(
    contradiction: Callable[[str], Scanned], tmp_path: Path
) -> None:
    changed = contradictory("renamed")
    before = replace(
        changed,
        users=tuple(
            replace(user, name=user.first_name, name_in_report="") for user in changed.users
        ),
    )
    calm = await scan(only(before), tmp_path / "calm")
    scanned = contradiction("renamed")
    assert_alone(scanned, "renamed", "COMPLETE")
    assert existing(scanned, "renamed") == {ROOT_USER, "hana.sato", "monitoring"}
    assert verdicts(scanned, "renamed", "hana.kimura") == {}
    assert verdicts(scanned, "renamed", "hana.sato") == verdicts(calm, "renamed", "hana.kimura")
    for table, column in (("credentials", "user_id"), ("access_keys", "access_key_id")):
        found, wanted = (set(one.of(table, "renamed")[column].dropna()) for one in (scanned, calm))
        assert found == wanted, table
    # One user and one key were asked about directly.
    assert scanned.asked("GetLoginProfile", "renamed") == 1
    assert scanned.asked("GetAccessKeyLastUsed", "renamed") == 1


AGAINST_THE_SUMMARY = {
    "summary-mfa-off": {"root-mfa": "FAIL", "root-hardware-mfa": "FAIL"},
    "summary-mfa-on": {"root-mfa": "UNKNOWN", "root-hardware-mfa": "UNKNOWN"},
    "summary-password": {
        "root-mfa": "FAIL",
        "root-hardware-mfa": "FAIL",
        "root-usage": "UNKNOWN",
    },
    "summary-no-password": dict.fromkeys(["root-mfa", "root-hardware-mfa"], "UNKNOWN"),
    "summary-keys": {"root-access-key": "FAIL", "root-usage": "UNKNOWN"},
    "summary-no-keys": {"root-access-key": "UNKNOWN", "root-usage": "UNKNOWN"},
    "summary-certificates": {"root-signing-certificate": "FAIL"},
    "summary-no-certificates": {"root-signing-certificate": "UNKNOWN"},
}
"""What must come of each contradiction; nothing else may be better than UNKNOWN either."""


@pytest.mark.parametrize("name", AGAINST_THE_SUMMARY)
def test_fault_37_the_summary_contradicts_the_report_about_root(
    contradiction: Callable[[str], Scanned], name: str
) -> None:
    scanned = contradiction(name)
    assert_sound(scanned)
    assert scanned.state(name) == ("COMPLETE", "", "")
    found = verdicts(scanned, name)
    assert found.keys() == set(ROOT_CONTROLS)
    assert {**found, **AGAINST_THE_SUMMARY[name]} == found
    assert all(verdicts(scanned, name, None)[one] == "PASS" for one in ("password-length",))
    unknown = "UNKNOWN" in found.values()
    assert scanned.run.exit_code() == (ExitCode.COVERAGE_GAPS if unknown else ExitCode.OK)
    reasons = scanned.of("findings", name).query("status == 'UNKNOWN'")["reason"]
    # Both values with both times.
    assert reasons.str.contains("credential report of 2026-11-03 12:00 UTC").all()
    assert reasons.str.contains("account summary of 2026-11-03 12:00 UTC").all()


def test_fault_37_a_summary_that_lacks_what_verdicts_rest_on_is_a_gap(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("summary-incomplete")
    assert_alone(scanned, "summary-incomplete", "PARTIAL", "account_summary", "MalformedAnswer")
    assert set(verdicts(scanned, "summary-incomplete").values()) == {"UNKNOWN"}


AGES = {
    "from-the-future": (timedelta(hours=-1), "ReportFromFuture"),
    "just-beyond-the-lifetime": (timedelta(hours=4, minutes=6), "ReportTooOld"),
    "3-days-old": (timedelta(days=3), "ReportTooOld"),
    "400-days-old": (timedelta(days=400), "ReportTooOld"),
}


def of_age(age: timedelta, **which: int) -> tuple[Fault, ...]:
    return (Fault(effect=faults.ShiftReport(age), action="GetCredentialReport", **which),)  # type: ignore[arg-type]


CASES |= {name: Case(FAILING, of_age(age)) for name, (age, _code) in AGES.items()}


@pytest.mark.parametrize("name", AGES)
def test_fault_38_a_report_of_an_impossible_age_is_a_gap(struck: Struck, name: str) -> None:
    scanned = struck[name]
    assert_alone(scanned, name, "PARTIAL", "credential_report", AGES[name][1])
    # Only the root user is unknown without a report; its verdicts are there.
    assert existing(scanned, name) | {ROOT_USER} == existing(struck.calm(name), name)
    assert verdicts(scanned, name) == dict.fromkeys(ROOT_CONTROLS, "UNKNOWN")
    users = scanned.of("findings", name)
    assert set(users[users["control_id"] == "console-mfa"]["status"]) == {"UNKNOWN"}
    assert scanned.asked("GetCredentialReport", name) == 2


WITHIN = {f"{minutes}-minutes-old": minutes for minutes in (-4, 3 * 60 + 59, 4 * 60 + 4)}
# Nothing in this account is younger than a day, so its report may be hours old.
CASES |= {
    name: Case(tidy("tidy-production"), of_age(timedelta(minutes=minutes)))
    for name, minutes in WITHIN.items()
}


@pytest.mark.parametrize("name", WITHIN)
def test_fault_38_a_report_within_the_margin_is_accepted(struck: Struck, name: str) -> None:
    assert_alone(struck[name], name, "COMPLETE")
    assert struck[name].asked("GetCredentialReport", name) == 1


CASES["old-once"] = Case(tidy(), of_age(timedelta(days=3), nth=1))


def test_fault_38_an_impossible_age_that_passes_is_asked_for_once_more(struck: Struck) -> None:
    assert_alone(struck["old-once"], "old-once", "COMPLETE")
    assert_same_tables(struck["old-once"].run, struck.calm("old-once").run)


@pytest.mark.parametrize("days", [-3, 3])
async def test_fault_38_the_local_clock_does_not_date_a_report(
    small: World, tmp_path: Path, days: int
) -> None:
    clock = HurriedClock(NOW + timedelta(days=days))
    scanned = await scan(small, tmp_path / "run", clock=clock)
    assert_sound(scanned)
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}


async def test_source_04_ordinary_changes_end_without_unknown(tmp_path: Path) -> None:
    """Created, deleted, created again, renamed; keys created, deleted, replaced and toggled."""
    world = WORLDS["changing"](now=NOW, accounts=60, users=10, share=0.05)
    scanned = await scan(world, tmp_path / "run")
    assert_sound(scanned)
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}
    assert "UNKNOWN" not in set(scanned.run.findings["status"])
    assert scanned.run.exit_code() == ExitCode.OK
    # The verdicts are those of a report made at this moment: nothing is better than the truth.
    truth = replace(world, accounts=tuple(replace(one, report_age=None) for one in world.accounts))
    assert_same_statuses(scanned, await scan(truth, tmp_path / "truth"))


async def test_source_04_an_organization_without_changes_is_asked_nothing_more(
    tmp_path: Path,
) -> None:
    world = WORLDS["changing"](now=NOW, accounts=20, users=10, share=0.0)
    scanned = await scan(world, tmp_path / "run")
    assert scanned.run.exit_code() == ExitCode.OK
    per_account = {
        "GetAccountSummary": 1,
        "GetCredentialReport": 1,
        "ListUsers": 1,
        "ListVirtualMFADevices": 1,
        "ListAccessKeys": 10,
        # Without a second source it is listed twice.
        "ListServiceSpecificCredentials": 2,
        "GetLoginProfile": 0,
        "ListMFADevices": 0,
        "GetAccessKeyLastUsed": 0,
        "ListSigningCertificates": 0,
    }
    for action, times in per_account.items():
        assert scanned.simulator.count(action=action) == 20 * times, action


async def test_source_04_changes_cost_few_further_calls(tmp_path: Path) -> None:
    calls = []
    for share in (0.0, 0.01):
        world = WORLDS["changing"](now=NOW, accounts=100, users=10, share=share)
        scanned = await scan(world, tmp_path / f"run-{share}")
        assert scanned.run.exit_code() == ExitCode.OK
        calls.append(scanned.simulator.count(service="iam"))
    without, with_changes = calls
    # About ten of a thousand users and as many keys changed: at most one call an account more.
    assert 0 < with_changes - without <= 100


async def test_source_04_every_way_to_drift_ends_without_unknown(tmp_path: Path) -> None:
    world = WORLDS["drift"](now=NOW)
    scanned = await scan(world, tmp_path / "run")
    assert_sound(scanned)
    assert scanned.state("drift-member") == ("COMPLETE", "", "")
    assert not {status for _, _, status in failing(scanned, "drift-member")} & {"UNKNOWN"}


UNASKED = {
    "GetLoginProfile": {"console-mfa", "unused-password", "console-user"},
    "ListMFADevices": {"console-mfa"},
    "ListSigningCertificates": {"signing-certificate"},
    "GetAccessKeyLastUsed": {"unused-access-key", "never-used-access-key"},
}
CASES |= {
    f"without-{action}": Case(contradictory("renamed"), (Fault(effect=DENIED, action=action),))
    for action in UNASKED
}


@pytest.mark.parametrize("action", UNASKED)
def test_source_04_what_may_not_be_asked_directly_is_unknown_and_a_gap(
    struck: Struck, action: str
) -> None:
    scanned, name = struck[f"without-{action}"], f"without-{action}"
    assert_alone(scanned, name, "PARTIAL", "user_details", "AccessDenied")
    assert f"iam:{action}" in scanned.row(name)["reason"]
    found = scanned.of("findings", name).query("user == 'hana.sato' and status == 'UNKNOWN'")
    assert UNASKED[action] <= set(found["control_id"])
    # Nobody else is touched.
    assert "UNKNOWN" not in verdicts(scanned, name, "monitoring").values()


def test_source_08_an_unknown_status_is_unknown_and_an_expired_key_cannot_be_used(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("key-statuses")
    assert_sound(scanned)
    assert scanned.state("key-statuses") == ("COMPLETE", "", "")
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS
    strange = verdicts(scanned, "key-statuses", "unheard-of")
    for control in (
        "unused-access-key",
        "access-key-rotation",
        "single-active-access-key",
        "never-used-access-key",
        "inactive-access-key",
        "user-without-credentials",
    ):
        assert strange[control] == "UNKNOWN", control
    expired = verdicts(scanned, "key-statuses", "expired")
    assert expired["access-key-rotation"] == expired["unused-access-key"] == "NOT_APPLICABLE"
    assert expired["user-without-credentials"] == "FAIL"
    assert "UNKNOWN" not in expired.values()


KEY, USER = "ListAccessKeysResult/AccessKeyMetadata/member", "ListUsersResult/Users/member[2]"
LOST = [Mutation.DROPPED, Mutation.EMPTIED]


def lacking(action: str, path: str, elements: Iterable[str]) -> dict[str, Case]:
    """Accounts whose answers lack an element, by the element and how it is lost."""
    return {
        f"{action}-{element}-{how.name}": Case(
            FAILING, (Fault(effect=MutateElement(f"{path}/{element}", how), action=action),)
        )
        for element in elements
        for how in LOST
    }


CASES |= lacking("ListAccessKeys", KEY, ["AccessKeyId", "Status", "CreateDate"])
CASES |= lacking("ListUsers", USER, ["UserName", "UserId", "Arn", "CreateDate"])


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("element", ["AccessKeyId", "Status", "CreateDate"])
def test_source_08_a_key_that_lacks_a_field_is_malformed(
    struck: Struck, element: str, how: Mutation
) -> None:
    name = f"ListAccessKeys-{element}-{how.name}"
    assert_alone(struck[name], name, "PARTIAL", "access_keys", "MalformedAnswer")
    assert_no_better(struck[name], struck.calm(name), name)


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("element", ["UserName", "UserId", "Arn", "CreateDate"])
def test_source_08_a_user_that_lacks_a_field_is_malformed(
    struck: Struck, element: str, how: Mutation
) -> None:
    name = f"ListUsers-{element}-{how.name}"
    assert_alone(struck[name], name, "PARTIAL", "users,access_keys", "MalformedAnswer")
    assert_no_better(struck[name], struck.calm(name), name)


def emptied(nth: int | None = None) -> Fault:
    """The keys of ci-deploy are not listed."""
    return Fault(effect=faults.EmptyList(), action="ListAccessKeys", user="ci-deploy", nth=nth)


CASES |= {
    "key-missing-once": Case(tidy(), (emptied(nth=1),)),
    "key-deleted": Case(tidy(), (emptied(),)),
    "key-wavering": Case(tidy(), (emptied(nth=1), emptied(nth=3))),
}


def test_source_08_a_key_missing_once_is_found_by_the_next_listings(struck: Struck) -> None:
    scanned, name = struck["key-missing-once"], "key-missing-once"
    assert_alone(scanned, name, "COMPLETE")
    assert_same_tables(scanned.run, struck.calm(name).run)
    # Missing, there, and there again; and once for the other user.
    assert scanned.asked("ListAccessKeys", name) == 3 + 1


def test_source_08_a_key_missing_from_two_listings_was_deleted(struck: Struck) -> None:
    scanned, name = struck["key-deleted"], "key-deleted"
    assert_alone(scanned, name, "COMPLETE")
    assert scanned.asked("ListAccessKeys", name) == 2 + 1
    (key,) = scanned.of("access_keys", name).query("user == 'ci-deploy'").to_dict("records")
    assert (key["match"], bool(key["exists"])) == ("report_only", False)
    found = verdicts(scanned, name, "ci-deploy")
    assert "access-key-rotation" not in found
    # The user exists and has nothing left.
    assert found["user-without-credentials"] == "FAIL"


def test_source_08_listings_of_keys_that_never_agree_are_a_gap(struck: Struck) -> None:
    scanned, name = struck["key-wavering"], "key-wavering"
    coverage, missing, _ = scanned.state(name)
    assert (coverage, missing) == ("PARTIAL", "access_keys")
    assert "ci-deploy" in scanned.row(name)["reason"]
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS
    # Judged by the report's slot.
    assert "access-key-rotation" in verdicts(scanned, name, "ci-deploy")


def test_source_10_credentials_of_root_that_no_column_describes_are_unknown(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("additional-of-root")
    assert_sound(scanned)
    assert scanned.state("additional-of-root") == ("COMPLETE", "", "")
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS
    found = verdicts(scanned, "additional-of-root")
    for control in ("root-access-key", "root-mfa", "root-hardware-mfa", "root-signing-certificate"):
        assert found[control] == "UNKNOWN", control
    rows = scanned.of("findings", "additional-of-root")
    unknown = rows[rows["status"] == "UNKNOWN"]
    assert unknown["reason"].str.contains("additional credentials of root").all()


def test_source_10_a_user_with_credentials_no_column_describes_is_not_called_empty(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("additional-of-a-user")
    assert scanned.state("additional-of-a-user") == ("COMPLETE", "", "")
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS
    bare = verdicts(scanned, "additional-of-a-user", "bare")
    assert bare["user-without-credentials"] == bare["signing-certificate"] == "UNKNOWN"
    other = verdicts(scanned, "additional-of-a-user", "ci-deploy")
    assert "UNKNOWN" not in other.values()


def test_source_10_root_s_own_device_is_known_by_its_serial_number(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("device-without-user")
    assert_alone(scanned, "device-without-user", "COMPLETE")
    found = verdicts(scanned, "device-without-user")
    assert (found["root-mfa"], found["root-hardware-mfa"]) == ("PASS", "FAIL")


AGO = Ages(NOW)
CASES["device-of-nobody"] = Case(
    account(
        0,
        "device-of-nobody",
        "Root",
        AGO(900),
        root=guarded_root(AGO, Mfa.HARDWARE),
        users=(AGO.human("mei.tanaka", 300, 3),),
    ),
    (Fault(effect=faults.DEVICE_WITHOUT_USER, action="ListVirtualMFADevices"),),
)


def test_source_10_an_assigned_device_of_nobody_may_be_root_s(struck: Struck) -> None:
    scanned, name = struck["device-of-nobody"], "device-of-nobody"
    assert verdicts(struck.calm(name), name)["root-hardware-mfa"] == "PASS"
    assert scanned.state(name) == ("COMPLETE", "", "")
    found = verdicts(scanned, name)
    assert (found["root-mfa"], found["root-hardware-mfa"]) == ("PASS", "UNKNOWN")
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS


SERVICE_CREDENTIALS = {
    "bedrock-for-ever": "FAIL",
    "bedrock-100-years": "FAIL",
    "bedrock-30-days": "PASS",
    "bedrock-expired": "NOT_APPLICABLE",
    "bedrock-inactive": "NOT_APPLICABLE",
    "codecommit-old": "FAIL",
    "codecommit-young": "PASS",
    "codecommit-inactive": "NOT_APPLICABLE",
    "keyspaces-old": "FAIL",
    "logs-for-ever": "FAIL",
}


def test_source_11_service_specific_credentials_are_judged_and_count_as_credentials(
    contradiction: Callable[[str], Scanned],
) -> None:
    name = "service-credentials"
    scanned = contradiction(name)
    assert_alone(scanned, name, "COMPLETE")
    table = scanned.of("service_credentials", name)
    assert set(table["user"]) == SERVICE_CREDENTIALS.keys()
    assert len(table) == len(SERVICE_CREDENTIALS)
    for user, status in SERVICE_CREDENTIALS.items():
        found = verdicts(scanned, name, user)
        assert found["service-specific-credential"] == status, user
        unusable = status == "NOT_APPLICABLE"
        assert found["user-without-credentials"] == ("FAIL" if unusable else "PASS"), user
    assert scanned.asked("ListServiceSpecificCredentials", name) == 2


CASES["credential-missing-once"] = Case(
    contradictory("service-credentials"),
    (
        Fault(
            effect=faults.HideMember("bedrock-for-ever"),
            action="ListServiceSpecificCredentials",
            nth=1,
        ),
    ),
)
CASES["ssh-key-missing-once"] = Case(
    contradictory("ssh-only"),
    (Fault(effect=faults.EmptyList(), action="ListSSHPublicKeys", nth=1),),
)


def test_source_11_a_credential_missing_once_is_found_by_the_next_listings(
    struck: Struck,
) -> None:
    scanned, name = struck["credential-missing-once"], "credential-missing-once"
    assert_alone(scanned, name, "COMPLETE")
    assert_same_tables(scanned.run, struck.calm(name).run)
    assert scanned.asked("ListServiceSpecificCredentials", name) == 3


def test_source_11_ssh_keys_are_asked_for_where_nothing_else_is_left(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("ssh-only")
    assert_alone(scanned, "ssh-only", "COMPLETE")
    found = verdicts(scanned, "ssh-only", "git-mirror")
    assert found["user-without-credentials"] == "PASS"
    # No other source knows them, so they are listed twice.
    assert scanned.asked("ListSSHPublicKeys", "ssh-only") == 2
    other = contradiction("summary-more-users")
    for one in other.accounts:
        assert other.asked("ListSSHPublicKeys", one.name) == 0


def test_source_11_ssh_keys_missing_once_are_found_by_the_next_listings(struck: Struck) -> None:
    name = "ssh-key-missing-once"
    assert_alone(struck[name], name, "COMPLETE")
    assert_same_tables(struck[name].run, struck.calm(name).run)


def test_source_11_a_service_that_is_not_supported_has_no_credentials(
    contradiction: Callable[[str], Scanned],
) -> None:
    scanned = contradiction("no-service-credentials")
    assert_alone(scanned, "no-service-credentials", "COMPLETE")
    assert scanned.of("service_credentials", "no-service-credentials").empty


UNREAD = {
    "unread-service-credentials": ("service-credentials", "service_specific_credentials"),
    "unread-ssh-keys": ("ssh-only", "ssh_public_keys"),
}
CASES |= {
    name: Case(contradictory(account), (Fault(effect=DENIED, action=action),))
    for (name, (account, _)), action in zip(
        UNREAD.items(), ["ListServiceSpecificCredentials", "ListSSHPublicKeys"], strict=True
    )
}


@pytest.mark.parametrize("name", UNREAD)
def test_source_11_a_user_is_not_called_empty_where_its_credentials_are_unread(
    struck: Struck, name: str
) -> None:
    account, missing = UNREAD[name]
    assert_alone(struck[name], name, "PARTIAL", missing, "AccessDenied")
    for user in contradictory(account).users:
        found = verdicts(struck[name], name, user.name)
        assert found["user-without-credentials"] == "UNKNOWN", user.name


def china(*, root_row: bool = False, summary: dict[str, int] | None = None) -> World:
    """The small world in China, where reports have no root row and root has no credentials."""
    world = WORLDS["partition"](name="aws-cn", now=NOW)
    accounts = [
        replace(
            one,
            style=replace(one.style, root_row=root_row),
            root=one.root if root_row else CENTRAL_ROOT,
            summary=summary or {},
        )
        for one in world.accounts
    ]
    return replace(world, accounts=tuple(accounts))


async def test_source_12_in_china_a_report_without_root_is_no_gap(tmp_path: Path) -> None:
    """Two of the accounts have no users: their report is a header only."""
    scanned = await scan(china(), tmp_path / "run")
    assert_sound(scanned)
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}
    assert scanned.run.exit_code() == ExitCode.OK
    for one in scanned.simulator.world.accounts:
        found = verdicts(scanned, one.name)
        assert found == dict.fromkeys(ROOT_CONTROLS, "NOT_APPLICABLE"), one.name
    rows = scanned.run.findings
    reasons = rows[rows["control_id"].isin(ROOT_CONTROLS)]["reason"]
    assert reasons.str.contains("China").all()


async def test_source_12_in_china_a_summary_that_counts_root_keys_still_fails(
    tmp_path: Path,
) -> None:
    scanned = await scan(china(summary={"AccountAccessKeysPresent": 1}), tmp_path / "run")
    for one in scanned.simulator.world.accounts:
        assert verdicts(scanned, one.name)["root-access-key"] == "FAIL", one.name


async def test_source_12_in_china_a_summary_that_counts_a_root_password_leaves_it_unknown(
    tmp_path: Path,
) -> None:
    scanned = await scan(china(summary={"AccountPasswordPresent": 1}), tmp_path / "run")
    assert set(scanned.run.accounts["coverage"]) == {"COMPLETE"}
    assert not set(verdicts(scanned, STRUCK).values()) & {"PASS", "NOT_APPLICABLE"}
    assert scanned.run.exit_code() == ExitCode.COVERAGE_GAPS


async def test_source_12_in_china_a_root_row_that_is_there_is_judged(tmp_path: Path) -> None:
    scanned = await scan(china(root_row=True), tmp_path / "run")
    assert verdicts(scanned, STRUCK)["root-mfa"] == "PASS"
    assert scanned.run.exit_code() == ExitCode.OK


async def test_source_12_in_china_a_report_without_its_users_is_a_gap(tmp_path: Path) -> None:
    world = china()
    struck = next(one.id for one in world.accounts if one.name == STRUCK)
    cut = Fault(
        effect=faults.REPORT_EDITS["header-only"], action="GetCredentialReport", account=struck
    )
    scanned = await scan(world, tmp_path / "run", cut)
    assert_alone(scanned, STRUCK, "PARTIAL", "credential_report", "ReportIncomplete")
    assert {"ci-deploy", "backup-agent"} == existing(scanned, STRUCK)
    assert verdicts(scanned, STRUCK, "ci-deploy")["console-mfa"] == "UNKNOWN"


async def test_source_12_in_china_a_missing_summary_leaves_root_unknown(tmp_path: Path) -> None:
    world = china()
    struck = next(one.id for one in world.accounts if one.name == STRUCK)
    denied = Fault(effect=DENIED, action="GetAccountSummary", account=struck)
    scanned = await scan(world, tmp_path / "run", denied)
    assert_alone(scanned, STRUCK, "PARTIAL", "account_summary", "AccessDenied")
    assert verdicts(scanned, STRUCK) == dict.fromkeys(ROOT_CONTROLS, "UNKNOWN")


def used_in_2099(content: bytes) -> bytes:
    return re.sub(
        rb"(?m)^(backup-agent(?:,[^,]*){9},)[^,]*", rb"\g<1>2099-01-01T00:00:00Z", content
    )


CASES["used-in-2099"] = Case(
    tidy(), (Fault(effect=faults.EditReport(used_in_2099), action="GetCredentialReport"),)
)


def test_fault_38_a_time_later_than_the_report_itself_is_a_gap(struck: Struck) -> None:
    assert_alone(
        struck["used-in-2099"],
        "used-in-2099",
        "PARTIAL",
        "credential_report",
        "ReportTimeImpossible",
    )


async def test_source_12_elsewhere_a_report_without_root_stays_a_gap(tmp_path: Path) -> None:
    world = china()
    elsewhere = replace(world, partition="aws-us-gov")
    scanned = await scan(elsewhere, tmp_path / "run")
    assert set(scanned.run.accounts["coverage"]) == {"PARTIAL"}
    assert verdicts(scanned, STRUCK) == dict.fromkeys(ROOT_CONTROLS, "UNKNOWN")


CERTIFICATES: dict[str, tuple[str, dict[str, int | None]]] = {
    "both": ("root-certificate", {}),
    "report alone": ("root-certificate", {"AccountSigningCertificatesPresent": None}),
    "summary alone": ("summary-certificates", {"AccountSigningCertificatesPresent": 1}),
}


CASES |= {
    f"certificate-{source}": Case(replace(contradictory(name), summary=summary))
    for source, (name, summary) in CERTIFICATES.items()
}


@pytest.mark.parametrize("source", CERTIFICATES)
def test_source_13_a_signing_certificate_of_root_fails_by_either_source(
    struck: Struck, source: str
) -> None:
    name = f"certificate-{source}"
    assert struck[name].state(name) == ("COMPLETE", "", "")
    rows = struck[name].of("findings", name).set_index("control_id")
    assert rows["status"]["root-signing-certificate"] == "FAIL"
    assert rows["severity"]["root-signing-certificate"] == "high"


CASES["no-summary"] = Case(tidy(), (Fault(effect=DENIED, action="GetAccountSummary"),))


def test_source_13_without_a_certificate_it_passes_and_without_the_summary_it_is_unknown(
    struck: Struck,
) -> None:
    control = "root-signing-certificate"
    assert verdicts(struck.calm("no-summary"), "no-summary")[control] == "PASS"
    assert verdicts(struck["no-summary"], "no-summary")[control] == "UNKNOWN"


def with_older_roles(one: Account) -> Account:
    """Its audit roles are those of orgscan 0.1.0, which allow none of the new actions."""
    denied = frozenset(MORE_ACTIONS)
    return replace(one, roles=tuple(replace(role, denied_actions=denied) for role in one.roles))


def test_older_actions_are_all_but_those_written_out_here() -> None:
    assert set(collectors.ACTIONS) >= MORE_ACTIONS
    assert len(set(collectors.ACTIONS) - MORE_ACTIONS) == 7


OLDER = {
    "root-certificate": "service_specific_credentials",
    "key-statuses": "service_specific_credentials,ssh_public_keys",
    "created-again": "user_details,service_specific_credentials",
    "ssh-only": "service_specific_credentials,ssh_public_keys",
}


@pytest.fixture(scope="session")
def with_and_without(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scanned, Scanned]:
    """The same accounts with the present audit roles and with those of orgscan 0.1.0."""
    accounts = [contradictory(name) for name in OLDER]
    parent = tmp_path_factory.mktemp("older")
    worlds = {"calm": only(*accounts), "older": only(*map(with_older_roles, accounts))}
    calm, older = (asyncio.run(scan(world, parent / name)) for name, world in worlds.items())
    return calm, older


@pytest.mark.parametrize("name", OLDER)
def test_older_roles_leave_exactly_the_kinds_that_were_needed(
    with_and_without: tuple[Scanned, Scanned], name: str
) -> None:
    calm, scanned = (one.alone(name) for one in with_and_without)
    assert_alone(scanned, name, "PARTIAL", OLDER[name], "AccessDenied")
    before, after = (
        one.of("findings", name).set_index("finding_id")["status"] for one in (calm, scanned)
    )
    assert set(before.index) - set(after.index) == set()
    changed = after[before != after]
    assert set(changed) <= {"UNKNOWN"}
    # Everything that needs no new action is judged as ever.
    assert verdicts(scanned, name) == verdicts(calm, name)
    assert verdicts(scanned, name, None) == verdicts(calm, name, None)


def as_older(run: Path, older: Path, *, without: Iterable[str] = ()) -> None:
    """Copy a run as orgscan 0.1.0 would have left it: six kinds, no seal, no record of kinds.

    The accounts ``without`` have no outcome yet.
    """
    older.mkdir()
    with EvidenceStore.read(run / EVIDENCE) as source:
        info = replace(source.info, evidence_kinds=FIRST_KINDS, finished_at=None)
        with EvidenceStore.create(older / EVIDENCE, info) as store:
            store.add_accounts(reading.account for reading in source)
            for reading in source:
                outcome = reading.outcome
                if outcome.account_id in without:
                    continue
                gaps = tuple(gap for gap in outcome.gaps if gap.kind in FIRST_KINDS)
                evidence = tuple(one for one in outcome.evidence if one.kind in FIRST_KINDS)
                coverage = Coverage.PARTIAL if gaps else Coverage.COMPLETE
                store.keep(replace(outcome, gaps=gaps, evidence=evidence, coverage=coverage))
    with closing(sqlite3.connect(older / EVIDENCE)) as store, store:
        store.execute("UPDATE run SET info = json_remove(info, '$.evidence_kinds')")
        store.execute("DROP TABLE seal")
        store.execute("ALTER TABLE outcomes DROP COLUMN outcome_sha256")


async def test_older_evidence_is_rendered_with_the_controls_it_was_collected_for(
    tmp_path: Path,
) -> None:
    world = WORLDS["contradictory"](now=NOW)
    await scan(world, tmp_path / "run")
    as_older(tmp_path / "run", tmp_path / "older")
    run = finish(tmp_path / "older")
    manifest = json.loads((tmp_path / "older" / "manifest.json").read_text("utf-8"))
    assert "service-specific-credential" not in manifest["findings"]
    assert "service-specific-credential" not in set(run.findings["control_id"])
    assert run.service_credentials.empty
    assert not set(Kind) - set(FIRST_KINDS) & {
        kind for text in run.accounts["missing"].dropna() for kind in text.split(",")
    }
    # Controls that need no new evidence are evaluated in older runs, too.
    assert "root-signing-certificate" in manifest["findings"]
    # The former rule: without the new kinds a user without password and keys has nothing.
    ssh = run.findings.query("control_id == 'user-without-credentials' and user == 'git-mirror'")
    assert set(ssh["status"]) == {"FAIL"}
    assert not verify(tmp_path / "older").problems


async def test_older_runs_are_resumed_without_asking_for_more(tmp_path: Path) -> None:
    world = fleet()
    world = replace(world, accounts=tuple(map(with_older_roles, world.accounts)))
    done, unread, partial, _ = (one.id for one in world.accounts)
    denied = Fault(effect=DENIED, action="ListUsers", account=partial)
    await scan(world, tmp_path / "run", denied)
    as_older(tmp_path / "run", tmp_path / "older", without=[unread])
    async with Simulator(world) as simulator:
        await resume(simulator, tmp_path / "older", retry_gaps=True)
        asked = {call.action for call in simulator.calls if call.service == "iam"}
        assert simulator.count(service="iam", target=done) == 0
    assert asked == {one.partition(":")[2] for one in set(collectors.ACTIONS) - MORE_ACTIONS}
    run = finish(tmp_path / "older")
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert run.exit_code() == ExitCode.OK
    assert "service-specific-credential" not in run.manifest["findings"]
