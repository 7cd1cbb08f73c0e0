"""An earlier run is used as it was sealed, or refused in one line; the difference as a file."""

from __future__ import annotations

import csv
import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orgscan import files, settings
from orgscan.cli import main
from orgscan.errors import ExitCode
from orgscan.models import Change, Observer
from orgscan.pipeline.publish import open_history, publish
from orgscan.pipeline.render import render
from orgscan.pipeline.verify import verify
from orgscan.runs.run import Run
from orgscan.runs.seal import write_sealed
from orgscan.schema import CHANGES
from tests.kit.clocks import HurriedClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


@pytest.fixture
def runs(two_quarters: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Copies to spoil."""
    shutil.copytree(two_quarters, tmp_path / "runs")
    return tmp_path / "runs" / "2026-Q3", tmp_path / "runs" / "2026-Q4"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def reseal(run: Path, **changes: Any) -> None:
    """Somebody edits a manifest and knows how to seal it again."""
    content = json.loads((run / "manifest.json").read_text())
    write_sealed(run / "manifest.json", {**content, **changes})


def reseal_table(run: Path, name: str) -> None:
    manifested = json.loads((run / "manifest.json").read_text())["files"]
    found = files.record(run / name)
    reseal(run, files={**manifested, name: {"sha256": found.sha256, "size": found.size}})


def retype(run: Path) -> None:
    path = run / "accounts.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("account_id")
    numbers = pa.array([int(value) for value in table["account_id"].to_pylist()])
    pq.write_table(table.set_column(place, "account_id", numbers), path)
    reseal_table(run, "accounts.parquet")


def cut(run: Path) -> None:
    path = run / "findings.parquet"
    path.write_bytes(path.read_bytes()[:100])
    reseal_table(run, "findings.parquet")


def change_a_byte(run: Path, name: str = "findings.parquet") -> None:
    content = bytearray((run / name).read_bytes())
    content[200] ^= 1
    (run / name).write_bytes(content)


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no manifest": (lambda run: (run / "manifest.json").unlink(), "no manifest.json"),
    "edited manifest": (
        lambda run: (run / "manifest.json").write_text(
            (run / "manifest.json").read_text().replace("false", "true", 1)
        ),
        "was edited",
    ),
    "changed Parquet": (change_a_byte, "findings.parquet: was changed"),
    "missing Parquet": (lambda run: (run / "access_keys.parquet").unlink(), "cannot be read"),
    "retyped Parquet": (retype, "accounts.parquet"),
    "cut Parquet": (cut, "findings.parquet: cannot be read as Parquet"),
    "newer manifest": (lambda run: reseal(run, format=2), "newer orgscan"),
    "newer tables": (lambda run: reseal(run, schema=2), "schema 2"),
    "not a manifest": (lambda run: reseal(run, files=7), "is not the manifest of a run"),
    "other organization": (
        lambda run: reseal(run, organization_id="o-another"),
        "o-another",
    ),
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_bad_earlier_run_is_one_line_and_nothing_is_lost(
    name: str, runs: tuple[Path, Path], cli: Callable[..., tuple[int, str, str]]
) -> None:
    spoil, words = SPOILED[name]
    first, second = runs
    before = (second / "manifest.json").read_bytes()
    spoil(first)
    for arguments in (
        ("report", second, "--previous", first, "--quiet"),
        ("compare", first, second),
    ):
        code, _out, err = cli(*arguments)
        assert code == ExitCode.USAGE
        assert len(err.splitlines()) == 1, err
        assert words in err
        assert str(first) in err
    assert (second / "manifest.json").read_bytes() == before


def test_a_changed_memory_is_refused_too(
    runs: tuple[Path, Path], cli: Callable[..., tuple[int, str, str]]
) -> None:
    first, second = runs
    change_a_byte(second, "changes.parquet")
    code, _out, err = cli("compare", first, second)
    assert code == ExitCode.USAGE
    assert "changes.parquet: was changed" in err
    assert any("changes.parquet" in problem for problem in verify(second).problems)


def test_a_report_without_the_earlier_run_compares_nothing_and_says_so(
    runs: tuple[Path, Path],
) -> None:
    first, second = runs
    memory = (second / "changes.parquet").read_bytes()
    render(second, clock=HurriedClock(NOW), observer=Observer())
    run = Run(second)
    assert run.changes is None
    assert not (second / "changes.parquet").exists()
    assert any("nothing is compared" in note for note in run.manifest["notes"])
    assert run.manifest["previous"]["run_id"] == Run(first).manifest["run_id"]
    assert verify(second, previous=first).problems == ()
    render(second, clock=HurriedClock(NOW), observer=Observer(), previous=first)
    assert (second / "changes.parquet").read_bytes() == memory, "the same runs, the same bytes"
    assert not any("compared" in note for note in Run(second).manifest["notes"])


def test_other_limits_are_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    first, second = runs
    out = render(
        second,
        clock=HurriedClock(NOW),
        observer=Observer(),
        output=tmp_path / "lax",
        settings=settings.load(environment={}, thresholds={"access_key_max_age_days": 36_500}),
        previous=first,
    )
    run = Run(out)
    (note,) = [note for note in run.manifest["notes"] if "other limits" in note]
    assert "access key max age days 90.0 then, 36500.0 now" in note or "90 then" in note
    assert run.changes is not None
    kinds = run.changes.loc[run.changes["control_id"] == "access-key-rotation", "change"]
    assert Change.NEW not in set(kinds)


def test_compare_tells_what_the_report_told(
    runs: tuple[Path, Path], cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    first, second = runs
    changes = Run(second).changes
    assert changes is not None
    code, out, err = cli("compare", first, second, "--output", tmp_path / "changes.json")
    assert (code, err) == (ExitCode.OK, "")
    for change, count in changes["change"].value_counts().items():
        assert f"  {Change(change).label:<27} {count:>6}" in out
    assert "worse" in out or "better" in out
    told = json.loads((tmp_path / "changes.json").read_text())
    assert [row["finding_id"] for row in told["changes"]] == changes["finding_id"].tolist()
    assert [row["change"] for row in told["changes"]] == changes["change"].tolist()
    assert told["previous"]["run_id"] == Run(first).manifest["run_id"]

    assert cli("compare", first, second, "--output", tmp_path / "changes.csv")[0] == ExitCode.OK
    raw = (tmp_path / "changes.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(raw.decode("utf-8-sig").splitlines()))
    assert list(rows[0]) == CHANGES.column_names
    assert [row["account_id"] for row in rows] == changes["account_id"].tolist()


def test_no_cell_of_the_csv_begins_a_formula(tmp_path: Path) -> None:
    from orgscan.reports import write_csv  # noqa: PLC0415 - of this test alone

    names = ["=1+1", "+1", "-1", "@x", "\t=1", "fine", None, "two\nlines", "lone \ud800"]
    path = tmp_path / "x.csv"
    write_csv(path, pd.DataFrame({"user": pd.Series(names, dtype=object)}))
    with path.open(encoding="utf-8-sig", newline="") as file:
        cells = [row[0] for row in csv.reader(file) if row][1:]
    assert cells[:6] == ["'=1+1", "'+1", "'-1", "'@x", "'\t'=1", "fine"]
    assert cells[-1] == "lone \\ud800"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("2026-Q4", "2026-Q3"), "began later"),
        (("2026-Q3", "2026-Q3"), "the same run"),
        (("2026-Q3", "nowhere"), "no finished run"),
        (("2026-Q3", "2026-Q4", "--output", "x.txt"), ".csv or .json"),
        (("2026-Q3", "2026-Q4", "--output", "no/such/x.csv"), "directory that exists"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    arguments: tuple[str, ...],
    words: str,
    two_quarters: Path,
    cli: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(two_quarters)
    code, out, err = cli("compare", *arguments)
    assert (code, out) == (ExitCode.USAGE, "")
    assert len(err.splitlines()) == 1
    assert words in err


def test_the_trend_of_published_runs(
    two_quarters: Path, cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    history = str(tmp_path / "history")
    for name in ("2026-Q3", "2026-Q4"):
        publish(two_quarters / name, history, observer=Observer())
    opened = open_history(history)
    trend = opened.trend()
    for name in ("2026-Q3", "2026-Q4"):
        run = Run(two_quarters / name)
        mine = trend[trend["run_id"] == run.manifest["run_id"]].set_index("control_id")
        for control, counts in run.manifest["findings"].items():
            if any(counts.values()):
                for status in ("FAIL", "WAIVED", "UNKNOWN", "PASS"):
                    assert mine.loc[control, status] == counts[status]
        assert set(mine["gaps"]) == {len(run.gaps)}
        assert set(mine["accounts_read"]) == {run.manifest["coverage"]["COMPLETE"]}
    by_ou = opened.trend(by="ou")
    assert (
        by_ou.groupby(["run_id", "control_id"])["FAIL"]
        .sum()
        .equals(trend.groupby(["run_id", "control_id"])["FAIL"].sum())
    )
    assert by_ou["ou"].str.count("/").max() <= 1
    later = opened.trend(since=NOW.date())
    assert set(later["snapshot_date"]) == {NOW.date()}

    code, out, err = cli("trend", history)
    assert (code, err) == (ExitCode.OK, "")
    assert "2026-08-21*" in out, "its gaps are marked"
    assert "accounts with gaps" in out
    assert "access-key-rotation" in out
    code, out, _err = cli("trend", history, "--by", "ou")
    assert code == ExitCode.OK
    assert "access-key-rotation  Root/Workloads" in out
    for arguments in ((tmp_path / "nowhere",), (history, "--by", "user")):
        code, _out, err = cli("trend", *arguments)
        assert code == ExitCode.USAGE
        assert len(err.splitlines()) == 1


def test_a_scan_says_before_it_begins_that_the_earlier_run_was_changed(
    runs: tuple[Path, Path], cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    change_a_byte(runs[0])
    new = tmp_path / "new"
    code, _out, err = cli("scan", "--role-name", "A", "--previous", runs[0], "--output", new)
    assert code == ExitCode.USAGE
    assert "findings.parquet: was changed" in err
    assert not new.exists()
