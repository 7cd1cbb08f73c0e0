"""(f) How long ``orgscan --help`` takes, beside a Python that does nothing."""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from tests.benchmarks.measure import Figure, Stopwatch

_TARGET = 0.2


def _once(*arguments: str) -> float:
    watch = Stopwatch()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return watch.read()["wall"]


def run(*, quick: bool) -> list[Figure]:
    help_, nothing = [], []
    for _ in range(2 if quick else 15):
        help_.append(_once("-m", "orgscan", "--help"))
        nothing.append(_once("-c", "pass"))
    taken, base = median(help_), median(nothing)
    measured = f"{taken * 1000:.0f} ms (bare Python {base * 1000:.0f} ms)"
    return [Figure("`orgscan --help`", measured, f"< {_TARGET * 1000:.0f} ms", taken < _TARGET)]
