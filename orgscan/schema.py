"""The one source of the tables: columns, types, grain, key, meaning and unit.

Parquet schemas, the workbook's data dictionary and the frames' dtypes all follow from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from orgscan.models import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_VERSION = 1
"""Raised when a column is removed, renamed or changes its meaning; adding one does not raise it."""


class Type(StrEnum):
    """Logical column types. Everything may be null unless ``Column.required``."""

    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    TIMESTAMP = "timestamp"
    """Timezone-aware UTC with microseconds."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type and what it says to a reader who never saw AWS's documents."""

    name: str
    type: Type
    description: str
    unit: str = ""
    required: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """One table: what a row is and which columns tell rows apart."""

    name: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    def __iter__(self) -> Iterator[Column]:
        """The columns in order."""
        return iter(self.columns)

    @property
    def column_names(self) -> list[str]:
        """The names in order."""
        return [column.name for column in self.columns]


_S, _B, _I, _N, _T = Type.STRING, Type.BOOLEAN, Type.INTEGER, Type.NUMBER, Type.TIMESTAMP

_ACCOUNT_ID = Column(
    "account_id", _S, "AWS account number, 12 digits, leading zeros kept.", required=True
)
_ACCOUNT_NAME = Column("account_name", _S, "Name of the account in AWS Organizations.")
_OU_PATH = Column(
    "ou_path",
    _S,
    "Organizational units from the root to the account, joined by '/'. "
    "Empty where the tree could not be read.",
)
_REPORT_GENERATED_AT = Column(
    "report_generated_at",
    _T,
    "When AWS generated the credential report this row was read from; "
    "empty where no usable report row exists.",
)


def _slot_columns(slot: int) -> tuple[Column, ...]:
    return (
        Column(
            f"access_key_{slot}_active",
            _B,
            f"Whether the report shows access key slot {slot} as active.",
        ),
        Column(
            f"access_key_{slot}_last_rotated_at",
            _T,
            f"When the key in slot {slot} was created. Stays when the key is deactivated; "
            "empty where the slot holds no key.",
        ),
        Column(
            f"access_key_{slot}_last_used_at",
            _T,
            f"Last use of the key in slot {slot}, to 15 minutes; empty if never used.",
        ),
        Column(
            f"access_key_{slot}_last_used_region",
            _S,
            f"Region of the last use of the key in slot {slot}; empty for services without one.",
        ),
        Column(
            f"access_key_{slot}_last_used_service",
            _S,
            f"AWS service last called with the key in slot {slot}.",
        ),
    )


def _certificate_columns(number: int) -> tuple[Column, ...]:
    return (
        Column(
            f"cert_{number}_active", _B, f"Whether X.509 signing certificate {number} is active."
        ),
        Column(
            f"cert_{number}_last_rotated_at",
            _T,
            f"When signing certificate {number} was created or replaced.",
        ),
    )


ACCOUNTS = Table(
    "accounts",
    "One row per account of the organization, whatever became of reading it.",
    ("account_id",),
    (
        _ACCOUNT_ID,
        _ACCOUNT_NAME,
        Column("account_email", _S, "E-mail address of the account's root user."),
        Column(
            "state",
            _S,
            "State in AWS Organizations: PENDING_ACTIVATION, ACTIVE, SUSPENDED, PENDING_CLOSURE, "
            "CLOSED, or UNKNOWN where AWS gave none that is known.",
            required=True,
        ),
        Column(
            "is_management",
            _B,
            "Whether this is the organization's management account.",
            required=True,
        ),
        Column("ou_id", _S, "Id of the organizational unit (or root) that holds the account."),
        _OU_PATH,
        Column("joined_at", _T, "When the account joined the organization."),
        Column("tags", _S, "Account tags as a JSON object; empty where tags were not asked for."),
        Column(
            "coverage",
            _S,
            "How the reading ended: COMPLETE, PARTIAL, DENIED, FAILED, NOT_ATTEMPTED, NOT_ACTIVE "
            "or EXCLUDED. PARTIAL, DENIED, FAILED and NOT_ATTEMPTED are gaps.",
            required=True,
        ),
        Column("reason", _S, "Why the coverage is not COMPLETE, in one sentence."),
        Column("error_code", _S, "Error code of the first failure, as AWS names it."),
        Column("missing", _S, "Kinds of evidence with a gap, separated by commas."),
        Column(
            "attempts",
            _I,
            "How often reading the account was begun; more than once only after a resume.",
        ),
        Column("report_generated_at", _T, "When AWS generated the account's credential report."),
        Column("users", _I, "IAM users that exist, root not counted.", "users"),
        Column("access_keys", _I, "IAM users' access keys that exist, active or not.", "keys"),
        Column(
            "service_credentials",
            _I,
            "Service-specific credentials of IAM users, active or not; empty where they were not "
            "listed.",
            "credentials",
        ),
        Column("started_at", _T, "When reading the account began."),
        Column("duration_seconds", _N, "How long reading the account took.", "seconds"),
        Column(
            "evidence_sha256",
            _S,
            "SHA-256 over the hashes of all evidence collected from the account.",
        ),
    ),
)

CREDENTIALS = Table(
    "credentials",
    "One row per principal: the root user and each IAM user, deleted ones included.",
    ("account_id", "user", "user_id"),
    (
        _ACCOUNT_ID,
        _ACCOUNT_NAME,
        _OU_PATH,
        Column("user", _S, "IAM user name, or <root_account> for the root user.", required=True),
        Column("arn", _S, "ARN of the user."),
        Column("user_id", _S, "Unique id of the IAM user; empty for root and deleted users."),
        Column("is_root", _B, "Whether this is the account's root user.", required=True),
        Column(
            "exists",
            _B,
            "Whether the principal exists; false for users deleted since the credential report, "
            "which are not evaluated.",
        ),
        Column(
            "source",
            _S,
            "Where the principal was seen: both (credential report and live listing), "
            "report_only (deleted since the report, or the listing could not be read; always so "
            "for root) or live_only (created since the report, or no report). A user that was "
            "deleted and created again under the same name is two rows.",
            required=True,
        ),
        Column(
            "details_source",
            _S,
            "Where password, MFA and certificates were read: report, or live for users newer than "
            "their credential report, about which AWS was asked directly; empty where neither "
            "could be read.",
        ),
        Column("user_created_at", _T, "When the user was created; for root, the account."),
        Column("password_enabled", _B, "Whether a console password exists."),
        Column(
            "password_enabled_note",
            _S,
            "The report's word where it gave no truth value for password_enabled.",
        ),
        Column("password_last_used_at", _T, "Last console sign-in, to 5 minutes."),
        Column(
            "password_last_used_note",
            _S,
            "The report's word in place of a time: no_information (never used since 2014-10-20) "
            "or N/A (no password).",
        ),
        Column("password_last_changed_at", _T, "When the console password was last set."),
        Column("password_last_changed_note", _S, "The report's word in place of a time."),
        Column("password_next_rotation_at", _T, "When the password policy demands a new one."),
        Column("password_next_rotation_note", _S, "The report's word in place of a time."),
        Column("mfa_active", _B, "Whether an MFA device is assigned."),
        *_slot_columns(1),
        *_slot_columns(2),
        *_certificate_columns(1),
        *_certificate_columns(2),
        Column(
            "access_keys_listed",
            _I,
            "Access keys the live listing shows; empty where they were not listed.",
            "keys",
        ),
        Column(
            "active_access_keys",
            _I,
            "Active access keys: from the live listing, else from the report; empty where the "
            "status of a key is unknown.",
            "keys",
        ),
        Column(
            "active_service_credentials",
            _I,
            "Active service-specific credentials; empty where they were not listed.",
            "credentials",
        ),
        Column(
            "active_ssh_public_keys",
            _I,
            "Active SSH public keys; listed only for users without other credentials.",
            "keys",
        ),
        Column(
            "additional_credentials_info",
            _S,
            "The report's text on credentials that no other column describes; usually empty.",
        ),
        _REPORT_GENERATED_AT,
    ),
)

ACCESS_KEYS = Table(
    "access_keys",
    "One row per access key: each listed key, and each report slot that no listed key explains.",
    ("account_id", "user", "access_key_id", "slot"),
    (
        _ACCOUNT_ID,
        _ACCOUNT_NAME,
        _OU_PATH,
        Column("user", _S, "IAM user name, or <root_account>.", required=True),
        Column("user_id", _S, "Unique id of the IAM user; empty for root and deleted users."),
        Column("is_root", _B, "Whether the key belongs to the root user.", required=True),
        Column(
            "exists",
            _B,
            "Whether the key exists; false for keys deleted since the credential report, which "
            "are not evaluated.",
        ),
        Column(
            "access_key_id",
            _S,
            "Id of the key; empty for root keys and for report slots without a listed key.",
        ),
        Column(
            "slot",
            _I,
            "The report's slot, 1 or 2; empty for keys the report does not know. For an "
            "ambiguous key it is a candidate, not a proof.",
        ),
        Column(
            "match",
            _S,
            "How the listed key and the report slot were joined: matched, ambiguous (two keys "
            "fit equally), live_only (key not in the report) or report_only (slot without a "
            "listed key: deleted since, root's, or keys could not be listed).",
            required=True,
        ),
        Column(
            "status",
            _S,
            "Active, Inactive or Expired, as AWS gave it; the live listing decides.",
            required=True,
        ),
        Column("created_at", _T, "When the key was created."),
        Column("last_used_at", _T, "Last use, to 15 minutes; empty if never used or not known."),
        Column(
            "last_use_known",
            _B,
            "Whether the last use, or that there was none, is known: from the report's slot or, "
            "for keys newer than the report, from AWS directly.",
        ),
        Column("last_used_region", _S, "Region of the last use."),
        Column("last_used_service", _S, "AWS service of the last use."),
        Column("age_days", _N, "Time from creation to the as-of time; 0 if later.", "days"),
        Column(
            "idle_days",
            _N,
            "Time from last use (never used: from creation) to the as-of time; empty where last "
            "use is not known.",
            "days",
        ),
        _REPORT_GENERATED_AT,
    ),
)

SERVICE_CREDENTIALS = Table(
    "service_credentials",
    "One row per service-specific credential of an IAM user (API keys for Bedrock and CloudWatch, "
    "passwords for CodeCommit and Keyspaces).",
    ("account_id", "credential_id"),
    (
        _ACCOUNT_ID,
        _ACCOUNT_NAME,
        _OU_PATH,
        Column("user", _S, "IAM user name.", required=True),
        Column("arn", _S, "ARN of the user."),
        Column("credential_id", _S, "Id of the credential.", required=True),
        Column("service", _S, "The one service it is for, as in bedrock.amazonaws.com."),
        Column("status", _S, "Active, Inactive or Expired, as AWS gave it.", required=True),
        Column("created_at", _T, "When the credential was created.", required=True),
        Column("expires_at", _T, "When it expires; empty where it never does."),
        Column("age_days", _N, "Time from creation to the as-of time; 0 if later.", "days"),
    ),
)

FINDINGS = Table(
    "findings",
    "One row per control and resource, whatever the verdict.",
    ("finding_id",),
    (
        Column(
            "finding_id",
            _S,
            "Stable across runs: a hash of organization, control, account, user and access key "
            "id (or slot).",
            required=True,
        ),
        Column("control_id", _S, "The control that was judged.", required=True),
        Column("severity", _S, "critical, high, medium, low or informational.", required=True),
        Column("status", _S, "PASS, FAIL, NOT_APPLICABLE, UNKNOWN or WAIVED.", required=True),
        _ACCOUNT_ID,
        _ACCOUNT_NAME,
        _OU_PATH,
        Column("user", _S, "The user judged; empty for controls on the account."),
        Column("arn", _S, "ARN of the user or root user."),
        Column(
            "access_key_id",
            _S,
            "The access key or service-specific credential judged, where the control is about one.",
        ),
        Column("slot", _I, "The report's slot of that key."),
        Column("reason", _S, "The verdict in one sentence, with its figures.", required=True),
        Column(
            "threshold",
            _S,
            "The limit the verdict was judged by, and what set it: default, a framework, settings "
            "(the organization's), OU, tag or account; empty for controls without.",
        ),
        Column("evidence_sha256", _S, "Hash of the evidence of the account that was judged."),
        _REPORT_GENERATED_AT,
        Column("as_of", _T, "The moment for which ages were computed.", required=True),
        Column("waiver_id", _S, "The waiver that covers a WAIVED finding."),
        Column("first_seen_at", _T, "When an earlier run first saw this finding, else this run."),
    ),
)

TABLES: tuple[Table, ...] = (ACCOUNTS, CREDENTIALS, ACCESS_KEYS, SERVICE_CREDENTIALS, FINDINGS)

LATER_TABLES = frozenset({SERVICE_CREDENTIALS.name})
"""Tables that finished runs of older versions of orgscan do not have."""

CHANGES = Table(
    "changes",
    "One row per finding that is open (FAIL or WAIVED), or was in an earlier run of the chain. "
    "Written only where an earlier run is given.",
    ("finding_id",),
    (
        Column("finding_id", _S, "As in findings.", required=True),
        Column("control_id", _S, "The control that was judged.", required=True),
        Column("severity", _S, "critical, high, medium, low or informational.", required=True),
        _ACCOUNT_ID,
        _ACCOUNT_NAME,
        _OU_PATH,
        Column("user", _S, "The user judged; empty for controls on the account."),
        Column("access_key_id", _S, "The key judged, where the control is about a key."),
        Column("slot", _I, "The report's slot of that key."),
        Column("key_created_at", _T, "When that key was created."),
        Column(
            "change",
            _S,
            f"How the finding changed: {', '.join(Change)}.",
            required=True,
        ),
        Column("detail", _S, "The change in one sentence.", required=True),
        Column(
            "previous_status", _S, "Its status when it was last judged; empty where it never was."
        ),
        Column("status", _S, "Its status in this run; empty where the run has no such finding."),
        Column(
            "first_seen_at",
            _T,
            "As-of time of the first run that saw it open without it being resolved since.",
            required=True,
        ),
        Column("last_seen_at", _T, "As-of time of the last run that saw it open.", required=True),
        Column(
            "age_quarters",
            _I,
            "Full quarters of 91 days from first_seen_at to this run's as-of time, where it is "
            "open or could not be compared; else to last_seen_at.",
            "quarters",
            required=True,
        ),
    ),
)
"""Beside the four tables: only a run that was compared has it."""
