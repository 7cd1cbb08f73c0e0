from __future__ import annotations

import hashlib
import stat
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orgscan import files
from orgscan.errors import UsageError
from orgscan.models import Caller, Organization, RunInfo
from orgscan.runs import rundir
from orgscan.runs.manifest import File
from orgscan.runs.publication import Publication, is_leftover, retract_manifest
from orgscan.runs.seal import write_sealed
from tests.kit.manifests import described

MOMENT = datetime(2026, 11, 3, 23, 59, 58, tzinfo=UTC)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> list[str]:
    return [item.name for item in path.iterdir()]


def test_a_run_not_told_where_to_go_is_named_by_its_time() -> None:
    assert rundir.default_path(MOMENT) == Path("orgscan-runs/2026-11-03T23-59-58Z")


def test_the_workbook_names_the_organization_and_the_day() -> None:
    info = RunInfo(
        run_id="1",
        organization=Organization("o-abc123", "000000000001"),
        caller=Caller("000000000001", "arn:aws:iam::000000000001:root", "aws"),
        started_at=MOMENT,
        as_of=MOMENT,
        version="1",
        role_name="audit",
    )
    assert rundir.workbook_name(info) == "orgscan-o-abc123-2026-11-03.xlsx"


class TestCreate:
    def test_makes_a_private_directory_and_its_parents(self, tmp_path: Path) -> None:
        path = tmp_path / "a" / "b"
        rundir.create(path)
        assert mode(path) == 0o700
        assert list(path.iterdir()) == []

    def test_accepts_an_empty_directory_and_makes_it_private(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        rundir.create(tmp_path)
        assert mode(tmp_path) == 0o700

    def test_refuses_one_that_holds_anything(self, tmp_path: Path) -> None:
        tmp_path.joinpath(".hidden").touch()
        with pytest.raises(UsageError) as caught:
            rundir.create(tmp_path)
        assert str(caught.value) == f"{tmp_path}: is not empty; choose another --output"
        assert tmp_path.joinpath(".hidden").exists()

    def test_refuses_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_text("precious")
        with pytest.raises(UsageError, match=r"cannot be written \(File exists\); choose another"):
            rundir.create(path)
        assert path.read_text() == "precious"

    def test_refuses_a_path_below_a_file(self, tmp_path: Path) -> None:
        tmp_path.joinpath("file").touch()
        with pytest.raises(UsageError, match=r"cannot be written \(Not a directory\)"):
            rundir.create(tmp_path / "file" / "run")

    def test_refuses_what_the_system_does_not_let_it_make(self) -> None:
        with pytest.raises(UsageError, match="cannot be written"):
            rundir.create(Path("/proc/orgscan-run"))

    def test_refuses_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="File name too long"):
            rundir.create(tmp_path / ("x" * 300))


class TestDiscard:
    def test_removes_a_run_in_which_nothing_was_collected(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        rundir.create(path)
        for suffix in ("", "-wal", "-shm"):
            path.joinpath(f"evidence.sqlite{suffix}").touch()
        rundir.discard(path)
        assert not path.exists()

    def test_leaves_what_is_not_ours(self, tmp_path: Path) -> None:
        tmp_path.joinpath("notes.txt").touch()
        rundir.discard(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

    def test_of_nothing_is_no_error(self, tmp_path: Path) -> None:
        rundir.discard(tmp_path / "none")


def write(publication: Publication, name: str, text: str) -> None:
    with publication.file(name) as path:
        path.write_text(text)


class TestPublication:
    def test_files_appear_together_and_the_manifest_with_them(self, tmp_path: Path) -> None:
        with Publication(tmp_path, remedy="") as publication:
            write(publication, "a.parquet", "a")
            write(publication, "b.parquet", "bb")
            assert not [name for name in names(tmp_path) if not name.startswith(".")]
            publication.commit(described())
        assert sorted(names(tmp_path)) == ["a.parquet", "b.parquet", "manifest.json"]
        assert publication.files["b.parquet"] == files.FileRecord(
            hashlib.sha256(b"bb").hexdigest(), 2
        )
        assert {mode(path) for path in tmp_path.iterdir()} == {0o600}

    def test_without_commit_the_directory_is_as_it_was(self, tmp_path: Path) -> None:
        with Publication(tmp_path, remedy="") as publication:
            write(publication, "a.parquet", "old")
            publication.commit(described())
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with Publication(tmp_path, remedy="") as publication:
            write(publication, "a.parquet", "new")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_a_signature_never_outlives_what_it_signs(self, tmp_path: Path) -> None:
        write_sealed(tmp_path / rundir.SIGNATURE, {})
        with Publication(tmp_path, remedy="") as publication:
            publication.commit(described())
        assert names(tmp_path) == [rundir.MANIFEST]

    @pytest.mark.parametrize("touched", [False, True])
    def test_what_only_the_earlier_manifest_knew_goes_unless_someone_changed_it(
        self, tmp_path: Path, *, touched: bool
    ) -> None:
        outside = tmp_path / "outside.xlsx"
        outside.write_text("x")
        run = tmp_path / "run"
        run.mkdir()
        with Publication(run, remedy="") as publication:
            write(publication, "orgscan-o-1-2026-01-01.xlsx", "january")
            manifested = {name: File(**asdict(of)) for name, of in publication.files.items()}
            manifested["../outside.xlsx"] = File(**asdict(files.record(outside)))
            publication.commit(described(files=manifested))
        if touched:
            run.joinpath("orgscan-o-1-2026-01-01.xlsx").write_text("january, with my notes")
        with Publication(run, remedy="") as publication:
            write(publication, "orgscan-o-1-2026-02-01.xlsx", "february")
            publication.commit(described())
        assert ("orgscan-o-1-2026-01-01.xlsx" in names(run)) == touched
        assert outside.exists()

    def test_leftovers_of_a_killed_process_are_cleared_and_nothing_else(
        self, tmp_path: Path
    ) -> None:
        left = [
            ".accounts.parquet.17.tmp", ".orgscan-o-1-2026-01-01.xlsx.1.tmp", ".orgscan-probe",
            ".manifest.json.9.tmp", ".manifest.sig.json.9.tmp", ".access_keys.csv.3.tmp",
            ".findings.ocsf.jsonl.44.tmp",
        ]  # fmt: skip
        others = [".hidden", ".diary.txt.1.tmp", "accounts.parquet.17.tmp", ".a.parquet.x.tmp"]
        for name in (*left, *others):
            tmp_path.joinpath(name).touch()
        with Publication(tmp_path, remedy=""):
            pass
        assert sorted(names(tmp_path)) == sorted(others)
        assert all(map(is_leftover, left))


def test_evidence_does_not_change_under_a_report(tmp_path: Path) -> None:
    (tmp_path / rundir.MANIFEST).write_bytes(described().sealed())
    with files.locked(tmp_path), pytest.raises(UsageError, match="in use"):
        retract_manifest(tmp_path)
    assert names(tmp_path) == [rundir.MANIFEST]
    retract_manifest(tmp_path)
    assert names(tmp_path) == []


def test_a_run_that_goes_on_keeps_no_file_that_the_next_report_may_not_write(
    tmp_path: Path,
) -> None:
    kept = ("accounts.parquet", "orgscan-o-1-2026-01-01.xlsx")
    asked = ("findings.csv", "findings.ocsf.jsonl", "changes.parquet", "accounts.csv")
    with Publication(tmp_path, remedy="") as publication:
        for name in (*kept, *asked):
            write(publication, name, name)
        manifested = {name: File(**asdict(one)) for name, one in publication.files.items()}
        publication.commit(described(files=manifested))
    tmp_path.joinpath("accounts.csv").write_text("edited by somebody")
    tmp_path.joinpath("diary.csv").touch()

    retract_manifest(tmp_path)
    assert sorted(names(tmp_path)) == sorted([*kept, "accounts.csv", "diary.csv"])
