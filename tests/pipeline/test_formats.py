"""``--format``: files for other programs, made, listed, verified and removed with their run."""

from __future__ import annotations

import asyncio
import csv
import json
import os
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orgscan.cli import main
from orgscan.errors import ExitCode
from orgscan.models import Clock, Observer
from orgscan.pipeline.render import render
from orgscan.pipeline.verify import verify
from orgscan.reports.formats import FORMATS
from orgscan.runs.run import Run
from orgscan.schema import CHANGES, TABLES, Type
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CSV = {f"{table.name}.csv" for table in TABLES}
OCSF = {"findings.ocsf.jsonl"}
COMPLIANCE = {"FAIL": 3, "WAIVED": 3, "UNKNOWN": 2, "PASS": 1}


@pytest.fixture
def later(two_quarters: Path) -> Path:
    """The later run; not to be altered."""
    return two_quarters / "2026-Q4"


@pytest.fixture
def mine(later: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    shutil.copytree(later, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def events(run: Path) -> list[dict[str, Any]]:
    with (run / "findings.ocsf.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def made(run: Path) -> set[str]:
    return {path.name for path in run.iterdir() if path.suffix in {".csv", ".jsonl"}}


def told(value: Any, kind: Type) -> str:
    """A value of Parquet as the documentation says it stands in CSV, an apostrophe aside."""
    if pd.isna(value):
        return ""
    if kind is Type.TIMESTAMP:
        return str(value.isoformat()).replace("+00:00", "Z")
    return str(value).lower() if kind is Type.BOOLEAN else str(value)


def test_every_file_is_in_the_manifest_and_verified(later: Path) -> None:
    assert made(later) == CSV | OCSF | {"changes.csv"}
    assert made(later) <= set(Run(later).manifest["files"])
    assert not verify(later).problems
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in later.iterdir())


def test_a_changed_byte_is_found(mine: Path) -> None:
    for name in ("findings.csv", "findings.ocsf.jsonl"):
        (mine / name).write_bytes((mine / name).read_bytes().replace(b"FAIL", b"PASS", 1))
    problems = verify(mine).problems
    assert [problem.split(":")[0] for problem in problems] == [
        "findings.csv",
        "findings.ocsf.jsonl",
    ]


def test_the_tables_as_csv_are_the_tables(later: Path) -> None:
    run = Run(later)
    assert run.changes is not None
    frames = {
        "accounts": run.accounts, "credentials": run.credentials, "access_keys": run.access_keys,
        "service_credentials": run.service_credentials, "findings": run.findings,
        "changes": run.changes,
    }  # fmt: skip
    for table in (*TABLES, CHANGES):
        found = rows(later / f"{table.name}.csv")
        frame = frames[table.name]
        assert len(found) == len(frame) > 0
        assert list(found[0]) == table.column_names
        for column in table:
            if column.type is Type.TIMESTAMP:
                stored = pd.to_datetime(frame[column.name], utc=True)
                read = pd.to_datetime(
                    pd.Series([row[column.name] or None for row in found]),
                    utc=True,
                    format="ISO8601",
                )
                assert read.tolist() == stored.tolist() or read.isna().equals(stored.isna())
            elif column.type is not Type.NUMBER:
                expected = [told(value, column.type) for value in frame[column.name]]
                assert [row[column.name].removeprefix("'") for row in found] == expected


def test_there_is_an_event_for_each_finding_that_applies(later: Path) -> None:
    run = Run(later)
    findings = run.findings[run.findings["status"] != "NOT_APPLICABLE"]
    found = events(later)
    assert [event["finding_info"]["uid"] for event in found] == findings["finding_id"].tolist()
    assert [event["compliance"]["status_id"] for event in found] == [
        COMPLIANCE[status] for status in findings["status"]
    ]
    assert {event["cloud"]["account"]["uid"] for event in found} == set(findings["account_id"])
    first_seen = findings["first_seen_at"].dt.as_unit("ms").astype("int64")
    assert [event["finding_info"]["first_seen_time"] for event in found] == first_seen.tolist()
    assert {event["activity_name"] for event in found} == {"Create", "Update"}
    units = run.accounts.set_index("account_id")["ou_id"]
    assert all(
        event["cloud"]["org"]["ou_uid"] == units[event["cloud"]["account"]["uid"]]
        for event in found
    )


def test_the_same_evidence_gives_the_same_bytes(mine: Path, later: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    earlier = later.parent / "2026-Q3"
    render(
        mine, clock=Clock(), observer=Observer(), output=other, previous=earlier,
        formats=["csv", "ocsf", "csv"],
    )  # fmt: skip
    assert made(other) == made(later)
    for name in made(later):
        assert (other / name).read_bytes() == (later / name).read_bytes(), name


def test_files_go_that_are_not_asked_for_again(mine: Path) -> None:
    render(mine, clock=Clock(), observer=Observer(), formats=["csv"])
    assert made(mine) == CSV
    render(mine, clock=Clock(), observer=Observer())
    assert made(mine) == set()
    assert not verify(mine).problems


def test_requirements_are_those_of_the_frameworks_and_related_ones_are_apart(mine: Path) -> None:
    render(
        mine, clock=Clock(), observer=Observer(), formats=["ocsf"],
        frameworks=["cis-7.0", "fsbp", "pci-dss-4.0.1"],
    )  # fmt: skip
    by_control = {event["compliance"]["control"]: event for event in events(mine)}
    rotation = by_control["access-key-rotation"]
    assert rotation["compliance"]["requirements"] == [
        "CIS AWS Foundations Benchmark 7.0.0 2.12",
        "AWS Foundational Security Best Practices 1.0.0 IAM.3",
    ]
    assert len(rotation["compliance"]["standards"]) == 2
    assert rotation["unmapped"]["related_requirements"][0].startswith("PCI DSS 4.0.1 ")
    # Security Hub asks for 90 days where these findings were judged by 45.
    unused = by_control["unused-access-key"]["compliance"]
    assert unused["standards"] == ["CIS AWS Foundations Benchmark 7.0.0"]
    assert "standards" not in by_control["console-user"]["compliance"]


def test_hostile_names_are_exact_in_both(collect: Callable[..., Any], tmp_path: Path) -> None:
    async def scan() -> None:
        async with collect(WORLDS["hostile"](), tmp_path / "run"):
            pass

    asyncio.run(scan())
    run = render(tmp_path / "run", clock=Clock(), observer=Observer(), formats=["csv", "ocsf"])
    accounts = Run(run).accounts.set_index("account_id")["account_name"]
    assert any(name.startswith("=") for name in accounts)
    for event in events(run):
        account = event["cloud"]["account"]
        assert account.get("name", "") == (accounts[account["uid"]] or "")
    found = rows(run / "accounts.csv")
    assert {row["account_id"]: row["account_name"].removeprefix("'") for row in found} == dict(
        accounts
    )
    risky = [row["account_name"] for row in found if row["account_name"][:1] in "=+-@"]
    assert [name for name in risky if name] == []


def test_the_command_line(
    mine: Path, cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    code, out, err = cli(
        "report", mine, "--output", tmp_path / "new", "--format", "csv", "--format", "ocsf"
    )
    assert code in {ExitCode.OK, ExitCode.COVERAGE_GAPS}, err
    assert f"OCSF      {tmp_path}/new/findings.ocsf.jsonl" in out
    names = "access_keys,accounts,credentials,findings,service_credentials"
    assert f"CSV       {tmp_path}/new/{{{names}}}.csv" in out
    assert made(tmp_path / "new") == CSV | OCSF
    assert cli("verify", tmp_path / "new")[0] == ExitCode.OK


@pytest.mark.parametrize("command", [("report", "nowhere"), ("scan", "--role-name", "R")])
def test_an_unknown_format_is_one_line_before_anything_is_done(
    command: tuple[str, ...], cli: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = cli(*command, "--format", "oscf")
    assert (code, out) == (ExitCode.USAGE, "")
    assert err == "orgscan: unknown format 'oscf'; did you mean ocsf?\n"


def test_help_names_the_formats(cli: Callable[..., tuple[int, str, str]]) -> None:
    for command in ("scan", "report"):
        _code, out, _err = cli(command, "--help")
        assert "--format" in out
    assert list(FORMATS) == ["csv", "ocsf"]


def test_a_full_disk_leaves_the_run_as_it_was(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in mine.iterdir()}

    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Exception, match=r"cannot be written \(No space left"):
        render(mine, clock=Clock(), observer=Observer(), formats=["csv"])
    assert {path.name: path.read_bytes() for path in mine.iterdir()} == before
