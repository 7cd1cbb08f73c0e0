"""Named worlds: organizations as data, the same from the same seed.

Every builder takes ``seed`` and ``now``; all ages derive from ``now``.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orgscan.models import AccountState
from orgscan.simulator import iam
from orgscan.simulator.demo import demo
from orgscan.simulator.draw import digest
from orgscan.simulator.people import Ages, account, account_id, guarded_root, populate
from orgscan.simulator.world import (
    Account,
    CallerKey,
    Key,
    ReportStyle,
    Role,
    StateFields,
    User,
    View,
    World,
    real_now,
)
from tests.kit.changing import changing_world
from tests.kit.contradictory import contradictory

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

_NO_ROLE: tuple[Role, ...] = ()


def small(*, seed: int = 0, now: datetime | None = None) -> World:
    """Four tidy accounts; every one ends COMPLETE and every control passes."""
    now = now or real_now()
    ago = Ages(now)
    make = partial(account, seed, joined=ago(900))
    fresh = ago.key(20, 1)
    return World(
        name="small",
        seed=seed,
        now=now,
        accounts=(
            make("tidy-management", "Root", roles=_NO_ROLE, root=guarded_root(ago)),
            make("tidy-log-archive", "Root/Security"),
            make(
                "tidy-production",
                "Root/Workloads/Prod",
                users=(ago.service("ci-deploy", 400, fresh, path="/ci/"),),
            ),
            make(
                "tidy-staging",
                "Root/Workloads/Staging",
                users=(
                    ago.service("ci-deploy", 380, fresh),
                    ago.service("backup-agent", 60, ago.key(60, 0)),
                ),
            ),
        ),
    )


def uniform(
    *,
    seed: int = 0,
    now: datetime | None = None,
    accounts: int = 300,
    users: int = 10,
    large: int = 0,
) -> World:
    """Load: ``accounts`` alike of ``users`` users each, one of them with ``large`` instead.

    Users are made when an account is first asked for, so that the world is small in memory.
    """
    now = now or real_now()
    joined = now - timedelta(days=1000)
    step = 999_983  # prime to 9 * 10**11: no id comes twice
    start = digest(seed, "uniform") % (9 * 10**11)
    units = [f"Root/Fleet/Unit {unit:02d}" for unit in range(min(40, accounts // 25 + 1))]

    def make(place: int) -> Account:
        identity = f"{(start + place * step) % (9 * 10**11) + 10**11:012d}"
        count = large if large and place == accounts // 2 else users
        return Account(
            id=identity,
            name=f"fleet-{place:05d}",
            email=f"aws+fleet-{place:05d}@example.com",
            joined=joined,
            ou="Root" if place == 0 else units[place % len(units)],
            generate=partial(populate, seed, identity, count, now),
            report_rounds=0,
        )

    return World(name="uniform", seed=seed, now=now, accounts=tuple(map(make, range(accounts))))


def changing(
    *,
    seed: int = 0,
    now: datetime | None = None,
    accounts: int = 1000,
    users: int = 10,
    share: float = 0.01,
) -> World:
    """Load: like ``uniform``, with reports some hours old and changes since.

    ``share`` of the users and of the keys was created, deleted, created again, renamed or toggled
    after the report.
    """
    world = uniform(seed=seed, now=now, accounts=accounts, users=users)
    return changing_world(world, name="changing", users=users, share=share)


_HOSTILE_USERS = (
    "=1+1", "=cmd", "@x", "@SUM", "-2", "+3", "-", "=", "==", "NA", "N.A", "nan", "NaN", "null",
    "NULL", "None", "none", "true", "TRUE", "False", "inf", "-inf", "1e5", "0", "007",
    "123456789012345678", "2026-01-01", "1.2.2026", "root", "root_account", "no_information",
    "not_supported", "a,b", ",", "under_score", "dev", "dev-ops", "Dev.Ops", "..", "...", "_",
    "user", "arn", "=" * 64, "x" * 64, "+1-2", "DDE", "CON", "..-..", "@=,.+-",
)  # fmt: skip
_HOSTILE_NAMES = (
    '=HYPERLINK("https://evil.example","click")', "+1+1", "@SUM(A1)", "-2+3", "NA", "nan",
    "null", "None", "true", "1e5", "007", "rocket 🚀 team 👩‍👩‍👧", "\u202eright to left\u202c",
    "שלום עולם", "bell\x07 tab\t null\x00", "two\nlines", "carriage\rreturn", "quote\"'`",
    "a,b;c|d", "../../etc/passwd", "C:\\Windows", "<script>alert(1)</script>", "&amp; &lt;",
    "zero\u200bwidth\ufeff", "_x0041_", "'=1+1", "  spaces  ", "x" * 50, "%s {0} ${x}",
    "lone \ud800 surrogate", "[red]markup[/red]",
)  # fmt: skip


def hostile(*, seed: int = 0, now: datetime | None = None) -> World:
    """Names chosen to break spreadsheets, parsers, terminals and file systems."""
    now = now or real_now()
    ago = Ages(now)
    users = tuple(
        ago.human(name, 300, 100, keys=(ago.key(200, 150),), path="/a.b/=c/")
        if place % 2
        else ago.service(name, 300, ago.key(200), ago.key(10, 1, active=False))
        for place, name in enumerate(_HOSTILE_USERS)
    )
    accounts = [
        Account(
            id=account_id(seed, "hostile", place),
            name=name,
            email=f"a+{place}@example.com",
            joined=ago(900),
            ou="Root" if place == 0 else "Root/=1+1/a\\b \U0001f4a9/..",
            users=users if place in {0, 1} else users[place : place + 1],
            roles=_NO_ROLE if place == 0 else (Role(),),
            tags={"=1+1": "@x", "owner": "-2+3", "nan": "", "null": "null"},
        )
        for place, name in enumerate(_HOSTILE_NAMES)
    ]
    accounts[2] = replace(accounts[2], id=f"0000000{digest(seed) % 10**5:05d}")
    return World(name="hostile", seed=seed, now=now, accounts=tuple(accounts))


def _drift_users(ago: Ages) -> tuple[User, ...]:
    """Every way in which a report three hours old and the present can disagree."""
    toggled = partial(Key, created=ago(200), last_used=ago(100))
    twins = ago(300)
    return (
        ago.service("drift-unchanged", 300, ago.key(100, 1)),
        ago.human("drift-user-created", 0.05, None, view=View.LIVE_ONLY),
        ago.service(
            "drift-user-created-with-key", 0.05,
            Key(created=ago(0.05), view=View.LIVE_ONLY), view=View.LIVE_ONLY,
        ),
        ago.service("drift-user-created-bare", 0.05, view=View.LIVE_ONLY),
        ago.human("drift-user-deleted", 500, 200, view=View.REPORT_ONLY),
        ago.service(
            "drift-user-deleted-with-key", 500, ago.key(400, 300), view=View.REPORT_ONLY
        ),
        ago.service(
            "drift-key-created", 300, ago.key(250, 2), Key(created=ago(0.05), view=View.LIVE_ONLY)
        ),
        ago.service(
            "drift-key-deleted", 300, ago.key(20, 2), replace(ago.key(280), view=View.REPORT_ONLY)
        ),
        ago.service(
            "drift-key-replaced", 300, replace(ago.key(280, 30), view=View.REPORT_ONLY),
            Key(created=ago(0.05), view=View.LIVE_ONLY),
        ),
        ago.service("drift-key-off", 300, toggled(active=False, active_in_report=True)),
        ago.service("drift-key-on", 300, toggled(active=True, active_in_report=False)),
        ago.service(
            "drift-keys-swapped", 300,
            Key(created=ago(200), last_used=ago(9), active=False, active_in_report=True),
            Key(created=ago(150), last_used=ago(2), active=True, active_in_report=False),
        ),
        ago.service(
            "drift-twins-differ", 310, Key(created=twins, last_used=ago(3)), Key(created=twins)
        ),
        ago.service("drift-twins-alike", 310, Key(created=twins), Key(created=twins)),
        ago.service(
            "drift-twins-one-off", 310, Key(created=twins, last_used=ago(3)),
            Key(created=twins, active=False),
        ),
        ago.service(
            "drift-key-missed", 300, replace(ago.key(90.5), view=View.LIVE_ONLY)
        ),
    )  # fmt: skip


def drift(*, seed: int = 0, now: datetime | None = None) -> World:
    """A report of 3 h 59 min ago that is reused, and all that has changed since."""
    now = now or real_now()
    ago = Ages(now)
    return World(
        name="drift",
        seed=seed,
        now=now,
        accounts=(
            account(seed, "drift-management", "Root", ago(900), roles=_NO_ROLE),
            account(
                seed, "drift-member", "Root/Workloads", ago(800),
                users=_drift_users(ago), report_age=timedelta(hours=3, minutes=59),
            ),
            account(
                seed, "drift-report-expired", "Root/Workloads", ago(800),
                users=_drift_users(ago), report_age=timedelta(hours=5),
            ),
        ),
    )  # fmt: skip


def states(*, seed: int = 0, now: datetime | None = None) -> World:
    """An account in every state, in both fields, in either, in none, and in one unheard of."""
    now = now or real_now()
    ago = Ages(now)
    make = partial(account, seed, ou="Root/States", joined=ago(900))
    every = [state for state in AccountState if state is not AccountState.UNKNOWN]
    accounts = [account(seed, "states-management", "Root", ago(900), roles=_NO_ROLE)]
    accounts += [
        make(f"{fields}-{state.lower()}", state=state, state_fields=fields)
        for fields in (StateFields.STATE, StateFields.STATUS, StateFields.BOTH)
        for state in every
        if fields is not StateFields.STATUS or state is not AccountState.CLOSED
    ]
    accounts += [
        make("neither-field", state_fields=StateFields.NEITHER),
        make("unheard-of", state="HIBERNATING"),
        make("unheard-of-status", state="HIBERNATING", state_fields=StateFields.STATUS),
        make("empty-state", state=""),
    ]
    return World(name="states", seed=seed, now=now, accounts=tuple(accounts))


def denied(*, seed: int = 0, now: datetime | None = None) -> World:
    """Accounts that cannot be entered, and one for each IAM action that is not allowed."""
    now = now or real_now()
    ago = Ages(now)
    users = (ago.human("mei.tanaka", 200, 3, keys=(ago.key(100, 2),)),)
    make = partial(account, seed, ou="Root/Denied", joined=ago(900), users=users)
    actions = tuple(iam.ACTIONS)
    accounts = [account(seed, "denied-management", "Root", ago(900), roles=_NO_ROLE)]
    accounts += [
        make("no-role", roles=_NO_ROLE),
        make("external-id", roles=(Role(external_id="shibboleth-42"),)),
        make("other-path", roles=(Role(path="/audit/"),)),
        make("short-sessions-only", roles=(Role(maximum_session=900),)),
        make(
            "everything", roles=(Role(denied_actions=frozenset(f"iam:{one}" for one in actions)),)
        ),
        make(
            "organization-policy",
            roles=(Role(blocked_actions=frozenset({"iam:GenerateCredentialReport"})),),
        ),
    ]
    accounts += [
        make(f"no-{action}", roles=(Role(denied_actions=frozenset({f"iam:{action}"})),))
        for action in actions
    ]
    return World(name="denied", seed=seed, now=now, accounts=tuple(accounts))


def partition(*, seed: int = 0, now: datetime | None = None, name: str = "aws-us-gov") -> World:
    """The small world in another partition, with its older words for root."""
    world = small(seed=seed, now=now)
    ago = Ages(world.now)
    accounts = tuple(
        replace(
            account,
            style=ReportStyle(columns=23, upper_case=True, offset=True),
            root=replace(guarded_root(ago), password_word="not_supported"),
        )
        for account in world.accounts
    )
    return replace(world, name="partition", partition=name, accounts=accounts)


def paging(*, seed: int = 0, now: datetime | None = None) -> World:
    """Short pages everywhere, empty ones between, and more of everything than fits on one."""
    world = uniform(seed=seed, now=now, accounts=70, users=7)
    return replace(world, name="paging", page_size=7, empty_page_every=3, iam_page_size=3)


def delegated(*, seed: int = 0, now: datetime | None = None) -> World:
    """The caller is a delegated administrator, with temporary credentials of its own."""
    world = small(seed=seed, now=now)
    management, security, *others = world.accounts
    return replace(
        world,
        name="delegated",
        accounts=(replace(management, roles=(Role(),)), replace(security, roles=_NO_ROLE), *others),
        delegated_administrators=frozenset({security.id}),
        callers=(CallerKey(account_id=security.id, user="Auditor", session=True),),
    )


WORLDS: dict[str, Callable[..., World]] = {
    "demo": demo,
    "small": small,
    "uniform": uniform,
    "hostile": hostile,
    "drift": drift,
    "states": states,
    "denied": denied,
    "partition": partition,
    "paging": paging,
    "delegated": delegated,
    "changing": changing,
    "contradictory": contradictory,
}
"""Every world by name; each builder takes ``seed`` and ``now``, some take sizes."""
