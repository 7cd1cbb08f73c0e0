"""The README says what the code does: its tables, commands and options are compared with it."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from orgscan import pipeline
from orgscan.cli import app
from orgscan.collectors import ACTIONS
from orgscan.errors import ExitCode
from orgscan.models import Change, Coverage
from orgscan.schema import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def _section(title: str) -> str:
    match = re.search(
        rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL
    )
    assert match, f"no section {title!r}"
    return match[1]


def _table(title: str) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    lines = _section(title).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("|---"))
    rows = []
    for line in lines[first + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def _commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, *path, name)
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(_commands(typer.main.get_command(app)))


def _options(command: Any) -> set[str]:
    names = {name for parameter in command.params for name in parameter.opts}
    return {name for name in names if name.startswith("--")} | {"--help"}


def _mentions() -> Iterator[list[str]]:
    """Each call of orgscan in the README, in a block or in the text, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    calls = [line.strip() for block in blocks for line in block.splitlines()]
    calls += re.findall(r"`(orgscan [^`]+)`", README)
    for call in calls:
        for part in call.split("&&"):
            words = shlex.split(part)
            if words and Path(words[0]).name == "orgscan":
                yield words[1:]


def test_coverage() -> None:
    assert [(row[0], row[2]) for row in _table("Coverage")] == [
        (coverage.value, "yes" if coverage.is_gap else "no") for coverage in Coverage
    ]


def test_changes() -> None:
    assert [row[0] for row in _table("What changed since last quarter")] == list(Change)


def test_exit_codes() -> None:
    assert [int(row[0]) for row in _table("Exit codes")] == [code.value for code in ExitCode]


def test_controls() -> None:
    ids = {
        framework: {
            entry.id: ", ".join(entry.framework_ids.values())
            for entry in pipeline.framework_entries(framework)[0].entries
        }
        for framework in ("cis-7.0", "security-hub")
    }
    expected = [
        [
            entry.id,
            entry.severity,
            entry.unit,
            ids["cis-7.0"].get(entry.id, "-"),
            ids["security-hub"].get(entry.id, "-"),
            entry.title,
        ]
        for entry in pipeline.catalogue()
    ]
    assert _table("Controls") == expected
    assert re.findall(r"(\d+) controls", README) == [str(len(expected))] * 2


def test_frameworks() -> None:
    expected = [
        [entry.key, entry.label, "related" if entry.related else "direct"]
        for entry in map(_framework, pipeline.framework_keys())
    ]
    assert _table("Frameworks") == expected


def _framework(key: str) -> pipeline.FrameworkEntry:
    (entry,) = pipeline.framework_entries(key)
    return entry


def test_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    declared = [
        *[("", line) for line in project["dependencies"]],
        *[(extra, line) for extra in extras for line in extras[extra]],
    ]
    expected = [
        (name[0], extra)
        for extra, line in declared
        if (name := re.match(r"[\w-]+", line)) and name[0] != "orgscan"
    ]
    rows = _table("Dependencies")
    assert [row[0] for row in rows] == [name for name, _extra in expected]
    for (_name, why), (name, extra) in zip(rows, expected, strict=True):
        assert len(why.split(": ")[-1]) >= 5, f"{name} needs a reason"
        assert why.startswith(f"extra `{extra}`: ") == bool(extra), name


def test_every_command_is_documented() -> None:
    rows = {row[0].removeprefix("orgscan "): row[1] for row in _table("Commands")}
    assert list(rows) == list(COMMANDS)
    for name, command in COMMANDS.items():
        assert rows[name] == " ".join(command.help.split("\n\n")[0].split()), name


def test_every_call_shown_exists() -> None:
    calls = [*_mentions()]
    assert len(calls) > 10
    for words in calls:
        name = next((name for name in COMMANDS if words[: len(name.split())] == name.split()), "")
        assert name, words
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= _options(COMMANDS[name]), words


def test_every_option_mentioned_exists() -> None:
    known = set().union(*(_options(command) for command in COMMANDS.values()))
    assert set(re.findall(r"`(--[\w-]+)`", README)) <= known


def test_files_and_sheets() -> None:
    text = _section("What you get")
    for table in TABLES:
        assert f"{table.name}.parquet" in text


@pytest.mark.parametrize("path", re.findall(r"`((?:config|notebooks|orgscan)/[\w./-]+)`", README))
def test_every_file_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_every_room_has_its_line() -> None:
    tree = _section("Where things are")
    package = ROOT / "orgscan"
    rooms = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    rooms |= {path.name for path in package.glob("*.py")} - {"__init__.py", "__main__.py"}
    assert [room for room in sorted(rooms) if f" {room}" not in tree] == []


def test_figures_in_the_text() -> None:
    assert len(ACTIONS) == 7, "the README says seven calls"
    assert "seven calls" in README
    assert "25 accounts" in README


def test_nothing_of_the_machine_is_in_it() -> None:
    assert not re.search(r"/(home|work|root|tmp|Users)/|localhost:\d|127\.0\.0\.1", README)
    hosts = set(re.findall(r"https?://([\w.-]+)", README))
    assert hosts == {"keepachangelog.com", "semver.org"}
