"""What a command was asked to do is checked once, before anything is read or written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from orgscan.errors import UsageError
from orgscan.models import Clock, Severity
from orgscan.pipeline.run_plan import RunPlan

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def for_scan(file: Path | None = None, **options: Any) -> RunPlan:
    return RunPlan.for_scan(file, clock=Clock(), environment={}, **options)


@pytest.mark.parametrize("way", ["option", "file", "variable"])
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("formats", "docx", "docx"),
        ("previous", "nowhere", "nowhere"),
        ("sign_with_kms", "a key", "a key"),
        ("publish", "s3://", "s3://"),
        ("waivers", "nowhere.toml", "nowhere.toml"),
        ("carry", "nowhere.xlsx", "nowhere.xlsx"),
        ("resume", "nowhere", "nowhere"),
        ("scheduler", "tcp://user:secret@there:1", "credentials"),
        ("fail_on", "worst", "'worst'"),
    ],
)
def test_every_way_to_ask_is_checked_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, way: str, name: str, value: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, Any] = {"file": None, "environment": {}}
    if way == "file":
        given["file"] = tmp_path / "orgscan.toml"
        given["file"].write_text(f'{name} = "{value}"')
    elif way == "variable":
        given["environment"] = {f"ORGSCAN_{name.upper()}": value}
    options = {name: [value] if name == "formats" else value} if way == "option" else {}
    with pytest.raises(UsageError) as caught:
        RunPlan.for_scan(given["file"], clock=Clock(), environment=given["environment"], **options)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["orgscan.toml"] * (way == "file")


def test_a_run_goes_where_it_is_told_or_below_the_default(tmp_path: Path) -> None:
    assert for_scan(output=tmp_path / "run").directory == tmp_path / "run"
    assert for_scan().directory.parent.name == "orgscan-runs"


async def test_a_resumed_run_has_the_settings_it_began_with(
    scan: Callable[..., Any], tmp_path: Path
) -> None:
    run = await scan("small", concurrency=7, frameworks=("fsbp",))
    file = tmp_path / "orgscan.toml"
    file.write_text("concurrency = 9\noutput = 'new'\nfail_on = 'low'\n")
    plan = for_scan(file, resume=run.path, retry_gaps=True)
    assert (plan.directory, plan.settings.output) == (run.path, None)
    assert plan.settings.frameworks == ("fsbp",)
    assert plan.settings.concurrency == 9
    assert plan.settings.fail_on is Severity.LOW
    assert not plan.frameworks  # the run's own hold


async def test_only_a_file_replaces_what_a_report_is_judged_by(
    scan: Callable[..., Any], tmp_path: Path
) -> None:
    run = await scan("small")
    variables = {"ORGSCAN_THRESHOLDS__ROOT_USAGE_DAYS": "3", "ORGSCAN_FAIL_ON": "low"}
    plain = RunPlan.for_report(run.path, environment=variables)
    assert plain.criteria is None
    assert plain.settings.fail_on is Severity.LOW
    file = tmp_path / "orgscan.toml"
    file.write_text("output = 'elsewhere'\n")
    for given in (
        RunPlan.for_report(run.path, file, environment=variables),
        RunPlan.for_report(run.path, environment={**variables, "ORGSCAN_CONFIG": str(file)}),
    ):
        assert given.criteria is not None
        assert given.criteria.thresholds.root_usage_days == 3
        assert given.output is None  # a scan's
