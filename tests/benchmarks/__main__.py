"""``python -m tests.benchmarks [name ...] [--quick]``: measure, and print a table in Markdown.

Ratios are taken within one run: compare those, not the seconds of different machines.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from dataclasses import replace
from datetime import UTC, datetime

from tests.benchmarks.measure import NONE_LOST, Figure, table

NAMES = (
    "startup",
    "collection",
    "latency",
    "judging",
    "writers",
    "formats",
    "memory",
    "workers",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: does it still run?")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(NAMES)}")
    figures: list[Figure] = []
    for name in options.names or NAMES:
        say(f"{name} ...")
        module = importlib.import_module(f"tests.benchmarks.{name}")
        found = module.run(quick=options.quick)
        for figure in found:
            say(f"  {figure.what}: {figure.measured}")
        figures += map(_of_tiny_size, found) if options.quick else found
    today = datetime.now(UTC).date()
    sys.stdout.write(
        f"{today}, Python {platform.python_version()}, {os.cpu_count()} cores"
        f"{', tiny sizes: figures mean nothing' if options.quick else ''}\n\n{table(figures)}\n"
    )
    return 0


def _of_tiny_size(figure: Figure) -> Figure:
    """Without a claim, which tiny sizes say nothing about; but rows are never to be lost."""
    return figure if figure.target == NONE_LOST else replace(figure, met=None)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
