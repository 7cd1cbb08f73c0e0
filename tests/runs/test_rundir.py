from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orgscan.errors import RunError, UsageError
from orgscan.models import Caller, Organization, RunInfo
from orgscan.runs import rundir

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
        with (
            pytest.raises(RunError, match=r"taken: cannot be written \(Is a directory\)"),
            rundir.published(path) as temporary,
        ):
            temporary.write_text("new")
        assert names(tmp_path) == ["taken"]

    def test_a_second_writer_does_not_remove_the_file_of_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with rundir.published(path) as temporary:
            temporary.write_text("first")
            with pytest.raises(RunError, match="File exists"), rundir.published(path):
                pytest.fail("two may not write the same file")
        assert path.read_text() == "first"

    @pytest.mark.parametrize(
        ("error", "why"),
        [
            (OSError(errno.ENOSPC, "as a library words it"), "No space left on device"),
            (OSError(errno.EFBIG, ""), "File too large"),
            (OSError("no number,\nmany lines"), "no number, many lines"),
        ],
    )
    def test_a_full_disk_is_one_line_with_what_to_do(
        self, tmp_path: Path, error: OSError, why: str
    ) -> None:
        path = tmp_path / "out.txt"

        def fill() -> None:
            with rundir.published(path, remedy="buy a larger one"):
                raise error

        with pytest.raises(RunError) as caught:
            fill()
        assert str(caught.value) == f"{path}: cannot be written ({why}); buy a larger one"
        assert names(tmp_path) == []


def write(publication: rundir.Publication, name: str, text: str) -> None:
    with publication.file(name) as path:
        path.write_text(text)


class TestPublication:
    def test_files_appear_together_and_the_manifest_with_them(self, tmp_path: Path) -> None:
        with rundir.Publication(tmp_path, remedy="") as publication:
            write(publication, "a.parquet", "a")
            write(publication, "b.parquet", "bb")
            assert not [name for name in names(tmp_path) if not name.startswith(".")]
            publication.commit({"files": {}})
        assert sorted(names(tmp_path)) == ["a.parquet", "b.parquet", "manifest.json"]
        assert publication.files["b.parquet"] == rundir.FileRecord(
            hashlib.sha256(b"bb").hexdigest(), 2
        )
        assert {mode(path) for path in tmp_path.iterdir()} == {0o600}

    def test_without_commit_the_directory_is_as_it_was(self, tmp_path: Path) -> None:
        with rundir.Publication(tmp_path, remedy="") as publication:
            write(publication, "a.parquet", "old")
            publication.commit({})
        before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        with rundir.Publication(tmp_path, remedy="") as publication:
            write(publication, "a.parquet", "new")
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    def test_a_signature_never_outlives_what_it_signs(self, tmp_path: Path) -> None:
        rundir.write_sealed(tmp_path / rundir.SIGNATURE, {})
        with rundir.Publication(tmp_path, remedy="") as publication:
            publication.commit({})
        assert names(tmp_path) == [rundir.MANIFEST]

    @pytest.mark.parametrize("touched", [False, True])
    def test_what_only_the_earlier_manifest_knew_goes_unless_someone_changed_it(
        self, tmp_path: Path, *, touched: bool
    ) -> None:
        outside = tmp_path / "outside.xlsx"
        outside.write_text("x")
        run = tmp_path / "run"
        run.mkdir()
        with rundir.Publication(run, remedy="") as publication:
            write(publication, "orgscan-o-1-2026-01-01.xlsx", "january")
            files = {name: {"sha256": of.sha256, "size": of.size}
                     for name, of in publication.files.items()}  # fmt: skip
            record = rundir.record(outside)
            files["../outside.xlsx"] = {"sha256": record.sha256, "size": record.size}
            publication.commit({"files": files})
        if touched:
            run.joinpath("orgscan-o-1-2026-01-01.xlsx").write_text("january, with my notes")
        with rundir.Publication(run, remedy="") as publication:
            write(publication, "orgscan-o-1-2026-02-01.xlsx", "february")
            publication.commit({})
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
        with rundir.Publication(tmp_path, remedy=""):
            pass
        assert sorted(names(tmp_path)) == sorted(others)
        assert all(map(rundir.is_leftover, left))


class TestLocked:
    def test_one_writer_at_a_time(self, tmp_path: Path) -> None:
        with (
            rundir.locked(tmp_path),
            pytest.raises(UsageError, match="in use by another orgscan process"),
            rundir.locked(tmp_path, shared=True),
        ):
            pytest.fail("two may not write at once")
        with rundir.locked(tmp_path):
            pass

    def test_readers_share(self, tmp_path: Path) -> None:
        with (
            rundir.locked(tmp_path, shared=True),
            rundir.locked(tmp_path, shared=True),
            pytest.raises(UsageError, match="in use"),
            rundir.locked(tmp_path),
        ):
            pytest.fail("nobody writes what is being read")

    def test_a_file_system_without_locks_is_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unsupported(*_arguments: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", unsupported)
        with rundir.locked(tmp_path):
            tmp_path.joinpath("written").touch()

    def test_of_nothing(self, tmp_path: Path) -> None:
        with (
            pytest.raises(UsageError, match="is not an orgscan run"),
            rundir.locked(tmp_path / "x"),
        ):
            pytest.fail("there is nothing to lock")

    def test_evidence_does_not_change_under_a_report(self, tmp_path: Path) -> None:
        rundir.write_sealed(tmp_path / rundir.MANIFEST, {})
        with rundir.locked(tmp_path), pytest.raises(UsageError, match="in use"):
            rundir.retract_manifest(tmp_path)
        assert names(tmp_path) == [rundir.MANIFEST]
        rundir.retract_manifest(tmp_path)
        assert names(tmp_path) == []


def test_a_run_that_goes_on_keeps_no_file_that_the_next_report_may_not_write(
    tmp_path: Path,
) -> None:
    kept = ("accounts.parquet", "orgscan-o-1-2026-01-01.xlsx")
    asked = ("findings.csv", "findings.ocsf.jsonl", "changes.parquet", "accounts.csv")
    with rundir.Publication(tmp_path, remedy="") as publication:
        for name in (*kept, *asked):
            write(publication, name, name)
        files = {name: asdict(one) for name, one in publication.files.items()}
        publication.commit({"files": files})
    tmp_path.joinpath("accounts.csv").write_text("edited by somebody")
    tmp_path.joinpath("diary.csv").touch()

    rundir.retract_manifest(tmp_path)
    assert sorted(names(tmp_path)) == sorted([*kept, "accounts.csv", "diary.csv"])


def test_a_record_is_that_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    tmp_path.joinpath("file").write_bytes(content)
    assert rundir.record(tmp_path / "file") == rundir.FileRecord(
        hashlib.sha256(content).hexdigest(), 3 << 20
    )


class TestSeal:
    CONTENT = {"b": [1, None, 1.5], "a": "\u00fc \U0001f680 \ud800", "c": {"x": True}}  # noqa: RUF012

    def test_comes_back_as_written(self) -> None:
        content, fault = rundir.unseal(rundir.seal(self.CONTENT))
        assert content is not None
        assert not fault
        assert {name: content[name] for name in self.CONTENT} == self.CONTENT
        assert rundir.seal(self.CONTENT).isascii()

    def test_the_same_content_gives_the_same_bytes(self) -> None:
        turned = dict(reversed(self.CONTENT.items()))
        assert rundir.seal(turned) == rundir.seal(self.CONTENT)

    def test_every_changed_lost_or_added_byte_is_found(self) -> None:
        raw = rundir.seal(self.CONTENT)
        for place in range(len(raw)):
            for mask in (0x01, 0x20, 0x80):
                flipped = bytes([raw[place] ^ mask])
                assert rundir.unseal(raw[:place] + flipped + raw[place + 1 :])[1], (place, mask)
            assert rundir.unseal(raw[:place])[1], place
            assert rundir.unseal(raw[:place] + raw[place + 1 :])[1], place
            assert rundir.unseal(raw[:place] + b" " + raw[place:])[1], place
        assert rundir.unseal(raw + b"\n")[1]

    @pytest.mark.parametrize(
        "raw",
        [
            b"", b"[]", b"null", b"{}", b"{" * 100_000, b'{"a":' * 50_000,
            b"1" * 10_000, b"\xff", b'{"sha256": "", "sha256": ""}',
        ],
    )  # fmt: skip
    def test_what_is_no_sealed_file(self, raw: bytes) -> None:
        assert rundir.unseal(raw)[1]


class TestManifest:
    def test_what_json_cannot_hold_leaves_the_old_one(self, tmp_path: Path) -> None:
        path = tmp_path / rundir.MANIFEST
        rundir.write_sealed(path, {"a": 1})
        with pytest.raises(TypeError):
            rundir.write_sealed(path, {"a": object()})
        assert json.loads(path.read_text())["a"] == 1
        assert names(tmp_path) == [rundir.MANIFEST]
        assert mode(path) == 0o600

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
