"""Waivers and human entries through the whole pipeline, and through a real spreadsheet program."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from openpyxl import load_workbook

from orgscan import settings
from orgscan.errors import UsageError
from orgscan.models import Clock, Credentials, HumanEntry, Observer
from orgscan.pipeline.render import render
from orgscan.pipeline.scan import collect
from orgscan.pipeline.verify import verify
from orgscan.runs.run import Run as Run_
from orgscan.simulator import AUDIT_ROLE, Simulator
from orgscan.thresholds import DueDays
from orgscan.waivers.entries import Decisions, check_decisions, read_decisions
from orgscan.waivers.entries import Decisions as Decisions_
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from orgscan.runs.run import Run

LAX = settings.load(environment={}, thresholds={"access_key_max_age_days": 36_500})

EDITOR = Path(__file__).parents[1] / "kit" / "calc_editor.py"
SYSTEM_PYTHON = "/usr/bin/python3"
WAIVER = """
[[waiver]]
id = "W-1"
control = "access-key-rotation"
user = "*"
owner = "Platform"
reason = "until the migration"
approved_by = "CISO"
expires = {expires}
"""


@pytest.fixture
async def run(scan: Any) -> Run:
    found: Run = await scan(WORLDS["uniform"](accounts=3, users=8))
    return found


def _write(path: Path, text: str) -> None:
    path.write_text(text.format(expires=(datetime.now(UTC) + timedelta(days=90)).date()))


@pytest.fixture
def waiver_file(tmp_path: Path) -> Path:
    path = tmp_path / "waivers.toml"
    _write(path, WAIVER)
    return path


def again(run: Run, *, waivers: Path | None = None, carry: Path | None = None, **how: Any) -> Run:
    decisions = read_decisions(waivers, carry)
    render(run.path, clock=Clock(), observer=Observer(), decisions=decisions, **how)
    return Run_(run.path)


def sheet(path: Path, name: str) -> list[dict[str, Any]]:
    book = load_workbook(path, read_only=True)
    heading, *rows = book[name].iter_rows(values_only=True)
    book.close()
    return [dict(zip(heading, row, strict=True)) for row in rows]


def type_in(path: Path, target: Path, edits: dict[tuple[str, int, str], Any]) -> Path:
    book = load_workbook(path)
    for (name, row, heading), value in edits.items():
        page = book[name]
        column = next(cell.column for cell in page[1] if cell.value == heading)
        page.cell(row, column).value = value
    book.save(target)
    return target


async def test_a_waiver_shows_in_findings_manifest_and_workbook(
    run: Run, waiver_file: Path
) -> None:
    before = run.findings
    failing = before[(before["control_id"] == "access-key-rotation") & (before["status"] == "FAIL")]
    assert len(failing)
    waived = again(run, waivers=waiver_file)

    after = waived.findings
    assert after["finding_id"].tolist() == before["finding_id"].tolist()
    changed = after[after["status"] == "WAIVED"]
    assert changed["finding_id"].tolist() == failing["finding_id"].tolist()
    assert set(changed["waiver_id"]) == {"W-1"}
    told = waived.manifest["waivers"]
    assert told["file"] == "waivers.toml"
    assert len(told["sha256"]) == 64
    (entry,) = told["waivers"]
    assert (entry["id"], entry["state"]) == ("W-1", "in force")
    assert (entry["fail_matched"], entry["over_broad"]) == (len(failing), True)
    assert waived.manifest["findings"]["access-key-rotation"]["WAIVED"] == len(failing)
    assert any("Over-broad" in note and "W-1" in note for note in waived.manifest["notes"])
    row = sheet(waived.workbook, "Waivers")[0]
    assert (row["Id"], row["State"], row["FAIL matched"]) == ("W-1", "in force", len(failing))
    listed = {one["Finding id"]: one["Waiver id"] for one in sheet(waived.workbook, "Findings")}
    assert {listed[name] for name in failing["finding_id"]} == {"W-1"}


async def test_a_waiver_its_owner_approved_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    _write(path, WAIVER + WAIVER.replace("W-1", "W-2").replace('"CISO"', '" PLAT form"'))
    told = again(run, waivers=path)
    (note,) = [one for one in told.manifest["notes"] if "Self-approved waivers" in one]
    assert "W-2 (Platform)" in note
    assert "W-1" not in note
    entries = {one["id"]: one["self_approved"] for one in told.manifest["waivers"]["waivers"]}
    assert entries == {"W-1": False, "W-2": True}
    shown = {row["Id"]: row["Self-approved"] for row in sheet(told.workbook, "Waivers")}
    assert (shown["W-1"], shown["W-2"]) == (None, "Yes")
    back = again(run, carry=told.workbook)
    assert back.manifest["waivers"]["waivers"] == told.manifest["waivers"]["waivers"]


async def test_forgetting_the_waivers_is_told(run: Run, waiver_file: Path) -> None:
    again(run, waivers=waiver_file)
    forgotten = again(run)
    assert (
        "Earlier reports of this run used waivers.toml; give --waivers again."
        in forgotten.manifest["notes"]
    )
    assert forgotten.manifest["waivers"] is None


async def test_an_expired_waiver_and_one_that_matches_nothing_are_told(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "w.toml"
    idle = WAIVER.replace("W-1", "W-2").replace('user = "*"', 'user = "nobody"')
    path.write_text(
        WAIVER.format(expires="2026-01-01")
        + idle.format(expires=(datetime.now(UTC) + timedelta(days=9)).date())
    )
    told = again(run, waivers=path)
    notes = "\n".join(told.manifest["notes"])
    assert "Waivers expired: W-1 (2026-01-01, " in notes
    assert "Waivers that match no FAIL: W-2 (0 other results)" in notes
    reasons = told.findings.loc[told.findings["control_id"] == "access-key-rotation", "reason"]
    assert reasons.str.endswith("; waiver W-1 expired 2026-01-01").any()


async def test_a_waiver_for_an_account_that_is_not_there_keeps_the_old_reports(
    run: Run, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    _write(elsewhere, WAIVER.replace('user = "*"', 'account = "999999999999"'))
    with pytest.raises(UsageError, match=r"not\s+in the organization; .*orgscan report"):
        again(run, waivers=elsewhere)
    assert verify(run.path).problems == ()


async def test_entries_survive_findings_that_go_and_come_back(run: Run, tmp_path: Path) -> None:
    rows = sheet(run.workbook, "Findings")
    place = next(n for n, row in enumerate(rows) if row["Control"] == "access-key-rotation")
    finding = rows[place]["Finding id"]
    due = datetime(2026, 12, 31)  # noqa: DTZ001 - Excel's have no zone
    edited = type_in(
        run.workbook,
        tmp_path / "edited.xlsx",
        {
            ("Findings", place + 2, "Owner"): "Ada",
            ("Findings", place + 2, "Due date"): due,
            ("Findings", place + 2, "Comment"): "=1+1 is text\nand goes on",
        },
    )
    # openpyxl takes a text with = for a formula; a cell formatted as text holds text.
    book = load_workbook(edited)
    column = next(c.column for c in book["Findings"][1] if c.value == "Comment")
    book["Findings"].cell(place + 2, column).data_type = "s"
    book.save(edited)

    gone = again(run, carry=edited, settings=LAX)
    assert finding not in {row["Finding id"] for row in sheet(gone.workbook, "Findings")}
    (kept,) = sheet(gone.workbook, "Earlier entries")
    assert (kept["Finding id"], kept["Owner"], kept["Due date"]) == (finding, "Ada", due)
    assert kept["Control"] == "access-key-rotation"
    assert any("1 of 1 entries of edited.xlsx" in note for note in gone.manifest["notes"])
    assert gone.manifest["carried"]["no_longer_listed"] == 1

    back = again(run, carry=gone.workbook)
    row = next(one for one in sheet(back.workbook, "Findings") if one["Finding id"] == finding)
    assert (row["Owner"], row["Due date"]) == ("Ada", due)
    assert row["Comment"] == "=1+1 is text\nand goes on"
    assert "Earlier entries" not in load_workbook(back.workbook).sheetnames


def _typed_in_every_row(run: Run, target: Path) -> Path:
    rows = sheet(run.workbook, "Findings")
    owners = {("Findings", n, "Owner"): f"Ada {n}" for n in range(2, len(rows) + 2)}
    return type_in(run.workbook, target, owners)


@pytest.mark.parametrize("world", ["hostile", "drift"])
async def test_every_row_can_be_typed_in_whatever_its_user_is_called(
    scan: Any, tmp_path: Path, world: str
) -> None:
    run = await scan(world)
    before = {row["Finding id"]: row for row in sheet(run.workbook, "Findings")}
    edited = _typed_in_every_row(run, tmp_path / "edited.xlsx")
    owners = {row["Finding id"]: row["Owner"] for row in sheet(edited, "Findings")}
    same = again(run, carry=edited)
    assert {row["Finding id"]: row["Owner"] for row in sheet(same.workbook, "Findings")} == owners
    # And so it can where they come back from the sheet of what is no longer listed.
    gone = again(run, carry=edited, settings=LAX)
    listed = {row["Finding id"] for row in sheet(gone.workbook, "Findings")}
    earlier = sheet(gone.workbook, "Earlier entries")
    assert {row["Finding id"] for row in earlier} == set(before) - listed
    assert {row["Finding id"]: row["Access key id"] for row in earlier} == {
        name: before[name]["Access key id"] for name in set(before) - listed
    }
    back = again(run, carry=gone.workbook)
    assert {row["Finding id"]: row["Owner"] for row in sheet(back.workbook, "Findings")} == owners


@pytest.mark.parametrize("heading", ["Control", "Account id", "User", "Access key id"])
async def test_rows_sorted_in_part_are_refused(run: Run, tmp_path: Path, heading: str) -> None:
    rows = sheet(run.workbook, "Findings")
    first = next(n for n, row in enumerate(rows) if row["Access key id"])
    other = next(
        n for n, row in enumerate(rows) if row[heading] not in {rows[first][heading], None}
    )
    edited = type_in(
        run.workbook,
        tmp_path / "sorted.xlsx",
        {
            ("Findings", first + 2, heading): rows[other][heading],
            ("Findings", other + 2, heading): rows[first][heading],
            ("Findings", first + 2, "Comment"): "about another row",
        },
    )
    with pytest.raises(UsageError) as caught:
        again(run, carry=edited)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{edited}: sheet Findings, row {first + 2}, column Finding id: ")
    assert f"{rows[first]['Finding id']} does not belong to" in said
    assert repr(rows[other][heading]) in said
    assert (
        "partly sorted or edited, or the workbook may belong to another organization. Enter" in said
    )
    assert f"then run `orgscan report {run.path} --carry FILE`" in said
    assert verify(run.path).problems == ()
    # Going on with a run, it turns out before anything is read.
    with pytest.raises(UsageError, match=r"sheet Findings, row \d+, column Finding id: "):
        check_decisions(read_decisions(None, edited), clock=Clock(), run=run.path)


async def test_entries_of_another_organization_are_refused(
    run: Run, scan: Any, tmp_path: Path
) -> None:
    elsewhere = await scan(WORLDS["uniform"](accounts=1, users=1, seed=7), name="elsewhere")
    edited = _typed_in_every_row(elsewhere, tmp_path / "edited.xlsx")
    organization = run.manifest["organization_id"]
    with pytest.raises(UsageError, match=rf"row 2, .* in {organization}\. "):
        again(run, carry=edited)


async def test_a_new_scan_with_a_workbook_of_another_organization_asks_no_account(
    run: Run, tmp_path: Path
) -> None:
    edited = _typed_in_every_row(run, tmp_path / "edited.xlsx")
    output = tmp_path / "new"
    async with Simulator(WORLDS["uniform"](accounts=1, users=1, seed=7)) as simulator:
        keys = simulator.credentials
        with pytest.raises(
            UsageError, match=r"row \d+, .* or the workbook may belong to another organization"
        ):
            await collect(
                settings.load(
                    environment={}, role_name=AUDIT_ROLE, endpoint_url=simulator.endpoint_url
                ),
                output,
                clock=Clock(),
                observer=Observer(),
                credentials=Credentials(
                    keys.access_key_id, keys.secret_access_key, keys.session_token or ""
                ),
                decisions=read_decisions(None, edited),
            )
        assert {call.action for call in simulator.calls} == {
            "GetCallerIdentity",
            "DescribeOrganization",
        }
    assert not output.exists()


async def test_a_column_deleted_from_the_waivers_sheet_widens_nothing(
    run: Run, waiver_file: Path, tmp_path: Path
) -> None:
    book = load_workbook(again(run, waivers=waiver_file).workbook)
    page = book["Waivers"]
    page.delete_cols(next(cell.column for cell in page[1] if cell.value == "User"))
    edited = tmp_path / "edited.xlsx"
    book.save(edited)
    for how in ({"carry": edited}, {"waivers": edited}):
        with pytest.raises(UsageError) as caught:
            again(run, **how)
        assert str(caught.value) == (
            f"{edited}: sheet Waivers, row 1: the column User is missing; restore the heading row"
        )


async def test_a_file_of_waivers_goes_before_the_sheet_and_what_the_sheet_adds_is_told(
    run: Run, waiver_file: Path, tmp_path: Path
) -> None:
    again(run, waivers=waiver_file)
    typed = {
        "Id": "W-7",
        "Control": "console-mfa",
        "User": "alice",
        "Owner": "Ada",
        "Reason": "because",
        "Approved by": "CISO",
        "Expires": datetime.now() + timedelta(days=20),  # noqa: DTZ005 - Excel's have no zone
    }
    edits = {("Waivers", 3, name): value for name, value in typed.items()}
    edited = type_in(run.workbook, tmp_path / "edited.xlsx", edits)

    both = again(run, waivers=waiver_file, carry=edited)
    assert [one["id"] for one in both.manifest["waivers"]["waivers"]] == ["W-1"]
    assert (
        "Waivers that are only in edited.xlsx and not in waivers.toml do not apply: W-7."
        in both.manifest["notes"]
    )
    alone = again(run, carry=edited)
    assert [one["id"] for one in alone.manifest["waivers"]["waivers"]] == ["W-1", "W-7"]
    assert alone.manifest["waivers"]["file"] == "edited.xlsx"


async def test_due_dates_are_counted_and_an_agreed_one_goes_before(
    run: Run, tmp_path: Path
) -> None:
    # Where everything is due at once, the next day everything is overdue.
    decisions = Decisions_(due_days=DueDays(critical=0, high=0, medium=0, low=0, informational=0))
    render(run.path, clock=Clock(), observer=Observer(), decisions=decisions)
    rows = sheet(run.workbook, "Findings")
    fails = [row for row in rows if row["Status"] == "FAIL"]
    assert {row["Overdue"] for row in rows} == {None}
    assert all(
        row["Due by"] is not None and row["Due by"].date() == row["First seen (UTC)"].date()
        for row in fails
    )
    place = 2 + next(n for n, row in enumerate(rows) if row["Status"] == "FAIL")
    edits = {("Findings", place, "Due date"): date(2020, 1, 1)}
    late = again(run, carry=type_in(run.workbook, tmp_path / "late.xlsx", edits))
    assert sum(late.manifest["overdue"].values()) == 1
    marked = [row for row in sheet(late.workbook, "Findings") if row["Overdue"]]
    assert [row["Finding id"] for row in marked] == [rows[place - 2]["Finding id"]]
    assert marked[0]["Due by"] is not None


def libreoffice(source: Path, target: Path, edits: list[list[Any]], home: Path) -> None:
    """Open, edit and save a workbook in LibreOffice."""
    pipe = f"pipe,name=orgscan{abs(hash(home))}"
    office = subprocess.Popen(
        [
            "soffice",
            f"-env:UserInstallation={home.as_uri()}",
            "--headless",
            "--norestore",
            f"--accept={pipe};urp;",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    task = {
        "source": source.as_uri(),
        "target": target.as_uri(),
        "connection": pipe,
        "edits": edits,
    }
    try:
        subprocess.run(
            [SYSTEM_PYTHON, str(EDITOR)],
            input=json.dumps(task),
            text=True,
            check=True,
            timeout=90,
            capture_output=True,
        )
        office.wait(30)
    finally:
        office.kill()
        office.wait()


def _can_drive_libreoffice() -> bool:
    if shutil.which("soffice") is None or not Path(SYSTEM_PYTHON).exists():
        return False
    found = subprocess.run([SYSTEM_PYTHON, "-c", "import uno"], capture_output=True, check=False)
    return found.returncode == 0


@pytest.fixture
def calc(tmp_path: Path) -> Callable[[Path, str, list[list[Any]]], Path]:
    def edited(source: Path, name: str, edits: list[list[Any]]) -> Path:
        target = tmp_path / name
        libreoffice(source, target, edits, tmp_path / "office")
        return target

    return edited


@pytest.mark.skipif(not _can_drive_libreoffice(), reason="LibreOffice cannot be driven here")
async def test_round_trip_through_libreoffice(run: Run, waiver_file: Path, calc: Any) -> None:
    waived = again(run, waivers=waiver_file)
    rows = sheet(waived.workbook, "Findings")
    failing = (n for n, row in enumerate(rows, 2) if row["Status"] == "FAIL" and row["User"])
    places = [*failing][:2]
    target = rows[places[1] - 2]
    expires = (datetime.now(UTC) + timedelta(days=60)).date()
    edits = [
        ["Findings", places[0], "Owner", "text", "Ada \u00c5ngstr\u00f6m"],
        ["Findings", places[0], "Due date", "entered", "2027-03-31"],
        ["Findings", places[0], "Comment", "text", "=1+1 stays\nas typed, _x0041_ too"],
        ["Waivers", 3, "Id", "text", "W-2"],
        ["Waivers", 3, "Control", "text", target["Control"]],
        ["Waivers", 3, "Account", "text", target["Account id"]],
        ["Waivers", 3, "User", "text", target["User"]],
        ["Waivers", 3, "Owner", "text", "Ada"],
        ["Waivers", 3, "Reason", "text", "typed in LibreOffice"],
        ["Waivers", 3, "Approved by", "text", "CISO"],
        ["Waivers", 3, "Expires", "entered", expires.isoformat()],
    ]
    edited = calc(waived.workbook, "edited.xlsx", edits)
    before = waived.findings
    result = again(run, carry=edited)

    # The waivers are those that were there and the new one.
    told = {one["id"]: one for one in result.manifest["waivers"]["waivers"]}
    assert set(told) == {"W-1", "W-2"}
    assert told["W-1"] == waived.manifest["waivers"]["waivers"][0] | {"id": "W-1"}
    assert told["W-2"]["fail_matched"] >= 1
    after = result.findings.set_index("finding_id")
    assert after.loc[target["Finding id"], "waiver_id"] == "W-2"
    # Nothing else moved.
    changed = result.findings["waiver_id"].fillna("") != before["waiver_id"].fillna("")
    assert set(result.findings.loc[changed, "waiver_id"]) == {"W-2"}
    kept = [name for name in before if name not in {"status", "reason", "waiver_id"}]
    pd.testing.assert_frame_equal(result.findings[kept], before[kept])
    # What was typed stands where it was typed.
    shown = {row["Finding id"]: row for row in sheet(result.workbook, "Findings")}
    row = shown[rows[places[0] - 2]["Finding id"]]
    assert row["Owner"] == "Ada \u00c5ngstr\u00f6m"
    assert row["Due date"].date() == date(2027, 3, 31)
    assert row["Comment"] == "=1+1 stays\nas typed, _x0041_ too"
    assert result.manifest["carried"]["entries"] == 1

    # And once more, with nothing typed: the same again.
    unchanged = calc(result.workbook, "unchanged.xlsx", [])
    once_more = again(run, carry=unchanged)
    assert sheet(once_more.workbook, "Findings") == sheet(result.workbook, "Findings")
    assert sheet(once_more.workbook, "Waivers") == sheet(result.workbook, "Waivers")


@pytest.mark.skipif(not _can_drive_libreoffice(), reason="LibreOffice cannot be driven here")
async def test_what_libreoffice_made_of_a_cell_is_read_or_told(run: Run, calc: Any) -> None:
    fine = calc(
        run.workbook,
        "fine.xlsx",
        [
            ["Findings", 2, "Owner", "entered", "=1/0"],  # in a cell of text: text
            ["Findings", 2, "Due date", "number", "46387"],  # in a cell of dates: a date
        ],
    )
    (entry,) = read_decisions(None, fine).entries
    assert (entry.owner, entry.due) == ("=1/0", date(2026, 12, 31))

    wrong = calc(run.workbook, "wrong.xlsx", [["Findings", 2, "Due date", "entered", "=1/0"]])
    with pytest.raises(UsageError) as caught:
        read_decisions(None, wrong)
    said = str(caught.value)
    assert "wrong.xlsx: sheet Findings, row 2, column Due date: contains a formula" in said


def test_entries_follow_a_finding_that_has_another_id_now() -> None:
    entries = (
        HumanEntry(finding_id="a" * 32, owner="Ann", due=date(2027, 3, 1)),
        HumanEntry(finding_id="b" * 32, comment="stays"),
    )
    moved = Decisions(entries=entries).following({"a" * 32: ("c" * 32, "AKIA1")})
    assert [one.finding_id for one in moved.entries] == ["c" * 32, "b" * 32]
    assert (moved.entries[0].owner, moved.entries[0].access_key_id) == ("Ann", "AKIA1")
    assert moved.entries[0].due == date(2027, 3, 1)
