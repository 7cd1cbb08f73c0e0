"""The table in tests/README.md names every fault and the tests that exist, no more and no less."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
ROW = re.compile(r"\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|")
CONTRADICTION = re.compile(r"\| (\w+) \| ([^|]+) \| ([^|]+) \|")
NAMED = re.compile(r"`([\w./]+::[\w:]+)`")
FAULTS = 32
SOURCES = ("A4", "A8", "A10", "A11", "A12", "A13", "older")


def rows() -> dict[int, set[str]]:
    """Tests named in the table, by fault."""
    text = HERE.with_name("README.md").read_text("utf-8")
    matches = [ROW.fullmatch(line) for line in text.splitlines()]
    found = [match for match in matches if match]
    assert [int(match[1]) for match in found] == list(range(1, FAULTS + 1))
    return {int(match[1]): {*re.findall(r"`([\w.]+::\w+)`", match[4])} for match in found}


def contradictions() -> dict[str, set[str]]:
    """Tests named in the section on contradictions, by row."""
    text = HERE.with_name("README.md").read_text("utf-8").partition("## Contradictions")[2]
    matches = [CONTRADICTION.fullmatch(line) for line in text.splitlines()]
    return {match[1]: {*NAMED.findall(match[3])} for match in matches if match}


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


def contradicting() -> dict[str, set[str]]:
    """Tests of test_contradictions.py, by the row in their name."""
    tests: dict[str, set[str]] = {}
    for node in ast.parse((HERE / "test_contradictions.py").read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
            match := re.match(r"test_(?:fault_(\d\d)|source_(\d\d)|(older))_", node.name)
        ):
            row = match[1] or match[3] or f"A{int(match[2])}"
            tests.setdefault(row, set()).add(f"faults/test_contradictions.py::{node.name}")
    return tests


def defined(path: str) -> set[str]:
    """Tests and classes of tests in a file, as ``test``, ``Class`` and ``Class::test``."""
    names = set()
    for node in ast.parse((HERE.parent / path).read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{one.name}" for one in node.body if hasattr(one, "name")}
    return names


def test_every_fault_has_a_row_and_every_row_its_tests() -> None:
    faults = {number: tests for number, tests in existing().items() if number <= FAULTS}
    assert rows() == faults


def test_every_contradiction_has_a_row_and_every_row_names_tests_that_exist() -> None:
    listed = contradictions()
    assert {"33", "34", "35", "36", "37", "38", "40", "43", "44", *SOURCES} <= listed.keys()
    for row, tests in contradicting().items():
        assert tests <= listed[row], row
    for row, tests in listed.items():
        assert tests, row
        for test in tests:
            path, _, name = test.partition("::")
            assert name in defined(path), f"{row}: {test}"
