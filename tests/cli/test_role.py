"""``orgscan role``: what is printed, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orgscan.errors import ExitCode
from orgscan.role.policy import caller_policy

Command = Any
CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("policy",), "audit-role-policy.json"),
        (("policy", "--caller"), "caller-policy.json"),
        (("cloudformation",), "audit-role.cloudformation.yaml"),
        (("terraform",), "audit-role.tf"),
    ],
)
def test_what_lies_in_config_is_what_is_printed(
    orgscan: Command, arguments: tuple[str, ...], name: str
) -> None:
    finished = orgscan("role", *arguments)

    assert finished.returncode == ExitCode.OK, finished.stderr
    remedy = f"config/{name} has drifted: orgscan role {' '.join(arguments)} > config/{name}"
    assert (CONFIG / name).read_text("utf-8") == finished.stdout, remedy


def test_the_caller_s_policy_names_the_role_that_is_chosen(orgscan: Command) -> None:
    finished = orgscan(
        "role", "policy", "--caller", "--role-name", "Auditee", "--role-path", "/audit/",
        "--partition", "aws-cn",
    )  # fmt: skip

    assert json.loads(finished.stdout) == caller_policy(
        "Auditee", role_path="/audit/", partition="aws-cn"
    )
    assert "arn:aws-cn:iam::*:role/audit/Auditee" in finished.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cloudformation", "--trusted", "*"), "--trusted: a role cannot trust '*'"),
        (("terraform", "--trusted", "x\x1b[31m"), "a role cannot trust 'x\\x1b[31m'"),
        (("terraform", "--role-name", "a b"), "is not a role name"),
        (("policy", "--caller", "--role-path", "audit"), "is not a role path"),
        (("policy", "--caller", "--role-path", "/*/"), "--role-path: '/*/' holds '*'"),
        (("cloudformation", "--role-path", "/${a}/"), "--role-path: '/${a}/' holds '$'"),
        (("policy", "--caller", "--partition", "mars"), "mars"),
        (("policy", "--role-name", "Auditee"), "--role-name requires --caller"),
        (("policy", "--role-path", "/"), "--role-path requires --caller"),
        (("policy", "--partition", "aws-cn"), "--partition requires --caller"),
    ],
)
def test_what_cannot_be_is_one_line(
    orgscan: Command, arguments: tuple[str, ...], words: str
) -> None:
    finished = orgscan("role", *arguments)

    assert finished.returncode == ExitCode.USAGE
    assert words in finished.line
    assert finished.stdout == ""
