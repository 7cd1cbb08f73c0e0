"""The table in tests/README.md names every fault and the tests that exist, no more and no less."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
FAULTS = 32


def rows() -> dict[int, set[str]]:
    """Tests named in the table, by fault."""
    text = HERE.with_name("README.md").read_text("utf-8")
    matches = [ROW.fullmatch(line) for line in text.splitlines()]
    found = [match for match in matches if match]
    assert [int(match[1]) for match in found] == list(range(1, FAULTS + 1))
    return {int(match[1]): {*re.findall(r"`([\w.]+::\w+)`", match[4])} for match in found}


def existing() -> dict[int, set[str]]:
    """Tests that are there, by the number in their name."""
    tests: dict[int, set[str]] = {}
    for path in HERE.glob("test_*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
                match := re.match(r"test_fault_(\d\d)_", node.name)
            ):
                tests.setdefault(int(match[1]), set()).add(f"{path.name}::{node.name}")
    return tests


def test_every_fault_has_a_row_and_every_row_its_tests() -> None:
    assert rows() == existing()
