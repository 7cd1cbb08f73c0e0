"""A world is data: everything a simulated AWS organization will ever answer.

Nothing here acts. Times are absolute and timezone-aware; builders such as
:func:`orgscan.simulator.demo.demo` derive them from :attr:`World.now`. A world tells apart what was
true when the stored credential report was generated and what is true now: each user and key
says in which of the two views it appears.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING

from orgscan.models import AccountState
from orgscan.simulator.draw import letters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orgscan.simulator.faults import Fault

AUDIT_ROLE = "OrgScanAudit"
"""The role every account of a world has unless it says otherwise."""


def real_now() -> datetime:
    """The present, to the second: the finest grain IAM shows."""
    return datetime.now(UTC).replace(microsecond=0)


class View(Enum):
    """Where a user or a key appears."""

    BOTH = "both"
    REPORT_ONLY = "report_only"
    """Deleted after the stored report was generated."""
    LIVE_ONLY = "live_only"
    """Created after it."""


class Mfa(Enum):
    """What guards a principal's sign-in."""

    NONE = "none"
    VIRTUAL = "virtual"
    HARDWARE = "hardware"


class StateFields(StrEnum):
    """Which of Organizations' two fields carry an account's state."""

    STATE = "state"
    STATUS = "status"
    BOTH = "both"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An access key. ``active`` is what is true now."""

    created: datetime
    active: bool = True
    active_in_report: bool | None = None
    """None: the same as now. Otherwise the key was toggled after the report."""
    last_used: datetime | None = None
    region: str = "us-east-1"
    service: str = "s3"
    view: View = View.BOTH
    id: str = ""
    """Empty: derived from the seed, the account, the user and the place."""
    status: str = ""
    """The word ListAccessKeys gives, such as ``Expired``; empty: as ``active`` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Password:
    """A console password."""

    changed: datetime
    last_used: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """An X.509 signing certificate."""

    created: datetime
    active: bool = True


BEDROCK = "bedrock.amazonaws.com"
CLOUDWATCH_LOGS = "logs.amazonaws.com"
CODECOMMIT = "codecommit.amazonaws.com"
KEYSPACES = "cassandra.amazonaws.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCredential:
    """A service-specific credential. The credential report never shows one."""

    service: str
    """The name IAM gives the service, such as :data:`BEDROCK`."""
    created: datetime
    active: bool = True
    status: str = ""
    """The word the list gives, such as ``Expired``; empty: as ``active`` says."""
    expires: datetime | None = None
    """None: it never expires."""
    view: View = View.BOTH
    id: str = ""
    """Empty: ``ACCA`` and characters derived from the seed, the account, the user and the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshKey:
    """An SSH public key. The credential report never shows one."""

    created: datetime
    active: bool = True
    status: str = ""
    """The word the list gives; empty: as ``active`` says."""
    view: View = View.BOTH
    id: str = ""
    """Empty: ``APKA`` and characters derived from the seed, the account, the user and the place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An IAM user.

    A user that was deleted and created again since the stored report is two users of one name:
    the older with :attr:`View.REPORT_ONLY`, the newer with :attr:`View.LIVE_ONLY`. They have
    different ids, as in AWS.
    """

    name: str
    created: datetime
    path: str = "/"
    password: Password | None = None
    mfa: Mfa = Mfa.NONE
    keys: tuple[Key, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    view: View = View.BOTH
    service_credentials: tuple[ServiceCredential, ...] = ()
    ssh_keys: tuple[SshKey, ...] = ()
    name_in_report: str = ""
    """The name before the user was renamed; the stored report shows it. Empty: never renamed."""
    additional: str = ""
    """``additional_credentials_info`` of a report with 23 columns; empty: as the style says."""

    @property
    def first_name(self) -> str:
        """The name the user had when the stored report was generated; its ids derive from it."""
        return self.name_in_report or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """An account's root user; without a password and keys by default, as new accounts are."""

    password: Password | None = None
    mfa: Mfa = Mfa.NONE
    keys: tuple[Key, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    password_word: str = ""
    """``not_supported`` as older reports and GovCloud say instead of true or false."""
    additional: str = ""
    """``additional_credentials_info`` of a report with 23 columns; empty: as the style says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordPolicy:
    """The account's password policy; ``reuse`` None: reuse is not prevented."""

    minimum_length: int = 14
    reuse: int | None = 24
    maximum_age_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportStyle:
    """The variations seen in real credential reports."""

    columns: int = 22
    upper_case: bool = False
    """TRUE and FALSE, as the guide writes them, instead of true and false."""
    offset: bool = False
    """Times end in ``+00:00`` instead of ``Z``."""
    additional: str = "N/A"
    """The 23rd column, ``additional_credentials_info``, of whoever says nothing else."""
    root_row: bool = True
    """False: the report has no ``<root_account>`` row, as reported of China (aws-cn)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role that the callers of the world may assume."""

    name: str = AUDIT_ROLE
    path: str = "/"
    external_id: str | None = None
    maximum_session: int = 3600
    denied_actions: frozenset[str] = frozenset()
    """Actions (``iam:ListAccessKeys``) its policy does not allow."""
    blocked_actions: frozenset[str] = frozenset()
    """Actions a service control policy denies explicitly; only the message differs."""


AUDIT_ROLES = (Role(),)
CENTRAL_ROOT = Root()
STRONG_POLICY = PasswordPolicy()
PLAIN_STYLE = ReportStyle()


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account with everything in it."""

    id: str
    name: str
    joined: datetime
    email: str = ""
    ou: str = "Root"
    """Path of names from the root, ``Root/Workloads/Prod``."""
    state: str = AccountState.ACTIVE
    state_fields: StateFields | None = None
    """None: as the world says."""
    tags: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[Role, ...] = AUDIT_ROLES
    root: Root = CENTRAL_ROOT
    users: tuple[User, ...] = ()
    generate: Callable[[], tuple[User, ...]] | None = None
    """Makes further users when first asked, so that a large world is not held in memory."""
    password_policy: PasswordPolicy | None = STRONG_POLICY
    style: ReportStyle = PLAIN_STYLE
    report_age: timedelta | None = None
    """Age of the report AWS has stored at ``now``; None: none is stored."""
    report_rounds: int = 1
    """INPROGRESS answers before a report is complete."""
    summary: Mapping[str, int | None] = field(default_factory=dict)
    """Entries of the account summary that contradict the account; None: the entry is missing."""
    supports_service_credentials: bool = True
    """False: ListServiceSpecificCredentials answers NotSupportedService."""

    def all_users(self) -> tuple[User, ...]:
        """The declared and the generated users, sorted without regard to case, as IAM does."""
        users = self.users + (self.generate() if self.generate else ())
        return tuple(sorted(users, key=lambda user: (user.name.lower(), user.name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerKey:
    """Whose credentials the auditor holds."""

    account_id: str
    user: str = "auditor"
    session: bool = False
    """Temporary credentials of a role (``ASIA``, with a session token), not a user's key."""
    denied_actions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A simulated organization. The first account is the management account."""

    name: str
    accounts: tuple[Account, ...]
    seed: int = 0
    now: datetime = field(default_factory=real_now)
    """All ages derive from it; generated reports bear it as GeneratedTime."""
    partition: str = "aws"
    callers: tuple[CallerKey, ...] = ()
    """Empty: one key of the management account."""
    delegated_administrators: frozenset[str] = frozenset()
    state_fields: StateFields = StateFields.STATE
    empty_ous: tuple[str, ...] = ()
    """Organizational units without accounts."""
    page_size: int = 20
    """At most so many accounts a page, whatever is asked; AWS's limit is 20."""
    empty_page_every: int = 0
    """Organizations answers every nth page empty, with a NextToken; 0: never."""
    iam_page_size: int = 1000
    """IAM's pages are at most so long, whatever is asked."""
    faults: tuple[Fault, ...] = ()
    """What always goes wrong in this world."""

    @property
    def management_account_id(self) -> str:
        """The account the organization belongs to."""
        return self.accounts[0].id

    @property
    def organization_id(self) -> str:
        """``o-`` and ten characters, from the seed."""
        return "o-" + letters(10, self.seed, self.name, "organization").lower()

    @property
    def caller_keys(self) -> tuple[CallerKey, ...]:
        """Who may call, the default filled in."""
        return self.callers or (CallerKey(account_id=self.management_account_id),)
