"""What a command that only groups others does when called alone."""

from __future__ import annotations

import typer

from orgscan.errors import ExitCode


def help_alone(context: typer.Context) -> None:
    """Show the help and leave with the usage code where no command was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)
