"""The command line as its users meet it: exit codes, one-line errors, the summary."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.cli import main
from orgscan.cli.progress import Bar, Lines
from orgscan.cli.summary import lines
from orgscan.controls.catalogue import CATALOGUE
from orgscan.errors import ExitCode
from orgscan.models import Coverage, Outcome, Severity
from orgscan.runs.run import Run
from orgscan.simulator import AUDIT_ROLE, Fault
from tests.kit import faults
from tests.kit.serving import serve_in_thread
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.kit.clocks import FakeClock

Command = Any


def one_line(finished: Command) -> str:
    """The single line a user is told, and nothing that looks like a traceback."""
    lines = finished.stderr.splitlines()
    assert len(lines) == 1, finished.stderr
    assert lines[0].startswith("orgscan: ")
    return lines[0]


def test_the_demo_leaves_with_zero_and_says_where_things_are(orgscan: Command) -> None:
    finished = orgscan("demo", "--output", "run")

    assert finished.returncode == 0, finished.stderr
    assert "Coverage: 25 accounts" in finished.stdout
    assert finished.stdout.startswith("SIMULATED: ")
    for value in ("COMPLETE", "PARTIAL", "DENIED", "FAILED", "NOT_ACTIVE", "EXCLUDED"):
        assert value in finished.stdout
    assert "root-access-key" in finished.stdout
    workbook = next(
        line.split()[1] for line in finished.stdout.splitlines() if line.startswith("Workbook")
    )
    assert workbook.endswith(".xlsx")
    assert (orgscan.work / workbook).is_file()


def test_the_demo_needs_no_aws_and_ignores_a_broken_one(orgscan: Command) -> None:
    finished = orgscan(
        "demo", "--accounts", "25", env={"AWS_PROFILE": "nonesuch", "AWS_ENDPOINT_URL": "http://x"}
    )

    assert finished.returncode == 0, finished.stderr
    assert list((orgscan.work / "orgscan-runs").iterdir())


def test_a_clean_organization_leaves_with_zero(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    with serve_in_thread(WORLDS["small"]()) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--output", "run", env=credentials(simulator),
        )  # fmt: skip

    assert finished.returncode == ExitCode.OK, finished.stdout + finished.stderr
    assert "No failures." in finished.stdout


def test_gaps_leave_with_four_and_are_named_with_their_reason(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    world = WORLDS["denied"]()
    with serve_in_thread(world) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--output", "run", "--fail-on", "informational", env=credentials(simulator),
        )  # fmt: skip
    accounts = json.loads((orgscan.work / "run" / "manifest.json").read_text())["coverage"]

    assert finished.returncode == ExitCode.COVERAGE_GAPS, finished.stderr
    gaps = accounts["PARTIAL"] + accounts["DENIED"] + accounts["FAILED"]
    assert f"Accounts with gaps: {gaps}" in finished.stdout
    assert "could not be assumed" in finished.stdout
    assert not re.search(r"No failures[. ]", finished.stdout)


def test_findings_leave_with_three_only_where_asked(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    with serve_in_thread(WORLDS["uniform"](accounts=3, users=4)) as simulator:
        arguments = (
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
        )  # fmt: skip
        unasked = orgscan(*arguments, "--output", "a", env=credentials(simulator))
        asked = orgscan(
            *arguments, "--output", "b", "--fail-on", "informational", env=credentials(simulator)
        )
    assert unasked.returncode == ExitCode.OK, unasked.stderr
    assert asked.returncode == ExitCode.FINDINGS, asked.stderr


def test_report_renders_again_with_other_thresholds(orgscan: Command, demo_run: Path) -> None:
    shutil.copytree(demo_run, orgscan.work / "run")
    orgscan.work.joinpath("strict.toml").write_text("[thresholds]\naccess_key_max_age_days = 1\n")
    finished = orgscan("report", "run", "--config", "strict.toml", "--output", "strict")

    assert finished.returncode == ExitCode.COVERAGE_GAPS, finished.stderr
    counts = [
        json.loads((orgscan.work / name / "manifest.json").read_text())["findings"]
        for name in ("run", "strict")
    ]
    lax, strict = (count["access-key-rotation"]["FAIL"] for count in counts)
    assert strict > lax


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("scan", "--nonsense"), "--nonsense"),
        (("scan",), "--role-name"),
        (("scan", "--role-name", "arn:aws:iam::1:role/x"), "bare name"),
        (("scan", "--role-name", "R", "--endpoint-url", "http://192.0.2.1:80"), "https"),
        (("scan", "--role-name", "R", "--config", "absent.toml"), "absent.toml"),
        (("scan", "--role-name", "R", "--profile", "nonesuch"), "nonesuch"),
        (("scan", "--role-name", "R"), "no AWS credentials"),
        (("scan", "--role-name", "R", "--concurrency", "0"), "--concurrency"),
        (("scan", "--role-name", "R", "--account", "12345"), "12 digits"),
        (("scan", "--role-name", "R", "--log-format", "xml"), "--log-format"),
        (("report", "nowhere"), "not an orgscan run"),
        (("report", "nowhere", "--as-of", "tomorrow"), "2026-09-30T00:00:00Z"),
        (("controls", "show", "consol-mfa"), "did you mean console-mfa"),
        (("controls", "list", "--framework", "cis-99"), "unknown framework"),
        (("controls", "list", "--framework-file", "."), "is a directory; name a TOML file"),
        (("controls", "show", "root-mfa", "--framework-file", "no.toml"), "no.toml: cannot be"),
        (("scan", "--role-name", "R", "--framework", "cis-7"), "did you mean cis-7.0"),
        (("scan", "--role-name", "R", "--framework-file", "no.toml"), "no.toml: cannot be read"),
        (("scan", "--resume", "nowhere", "--framework", "fsbp"), "nowhere"),
        (("scna",), "scna"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line_and_exit_two(
    orgscan: Command, arguments: tuple[str, ...], words: str
) -> None:
    finished = orgscan(*arguments)

    assert finished.returncode == ExitCode.USAGE, finished.stderr
    assert words in one_line(finished)
    assert not finished.stdout
    assert not list(orgscan.work.iterdir())


def test_an_unknown_settings_key_is_named_with_its_file_and_the_nearest(
    orgscan: Command,
) -> None:
    orgscan.work.joinpath("my.toml").write_text("concurency = 3\n")
    finished = orgscan("scan", "--config", "my.toml")

    assert finished.returncode == ExitCode.USAGE
    assert "my.toml: unknown setting 'concurency'; did you mean concurrency?" in one_line(finished)


def test_an_unreachable_endpoint_is_one_line(orgscan: Command) -> None:
    finished = orgscan(
        "scan", "--role-name", "R", "--endpoint-url", "http://127.0.0.1:9",
        env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"},
    )  # fmt: skip
    assert finished.returncode == ExitCode.USAGE
    assert "cannot reach http://127.0.0.1:9" in one_line(finished)
    assert not list(orgscan.work.iterdir())


def test_credentials_aws_does_not_know_are_one_line(orgscan: Command) -> None:
    with serve_in_thread(WORLDS["small"]()) as simulator:
        finished = orgscan(
            "scan", "--role-name", "R", "--endpoint-url", simulator.endpoint_url,
            env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"},
        )  # fmt: skip
    assert finished.returncode == ExitCode.USAGE
    assert "rejects the caller" in one_line(finished)


@pytest.mark.parametrize("odd", ["\n", " ", "\u00e9", "\udcff", "\x1b"])
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("AWS_ACCESS_KEY_ID", "access key id"),
        ("AWS_SECRET_ACCESS_KEY", "secret access key"),
        ("AWS_SESSION_TOKEN", "session token"),
    ],
)
def test_credentials_that_fit_no_header_are_one_line(
    orgscan: Command, credentials: Any, name: str, told: str, odd: str
) -> None:
    with serve_in_thread(WORLDS["small"]()) as simulator:
        keys = {"AWS_SESSION_TOKEN": "FwoGZXIvYXdz", **credentials(simulator)}
        finished = orgscan(
            "scan", "--role-name", "R", "--endpoint-url", simulator.endpoint_url,
            env={**keys, name: f"{keys[name][:3]}{odd}{keys[name][3:]}"},
        )  # fmt: skip
    assert finished.returncode == ExitCode.USAGE
    line = one_line(finished)
    assert f"the caller's {told} holds what AWS never puts there" in line
    assert "copy them again" in line
    assert keys[name][3:] not in line


def test_an_output_directory_that_holds_something_is_left_alone(orgscan: Command) -> None:
    taken = orgscan.work / "taken"
    taken.mkdir()
    (taken / "diary.txt").write_text("dear diary")
    finished = orgscan("scan", "--role-name", "R", "--output", "taken")

    assert finished.returncode == ExitCode.USAGE
    assert "taken: is not empty; choose another --output" in one_line(finished)
    assert [path.name for path in taken.iterdir()] == ["diary.txt"]


def test_an_output_directory_that_cannot_be_made_is_one_line(orgscan: Command) -> None:
    (orgscan.work / "file").touch()
    finished = orgscan("demo", "--output", "file/run")

    assert finished.returncode == ExitCode.USAGE
    assert "file/run: cannot be written" in one_line(finished)


def test_nothing_in_scope_leaves_with_one(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    world = WORLDS["small"]()
    exclude = [part for item in world.accounts for part in ("--exclude-account", item.id)]
    with serve_in_thread(world) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url, *exclude,
            env=credentials(simulator),
        )  # fmt: skip
    assert finished.returncode == ExitCode.RUN_FAILED
    assert "no account is in scope" in one_line(finished)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_a_signal_leaves_evidence_that_report_can_render(
    orgscan: Command,
    environment: dict[str, str],
    credentials: Callable[[Any], dict[str, str]],
    number: signal.Signals,
    code: int,
) -> None:
    world = WORLDS["uniform"](accounts=400, users=5)
    with serve_in_thread(world, record=False) as simulator:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "orgscan", "scan", "--role-name", AUDIT_ROLE,
                "--endpoint-url", simulator.endpoint_url, "--output", "run", "--concurrency", "4",
            ],
            cwd=orgscan.work,
            env=environment | credentials(simulator),
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        # Two megabytes of journal say that accounts are being read; a journal that never comes
        # ends in the time-out below.
        journal = orgscan.work / "run" / "evidence.sqlite-wal"
        deadline = time.monotonic() + 60
        while not (journal.exists() and journal.stat().st_size > 200_000):
            assert time.monotonic() < deadline
            assert process.poll() is None
            os.sched_yield()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)

    assert process.returncode == code, stderr
    assert "Traceback" not in stderr
    assert "evidence is kept" in stderr
    rendered = orgscan("report", "run")
    assert rendered.returncode == ExitCode.COVERAGE_GAPS, rendered.stderr
    assert "NOT_ATTEMPTED" in rendered.stdout or "account list is INCOMPLETE" in rendered.stdout
    assert "COMPLETE" in rendered.stdout


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_streams_that_break_change_no_exit_code_and_cause_no_traceback(
    orgscan: Command, environment: dict[str, str], stream: str
) -> None:
    """As a shell does it; the exit code is that of a run that is none."""
    number = 1 if stream == "stdout" else 2
    for redirection in (f"{number}>&-", f"{number}>/dev/full", f"{number}>&1 | true"):
        command = f"set -o pipefail; {sys.executable} -m orgscan verify . {redirection}"
        finished = subprocess.run(
            ["bash", "-c", command],
            env=environment,
            cwd=orgscan.work,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert finished.returncode == ExitCode.USAGE, (redirection, finished.stderr)
        assert len(finished.stderr.splitlines()) == (stream == "stdout"), finished.stderr


def test_a_scan_goes_on_without_anybody_to_tell(
    orgscan: Command, environment: dict[str, str]
) -> None:
    finished = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m orgscan demo --output run >&- 2>&-"],
        env=environment,
        cwd=orgscan.work,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0
    assert (orgscan.work / "run" / "manifest.json").exists()


def test_json_progress_is_one_object_a_line(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    with serve_in_thread(WORLDS["small"]()) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--log-format", "json", "--output", "run", env=credentials(simulator),
        )  # fmt: skip
    told = [json.loads(line) for line in finished.stderr.splitlines()]
    assert all(line["accounts"] >= 0 for line in told)
    manifest = json.loads((orgscan.work / "run" / "manifest.json").read_text())
    start, *_, finish = told
    accounts = [line for line in told if line["event"] == "account"]
    assert (start["event"], finish["event"]) == ("start", "finish")
    assert {line["run_id"] for line in told} == {manifest["run_id"]}
    assert {line["coverage"] for line in accounts} == {"COMPLETE"}
    assert len({line["account_id"] for line in accounts}) == manifest["accounts"] == 4
    assert all(line["seconds"] > 0 and line["code"] == "" for line in accounts)
    assert finish["exit_code"] == finished.returncode == manifest["work"]["exit_code"]
    assert finish["totals"]["coverage"] == manifest["coverage"]
    assert finish["calls"] == manifest["work"]["calls"]
    assert finish["seconds"] == manifest["work"]["seconds"]
    asked = Counter(call.service for call in simulator.calls)
    assert {service: counts["calls"] for service, counts in finish["calls"].items()} == asked


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--account", "1"), ExitCode.USAGE),
        (("--output", "taken"), ExitCode.USAGE),
        (("--output", "run", "--endpoint-url", "http://127.0.0.1:9"), ExitCode.USAGE),
    ],
)
def test_json_lines_include_the_error_and_end_with_the_exit_code(
    orgscan: Command, arguments: tuple[str, ...], code: ExitCode
) -> None:
    (orgscan.work / "taken").mkdir()
    (orgscan.work / "taken" / "diary.txt").touch()
    finished = orgscan(
        "scan", "--role-name", "R", "--log-format", "json", *arguments,
        env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"},
    )  # fmt: skip
    *_, error, finish = map(json.loads, finished.stderr.splitlines())
    assert finished.returncode == code
    assert (error["level"], error["event"], error["exit_code"]) == ("ERROR", "error", code)
    assert error["message"]
    assert (finish["event"], finish["exit_code"]) == ("finish", code)


def test_a_verbose_scan_names_each_account_and_each_retry(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    world = WORLDS["small"]()
    slow = Fault(effect=faults.Error("Throttling", 400), action="ListUsers", nth=1)
    with serve_in_thread(world, faults=[slow]) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--verbose", "--output", "run", env=credentials(simulator),
        )  # fmt: skip
    assert finished.returncode == ExitCode.OK, finished.stderr
    assert all(f"account {one.id}: COMPLETE" in finished.stderr for one in world.accounts)
    assert "iam:ListUsers: Throttling, retry in" in finished.stderr
    assert "exit code 0" in finished.stderr.splitlines()[-1]
    work = json.loads((orgscan.work / "run" / "manifest.json").read_text())["work"]
    assert (work["calls"]["iam"]["retries"], work["calls"]["iam"]["throttles"]) == (1, 1)


def test_everything_a_scheduled_job_needs_can_stand_in_its_file(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    (orgscan.work / "job.toml").write_text(
        f"role_name = '{AUDIT_ROLE}'\noutput = 'run'\nformats = ['csv']\nfail_on = 'low'\n"
        "publish = 'history'\nlog_format = 'json'\n"
    )
    with serve_in_thread(WORLDS["uniform"](accounts=3, users=4)) as simulator:
        where = credentials(simulator) | {"ORGSCAN_ENDPOINT_URL": simulator.endpoint_url}
        finished = orgscan(
            "scan", "--config", "job.toml", env=where | {"ORGSCAN_FAIL_ON": "informational"}
        )
        again = orgscan("scan", env={**where, "ORGSCAN_CONFIG": "job.toml", "ORGSCAN_IMAGE": "x"})
    assert finished.returncode == ExitCode.FINDINGS, finished.stderr
    assert (orgscan.work / "run" / "findings.csv").is_file()
    assert list((orgscan.work / "history" / "findings").iterdir())
    assert json.loads(finished.stderr.splitlines()[-1])["exit_code"] == ExitCode.FINDINGS
    assert again.returncode == ExitCode.USAGE
    assert "ORGSCAN_IMAGE" in again.stderr


def test_controls_are_listed_with_the_ids_of_a_framework(orgscan: Command) -> None:
    everything = orgscan("controls", "list").stdout.splitlines()
    newest = orgscan("controls", "list", "--framework", "cis-7.0").stdout

    assert [line.split()[0] for line in everything] == [control.id for control in CATALOGUE]
    assert "2.12" in newest
    assert "setup-access-key" not in newest
    assert "single-active-access-key" not in newest


def test_the_list_tells_limits_of_its_own_and_what_is_not_judged(orgscan: Command) -> None:
    newest = orgscan("controls", "list", "--framework", "cis-7.0").stdout.splitlines()
    assert newest[-6:] == [
        "CIS AWS Foundations Benchmark 7.0.0 (cis-7.0)",
        "Threshold of the framework: password_minimum_length = 14",
        "Threshold of the framework: password_reuse_prevention = 24",
        "Threshold of the framework: unused_credential_days = 45",
        "Threshold of the framework: access_key_max_age_days = 90",
        "Not evaluated by orgscan: 2.1.1",
    ]
    fsbp = orgscan("controls", "list", "--framework", "fsbp").stdout
    assert "Threshold of the framework: unused_credential_days = 90\n" in fsbp
    related = orgscan("controls", "list", "--framework", "soc-2").stdout
    assert "The controls evaluate only a part of these requirements." in related


def test_frameworks_of_one_s_own_are_listed_and_audited_against(
    orgscan: Command, demo_run: Path
) -> None:
    orgscan.work.joinpath("mine.toml").write_text(
        '[mine]\ntitle = "Mine"\nversion = "2"\nnot_judged = ["M-9"]\n'
        'controls = {access-key-rotation = ["M-1"]}\n'
        "thresholds = {access_key_max_age_days = 2}\n"
    )
    listed = orgscan("controls", "list", "--framework-file", "mine.toml").stdout
    assert "M-1" in listed
    assert "Threshold of the framework: access_key_max_age_days = 2\n" in listed
    shown = orgscan("controls", "show", "access-key-rotation", "--framework-file", "mine.toml")
    assert "Mine 2" in shown.stdout

    shutil.copytree(demo_run, orgscan.work / "run")
    finished = orgscan(
        "report", "run", "--framework", "cis-7.0", "--framework", "mine",
        "--framework-file", "mine.toml", "--output", "again",
    )  # fmt: skip
    assert finished.returncode == ExitCode.COVERAGE_GAPS, finished.stderr
    where = "2 requirements on credentials, 20 of 23 accounts judged"
    assert f"Mine 2 (mine), {where}: 1 NOT MET, 1 NOT JUDGED" in finished.stdout
    keys = [
        one["key"]
        for one in json.loads((orgscan.work / "again" / "manifest.json").read_text())["frameworks"]
    ]
    assert keys == ["cis-7.0", "mine"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mine.toml: holds no framework"),
        ("[mine]\ntitle = 'M'\nversion = '1'\n", "mine.toml: [mine]: names no controls"),
        (
            "[mine]\ntitle = 'M'\nversion = '1'\ncontrols = {root-mfaa = ['1']}",
            "mine.toml: [mine], controls: unknown control 'root-mfaa'; did you mean root-mfa?",
        ),
        ("[fsbp]\n", "mine.toml: [fsbp]: there is already a framework of that key"),
        ("not toml", "mine.toml: not valid TOML"),
    ],
)
def test_a_bad_framework_file_is_one_line_and_changes_nothing(
    orgscan: Command, demo_run: Path, text: str, said: str
) -> None:
    shutil.copytree(demo_run, orgscan.work / "run")
    before = (orgscan.work / "run" / "manifest.json").read_bytes()
    orgscan.work.joinpath("mine.toml").write_text(text)
    finished = orgscan("report", "run", "--framework-file", "mine.toml", "--framework", "mine")

    assert finished.returncode == ExitCode.USAGE
    assert said in one_line(finished)
    assert (orgscan.work / "run" / "manifest.json").read_bytes() == before


def test_a_control_is_explained(orgscan: Command) -> None:
    page = orgscan("controls", "show", "access-key-rotation").stdout

    assert "Severity   medium" in page
    assert "How to fix it:" in page
    assert "IAM.3" in page


@pytest.mark.parametrize("command", [(), ("controls",), ("role",)], ids=str)
def test_no_help_line_is_cut_short(orgscan: Command, command: tuple[str, ...]) -> None:
    finished = orgscan(*command, "--help", env={"COLUMNS": "80"})
    lines = finished.stdout.partition("Commands:\n")[2].splitlines()
    assert len(lines) > 1
    assert not [line for line in lines if line.endswith("...")]


def test_help_alone_leaves_with_the_usage_code(orgscan: Command) -> None:
    finished = orgscan()
    assert finished.returncode == ExitCode.USAGE
    assert "Commands:" in finished.stdout


def test_progress_on_a_terminal_shows_a_bar_and_keeps_stdout_clean(
    orgscan: Command, environment: dict[str, str], tmp_path: Path
) -> None:
    script = (
        "import os, pty, sys\n"
        "status = pty.spawn([sys.executable, '-m', 'orgscan', 'demo', '--output', 'run'])\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | {"TERM": "xterm", "COLUMNS": "20"},
        cwd=orgscan.work,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert finished.returncode == 0, finished.stdout
    assert "Traceback" not in finished.stdout
    assert "Coverage: 25 accounts" in finished.stdout
    assert not list(tmp_path.glob("*.log"))


def test_the_demo_in_quarters_tells_what_changed(orgscan: Command) -> None:
    finished = orgscan("demo", "--quarters", "2", "--accounts", "12", "--output", "quarters")

    assert finished.returncode == 0, finished.stderr
    assert "Since the run as of " in finished.stdout
    for change in ("New", "Still open", "Reopened", "Key rotated", "User deleted"):
        assert f"\n  {change:<27} " in finished.stdout
    first, second = sorted((orgscan.work / "quarters").glob("20*"))
    assert not (first / "changes.parquet").exists()
    assert (second / "changes.parquet").is_file()
    again = orgscan("compare", f"quarters/{first.name}", f"quarters/{second.name}")
    assert again.returncode == ExitCode.OK, again.stderr
    assert "Accounts whose coverage changed: " in again.stdout


def test_too_few_file_descriptors_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may strike anywhere, even where Python imports a codec; here where a run is verified."""

    def struck(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("orgscan.pipeline.verify.verify", struck)
    with pytest.raises(SystemExit) as left:
        main(["verify", "run"])
    assert left.value.code == ExitCode.RUN_FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("orgscan: too many open files; raise the limit (`ulimit -n 1024`)")


def test_an_empty_scheduler_or_one_with_credentials_is_one_line(orgscan: Command) -> None:
    empty = orgscan("scan", "--role-name", "R", "--scheduler", "")
    assert empty.returncode == ExitCode.USAGE
    assert "--scheduler: is empty; give an address" in one_line(empty)
    secret = orgscan("scan", "--role-name", "R", "--scheduler", "tcp://user:s3cr3t@host:99")
    assert secret.returncode == ExitCode.USAGE
    assert "must not hold credentials" in one_line(secret)
    assert "s3cr3t" not in secret.stderr


@pytest.mark.parametrize(
    "moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "9999-12-31", "1969-12-31"]
)
def test_a_time_nobody_can_judge_for_is_one_line(
    orgscan: Command, demo_run: Path, moment: str
) -> None:
    finished = orgscan("report", demo_run, "--as-of", moment, "--output", "other")
    assert finished.returncode == ExitCode.USAGE
    assert "is out of range; give a time from 1970 to 2199" in one_line(finished)


@pytest.mark.parametrize("as_json", [True, False])
def test_progress_is_told_even_while_nothing_happens(
    capsys: pytest.CaptureFixture[str],
    as_json: bool,  # noqa: FBT001
) -> None:
    lines = Lines(as_json=as_json, seconds=0.05)
    lines.phase("Reading accounts")
    lines.enumerated(7, complete=True)
    with lines.ticking():
        deadline = time.monotonic() + 10
        told = ""
        while told.count("\n") < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
            told += capsys.readouterr().err
    assert told.count("\n") >= 3
    assert "Reading accounts" in told


def test_progress_estimates_the_time_left(
    capsys: pytest.CaptureFixture[str], clock: FakeClock
) -> None:
    lines = Lines(as_json=False, monotonic=clock.monotonic)
    lines.enumerated(20, complete=False)
    lines.phase("Reading accounts")
    for number in range(4):
        clock.elapsed += 3
        lines.settled(Outcome(account_id=f"{number:012d}", coverage=Coverage.COMPLETE))
    assert "s left" not in capsys.readouterr().err  # the number of accounts still grows

    clock.elapsed = 60
    lines.enumerated(20, complete=True)
    # 4 of 20 accounts took 60 seconds, so the other 16 take four times as long.
    assert (
        capsys.readouterr().err.rstrip().endswith("4 of 20 accounts, 0 with gaps, about 240 s left")
    )


def test_the_summary_lists_failing_controls_by_severity(demo_run: Path) -> None:
    words = [line.split() for line in lines(Run(demo_run)) if line.startswith("  ")]
    severities = [one[0] for one in words if one[0] in set(Severity)]
    assert severities == sorted(severities, key=lambda one: Severity(one).rank)
    assert len(set(severities)) > 2


def test_a_report_for_a_time_before_the_scan_says_what_it_is_not(
    orgscan: Command, demo_run: Path
) -> None:
    finished = orgscan("report", demo_run, "--as-of", "2020-01-01", "--output", "then")
    assert "before the evidence was collected" in finished.stdout
    (note,) = [
        one
        for one in json.loads((orgscan.work / "then/manifest.json").read_text())["notes"]
        if one.startswith("Evaluated as of 2020-01-01 00:00 UTC, before")
    ]
    assert note.endswith("It does not show the state at that time.")


HOSTILE = "No\x1b[2J\x1b]0;owned\x07 way\r\norgscan: all is \u202ewell\u2066 \x9b31m\u200b end"


def test_what_aws_says_does_nothing_on_standard_error(
    orgscan: Command, credentials: Callable[[Any], dict[str, str]]
) -> None:
    # Control characters do not survive XML; the JSON of Organizations carries all of them.
    denied = Fault(
        effect=faults.Error("AccessDeniedException", 400, HOSTILE), action="DescribeOrganization"
    )
    with serve_in_thread(WORLDS["small"](), faults=[denied]) as simulator:
        finished = orgscan(
            "scan", "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
            "--output", "run", "--quiet", env=credentials(simulator),
        )  # fmt: skip

    assert finished.returncode == ExitCode.RUN_FAILED
    line = one_line(finished)
    assert line.isprintable()
    assert "No?[2J?]0;owned? way" in line
    assert "?well?" in line
    assert "end" in line


def test_what_a_user_types_does_nothing_on_standard_error(orgscan: Command) -> None:
    finished = orgscan("scan", "--role-name", f"x{HOSTILE}", "--output", "run")
    assert finished.returncode == ExitCode.USAGE
    assert one_line(finished).isprintable()


@pytest.mark.parametrize("as_json", [True, False])
def test_progress_shows_control_characters_harmless(
    capsys: pytest.CaptureFixture[str], *, as_json: bool
) -> None:
    lines = Lines(as_json=as_json, seconds=0)
    lines.phase(HOSTILE)
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert told.rstrip("\n").isprintable()
    assert "owned" in told


def test_the_progress_bar_shows_control_characters_harmless() -> None:
    bar = Bar()
    bar.phase(f"{HOSTILE}[bold]")
    (task,) = bar.progress.tasks
    assert task.description.isprintable()
    assert task.description.endswith("[bold]")
