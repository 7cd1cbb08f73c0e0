from __future__ import annotations

import hashlib
import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orgscan import rundir
from orgscan.errors import UsageError
from orgscan.models import Caller, Organization, RunInfo

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


class TestPublished:
    def test_the_name_appears_with_the_whole_content(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with rundir.published(path) as temporary:
            temporary.write_text("half")
            assert not path.exists()
            assert temporary.parent == path.parent
            temporary.write_text("whole")
        assert path.read_text() == "whole"
        assert names(tmp_path) == ["out.txt"]

    def test_only_the_owner_may_read_it_at_any_time(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with rundir.published(path) as temporary:
            assert mode(temporary) == 0o600
            temporary.unlink()
            temporary.touch(mode=0o644)  # as a library does that writes its own file
        assert mode(path) == 0o600

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old")

        def fail_halfway() -> None:
            with rundir.published(path) as temporary:
                temporary.write_text("new")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_halfway()
        assert path.read_text() == "old"
        assert names(tmp_path) == ["out.txt"]

    def test_replacing_is_one_step(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old")
        with path.open() as reader, rundir.published(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
            assert reader.read() == "old"
        assert path.read_text() == "new"

    def test_a_name_that_cannot_be_taken_leaves_no_rest(self, tmp_path: Path) -> None:
        path = tmp_path / "taken"
        path.joinpath("full").mkdir(parents=True)
        with pytest.raises(OSError, match="directory"), rundir.published(path) as temporary:
            temporary.write_text("new")
        assert names(tmp_path) == ["taken"]

    def test_a_second_writer_does_not_remove_the_file_of_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with rundir.published(path) as temporary:
            temporary.write_text("first")
            with pytest.raises(FileExistsError), rundir.published(path):
                pytest.fail("two may not write the same file")
        assert path.read_text() == "first"


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    tmp_path.joinpath("file").write_bytes(content)
    assert rundir.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


class TestManifest:
    def test_comes_back_as_written(self, tmp_path: Path) -> None:
        content = {"b": [1, None], "a": "ü \U0001f680 \ud800"}
        path = rundir.write_manifest(tmp_path, content)
        assert rundir.read_manifest(tmp_path) == content
        assert mode(path) == 0o600
        assert path.read_bytes().isascii()

    def test_the_same_content_gives_the_same_bytes(self, tmp_path: Path) -> None:
        first = rundir.write_manifest(tmp_path, {"a": 1, "b": 2}).read_bytes()
        assert rundir.write_manifest(tmp_path, {"b": 2, "a": 1}).read_bytes() == first

    def test_what_json_cannot_hold_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = rundir.write_manifest(tmp_path, {})
        with pytest.raises(TypeError):
            rundir.write_manifest(tmp_path, {"a": object()})
        assert json.loads(path.read_text()) == {}
        assert names(tmp_path) == [rundir.MANIFEST]

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            rundir.read_manifest(tmp_path)
        assert "holds no finished run (no manifest.json); run `orgscan report`" in str(caught.value)

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"a": 1'])
    def test_unreadable(self, tmp_path: Path, content: bytes) -> None:
        tmp_path.joinpath(rundir.MANIFEST).write_bytes(content)
        with pytest.raises(UsageError, match=r"manifest\.json: cannot be read"):
            rundir.read_manifest(tmp_path)

    @pytest.mark.parametrize("content", ["[]", "null", "3", '"text"'])
    def test_of_another_kind(self, tmp_path: Path, content: str) -> None:
        tmp_path.joinpath(rundir.MANIFEST).write_text(content)
        with pytest.raises(UsageError, match="is not a manifest"):
            rundir.read_manifest(tmp_path)

    def test_a_directory_in_its_place(self, tmp_path: Path) -> None:
        tmp_path.joinpath(rundir.MANIFEST).mkdir()
        with pytest.raises(UsageError, match="cannot be read"):
            rundir.read_manifest(tmp_path)
