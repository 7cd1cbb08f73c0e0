"""What a user copies from config/ must be what the code does."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orgscan import settings
from orgscan.collect.collectors import ACTIONS
from orgscan.collect.sessions import session_policy
from orgscan.controls.frameworks.reading import read_files
from orgscan.models import Severity
from orgscan.role.policy import audit_role_policy, caller_policy
from orgscan.role.templates import AuditRole
from orgscan.settings import Settings
from orgscan.thresholds import DueDays, Thresholds

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIG = Path(__file__).parents[1] / "config"
TOML = CONFIG / "orgscan.toml"
SECTIONS: dict[str, Any] = {"thresholds": Thresholds, "due_days": DueDays}

_SETTING = re.compile(r"^#(\w+) = (.+)$")
_UNCOMMENT = re.compile(r"^#(?=\S)", re.MULTILINE)
_UNITS = re.compile(
    r"seconds|days|minutes|characters|passwords|calls per second|digits|true or false|\d to [\d,]+"
)


EXCLUSIVE = ("scheduler", "resume")
"""Settings that exclude another one of the file."""


def _uncommented() -> str:
    return _UNCOMMENT.sub("", TOML.read_text("utf-8"))


def _documented() -> dict[str, str]:
    """The comment above each setting, by name; fails where one is there twice."""
    comments: dict[str, str] = {}
    comment: list[str] = []
    for line in TOML.read_text("utf-8").splitlines():
        if match := _SETTING.match(line):
            assert match[1] not in comments, f"{match[1]} is there twice"
            comments[match[1]] = " ".join(comment)
            comment = []
        elif line.startswith("# "):
            comment.append(line.removeprefix("# "))
        else:
            comment = []
    return comments


def _fields() -> dict[str, Any]:
    models = (Settings, *SECTIONS.values())
    return {name: field for model in models for name, field in model.model_fields.items()}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def test_as_it_is_the_file_changes_nothing() -> None:
    assert tomllib.loads(TOML.read_text("utf-8")) == {}
    assert settings.load(TOML, environment={}) == settings.load(environment={})


def test_every_setting_is_there_once_and_none_that_is_unknown() -> None:
    expected = {name for model in (Settings, *SECTIONS.values()) for name in model.model_fields}
    expected -= {*SECTIONS, "threshold_overrides"}
    assert set(_documented()) == expected

    values = tomllib.loads(_uncommented())
    assert set(values) == set(Settings.model_fields) - {"threshold_overrides"}
    for section, model in SECTIONS.items():
        assert set(values[section]) == set(model.model_fields)


def test_the_values_shown_are_the_defaults() -> None:
    values = tomllib.loads(_uncommented())
    comments = _documented()
    shown = [(Settings, values), *((model, values[name]) for name, model in SECTIONS.items())]
    for model, section in shown:
        for name, field in model.model_fields.items():
            if name in {*SECTIONS, "threshold_overrides"}:
                continue
            if field.default is None:
                assert "Has no default" in comments[name], name
            else:
                assert "Has no default" not in comments[name], name
                assert section[name] == _plain(field.default), name


def test_every_setting_has_a_comment_and_every_number_its_unit() -> None:
    models = _fields()
    for name, comment in _documented().items():
        assert len(comment) > 20, name
        if isinstance(models[name].default, (int, float)):
            assert _UNITS.search(comment), name


def test_the_bounds_in_the_comments_are_those_of_the_settings() -> None:
    models = _fields()
    for name, comment in _documented().items():
        bounds = [
            bound
            for item in models[name].metadata
            for kind in ("ge", "gt", "le")
            if (bound := getattr(item, kind, None)) is not None
        ]
        for bound in bounds:
            assert re.search(rf"(?<![\d,]){bound:,}(?![\d,])", comment), (name, bound)


def test_uncommented_it_loads(tmp_path: Path) -> None:
    file = tmp_path / "orgscan.toml"
    shown = [line for line in _uncommented().splitlines() if not line.startswith(EXCLUSIVE)]
    file.write_text("\n".join(shown), "utf-8")
    loaded = settings.load(file, environment={})
    assert loaded.role_name == "OrgScanAudit"
    assert loaded.thresholds == Thresholds()
    assert loaded.due_days == DueDays()
    assert loaded.fail_on is Severity.HIGH


def test_the_overrides_shown_load(tmp_path: Path) -> None:
    _, _, section = TOML.read_text("utf-8").partition("Thresholds for some accounts")
    shown = re.findall(r"^#     (.*)", section, re.MULTILINE)
    file = tmp_path / "orgscan.toml"
    file.write_text("\n".join(["account_tags = true", *shown]), "utf-8")
    loaded = settings.load(file, environment={}).threshold_overrides
    assert [(item.label, item.given) for item in loaded] == [
        ("OU Root/Sandbox", {"access_key_max_age_days": 180}),
        ("account 123456789012", {"unused_credential_days": 90}),
        ("tag environment=dev", {"access_key_max_age_days": 365}),
    ]


def test_the_framework_file_loads() -> None:
    frameworks = read_files([CONFIG / "framework.toml"])
    assert {key: framework.not_judged for key, framework in frameworks.items()} == {
        "acme-iam-2": ("IAM-9",),
        "cis-7.0-strict": ("2.1.1",),
    }


@pytest.mark.parametrize(
    ("name", "make", "call"),
    [
        ("audit-role-policy.json", audit_role_policy, "audit_role_policy()"),
        (
            "caller-policy.json",
            lambda: caller_policy("OrgScanAudit"),
            "caller_policy('OrgScanAudit')",
        ),
    ],
)
def test_the_policies_are_the_code_s(name: str, make: Callable[[], Any], call: str) -> None:
    remedy = (
        f"config/{name} has drifted; write it again with\n"
        f'python -c "import json; from orgscan.role.policy import *; '
        f'print(json.dumps({call}, indent=2))" > config/{name}'
    )
    written = (CONFIG / name).read_text("utf-8")
    assert written == json.dumps(make(), indent=2) + "\n", remedy


def test_policies_only_read() -> None:
    document = json.loads((CONFIG / "caller-policy.json").read_text("utf-8"))
    actions = {action for part in document["Statement"] for action in part["Action"]}
    # Generating a report is the one call that is not a Get or List; it changes no resource.
    reading = re.compile(r"\w+:(Get|List|Describe)\w+|iam:GenerateCredentialReport|sts:AssumeRole")
    assert [action for action in sorted(actions) if not reading.fullmatch(action)] == []
    assert set(ACTIONS) <= actions


def test_the_session_policy_fits_into_a_request() -> None:
    # STS takes 2,048 characters; its packed form has a limit of its own, hence the room.
    assert len(session_policy(ACTIONS)) < 2_048 / 2


@pytest.mark.parametrize(
    ("name", "command"),
    [("audit-role.cloudformation.yaml", "cloudformation"), ("audit-role.tf", "terraform")],
)
def test_the_roles_are_the_code_s(name: str, command: str) -> None:
    remedy = f"config/{name} has drifted: orgscan role {command} > config/{name}"
    printed = getattr(AuditRole.of("OrgScanAudit"), command)()
    assert (CONFIG / name).read_text("utf-8") == printed, remedy


def test_the_template_s_role_has_the_generated_policy() -> None:
    template = yaml.safe_load((CONFIG / "audit-role.cloudformation.yaml").read_text("utf-8"))
    role = template["Resources"]["AuditRole"]["Properties"]
    (policy,) = role["Policies"]
    assert policy["PolicyDocument"] == audit_role_policy()
    assert template["Parameters"]["RoleName"]["Default"] == "OrgScanAudit"
