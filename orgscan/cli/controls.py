"""``orgscan controls``: what is judged, and under which id a framework knows it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orgscan.cli.usage import help_alone
from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orgscan.controls.control import Control
    from orgscan.controls.frameworks.framework import Framework

app = typer.Typer(help="List and explain the controls.")

_FRAMEWORK = typer.Option(
    None,
    metavar="KEY",
    help="Show the IDs of this framework, for example cis-7.0.  [default: none]",
)
_FRAMEWORK_FILE = typer.Option(
    [],
    metavar="FILE",
    help="Add your own frameworks from this TOML file; repeatable.  [default: none]",
)


@app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """List and explain the controls."""
    help_alone(context)


@app.command("list")
def list_controls(
    framework: str | None = _FRAMEWORK, framework_file: list[Path] = _FRAMEWORK_FILE
) -> None:
    """List the controls, or those of a framework with their IDs."""
    from orgscan.controls.catalogue import CATALOGUE
    from orgscan.controls.criteria import known_frameworks, select
    from orgscan.controls.frameworks.reading import shipped

    if framework is None and not framework_file:
        for control in CATALOGUE:
            typer.echo(_line(control))
        return
    known = known_frameworks(framework_file)
    own = [key for key in known if key not in shipped()]
    for number, chosen in enumerate(select(own if framework is None else [framework], known)):
        if number:
            typer.echo()
        for line in _framework(chosen, CATALOGUE):
            typer.echo(line)


def _line(control: Control, ids: str = "") -> str:
    return f"{control.id:<26} {control.severity:<13} {control.unit:<11} {ids}{control.title}"


def _framework(framework: Framework, catalogue: Sequence[Control]) -> Iterator[str]:
    """The controls of a framework with their ids, and what the list leaves open."""
    from orgscan.controls.criteria import value_text

    ids = {name: ", ".join(ids) for name, ids in framework.controls.items()}
    width = max(8, *map(len, ids.values()))
    for control in catalogue:
        if control.id in ids:
            yield _line(control, f"{ids[control.id]:<{width}} ")
    yield ""
    yield f"{framework.label} ({framework.key})"
    if framework.kind == "related":
        yield "The controls evaluate only a part of these requirements."
    for name, value in framework.thresholds.items():
        yield f"Threshold of the framework: {name} = {value_text(value)}"
    unanswered = [name for name, controls in framework.requirements.items() if not controls]
    if unanswered:
        yield f"Not evaluated by orgscan: {', '.join(unanswered)}"


@app.command()
def show(
    control_id: str = typer.Argument(metavar="ID", help="Control ID, for example console-mfa."),
    framework: str | None = _FRAMEWORK,
    framework_file: list[Path] = _FRAMEWORK_FILE,
) -> None:
    """Show what a control checks, why, and how to fix a failure."""
    from orgscan.controls.catalogue import CATALOGUE
    from orgscan.controls.criteria import known_frameworks, must_be_known, select
    from orgscan.controls.frameworks.framework import ids_by_framework

    by_id = {control.id: control for control in CATALOGUE}
    must_be_known(control_id, list(by_id), "control")
    known = known_frameworks(framework_file)
    frameworks = tuple(known.values()) if framework is None else select([framework], known)
    if framework is not None and control_id not in frameworks[0].controls:
        raise UsageError(f"control {control_id} does not apply in {framework}")
    ids = ids_by_framework(control_id, frameworks)
    typer.echo("\n".join(_page(by_id[control_id], ids)))


def _page(control: Control, framework_ids: Mapping[str, str]) -> list[str]:
    lines = [
        f"{control.id}: {control.title}",
        "",
        f"Severity   {control.severity}",
        f"Unit       {control.unit}",
        "",
        *textwrap.wrap(control.description, 88),
        "",
        "How to fix it:",
        *textwrap.wrap(control.remediation, 86, initial_indent="  ", subsequent_indent="  "),
    ]
    if framework_ids:
        lines += ["", "IDs:"]
        width = max(map(len, framework_ids))
        lines += [f"  {label:<{width}}  {ids}" for label, ids in framework_ids.items()]
    return lines
