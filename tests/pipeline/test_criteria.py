"""Frameworks and limits from the settings to the files of a run."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orgscan import settings
from orgscan.cli import summary
from orgscan.errors import UsageError
from orgscan.models import Clock, Observer
from orgscan.pipeline.render import render
from orgscan.pipeline.verify import verify
from orgscan.runs.run import Run
from orgscan.waivers.entries import read_decisions
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

Scan = Any

MINE = """
[mine]
title = "My standard"
version = "3"
not_judged = ["M-9"]
controls = {access-key-rotation = ["M-1"], unused-access-key = ["M-2"]}
thresholds = {access_key_max_age_days = 1}
"""


def report(run: Path, output: Path, **given: Any) -> Run:
    render(run, clock=Clock(), observer=Observer(), output=output, **given)
    return Run(output)


def loaded(directory: Path, text: str) -> settings.Settings:
    file = directory / "given.toml"
    file.write_text(text)
    return settings.load(file, environment={})


def limits(run: Run, control: str) -> set[str]:
    found = run.findings
    return set(found.loc[found["control_id"] == control, "threshold"].astype(str))


def requirements(run: Run, key: str) -> dict[str, Any]:
    return next(one for one in run.manifest["frameworks"] if one["key"] == key)["requirements"]


def put(file: Path, text: str | None) -> None:
    """Write a file, or remove it."""
    file.unlink() if text is None else file.write_text(text)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    file = tmp_path / "mine.toml"
    file.write_text(MINE)
    return file


async def test_the_default_is_the_newest_cis(scan: Scan) -> None:
    run = await scan("small")
    (told,) = run.manifest["frameworks"]
    assert (told["key"], told["version"], told["related"]) == ("cis-7.0", "7.0.0", False)
    assert told["requirements"]["2.1.1"]["status"] == "NOT JUDGED"
    assert told["requirements"]["2.11"]["controls"] == ["unused-password", "unused-access-key"]
    counts = run.manifest["findings"]
    for one in told["requirements"].values():
        for status, count in one["findings"].items():
            assert count == sum(counts[control][status] for control in one["controls"])
    assert sum(told["totals"].values()) == len(told["requirements"])
    # Everything is judged all the same.
    assert {"setup-access-key", "console-user"} <= set(run.findings["control_id"].astype(str))


async def test_the_first_framework_gives_the_limits_nobody_set(scan: Scan, tmp_path: Path) -> None:
    run = await scan("small", frameworks=("fsbp", "cis-7.0"))
    assert limits(run, "unused-access-key") == {"90 days (fsbp)"}
    assert limits(run, "password-length") == {"14 characters (default)"}
    assert run.manifest["thresholds"]["unused_credential_days"] == 90
    fsbp, cis = requirements(run, "fsbp"), requirements(run, "cis-7.0")
    assert fsbp["IAM.8"]["limits"]["unused-access-key"] == "90 days (fsbp)"
    assert cis["2.11"]["limits"]["unused-access-key"] == "45 days (cis-7.0)"

    other = report(run.path, tmp_path / "other", frameworks=("cis-7.0", "fsbp"))
    assert limits(other, "unused-access-key") == {"45 days (cis-7.0)"}
    assert requirements(other, "cis-7.0") == cis
    assert requirements(other, "fsbp") == fsbp

    strict = loaded(tmp_path, "[thresholds]\nunused_credential_days = 10\n")
    told = report(run.path, tmp_path / "strict", settings=strict, frameworks=("fsbp", "cis-7.0"))
    assert limits(told, "unused-access-key") == {"10 days (settings)"}
    # A requirement is judged at its framework's threshold; the organization's stands beside.
    for key, name, own in (("fsbp", "IAM.8", "90 days (fsbp)"), ("cis-7.0", "2.11", "45 days (c")):
        shown = requirements(told, key)[name]
        assert shown["limits"]["unused-access-key"].startswith(own)
        assert shown["organization_limits"]["unused-access-key"] == "10 days (settings)"


async def test_a_second_framework_is_judged_by_its_own_limits(
    scan: Scan, mine: Path, tmp_path: Path
) -> None:
    """Its counts are those of a report made for it alone; the findings stay as they are."""
    run = await scan(WORLDS["uniform"](accounts=3, users=4), frameworks=("cis-7.0",))
    files = {"framework_files": (mine,)}
    both = report(run.path, tmp_path / "both", frameworks=("cis-7.0", "mine"), **files)
    alone = report(run.path, tmp_path / "alone", frameworks=("mine",), **files)
    assert both.findings.equals(run.findings)
    assert requirements(both, "mine") == requirements(alone, "mine")
    assert requirements(both, "cis-7.0") == requirements(run, "cis-7.0")
    fails = requirements(both, "mine")["M-1"]["findings"]["FAIL"]
    assert fails > requirements(both, "cis-7.0")["2.12"]["findings"]["FAIL"]
    assert limits(alone, "access-key-rotation") == {"1 day (mine)"}


LOOSE = {
    "unused_credential_days": 3650,
    "access_key_max_age_days": 3650,
    "password_minimum_length": 6,
    "password_reuse_prevention": 1,
}


@pytest.mark.parametrize(
    "loosened",
    [
        {"thresholds": LOOSE},
        {"threshold_overrides": [{"ou": "Root", **LOOSE}]},
        {"threshold_overrides": [{"account": "ACCOUNT", **LOOSE}]},
        {"threshold_overrides": [{"tag": "env=dev", **LOOSE}]},
    ],
    ids=["organization", "OU", "account", "tag"],
)
async def test_a_looser_threshold_of_the_organization_meets_no_requirement(
    scan: Scan, tmp_path: Path, loosened: dict[str, Any]
) -> None:
    """Whatever the settings say, a requirement stands where the benchmark's number puts it."""
    world = WORLDS["uniform"](accounts=1, users=8)
    account = replace(world.accounts[0], tags={"env": "dev"})
    world = replace(world, accounts=(account,))
    loosened = json.loads(json.dumps(loosened).replace("ACCOUNT", account.id))
    keys = ("cis-7.0", "cis-1.4", "fsbp", "security-hub")
    strict = await scan(world, frameworks=keys, account_tags=True)
    given = settings.load(environment={}, frameworks=keys, account_tags=True, **loosened)
    loose = report(strict.path, tmp_path / "loose", settings=given)
    assert strict.manifest["findings"]["access-key-rotation"]["FAIL"]
    assert not loose.manifest["findings"]["access-key-rotation"]["FAIL"]
    for key in keys:
        bound, free = requirements(loose, key), requirements(strict, key)
        assert {name: one["status"] for name, one in bound.items()} == {
            name: one["status"] for name, one in free.items()
        }
        assert {name: one["findings"] for name, one in bound.items()} == {
            name: one["findings"] for name, one in free.items()
        }
    rotation = requirements(loose, "cis-7.0")["2.12"]
    assert rotation["status"] == "NOT MET"
    assert rotation["limits"] == {"access-key-rotation": "90 days (cis-7.0)"}
    assert rotation["organization_limits"]["access-key-rotation"].startswith("3650 days (")
    assert requirements(strict, "cis-7.0")["2.12"]["organization_limits"] == {}
    shown = pd.read_excel(loose.workbook, sheet_name="Frameworks", engine="openpyxl")
    row = shown[(shown["Requirement"].astype(str) == "2.12")].iloc[0]
    assert (row["Requirement status"], row["Limit"]) == ("NOT MET", "90 days (cis-7.0)")
    assert row["Organization limit"].startswith("3650 days (")


async def test_a_waiver_holds_for_a_requirement_judged_at_its_own_threshold(
    scan: Scan, tmp_path: Path
) -> None:
    run = await scan(
        WORLDS["uniform"](accounts=1, users=8), thresholds={"access_key_max_age_days": 3650}
    )
    waivers = tmp_path / "w.csv"
    expires = (datetime.now(UTC) + timedelta(days=90)).date()
    waivers.write_text(
        "id,control,owner,reason,approved_by,expires\n"
        f"W-1,access-key-rotation,Platform,until the migration,CISO,{expires}\n"
    )
    waived = report(run.path, tmp_path / "waived", decisions=read_decisions(waivers, None))
    assert requirements(run, "cis-7.0")["2.12"]["status"] == "NOT MET"
    assert requirements(waived, "cis-7.0")["2.12"]["status"] == "MET BUT WAIVED"


async def test_ocsf_claims_no_requirement_for_a_finding_judged_by_another_limit(
    scan: Scan, tmp_path: Path
) -> None:
    run = await scan("small")
    loose = loaded(tmp_path, "[[threshold_overrides]]\nou='Root'\naccess_key_max_age_days=3650\n")
    told = report(run.path, tmp_path / "told", settings=loose, formats=("ocsf",))
    events = [
        json.loads(line) for line in (told.path / "findings.ocsf.jsonl").read_text().splitlines()
    ]
    claimed = {
        event["compliance"]["control"]: event["compliance"].get("requirements") for event in events
    }
    assert not claimed["access-key-rotation"]
    assert claimed["unused-access-key"]


async def test_gaps_leave_nothing_met(scan: Scan) -> None:
    run = await scan("denied", frameworks=("cis-7.0", "pci-dss-4.0.1"))
    found = {
        one["status"]
        for key in ("cis-7.0", "pci-dss-4.0.1")
        for one in requirements(run, key).values()
    }
    assert found <= {"NOT MET", "FAILURE FOUND", "NOT KNOWN", "NOT JUDGED"}
    lines = list(summary.lines(run))
    (told,) = [line for line in lines if "(cis-7.0)" in line]
    start = "CIS AWS Foundations Benchmark 7.0.0 (cis-7.0), 10 requirements on credentials: "
    assert told.startswith(start)
    assert told.endswith(", 1 NOT JUDGED")
    assert [line for line in lines if line.startswith("PCI DSS 4.0.1 (pci-dss-4.0.1), ")]


async def test_a_framework_of_one_s_own_stays_with_the_run(
    scan: Scan, mine: Path, tmp_path: Path
) -> None:
    run = await scan("small", frameworks=("mine",), framework_files=(str(mine),))
    put(mine, None)
    assert run.manifest["settings"]["frameworks"] == ["mine"]
    assert "framework_files" not in run.manifest["settings"]
    again = report(run.path, tmp_path / "again")
    assert again.manifest["frameworks"] == run.manifest["frameworks"]
    assert requirements(again, "mine")["M-9"]["status"] == "NOT JUDGED"
    assert again.findings.equals(run.findings)
    both = report(run.path, tmp_path / "both", frameworks=("cis-1.4", "mine"))
    assert [one["key"] for one in both.manifest["frameworks"]] == ["cis-1.4", "mine"]


async def test_a_report_may_bring_a_changed_file(scan: Scan, mine: Path, tmp_path: Path) -> None:
    run = await scan("small", frameworks=("mine",), framework_files=(str(mine),))
    put(mine, MINE.replace("= 1}", "= 2}"))
    changed = report(run.path, tmp_path / "changed", framework_files=(mine,))
    assert limits(run, "access-key-rotation") == {"1 day (mine)"}
    assert limits(changed, "access-key-rotation") == {"2 days (mine)"}


async def test_what_is_wrong_is_told_before_anything_is_read(
    collect: Callable[..., Any], tmp_path: Path
) -> None:
    for given, said in (
        ({"frameworks": ("cis-7",)}, "unknown framework 'cis-7'; did you mean cis-7.0"),
        ({"framework_files": ("none.toml",)}, "none.toml: cannot be read"),
    ):
        with pytest.raises(UsageError, match=said):
            async with collect("small", tmp_path / "run", **given):
                pass
        assert not (tmp_path / "run").exists()


async def test_overrides_hold_in_their_accounts_and_are_told(scan: Scan, tmp_path: Path) -> None:
    run = await scan("small")
    account = run.findings.loc[
        run.findings["control_id"] == "access-key-rotation", "account_id"
    ].iloc[0]
    given = loaded(
        tmp_path,
        f"[[threshold_overrides]]\naccount = '{account}'\naccess_key_max_age_days = 200\n"
        "[[threshold_overrides]]\nou = 'Root/Nowhere'\naccess_key_max_age_days = 100\n",
    )
    judged = report(run.path, tmp_path / "judged", settings=given)
    rows = judged.findings[judged.findings["control_id"] == "access-key-rotation"]
    mine = rows["account_id"] == account
    assert set(rows.loc[mine, "threshold"]) == {f"200 days (account {account})"}
    assert set(rows.loc[~mine, "threshold"]) <= {"90 days (cis-7.0)"}
    notes = "\n".join(judged.manifest["notes"])
    assert "The limits set for OU Root/Nowhere apply to no account of the organization." in notes
    assert account not in notes
    told = requirements(judged, "cis-7.0")["2.12"]
    assert told["limits"] == {"access-key-rotation": "90 days (cis-7.0)"}
    text = told["organization_limits"]["access-key-rotation"]
    assert f"200 days (account {account})" in text
    # The run's own stay as they were.
    assert limits(report(run.path, tmp_path / "plain"), "access-key-rotation") == {
        "90 days (cis-7.0)"
    }


async def test_a_tag_override_needs_a_run_with_tags(scan: Scan, tmp_path: Path) -> None:
    text = "account_tags = true\n[[threshold_overrides]]\ntag = 'a=b'\nroot_usage_days = 3\n"
    given = loaded(tmp_path, text)
    run = await scan("small")
    with pytest.raises(UsageError, match="the run was made without account tags"):
        report(run.path, tmp_path / "judged", settings=given)
    assert not (tmp_path / "judged").exists()


async def test_tags_of_the_organization_decide(scan: Scan, tmp_path: Path) -> None:
    world = WORLDS["small"]()
    first, *others = world.accounts
    tagged = replace(first, tags={"environment": "dev"})
    world = replace(world, accounts=(tagged, *others))
    run = await scan(
        world,
        account_tags=True,
        threshold_overrides=[{"tag": "environment=dev", "password_minimum_length": 8}],
    )
    found = run.findings[run.findings["control_id"] == "password-length"]
    own = found["account_id"] == tagged.id
    assert set(found.loc[own, "threshold"]) == {"8 characters (tag environment=dev)"}
    assert set(found.loc[~own, "threshold"]) == {"14 characters (cis-7.0)"}
    again = report(run.path, tmp_path / "again")
    assert again.findings.equals(run.findings)


async def test_a_resumed_run_keeps_its_limits(
    collect: Callable[..., Any], resume: Callable[..., Awaitable[None]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    own = [{"ou": "Root", "access_key_max_age_days": 7}]
    options = {"threshold_overrides": own, "thresholds": {"unused_credential_days": 45}}
    async with collect("small", run, **options) as simulator:
        with pytest.raises(UsageError, match="the run was started with threshold_overrides"):
            await resume(
                simulator,
                run,
                retry_gaps=True,
                threshold_overrides=[{"ou": "Root", "access_key_max_age_days": 8}],
            )
        shutil.copytree(run, tmp_path / "copy")
        await resume(simulator, tmp_path / "copy", retry_gaps=True)
    render(tmp_path / "copy", clock=Clock(), observer=Observer())
    finished = Run(tmp_path / "copy")
    assert limits(finished, "access-key-rotation") == {"7 days (OU Root)"}
    assert limits(finished, "unused-access-key") == {"45 days (settings)"}


async def test_what_is_rendered_verifies(scan: Scan, tmp_path: Path) -> None:
    run = await scan("small", frameworks=("fsbp", "nist-800-53-r5"))
    assert not verify(run.path).problems
    given = loaded(tmp_path, "[[threshold_overrides]]\nou = 'Root'\nroot_usage_days = 1\n")
    render(run.path, clock=Clock(), observer=Observer(), settings=given)
    assert not verify(run.path).problems
