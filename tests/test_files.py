from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
from pathlib import Path

import pytest

from orgscan import files
from orgscan.errors import RunError, UsageError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names(path: Path) -> list[str]:
    return [item.name for item in path.iterdir()]


class TestPublished:
    def test_the_name_appears_with_the_whole_content(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with files.published(path) as temporary:
            temporary.write_text("half")
            assert not path.exists()
            assert temporary.parent == path.parent
            temporary.write_text("whole")
        assert path.read_text() == "whole"
        assert names(tmp_path) == ["out.txt"]

    def test_only_the_owner_may_read_it_at_any_time(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with files.published(path) as temporary:
            assert mode(temporary) == 0o600
            temporary.unlink()
            temporary.touch(mode=0o644)  # as a library does that writes its own file
        assert mode(path) == 0o600

    def test_an_error_leaves_the_old_file_and_nothing_else(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old")

        def fail_halfway() -> None:
            with files.published(path) as temporary:
                temporary.write_text("new")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_halfway()
        assert path.read_text() == "old"
        assert names(tmp_path) == ["out.txt"]

    def test_replacing_is_one_step(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        path.write_text("old")
        with path.open() as reader, files.published(path) as temporary:
            temporary.write_text("new")
            assert path.read_text() == "old"
            assert reader.read() == "old"
        assert path.read_text() == "new"

    def test_a_name_that_cannot_be_taken_leaves_no_rest(self, tmp_path: Path) -> None:
        path = tmp_path / "taken"
        path.joinpath("full").mkdir(parents=True)
        with (
            pytest.raises(RunError, match=r"taken: cannot be written \(Is a directory\)"),
            files.published(path) as temporary,
        ):
            temporary.write_text("new")
        assert names(tmp_path) == ["taken"]

    def test_a_second_writer_does_not_remove_the_file_of_the_first(self, tmp_path: Path) -> None:
        path = tmp_path / "out.txt"
        with files.published(path) as temporary:
            temporary.write_text("first")
            with pytest.raises(RunError, match="File exists"), files.published(path):
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
            with files.published(path, remedy="buy a larger one"):
                raise error

        with pytest.raises(RunError) as caught:
            fill()
        assert str(caught.value) == f"{path}: cannot be written ({why}); buy a larger one"
        assert names(tmp_path) == []


class TestDrafts:
    def test_an_error_removes_a_draft_and_success_leaves_it_to_be_renamed(
        self, tmp_path: Path
    ) -> None:
        def fail() -> None:
            with files.drafted(tmp_path / "out"):
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        assert names(tmp_path) == []
        with files.drafted(tmp_path / "out") as draft:
            pass
        assert names(tmp_path) == [draft.name]

    def test_a_mark_of_its_own_keeps_two_writers_apart(self, tmp_path: Path) -> None:
        path = tmp_path / "out"
        with files.replaced(path, "1a") as one:
            with files.replaced(path, "2b") as other:
                other.write_text("second")
            one.write_text("first")
        assert path.read_text() == "first"
        assert names(tmp_path) == ["out"]

    @pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOSYS, errno.ENOSPC])
    def test_only_a_file_system_that_cannot_sync_a_directory_is_excused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        def fail(_descriptor: int) -> None:
            raise OSError(number, "")

        monkeypatch.setattr(os, "fsync", fail)
        if number != errno.ENOSPC:
            files.sync_directory(tmp_path)
            return
        with pytest.raises(OSError, match="28"):
            files.sync_directory(tmp_path)


class TestOpened:
    def test_a_pipe_is_never_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(OSError, match="not a file"), files.opened(tmp_path / "pipe"):
            pytest.fail("a pipe was opened")

    def test_nor_is_a_device_read(self) -> None:
        with pytest.raises(OSError, match="not a file"):
            files.record(Path("/dev/zero"))


class TestLocked:
    def test_one_writer_at_a_time(self, tmp_path: Path) -> None:
        with (
            files.locked(tmp_path),
            pytest.raises(UsageError, match="in use by another orgscan process"),
            files.locked(tmp_path, shared=True),
        ):
            pytest.fail("two may not write at once")
        with files.locked(tmp_path):
            pass

    def test_readers_share(self, tmp_path: Path) -> None:
        with (
            files.locked(tmp_path, shared=True),
            files.locked(tmp_path, shared=True),
            pytest.raises(UsageError, match="in use"),
            files.locked(tmp_path),
        ):
            pytest.fail("nobody writes what is being read")

    def test_a_file_system_without_locks_is_no_obstacle(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unsupported(*_arguments: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", unsupported)
        with files.locked(tmp_path):
            tmp_path.joinpath("written").touch()

    def test_of_nothing(self, tmp_path: Path) -> None:
        with (
            pytest.raises(UsageError, match="is not an orgscan run"),
            files.locked(tmp_path / "x"),
        ):
            pytest.fail("there is nothing to lock")


def test_a_record_is_that_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    tmp_path.joinpath("file").write_bytes(content)
    assert files.record(tmp_path / "file") == files.FileRecord(
        hashlib.sha256(content).hexdigest(), 3 << 20
    )
