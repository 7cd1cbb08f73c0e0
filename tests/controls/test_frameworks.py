"""Frameworks as data: what comes with orgscan, and what a user brings."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.controls.catalogue import CATALOGUE
from orgscan.controls.frameworks.reading import from_definition, read_files, shipped
from orgscan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The benchmark's ids, control by control; "-": the version does not ask for it.
VERSIONS = ("1.4", "1.5", "2.0", "3.0", "4.0.1", "5.0", "6.0", "7.0")
CIS = """
root-access-key           1.4   1.4   1.4   1.4   1.4   1.3   2.3   2.4
root-mfa                  1.5   1.5   1.5   1.5   1.5   1.4   2.4   2.5
root-hardware-mfa         1.6   1.6   1.6   1.6   1.6   1.5   2.5   2.6
root-usage                1.7   1.7   1.7   1.7   1.7   1.6   2.6   2.7
password-length           1.8   1.8   1.8   1.8   1.8   1.7   2.7   2.8
password-reuse            1.9   1.9   1.9   1.9   1.9   1.8   2.8   2.9
console-mfa               1.10  1.10  1.10  1.10  1.10  1.9   2.9   2.10
unused-password           1.12  1.12  1.12  1.12  1.12  1.11  2.11  2.11
unused-access-key         1.12  1.12  1.12  1.12  1.12  1.11  2.11  2.11
access-key-rotation       1.14  1.14  1.14  1.14  1.14  1.13  2.13  2.12
single-active-access-key  1.13  1.13  1.13  1.13  1.13  1.12  2.12  -
setup-access-key          1.11  1.11  1.11  1.11  1.11  1.10  2.10  -
"""
ROWS = {name: ids for name, *ids in map(str.split, CIS.strip().splitlines())}

GOOD = '[x]\ntitle = "X"\nversion = "1"\n[x.controls]\nroot-mfa = ["1"]\n'


@pytest.mark.parametrize("version", VERSIONS)
def test_the_ids_of_every_cis_version(version: str) -> None:
    column = VERSIONS.index(version)
    expected = {name: (ids[column],) for name, ids in ROWS.items() if ids[column] != "-"}
    framework = shipped()[f"cis-{version}"]
    assert framework.controls == expected
    assert list(framework.controls) == [one.id for one in CATALOGUE if one.id in expected]
    assert framework.kind == "direct"
    assert framework.version in {version, f"{version}.0"}
    assert framework.thresholds == {
        "unused_credential_days": 45,
        "access_key_max_age_days": 90,
        "password_minimum_length": 14,
        "password_reuse_prevention": 24,
    }


def test_under_7_0_two_controls_are_not_counted_and_one_requirement_is_not_judged() -> None:
    newest = shipped()["cis-7.0"]
    assert not {"setup-access-key", "single-active-access-key"} & newest.controls.keys()
    assert newest.requirements == {
        "2.1.1": (),
        "2.4": ("root-access-key",),
        "2.5": ("root-mfa",),
        "2.6": ("root-hardware-mfa",),
        "2.7": ("root-usage",),
        "2.8": ("password-length",),
        "2.9": ("password-reuse",),
        "2.10": ("console-mfa",),
        "2.11": ("unused-password", "unused-access-key"),
        "2.12": ("access-key-rotation",),
    }
    assert list(newest.requirements)[-3:] == ["2.10", "2.11", "2.12"]
    others = [one for key, one in shipped().items() if key.startswith("cis-") and one != newest]
    assert {one.not_judged for one in others} == {()}


def test_aws_foundational_security_best_practices() -> None:
    fsbp = shipped()["fsbp"]
    assert fsbp.requirements == {
        "IAM.3": ("access-key-rotation",),
        "IAM.4": ("root-access-key",),
        "IAM.5": ("console-mfa",),
        "IAM.6": ("root-hardware-mfa",),
        "IAM.7": (),
        "IAM.8": ("unused-password", "unused-access-key"),
    }
    assert fsbp.thresholds == {"unused_credential_days": 90, "access_key_max_age_days": 90}


def test_security_hub_asks_for_45_days_under_iam_22() -> None:
    hub = shipped()["security-hub"]
    assert hub.controls == {
        "root-access-key": ("IAM.4",),
        "root-mfa": ("IAM.9",),
        "root-hardware-mfa": ("IAM.6",),
        "password-length": ("IAM.15",),
        "password-reuse": ("IAM.16",),
        "console-mfa": ("IAM.5",),
        "unused-password": ("IAM.22",),
        "unused-access-key": ("IAM.22",),
        "access-key-rotation": ("IAM.3",),
    }
    assert hub.thresholds["unused_credential_days"] == 45
    assert hub.thresholds == shipped()["cis-7.0"].thresholds
    assert "IAM.8" in hub.not_judged
    # Expired certificates and administrator policies are other subjects.
    assert not {"IAM.1", "IAM.26"} & set(hub.requirements)


def test_related_requirements_say_that_they_are() -> None:
    related = {key for key, one in shipped().items() if one.kind == "related"}
    assert related == {
        "nist-800-53-r5", "nist-800-171-r2", "pci-dss-4.0.1", "iso-27001-2022", "soc-2",
        "cis-controls-8.1",
    }  # fmt: skip
    nist, pci = shipped()["nist-800-53-r5"], shipped()["pci-dss-4.0.1"]
    assert nist.controls["access-key-rotation"] == ("AC-2(1)", "AC-2(3)", "AC-3(15)")
    assert list(nist.requirements)[:4] == ["AC-2", "AC-2(1)", "AC-2(3)", "AC-3"]
    assert pci.controls["unused-access-key"] == ("8.2.6",)
    assert pci.thresholds == {
        "unused_credential_days": 90,
        "access_key_max_age_days": 90,
        "password_reuse_prevention": 4,
    }
    # NIST leaves the numbers to the organization.
    assert nist.thresholds == {}
    assert shipped()["cis-controls-8.1"].thresholds["unused_credential_days"] == 45
    assert "root-access-key" not in pci.controls  # AWS relates IAM.4 to PCI DSS 3.2.1 only


def test_labels_are_unique_and_keys_speak() -> None:
    labels = [one.label for one in shipped().values()]
    assert len(set(labels)) == len(labels)
    assert list(shipped())[:8] == [f"cis-{version}" for version in VERSIONS]


def test_controls_name_the_limits_they_read() -> None:
    named = {control.id: control.thresholds for control in CATALOGUE}
    expected = {
        "root-usage": ("root_usage_days",),
        "password-length": ("password_minimum_length",),
        "password-reuse": ("password_reuse_prevention",),
        "unused-password": ("unused_credential_days",),
        "unused-access-key": ("unused_credential_days",),
        "access-key-rotation": ("access_key_max_age_days",),
        "setup-access-key": ("setup_rule", "setup_window_minutes"),
        "never-used-access-key": ("new_key_grace_days",),
        "service-specific-credential": ("access_key_max_age_days",),
    }
    assert {name: named[name] for name in expected} == expected


def test_a_definition_makes_the_framework_again() -> None:
    for key, framework in shipped().items():
        stored = json.loads(json.dumps(framework.definition()))
        again = from_definition(key, stored)
        assert again == framework
        assert list(again.requirements.items()) == list(framework.requirements.items())


# A user's own file


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def put(content: str | bytes) -> Path:
        file = tmp_path / "mine.toml"
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    return put


def refused(*files: Path) -> str:
    """The message of the refusal: one line that begins with the file."""
    with pytest.raises(SettingsError) as caught:
        read_files(files)
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert message.startswith(str(files[-1]))
    return message


def test_a_file_may_hold_several_and_build_on_known_ones(write: Any) -> None:
    file = write(
        '[b]\ntitle = "B"\nversion = "1"\nkind = "related"\n'
        'controls = {console-mfa = ["2", "1", "2"], root-mfa = ["1"]}\nnot_judged = ["3"]\n'
        '[a]\ntitle = "A"\nversion = "2"\nsame_as = "fsbp"\n'
        "thresholds = {unused_credential_days = 30}\n"
        '[c]\ntitle = "C"\nversion = "2"\nsame_as = "b"\n'
    )
    found = read_files([file])
    assert list(found) == ["b", "a", "c"]
    assert found["b"].requirements == {
        "1": ("root-mfa", "console-mfa"), "2": ("console-mfa",), "3": (),
    }  # fmt: skip
    assert found["b"].kind == "related"
    assert found["a"].controls == shipped()["fsbp"].controls
    assert found["a"].not_judged == ("IAM.7",)
    assert found["a"].thresholds == {"unused_credential_days": 30, "access_key_max_age_days": 90}
    assert found["c"].controls == found["b"].controls


def test_a_byte_order_mark_changes_nothing(write: Any) -> None:
    assert read_files([write(b"\xef\xbb\xbf" + GOOD.encode())]).keys() == {"x"}


HEAD = '[x]\ntitle = "X"\nversion = "1"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no framework; write [my-standard]"),
        ("# only a comment\n", "holds no framework"),
        ('title = "X"', "'title' stands outside of a framework"),
        (HEAD, "[x]: names no controls"),
        (HEAD + "controls = {}", "[x]: names no controls"),
        (HEAD + "controls = ['root-mfa']", "[x]: names no controls"),
        (
            HEAD + "[x.controls]\nroot-mfaa = ['1']",
            "[x], controls: unknown control 'root-mfaa'; did you mean root-mfa?",
        ),
        (HEAD + "[x.controls]\nzzz = ['1']", "unknown control 'zzz'; known are root-access-key"),
        (HEAD + "[x.controls]\nroot-mfa = '1'", "controls, root-mfa: must be a list"),
        (HEAD + "[x.controls]\nroot-mfa = []", "controls, root-mfa: must be a list"),
        (HEAD + "[x.controls]\nroot-mfa = [1.4]", "controls, root-mfa: 1.4 is no requirement id"),
        (HEAD + "[x.controls]\nroot-mfa = ['']", "'' is no requirement id"),
        (HEAD + '[x.controls]\nroot-mfa = ["a\\nb"]', "is no requirement id"),
        (HEAD + '[x.controls]\nroot-mfa = ["\\u001b[2J"]', "is no requirement id"),
        (HEAD + f"[x.controls]\nroot-mfa = ['{'9' * 65}']", "1 to 64 characters"),
        (GOOD + "[x.thresholds]\nroot_usage_day = 3", "did you mean root_usage_days?"),
        (
            GOOD + "[x.thresholds]\nroot_usage_days = 'x'",
            "[x], thresholds, root_usage_days: must be",
        ),
        (GOOD + "[x.thresholds]\nroot_usage_days = -1", "thresholds, root_usage_days: must be"),
        (GOOD + "[x.thresholds]\nroot_usage_days = nan", "thresholds, root_usage_days: must be"),
        (GOOD + "[x.thresholds]\nroot_usage_days = true", "must be a number (got true)"),
        (HEAD + "thresholds = 5\n[x.controls]\nroot-mfa = ['1']", "thresholds: must be a section"),
        (GOOD.replace("title", "titel"), "[x]: unknown key 'titel'; did you mean title?"),
        (GOOD.replace('title = "X"\n', ""), "[x], title: must be a text"),
        (GOOD.replace('version = "1"\n', ""), "[x], version: must be a text"),
        (GOOD.replace('"X"', "5"), "[x], title: must be a text"),
        (GOOD.replace('"X"', '""'), "[x], title: must be a text"),
        (GOOD.replace('"X"', '"a\\tb"'), "[x], title: must be a text"),
        (GOOD.replace('"1"\n[', "2.0\n["), "[x], version: must be a text of 1 to 120"),
        (HEAD + "kind = 'other'\n", "[x], kind: is direct or related, not 'other'"),
        (HEAD + "kind = 1\n", "[x], kind: must be a text"),
        (HEAD + "not_judged = 'x'\ncontrols = {root-mfa = ['1']}", "not_judged: must be a list"),
        (HEAD + "not_judged = ['1']\ncontrols = {root-mfa = ['1']}", "'1' has a control"),
        (HEAD + "same_as = 'cis-7'\n", "same_as: unknown framework 'cis-7'; did you mean cis-7.0?"),
        (HEAD + "same_as = 'x'\n", "same_as: unknown framework 'x'"),
        (HEAD + "same_as = 'fsbp'\ncontrols = {root-mfa = ['1']}", "both same_as and controls"),
        (GOOD.replace("[x", "[fsbp"), "[fsbp]: there is already a framework of that key"),
        (GOOD.replace("[x", '["cis-7.0"'), "[cis-7.0]: there is already a framework"),
        (GOOD.replace("[x", "[X"), "'X' is no key of a framework"),
        (GOOD.replace("[x", '["\\n"'), "is no key of a framework"),
        (GOOD.replace("[x", "[my.x"), "[my]: unknown key 'x'"),
        (GOOD + GOOD, "not valid TOML: "),
        ("[x", "not valid TOML: "),
        ("x: 1", "not valid TOML: "),
        (b"[x]\ntitle = '\xff'", "byte 13 is not UTF-8; save the file as UTF-8"),
        (b"PK\x03\x04\x00\x00", "not valid TOML: "),
        ("#" * 1_000_001, "larger than 1 MB, which is too large for a framework file"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(write: Any, text: str | bytes, said: str) -> None:
    assert said in refused(write(text))


def test_a_key_may_not_come_twice_among_files(write: Any, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(GOOD)
    assert "[x]: there is already a framework of that key" in refused(write(GOOD), other)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "is a directory; name a TOML file" in refused(tmp_path)
    assert "cannot be read (No such file" in refused(tmp_path / "none.toml")
    huge = tmp_path / "huge.toml"
    huge.touch()
    os.truncate(huge, 300_000_000)
    assert "larger than 1 MB" in refused(huge)


def test_a_definition_of_another_version_of_orgscan_is_refused() -> None:
    stored = shipped()["fsbp"].definition()
    stored["controls"]["no-such-control"] = ["1"]
    with pytest.raises(SettingsError, match="framework mine, controls: unknown control"):
        from_definition("mine", stored)


@pytest.mark.parametrize("title", ["PCI DSS", "pci dss", "PCI  DSS", "pcidss", "\uff30CI DSS"])
def test_the_title_of_a_shipped_framework_is_refused(write: Any, title: str) -> None:
    said = refused(write(GOOD.replace('"X"', f'"{title}"')))
    assert "[x], title: 'PCI DSS'" in said
    assert "choose another" in said


def test_a_title_that_only_begins_like_a_shipped_one_is_fine(write: Any) -> None:
    assert list(read_files([write(GOOD.replace('"X"', '"PCI DSS, ours"'))])) == ["x"]
