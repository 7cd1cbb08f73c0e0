"""The nouns every room shares. No I/O, no third-party imports."""

from __future__ import annotations

import hashlib
import random
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

INTEGRITY_FAILURE = "IntegrityFailure"
"""The error code of an account whose answers belong to another account."""

DEPARTED = "no longer in the organization when the run was resumed"
"""The reason of an account that left before it was read."""

ROOT_USER = "<root_account>"
"""The name the credential report gives the root user; orgscan uses it wherever root is meant."""


is_word = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", re.ASCII).fullmatch
"""Whether a text is safe as a part of a path and on a terminal, as the ids of AWS are."""


def is_in_range(moment: datetime) -> bool:
    """Whether a timezone-aware moment can be judged for: from 1970 to 2199, UTC."""
    return _EARLIEST <= moment < _LATEST


_EARLIEST, _LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class Clock:
    """Time as the program meets it, in one object so that tests can hand in another.

    Nothing in orgscan reads a clock, sleeps or rolls dice except through this.
    """

    def now(self) -> datetime:
        """The current time, timezone-aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go backwards."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Give way to other tasks for at least ``seconds``."""
        import asyncio  # noqa: PLC0415 - half of what `--help` would wait for

        await asyncio.sleep(seconds)

    def jitter(self) -> float:
        """A random number from 0 up to 1, for spreading retries."""
        return random.random()  # noqa: S311 - spreads load, guards nothing


class AccountState(StrEnum):
    """AWS Organizations' lifecycle states, plus one for what a newer AWS may add."""

    PENDING_ACTIVATION = "PENDING_ACTIVATION"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    PENDING_CLOSURE = "PENDING_CLOSURE"
    CLOSED = "CLOSED"
    UNKNOWN = "UNKNOWN"
    """Missing or not known to this version: read like an active account and flagged."""


def is_read(state: str) -> bool:
    """Whether an account in this state is read: it is active, or its state is not known."""
    return state in {AccountState.ACTIVE, AccountState.UNKNOWN}


def is_in_unit(ou_path: str, unit: str) -> bool:
    """Whether ``ou_path`` is the path ``unit`` or below it; a common beginning is not enough."""
    return ou_path == unit or ou_path.startswith(f"{unit}/")


class ReportWord(StrEnum):
    """What the credential report says in place of a value; three words, three meanings."""

    NOT_APPLICABLE = "N/A"
    """There is none: no password, no key in the slot, a service without Regions."""
    NO_INFORMATION = "no_information"
    """A password exists and was not used since AWS began to count on 2014-10-20."""
    NOT_SUPPORTED = "not_supported"
    """The report does not tell; given for root only."""


class Coverage(StrEnum):
    """How an account's reading ended; every account of the organization has exactly one."""

    COMPLETE = "COMPLETE"
    PARTIAL = "PARTIAL"
    DENIED = "DENIED"
    FAILED = "FAILED"
    NOT_ATTEMPTED = "NOT_ATTEMPTED"
    NOT_ACTIVE = "NOT_ACTIVE"
    EXCLUDED = "EXCLUDED"

    @property
    def is_gap(self) -> bool:
        """Whether evidence that should be there is not."""
        return self in {
            Coverage.PARTIAL,
            Coverage.DENIED,
            Coverage.FAILED,
            Coverage.NOT_ATTEMPTED,
        }

    @property
    def is_judged(self) -> bool:
        """Whether the account was read, in full or in part, so that there was evidence to judge."""
        return self in {Coverage.COMPLETE, Coverage.PARTIAL}

    @property
    def in_scope(self) -> bool:
        """Whether the account has results: UNKNOWN where it could not be read, never skipped."""
        return self not in {Coverage.NOT_ACTIVE, Coverage.EXCLUDED}


class Status(StrEnum):
    """The verdict of one control on one resource."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    NOT_APPLICABLE = "NOT_APPLICABLE"
    UNKNOWN = "UNKNOWN"
    WAIVED = "WAIVED"


class RequirementStatus(StrEnum):
    """Where a framework's requirement stands, over all controls that answer it."""

    NOT_MET = "NOT MET"
    """At least one FAIL."""
    FAILURE_FOUND = "FAILURE FOUND"
    """At least one FAIL of a control that contributes to the requirement."""
    NOT_KNOWN = "NOT KNOWN"
    """No FAIL, but something was not read or could not be judged."""
    MET_BUT_WAIVED = "MET BUT WAIVED"
    """No FAIL but those a waiver accepts."""
    NO_FAILURE = "NO FAILURE"
    """No FAIL, and the requirement asks for more than the controls judge."""
    MET = "MET"
    NOTHING_TO_JUDGE = "NOTHING TO JUDGE"
    """Everything was read, and nothing it asks about exists."""
    NOT_JUDGED = "NOT JUDGED"
    """No control answers it."""


class Severity(StrEnum):
    """How bad a FAIL is, worst first."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFORMATIONAL = "informational"

    @property
    def rank(self) -> int:
        """0 for the worst, rising."""
        return list(Severity).index(self)


class Word(StrEnum):
    """A code that tables hold, with what people read in its place.

    The member's value is the code, ``label`` what stands in a cell or a sentence, ``meaning`` one
    sentence that explains it. Pages, sheets and the schema are made from these.
    """

    label: str
    meaning: str

    def __new__(cls, code: str, label: str, meaning: str) -> Self:
        """A member from its row of the table."""
        word = str.__new__(cls, code)
        word._value_ = code
        word.label, word.meaning = label, meaning
        return word


class Change(Word):
    """How a finding changed between two runs. Open means FAIL or WAIVED."""

    NEW = (
        "new",
        "New",
        "Open now; in the earlier run it was not open, or its resource did not exist.",
    )
    FIRST_COMPARED = (
        "first_compared",
        "Assessed for the first time",
        "Open now; the earlier run could not evaluate it, so it may be older.",
    )
    REOPENED = (
        "reopened",
        "Reopened",
        "Open again; an earlier run in the chain found it resolved or its key inactive.",
    )
    WAIVER_ENDED = (
        "waiver_ended",
        "Waiver ended",
        "FAIL now, WAIVED before: no valid waiver covers it any more.",
    )
    WAIVED = (
        "waived",
        "Waived",
        "WAIVED now, FAIL before: a waiver accepts the risk. Still open, not resolved.",
    )
    STILL_OPEN = ("still_open", "Still open", "Open in both runs.")
    NOT_COMPARED = (
        "not_compared",
        "Not compared",
        "Open when last evaluated; this run could not evaluate it. Never counted as resolved.",
    )
    KEY_REACTIVATED = (
        "key_reactivated",
        "Key reactivated",
        "Was open because the key was inactive. Controls on active keys report it as reopened.",
    )
    ROTATED = (
        "rotated",
        "Key rotated",
        "Resolved: the key is deleted or inactive, and the user has a newer active key.",
    )
    KEY_DELETED = ("key_deleted", "Key deleted", "Resolved: the key is deleted.")
    KEY_DEACTIVATED = (
        "key_deactivated",
        "Key deactivated",
        "Resolved: the key is inactive. It can be activated again.",
    )
    USER_DELETED = ("user_deleted", "User deleted", "Resolved: the user is deleted.")
    ACCOUNT_LEFT = (
        "account_left",
        "Account left",
        "Resolved: the account left the organization, perhaps with its keys.",
    )
    ACCOUNT_NOT_ACTIVE = (
        "account_not_active",
        "Account not active",
        "Resolved: the account is suspended or closed.",
    )
    OUT_OF_SCOPE = (
        "out_of_scope",
        "Out of scope",
        "No longer evaluated: the settings exclude the account. The finding may still exist.",
    )
    FIXED = ("fixed", "Fixed", "Resolved: the control passes or no longer applies.")
    RESOLVED_EARLIER = (
        "resolved_earlier",
        "Resolved earlier",
        "Resolved in an earlier run; kept so that orgscan recognizes it if it reopens.",
    )

    @property
    def is_open(self) -> bool:
        """Whether this run found it open."""
        return list(Change).index(self) <= list(Change).index(Change.STILL_OPEN)

    @property
    def is_resolved(self) -> bool:
        """Whether this run found it resolved, for whatever reason."""
        order = list(Change)
        return order.index(Change.ROTATED) <= order.index(self) <= order.index(Change.FIXED)


class CoverageChange(Word):
    """How the coverage of an account changed between two runs."""

    BETTER = ("better", "Better", "More evidence than in the earlier run.")
    WORSE = ("worse", "Worse", "Less evidence than in the earlier run.")
    JOINED = ("joined", "Joined", "New in the organization.")
    LEFT = ("left", "Left", "No longer in the organization.")
    SCOPE = ("scope", "Scope changed", "Evaluated in only one of the two runs.")
    SAME = ("same", "Unchanged", "The same coverage in both runs.")


class Kind(StrEnum):
    """The kinds of evidence collected from an account, in the order they are reported.

    The content of each, as stored (JSON is canonical: sorted keys, ASCII, times in ISO 8601):

    * ``credential_report``: the CSV bytes exactly as AWS gave them.
    * ``users``: JSON array of ListUsers' User objects, in AWS's order.
    * ``access_keys``: JSON object ``{"keys": [AccessKeyMetadata, ...], "deleted_users": [name],
      "unlisted_users": [name]}``; ``deleted_users`` were deleted between ListUsers and
      ListAccessKeys, the keys of ``unlisted_users`` could not be listed.
    * ``account_summary``: JSON object, GetAccountSummary's SummaryMap.
    * ``password_policy``: JSON object, or ``null`` where the account has no policy.
    * ``virtual_mfa_devices``: JSON array of assigned VirtualMFADevice objects.
    * ``user_details``: JSON object ``{"users": {name: {"login_profile": {...} | null,
      "mfa_devices": [...], "signing_certificates": [...]}}, "keys": {id: AccessKeyLastUsed}}`` for
      the users and keys that the report does not describe.
    * ``service_specific_credentials``: JSON array of ServiceSpecificCredentialMetadata objects.
    * ``ssh_public_keys``: JSON object ``{name: [SSHPublicKeyMetadata, ...]}`` of the users that
      have no other credential.
    """

    CREDENTIAL_REPORT = "credential_report"
    USERS = "users"
    ACCESS_KEYS = "access_keys"
    ACCOUNT_SUMMARY = "account_summary"
    PASSWORD_POLICY = "password_policy"  # noqa: S105 - a kind of evidence
    VIRTUAL_MFA_DEVICES = "virtual_mfa_devices"
    USER_DETAILS = "user_details"
    SERVICE_SPECIFIC_CREDENTIALS = "service_specific_credentials"
    SSH_PUBLIC_KEYS = "ssh_public_keys"


STATUSES = frozenset({"Active", "Inactive", "Expired"})
"""The statuses of IAM's model; a credential of any other is not known to be unusable."""

FIRST_KINDS = (
    Kind.CREDENTIAL_REPORT,
    Kind.USERS,
    Kind.ACCESS_KEYS,
    Kind.ACCOUNT_SUMMARY,
    Kind.PASSWORD_POLICY,
    Kind.VIRTUAL_MFA_DEVICES,
)
"""The kinds of a run that recorded none: orgscan 0.1.0 collected these."""

_match_iam_arn = re.compile(
    r"arn:[a-z-]+:iam::\d+:(?P<resource>root|user/.+)", re.ASCII | re.DOTALL
).fullmatch


def mfa_owner(device: Mapping[str, Any]) -> str:
    """Whose a virtual MFA device is: :data:`ROOT_USER`, ``user``, or empty where not stated.

    By the owner's ARN, or by the serial number AWS gives root's own device.
    """
    if str(device.get("SerialNumber", "")).endswith(":mfa/root-account-mfa-device"):
        return ROOT_USER
    owner = device.get("User")
    found = _match_iam_arn(str(owner.get("Arn", "")) if isinstance(owner, dict) else "")
    if found is None:
        return ""
    return ROOT_USER if found["resource"] == "root" else "user"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs the audit, from GetCallerIdentity."""

    account_id: str
    arn: str
    partition: str


@dataclass(frozen=True, slots=True)
class Organization:
    """The organization under audit, from DescribeOrganization."""

    id: str
    management_account_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account of the organization as enumerated. ``ou_path`` is empty where unreadable."""

    account_id: str
    name: str = ""
    email: str = ""
    arn: str = ""
    state: str = AccountState.ACTIVE
    is_management: bool = False
    ou_id: str = ""
    ou_path: str = ""
    joined_at: datetime | None = None
    tags: Mapping[str, str] | None = None
    """None where tags were not asked for."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One kind of evidence of one account, byte for byte as it is stored and hashed."""

    kind: Kind
    content: bytes
    collected_at: datetime
    generated_at: datetime | None = None
    """AWS's GeneratedTime; only the credential report has one."""
    repeated: int = 0
    """Entries AWS listed more than once, of which one is kept; told in the account's reason."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of ``content``, lower-case hex."""
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Why a kind of evidence is missing or incomplete.

    ``usable`` says that what was collected may still be judged where it speaks: a report
    without the root row still tells about users.
    """

    kind: Kind
    code: str
    reason: str
    usable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the reading of one account ended, with all that was collected."""

    account_id: str
    coverage: Coverage
    reason: str = ""
    error_code: str = ""
    attempts: int = 0
    """How often reading the account was begun; more than once only after a resume."""
    started_at: datetime | None = None
    duration_seconds: float | None = None
    evidence: tuple[Evidence, ...] = ()
    gaps: tuple[Gap, ...] = ()
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict, compare=False, repr=False)
    """What a worker process sent since its last account, by service; not stored."""

    @property
    def usable_kinds(self) -> int:
        """How many kinds of evidence may be judged: what a second attempt is measured by."""
        refused = {gap.kind for gap in self.gaps if not gap.usable}
        return sum(item.kind not in refused for item in self.evidence)

    @property
    def missing(self) -> str:
        """Comma-separated kinds with a gap, in the order of :class:`Kind`."""
        kinds = {gap.kind for gap in self.gaps}
        return ",".join(kind for kind in Kind if kind in kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One account as the evidence store holds it: what the tables are built from."""

    account: Account
    outcome: Outcome
    evidence_sha256: str | None = None
    """Hash over the hashes of all the account's evidence; None where there is none."""

    def usable(self, kind: Kind) -> Evidence | None:
        """The evidence of a kind, unless it is missing or a gap says it cannot be trusted."""
        if any(gap.kind == kind and not gap.usable for gap in self.outcome.gaps):
            return None
        return next((item for item in self.outcome.evidence if item.kind == kind), None)


class Readings(Protocol):
    """Where the tables get their accounts from: the evidence store, or a list in a test."""

    def __iter__(self) -> Iterator[Reading]:
        """Every account of the organization once, in the order of account_id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanEntry:
    """What an officer typed beside one finding, carried from workbook to workbook.

    ``control_id``, ``account_id``, ``user`` and ``access_key_id`` say what the finding was about,
    for the time when it is no longer listed.
    """

    finding_id: str
    owner: str = ""
    due: date | None = None
    comment: str = ""
    control_id: str = ""
    account_id: str = ""
    user: str = ""
    access_key_id: str = ""
    place: str = field(default="", compare=False)
    """Where it was read, for messages."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials of one account. Never printed: the secret parts have no repr."""

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement of a framework, and what its controls found."""

    id: str
    status: RequirementStatus
    counts: Mapping[str, Mapping[Status, int]] = field(default_factory=dict)
    """Findings by control and status, every status present; empty where nothing judges it."""
    limits: Mapping[str, str] = field(default_factory=dict)
    """By control, the limits the requirement was judged by: ``45 days (cis-7.0)``."""
    organization_limits: Mapping[str, str] = field(default_factory=dict)
    """By control, the organization's limits where they are others: the findings are judged by
    these, the requirement is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """A run held against one version of a framework."""

    key: str
    title: str
    version: str
    related: bool
    """Whether the requirements ask for more than the controls judge."""
    requirements: tuple[Requirement, ...]
    scope: str = ""
    """``18 of 22 accounts judged`` where the settings left some out; empty where they did not."""

    @property
    def label(self) -> str:
        """Title, version and key, as a reader knows them, and how much of it was looked at."""
        scope = f", {self.scope}" if self.scope else ""
        return f"{self.title} {self.version} ({self.key}){scope}"

    @property
    def totals(self) -> dict[RequirementStatus, int]:
        """How many requirements stand where; only what occurs, worst first."""
        found = [requirement.status for requirement in self.requirements]
        return {status: found.count(status) for status in RequirementStatus if status in found}


class Observer:
    """Who is told how a run goes; this one is not interested.

    The rooms know no logger and no terminal: whoever wants to see, overrides.
    """

    def enumerated(self, accounts: int, *, complete: bool) -> None:
        """So many accounts are known; ``complete`` once the list was read to its end."""

    def settled(self, outcome: Outcome) -> None:
        """An account has its end state."""

    def phase(self, text: str) -> None:
        """A new part of the work begins."""

    def started(self, info: RunInfo) -> None:
        """The run has an id."""

    def called(self, calls: Mapping[str, Mapping[str, int]]) -> None:
        """By service, how many ``calls``, ``retries`` and ``throttles`` there were."""

    def took(self, stage: str, seconds: float) -> None:
        """A stage has ended: ``collect``, ``evaluate``, ``write`` or ``sign``."""


class Calls(Protocol):
    """A door to one AWS service, already signed, paced, retried and bounded.

    Every method raises :class:`orgscan.errors.CallError`; any other error is a bug of ours.
    """

    async def call(self, action: str, result: str, /, **parameters: Any) -> dict[str, Any]:
        """One call, as in ``call("GetAccountSummary", "SummaryMap")``; the parsed answer.

        ``result`` names a member the answer cannot lack; an answer without it is malformed.
        """
        ...

    def pages(self, action: str, result: str, /, **parameters: Any) -> AsyncIterator[list[Any]]:
        """The pages of a list call; ``result`` names the list in the answer."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunInfo:
    """What a run is: the head of its evidence store, and of every file made from it."""

    run_id: str
    organization: Organization
    caller: Caller
    started_at: datetime
    as_of: datetime
    version: str
    role_name: str
    endpoint_url: str | None = None
    scope: Mapping[str, list[str]] = field(default_factory=dict)
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    """The limits set at the scan; ``orgscan report`` judges by them unless told others."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """All settings of the scan but the external id, so that a resumed run goes on as it began."""
    frameworks: Mapping[str, Any] = field(default_factory=dict)
    """The user's own frameworks among those selected, by key: their files may be gone later."""
    external_id_used: bool = False
    notes: tuple[str, ...] = ()
    """Sentences the officer must see: OU paths unreadable, listings that disagreed, ..."""
    evidence_kinds: tuple[Kind, ...] = FIRST_KINDS
    """The kinds of evidence the run requires of every account, recorded when it began."""
    enumerated: bool = False
    """Whether the account list was read to its end and agrees with the OU tree."""
    calls: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By service, requests sent while collecting, and how many were retries or throttled."""
    collect_seconds: float = 0.0
    finished_at: datetime | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for ids that are more than a word, and for times outside an age of AWS.

        Both become parts of paths, and a store may have been altered.
        """
        for name in (self.run_id, self.organization.id):
            if not is_word(name):
                message = f"{name!r:.80} is not the id of a run or an organization"
                raise ValueError(message)
        if not is_in_range(self.as_of):
            message = f"{self.as_of.isoformat()} is no time to judge for"
            raise ValueError(message)
