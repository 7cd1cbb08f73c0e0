"""``orgscan controls``: what is judged, and under which id a framework knows it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import typer

from orgscan.cli.usage import help_alone

if TYPE_CHECKING:
    from orgscan.pipeline import CatalogueEntry

app = typer.Typer(help="The controls and their framework ids.")

_FRAMEWORK = typer.Option(None, help="A framework, as in cis-5.0.")


@app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """The controls and their framework ids."""
    help_alone(context)


@app.command("list")
def list_controls(framework: str | None = _FRAMEWORK) -> None:
    """List the controls; with --framework only those that apply there, with their ids."""
    from orgscan import pipeline

    for entry in pipeline.catalogue(framework):
        ids = ", ".join(entry.framework_ids.values()) if framework else ""
        column = f"{ids:<8} " if framework else ""
        typer.echo(f"{entry.id:<26} {entry.severity:<13} {entry.unit:<11} {column}{entry.title}")


@app.command()
def show(
    control_id: str = typer.Argument(metavar="ID", help="The control, as in console-mfa."),
    framework: str | None = _FRAMEWORK,
) -> None:
    """Show one control: what it asks, why, and what to do where it fails."""
    from orgscan import pipeline

    entry = pipeline.catalogue_entry(control_id, framework)
    typer.echo("\n".join(_page(entry)))


def _page(entry: CatalogueEntry) -> list[str]:
    lines = [
        f"{entry.id}: {entry.title}",
        "",
        f"Severity   {entry.severity}",
        f"Unit       {entry.unit}",
        "",
        *textwrap.wrap(entry.description, 88),
        "",
        "Where it fails:",
        *textwrap.wrap(entry.remediation, 86, initial_indent="  ", subsequent_indent="  "),
    ]
    if entry.framework_ids:
        lines += ["", "Ids:"]
        width = max(map(len, entry.framework_ids))
        lines += [f"  {label:<{width}}  {ids}" for label, ids in entry.framework_ids.items()]
    return lines
