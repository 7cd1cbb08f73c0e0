"""The audit role as something to roll out: CloudFormation and Terraform.

Permissions come from what the collectors declare; everything else is text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Self

from orgscan import settings
from orgscan.errors import UsageError
from orgscan.role.policy import audit_role_policy

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRUSTED = "^([0-9]{12}|arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[0-9A-Za-z_+=,.@/-]+))$"
_ROLE_NAME = "^[0-9A-Za-z_+=,.@-]{1,64}$"
_EXTERNAL_ID = "[0-9A-Za-z_+=,.@:/-]{2,}"
# Fit for Python, CloudFormation (Java) and Terraform (RE2, which counts no further than 1,000).
_SPECIAL_IN_ARNS = "*?${"
"""IAM allows them in a path; in an ARN of a policy they are wildcards, or begin a variable."""

_plain = re.compile(r"[A-Za-z][\w:]*", re.ASCII).fullmatch
_place = re.compile(r"<<(\w+)>>\n?")


@dataclass(frozen=True, slots=True)
class AuditRole:
    """What can be chosen of the audit role; build it with :meth:`of`."""

    name: str
    path: str
    trusted: str | None
    """Who may assume it: an ARN, or an account id. None: asked for when it is rolled out."""
    external_id_required: bool

    @classmethod
    def of(
        cls,
        name: str,
        *,
        path: str = "/",
        trusted: str | None = None,
        external_id_required: bool = False,
    ) -> Self:
        """The role with these choices.

        Raises :class:`orgscan.errors.UsageError` for what AWS would not accept, and for a path
        that a policy's ARN would not take for itself.
        """
        settings.load(environment={}, role_name=name, role_path=path)
        _check_path(path)
        if trusted is not None:
            _check_trusted(trusted)
        return cls(name, path, trusted, external_id_required)

    def cloudformation(self) -> str:
        """A CloudFormation template in YAML, fit for a stack and for a StackSet."""
        required = self.external_id_required
        return _filled(
            _CLOUDFORMATION,
            parameters=self._call_parameters(),
            trusted=_default("    Default: ", self.trusted),
            trusted_pattern=_quoted(_TRUSTED),
            name=_quoted(self.name),
            name_pattern=_quoted(_ROLE_NAME),
            path=_quoted(self.path),
            external_id="" if required else '    Default: ""\n',
            external_id_note="." if required else "; empty for none.",
            external_id_pattern=_quoted(f"^{_EXTERNAL_ID}$" if required else _optional()),
            conditions="" if required else _CLOUDFORMATION_CONDITIONS,
            condition=_CLOUDFORMATION_REQUIRED if required else _CLOUDFORMATION_OPTIONAL,
            policy=_lines(_yaml(audit_role_policy()), 12),
        )

    def terraform(self) -> str:
        """A Terraform module in HCL: variables, the role, its policy, its ARN."""
        required = self.external_id_required
        return _filled(
            _TERRAFORM,
            arguments=self._module_arguments(),
            trusted=_default("  default     = ", self.trusted, _hcl_text),
            trusted_pattern=_hcl_text(_TRUSTED),
            name=_hcl_text(self.name),
            name_pattern=_hcl_text(_ROLE_NAME),
            path=_hcl_text(self.path),
            external_id="" if required else '  default     = ""\n',
            external_id_note="." if required else "; empty for none.",
            external_id_pattern=_hcl_text(f"^{_EXTERNAL_ID}$" if required else _optional()),
            condition=_TERRAFORM_REQUIRED if required else _TERRAFORM_OPTIONAL,
            policy="\n  ".join(_hcl(audit_role_policy())),
        )

    def _asked_for(self, trusted: tuple[str, str], external_id: tuple[str, str]) -> dict[str, str]:
        """Those of the two, each a name with an example, that have no default."""
        asked = {} if self.trusted else dict([trusted])
        return asked | (dict([external_id]) if self.external_id_required else {})

    def _call_parameters(self) -> str:
        """Lines of ``create-stack-set`` for what has no default; none where all has one."""
        asked = self._asked_for(("TrustedCaller", "ARN"), ("ExternalId", "EXTERNAL_ID"))
        said = [f"ParameterKey={key},ParameterValue={text}" for key, text in asked.items()]
        option = "--parameters"
        heads = (option, " " * len(option))
        return "".join(f"#     {head} {one} \\\n" for head, one in zip(heads, said, strict=False))

    def _module_arguments(self) -> str:
        """Lines of the module's example, aligned as `terraform fmt` has them."""
        arguments = {
            "source": '"./orgscan-audit-role"',
            "providers": "{ aws = aws.payments }",
            **self._asked_for(
                ("trusted_caller", '"arn:aws:iam::123456789012:role/Auditor"'),
                ("external_id", '"EXTERNAL_ID"'),
            ),
        }
        width = max(map(len, arguments))
        return "".join(f"#     {name:<{width}} = {text}\n" for name, text in arguments.items())


def _check_path(path: str) -> None:
    if special := next((sign for sign in path if sign in _SPECIAL_IN_ARNS), None):
        message = (
            f"--role-path: {path!r} holds {special!r}, which stands for something else in a "
            "policy's ARN; choose a path without it"
        )
        raise UsageError(message)


def _check_trusted(text: str) -> None:
    if re.fullmatch(_TRUSTED, text, re.ASCII):
        return
    remedy = "give an account id of 12 digits, or the ARN of a role or user"
    if ":assumed-role/" in text:
        remedy = "it is a session's; give the role's, as in arn:aws:iam::123456789012:role/Auditor"
    message = f"--trusted: {text!r} is nobody a role can trust; {remedy}"
    raise UsageError(message)


def _optional() -> str:
    return f"^({_EXTERNAL_ID})?$"


def _quoted(text: str) -> str:
    """A text in JSON's quotes, which YAML reads alike."""
    return json.dumps(text)


def _hcl_text(text: str) -> str:
    """A text in HCL's quotes, where two signs more would begin a template."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")


def _default(head: str, text: str | None, quoted: Any = _quoted) -> str:
    return "" if text is None else f"{head}{quoted(text)}\n"


def _filled(text: str, **parts: str) -> str:
    """``text`` with its ``<<places>>`` filled; a line that is one place and empty goes."""

    def fill(match: re.Match[str]) -> str:
        part = parts[match[1]]
        ended = match[0].endswith("\n")
        return part + "\n" if ended and part and not part.endswith("\n") else part

    return _place.sub(fill, text)


def _lines(lines: Iterator[str], indent: int) -> str:
    return "\n".join(" " * indent + line for line in lines)


def _yaml(value: Any) -> Iterator[str]:
    """The lines of a value of mappings, lists and texts in YAML."""
    if isinstance(value, str):
        yield value if _plain(value) else _quoted(value)
    elif isinstance(value, list):
        for item in value:
            first, *rest = _yaml(item)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        for key, item in value.items():
            lines = list(_yaml(item))
            if isinstance(item, str):
                yield f"{key}: {lines[0]}"
            else:
                yield f"{key}:"
                yield from (f"  {line}" for line in lines)


def _hcl(value: Any) -> Iterator[str]:
    """The lines of a value of mappings, lists and texts in HCL."""
    if isinstance(value, str):
        yield _hcl_text(value)
    elif isinstance(value, list):
        yield "["
        for item in value:
            *most, last = _hcl(item)
            yield from (f"  {line}" for line in (*most, f"{last},"))
        yield "]"
    else:
        yield "{"
        # As `terraform fmt` has it: entries of one line are aligned with their neighbours.
        for short, run in groupby(value.items(), key=lambda entry: isinstance(entry[1], str)):
            entries = list(run)
            width = max(len(key) for key, _ in entries) if short else 0
            for key, item in entries:
                first, *rest = _hcl(item)
                yield f"  {key:<{width}} = {first}"
                yield from (f"  {line}" for line in rest)
        yield "}"


_CLOUDFORMATION = """\
# The audit role of one account; printed by `orgscan role cloudformation`.
#
# Deploy it as a StackSet, from the management account or from a delegated administrator account
# (then add --call-as DELEGATED_ADMIN). New accounts receive the role automatically:
#
#   aws cloudformation create-stack-set --stack-set-name orgscan-audit-role \\
#     --template-body file://audit-role.cloudformation.yaml \\
#     --capabilities CAPABILITY_NAMED_IAM --permission-model SERVICE_MANAGED \\
<<parameters>>
#     --auto-deployment Enabled=true,RetainStacksOnAccountRemoval=false
#   aws cloudformation create-stack-instances --stack-set-name orgscan-audit-role \\
#     --deployment-targets OrganizationalUnitIds=ROOT_ID --regions us-east-1
#
# IAM is global: one Region is enough. A StackSet does not deploy to the management account. If
# orgscan runs there, the management account needs no role. Otherwise, create a stack from this
# template in the management account.
AWSTemplateFormatVersion: "2010-09-09"
Description: Read-only role that orgscan uses to collect evidence about IAM credentials.

Parameters:
  TrustedCaller:
    Type: String
<<trusted>>
    Description: ARN of the role or user that runs orgscan, or the ID of its account.
    AllowedPattern: <<trusted_pattern>>
  RoleName:
    Type: String
    Default: <<name>>
    AllowedPattern: <<name_pattern>>
  RolePath:
    Type: String
    Default: <<path>>
  ExternalId:
    Type: String
<<external_id>>
    Description: External ID that the caller must provide<<external_id_note>>
    AllowedPattern: <<external_id_pattern>>

<<conditions>>
Resources:
  AuditRole:
    Type: AWS::IAM::Role
    Properties:
      RoleName:
        Ref: RoleName
      Path:
        Ref: RolePath
      Description: Allows orgscan to read evidence about IAM credentials; changes nothing.
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal:
              AWS:
                Ref: TrustedCaller
            Action: sts:AssumeRole
            Condition:
<<condition>>
      Policies:
        - PolicyName: ReadCredentialEvidence
          PolicyDocument:
<<policy>>

Outputs:
  RoleArn:
    Value:
      Fn::GetAtt:
        - AuditRole
        - Arn
"""

_CLOUDFORMATION_CONDITIONS = """\
Conditions:
  HasExternalId:
    Fn::Not:
      - Fn::Equals:
          - Ref: ExternalId
          - ""

"""

_CLOUDFORMATION_OPTIONAL = """\
              Fn::If:
                - HasExternalId
                - StringEquals:
                    sts:ExternalId:
                      Ref: ExternalId
                - Ref: AWS::NoValue
"""

_CLOUDFORMATION_REQUIRED = """\
              StringEquals:
                sts:ExternalId:
                  Ref: ExternalId
"""

_TERRAFORM = """\
# The audit role of one account; printed by `orgscan role terraform`.
#
# Terraform deploys to one account at a time. Put this file in a separate directory and use it as a
# module for each account, with the provider of that account:
#
#   module "orgscan_payments" {
<<arguments>>
#   }
#
# New accounts need an additional module. To include them automatically, use a StackSet: pass the
# template of `orgscan role cloudformation` to aws_cloudformation_stack_set. The management account
# needs no role if orgscan runs there.

terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "trusted_caller" {
  description = "ARN of the role or user that runs orgscan, or the ID of its account."
  type        = string
<<trusted>>

  validation {
    condition     = can(regex(<<trusted_pattern>>, var.trusted_caller))
    error_message = "Enter an account ID of 12 digits, or the ARN of a role or user."
  }
}

variable "role_name" {
  description = "Name of the role; the same in every account."
  type        = string
  default     = <<name>>

  validation {
    condition     = can(regex(<<name_pattern>>, var.role_name))
    error_message = "Enter 1 to 64 letters, digits or _+=,.@- characters, without a path."
  }
}

variable "role_path" {
  description = "Path of the role; the same in every account."
  type        = string
  default     = <<path>>
}

variable "external_id" {
  description = "External ID that the caller must provide<<external_id_note>>"
  type        = string
<<external_id>>

  validation {
    condition     = can(regex(<<external_id_pattern>>, var.external_id))
    error_message = "Enter at least 2 letters, digits or _+=,.@:/- characters."
  }
}

resource "aws_iam_role" "audit" {
  name        = var.role_name
  path        = var.role_path
  description = "Allows orgscan to read evidence about IAM credentials; changes nothing."

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect    = "Allow"
        Principal = { AWS = var.trusted_caller }
        Action    = "sts:AssumeRole"
<<condition>>
      },
    ]
  })
}

resource "aws_iam_role_policy" "audit" {
  name = "ReadCredentialEvidence"
  role = aws_iam_role.audit.id

  policy = jsonencode(<<policy>>)
}

output "role_arn" {
  description = "ARN of the audit role."
  value       = aws_iam_role.audit.arn
}
"""

_TERRAFORM_OPTIONAL = """\
        Condition = {
          for id in compact([var.external_id]) : "StringEquals" => { "sts:ExternalId" = id }
        }
"""

_TERRAFORM_REQUIRED = """\
        Condition = { StringEquals = { "sts:ExternalId" = var.external_id } }
"""
