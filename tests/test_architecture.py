"""The arrows between the rooms, and what importing costs."""

from __future__ import annotations

import ast
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "orgscan"
MODULES = sorted(PACKAGE.rglob("*.py"))

_HEAVY = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore", "numpy", "openpyxl")
_HEAVY += ("pandas", "pyarrow")

_BROUGHT_BY = {
    "aiobotocore": "aioboto3",
    "botocore": "aioboto3",
    "dask": "distributed",
    "numpy": "pandas",
    "pydantic": "pydantic_settings",
    "yarl": "aiohttp",
}
"""Packages of which a declared dependency is the only sensible source, and pins the version."""


def test_the_import_contracts_hold() -> None:
    program = shutil.which("lint-imports", path=sysconfig.get_path("scripts"))
    assert program, "import-linter is not installed: pip install -e '.[dev]'"
    done = subprocess.run(
        [program, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _listed() -> list[str]:
    """The folders and modules of orgscan/ in the design page, in its order."""
    page = (PACKAGE / "docs" / "design.md").read_text("utf-8")
    tree = page.partition("\norgscan/\n")[2].partition("```")[0]
    return re.findall(r"^  (\w+(?:/|\.py))  ", tree, re.MULTILINE)


def test_the_design_page_lists_the_folders_and_modules_that_exist() -> None:
    files = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file()]
    sources = [path for path in files if "__pycache__" not in path.parts]
    folders = {f"{path.parts[0]}/" for path in sources if path.parent.parts}
    modules = {path.name for path in sources if not path.parent.parts and path.suffix == ".py"}
    assert sorted(_listed()) == sorted(folders | modules)


def test_the_design_page_lists_the_layers_from_the_top_down() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    (contract,) = (one for one in tool["importlinter"]["contracts"] if one["type"] == "layers")
    layers = [name.strip() for line in contract["layers"] for name in line.split("|")]
    listed = [re.sub(r"/|\.py$", "", name) for name in _listed()]
    assert [name for name in listed if name in layers] == layers


def test_every_foreign_package_is_a_declared_dependency_or_comes_with_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in project["dependencies"]}
    imported = {
        name.partition(".")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in _names(node)
    }
    declared |= {
        re.split(r"[^\w-]", line)[0].replace("-", "_")
        for extra, lines in project["optional-dependencies"].items()
        if extra not in {"dev", "notebook"}
        for line in lines
    }
    foreign = imported - sys.stdlib_module_names - {"orgscan"} - declared
    assert {
        name: _BROUGHT_BY.get(name) for name in foreign if _BROUGHT_BY.get(name) not in declared
    } == {}


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return [node.module]
    return []


@pytest.mark.parametrize("module", ["orgscan", "orgscan.cli"])
def test_importing_is_quick(module: str) -> None:
    code = f"import sys, {module}; print(*sorted(set({_HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("arguments", [["--help"], ["scan", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        f"import sys\nfrom orgscan.cli import main\ntry:\n    main({arguments!r})\n"
        f"finally:\n    print(*set({_HEAVY!r}) & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout
    assert done.stderr.split() == []


@pytest.mark.parametrize(
    "arguments",
    [
        "role policy --caller",
        "role cloudformation",
        "role terraform",
        "controls list",
        "controls list --framework cis-7.0",
        "controls show console-mfa",
    ],
)
def test_what_needs_no_tables_starts_without_pandas(arguments: str) -> None:
    heavy = {"pandas", "pyarrow", "openpyxl"}
    code = (
        f"import sys\nfrom orgscan.cli import main\ntry:\n    main({arguments.split()!r})\n"
        f"finally:\n    print(*{heavy!r} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout
    assert done.stderr.split() == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text("utf-8")))


def test_the_package_is_typed_and_whole() -> None:
    assert (PACKAGE / "py.typed").is_file()
    folders = {path.parent for path in MODULES}
    assert [
        str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()
    ] == []


def test_ci_can_be_run_anywhere() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert os.access(script, os.X_OK)
    text = script.read_text("utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    for step in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert step in text
    commands = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert any(line.startswith(".venv-ci/bin/python -m pytest --junitxml") for line in commands)
    assert any("-m 'slow or cluster'" in line for line in commands)


def test_ci_counts_the_tests_of_both_its_processes(tmp_path: Path) -> None:
    earlier = tmp_path / "first.xml"
    earlier.write_text(
        '<testsuites><testsuite><testcase classname="a" name="b"/>'
        '<testcase classname="a" name="c"><skipped message="no office"/></testcase>'
        "</testsuite></testsuites>"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "tests/test_errors.py"],
        cwd=ROOT,
        env={**os.environ, "EARLIER_RESULTS": str(earlier)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    alone = len(re.findall(r"\.", done.stdout.splitlines()[0]))
    assert re.search(rf"^{alone + 1} passed, 1 skipped", done.stdout, re.MULTILINE), done.stdout
    assert "no office" in done.stdout


_BACKWARDS = {
    ("orgscan.reports.content", "orgscan.reports.figures"),
}
"""Imports that still close a circle. The list only gets shorter."""


def _in_circles(edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The edges that remain when those that lead out of circles, or into them, are taken away."""
    while True:
        importers, imported = ({edge[side] for edge in edges} for side in (0, 1))
        remaining = {edge for edge in edges if edge[0] in imported and edge[1] in importers}
        if remaining == edges:
            return edges
        edges = remaining


def test_no_imports_go_round_in_circles() -> None:
    graph = grimp.build_graph("orgscan", exclude_type_checking_imports=False, cache_dir=None)
    edges = {
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
    }
    assert _in_circles(edges - _BACKWARDS) == set()
    for edge in _BACKWARDS:
        assert _in_circles(edges - _BACKWARDS | {edge}), f"{edge} closes no circle any more"
