from __future__ import annotations

import inspect

import pytest

from orgscan import errors
from orgscan.errors import CallError, ExitCode, OrgscanError

ALL = [
    item
    for _, item in inspect.getmembers(errors, inspect.isclass)
    if issubclass(item, OrgscanError)
]


def test_the_tree_drawn_on_top_is_the_tree() -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if "──" in line]
    drawn, parents = {}, {-1: "OrgscanError"}
    for line in lines:
        depth, name = line.index("─") // 4, line.split("── ")[1].split()[0]
        drawn[name] = parents[depth - 1]
        parents[depth] = name
    assert drawn == {item.__name__: item.__base__.__name__ for item in ALL if item != OrgscanError}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("UsageError", ExitCode.USAGE),
        ("SettingsError", ExitCode.USAGE),
        ("RunError", ExitCode.RUN_FAILED),
        ("RunInterrupted", ExitCode.INTERRUPTED),
        ("IntegrityError", ExitCode.INTEGRITY),
    ],
)
def test_every_error_knows_its_exit_code(name: str, code: ExitCode) -> None:
    assert getattr(errors, name).exit_code is code


def test_the_exit_codes_are_a_contract() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "RUN_FAILED": 1,
        "USAGE": 2,
        "FINDINGS": 3,
        "COVERAGE_GAPS": 4,
        "INTEGRITY": 5,
        "INTERRUPTED": 130,
        "TERMINATED": 143,
    }


def test_a_failed_call_keeps_its_parts_apart() -> None:
    error = CallError("text", code="Throttling", action="iam:ListUsers", request_id="1-2-3")
    parts = (str(error), error.code, error.action, error.request_id)
    assert parts == ("text", "Throttling", "iam:ListUsers", "1-2-3")
