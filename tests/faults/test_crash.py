"""kill -9 at any moment, then resume: row 28 of the fault matrix, and the promise P3.

Six moments by default; ``CRASH_MOMENTS=20 python -m pytest -m slow tests/faults/test_crash.py``
takes twenty. The first part of them are calls AWS receives, spread over the run; the others are
steps in the run directory: creating the store, writing, renaming and committing the reports.
"""

from __future__ import annotations

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orgscan.errors import ExitCode
from orgscan.runs.run import Run
from orgscan.simulator import Fault
from tests.kit.commands import Kill, Orgscan, resume_of, scan_of
from tests.kit.scans import assert_same_evidence
from tests.kit.serving import serve_in_thread

if TYPE_CHECKING:
    from pathlib import Path

    from orgscan.simulator import World


pytestmark = pytest.mark.slow

MOMENTS = int(os.environ.get("CRASH_MOMENTS", "6"))
AT_ONCE = 2


def spread(count: int, last: int) -> list[int]:
    """So many places from 1 to ``last``, both included."""
    return [1 + place * (last - 1) // (count - 1) for place in range(count)]


@pytest.fixture
def moments(fleet: World, tmp_path: Path) -> list[tuple[str, int]]:
    """Half of the moments by call, half by step, from the first to the last of either."""
    with (
        Orgscan(tmp_path / "measured") as program,
        serve_in_thread(fleet) as simulator,
    ):
        whole = program.run(*scan_of(simulator), simulator=simulator)
    assert whole.returncode == 0, whole.stderr
    calls = spread((MOMENTS + 1) // 2, len(simulator.calls))
    steps = spread(MOMENTS // 2, whole.steps)
    return [*(("call", place) for place in calls), *(("step", place) for place in steps)]


def crash_and_resume(
    fleet: World, directory: Path, undisturbed: Path, moment: tuple[str, int]
) -> str:
    """What became of one crash; empty where all is as it should be."""
    what, place = moment
    with Orgscan(directory) as program:
        script = [Fault(effect=Kill(program), nth=place)] if what == "call" else []
        with serve_in_thread(fleet, faults=script) as simulator:
            killed = program.run(
                *scan_of(simulator, "--concurrency", 8),
                simulator=simulator,
                kill_at=place if what == "step" else None,
            )
            if killed.returncode != -signal.SIGKILL:
                return f"ended with {killed.returncode} before it could be killed {killed.stderr}"
            run = directory / "run"
            finished = (run / "manifest.json").exists()
            again = program.run(*resume_of(simulator), simulator=simulator)
            if again.returncode == ExitCode.USAGE and not finished:
                # Nothing had been read: the message says so, and a new scan is all it takes.
                if simulator.count(service="iam"):
                    return f"lost what it had read: {again.line}"
                shutil.rmtree(run, ignore_errors=True)
                again = program.run(*scan_of(simulator), simulator=simulator)
            elif finished and "already complete" in again.line:
                again = program.run("report", "run", "--quiet")
            if again.returncode:
                return f"could not go on: {again.stderr}"
            if simulator.undeclared:
                return f"called {simulator.undeclared[0].name}"
        entered = [call.target for call in simulator.calls if call.action == "AssumeRole"]
        assert_same_evidence(run, undisturbed)
        left = sorted(path.name for path in run.iterdir())
        expected = sorted({*Run(run).manifest["files"], "evidence.sqlite", "manifest.json"})
        if left != expected:
            return f"left {left}"
        # No more accounts were entered twice than were in flight when it died.
        repeated = len(entered) - len(set(entered))
        return f"read {repeated} accounts twice" if repeated > 8 else ""


def test_fault_28_killed_at_any_moment_a_run_resumes_to_the_undisturbed_tables(
    fleet: World, undisturbed: Path, moments: list[tuple[str, int]], tmp_path: Path
) -> None:
    def one(moment: tuple[str, int]) -> str:
        directory = tmp_path / f"{moment[0]}-{moment[1]}"
        return crash_and_resume(fleet, directory, undisturbed, moment)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = dict(zip(moments, pool.map(one, moments), strict=True))
    assert len(ends) == MOMENTS
    assert {moment: end for moment, end in ends.items() if end} == {}
