"""Every line is an event the published OCSF 1.6.0 schema allows, and says what the finding says."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

from orgscan.controls.control import Control, Unit
from orgscan.models import Caller, Severity, Status
from orgscan.reports import Obligations, WorkbookContent, write_ocsf
from orgscan.reports.rows import ROWS
from orgscan.schema import FINDINGS
from tests.kit.reports import content, run_info

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Of the published schema, version 1.6.0: the attributes a line may have where, by object, with
# their types. An exclamation mark is "required"; [] is an array; a figure list is an enum.
OBJECTS: Mapping[str, Mapping[str, Any]] = {
    "compliance_finding": {
        "activity_id": [0, 1, 2, 3, 99, "!"], "activity_name": "str", "category_name": "str",
        "category_uid": [2, "!"], "class_name": "str", "class_uid": [2003, "!"],
        "cloud": "cloud!",  # of the profile, which the lines name
        "compliance": "compliance!", "finding_info": "finding_info!", "message": "str",
        "metadata": "metadata!", "remediation": "remediation", "resources": "resource_details[]",
        "severity": "str", "severity_id": [0, 1, 2, 3, 4, 5, 6, 99, "!"], "status": "str",
        "status_code": "str", "status_id": [0, 1, 2, 3, 4, 5, 6, 99], "time": "int!",
        "timezone_offset": "int", "type_name": "str",
        "type_uid": [200300, 200301, 200302, 200303, 200399, "!"], "unmapped": "any",
    },
    "cloud": {
        "account": "account", "cloud_partition": "str", "org": "organization", "provider": "str!",
        "region": "str",
    },
    "account": {
        "name": "str", "type": "str", "type_id": [*range(19), 99], "uid": "str", "?": "name uid"
    },
    "organization": {
        "name": "str", "ou_name": "str", "ou_uid": "str", "uid": "str", "?": "name uid"
    },
    "compliance": {
        "control": "str", "control_parameters": "key_value_object[]", "desc": "str",
        "requirements": "str[]", "standards": "str[]", "status": "str", "status_code": "str",
        "status_details": "str[]", "status_id": [0, 1, 2, 3, 99],
    },
    "key_value_object": {"name": "str!", "value": "str", "values": "str[]", "?": "value values"},
    "finding_info": {
        "analytic": "analytic", "created_time": "int", "desc": "str", "first_seen_time": "int",
        "last_seen_time": "int", "title": "str", "uid": "str!",
    },
    "analytic": {
        "name": "str", "type": "str", "type_id": [*range(12), 99, "!"], "uid": "str",
        "?": "name uid",
    },
    "metadata": {
        "correlation_uid": "str", "log_name": "str", "log_provider": "str", "product": "product!",
        "profiles": "str[]", "tenant_uid": "str", "uid": "str", "version": "str!",
    },
    "product": {
        "name": "str", "uid": "str", "vendor_name": "str", "version": "str", "?": "name uid"
    },
    "remediation": {"desc": "str!"},
    "resource_details": {
        "cloud_partition": "str", "name": "str", "owner": "user", "type": "str", "uid": "str",
        "?": "name uid",
    },
    "user": {
        "account": "account", "name": "str", "type_id": [0, 1, 2, 3, 4, 99], "uid": "str",
        "?": "account name uid",
    },
}  # fmt: skip


def faults(value: Any, kind: Any, place: str = "") -> Iterator[str]:
    """What the schema does not allow about a value; nothing where all is well."""
    if isinstance(kind, list):
        if value not in kind or type(value) is not int:
            yield f"{place}: {value!r} is none of {kind}"
    elif kind.rstrip("!").endswith("[]"):
        assert isinstance(value, list), place
        for one in value:
            yield from faults(one, kind.rstrip("!")[:-2], place)
    elif kind.rstrip("!") in OBJECTS:
        yield from _object_faults(value, OBJECTS[kind.rstrip("!")], place)
    elif kind != "any" and type(value).__name__ != kind.rstrip("!"):
        yield f"{place}: {value!r} is no {kind}"


def _object_faults(value: Any, spec: Mapping[str, Any], place: str) -> Iterator[str]:
    for name, kind in spec.items():
        if name == "?" and not value.keys() & set(kind.split()):
            yield f"{place}: has none of {kind}"
        elif "!" in kind and name not in value:
            yield f"{place}.{name}: is missing"
    for name, one in value.items():
        if name not in spec:
            yield f"{place}.{name}: is unknown"
        else:
            yield from faults(one, spec[name], f"{place}.{name}")


def written(
    tmp_path: Path, given: WorkbookContent, obligations: Mapping[str, Obligations] | None = None
) -> list[dict[str, Any]]:
    path = tmp_path / "findings.ocsf.jsonl"
    write_ocsf(
        path,
        given.findings,
        given.accounts,
        run=given.run,
        controls=given.controls,
        obligations=obligations or {},
    )
    # Lines end at line feeds and nowhere else, whatever is in the names.
    return [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]


def varied() -> WorkbookContent:
    """Gaps, waivers, slots without a key id, rows with and without what may be null."""
    given = content(
        accounts=30,
        coverages=("COMPLETE", "DENIED", "EXCLUDED"),
        statuses=("PASS", "FAIL", "UNKNOWN", "WAIVED", "NOT_APPLICABLE"),
    )
    findings = given.findings.copy()
    for place, name in enumerate(("account_name", "ou_path", "arn", "threshold", "first_seen_at")):
        findings.loc[place :: place + 5, name] = None
    slots = findings.index[findings["access_key_id"].notna()][::3]
    findings.loc[slots, "access_key_id"] = None
    findings.loc[slots, "slot"] = 2
    whole = findings.index[::7]
    findings.loc[whole, ["control_id", "user", "arn", "access_key_id"]] = [
        "password-length", None, None, None,
    ]  # fmt: skip
    account = replace(given.controls[0], id="password-length", unit="account")
    return replace(given, findings=findings, controls=[*given.controls, account])


def test_every_line_is_what_the_schema_allows(tmp_path: Path) -> None:
    events = written(tmp_path, varied(), {"console-mfa": Obligations(standards=["CIS"])})
    assert len(events) > 100
    assert {fault for event in events for fault in faults(event, "compliance_finding")} == set()
    for event in events:
        assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
        assert event["metadata"]["version"] == "1.6.0"
        assert event["metadata"]["profiles"] == ["cloud"]


def test_the_schema_finds_faults() -> None:
    bad = {"class_uid": 2001, "time": "now", "resources": [{"type": "x"}], "colour": "red"}
    assert {fault.split(":")[0] for fault in faults(bad, "compliance_finding")} >= {
        ".class_uid", ".time", ".resources", ".colour", ".metadata", ".finding_info",
    }  # fmt: skip


def test_each_finding_has_its_line_in_order_but_what_is_not_applicable(tmp_path: Path) -> None:
    given = varied()
    events = written(tmp_path, given)
    told = given.findings[given.findings["status"] != "NOT_APPLICABLE"]
    assert len(told) < len(given.findings)
    assert [event["finding_info"]["uid"] for event in events] == told["finding_id"].tolist()
    assert [event["status_code"] for event in events] == told["status"].tolist()
    assert [event["message"] for event in events] == told["reason"].tolist()


def test_what_becomes_of_each_status(tmp_path: Path) -> None:
    events = written(tmp_path, varied())
    found = Counter(
        (
            event["status_code"],
            event["compliance"]["status_id"],
            event["compliance"]["status"],
            event["status_id"],
            event["status"],
            "remediation" in event,
        )
        for event in events
    )
    assert set(found) == {
        ("FAIL", 3, "Fail", 1, "New", True),
        ("WAIVED", 3, "Fail", 3, "Suppressed", True),
        ("UNKNOWN", 2, "Warning", 1, "New", True),
        ("PASS", 1, "Pass", 4, "Resolved", False),
    }
    assert all(("waiver_id" in e["unmapped"]) == (e["status_code"] == "WAIVED") for e in events)


def one(**changes: Any) -> WorkbookContent:
    """A single finding: FAIL of a rotated key."""
    given = content(accounts=3, statuses=("FAIL",))
    picked = given.findings["control_id"] == "access-key-rotation"
    findings = given.findings[picked].head(1).reset_index(drop=True)
    for name, value in changes.items():
        findings[name] = pd.Series([value], dtype=findings[name].dtype)
    return replace(given, findings=findings)


def test_a_whole_event(tmp_path: Path) -> None:
    seen = datetime(2026, 8, 20, 9, 30, 0, 123_999, tzinfo=UTC)
    given = one(
        account_id="000000000002", account_name="web", ou_path="Root/Prod", user="deploy",
        arn="arn:aws-cn:iam::000000000002:user/deploy", access_key_id="AKIAEXAMPLE",
        finding_id="ab" * 16, reason="active for 412 days, limit 90", first_seen_at=seen,
        threshold="90 days (default)", evidence_sha256="cd" * 32, report_generated_at=None,
    )  # fmt: skip
    caller = Caller("000000000001", "arn:aws-cn:iam::000000000001:user/jane", "aws-cn")
    given = replace(given, run=run_info(caller=caller))
    obligations = Obligations(
        standards=["CIS 7.0.0"], requirements=["CIS 7.0.0 2.12"], related=["PCI DSS 4.0.1 8.3.9"]
    )
    (event,) = written(tmp_path, given, {"access-key-rotation": obligations})
    as_of = 1795167000000

    assert event["time"] == as_of
    assert (event["activity_id"], event["type_uid"]) == (2, 200302)  # seen before
    assert event["cloud"] == {
        "account": {
            "name": "web", "type": "AWS Account", "type_id": 10, "uid": "000000000002",
        },
        "cloud_partition": "aws-cn",
        "org": {"ou_name": "Root/Prod", "ou_uid": "ou-ab12-00000002", "uid": "o-exampleorg1"},
        "provider": "AWS",
    }  # fmt: skip
    assert event["compliance"] == {
        "control": "access-key-rotation",
        "control_parameters": [{"name": "limit", "value": "90 days (default)"}],
        "requirements": ["CIS 7.0.0 2.12"],
        "standards": ["CIS 7.0.0"],
        "status": "Fail",
        "status_code": "FAIL",
        "status_details": ["active for 412 days, limit 90"],
        "status_id": 3,
    }
    info = event["finding_info"]
    assert (info["uid"], info["first_seen_time"], info["last_seen_time"]) == (
        "ab" * 16, 1787218200123, as_of,
    )  # fmt: skip
    assert event["resources"] == [
        {
            "cloud_partition": "aws-cn",
            "name": "AKIAEXAMPLE",
            "owner": {
                "account": {"uid": "000000000002"},
                "name": "deploy",
                "type_id": 1,
                "uid": "arn:aws-cn:iam::000000000002:user/deploy",
            },
            "type": "AWS::IAM::AccessKey",
            "uid": "AKIAEXAMPLE",
        }
    ]
    assert event["unmapped"] == {
        "evidence_sha256": "cd" * 32, "related_requirements": ["PCI DSS 4.0.1 8.3.9"],
    }  # fmt: skip
    assert (event["severity"], event["severity_id"]) == ("Medium", 3)


@pytest.mark.parametrize(
    "name",
    [
        "=1+1", "@x", "-2", "NA", 'say "hi"', "back\\slash", "two\nlines", "cr\r", "tab\t", "\x00",
        "\x1b[31m", "\x7f", "\x85", "\u2028", "\u202emoor", "naïve 🎉", "\ue000user\ue000", "",
        "</script>", "'" * 64,
    ],
)  # fmt: skip
def test_names_are_exact_and_cannot_end_a_line_or_turn_it(tmp_path: Path, name: str) -> None:
    (event,) = written(tmp_path, one(user=name, account_name=name, ou_path=name, reason=name))
    assert event["resources"][0]["owner"]["name"] == name
    assert event["cloud"]["account"]["name"] == name
    assert event["cloud"]["org"]["ou_name"] == name
    assert event["message"] == name

    raw = (tmp_path / "findings.ocsf.jsonl").read_text("utf-8")
    assert len(raw.splitlines()) == 1
    assert raw.rstrip("\n").replace("\ue000", "").isprintable()


def test_categories_and_plain_text_give_the_same_bytes(tmp_path: Path) -> None:
    given = varied()
    plain = written(tmp_path, given)
    raw = (tmp_path / "findings.ocsf.jsonl").read_bytes()
    texts = {
        name: "category"
        for name in FINDINGS.column_names
        if isinstance(given.findings[name].dtype, pd.StringDtype) and name != "finding_id"
    }
    assert written(tmp_path, replace(given, findings=given.findings.astype(texts))) == plain
    assert (tmp_path / "findings.ocsf.jsonl").read_bytes() == raw


def test_more_rows_than_are_made_at_a_time(tmp_path: Path) -> None:
    given = varied()
    times = 2 * ROWS // len(given.findings) + 2
    findings = pd.concat([given.findings] * times, ignore_index=True)
    findings["finding_id"] = pd.Series(
        [f"{number:032x}" for number in range(len(findings))], dtype="str"
    )
    events = written(tmp_path, replace(given, findings=findings))
    told = findings[findings["status"] != "NOT_APPLICABLE"]
    assert len(told) > ROWS
    assert [event["finding_info"]["uid"] for event in events] == told["finding_id"].tolist()


def test_without_findings_there_is_no_line(tmp_path: Path) -> None:
    given = varied()
    assert written(tmp_path, replace(given, findings=given.findings.head(0))) == []
    idle = given.findings[given.findings["status"] == Status.NOT_APPLICABLE.value]
    assert written(tmp_path, replace(given, findings=idle)) == []


def test_first_seen_now_is_a_new_finding(tmp_path: Path) -> None:
    now = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
    (new,) = written(tmp_path, one(first_seen_at=now))
    (old,) = written(tmp_path, one(first_seen_at=now - timedelta(microseconds=1)))
    assert (new["activity_name"], old["activity_name"]) == ("Create", "Update")


class Published:
    """The schema as a package of others' carries it; what is read are its attributes."""

    def __init__(self, path: Path) -> None:
        self._schema = json.loads(path.read_text("utf-8"))
        self._attributes = self._schema["dictionary"]["attributes"]

    def attributes(self, name: str, section: str = "objects") -> dict[str, dict[str, Any]]:
        spec = self._schema[section][name]
        parent = spec.get("extends", name)
        known = parent != name and parent in self._schema[section]
        found = dict(self.attributes(parent, section)) if known else {}
        for attribute, own in spec["attributes"].items():
            if isinstance(own, dict):
                found[attribute] = {**found.get(attribute, {}), **own}
        return found

    def is_array(self, attribute: str) -> bool:
        return bool(self._attributes[attribute].get("is_array"))


def test_our_table_of_the_schema_is_the_published_one() -> None:
    spec = importlib.util.find_spec("ocsf")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("pydantic-ocsf, which carries the schema, is not installed")
    published = Published(Path(spec.submodule_search_locations[0]) / "schemas" / "v1_6_0.json")
    for name, ours in OBJECTS.items():
        section = "events" if name == "compliance_finding" else "objects"
        theirs = published.attributes(name, section)
        ours = {key: kind for key, kind in ours.items() if key != "?"}  # noqa: PLW2901
        own = {"cloud"} if section == "events" else set()
        assert set(ours) - own <= set(theirs), name
        required = {
            key
            for key, attribute in theirs.items()
            if attribute.get("requirement") == "required" and not attribute.get("profile")
        }
        assert {key for key, kind in ours.items() if "!" in kind} - own == required, name
        for key, kind in ours.items():
            assert published.is_array(key) == ("[]" in kind), (name, key)


def test_a_control_without_standards_has_none_in_its_event(tmp_path: Path) -> None:
    control = Control(
        id="access-key-rotation", title="T", severity=Severity.MEDIUM, unit=Unit.ACCESS_KEY,
        needs=(), judge=lambda *_: (), description="D", remediation="R",
    )  # fmt: skip
    (event,) = written(tmp_path, replace(one(), controls=[control]))
    assert event["finding_info"]["desc"] == "D"
    assert event["remediation"] == {"desc": "R"}
    assert "standards" not in event["compliance"]
