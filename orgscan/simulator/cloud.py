"""What the simulated AWS remembers while it is served: sessions, reports, account states."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, TypeVar

from orgscan.simulator.call import Credentials, ServiceError, denied
from orgscan.simulator.draw import digest, letters
from orgscan.simulator.report import render
from orgscan.simulator.world import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from orgscan.simulator.world import (
        Account,
        CallerKey,
        Key,
        Role,
        ServiceCredential,
        SshKey,
        User,
        World,
    )

_Credential = TypeVar("_Credential", "Key", "ServiceCredential", "SshKey")

CANARY = "orgscanCanary"
"""Begins every secret the simulator mints, so that a test can look for it in any file."""

REPORT_LIFETIME = timedelta(hours=4)
ESTATES_HELD = 512
_PRESENT = 300.0
"""A world whose ``now`` is no further from the clock, in seconds, is a world of the present."""


@dataclass(slots=True, kw_only=True)
class Session:
    """The credentials of one principal."""

    credentials: Credentials
    account_id: str
    arn: str
    user_id: str
    role: Role | None = None
    """None for the caller."""
    denied_actions: frozenset[str] = frozenset()
    allowed: tuple[str, ...] | None = None
    """The actions the session policies list; None: there are none."""
    expires_at: float | None = None

    def authorize(self, name: str) -> None:
        """Raise what AWS answers where the principal may not perform the action."""
        reason = self._objection(name)
        if reason:
            raise denied(f"User: {self.arn} is not authorized to perform: {name} {reason}")

    def _objection(self, name: str) -> str:
        if self.role and name in self.role.blocked_actions:
            return "with an explicit deny in a service control policy"
        if name in self.denied_actions or (self.role and name in self.role.denied_actions):
            return f"because no identity-based policy allows the {name} action"
        if self.allowed is not None and not any(_matches(name, item) for item in self.allowed):
            return f"because no session policy allows the {name} action"
        return ""


def _matches(name: str, pattern: str) -> bool:
    """Whether a policy's action pattern covers the action; AWS ignores the case."""
    return fnmatchcase(name.lower(), pattern.lower())


@dataclass(slots=True)
class StoredReport:
    """The credential report of one account, or the making of it."""

    generated_at: datetime | None = None
    """None: being made for the first time."""
    stored: bool = False
    """Whether it shows the world as it was at ``now`` less ``report_age``, not as it is."""
    rounds_left: int = 0
    making: bool = False


@dataclass(slots=True, eq=False)
class Estate:
    """The contents of one account, expanded once and dropped when others need the room."""

    account: Account
    users: tuple[User, ...]
    cloud: Cloud
    live: dict[str, User] = field(init=False)
    reports: dict[bool, bytes] = field(default_factory=dict)
    _names: Counter[str] = field(init=False)
    _owners: dict[str, tuple[User, Key]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        """Index what exists now by name."""
        self._names = Counter(user.first_name for user in self.users)
        self.live = {user.name: user for user in self.users if user.view is not View.REPORT_ONLY}

    def user(self, name: str) -> User:
        """The live user of that name; NoSuchEntity otherwise."""
        user = self.live.get(name)
        if user is None:
            raise ServiceError(404, "NoSuchEntity", f"The user with name {name} cannot be found.")
        return user

    def user_id(self, user: User) -> str:
        """``AIDA`` and seventeen characters; renaming does not change it, re-creating does."""
        return "AIDA" + self.letters(17, user)

    def letters(self, count: int, user: User, *parts: object) -> str:
        """Characters of an id that belongs to the user, the same in every run."""
        name = user.first_name
        created = (user.created,) if self._names[name] > 1 else ()
        return letters(count, self.cloud.world.seed, self.account.id, name, *created, *parts)

    def keys(self, user: User) -> list[tuple[str, Key]]:
        """The user's live keys with their ids, ordered by id: slot order is not AWS's promise."""
        return self._live_ids(user, "AKIA", user.keys)

    def service_credentials(self, user: User) -> list[tuple[str, ServiceCredential]]:
        """The user's live service-specific credentials with their ids, ordered by id."""
        return self._live_ids(user, "ACCA", user.service_credentials, "service")

    def ssh_keys(self, user: User) -> list[tuple[str, SshKey]]:
        """The user's live SSH public keys with their ids, ordered by id."""
        return self._live_ids(user, "APKA", user.ssh_keys, "ssh")

    def _live_ids(
        self, user: User, prefix: str, items: Iterable[_Credential], *kind: str
    ) -> list[tuple[str, _Credential]]:
        identified = [
            (item.id or prefix + self.letters(16, user, *kind, number), item)
            for number, item in enumerate(items)
            if item.view is not View.REPORT_ONLY
        ]
        return sorted(identified, key=itemgetter(0))

    def key_owner(self, access_key_id: str) -> tuple[User, Key]:
        """Whose live key it is; NoSuchEntity otherwise."""
        if self._owners is None:
            self._owners = {
                identity: (user, key)
                for user in self.live.values()
                for identity, key in self.keys(user)
            }
        owner = self._owners.get(access_key_id)
        if owner is None:
            raise ServiceError(
                404, "NoSuchEntity", f"The Access Key with id {access_key_id} cannot be found."
            )
        return owner

    def report(self, *, stored: bool) -> bytes:
        """The credential report in base64, ready to be embedded."""
        content = self.reports.get(stored)
        if content is None:
            partition = self.cloud.world.partition
            text = render(self.account, self.users, partition=partition, stored=stored)
            content = self.reports[stored] = b64encode(text)
        return content


class Cloud:
    """The state behind the services. One per simulator."""

    def __init__(self, world: World, *, clock: Callable[[], float], remember: bool = True) -> None:
        """Mint the callers' keys; ``clock`` gives seconds since the epoch."""
        self.world = world
        self.clock = clock
        self.accounts = {account.id: account for account in world.accounts}
        if len(self.accounts) != len(world.accounts):
            raise ValueError(f"world {world.name} has two accounts of the same id")
        self.states: dict[str, str] = {}
        """States that changed while the world was served."""
        self.sessions: dict[str, Session] = {}
        self.secrets: set[str] = set()
        """Every secret access key and session token minted so far."""
        self._remember = remember
        self._started = clock()
        ahead = world.now.timestamp() - self._started
        # A world of the present was made a moment before it is served; its dates are the clock's.
        self._ahead = ahead if abs(ahead) > _PRESENT else 0.0
        self._minted: Counter[str] = Counter()
        self._reports: dict[str, StoredReport] = {}
        self._estates: OrderedDict[str, Estate] = OrderedDict()
        self.callers = tuple(self._caller(caller) for caller in world.caller_keys)

    @property
    def now(self) -> datetime:
        """The world's time: it moves in whole hours, so that a run of minutes is repeatable."""
        hours = (self.clock() - self._started) // 3600
        return self.world.now + timedelta(hours=hours)

    @property
    def date(self) -> float:
        """The world's time to the second, for ``Date``: it starts at ``now`` and never jumps."""
        return self.clock() + self._ahead

    @cached_property
    def issuer(self) -> str:
        """What the ARNs of this world begin with."""
        return f"arn:{self.world.partition}"

    def state(self, account: Account) -> str:
        """The account's state at this moment."""
        return self.states.get(account.id, account.state)

    def estate(self, account_id: str) -> Estate:
        """The contents of an account, expanded on demand; the least used one makes room."""
        estate = self._estates.get(account_id)
        if estate is not None:
            self._estates.move_to_end(account_id)
            return estate
        account = self.accounts[account_id]
        estate = self._estates[account_id] = Estate(account, account.all_users(), self)
        if len(self._estates) > ESTATES_HELD:
            self._estates.popitem(last=False)
        return estate

    def report(self, account_id: str) -> StoredReport | None:
        """The account's report, if one is stored or being made."""
        report = self._reports.get(account_id)
        age = self.accounts[account_id].report_age
        if report is None and age is not None:
            report = StoredReport(generated_at=self.world.now - age, stored=True)
            self._reports[account_id] = report
        return report

    def start_report(self, account_id: str) -> None:
        """Begin to make a report that shows the account as it is now."""
        rounds = self.accounts[account_id].report_rounds
        self._reports[account_id] = StoredReport(rounds_left=rounds, making=True)

    def delete_user(self, account_id: str, name: str) -> None:
        """Delete a user; the stored report still shows it."""
        self.estate(account_id).live.pop(name, None)

    def forget_report(self, account_id: str) -> None:
        """Drop whatever report is stored, as AWS may at any time."""
        self._reports[account_id] = StoredReport()

    def expire_sessions(self, account_id: str | None = None) -> None:
        """End the sessions of one account, or of every account but the callers' own keys."""
        for session in self.sessions.values():
            chosen = account_id is None or session.account_id == account_id
            if chosen and session.role is not None:
                session.expires_at = 0.0

    def expire_callers(self) -> None:
        """End the callers' own credentials, as when a single sign-on session runs out."""
        for session in self.sessions.values():
            if session.role is None:
                session.expires_at = 0.0

    def open_session(
        self,
        account_id: str,
        role: Role,
        name: str,
        *,
        allowed: tuple[str, ...] | None,
        expires_at: float,
    ) -> Session:
        """Fresh credentials of a role; the nth of an account are the same in every run."""
        origin = f"{account_id}/{role.name}/{self._minted[account_id]}"
        self._minted[account_id] += 1
        identity = "AROA" + letters(17, self.world.seed, account_id, role.name)
        return self._admit(
            Session(
                credentials=self._mint(origin, temporary=True),
                account_id=account_id,
                arn=f"{self.issuer}:sts::{account_id}:assumed-role/{role.name}/{name}",
                user_id=f"{identity}:{name}",
                role=role,
                allowed=allowed,
                expires_at=expires_at,
            )
        )

    def _caller(self, caller: CallerKey) -> Session:
        account, user = caller.account_id, caller.user
        if caller.session:
            arn = f"{self.issuer}:sts::{account}:assumed-role/{user}/{user}"
        else:
            arn = f"{self.issuer}:iam::{account}:user/{user}"
        return self._admit(
            Session(
                credentials=self._mint(f"caller/{account}/{user}", temporary=caller.session),
                account_id=account,
                arn=arn,
                user_id="AIDA" + letters(17, self.world.seed, account, user),
                denied_actions=caller.denied_actions,
            )
        )

    def _mint(self, origin: str, *, temporary: bool) -> Credentials:
        seed = self.world.seed
        identity = ("ASIA" if temporary else "AKIA") + letters(16, seed, origin, "id")
        secret = CANARY + letters(25, seed, origin, "secret") + "+/"
        token = None
        if temporary:
            token = f"{CANARY}Token{digest(seed, origin, 'token'):032x}" + "A" * 300 + "=="
        return Credentials(identity, secret, token)

    def _admit(self, session: Session) -> Session:
        credentials = session.credentials
        self.sessions[credentials.access_key_id] = session
        if self._remember:
            self.secrets.add(credentials.secret_access_key)
            if credentials.session_token:
                self.secrets.add(credentials.session_token)
        return session


def root_arn(cloud: Cloud, account_id: str) -> str:
    """The ARN of an account's root user."""
    return f"{cloud.issuer}:iam::{account_id}:root"
