"""The manifest on disk is a contract: its bytes, what older ones lack, what newer ones add."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.errors import ExitCode, IntegrityError, UsageError
from orgscan.files import FileRecord
from orgscan.models import Caller, Coverage, Organization, RunInfo, Severity, Status
from orgscan.runs import manifest, rundir
from orgscan.runs.chain import Link
from orgscan.runs.evidence import EvidenceStore
from orgscan.runs.manifest import File, Manifest, Previous
from orgscan.runs.run import Run
from orgscan.runs.seal import seal, unseal
from orgscan.runs.sealed import sealed_evidence
from tests.kit.manifests import MOMENT, described

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LATER = (
    "accounts_judged", "carried", "due_days", "frameworks", "limits_unread", "overdue",
    "simulated", "unknown", "waivers",
)  # fmt: skip
"""Members that orgscan 0.1.0 did not always write."""


def content(described: Manifest) -> dict[str, Any]:
    found, fault = unseal(described.sealed())
    assert found is not None
    assert not fault
    return found


def write(run: Path, changed: dict[str, Any]) -> Path:
    (run / rundir.MANIFEST).write_bytes(seal(changed))
    return run


class TestBytes:
    def test_are_the_canonical_json_of_its_members(self) -> None:
        raw = described(
            accounts=2,
            previous=Previous(run_id="1", as_of=MOMENT, manifest_sha256="ab"),
            files={"b": File(sha256="cd", size=1), "a": File(**asdict(FileRecord("ef", 2)))},
        ).sealed()
        parsed = json.loads(raw)
        assert raw == f"{json.dumps(parsed, indent=2, sort_keys=True)}\n".encode()
        assert sorted(parsed) == [
            "accounts", "accounts_judged", "as_of", "caller", "carried", "collected_by",
            "coverage", "due_days", "endpoint_url", "enumerated", "evidence", "external_id_used",
            "files", "findings", "finished_at", "format", "frameworks", "integrity_failures",
            "limits_unread", "management_account_id", "notes", "organization_id", "overdue",
            "partition", "previous", "rendered_at", "role_name", "run_id", "schema", "scope",
            "settings", "severities", "sha256", "simulated", "started_at", "thresholds",
            "unknown", "versions", "waivers", "work",
        ]  # fmt: skip
        assert parsed["as_of"] == "2026-11-03T23:59:58.000007+00:00"
        assert parsed["finished_at"] is None
        assert parsed["previous"] == {
            "run_id": "1", "as_of": parsed["as_of"], "manifest_sha256": "ab",
        }  # fmt: skip
        assert parsed["files"]["a"] == {"sha256": "ef", "size": 2}
        assert parsed["evidence"] == {"sha256": "", "size": 0, "external": True, "accounts": {}}

    def test_do_not_change_when_a_manifest_is_read_and_written(self) -> None:
        raw = described(thresholds={"a": 90.0, "b": 14, "c": None, "d": "ü"}).sealed()
        assert Manifest.model_validate(json.loads(raw)).sealed() == raw


class TestVersions:
    @pytest.mark.parametrize("name", LATER)
    def test_an_older_manifest_lacks_members_and_opens(self, tmp_path: Path, name: str) -> None:
        older = content(described())
        del older[name]
        run = Run(write(tmp_path, older))
        assert run.exit_code() is ExitCode.OK
        assert run.manifest == {**older, "sha256": run.manifest["sha256"]}
        assert Link.to(tmp_path).run_id == older["run_id"]

    def test_what_a_newer_minor_version_adds_is_ignored(self, tmp_path: Path) -> None:
        newer = content(described()) | {"calls": {"iam": 7}}
        newer["evidence"]["compressed"] = True
        assert Run(write(tmp_path, newer)).exit_code() is ExitCode.OK
        assert Link.to(tmp_path).started_at == MOMENT
        assert Run(tmp_path).manifest["calls"] == {"iam": 7}

    def test_a_newer_format_is_left_to_a_newer_orgscan(self, tmp_path: Path) -> None:
        write(tmp_path, {"format": 2, "accounts": "a list by now"})
        for opening in (Run, Link.to):
            with pytest.raises(UsageError, match=r"manifest\.json: written by a newer orgscan"):
                opening(tmp_path)


class TestBroken:
    @pytest.mark.parametrize(
        "change",
        [
            lambda m: m.pop("run_id"),
            lambda m: m.pop("coverage"),
            lambda m: m["coverage"].pop("FAILED"),
            lambda m: m.update(accounts="4"),
            lambda m: m.update(enumerated="yes"),
            lambda m: m.update(as_of="yesterday"),
            lambda m: m.update(started_at="2026-11-03T23:59:58"),
            lambda m: m.update(started_at=1_762_000_000),
            lambda m: m.update(files=[1]),
            lambda m: m.update(files={"a": {"sha256": "ab"}}),
            lambda m: m.update(evidence=None),
            lambda m: m.update(format="1"),
            lambda m: m.update(previous={}),
        ],
    )
    def test_is_one_line_however_it_is_opened(
        self, tmp_path: Path, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        broken = content(described())
        change(broken)
        write(tmp_path, broken)
        for opening in (Run, Link.to):
            with pytest.raises(UsageError) as caught:
                opening(tmp_path)
            assert str(caught.value) == (
                f"{tmp_path / 'manifest.json'}: is not the manifest of a run"
            )
            assert caught.value.exit_code is ExitCode.USAGE
        assert manifest.trusted(tmp_path) is None

    def test_one_that_was_edited_is_trusted_by_nobody(self, tmp_path: Path) -> None:
        raw = described().sealed()
        (tmp_path / "manifest.json").write_bytes(raw.replace(b'"audit"', b'"admin"'))
        assert manifest.trusted(tmp_path) is None
        with pytest.raises(UsageError, match="was edited"):
            manifest.read(tmp_path, remedy="")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as caught:
            manifest.load(tmp_path)
        assert "holds no finished run (no manifest.json); run `orgscan report`" in str(caught.value)

    @pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"a": 1'])
    def test_unreadable(self, tmp_path: Path, raw: bytes) -> None:
        tmp_path.joinpath(rundir.MANIFEST).write_bytes(raw)
        with pytest.raises(UsageError, match=r"manifest\.json: cannot be read"):
            manifest.load(tmp_path)

    @pytest.mark.parametrize("text", ["[]", "null", "3", '"text"'])
    def test_of_another_kind(self, tmp_path: Path, text: str) -> None:
        tmp_path.joinpath(rundir.MANIFEST).write_text(text)
        with pytest.raises(UsageError, match="is not a manifest"):
            manifest.load(tmp_path)

    def test_a_directory_in_its_place(self, tmp_path: Path) -> None:
        tmp_path.joinpath(rundir.MANIFEST).mkdir()
        with pytest.raises(UsageError, match="cannot be read"):
            manifest.load(tmp_path)


def counts(**of: int) -> dict[str, int]:
    return {status.value: of.get(status.value, 0) for status in Status}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ExitCode.OK),
        ({"enumerated": False}, ExitCode.COVERAGE_GAPS),
        ({"limits_unread": 1}, ExitCode.COVERAGE_GAPS),
        ({"findings": {"root-mfa": counts(UNKNOWN=1)}}, ExitCode.COVERAGE_GAPS),
        ({"findings": {"root-mfa": counts(FAIL=1)}}, ExitCode.FINDINGS),
        ({"findings": {"console-user": counts(FAIL=1)}}, ExitCode.OK),
        ({"findings": {"not-named": {"FAIL": 1}}}, ExitCode.FINDINGS),
        ({"integrity_failures": ["000000000001"], "enumerated": False}, ExitCode.INTEGRITY),
        *(
            (
                {"coverage": {of.value: int(of is coverage) for of in Coverage}},
                ExitCode.COVERAGE_GAPS if coverage.is_gap else ExitCode.OK,
            )
            for coverage in Coverage
        ),
    ],
)
def test_the_exit_code_follows_from_the_manifest(
    tmp_path: Path, changes: dict[str, Any], code: ExitCode
) -> None:
    severities = {"root-mfa": "critical", "console-user": "informational"}
    (tmp_path / "manifest.json").write_bytes(described(severities=severities, **changes).sealed())
    assert Run(tmp_path).exit_code(Severity.HIGH) is code


def test_evidence_beside_a_broken_manifest_is_not_worked_on(tmp_path: Path) -> None:
    info = RunInfo(
        run_id="1",
        organization=Organization("o-abc123", "000000000001"),
        caller=Caller("000000000001", "arn:aws:iam::000000000001:root", "aws"),
        started_at=MOMENT,
        as_of=MOMENT,
        version="1",
        role_name="audit",
    )
    with EvidenceStore.create(tmp_path / rundir.EVIDENCE, info):
        pass
    assert sealed_evidence(tmp_path).size
    write(tmp_path, {"format": 1})
    with pytest.raises(IntegrityError, match="is not the manifest of a run; restore it"):
        sealed_evidence(tmp_path)
    write(tmp_path, {"format": 2})
    with pytest.raises(UsageError, match="newer orgscan"):
        sealed_evidence(tmp_path)
