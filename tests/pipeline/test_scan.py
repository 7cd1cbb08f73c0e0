"""What a finished run says about simulated organizations."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import openpyxl
import pyarrow.parquet as pq
import pytest

import orgscan
from orgscan.cli import summary
from orgscan.collect import collection
from orgscan.controls.catalogue import CATALOGUE
from orgscan.errors import ExitCode, RunError, RunInterrupted, UsageError
from orgscan.models import Clock, Coverage, Observer, Severity
from orgscan.pipeline.render import render
from orgscan.pipeline.verify import verify
from orgscan.role.policy import declared_actions
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.parquet import metadata as parquet_metadata
from orgscan.runs.run import Run
from orgscan.schema import TABLES
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator
from orgscan.simulator.faults import Error
from tests.kit.observers import StopAfter
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GAPS = {"PARTIAL", "DENIED", "FAILED", "NOT_ATTEMPTED"}


async def test_a_tidy_organization_is_complete_and_nothing_fails(scan: Callable[..., Any]) -> None:
    run = await scan("small")

    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    assert run.exit_code() == ExitCode.OK
    failing = run.findings[run.findings["status"].isin(["FAIL", "UNKNOWN"])]
    assert failing.empty, failing[["control_id", "reason"]].to_string()


async def test_the_demo_shows_every_coverage_and_every_control_failing(
    scan: Callable[..., Any],
) -> None:
    world = WORLDS["demo"]()
    run = await scan(world, exclude_accounts=(world.accounts[-1].id,))

    statuses = run.findings.groupby("control_id")["status"].agg(set)
    assert set(run.accounts["coverage"]) == {
        "COMPLETE", "PARTIAL", "DENIED", "FAILED", "NOT_ACTIVE", "EXCLUDED",
    }  # fmt: skip
    assert all("FAIL" in seen for seen in statuses), statuses
    never_pass = {"inactive-access-key", "signing-certificate"}
    assert {name for name, seen in statuses.items() if "PASS" not in seen} == never_pass
    assert set(statuses.index) == {control.id for control in CATALOGUE}


async def test_what_counts_as_judged_are_the_accounts_that_were_read(
    scan: Callable[..., Any],
) -> None:
    world = WORLDS["demo"]()
    run = await scan(world, exclude_accounts=(world.accounts[-1].id,))

    coverage = run.accounts["coverage"].value_counts()
    judged = int(coverage["COMPLETE"] + coverage["PARTIAL"])
    active = len(run.accounts) - int(coverage["NOT_ACTIVE"])
    assert judged < active - int(coverage["EXCLUDED"])
    scope = f"{judged} of {active} accounts judged"
    assert run.manifest["accounts_judged"] == judged
    assert {one["scope"] for one in run.manifest["frameworks"]} == {scope}
    (line,) = [line for line in summary.lines(run) if "(cis-7.0)" in line]
    assert scope in line
    book = openpyxl.load_workbook(run.workbook, read_only=True)
    for name in ("Cover", "Frameworks"):
        rows = book[name].iter_rows(values_only=True)
        assert any(scope in str(cell) for row in rows for cell in row)
    book.close()


async def test_where_nothing_was_left_out_no_scope_is_shown(scan: Callable[..., Any]) -> None:
    run = await scan("denied")
    judged = int(run.accounts["coverage"].isin(["COMPLETE", "PARTIAL"]).sum())
    assert run.manifest["accounts_judged"] == judged < run.manifest["accounts"]
    assert {one["scope"] for one in run.manifest["frameworks"]} == {""}


async def test_a_simulated_run_says_so_wherever_it_is_read(scan: Callable[..., Any]) -> None:
    run = await scan("small")

    assert run.manifest["simulated"] is True
    assert next(iter(summary.lines(run))).startswith("SIMULATED")
    for name in ("accounts", "findings"):
        assert parquet_metadata(run.path / f"{name}.parquet")["orgscan.simulated"] == "true"
    book = openpyxl.load_workbook(run.workbook, read_only=True)
    for name in ("Cover", "Summary"):
        rows = book[name].iter_rows(values_only=True)
        assert any(str(cell).startswith("SIMULATED") for row in rows for cell in row)
    book.close()
    assert not verify(run.path).problems


async def test_every_account_is_in_coverage_once_whatever_its_state(
    scan: Callable[..., Any],
) -> None:
    world = WORLDS["states"]()
    run = await scan(world)

    assert sorted(run.accounts["account_id"]) == sorted(account.id for account in world.accounts)
    by_state = run.accounts.groupby("state")["coverage"].agg(set)
    for state in ("SUSPENDED", "PENDING_CLOSURE", "CLOSED", "PENDING_ACTIVATION"):
        assert by_state[state] == {"NOT_ACTIVE"}, state
    assert "NOT_ACTIVE" not in by_state["UNKNOWN"]
    unknown = run.accounts[run.accounts["state"] == "UNKNOWN"]
    assert unknown["reason"].str.contains("no account state").all()


async def test_denied_accounts_are_gaps_with_unknown_root_and_account_controls(
    scan: Callable[..., Any],
) -> None:
    run = await scan("denied")
    denied = run.accounts[run.accounts["coverage"] == "DENIED"]["account_id"]

    findings = run.findings[run.findings["account_id"].isin(denied)]
    assert len(denied)
    assert set(findings["status"]) == {"UNKNOWN"}
    assert len(findings) == 7 * len(denied)
    assert run.exit_code() == ExitCode.COVERAGE_GAPS
    assert run.exit_code(Severity.INFORMATIONAL) == ExitCode.COVERAGE_GAPS


async def test_hostile_names_are_exact_in_parquet_and_text_in_excel(
    scan: Callable[..., Any],
) -> None:
    world = WORLDS["hostile"]()
    run = await scan(world)

    users = {user.name for account in world.accounts for user in account.users}
    assert users <= set(run.credentials["user"])
    assert users <= set(run.access_keys["user"])
    names = {
        account.name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        for account in world.accounts
    }
    assert set(run.accounts["account_name"].dropna()) == names
    assert set(run.accounts["coverage"]) == {"COMPLETE"}
    workbook = openpyxl.load_workbook(run.workbook)
    kinds = {cell.data_type for sheet in workbook for row in sheet.iter_rows() for cell in row}
    assert "f" not in kinds
    assert "e" not in kinds
    workbook.close()


async def test_what_changed_since_the_report_is_told_apart(scan: Callable[..., Any]) -> None:
    run = await scan("drift")
    member = "account_name == 'drift-member'"
    source = run.credentials.query(member).set_index("user")["source"].to_dict()
    match = run.access_keys.query(member).groupby("user")["match"].agg(list).to_dict()

    assert source["drift-user-created"] == "live_only"
    assert source["drift-user-deleted"] == "report_only"
    assert match["drift-key-created"].count("live_only") == 1
    assert sorted(match["drift-key-replaced"]) == ["live_only", "report_only"]
    assert match["drift-key-off"] == ["matched"]
    assert match["drift-keys-swapped"] == ["matched", "matched"]
    assert match["drift-twins-differ"] == ["ambiguous", "ambiguous"]
    assert match["drift-twins-one-off"] == ["matched", "matched"]
    judged = set(run.findings.query(member)["user"].dropna())
    assert "drift-user-deleted" not in judged
    assert "drift-user-created" in judged


async def test_a_report_older_than_aws_keeps_one_is_told(scan: Callable[..., Any]) -> None:
    world = WORLDS["small"](now=datetime.now(UTC) - timedelta(days=3))
    run = await scan(world)

    assert any(
        "The credential reports of 4 accounts are more than 4 hours old" in note
        for note in run.manifest["notes"]
    )
    fresh = await scan("small", name="fresh")
    assert not fresh.manifest["notes"]


@pytest.mark.parametrize(
    ("age", "noted"),
    [
        (timedelta(hours=4, minutes=15), False),
        (timedelta(hours=4, minutes=15, seconds=1), True),
        (timedelta(hours=5), True),
    ],
    ids=str,
)
async def test_a_report_is_stale_after_four_hours_and_a_margin_of_15_minutes(
    scan: Callable[..., Any], hurried: Callable[..., Clock], age: timedelta, *, noted: bool
) -> None:
    world = WORLDS["small"](now=datetime(2026, 11, 20, 9, 30, tzinfo=UTC))
    run = await scan(world, clock=hurried(world.now + age))
    stale = [note for note in run.manifest["notes"] if "credential report" in note]
    assert len(stale) == noted


async def test_the_run_directory_is_as_designed_and_private(scan: Callable[..., Any]) -> None:
    run = await scan("small")
    organization = run.manifest["organization_id"]
    day = run.manifest["as_of"][:10]

    files = {path.name: path for path in run.path.iterdir()}
    assert set(files) == {
        "evidence.sqlite", "accounts.parquet", "credentials.parquet", "access_keys.parquet",
        "service_credentials.parquet", "findings.parquet",
        f"orgscan-{organization}-{day}.xlsx", "manifest.json",
    }  # fmt: skip
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.values()} == {0o600}
    hashes = {
        name: {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        for name, path in files.items()
        if name != "manifest.json"
    }
    assert json.loads(files["manifest.json"].read_text())["files"] == hashes


async def test_columns_are_those_of_the_schema(scan: Callable[..., Any]) -> None:
    run = await scan("small")

    for table in TABLES:
        assert pq.read_schema(run.path / f"{table.name}.parquet").names == table.column_names


async def test_reports_made_twice_from_the_same_evidence_are_the_same_bytes(
    scan: Callable[..., Any], tmp_path: Path
) -> None:
    run = await scan("drift")
    render(run.path, clock=Clock(), observer=Observer(), output=tmp_path / "again")

    for table in TABLES:
        name = f"{table.name}.parquet"
        assert (run.path / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert not (tmp_path / "again" / "evidence.sqlite").exists()


async def test_another_as_of_time_changes_ages_but_not_evidence(
    scan: Callable[..., Any], tmp_path: Path
) -> None:
    run = await scan("small")
    before = (run.path / "evidence.sqlite").read_bytes()
    later = run.findings["as_of"].iloc[0].to_pydatetime().replace(year=2099)
    output = tmp_path / "later"
    render(run.path, clock=Clock(), observer=Observer(), output=output, as_of=later)

    failing = Run(output).findings.query("status == 'FAIL'")["control_id"]
    assert "access-key-rotation" in set(failing)
    assert (run.path / "evidence.sqlite").read_bytes() == before


async def test_only_declared_actions_are_called_and_only_in_scope(
    collect: Callable[..., Any], tmp_path: Path
) -> None:
    world = WORLDS["demo"]()
    chosen = next(item.id for item in world.accounts if item.name == "payments-prod")
    async with collect(world, tmp_path / "run", accounts=(chosen,)) as simulator:
        prefixed = {f"{call.service}:{call.action}" for call in simulator.calls}
        asked = {call.account for call in simulator.calls if call.service == "iam"}
    assert prefixed <= declared_actions()
    assert asked == {chosen}


async def test_users_and_keys_are_listed_after_the_report_was_fetched(
    collect: Callable[..., Any], tmp_path: Path
) -> None:
    # A user created between a listing and a later report would look deleted and go unjudged.
    async with collect("demo", tmp_path / "run") as simulator:
        calls = simulator.calls
    fetched = {call.account: call.index for call in calls if call.action == "GetCredentialReport"}
    listed = {call.account: call.index for call in reversed(calls) if call.action == "ListUsers"}
    assert len(fetched) > 15
    assert all(fetched[account] < listed[account] for account in fetched)


async def test_no_secret_reaches_a_file(collect: Callable[..., Any], tmp_path: Path) -> None:
    output = tmp_path / "run"
    async with collect("demo", output, external_id="canary-external-id") as simulator:
        secrets = {secret.encode() for secret in simulator.secrets} | {b"canary-external-id"}
    render(output, clock=Clock(), observer=Observer())

    assert len(secrets) > 20
    for path in output.iterdir():
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content], path.name


async def test_a_scope_by_unit_reads_that_unit_and_names_the_rest(
    scan: Callable[..., Any],
) -> None:
    run = await scan("demo", include_ous=("Workloads/Prod",))

    inside = run.accounts["ou_path"].str.startswith("Root/Workloads/Prod")
    assert inside.any()
    assert set(run.accounts[~inside]["coverage"]) <= {"EXCLUDED", "NOT_ACTIVE"}
    assert not set(run.accounts[inside]["coverage"]) & {"EXCLUDED"}


@pytest.mark.parametrize(
    ("scope", "words"),
    [
        ({"accounts": ("000000000001",)}, "000000000001 is not in the organization"),
        ({"exclude_accounts": ("000000000001",)}, "000000000001 is not in the organization"),
        ({"include_ous": ("Root/Nowhere",)}, "OU 'Root/Nowhere' does not exist"),
    ],
)
async def test_a_scope_that_does_not_exist_is_refused_before_anything_is_read(
    scan: Callable[..., Any], tmp_path: Path, scope: dict[str, tuple[str]], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        await scan("small", **scope)
    assert not (tmp_path / "run").exists()


async def test_nothing_in_scope_is_a_failed_run(scan: Callable[..., Any]) -> None:
    world = WORLDS["small"]()
    everything = tuple(account.id for account in world.accounts)
    with pytest.raises(RunError, match="no account is in scope"):
        await scan(world, exclude_accounts=everything)


async def test_a_stopped_run_keeps_its_evidence_and_report_shows_it(
    collect: Callable[..., Any], tmp_path: Path
) -> None:
    output, observer = tmp_path / "run", StopAfter(3)
    world = WORLDS["uniform"](accounts=40, users=2)
    with pytest.raises(RunInterrupted):
        async with collect(world, output, stop=observer.stop, observer=observer, concurrency=2):
            pass

    render(output, clock=Clock(), observer=Observer())
    run = Run(output)
    coverage = run.accounts.set_index("account_id")["coverage"]
    read = set(coverage[coverage == Coverage.COMPLETE].index)
    assert read == set(observer.seen)
    assert 3 <= len(read) < 40
    assert set(coverage) == {"COMPLETE", "NOT_ATTEMPTED"}
    assert run.exit_code() == ExitCode.COVERAGE_GAPS


async def test_credentials_that_stop_working_stop_the_run_not_the_accounts(
    scan: Callable[..., Any],
) -> None:
    world = WORLDS["uniform"](accounts=30, users=2)
    expired = Fault(
        effect=Error("ExpiredToken", 403), service="sts", action="AssumeRole", nth=range(10, 999)
    )
    run = await scan(world, faults=[expired], concurrency=4)

    coverage = run.accounts["coverage"].value_counts().to_dict()
    assert set(coverage) == {"COMPLETE", "NOT_ATTEMPTED"}
    assert sum(coverage.values()) == 30
    assert run.exit_code() == ExitCode.COVERAGE_GAPS
    assert any("stopped early" in note for note in run.manifest["notes"])


class WritesThatFailTogether(ThreadPoolExecutor):
    """Two outcomes are under way; the first fails at once, the second once all is given up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.kept = 0
        self.both_under_way, self.given_up = threading.Event(), threading.Event()

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Any:
        if work.__name__ != "keep":
            return super().submit(work, *arguments, **options)
        self.kept += 1
        event = self.both_under_way if self.kept == 1 else self.given_up
        if self.kept == 2:
            self.both_under_way.set()
        return super().submit(self.fail, event)

    def fail(self, event: threading.Event) -> None:
        assert event.wait(10)
        message = "disk full"
        raise RunError(message)

    def shutdown(self, *arguments: Any, **options: Any) -> None:
        self.given_up.set()
        super().shutdown(*arguments, **options)


async def test_a_store_that_fails_several_accounts_at_once_is_told_once(
    collect: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collection, "ThreadPoolExecutor", WritesThatFailTogether)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    with pytest.raises(RunError, match="disk full"):
        async with collect("small", tmp_path / "run"):
            pass

    gc.collect()  # what nobody has retrieved is told when it is collected
    assert told == []


async def test_an_account_list_cut_short_fails_the_run(scan: Callable[..., Any]) -> None:
    broken = Fault(
        effect=Error("AccessDeniedException", 400),
        service="organizations",
        action="ListAccounts",
    )
    tree = Fault(
        effect=Error("ServiceException", 500),
        service="organizations",
        action="ListAccountsForParent",
        nth=range(2, 999),
    )
    with pytest.raises(RunError, match="could not be read in full"):
        await scan("demo", faults=[broken, tree])


async def test_the_public_face_scans_and_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Simulator(WORLDS["uniform"](accounts=2, users=3)) as simulator:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", simulator.credentials.access_key_id)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", simulator.credentials.secret_access_key)
        where = {"role_name": AUDIT_ROLE, "endpoint_url": simulator.endpoint_url}
        run = await orgscan.scan(tmp_path / "run", **where)
        failing = run.findings[run.findings["status"] == "FAIL"].iloc[0]
        waivers = tmp_path / "waivers.toml"
        waivers.write_text(
            f'[[waiver]]\nid = "W-1"\ncontrol = "{failing.control_id}"\n'
            f'account = "{failing.account_id}"\nowner = "a"\nreason = "b"\napproved_by = "c"\n'
            f"expires = {run.findings['as_of'].iloc[0].date() + timedelta(days=30)}\n"
        )
        again = await orgscan.scan(
            tmp_path / "again",
            previous=str(run.path),
            waivers=str(waivers),
            formats=["csv"],
            **where,
        )
    assert orgscan.open_run(run.path).accounts.equals(run.accounts)
    by_id = again.findings.set_index("finding_id")["status"]
    assert by_id[failing.finding_id] == "WAIVED"
    assert again.changes is not None
    assert (again.path / "findings.csv").exists()


def test_evidence_can_be_iterated_after_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not an orgscan run"):
        EvidenceStore.read(tmp_path / "evidence.sqlite")
