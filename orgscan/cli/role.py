"""``orgscan role``: the permissions to set up, generated from what is called."""

from __future__ import annotations

import json

import typer

from orgscan.cli.usage import help_alone

app = typer.Typer(help="The audit role's permissions.")


@app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """The audit role's permissions."""
    help_alone(context)


@app.command()
def policy() -> None:
    """Print the audit role's policy as JSON."""
    from orgscan import pipeline

    typer.echo(json.dumps(pipeline.audit_role_policy(), indent=2))
