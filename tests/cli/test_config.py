"""``orgscan config``: the files of config/, wherever orgscan is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orgscan import examples
from orgscan.errors import ExitCode

CONFIG = Path(__file__).parents[2] / "config"


def test_every_file_is_listed_and_printed_as_it_is(orgscan: Any) -> None:
    listed = orgscan("config")
    assert listed.returncode == ExitCode.OK, listed.stderr
    assert listed.stdout.splitlines() == sorted(path.name for path in CONFIG.iterdir())

    printed = orgscan("config", "orgscan.toml")
    assert printed.returncode == ExitCode.OK, printed.stderr
    assert printed.stdout == (CONFIG / "orgscan.toml").read_text("utf-8")


@pytest.mark.parametrize("name", ["nope.toml", "../pyproject.toml", ""])
def test_no_other_file_is_printed(orgscan: Any, name: str) -> None:
    finished = orgscan("config", name)
    assert finished.returncode == ExitCode.USAGE
    assert "waivers.example.toml" in finished.stderr
    assert finished.stdout == ""


def test_an_installed_package_holds_them_and_a_source_tree_beside_it(tmp_path: Path) -> None:
    package = tmp_path / "orgscan"
    assert examples.directory(package) == tmp_path / "config"
    (package / "config").mkdir(parents=True)
    assert examples.directory(package) == package / "config"
