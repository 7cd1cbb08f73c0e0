"""The logger ``orgscan``: what is logged, in which form, and that a notebook decides."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from orgscan import log
from orgscan.models import Coverage, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

GAP = Outcome(
    account_id="000000000001",
    coverage=Coverage.DENIED,
    error_code="AccessDenied",
    duration_seconds=1.25,
)


@pytest.fixture(autouse=True)
def stderr() -> Iterator[None]:
    with log.to_stderr():
        yield
    assert log.LOGGER.level == logging.NOTSET


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("options", "events"),
    [
        ({}, ["error"]),
        ({"quiet": True}, ["error"]),
        ({"quiet": True, "as_json": True}, ["error"]),
        ({"as_json": True}, ["account", "error", "finish"]),
        ({"verbose": True, "as_json": True}, ["phase", "account", "error", "finish"]),
        ({"verbose": True}, ["phase", "account", "error", "finish"]),
    ],
)
def test_errors_always_accounts_in_json_all_where_verbose(
    capsys: pytest.CaptureFixture[str], options: dict[str, bool], events: list[str]
) -> None:
    run = log.RunLog()
    log.configure(run=run, **options)
    run.phase("Reading accounts")
    run.settled(GAP)
    log.LOGGER.error("no\x1b[2J\nway", extra={"event": "error"})
    log.finish(4)
    lines = told(capsys)
    assert len(lines) == len(events)
    assert all(line.isprintable() for line in lines)
    if options.get("as_json"):
        assert [json.loads(line)["event"] for line in lines] == events
    else:
        assert all(line.startswith("orgscan: ") for line in lines)


def test_the_last_line_adds_up_calls_and_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    run = log.RunLog()
    log.configure(as_json=True, run=run)
    run.settled(GAP)
    for _ in range(2):
        run.called({"iam": {"calls": 3, "retries": 1, "throttles": 0}})
        run.took("collect", 0.5)
    log.finish(4)
    account, finish = map(json.loads, told(capsys))
    assert (account["code"], account["seconds"], account["gaps"]) == ("AccessDenied", 1.25, 1)
    assert finish["calls"] == {"iam": {"calls": 6, "retries": 2, "throttles": 0}}
    assert finish["seconds"] == {"collect": 1.0}
    assert finish["coverage"] == {"DENIED": 1}
    assert finish["exit_code"] == 4


def test_a_notebook_sees_what_it_asks_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="orgscan"):
        log.RunLog().settled(GAP)
    (record,) = caplog.records
    assert "000000000001" in record.getMessage()
