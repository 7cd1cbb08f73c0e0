"""``orgscan controls``: what is judged, and under which id a framework knows it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from orgscan.cli.usage import help_alone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orgscan.controls.listing import CatalogueEntry, FrameworkEntry

app = typer.Typer(help="The controls and their framework ids.")

_FRAMEWORK = typer.Option(None, metavar="KEY", help="A framework, as in cis-7.0.")
_FRAMEWORK_FILE = typer.Option(
    [], metavar="FILE", help="Frameworks of your own (TOML); may be repeated."
)


@app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """The controls and their framework ids."""
    help_alone(context)


@app.command("list")
def list_controls(
    framework: str | None = _FRAMEWORK, framework_file: list[Path] = _FRAMEWORK_FILE
) -> None:
    """List the controls; with --framework only those that apply there, with their ids."""
    from orgscan.controls import listing

    if framework is None and not framework_file:
        for entry in listing.catalogue():
            typer.echo(_line(entry))
    for number, shown in enumerate(listing.framework_entries(framework, framework_file)):
        for line in (*([""] if number else ()), *_framework(shown)):
            typer.echo(line)


def _line(entry: CatalogueEntry, ids: str = "") -> str:
    return f"{entry.id:<26} {entry.severity:<13} {entry.unit:<11} {ids}{entry.title}"


def _framework(shown: FrameworkEntry) -> Iterator[str]:
    ids = [", ".join(entry.framework_ids.values()) for entry in shown.entries]
    width = max(8, *map(len, ids))
    for entry, text in zip(shown.entries, ids, strict=True):
        yield _line(entry, f"{text:<{width}} ")
    yield from _remarks(shown)


def _remarks(shown: FrameworkEntry) -> Iterator[str]:
    """What the list of controls leaves open."""
    yield ""
    yield f"{shown.label} ({shown.key})"
    if shown.related:
        yield "The requirements ask for more than the controls judge."
    for name, value in shown.thresholds.items():
        yield f"Limit of its own: {name} = {value}"
    if shown.not_judged:
        yield f"Not judged by orgscan: {', '.join(shown.not_judged)}"


@app.command()
def show(
    control_id: str = typer.Argument(metavar="ID", help="The control, as in console-mfa."),
    framework: str | None = _FRAMEWORK,
    framework_file: list[Path] = _FRAMEWORK_FILE,
) -> None:
    """Show one control: what it asks, why, and what to do where it fails."""
    from orgscan.controls import listing

    entry = listing.catalogue_entry(control_id, framework, framework_file)
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
