"""README and pages say what the code does: tables, commands and options are compared with it."""

from __future__ import annotations

import importlib.resources
import re
import shlex
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from orgscan.cli import app
from orgscan.collect.collectors import ACTIONS
from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.frameworks.reading import shipped
from orgscan.errors import ExitCode
from orgscan.models import Change, Coverage, RequirementStatus
from orgscan.schema import TABLES
from tests import pages

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = {
    path.relative_to(ROOT): path.read_text("utf-8")
    for path in sorted((ROOT / "orgscan" / "docs").rglob("*"))
}
DOCUMENTS = {Path("README.md"): (ROOT / "README.md").read_text("utf-8"), **PAGES}
README = DOCUMENTS[Path("README.md")]
TEXT = "\n".join(DOCUMENTS.values())


def _prose(text: str) -> str:
    """Without blocks of code, whose comments look like headings and whose brackets like links."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def _section(title: str, text: str = TEXT) -> str:
    """The only section of that title."""
    found = re.findall(rf"^#+ {re.escape(title)}\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"{len(found)} sections {title!r}"
    return str(found[0])


def _table(title: str, text: str = TEXT) -> list[list[str]]:
    """The rows of the first table of a section, without its head."""
    lines = _section(title, text).splitlines()
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


def _mentions(text: str) -> Iterator[list[str]]:
    """Each call of orgscan in a document, in a block or in the text, as words."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    calls = [line.strip() for block in blocks for line in block.splitlines()]
    calls += re.findall(r"`(orgscan [^`]+)`", text)
    for call in calls:
        for part in call.split("&&"):
            words = shlex.split(part)
            if words and Path(words[0]).name == "orgscan":
                yield words[1:]


def test_coverage() -> None:
    assert [(row[0], row[2]) for row in _table("Coverage", README)] == [
        (coverage.value, "yes" if coverage.is_gap else "no") for coverage in Coverage
    ]


def test_exit_codes() -> None:
    assert [int(row[0]) for row in _table("Exit codes", README)] == [
        code.value for code in ExitCode
    ]


@pytest.mark.parametrize("document", pages.DOCUMENTS, ids=str)
def test_what_the_code_decides_is_up_to_date(document: Path) -> None:
    text = DOCUMENTS[document]
    remedy = f"{document} does not show what the code has; write it again: python -m tests.pages"
    assert pages.up_to_date(document, text) == text, remedy


def test_the_pages_show_every_control_framework_and_change() -> None:
    assert len(_table("Controls")) == len(CATALOGUE)
    assert len(_table("Frameworks")) == len(shipped())
    assert [row[0] for row in _table("Changes since an earlier run")] == list(Change)
    assert re.findall(r"(\d+) controls", TEXT) == [str(len(CATALOGUE))] * 2


def test_where_a_requirement_may_stand() -> None:
    told = [row[0] for row in _requirement_rows()]
    assert sorted(told) == sorted(
        status for status in RequirementStatus if status not in _OF_RELATED
    )
    assert all(status in _section("Frameworks") for status in _OF_RELATED)


_OF_RELATED = (RequirementStatus.FAILURE_FOUND, RequirementStatus.NO_FAILURE)


def _requirement_rows() -> list[list[str]]:
    """The second table of its section."""
    _first, second = _section("Frameworks").split("| status | condition |")
    return _table("x", f"# x\n{second}")


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


def test_calls_are_shown() -> None:
    assert len([*_mentions(README)]) > 10
    assert len([*_mentions(TEXT)]) > 40


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_call_shown_exists(document: Path) -> None:
    for words in _mentions(DOCUMENTS[document]):
        name = next((name for name in COMMANDS if words[: len(name.split())] == name.split()), "")
        assert name, words
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= _options(COMMANDS[name]), words


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_option_mentioned_exists(document: Path) -> None:
    known = set().union(*(_options(command) for command in COMMANDS.values()))
    assert set(re.findall(r"`(--[\w-]+)", DOCUMENTS[document])) <= known


def test_common_options_are_those_of_their_commands() -> None:
    for options, commands, _what in _table("Common options"):
        for command in re.findall(r"[\w-]+", commands):
            assert set(re.findall(r"--[\w-]+", options)) <= _options(COMMANDS[command]), command


def test_measurements_in_the_readme_are_those_of_the_performance_page() -> None:
    page = PAGES[Path("orgscan/docs/performance.md")]
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    known = {tuple(cell.strip() for cell in row.strip("|").split("|")[:2]) for row in rows}
    comparison = _section("Comparison", README).partition("| measurement | result |")[2]
    shown = {(row[0], row[1]) for row in _table("x", f"# x\n{comparison}")}
    assert len(shown) == 5
    assert shown <= known


def test_the_result_shown_is_that_of_the_demo() -> None:
    manifest = pages.demo()
    excerpt = _section("What you get", README).split("```")[1]
    counts = {
        name: int(count)
        for name, count in re.findall(r"^ +.*?([\w-]+) +(\d+)", excerpt, re.MULTILINE)
    }
    coverage = {name: count for name, count in counts.items() if name in set(Coverage)}
    assert len(coverage) == 3
    assert coverage.items() <= manifest["coverage"].items()
    controls = {name: count for name, count in counts.items() if name not in coverage}
    assert len(controls) == 3
    assert {name: manifest["findings"][name]["FAIL"] for name in controls} == controls
    fails, unknown = (
        sum(of[status] for of in manifest["findings"].values()) for status in ("FAIL", "UNKNOWN")
    )
    assert f"Findings: {fails} FAIL, {unknown} UNKNOWN" in excerpt
    assert f"Coverage: {manifest['accounts']} accounts" in excerpt


def test_files_and_sheets() -> None:
    text = _section("What you get", README)
    for table in TABLES:
        assert f"{table.name}.parquet" in text


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:config|notebooks|orgscan|tests)/[\w./-]*)`", TEXT)))
)
def test_every_file_named_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_figures_in_the_text() -> None:
    assert len(ACTIONS) == 13, "README and security.md say thirteen calls"
    assert "thirteen calls" in README
    assert "thirteen calls" in PAGES[Path("orgscan/docs/security.md")]
    assert "25 accounts" in README


def test_nothing_of_the_machine_is_in_it() -> None:
    assert not re.search(r"/(home|work|root|tmp|Users)/|localhost:\d|127\.0\.0\.1", TEXT)
    hosts = set(re.findall(r"https?://([\w.-]+)", TEXT))
    assert hosts == {"keepachangelog.com", "semver.org"}


def _links(document: Path) -> set[Path]:
    """The files a document links to, seen from the root."""
    targets = re.findall(r"\]\(([^)\s]+)\)", _prose(DOCUMENTS[document]))
    local = [target.partition("#")[0] for target in targets if "://" not in target]
    whole = [(ROOT / document).parent.joinpath(target).resolve() for target in local if target]
    return {path.relative_to(ROOT) for path in whole}


def _anchors(text: str) -> set[str]:
    """What a link may name after ``#``, as GitHub forms it from the headings."""
    headings = re.findall(r"^#+ (.+)$", _prose(text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_anchor_is_a_heading(document: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)\s#]*)#([^)\s]+)\)", _prose(DOCUMENTS[document])):
        page = (ROOT / document).parent.joinpath(target) if target else ROOT / document
        assert anchor in _anchors(page.read_text("utf-8")), (target, anchor)


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_leads_somewhere(document: Path) -> None:
    assert [path for path in _links(document) if not (ROOT / path).is_file()] == []
    # A link without a target would show its brackets.
    assert not re.search(r"\]\[|\]\(\)", _prose(DOCUMENTS[document]))


def test_every_page_is_reached_from_the_readme() -> None:
    assert set(PAGES) <= _links(Path("README.md"))
    rows = _table("Documentation", README)
    assert {row[0].partition("](")[2].rstrip(")") for row in rows} >= set(map(str, PAGES))


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_a_page_needs_nothing_that_is_not_installed_with_it(page: Path) -> None:
    assert page.suffix == ".md"
    assert {path.parent for path in _links(page)} <= {page.parent}


def test_the_pages_are_part_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["orgscan"]
    assert wheel["force-include"] == {
        "config": "orgscan/config",
        "notebooks": "orgscan/notebooks",
    }
    docs = importlib.resources.files("orgscan") / "docs"
    assert {page.name for page in docs.iterdir()} == {page.name for page in PAGES}


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 240


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_lines_fit(document: Path) -> None:
    lines = DOCUMENTS[document].splitlines()
    assert [line for line in lines if len(line) > 100 and not line.startswith("|")] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_no_heading_stands_twice_or_empty(document: Path) -> None:
    text = _prose(DOCUMENTS[document])
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert re.findall(r"^# ", text, re.MULTILINE) == ["# "]
    assert text.startswith("# ")
