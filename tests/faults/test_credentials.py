"""The caller's credentials fail: one line, exit 2, in time; row 45 of the fault matrix."""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from orgscan.simulator import AUDIT_ROLE
from tests.kit.commands import Finished, Orgscan, resume_of, scan_of
from tests.kit.serving import serve_in_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.simulator import World

TIMEOUT = 2.0
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEYS = f"aws_access_key_id = AKIAEXAMPLE\naws_secret_access_key = {SECRET}\n"
CHAINED = "[profile p]\nrole_arn = arn:aws:iam::123456789012:role/Chained\n"
START_URL = "https://example.awsapps.com/start"
LEGACY_SSO = (
    f"[profile p]\nsso_start_url = {START_URL}\nsso_region = eu-west-1\n"
    "sso_account_id = 123456789012\nsso_role_name = Audit\n"
)
SSO = (
    "[profile p]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Audit\n"
    f"[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = {START_URL}\n"
)
ENDLESS = "import time; time.sleep(600)"
BRIEF = "import time; time.sleep(6)"


def python(code: str) -> str:
    """A command that runs ``code``, as a credential_process has it."""
    return f"{sys.executable} -c {shlex.quote(code)}"


def helper(code: str) -> str:
    return f"[profile p]\ncredential_process = {python(code)}\n"


def printing(**members: Any) -> str:
    return helper(f"print({json.dumps(json.dumps(members))})")


@contextmanager
def silent() -> Iterator[str]:
    """A server that accepts connections and never answers; its URL."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def answering(body: str, status: int = 200) -> Iterator[str]:
    """A server that answers everything alike; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Machine:
    """A machine with AWS settings, on which the program runs without a terminal."""

    orgscan: Orgscan
    env: dict[str, str] = field(default_factory=dict)

    def settings(self, config: str | bytes) -> None:
        path = self.orgscan.work / "config"
        path.write_bytes(config if isinstance(config, bytes) else config.encode())
        self.env["AWS_CONFIG_FILE"] = str(path)

    def sso_token(self, key: str, content: str) -> None:
        folder = Path(self.orgscan.environment["HOME"], ".aws/sso/cache")
        folder.mkdir(parents=True, exist_ok=True)
        name = sha1(key.encode(), usedforsecurity=False).hexdigest()
        (folder / f"{name}.json").write_text(content)

    def run(self, command: str, *more: object, profile: str | None = "p") -> Finished:
        chosen = [] if profile is None else ["--profile", profile]
        given = ["--config", "settings.toml", "--role-name", AUDIT_ROLE, "--quiet", *chosen, *more]
        (self.orgscan.work / "settings.toml").write_text(f"call_timeout_seconds = {TIMEOUT}\n")
        return self.orgscan.run(command, *given, env=self.env)

    def refused(self, *names: str, profile: str | None = "p") -> str:
        """Scan, in vain: the one line that says why."""
        began = time.monotonic()
        done = self.run("scan", "--output", "run", profile=profile)
        assert done.returncode == 2, done.stderr
        assert time.monotonic() - began < TIMEOUT + 1
        assert not (self.orgscan.work / "run").exists()
        assert SECRET not in done.stdout + done.stderr
        for name in names:
            assert name in done.line
        return done.line


@pytest.fixture
def machine(orgscan: Orgscan) -> Machine:
    orgscan.run("--version")  # what the first command waits for is no part of its time
    return Machine(orgscan)


class TestSso:
    @pytest.mark.parametrize("config", [SSO, LEGACY_SSO], ids=["session", "legacy"])
    def test_without_a_cached_session(self, machine: Machine, config: str) -> None:
        machine.settings(config)
        machine.refused("AWS SSO session", "aws sso login --profile p")

    @pytest.mark.parametrize("content", ["", "not JSON", "[]", "{}", '"x"'])
    @pytest.mark.parametrize(
        ("config", "key"), [(SSO, "corp"), (LEGACY_SSO, START_URL)], ids=["session", "legacy"]
    )
    def test_with_a_corrupt_cache(
        self, machine: Machine, config: str, key: str, content: str
    ) -> None:
        machine.settings(config)
        machine.sso_token(key, content)
        machine.refused("SSO session")

    @pytest.mark.parametrize(
        ("config", "key"), [(SSO, "corp"), (LEGACY_SSO, START_URL)], ids=["session", "legacy"]
    )
    def test_that_expired(self, machine: Machine, config: str, key: str) -> None:
        machine.settings(config)
        token = {"accessToken": SECRET, "expiresAt": "2020-01-01T00:00:00Z"}
        machine.sso_token(key, json.dumps(token))
        machine.refused("AWS SSO session", "aws sso login --profile p")

    def test_with_an_expiry_that_is_no_time(self, machine: Machine) -> None:
        machine.settings(LEGACY_SSO)
        machine.sso_token(START_URL, json.dumps({"accessToken": "x", "expiresAt": SECRET}))
        machine.refused("SSO session")

    def test_behind_a_proxy_that_never_answers(self, machine: Machine) -> None:
        machine.settings(SSO)
        token = {"accessToken": SECRET, "expiresAt": "2999-01-01T00:00:00Z"}
        machine.sso_token("corp", json.dumps(token))
        with silent() as url:
            machine.env["HTTPS_PROXY"] = url
            machine.refused("SSO session", "proxy")


class TestChainedProfile:
    def test_that_asks_for_an_mfa_code_without_a_terminal(self, machine: Machine) -> None:
        serial = "mfa_serial = arn:aws:iam::123456789012:mfa/me\n"
        machine.settings(f"{CHAINED}source_profile = base\n{serial}[profile base]\n{KEYS}")
        machine.refused("MFA code", "no terminal")

    def test_behind_a_dead_proxy(self, machine: Machine) -> None:
        machine.settings(f"{CHAINED}source_profile = base\n[profile base]\n{KEYS}")
        machine.env["HTTPS_PROXY"] = f"http://user:{quote(SECRET, safe='')}@127.0.0.1:9"
        machine.refused("role_arn", "proxy", "HTTPS_PROXY")

    def test_behind_a_proxy_that_never_answers(self, machine: Machine) -> None:
        machine.settings(f"{CHAINED}source_profile = base\n[profile base]\n{KEYS}")
        with silent() as url:
            machine.env["HTTPS_PROXY"] = url
            machine.refused("role_arn", "2 seconds", "proxy")

    @pytest.mark.parametrize(
        ("rest", "name"),
        [
            ("source_profile = nobody\n", "nobody"),
            ("source_profile = p\n", "p"),
            ("", "source_profile"),
            ("credential_source = Nonsense\n", "Nonsense"),
            ("credential_source = Environment\n", "Environment"),
            ("credential_source = Ec2InstanceMetadata\n", "Ec2InstanceMetadata"),
            ("credential_source = EcsContainer\n", "EcsContainer"),
            ("source_profile = base\ncredential_source = Environment\n[profile base]\n", "both"),
            ("source_profile = base\n[profile base]\nregion = eu-west-1\n", "base"),
        ],
    )
    def test_with_a_source_that_has_nothing(self, machine: Machine, rest: str, name: str) -> None:
        machine.settings(CHAINED + rest)
        machine.refused("AWS", name)

    def test_whose_source_is_a_helper_that_fails(self, machine: Machine) -> None:
        base = helper("raise SystemExit(7)").replace("profile p", "profile base")
        machine.settings(f"{CHAINED}source_profile = base\n{base}")
        machine.refused("credential_process", "exit code 7")


class TestHelper:
    @pytest.mark.parametrize(
        ("code", "names"),
        [
            (f"import sys; print('{SECRET}', file=sys.stderr); sys.exit(3)", ["exit code 3"]),
            (f"print('{SECRET}')", ["no credentials"]),
            (f"import sys; sys.stdout.buffer.write(b'\\xff{SECRET}')", ["no credentials"]),
            ("", ["no credentials"]),
            ("while True: print('x' * 65536)", ["no credentials"]),
            ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", ["exit code -11"]),
            ("print(input('Password: '))", ["exit code 1"]),
            ("open('/dev/tty').read()", ["exit code 1"]),
        ],
        ids=["fails", "text", "bytes", "nothing", "endless", "crashes", "asks", "terminal"],
    )
    def test_that_brings_nothing(self, machine: Machine, code: str, names: list[str]) -> None:
        machine.settings(helper(code))
        machine.refused("credential_process", *names)

    @pytest.mark.parametrize(
        "members",
        [
            {},
            {"Version": SECRET},
            {"Version": 1, "AccessKeyId": "AKIAEXAMPLE"},
            {"Version": 1, "AccessKeyId": 5, "SecretAccessKey": SECRET},
            {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": SECRET, "Expiration": SECRET},
            {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": SECRET, "Expiration": 5},
            {
                "Version": 1, "AccessKeyId": "A", "SecretAccessKey": SECRET,
                "Expiration": "2026-01-01T00:00:00",
            },
        ],
    )  # fmt: skip
    def test_that_prints_other_json(self, machine: Machine, members: dict[str, Any]) -> None:
        machine.settings(printing(**members))
        machine.refused("credential_process", "no credentials")

    @pytest.mark.parametrize("text", ["[]", "null", '"x"', "[" * 100_000])
    def test_that_prints_no_object(self, machine: Machine, text: str) -> None:
        made = f"print({text!r})" if len(text) < 99 else "print('[' * 100_000)"
        machine.settings(helper(made))
        machine.refused("credential_process", "no credentials")

    def test_whose_credentials_have_expired(self, machine: Machine) -> None:
        machine.settings(
            printing(
                Version=1, AccessKeyId="A", SecretAccessKey=SECRET,
                Expiration="2020-01-01T00:00:00Z",
            )
        )  # fmt: skip
        machine.refused("credential_process", "expired")

    def test_whose_keys_fit_no_header(self, machine: Machine) -> None:
        machine.settings(printing(Version=1, AccessKeyId="A", SecretAccessKey=f"{SECRET}\n"))
        machine.refused("secret access key")

    @pytest.mark.parametrize("command", ["no-such-program --now", "'", "/", "''"])
    def test_that_cannot_be_started(self, machine: Machine, command: str) -> None:
        machine.settings(f"[profile p]\ncredential_process = {command}\n")
        machine.refused("credential_process", "AWS profile")

    def test_that_hangs_is_killed_with_its_children(self, machine: Machine) -> None:
        pids = machine.orgscan.work / "pids"
        child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{ENDLESS}'])"
        noted = f"{child}; import os; open({str(pids)!r}, 'w').write(str(os.getpid())); {ENDLESS}"
        machine.settings(helper(noted))
        machine.refused("credential_process", "2 seconds")
        group = int(pids.read_text())
        until = time.monotonic() + 5
        while time.monotonic() < until and _alive(group):
            time.sleep(0.02)
        assert not _alive(group)

    def test_whose_child_keeps_the_pipe_open(self, machine: Machine) -> None:
        code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{BRIEF}'], start"
        machine.settings(helper(f"{code}_new_session=True)"))
        machine.refused("credential_process", "2 seconds")


def _alive(group: int) -> bool:
    """Whether a process of the group runs; a zombie nobody waits for does not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _parent, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(its_group) == group and state != "Z":
            return True
    return False


class TestWebIdentity:
    @pytest.mark.parametrize("kind", ["missing", "empty", "folder", "pipe", "bytes"])
    def test_with_a_token_file_that_holds_none(self, machine: Machine, kind: str) -> None:
        path = machine.orgscan.work / "token"
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind != "missing":
            path.write_bytes(b"" if kind == "empty" else b"\xff")
        machine.env["AWS_WEB_IDENTITY_TOKEN_FILE"] = str(path)
        machine.env["AWS_ROLE_ARN"] = "arn:aws:iam::123456789012:role/Web"
        machine.refused("web identity token file", str(path), profile=None)

    def test_without_a_role(self, machine: Machine) -> None:
        machine.settings("[profile p]\nweb_identity_token_file = /nowhere\n")
        machine.refused("role")

    def test_in_the_profile_others_build_upon(self, machine: Machine) -> None:
        web = "web_identity_token_file = /nowhere\nrole_arn = arn:aws:iam::123456789012:role/W\n"
        machine.settings(f"{CHAINED}source_profile = base\n[profile base]\n{web}")
        machine.refused("web identity token file", "/nowhere")


class TestMachine:
    def test_whose_metadata_service_is_absent(self, machine: Machine) -> None:
        machine.env["AWS_EC2_METADATA_DISABLED"] = "false"
        machine.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:9"
        machine.refused("no AWS credentials found", profile=None)

    def test_whose_metadata_service_never_answers(self, machine: Machine) -> None:
        machine.env["AWS_EC2_METADATA_DISABLED"] = "false"
        machine.env["AWS_METADATA_SERVICE_TIMEOUT"] = "60"
        with silent() as url:
            machine.env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = url
            machine.refused("instance metadata service", "2 seconds", profile=None)

    @pytest.mark.parametrize("body", [SECRET, "[]", "{}", f'{{"AccessKeyId": "{SECRET}"}}'])
    @pytest.mark.parametrize("status", [200, 500])
    def test_whose_container_endpoint_answers_nonsense(
        self, machine: Machine, body: str, status: int
    ) -> None:
        with answering(body, status) as url:
            machine.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
            machine.refused("container", profile=None)

    def test_whose_container_endpoint_never_answers(self, machine: Machine) -> None:
        with silent() as url:
            machine.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url
            machine.refused("container", profile=None)

    @pytest.mark.parametrize(
        "config", ["[profile p\nregion", "no section", "[profile p]\n[profile p]\n", b"\xff\xfe"]
    )
    def test_whose_config_file_is_malformed(self, machine: Machine, config: str | bytes) -> None:
        machine.settings(config)
        machine.refused("AWS", profile="p")

    def test_with_half_of_the_keys(self, machine: Machine) -> None:
        machine.settings("[profile p]\naws_access_key_id = AKIAEXAMPLE\n")
        machine.refused("AWS settings", "aws_secret_access_key")


def test_check_reports_a_hanging_helper_as_a_step(machine: Machine) -> None:
    machine.settings(helper(ENDLESS))
    began = time.monotonic()
    done = machine.run("check")
    assert time.monotonic() - began < TIMEOUT + 1
    assert (done.returncode, done.stderr) == (2, "")
    assert "caller: credential_process" in done.stdout


@pytest.mark.parametrize(
    "option",
    [
        ("--publish", "s3://bucket/x?endpoint_override=127.0.0.1:9&region=eu-west-1"),
        ("--sign-with-kms", "alias/audit"),
    ],
    ids=["publish", "sign"],
)
def test_a_helper_that_fails_at_the_end_leaves_a_finished_run(
    machine: Machine, small: World, option: tuple[str, str]
) -> None:
    with serve_in_thread(small) as simulator:
        machine.settings(helper(f"import sys; sys.exit('{SECRET}')"))
        env = machine.env | {"AWS_PROFILE": "p"}
        done = machine.orgscan.run(*scan_of(simulator), simulator=simulator)
        assert done.returncode == 0, done.stderr
        done = machine.orgscan.run("report", "run", *option, env=env)
    assert done.returncode == 1
    assert "the run is complete but was not" in done.line
    assert "credential_process" in done.line
    assert SECRET not in done.stdout + done.stderr


def _short_lived(simulator: Any, work: Path, *, lives: int) -> str:
    """A helper whose keys last three seconds, and which fails after ``lives`` calls."""
    key, secret, _ = simulator.credentials
    lasting = "(datetime.now(UTC) + timedelta(seconds=3)).isoformat()"
    return helper(
        "import json, sys; from datetime import *; from pathlib import Path; "
        f"count = Path({str(work / 'count')!r}); "
        "n = len(count.read_text()) if count.exists() else 0; count.write_text('x' * (n + 1)); "
        f"n < {lives} or sys.exit('{SECRET}'); "
        f"print(json.dumps({{'Version': 1, 'AccessKeyId': '{key}', "
        f"'SecretAccessKey': '{secret}', 'Expiration': {lasting}}}))"
    )


def test_keys_that_expire_and_cannot_be_renewed_end_the_run_which_can_be_resumed(
    machine: Machine, fleet: World
) -> None:
    from orgscan.simulator import Fault  # noqa: PLC0415 - beside what is slow about it
    from tests.kit import faults  # noqa: PLC0415 - beside what is slow about it

    slow = Fault(effect=faults.Delivery(delay=1.0), action="AssumeRole")
    with serve_in_thread(fleet, faults=[slow]) as simulator:
        machine.settings(_short_lived(simulator, machine.orgscan.work, lives=3))
        env = machine.env | {"AWS_PROFILE": "p"}
        done = machine.orgscan.run(*scan_of(simulator, "--concurrency", 5), env=env)
        assert done.returncode == 4, done.stderr
        assert "Traceback" not in done.stderr
        assert SECRET not in done.stdout + done.stderr
        manifest = json.loads((machine.orgscan.work / "run/manifest.json").read_text())
        assert any("credential_process" in note for note in manifest["notes"])
        assert sum(manifest["coverage"].values()) == len(fleet.accounts)
        done = machine.orgscan.run(*resume_of(simulator), simulator=simulator)
        assert done.returncode == 0, done.stderr


def test_keys_that_are_still_valid_outlive_a_helper_that_fails(
    machine: Machine, small: World
) -> None:
    until = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()
    with serve_in_thread(small) as simulator:
        text = _short_lived(simulator, machine.orgscan.work, lives=2)
        start = text.index("(datetime.now(UTC)")
        end = text.index(".isoformat()", start) + len(".isoformat()")
        machine.settings(text[:start] + f'"{until}"' + text[end:])
        env = machine.env | {"AWS_PROFILE": "p"}
        done = machine.orgscan.run(*scan_of(simulator), env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
