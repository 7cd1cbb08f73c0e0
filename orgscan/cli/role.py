"""``orgscan role``: the role and permissions to set up, generated from what is called."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from orgscan.cli.usage import help_alone

if TYPE_CHECKING:
    from orgscan.role.templates import AuditRole

app = typer.Typer(help="Print the audit role and its policies.")

_DEFAULT = "OrgScanAudit"
_NAME = typer.Option(_DEFAULT, metavar="NAME", help="Name of the audit role.")
_PATH = typer.Option("/", metavar="PATH", help="Path of the audit role.")
_TRUSTED = typer.Option(
    None,
    metavar="WHO",
    help="Trust this principal ARN or account ID.  [default: a parameter of the template]",
)
_EXTERNAL_ID = typer.Option(
    False, "--external-id-required", help="Require an external ID to assume the role."
)


class Partition(StrEnum):
    """AWS's partitions: what ARNs begin with."""

    AWS = "aws"
    CHINA = "aws-cn"
    GOVERNMENT = "aws-us-gov"


@app.callback(invoke_without_command=True)
def root(context: typer.Context) -> None:
    """Print the audit role and its policies."""
    help_alone(context)


@app.command()
def policy(
    caller: bool = typer.Option(False, "--caller", help="Print the caller's policy instead."),
    role_name: str | None = typer.Option(
        None, metavar="NAME", help=f"With --caller, the role's name.  [default: {_DEFAULT}]"
    ),
    role_path: str | None = typer.Option(
        None, metavar="PATH", help="With --caller, the role's path.  [default: /]"
    ),
    partition: Partition | None = typer.Option(
        None, help="With --caller, the AWS partition.  [default: aws]"
    ),
) -> None:
    """Print the policy of the audit role or the caller as JSON."""
    given = {"--role-name": role_name, "--role-path": role_path, "--partition": partition}
    if not caller and (alone := [name for name, value in given.items() if value is not None]):
        message = f"{alone[0]} requires --caller; the audit role's policy contains no role name"
        raise typer.BadParameter(message)
    from orgscan.role.policy import audit_role_policy, caller_policy

    role = _role(
        _DEFAULT if role_name is None else role_name, "/" if role_path is None else role_path
    )
    shown = (
        caller_policy(role.name, role_path=role.path, partition=partition or Partition.AWS)
        if caller
        else audit_role_policy()
    )
    typer.echo(json.dumps(shown, indent=2))


@app.command()
def cloudformation(
    role_name: str = _NAME,
    role_path: str = _PATH,
    trusted: str | None = _TRUSTED,
    external_id_required: bool = _EXTERNAL_ID,
) -> None:
    """Print the audit role as a CloudFormation template.

    The template is suitable for a stack or a StackSet.
    """
    role = _role(role_name, role_path, trusted, external_id_required)
    typer.echo(role.cloudformation(), nl=False)


@app.command()
def terraform(
    role_name: str = _NAME,
    role_path: str = _PATH,
    trusted: str | None = _TRUSTED,
    external_id_required: bool = _EXTERNAL_ID,
) -> None:
    """Print the audit role as a Terraform module."""
    role = _role(role_name, role_path, trusted, external_id_required)
    typer.echo(role.terraform(), nl=False)


def _role(
    name: str, path: str, trusted: str | None = None, external_id_required: bool = False
) -> AuditRole:
    from orgscan.role.templates import AuditRole

    return AuditRole.of(name, path=path, trusted=trusted, external_id_required=external_id_required)
