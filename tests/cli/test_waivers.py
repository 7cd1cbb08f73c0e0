"""``--waivers`` and ``--carry`` as users meet them."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from openpyxl import load_workbook

from orgscan.errors import ExitCode
from orgscan.simulator import AUDIT_ROLE
from tests.kit.serving import serve_in_thread
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Command = Any

ROW = {
    "id": "W-1",
    "control": "console-mfa",
    "owner": "Platform",
    "reason": "until the migration",
    "approved_by": "CISO",
    "expires": (datetime.now(UTC) + timedelta(days=100)).date().isoformat(),
}


def csv(*rows: dict[str, str]) -> str:
    return "\n".join(",".join(line) for line in (ROW, *(one.values() for one in rows))) + "\n"


def refused(finished: Command) -> str:
    assert finished.returncode == ExitCode.USAGE, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith("orgscan: ")
    return str(line)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"control": "consol-mfa"},
            "w.csv: line 2, control: unknown control 'consol-mfa'; did you",
        ),
        ({"expires": ""}, "w.csv: line 2: has no expires; every waiver needs an expiry"),
        ({"expires": "2199-01-01"}, "w.csv: line 2: waiver W-1 expires 2199-01-01, more than 366"),
        ({"owner": "=1+1"}, "w.csv: line 2, owner: '=1+1' looks like a formula"),
        ({"control": "*"}, "would waive every control everywhere"),
    ],
)
def test_a_bad_file_is_refused_before_a_scan_reads_anything(
    orgscan: Command, changes: dict[str, str], said: str
) -> None:
    (orgscan.work / "w.csv").write_text(csv({**ROW, **changes}))
    finished = orgscan(
        "scan", "--role-name", "Audit", "--endpoint-url", "http://127.0.0.1:9", "--output", "run",
        "--waivers", "w.csv",
    )  # fmt: skip
    assert said in refused(finished)
    assert not (orgscan.work / "run").exists()


def test_what_is_waived_does_not_fail_a_scan(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    world = WORLDS["uniform"](accounts=2, users=4)
    lines = [",".join((*ROW, "account"))]
    for number, one in enumerate(world.accounts):
        values = {**ROW, "id": f"W-{number}", "control": "*", "account": one.id}
        lines.append(",".join(values.values()))
    (orgscan.work / "w.csv").write_text("\n".join(lines))
    with serve_in_thread(world) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--output", "run", "--waivers", "w.csv", "--fail-on", "informational",
            env=credentials(simulator),
        )  # fmt: skip
    manifest = json.loads((orgscan.work / "run" / "manifest.json").read_text())
    open_ = sum(counts["FAIL"] for counts in manifest["findings"].values())
    assert sum(counts["WAIVED"] for counts in manifest["findings"].values()) > 0
    assert open_ == 0, finished.stdout
    assert finished.returncode == ExitCode.OK, finished.stderr


def test_the_settings_may_allow_longer_waivers(orgscan: Command, demo_run: Path) -> None:
    late = (datetime.now(UTC) + timedelta(days=500)).date().isoformat()
    (orgscan.work / "w.csv").write_text(csv({**ROW, "expires": late}))
    (orgscan.work / "s.toml").write_text("waiver_max_days = 600\n")
    shutil.copytree(demo_run, orgscan.work / "run")
    report = ("report", "run", "--waivers", "w.csv", "--quiet")
    assert "more than 366 days after the as-of time" in refused(orgscan(*report))
    assert orgscan(*report, "--config", "s.toml").returncode == ExitCode.COVERAGE_GAPS


def test_a_report_with_waivers_then_with_the_workbook_it_wrote(
    orgscan: Command, demo_run: Path
) -> None:
    (orgscan.work / "w.csv").write_text(csv(ROW))
    shutil.copytree(demo_run, orgscan.work / "run")
    waived = orgscan("report", "run", "--waivers", "w.csv", "--quiet")
    assert waived.returncode == ExitCode.COVERAGE_GAPS, waived.stderr
    assert " WAIVED" in waived.stdout
    assert "Note: Over-broad waivers that apply: W-1 (" in waived.stdout
    manifest = json.loads((orgscan.work / "run" / "manifest.json").read_text())

    (book,) = (orgscan.work / "run").glob("*.xlsx")
    carried = orgscan("report", "run", "--carry", book, "--quiet")
    assert carried.returncode == ExitCode.COVERAGE_GAPS, carried.stderr
    again = json.loads((orgscan.work / "run" / "manifest.json").read_text())
    assert again["waivers"]["waivers"] == manifest["waivers"]["waivers"]
    assert again["findings"] == manifest["findings"]

    edited = load_workbook(book)
    page = edited["Findings"]
    column = next(cell.column for cell in page[1] if cell.value == "Due date")
    page.cell(5, column).value = "soon"
    edited.save(orgscan.work / "edited.xlsx")
    said = refused(orgscan("report", "run", "--carry", "edited.xlsx"))
    assert "edited.xlsx: sheet Findings, row 5, column Due date: 'soon' is not a date" in said


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_what_is_no_workbook_is_no_traceback(orgscan: Command, content: bytes) -> None:
    (orgscan.work / "book.xlsx").write_bytes(content)
    for option in ("--waivers", "--carry"):
        assert "book.xlsx: is " in refused(orgscan("report", "run", option, "book.xlsx"))
