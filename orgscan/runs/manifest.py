"""The manifest: what a finished run was, what came of it, and the hash of every file.

``manifest.json`` is a sealed file (:mod:`orgscan.runs.seal`) and a contract: its members keep
their names and meanings. Members that orgscan 0.1.0 did not always write have a default; members
of a newer orgscan that this one does not know are ignored. A format that an older orgscan could
misread raises :data:`FORMAT`.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
)

from orgscan import files
from orgscan.errors import ExitCode, UsageError
from orgscan.models import Coverage, Severity, Status
from orgscan.runs.rundir import MANIFEST
from orgscan.runs.seal import read_sealed, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FORMAT = 1
"""Raised when an older orgscan could misread a manifest."""


def _moment(value: Any) -> Any:
    """A time exactly as :meth:`datetime.isoformat` writes it, with its offset from UTC."""
    if not isinstance(value, str):
        return value
    moment = datetime.fromisoformat(value)
    if moment.utcoffset() is None or moment.isoformat() != value:
        raise ValueError(f"{value!r} is not a time as orgscan writes it")
    return moment


Moment = Annotated[
    datetime, BeforeValidator(_moment), PlainSerializer(datetime.isoformat, when_used="json")
]


class _Part(BaseModel):
    """Strict: a count is a whole number and a text a text, as in the JSON."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class File(_Part):
    """A file of the run."""

    sha256: str
    size: int

    @property
    def record(self) -> files.FileRecord:
        """The same, to compare with a file on disk."""
        return files.FileRecord(self.sha256, self.size)


class StoredEvidence(File):
    """The evidence store the run was judged from."""

    external: bool
    """Whether it is in another directory, that of the run these reports were made from."""
    accounts: dict[str, str | None]
    """Hash of each account's evidence; None without evidence."""


class Previous(_Part):
    """The earlier run that the run continues."""

    run_id: str
    as_of: Moment
    manifest_sha256: str


class AppliedWaiver(_Part):
    """A waiver and how many results it matched."""

    id: str
    state: str
    fail_matched: int
    all_matched: int
    over_broad: bool
    self_approved: bool = False


class Waivers(_Part):
    """The file the waivers came from, and what they matched."""

    file: str
    sha256: str
    waivers: list[AppliedWaiver]


class Carried(_Part):
    """The workbook whose entries were carried forward."""

    file: str
    sha256: str
    entries: int
    no_longer_listed: int


class Requirement(_Part):
    """A requirement of a framework and the findings that decide it."""

    status: str
    controls: list[str]
    findings: dict[str, int]
    """By status."""
    limits: dict[str, Any] = {}
    """Thresholds of the framework, where they are not the organization's."""
    organization_limits: dict[str, Any] = {}
    """The organization's own thresholds beside them."""


class Framework(_Part):
    """A framework the run was judged by."""

    key: str
    title: str
    version: str
    related: bool
    scope: str = ""
    """How many accounts were judged, where settings left some out."""
    totals: dict[str, int]
    """Requirements by status."""
    requirements: dict[str, Requirement]


class Traffic(_Part):
    """Requests sent to one service while collecting."""

    calls: int
    """Retries included."""
    retries: int
    throttles: int


class Work(_Part):
    """What making the run took."""

    calls: dict[str, Traffic]
    """By service, over all processes that collected to their end."""
    seconds: dict[str, float]
    """By stage: collect, evaluate, write."""
    exit_code: int
    """That of the run when these reports were written."""


class Manifest(_Part):
    """A run's manifest."""

    format: int
    schema_version: int = Field(alias="schema")
    """Of the tables."""
    run_id: str
    organization_id: str
    management_account_id: str
    caller: str
    partition: str
    role_name: str
    endpoint_url: str | None
    simulated: bool = False
    scope: dict[str, Any]
    settings: dict[str, Any]
    external_id_used: bool
    collected_by: str
    """The version of orgscan that collected the evidence."""
    started_at: Moment
    finished_at: Moment | None
    as_of: Moment
    rendered_at: Moment
    enumerated: bool
    """Whether the account list was retrieved in full."""
    accounts: int
    accounts_judged: int | None = None
    """Accounts read in full or in part; None in manifests that do not count them."""
    limits_unread: int = 0
    """Accounts whose thresholds depend on an OU or tag that was not read."""
    coverage: dict[str, int]
    integrity_failures: list[str]
    """Ids of the accounts whose evidence was another account's or cannot be trusted."""
    findings: dict[str, dict[str, int]]
    """By control and status."""
    unknown: dict[str, int] = {}
    """UNKNOWN findings by cause."""
    severities: dict[str, str]
    """By control."""
    thresholds: dict[str, Any]
    frameworks: list[Framework] = []
    waivers: Waivers | None = None
    carried: Carried | None = None
    due_days: dict[str, int] = {}
    """By severity."""
    overdue: dict[str, int] | None = None
    """By severity; None in manifests that do not count them."""
    notes: list[str]
    versions: dict[str, str]
    files: dict[str, File]
    evidence: StoredEvidence
    previous: Previous | None
    work: Work | None = None
    """None in manifests of orgscan 0.1.0."""

    @field_validator("coverage")
    @classmethod
    def _complete(cls, value: dict[str, int]) -> dict[str, int]:
        if missing := [coverage for coverage in Coverage if coverage not in value]:
            raise ValueError(f"does not count {', '.join(missing)}")
        return value

    @classmethod
    def of(cls, content: Mapping[str, Any], path: Path) -> Self:
        """The manifest with this content, which was read from ``path``.

        Raises :class:`orgscan.errors.UsageError` where a newer orgscan wrote it, or it is not the
        manifest of a run.
        """
        refuse_newer(content, path)
        try:
            return cls.model_validate(content)
        except ValidationError:
            raise UsageError(f"{path}: is not the manifest of a run") from None

    def sealed(self) -> bytes:
        """The content of ``manifest.json``."""
        return seal(self.model_dump(mode="json", by_alias=True))

    def count(self, status: Status) -> int:
        """Findings of this status, over all controls."""
        return sum(counts.get(status, 0) for counts in self.findings.values())

    def exit_code(self, fail_on: Severity | None = None) -> ExitCode:
        """The exit code for the run.

        See :meth:`orgscan.runs.run.Run.exit_code`.
        """
        if self.integrity_failures:
            return ExitCode.INTEGRITY
        gaps = any(self.coverage[coverage] for coverage in Coverage if coverage.is_gap)
        if gaps or self.count(Status.UNKNOWN) or not self.enumerated or self.limits_unread:
            return ExitCode.COVERAGE_GAPS
        if fail_on is not None and any(
            counts.get(Status.FAIL) and self.severity(control).rank <= fail_on.rank
            for control, counts in self.findings.items()
        ):
            return ExitCode.FINDINGS
        return ExitCode.OK

    def severity(self, control: str) -> Severity:
        """The severity of a control; the worst for one the manifest does not name."""
        try:
            return Severity(self.severities[control])
        except (KeyError, ValueError):
            return Severity.CRITICAL


def refuse_newer(content: Mapping[str, Any], path: Path) -> None:
    """Raise :class:`orgscan.errors.UsageError` for a manifest this version might misread."""
    version = content.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise UsageError(f"{path}: written by a newer orgscan (format {version}); upgrade orgscan")


def load(run: Path) -> dict[str, Any]:
    """The JSON of a finished run's manifest as it stands, edited or not.

    Raises :class:`orgscan.errors.UsageError` where there is none or it cannot be read.
    """
    return _parsed(run / MANIFEST, _raw(run))


def read(run: Path, *, remedy: str) -> tuple[Manifest, str]:
    """The manifest of a finished run as it was sealed, and the SHA-256 of the file.

    Raises :class:`orgscan.errors.UsageError` where it is missing, edited or a newer orgscan's;
    ``remedy`` says what to do about an edited one.
    """
    path, raw = run / MANIFEST, _raw(run)
    content = _parsed(path, raw)
    _content, fault = unseal(raw)
    if fault:
        raise UsageError(f"{path}: {fault}; {remedy}")
    return Manifest.of(content, path), files.sha256(raw)


def trusted(run: Path) -> Manifest | None:
    """The manifest the run has already; None where it has none, or one that was edited."""
    path = run / MANIFEST
    content, fault = read_sealed(path)
    if content is None or fault:
        return None
    with suppress(UsageError):
        return Manifest.of(content, path)
    return None


def _raw(run: Path) -> bytes:
    path = run / MANIFEST
    try:
        with files.opened(path) as file:
            return file.read()
    except FileNotFoundError:
        raise UsageError(
            f"{run}: holds no finished run (no {MANIFEST}); run `orgscan report` on it"
        ) from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None


def _parsed(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        content = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: is not a manifest")
    return content
