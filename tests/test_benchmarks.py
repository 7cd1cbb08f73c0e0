"""The benchmarks still run; what they measure at this size means nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[1]


def _benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_benchmark_runs() -> None:
    done = _benchmarks("--quick")
    assert done.returncode == 0, done.stderr
    told = [line.split("|")[1:4] for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(told) > 20
    assert all(what.strip() and figure.strip() for what, figure, _target in told)
    # The one thing that holds at any size.
    assert done.stdout.count("none lost | met") == 2


def test_a_name_that_is_not_known_is_refused() -> None:
    done = _benchmarks("speed")
    assert done.returncode == 2
    assert "startup" in done.stderr
