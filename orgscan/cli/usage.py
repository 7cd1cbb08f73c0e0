"""What several commands share: the help of a group called alone, and complaints."""

from __future__ import annotations

import typer

from orgscan.errors import ExitCode
from orgscan.log import LOGGER


def help_alone(context: typer.Context) -> None:
    """Show the help and leave with the usage code where no command was named."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(ExitCode.USAGE)


def complain(text: str, **fields: object) -> None:
    """Write one line to standard error: what AWS and files say in it can do nothing there."""
    LOGGER.error("%s", text, extra={"event": "error", "fields": fields})
