"""A disk that fills up, and evidence that was cut or flipped; rows 29 and 32."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orgscan.errors import ExitCode, IntegrityError
from orgscan.runs.run import Run
from orgscan.simulator import Fault
from tests.kit.commands import Kill, Orgscan, resume_of, scan_of
from tests.kit.scans import Judged, assert_same_evidence, assert_same_tables
from tests.kit.serving import serve_in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from orgscan.simulator import World

KIB = 1 << 10


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def published(run: Path) -> dict[str, str]:
    """What lies in the directory under a name a reader would open, by hash."""
    return {
        path.name: sha256(path)
        for path in run.iterdir()
        if not path.name.startswith((".", "evidence.sqlite"))
    }


@pytest.mark.parametrize("limit", [1, 4, 32, 64, 128, 256, 512])
def test_fault_29_a_full_disk_while_reading_keeps_what_was_stored_before(
    orgscan: Orgscan, fleet: World, undisturbed: Path, limit: int
) -> None:
    with serve_in_thread(fleet) as simulator:
        full = orgscan.run(
            *scan_of(simulator, "--concurrency", 8), simulator=simulator, limit=limit * KIB
        )
        run = orgscan.work / "run"
        if full.returncode == 0:
            assert limit >= 256
        elif full.returncode == ExitCode.USAGE:
            # There was no room even for an empty store: nothing was read, nothing is left.
            assert "cannot be written" in full.line
            assert simulator.count(service="iam") == 0
            assert not run.exists()
            return
        else:
            assert full.returncode == ExitCode.RUN_FAILED, full.stderr
            assert "what was stored before is kept" in full.line
            assert published(run) == {}
            stored = Judged(run).accounts["coverage"].value_counts().to_dict()
            assert set(stored) <= {"COMPLETE", "NOT_ATTEMPTED"}
            resumed = orgscan.run(*resume_of(simulator), simulator=simulator)
            assert resumed.returncode == 0, resumed.stderr
    assert_same_evidence(run, undisturbed)
    assert_same_tables(Run(run), Judged(run))


def test_fault_29_the_nth_write_of_the_reports_fails_for_every_n(
    orgscan: Orgscan, undisturbed: Path
) -> None:
    run = orgscan.work / "run"
    shutil.copytree(undisturbed, run)
    evidence = sha256(run / "evidence.sqlite")
    whole = orgscan.run("report", "run", "--quiet", "--output", "whole", directory="whole")
    assert whole.returncode == 0, whole.stderr
    assert whole.steps > 10
    for place in range(1, whole.steps + 1):
        full = orgscan.run("report", "run", "--quiet", full_at=place)
        if full.returncode == 0:
            break  # the reports need fewer steps in the run's own directory
        assert full.returncode == ExitCode.RUN_FAILED, full.stderr
        assert "No space left on device" in full.line
        assert_none_is_torn(run)
        assert sha256(run / "evidence.sqlite") == evidence
    assert place > 5
    again = orgscan.run("report", "run", "--quiet")
    assert again.returncode == 0, again.stderr
    assert_same_tables(Run(run), Run(orgscan.work / "whole"))


@pytest.mark.parametrize("limit", [1, 6, 12, 20])
def test_fault_29_reports_larger_than_the_disk_are_not_published(
    orgscan: Orgscan, undisturbed: Path, limit: int
) -> None:
    run = orgscan.work / "run"
    shutil.copytree(undisturbed, run)
    full = orgscan.run("report", "run", "--quiet", limit=limit * KIB)
    assert full.returncode == ExitCode.RUN_FAILED, full.stderr
    assert "orgscan report run" in full.line
    assert_none_is_torn(run)
    again = orgscan.run("report", "run", "--quiet")
    assert again.returncode == 0, again.stderr
    assert_same_tables(Run(run), Judged(undisturbed))


def assert_none_is_torn(run: Path) -> None:
    """No manifest, and no file that is a part of itself."""
    assert not (run / "manifest.json").exists()
    for path in run.glob("*.parquet"):
        assert path.read_bytes()[-4:] == b"PAR1", path.name
    for path in run.glob("*.xlsx"):
        assert b"PK\x05\x06" in path.read_bytes()[-64:], path.name


@pytest.fixture
def finished(orgscan: Orgscan, undisturbed: Path) -> Path:
    """A finished run to do damage to."""
    run = orgscan.work / "run"
    shutil.copytree(undisturbed, run)
    assert orgscan.run("report", "run", "--quiet").returncode == 0
    return run


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.999])
def test_fault_32_evidence_that_was_cut_is_an_integrity_failure(
    orgscan: Orgscan, finished: Path, part: float
) -> None:
    store = finished / "evidence.sqlite"
    store.write_bytes(store.read_bytes()[: int(store.stat().st_size * part)])
    for arguments in (("verify", "run"), ("report", "run", "--quiet")):
        told = orgscan.run(*arguments)
        assert told.returncode == ExitCode.INTEGRITY, (arguments, told)
        assert "evidence.sqlite" in told.stdout + told.stderr


def test_fault_32_any_flipped_byte_of_the_evidence_is_an_integrity_failure(
    orgscan: Orgscan, finished: Path
) -> None:
    store = finished / "evidence.sqlite"
    sound = store.read_bytes()
    for place in range(100, len(sound), len(sound) // 5):
        store.write_bytes(sound[:place] + bytes([sound[place] ^ 0x20]) + sound[place + 1 :])
        for arguments in (("verify", "run"), ("report", "run", "--quiet")):
            told = orgscan.run(*arguments)
            assert told.returncode == ExitCode.INTEGRITY, (place, arguments, told)
    store.write_bytes(sound)
    assert orgscan.run("verify", "run").returncode == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE evidence SET content = CAST(replace(content, 'a', 'b') AS BLOB)",
        "UPDATE evidence SET sha256 = replace(sha256, 'a', 'b')",
        "UPDATE outcomes SET evidence_sha256 = replace(evidence_sha256, 'a', 'b')",
        "DELETE FROM evidence WHERE kind = 'access_keys'",
    ],
)
def test_fault_32_altered_evidence_is_found_without_a_manifest_too(
    undisturbed: Path, tmp_path: Path, change: str
) -> None:
    shutil.copytree(undisturbed, tmp_path / "run")
    with closing(sqlite3.connect(tmp_path / "run" / "evidence.sqlite")) as store, store:
        store.execute(change)
    with pytest.raises(IntegrityError, match=r"hash|altered"):
        Judged(tmp_path / "run")


def test_fault_32_a_journal_that_was_cut_costs_the_last_record_which_is_read_again(
    orgscan: Orgscan, fleet: World, undisturbed: Path
) -> None:
    killed = Fault(effect=Kill(orgscan), nth=250)
    with serve_in_thread(fleet, faults=[killed]) as simulator:
        orgscan.run(*scan_of(simulator, "--concurrency", 8), simulator=simulator)
        run = orgscan.work / "run"
        journal = run / "evidence.sqlite-wal"
        assert journal.stat().st_size
        journal.write_bytes(journal.read_bytes()[:-5_000])
        resumed = orgscan.run(*resume_of(simulator), simulator=simulator)
        assert resumed.returncode == 0, resumed.stderr
    assert_same_evidence(run, undisturbed)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["coverage"]["COMPLETE"] == 40
