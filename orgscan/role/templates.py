"""The audit role as something to roll out: CloudFormation and Terraform.

Both are template files beside this module. ``<<name>>`` in them is a choice or a pattern, quoted
for the language; a line with ``<<action>>`` is repeated for each action of the role's policy; and
the lines from ``<<if choice>>`` or ``<<unless choice>>`` to ``<<end>>`` depend on a choice.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Self

from orgscan import settings
from orgscan.collect.collectors import ACTIONS
from orgscan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_TRUSTED = "^([0-9]{12}|arn:aws[a-z-]*:iam::[0-9]{12}:(root|(role|user)/[0-9A-Za-z_+=,.@/-]+))$"
_ROLE_NAME = "^[0-9A-Za-z_+=,.@-]{1,64}$"
_EXTERNAL_ID = "[0-9A-Za-z_+=,.@:/-]{2,}"
# Fit for Python, CloudFormation (Java) and Terraform (RE2, which counts no further than 1,000).
_SPECIAL_IN_ARNS = "*?${"
"""IAM allows them in a path; in an ARN of a policy they are wildcards, or begin a variable."""

_section = re.compile(r"<<(if|unless) (\w+)>>\n(.*?)<<end>>\n", re.DOTALL)
_action_line = re.compile(r".*<<action>>.*\n")
_name = re.compile(r"<<(\w+)>>")


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
        if special := next((sign for sign in path if sign in _SPECIAL_IN_ARNS), None):
            raise UsageError(
                f"--role-path: {path!r} holds {special!r}, which stands for something else in a "
                "policy's ARN; choose a path without it"
            )
        if trusted is not None and not re.fullmatch(_TRUSTED, trusted, re.ASCII):
            remedy = "give an account id of 12 digits, or the ARN of a role or user"
            if ":assumed-role/" in trusted:
                role = "arn:aws:iam::123456789012:role/Auditor"
                remedy = f"it is a session's; give the role's, as in {role}"
            raise UsageError(f"--trusted: a role cannot trust {trusted!r}; {remedy}")
        return cls(name, path, trusted, external_id_required)

    def cloudformation(self) -> str:
        """A CloudFormation template in YAML, fit for a stack and for a StackSet."""
        # YAML reads JSON's quotes alike.
        return self._filled("cloudformation.yaml.template", json.dumps)

    def terraform(self) -> str:
        """A Terraform module in HCL: variables, the role, its policy, its ARN."""
        return self._filled("terraform.tf.template", _hcl_text)

    def _filled(self, file: str, quote: Callable[[str], str]) -> str:
        required = self.external_id_required
        choices = {
            "required": required,
            "trusted": self.trusted is not None,
            "asked": required or self.trusted is None,
        }
        texts = {
            "name": self.name,
            "path": self.path,
            "trusted": self.trusted or "",
            "name_pattern": _ROLE_NAME,
            "trusted_pattern": _TRUSTED,
            "external_id_pattern": f"^{_EXTERNAL_ID}$" if required else f"^({_EXTERNAL_ID})?$",
        }
        text = files("orgscan.role").joinpath(file).read_text("utf-8")
        text = _section.sub(
            lambda match: match[3] if choices[match[2]] == (match[1] == "if") else "", text
        )
        text = _action_line.sub(
            lambda line: "".join(line[0].replace("<<action>>", action) for action in ACTIONS), text
        )
        return _name.sub(lambda match: quote(texts[match[1]]), text)


def _hcl_text(text: str) -> str:
    """A text in HCL's quotes, where two signs more would begin a template."""
    return json.dumps(text).replace("${", "$${").replace("%{", "%%{")
