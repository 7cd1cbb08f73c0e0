"""``orgscan check`` as its users meet it."""

from __future__ import annotations

from typing import Any

import pytest

from orgscan.errors import ExitCode
from orgscan.pipeline.check import STEPS
from orgscan.simulator import AUDIT_ROLE, Fault
from tests.kit import faults
from tests.kit.serving import serve_in_thread
from tests.kit.worlds import WORLDS

Command = Any


def arguments(simulator: Any, *more: str) -> tuple[str, ...]:
    return ("check", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url, *more)


def test_a_line_a_step_then_the_calls_then_the_verdict_and_nothing_written(
    orgscan: Command,
) -> None:
    with serve_in_thread(WORLDS["small"]()) as simulator:
        finished = orgscan(*arguments(simulator), simulator=simulator)

    assert finished.returncode == ExitCode.OK, finished.stderr
    assert finished.stderr == ""
    lines = finished.stdout.splitlines()
    assert [line[13:].partition(":")[0] for line in lines[: len(STEPS)]] == list(STEPS)
    assert {line[:11].strip() for line in lines[: len(STEPS)]} == {"OK", "NOT CHECKED"}
    assert "  sts: AssumeRole, GetCallerIdentity" in lines
    assert lines[-1] == "Ready: all attempted checks passed."
    assert list(orgscan.work.iterdir()) == []


def test_gaps_leave_with_four_and_other_people_s_words_are_shown_harmless(
    orgscan: Command,
) -> None:
    effect = faults.Error("AccessDeniedException", 400, "No\x1b[31m, not you")
    with serve_in_thread(
        WORLDS["small"](), faults=(Fault(effect=effect, action="ListRoots"),)
    ) as simulator:
        finished = orgscan(*arguments(simulator, "--quiet"), simulator=simulator)

    assert finished.returncode == ExitCode.COVERAGE_GAPS, finished.stderr
    assert "FAILED       OU tree: the OU tree cannot be read" in finished.stdout
    assert "No?[31m, not you" in finished.stdout
    verdict = "Not ready: a scan would be incomplete; 1 step failed."
    assert finished.stdout.splitlines()[-1] == verdict


def test_the_scope_is_chosen_as_for_a_scan(orgscan: Command) -> None:
    world = WORLDS["small"]()
    with serve_in_thread(world) as simulator:
        inside = orgscan(
            *arguments(simulator, "--include-ou", "Workloads", "--exclude-account",
                       world.accounts[2].id), simulator=simulator,
        )  # fmt: skip
        nowhere = orgscan(*arguments(simulator, "--include-ou", "Nope"), simulator=simulator)

    assert inside.returncode == ExitCode.OK, inside.stdout
    assert f"audit role: {AUDIT_ROLE} assumed in {world.accounts[3].id}" in inside.stdout
    assert nowhere.returncode == ExitCode.USAGE
    assert "FAILED       scope: OU 'Nope' does not exist" in nowhere.stdout


def test_without_credentials_every_step_has_its_line(orgscan: Command) -> None:
    finished = orgscan("check", "--role-name", AUDIT_ROLE)

    assert finished.returncode == ExitCode.USAGE
    assert "FAILED       caller: no AWS credentials found; sign in" in finished.stdout
    assert finished.stdout.count("NOT CHECKED") == len(STEPS) - 1
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ((), "no audit role is set; use --role-name NAME"),
        (("--role-name", "a b"), "is not a role name"),
        (("--role-name", "x", "--account", "12"), "--account: '12' is not an account id"),
        (("--role-name", "x", "--exclude-account", "12"), "'12' is not an account id"),
        (("--role-name", "x", "--config", "nowhere.toml"), "nowhere.toml"),
        (("--role-name", "x", "--log-format", "xml"), "--log-format: must be 'text' or 'json'"),
        (("--role-name", "x", "--endpoint-url", "http://example.com"), "unencrypted"),
    ],
)
def test_what_a_user_got_wrong_is_one_line(
    orgscan: Command, more: tuple[str, ...], words: str
) -> None:
    finished = orgscan("check", *more)
    assert finished.returncode == ExitCode.USAGE
    assert words in finished.line
    assert finished.stdout == ""
