"""What every benchmark shares: processes of their own, medians, and figures with their targets."""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[2]
_PATIENCE = 1_800
NONE_LOST = "none lost"
"""The target that holds at any size."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result: what was measured, and what it should be."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None
    """None: a figure to compare with, without a target."""

    def row(self) -> str:
        met = {None: "", True: "met", False: "**not met**"}[self.met]
        return f"| {self.what} | {self.measured} | {self.target} | {met} |"


def table(figures: Iterable[Figure]) -> str:
    """The figures in Markdown."""
    head = ["| measured | figure | target | |", "|---|---|---|---|"]
    return "\n".join([*head, *(figure.row() for figure in figures)])


def peak_mb() -> float:
    """The most memory this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def now_mb() -> float:
    """The memory this process holds now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


class Stopwatch:
    """Wall and CPU time of this process since it was made."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        return {
            "wall": time.perf_counter() - self._wall,
            "cpu": time.process_time() - self._cpu,
        }


def alone(name: str, /, *, here: bool = False, **arguments: Any) -> dict[str, Any]:
    """Call ``module:function`` of this package in a fresh process; what it returned.

    With ``here`` in this process: quicker where the figures do not matter.
    """
    if here:
        return _call(name, arguments)
    command = [sys.executable, "-m", "tests.benchmarks.measure", name, json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=_PATIENCE, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def medians(runs: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The median of each figure over several runs."""
    taken = list(runs)
    return {name: median(run[name] for run in taken) for name in taken[0]}


def _call(name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    module, _, function = name.partition(":")
    work = getattr(importlib.import_module(f"tests.benchmarks.{module}"), function)
    answer: dict[str, Any] = work(**arguments)
    return answer


def main() -> None:
    name, arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(_call(name, json.loads(arguments))) + "\n")


if __name__ == "__main__":
    main()
