"""No secret is seen anywhere, and nothing but the declared actions is called."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.log import RunLog
from orgscan.role.policy import declared_actions
from orgscan.simulator import AUDIT_ROLE, Fault, Simulator
from orgscan.simulator.cloud import CANARY
from tests.kit import faults
from tests.kit.commands import ROOT
from tests.kit.scans import NOW, collect, finish, scan
from tests.kit.serving import serve_in_thread
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from pathlib import Path

    from orgscan.simulator import World

EXTERNAL_ID = "canaryExternalId"

_TALKATIVE = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
for name in ("aioboto3", "aiobotocore", "aiohttp", "asyncio", "boto3", "botocore", "urllib3"):
    logging.getLogger(name).setLevel(logging.DEBUG)
from orgscan.cli import main
main()
"""


def secrets_of(simulator: Simulator) -> set[str]:
    found = simulator.secrets | {EXTERNAL_ID}
    assert len(found) > 4
    return found


def assert_none_in(text: str | bytes, secrets: set[str], where: str) -> None:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    assert CANARY.encode() not in raw, where
    assert not [secret for secret in secrets if secret.encode() in raw], where


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_secret_in_any_file_or_stream_of_the_most_talkative_process(
    small: World, tmp_path: Path, form: str
) -> None:
    garbled = Fault(effect=faults.HTML, action="AssumeRole", nth=2)
    refused = Fault(effect=faults.SIGNATURE_EXPIRED, action="ListUsers", nth=2)
    with serve_in_thread(small, faults=[garbled, refused]) as simulator:
        key, secret, _ = simulator.credentials
        finished = subprocess.run(
            [
                sys.executable, "-X", "dev", "-W", "ignore", "-c", _TALKATIVE, "scan",
                "--role-name", AUDIT_ROLE, "--endpoint-url", simulator.endpoint_url,
                "--external-id", EXTERNAL_ID, "--output", "run", "--log-format", form, "--verbose",
            ],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path / "nobody"),
                "PYTHONPATH": str(ROOT),
                "AWS_ACCESS_KEY_ID": key,
                "AWS_SECRET_ACCESS_KEY": secret,
            },
            capture_output=True,
            check=False,
            timeout=120,
        )  # fmt: skip
    assert finished.returncode in {0, 1, 4}, finished.stderr.decode()
    secrets = secrets_of(simulator)
    assert_none_in(finished.stdout, secrets, "stdout")
    assert_none_in(finished.stderr, secrets, "stderr")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert_none_in(path.read_bytes(), secrets, path.name)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_no_secret_in_a_log_record_or_the_traceback_of_a_crash(
    small: World, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)

    def crash(*_arguments: Any, **_more: Any) -> None:
        text = "a defect in a collector"
        raise ZeroDivisionError(text)

    # What no answer of AWS can bring about: a mistake of ours in the middle of an account.
    monkeypatch.setattr("orgscan.collect.collectors.users.document", crash)
    async with Simulator(small) as simulator:
        with pytest.raises(BaseException, match=r".*") as caught:
            await collect(simulator, tmp_path / "run", external_id=EXTERNAL_ID, observer=RunLog())
        secrets = secrets_of(simulator)
    told = "".join(
        traceback.TracebackException.from_exception(caught.value, capture_locals=True).format()
    )
    assert "a defect in a collector" in told
    plain = "".join(traceback.format_exception(caught.value))
    assert_none_in(plain, secrets, "traceback")
    assert_none_in(caplog.text, secrets, "log")
    for record in caplog.records:
        assert_none_in(f"{record.msg!r} {record.args!r}", secrets, "log record")


async def test_no_secret_in_any_file_of_any_world(tmp_path: Path) -> None:
    for name in ("demo", "denied", "delegated"):
        async with Simulator(WORLDS[name](now=NOW)) as simulator:
            await collect(simulator, tmp_path / name, external_id=EXTERNAL_ID)
        finish(tmp_path / name)
        for path in (tmp_path / name).iterdir():
            assert_none_in(path.read_bytes(), secrets_of(simulator), f"{name}/{path.name}")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["demo", "denied", "states", "paging", "hostile"])
async def test_only_declared_actions_are_called_whatever_goes_wrong(
    tmp_path: Path, name: str
) -> None:
    chance = Fault(effect=faults.SERVICE_FAILURE, probability=0.05, seed=4)
    scanned = await scan(WORLDS[name](now=NOW), tmp_path / "run", chance, account_tags=True)
    assert scanned.simulator.undeclared == []
    assert {call.name for call in scanned.simulator.calls} <= declared_actions()
