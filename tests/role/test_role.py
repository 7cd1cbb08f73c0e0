"""The audit role as it is rolled out."""

from __future__ import annotations

import json
import re
import shlex
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orgscan.errors import UsageError
from orgscan.role.policy import audit_role_policy
from orgscan.role.templates import AuditRole
from orgscan.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = "012345678901"
ARN = f"arn:aws-us-gov:iam::{ACCOUNT}:role/audit/Auditor"
CHOICES = [
    {"trusted": trusted, "external_id_required": required}
    for trusted, required in product((None, ACCOUNT, ARN), (False, True))
]


@pytest.fixture
def stack() -> Iterator[Callable[..., Any]]:
    """Make a stack of a template in someone else's simulated AWS; the role that comes of it."""
    import boto3  # noqa: PLC0415 - most tests need none
    from moto import mock_aws  # noqa: PLC0415

    with mock_aws():
        session = boto3.Session("AKIAEXAMPLE", "example", region_name="us-east-1")

        def make(template: str, **parameters: str) -> Any:
            session.client("cloudformation").create_stack(
                StackName="audit-role",
                TemplateBody=template,
                Capabilities=["CAPABILITY_NAMED_IAM"],
                Parameters=[
                    {"ParameterKey": name, "ParameterValue": value}
                    for name, value in parameters.items()
                ],
            )
            (role,) = session.client("iam").list_roles()["Roles"]
            return role

        yield make


def trust(role: Any) -> dict[str, Any]:
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    return dict(statement)


@pytest.mark.parametrize("trusted", [ACCOUNT, ARN])
def test_a_stack_of_it_is_the_role_that_was_asked_for(
    stack: Callable[..., Any], trusted: str
) -> None:
    role = stack(AuditRole.of("Auditee", path="/audit/", trusted=trusted).cloudformation())

    assert (role["RoleName"], role["Path"]) == ("Auditee", "/audit/")
    assert trust(role) == {
        "Effect": "Allow",
        "Principal": {"AWS": trusted},
        "Action": "sts:AssumeRole",
    }


@pytest.mark.parametrize("required", [False, True])
def test_a_stack_with_an_external_id_asks_for_it(
    stack: Callable[..., Any], *, required: bool
) -> None:
    template = AuditRole.of("Auditee", external_id_required=required).cloudformation()
    role = stack(template, TrustedCaller=ACCOUNT, ExternalId="let-me-in")

    assert trust(role)["Condition"] == {"StringEquals": {"sts:ExternalId": "let-me-in"}}


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_template_asks_for_what_was_not_chosen(chosen: dict[str, Any]) -> None:
    text = AuditRole.of("Auditee", **chosen).cloudformation()
    template = yaml.safe_load(text)
    parameters = template["Parameters"]
    (policy,) = template["Resources"]["AuditRole"]["Properties"]["Policies"]

    assert policy["PolicyDocument"] == audit_role_policy()
    assert parameters["TrustedCaller"].get("Default") == chosen["trusted"]
    assert ("Default" in parameters["ExternalId"]) != chosen["external_id_required"]
    assert ("Conditions" in template) != chosen["external_id_required"]
    empty = re.fullmatch(parameters["ExternalId"]["AllowedPattern"], "")
    assert bool(empty) != chosen["external_id_required"]
    for name in ("RoleName", "TrustedCaller"):
        default = parameters[name].get("Default", ACCOUNT)
        assert re.fullmatch(parameters[name]["AllowedPattern"], default)


def block(text: str, head: str) -> str:
    """What stands between the braces behind ``head``."""
    inside = text.partition(f"{head} {{\n")[2].partition("\n}\n")[0]
    assert inside, f"no {head}"
    return inside


def encoded(inside: str, name: str) -> Any:
    """The argument of ``name = jsonencode(...)``, which may hold no expression."""
    match = re.search(rf"^  {name} = jsonencode\((.*?)^  }}\)", inside, re.MULTILINE | re.DOTALL)
    assert match, name
    as_json = re.sub(r"^(\s*)(\w+)\s+= ", r'\1"\2": ', match[1], flags=re.MULTILINE)
    # A comma after each entry of an object, and none after the last of anything.
    as_json = re.sub(r'(["\]}])\n(?=\s*")', r"\1,\n", as_json)
    return json.loads(re.sub(r",(?=\s*[\]}])", "", as_json) + "}")


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_module_has_the_generated_policy(chosen: dict[str, Any]) -> None:
    text = AuditRole.of("Auditee", **chosen).terraform()
    inside = block(text, 'resource "aws_iam_role_policy" "audit"')

    assert encoded(inside, "policy") == audit_role_policy()
    assert "role = aws_iam_role.audit.id" in inside


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_module_asks_for_what_was_not_chosen(chosen: dict[str, Any]) -> None:
    text = AuditRole.of("Auditee", path="/audit/", **chosen).terraform()
    declared = {
        name: re.search(r'^  default +?= "(.*)"$', block(text, f'variable "{name}"'), re.MULTILINE)
        for name in re.findall(r'^variable "(\w+)"', text, re.MULTILINE)
    }
    defaults = {name: match and match[1] for name, match in declared.items()}

    assert defaults == {
        "trusted_caller": chosen["trusted"],
        "role_name": "Auditee",
        "role_path": "/audit/",
        "external_id": None if chosen["external_id_required"] else "",
    }
    assert set(re.findall(r"var\.(\w+)", text)) == set(defaults)
    role = block(text, 'resource "aws_iam_role" "audit"')
    assert "Principal = { AWS = var.trusted_caller }" in role
    assert '"sts:ExternalId" = ' in role
    assert ("compact([var.external_id])" in role) != chosen["external_id_required"]


def usage(text: str) -> str:
    """The comment at the head of a text, without its signs."""
    return re.sub(r"^#\s?", "", text.partition("\n\n")[0], flags=re.MULTILINE)


def undefaulted(chosen: dict[str, Any], trusted: str, external_id: str) -> set[str]:
    asked = set() if chosen["trusted"] else {trusted}
    return asked | ({external_id} if chosen["external_id_required"] else set())


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_call_that_is_shown_gives_each_parameter_without_a_default(
    chosen: dict[str, Any],
) -> None:
    text = AuditRole.of("Auditee", **chosen).cloudformation()
    calls = usage(text).replace("\\\n", " ").splitlines()
    words = shlex.split(next(line for line in calls if "create-stack-set" in line))
    parameters = yaml.safe_load(text)["Parameters"]
    needed = {name for name, parameter in parameters.items() if "Default" not in parameter}
    assert needed == undefaulted(chosen, "TrustedCaller", "ExternalId")

    given = words[words.index("--parameters") + 1 :][: len(needed)] if needed else []
    keys = [word.split(",")[0] for word in given]
    assert sorted(keys) == [f"ParameterKey={name}" for name in sorted(needed)]
    assert all(re.search(r",ParameterValue=\w+$", word) for word in given)
    assert ("--parameters" in words) == bool(needed)


@pytest.mark.parametrize("chosen", CHOICES)
def test_the_module_that_is_shown_gives_each_variable_without_a_default(
    chosen: dict[str, Any],
) -> None:
    text = AuditRole.of("Auditee", **chosen).terraform()
    example = usage(text).partition('module "orgscan_payments" {\n')[2].partition("}\n\n")[0]
    given = re.findall(r"^    (\w+) += ", example, re.MULTILINE)

    needed = undefaulted(chosen, "trusted_caller", "external_id")
    assert set(given) == {"source", "providers"} | needed
    assert len({line.index("=") for line in example.splitlines() if " = " in line}) == 1


@pytest.mark.parametrize("path", ["/a*/", "/a?/", "/$a/", "/{a/"])
def test_a_path_that_means_something_else_in_a_policy_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="stands for something else") as caught:
        AuditRole.of("Auditee", path=path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("chosen", CHOICES)
def test_brackets_and_lines_are_whole(chosen: dict[str, Any]) -> None:
    role = AuditRole.of("Auditee", **chosen)
    for text in (role.cloudformation(), role.terraform()):
        assert "<<" not in text
        assert "\n\n\n" not in text
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert [line for line in text.splitlines() if line != line.rstrip()] == []
    bare = re.sub(r'"[^"\n]*"|^#.*$', "", role.terraform(), flags=re.MULTILINE)
    for opening, closing in ("{}", "[]", "()"):
        assert bare.count(opening) == bare.count(closing)


def test_regular_expressions_are_within_what_terraform_can_count() -> None:
    text = AuditRole.of("Auditee").terraform()
    assert all(int(number) <= 1_000 for number in re.findall(r"\{\d*,(\d+)\}", text))


def test_a_strange_path_stays_text() -> None:
    path = '/${x}%{y}"\\<<policy>>/'
    role = AuditRole("true", path, trusted=None, external_id_required=False)

    parameters = yaml.safe_load(role.cloudformation())["Parameters"]
    assert parameters["RolePath"]["Default"] == path
    assert parameters["RoleName"]["Default"] == "true"
    assert r'default     = "/$${x}%%{y}\"\\<<policy>>/"' in role.terraform()


@pytest.mark.parametrize(
    ("trusted", "remedy"),
    [
        ("1234", "account id of 12 digits"),
        ("*", "account id of 12 digits"),
        (f"arn:aws:iam::{ACCOUNT}:role/*", "account id of 12 digits"),
        (f"arn:aws:iam::{ACCOUNT}:role/a\n", "account id of 12 digits"),
        (f"arn:aws:sts::{ACCOUNT}:assumed-role/Auditor/me", "it is a session's; give the role's"),
        ("", "account id of 12 digits"),
    ],
)
def test_nobody_is_trusted_who_cannot_be(trusted: str, remedy: str) -> None:
    with pytest.raises(UsageError, match=remedy) as caught:
        AuditRole.of("Auditee", trusted=trusted)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "choice", [{"name": "a b"}, {"name": "arn:aws:iam::1:role/x"}, {"name": "x", "path": "audit"}]
)
def test_a_name_or_path_aws_would_refuse_is_refused(choice: dict[str, str]) -> None:
    with pytest.raises(SettingsError):
        AuditRole.of(**choice)
