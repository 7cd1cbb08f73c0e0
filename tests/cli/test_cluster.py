"""``--workers`` and ``--scheduler`` of the real command."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.errors import ExitCode
from orgscan.runs.run import Run
from orgscan.simulator import AUDIT_ROLE
from tests.kit.serving import serve_in_thread
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.cluster

Command = Any


def test_an_interrupted_scan_on_workers_is_drained_and_goes_on(
    orgscan: Command, environment: dict[str, str], credentials: Callable[[Any], dict[str, str]]
) -> None:
    world = WORLDS["uniform"](accounts=24, users=2)
    with serve_in_thread(world, record=False) as simulator:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "orgscan", "scan", "--role-name", AUDIT_ROLE,
                "--endpoint-url", simulator.endpoint_url, "--output", "run", "--workers", "2",
                "--concurrency", "4",
            ],
            cwd=orgscan.work,
            env=environment | credentials(simulator),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not simulator.count(action="GetCredentialReport"):
            assert time.monotonic() < deadline
            assert process.poll() is None
            os.sched_yield()
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells the workers as well
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == ExitCode.INTERRUPTED, stderr
        assert "evidence is kept" in stderr
        assert "Traceback" not in stderr
        drained = simulator.count(action="AssumeRole")

        goes_on = orgscan(
            "scan", "--resume", "run", "--workers", "1", "--concurrency", "64", "--quiet",
            env=credentials(simulator),
        )  # fmt: skip
        assert goes_on.returncode == ExitCode.OK, goes_on.stderr
        assert goes_on.stderr == ""
        # No account was begun twice: the workers went on when the signal came.
        assert simulator.count(action="AssumeRole") == len(world.accounts) - 1
    assert 0 < drained < len(world.accounts)
    run = Run(orgscan.work / "run")
    assert set(run.accounts["coverage"]) == {"COMPLETE"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--workers", "2", "--scheduler", "tcp://there:8786"], "cannot be combined"),
        (["--workers", "0"], "--workers"),
        (["--scheduler", ""], "--scheduler: is empty; give an address"),
    ],
)
def test_what_cannot_be_meant_is_refused(orgscan: Command, options: list[str], says: str) -> None:
    finished = orgscan("scan", "--role-name", AUDIT_ROLE, *options)
    assert finished.returncode == ExitCode.USAGE
    assert says in finished.stderr
    assert len(finished.stderr.splitlines()) == 1


def test_a_scheduler_that_is_not_there_is_told_in_one_line_and_leaves_nothing(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    with serve_in_thread(WORLDS["small"]()) as simulator, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # nobody accepts
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--scheduler", f"tcp://127.0.0.1:{listener.getsockname()[1]}", "--output", "run",
            "--quiet", env=credentials(simulator),
        )  # fmt: skip
    assert finished.returncode == ExitCode.USAGE
    assert finished.stderr.startswith("orgscan: no Dask scheduler responds at tcp://")
    assert len(finished.stderr.splitlines()) == 1
    assert not (orgscan.work / "run").exists()
