"""``orgscan config``: the files to copy and edit, wherever orgscan is installed."""

from __future__ import annotations

import typer


def config(
    name: str | None = typer.Argument(None, metavar="[FILE]", help="Print this file."),
) -> None:
    """List the example files to copy and edit, or print one of them."""
    from orgscan import examples

    if name is None:
        for known in examples.names():
            typer.echo(known)
    else:
        typer.echo(examples.read(name), nl=False)
