"""What several commands share: the help of a group called alone, and text fit for a terminal."""

from __future__ import annotations

import typer

from orgscan.errors import ExitCode


def help_alone(context: typer.Context) -> None:
    """Show the help and leave with the usage code where no command was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def complain(text: str) -> None:
    """Write one line to standard error: what AWS and files say in it can do nothing there."""
    typer.echo(f"orgscan: {plain(' '.join(text.split()))}", err=True)


def plain(value: object) -> str:
    """Text safe for a terminal: names in AWS, and of files, may hold control characters."""
    text = value if isinstance(value, str) else ""
    return "".join(character if character.isprintable() else "?" for character in text)
