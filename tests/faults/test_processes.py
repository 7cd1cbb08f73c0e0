"""Signals, and two processes on one run; rows 28 and 30 of the fault matrix."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orgscan.simulator import Fault
from orgscan.simulator.faults import Effect
from tests.kit import faults
from tests.kit.commands import Orgscan, resume_of, scan_of
from tests.kit.scans import assert_same_evidence
from tests.kit.serving import serve_in_thread

if TYPE_CHECKING:
    from orgscan.simulator import World
    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud
    from orgscan.simulator.wire import Answer

PATIENCE = 60.0


@dataclass(frozen=True)
class Reached(Effect):
    """Tells the test that the call has arrived, and lets it pass."""

    event: threading.Event = field(default_factory=threading.Event)

    def before(self, _cloud: Cloud, _call: Call, /) -> str | Answer | None:
        self.event.set()
        return None


def halfway() -> tuple[Reached, list[Fault]]:
    """A fault that strikes nothing but tells when half of the accounts are being read."""
    reached = Reached()
    return reached, [Fault(effect=reached, action="ListUsers", nth=20)]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_fault_28_a_first_signal_drains_and_resuming_gives_the_undisturbed_tables(
    orgscan: Orgscan, fleet: World, undisturbed: Path, number: signal.Signals, code: int
) -> None:
    reached, script = halfway()
    with serve_in_thread(fleet, faults=script) as simulator:
        orgscan.start(*scan_of(simulator, "--concurrency", 8), simulator=simulator)
        assert reached.event.wait(PATIENCE)
        orgscan.send(number)
        cut = orgscan.wait()
        assert cut.returncode == code, cut.stderr
        assert "evidence is kept" in cut.stderr
        assert "Traceback" not in cut.stderr
        entered = simulator.count(action="AssumeRole")
        assert entered < 39  # nothing was admitted any more
        resumed = orgscan.run(*resume_of(simulator), simulator=simulator)
        assert resumed.returncode == 0, resumed.stderr
        assert simulator.count(action="AssumeRole") == 39  # nobody was entered twice
    assert_same_evidence(orgscan.work / "run", undisturbed)


def test_fault_28_a_second_ctrl_c_ends_at_once(orgscan: Orgscan, fleet: World) -> None:
    reached, script = halfway()
    # Accounts in flight would take a minute to drain: nobody answers them.
    script.append(Fault(effect=faults.SILENCE, action="ListUsers", nth=range(20, 10**6)))
    with serve_in_thread(fleet, faults=script) as simulator:
        orgscan.start(*scan_of(simulator, "--concurrency", 8), simulator=simulator)
        assert reached.event.wait(PATIENCE)
        orgscan.send(signal.SIGINT)
        began = time.monotonic()
        while "stopping" not in orgscan.stderr_so_far():
            assert time.monotonic() - began < PATIENCE
            os.sched_yield()
        began = time.monotonic()
        orgscan.send(signal.SIGINT)
        cut = orgscan.wait()
        assert time.monotonic() - began < 10  # the first signal alone would have waited for 20
    assert cut.returncode == 130, cut.stderr
    assert "Traceback" not in cut.stderr
    with serve_in_thread(fleet) as simulator:
        resumed = orgscan.run(*resume_of(simulator), simulator=simulator)
    assert resumed.returncode == 0, resumed.stderr


def test_fault_28_stopped_and_continued_it_ends_as_if_nothing_had_been(
    orgscan: Orgscan, fleet: World, undisturbed: Path
) -> None:
    reached, script = halfway()
    with serve_in_thread(fleet, faults=script) as simulator:
        orgscan.start(*scan_of(simulator, "--concurrency", 8), simulator=simulator)
        assert reached.event.wait(PATIENCE)
        orgscan.send(signal.SIGSTOP)
        state = Path(f"/proc/{orgscan.pid}/stat")
        while state.read_text().rpartition(")")[2].split()[0] != "T":
            os.sched_yield()
        orgscan.send(signal.SIGCONT)
        finished = orgscan.wait()
        assert finished.returncode == 0, finished.stderr
    assert_same_evidence(orgscan.work / "run", undisturbed)


def test_fault_30_a_second_process_is_refused_and_a_stale_lock_is_none(
    orgscan: Orgscan, fleet: World, tmp_path: Path
) -> None:
    reached, script = halfway()
    script.append(Fault(effect=faults.SILENCE, action="ListUsers", nth=range(20, 10**6)))
    with (
        serve_in_thread(fleet, faults=script) as simulator,
        Orgscan(tmp_path / "work", "second") as other,
    ):
        orgscan.start(*scan_of(simulator, "--concurrency", 8), simulator=simulator)
        assert reached.event.wait(PATIENCE)
        for arguments in (
            resume_of(simulator),
            ("report", "run", "--quiet"),
            ("report", "run", "--quiet", "--output", "elsewhere"),
        ):
            second = other.run(*arguments, simulator=simulator)
            assert second.returncode == 2, second.stderr
            assert "in use" in second.line
        taken = other.run(*scan_of(simulator), simulator=simulator)
        assert taken.returncode == 2
        assert "is not empty" in taken.line
        orgscan.send(signal.SIGKILL)
        assert orgscan.wait().returncode == -signal.SIGKILL
    with serve_in_thread(fleet) as simulator:
        resumed = orgscan.run(*resume_of(simulator), simulator=simulator)
    assert resumed.returncode == 0, resumed.stderr
