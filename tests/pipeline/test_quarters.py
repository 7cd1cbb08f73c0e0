"""The demo in quarters: every change that is told is held to what the simulator did."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import openpyxl
import pytest

from orgscan.models import Change, Observer
from orgscan.pipeline.demo import collect_demo, demo_quarters, write_demo_waivers
from orgscan.pipeline.render import render
from orgscan.pipeline.verify import verify
from orgscan.runs.run import Run
from orgscan.schema import CHANGES, TABLES
from orgscan.simulator import Deed
from orgscan.tables import PARTITION
from orgscan.waivers.entries import read_decisions
from tests.kit.clocks import HurriedClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pandas as pd

    from orgscan.simulator import Event, Quarter

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
ACCOUNT_DEEDS = {
    Deed.ACCOUNT_LEFT: Change.ACCOUNT_LEFT,
    Deed.ACCOUNT_SUSPENDED: Change.ACCOUNT_NOT_ACTIVE,
    Deed.ACCOUNT_EXCLUDED: Change.OUT_OF_SCOPE,
    Deed.ROLE_REMOVED: Change.NOT_COMPARED,
}
KEY_DEEDS = {
    Deed.KEY_ROTATED: Change.ROTATED,
    Deed.KEY_REPLACED: Change.ROTATED,
    Deed.KEY_DELETED: Change.KEY_DELETED,
    Deed.KEY_DEACTIVATED: Change.KEY_DEACTIVATED,
}
FIXES = {
    (Deed.MFA_ENABLED, "console-mfa"),
    (Deed.PASSWORD_REMOVED, "console-user"),
    (Deed.PASSWORD_REMOVED, "unused-password"),
    (Deed.PASSWORD_REMOVED, "console-mfa"),
    (Deed.POLICY_SET, "password-length"),
    (Deed.POLICY_SET, "password-reuse"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Quarter, Run]]:
    """Three quarters of the demo, each compared with the one before."""
    parent = tmp_path_factory.mktemp("quarters")
    runs: list[tuple[Quarter, Run]] = []
    quarters = demo_quarters(3, clock=HurriedClock(NOW))
    decisions = read_decisions(write_demo_waivers(parent / "q", quarters[0][0]), None)
    for quarter, clock in quarters:
        run = parent / quarter.name
        collect = partial(collect_demo, run, quarter=quarter)
        asyncio.run(collect(clock=clock, observer=Observer()))
        previous = runs[-1][1].path if runs else None
        render(run, clock=clock, observer=Observer(), previous=previous, decisions=decisions)
        runs.append((quarter, Run(run)))
    return runs


@pytest.fixture(params=[1, 2], ids=["second", "third"])
def pair(made: list[Any], request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return made[request.param - 1], made[request.param]


def rows(run: Run) -> pd.DataFrame:
    assert run.changes is not None
    return run.changes


def concerning(event: Event, changes: pd.DataFrame) -> pd.DataFrame:
    found = changes[changes["account_id"] == event.account_id]
    if event.user:
        found = found[found["user"] == event.user]
    if event.access_key_id:
        found = found[found["access_key_id"] == event.access_key_id]
    return found


def open_ids(run: Run) -> set[str]:
    findings = run.findings
    return set(findings.loc[findings["status"].isin(["FAIL", "WAIVED"]), "finding_id"])


def test_runs_are_a_quarter_apart_and_named_by_it(made: list[Any]) -> None:
    assert [quarter.name for quarter, _run in made] == ["2026-Q2", "2026-Q3", "2026-Q4"]
    times = [datetime.fromisoformat(run.manifest["as_of"]) for _quarter, run in made]
    assert [(later - earlier).days for earlier, later in itertools.pairwise(times)] == [
        91,
        91,
    ]
    assert times[-1] == NOW
    assert made[0][1].changes is None


def test_every_run_is_whole_and_continues_the_one_before(pair: Any) -> None:
    (_, before), (_, now) = pair
    found = verify(now.path, previous=before.path)
    assert found.problems == ()
    assert found.files == 8


def test_every_kind_of_change_a_world_can_show_is_there(made: list[Any]) -> None:
    told = {*rows(made[1][1])["change"], *rows(made[2][1])["change"]}
    assert told == {change.value for change in Change}
    second = set(rows(made[1][1])["change"])
    assert {change.value for change in Change} - second == {Change.RESOLVED_EARLIER}


def test_waivers_begin_and_end_in_the_second_quarter(made: list[Any]) -> None:
    told = rows(made[1][1]).set_index("change")
    ended, begun = told.loc[[Change.WAIVER_ENDED]], told.loc[[Change.WAIVED]]
    assert ended[["user", "control_id", "previous_status", "status"]].to_numpy().tolist() == [
        ["edi_bridge", "signing-certificate", "WAIVED", "FAIL"]
    ]
    assert begun[["user", "control_id", "previous_status", "status"]].to_numpy().tolist() == [
        ["zofia.novak", "console-user", "FAIL", "WAIVED"]
    ]
    findings = made[1][1].findings.set_index("finding_id")
    assert "; waiver W-1 expired 2026-" in findings.loc[ended["finding_id"].item(), "reason"]
    assert "by W-2" in findings.loc[begun["finding_id"].item(), "reason"]
    notes = " ".join(made[1][1].manifest["notes"])
    assert "W-1" in notes


def test_every_open_finding_of_either_run_stands_once(pair: Any) -> None:
    (_, before), (_, now) = pair
    changes = rows(now)
    assert changes["finding_id"].is_unique
    is_open = changes["change"].isin([kind.value for kind in Change if kind.is_open])
    assert set(changes.loc[is_open, "finding_id"]) == open_ids(now)
    # Keys that could not be listed then have other ids now: told by user and slot.
    lost = open_ids(before) - set(changes["finding_id"])
    findings = before.findings.set_index("finding_id")
    assert findings.loc[list(lost), "access_key_id"].isna().all()
    assert findings.loc[list(lost), "slot"].notna().all()
    assert len(lost) <= 3


def test_each_deed_has_its_change(pair: Any) -> None:
    _, (quarter, now) = pair
    changes = rows(now)
    for event in quarter.events:
        found = concerning(event, changes[changes["change"] != Change.RESOLVED_EARLIER])
        kinds = set(found["change"])
        if event.deed in ACCOUNT_DEEDS:
            assert kinds == {ACCOUNT_DEEDS[event.deed]}, event
        elif event.deed is Deed.USER_DELETED:
            assert kinds == {Change.USER_DELETED}, event
        elif event.deed is Deed.ACCOUNT_JOINED:
            assert kinds == {Change.NEW}, event
        elif event.deed is Deed.KEY_REACTIVATED:
            assert kinds == {Change.REOPENED, Change.KEY_REACTIVATED}, event
            dormant = found.loc[found["change"] == Change.KEY_REACTIVATED, "control_id"]
            assert set(dormant) == {"inactive-access-key"}
        elif event.deed in KEY_DEEDS:
            inactive = found["control_id"] == "inactive-access-key"
            assert set(found.loc[~inactive, "change"]) <= {KEY_DEEDS[event.deed]}, event
            assert set(found.loc[inactive, "change"]) <= {Change.NEW, Change.REOPENED}, event
        for deed, control in FIXES:
            if event.deed is deed:
                assert set(found.loc[found["control_id"] == control, "change"]) <= {Change.FIXED}


def explained(quarter: Quarter, earlier: Quarter) -> Iterator[tuple[str, str, str, str]]:
    """(kind, account, user, key) of everything the simulator's deeds account for."""
    for event in quarter.events:
        if event.deed in ACCOUNT_DEEDS:
            yield ACCOUNT_DEEDS[event.deed], event.account_id, "", ""
        elif event.deed is Deed.USER_DELETED:
            yield Change.USER_DELETED, event.account_id, event.user, ""
        elif event.deed is Deed.KEY_REACTIVATED:
            yield Change.REOPENED, event.account_id, event.user, event.access_key_id
        elif event.deed in KEY_DEEDS:
            yield KEY_DEEDS[event.deed], event.account_id, event.user, event.access_key_id
        elif event.deed is Deed.ROLE_GRANTED:
            yield Change.FIRST_COMPARED, event.account_id, "", ""
    for one in earlier.excluded:
        yield Change.FIRST_COMPARED, one, "", ""


def test_no_change_is_told_that_nobody_made(pair: Any) -> None:
    """Rotated, deleted, gone, unread, first compared: each row has a deed of its kind."""
    (earlier, _), (quarter, now) = pair
    deeds = set(explained(quarter, earlier))
    asked = {kind for kind in Change if kind.is_resolved} - {Change.FIXED}
    asked |= {Change.NOT_COMPARED, Change.FIRST_COMPARED}
    changes = rows(now)
    for row in changes[changes["change"].isin(asked)].itertuples():
        kind = str(row.change)
        user = row.user if isinstance(row.user, str) else ""
        key = row.access_key_id if isinstance(row.access_key_id, str) else ""
        places = {(kind, row.account_id, *more) for more in (("", ""), (user, ""), (user, key))}
        # Which virtual devices an account has was refused it in every quarter.
        if row.status == "UNKNOWN" or row.previous_status == "UNKNOWN":
            continue
        assert places & deeds, row


def test_resolved_by_other_means_is_fixed_and_passes_now(pair: Any) -> None:
    _, (_, now) = pair
    changes = rows(now)
    fixed = changes[changes["change"] == Change.FIXED]
    assert set(fixed["status"]) <= {"PASS", "NOT_APPLICABLE"}


def test_first_seen_outlives_a_quarter_in_which_nobody_could_look(made: list[Any]) -> None:
    first, second, third = (run for _quarter, run in made)
    unread = rows(second)
    unread = unread[unread["change"].isin([Change.NOT_COMPARED, Change.OUT_OF_SCOPE])]
    assert len(unread) > 20
    again = rows(third).set_index("finding_id")
    found = again.loc[unread["finding_id"]]
    began = datetime.fromisoformat(first.manifest["as_of"])
    still = found[found["change"] == Change.STILL_OPEN]
    assert len(still) > 20
    assert (still["first_seen_at"] == began).all()
    assert (still["age_quarters"] == 2).all()
    seen = third.findings.set_index("finding_id")["first_seen_at"]
    assert (seen.loc[still.index] == began).all()


def test_the_workbook_tells_it(made: list[Any]) -> None:
    _, run = made[1]
    book = openpyxl.load_workbook(run.workbook, read_only=False)
    lines = [[cell.value for cell in row[:3]] for row in book["Changes"].iter_rows()]
    assert lines[0][0].startswith("Changes since the run of 2026-05-22")
    counts = rows(run)["change"].value_counts()
    table = next(place for place, line in enumerate(lines) if line[0] == "Change")
    told = {line[0]: line[1] for line in lines[:table] if isinstance(line[1], int)}
    labels = {change.value: change.label for change in Change}
    expected = {labels[code]: count for code, count in counts.items()}
    assert {name: told[name] for name in told if name in labels.values()} == expected
    assert told["Joined"] == told["Left"] == told["Worse"] == 1
    body = [line[0] for line in lines[table + 1 :]]
    assert {name: body.count(name) for name in set(body)} == expected
    (ref,) = [sheet.ref for sheet in book["Changes"].tables.values()]
    assert ref == f"A{table + 1}:{ref.split(':')[1]}"
    assert ref.endswith(str(len(lines)))
    cover = [cell.value for row in book["Cover"].iter_rows() for cell in row if cell.value]
    assert "Since the run of 2026-05-22" in cover
    assert any(str(value).startswith(f"Findings: {counts['new']} new, ") for value in cover)
    words = {row[1].value for row in book["Data dictionary"].iter_rows()}
    assert words >= set(labels.values())
    cells = [str(cell.value) for page in book for row in page.iter_rows() for cell in row]
    codes = [code for code in labels if "_" in code]
    assert [cell for cell in cells if any(code in cell for code in codes)] == []


@pytest.mark.parametrize("partition", [1, 7])
def test_partitions_of_any_size_give_the_same_files(
    made: list[tuple[Quarter, Run]], partition: int, tmp_path: Path
) -> None:
    (_, then), (quarter, now) = made[-2:]
    waivers = then.path.parent / "q" / "waivers.toml"
    for name, size in (("parts", partition), ("whole", PARTITION)):
        render(
            now.path,
            output=tmp_path / name,
            clock=HurriedClock(quarter.world.now),
            observer=Observer(),
            previous=then.path,
            frameworks=["cis-7.0", "fsbp"],
            decisions=read_decisions(waivers, None),
            formats=("csv", "ocsf"),
            partition=size,
        )
    parts, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("parts", "whole")
    )
    assert parts.keys() == whole.keys()
    assert len([name for name in whole if name.endswith(".parquet")]) == 6
    (book,) = (tmp_path / "whole").glob("*.xlsx")
    cover = [row[1].value for row in openpyxl.load_workbook(book)["Cover"].iter_rows()]
    tables = [table.name for table in (*TABLES, CHANGES)]
    for kind in ("parquet", "csv"):
        listed = [str(value) for value in cover if str(value).endswith(f".{kind}")]
        assert listed == [f"{table}.{kind}" for table in tables]
    for name in whole:
        if name.endswith((".parquet", ".csv", ".jsonl")):
            assert parts[name] == whole[name], name
    manifests = [Run(tmp_path / name).manifest for name in ("parts", "whole")]
    # The seal covers the times that the two renderings took.
    own = dict.fromkeys(("files", "rendered_at", "sha256"))
    parted, at_once = (
        {**manifest, **own, "work": {**manifest["work"], "seconds": None}} for manifest in manifests
    )
    assert parted == at_once
