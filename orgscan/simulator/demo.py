"""The demo world: a believable company in which every control has something to say.

Across its accounts every control fails somewhere and, where it can, passes, does not apply and
stays unknown; users and keys have changed since the report; and every way in which the reading
of an account can end is there.
"""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orgscan.models import AccountState
from orgscan.simulator.draw import digest
from orgscan.simulator.faults import REGION_DISABLED, Fault
from orgscan.simulator.people import Ages, account, guarded_root, populate
from orgscan.simulator.world import (
    BEDROCK,
    CODECOMMIT,
    KEYSPACES,
    Certificate,
    Key,
    Mfa,
    PasswordPolicy,
    ReportStyle,
    Role,
    Root,
    ServiceCredential,
    View,
    World,
    real_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from orgscan.simulator.world import Account, User

DEMO_EXCLUDED_ACCOUNT = "730315924406"
"""An account of the demo world that a run may leave out of its scope (``sandbox-training``)."""

DEMO_LEADING_ZEROS = "000482917365"
"""An account of the demo world whose id a spreadsheet would mangle."""

_NO_ROLE: tuple[Role, ...] = ()
_TEAMS = [
    "atlas",
    "borealis",
    "cobalt",
    "delta",
    "ember",
    "fjord",
    "granite",
    "heron",
    "iris",
    "juniper",
    "kestrel",
    "lumen",
]
_STAGES = (
    ("prod", "Root/Workloads/Prod"),
    ("staging", "Root/Workloads/Staging"),
    ("dev", "Root/Workloads/Dev"),
    ("sandbox", "Root/Sandbox"),
)


def demo(*, seed: int = 0, now: datetime | None = None, accounts: int | None = None) -> World:
    """The demo world; ``accounts`` cuts it short or fills it up with accounts of more teams."""
    now = now or real_now()
    ago = Ages(now)
    make = partial(account, seed)
    everyone = (*_story(make, ago), *_background(make, ago, seed))
    if accounts is not None:
        count = max(1, accounts)
        more = (_filler(seed, ago, number) for number in range(count - len(everyone)))
        everyone = (*everyone[:count], *more)
    failing = make("partner-edi", "", now).id
    return World(
        name="demo",
        seed=seed,
        now=now,
        accounts=everyone,
        empty_ous=("Root/Policy Staging", "Root/Workloads/Prod/Batch"),
        faults=(Fault(effect=REGION_DISABLED, action="AssumeRole", account=failing),),
    )


def _story(make: Callable[..., Account], ago: Ages) -> tuple[Account, ...]:
    """The accounts that between them show everything, most telling first."""
    no_keys = Role(denied_actions=frozenset({"iam:ListAccessKeys"}))
    no_devices = Role(blocked_actions=frozenset({"iam:ListVirtualMFADevices"}))
    drifting = {"report_age": timedelta(hours=3, minutes=20), "users": _payments(ago)}
    return (
        make(
            "harborline-management",
            "Root",
            ago(2900),
            roles=_NO_ROLE,
            root=guarded_root(ago, used=12),
            users=_management(ago),
        ),
        make("payments-prod", "Root/Workloads/Prod", ago(1500), **drifting),
        make(
            "tidewater-legacy",
            "Root/Acquired",
            ago(3600),
            root=_careless_root(ago),
            users=_legacy(ago),
            password_policy=None,
            style=ReportStyle(columns=23, offset=True),
        ),
        make("tidewater-erp", "Root/Acquired", ago(610), roles=_NO_ROLE, users=_legacy(ago)),
        make("partner-edi", "Root/Acquired", ago(420), users=_one_service_user(ago)),
        make("payments-staging", "Root/Workloads/Staging", ago(1500), roles=(no_keys,),
             users=_staging(ago)),
        make("network-hub", "Root/Infrastructure", ago(2000), roles=(no_devices,),
             root=replace(guarded_root(ago, Mfa.VIRTUAL),
                          certificates=(Certificate(created=ago(1900)),)),
             users=_one_service_user(ago)),
        make("old-website", "Root/Suspended", ago(3100), state=AccountState.SUSPENDED),
        make("sandbox-training", "Root/Sandbox", ago(700), id=DEMO_EXCLUDED_ACCOUNT,
             users=_one_service_user(ago)),
        make("storefront-dev", "Root/Workloads/Dev", ago(1400), users=_developers(ago),
             root=replace(guarded_root(ago, Mfa.VIRTUAL, 400), keys=(ago.key(1300, active=False),)),
             password_policy=PasswordPolicy(minimum_length=8, reuse=5, maximum_age_days=90)),
        make("storefront-prod", "Root/Workloads/Prod", ago(1400), users=_storefront(ago),
             tags={"owner": "storefront", "cost-center": "4711"}),
        make("data-platform-prod", "Root/Workloads/Prod/Data", ago(1100), id=DEMO_LEADING_ZEROS,
             users=_data(ago), style=ReportStyle(columns=23)),
        make("newsletter-pilot", "Root/Suspended", ago(240), state=AccountState.PENDING_CLOSURE),
    )  # fmt: skip


def _background(make: Callable[..., Account], ago: Ages, seed: int) -> tuple[Account, ...]:
    """The rest of the company: mostly in order, with everyday blemishes."""
    plan = (
        ("log-archive", "Root/Security", 0),
        ("security-tooling", "Root/Security", 2),
        ("shared-services", "Root/Infrastructure", 4),
        ("dns-and-certificates", "Root/Infrastructure", 1),
        ("backup-vault", "Root/Infrastructure", 2),
        ("warehouse-prod", "Root/Workloads/Prod", 6),
        ("mobile-api-prod", "Root/Workloads/Prod", 3),
        ("warehouse-staging", "Root/Workloads/Staging", 4),
        ("mobile-api-staging", "Root/Workloads/Staging", 2),
        ("data-platform-dev", "Root/Workloads/Dev", 5),
        ("sandbox-mirela", "Root/Sandbox", 3),
        ("sandbox-observability", "Root/Sandbox", 2),
    )
    made = []
    for number, (name, unit, count) in enumerate(plan):
        new = make(name, unit, ago(1300 - 70 * number))
        now = ago()
        made.append(replace(new, generate=partial(populate, seed, new.id, count, now)))
    return tuple(made)


def _filler(seed: int, ago: Ages, number: int) -> Account:
    """One of any number of further accounts, in an estate that looks like the rest."""
    draw = random.Random(digest(seed, "filler", number))
    team = _TEAMS[number // len(_STAGES) % len(_TEAMS)]
    stage, unit = _STAGES[number % len(_STAGES)]
    number = number // (len(_STAGES) * len(_TEAMS)) + 1
    new = account(
        seed,
        f"{team}-{stage}-{number:02d}",
        f"{unit}/{team.title()}",
        ago(draw.randrange(60, 1500)),
    )
    count = draw.choice((0, 1, 2, 3, 5, 8))
    return replace(new, generate=partial(populate, seed, new.id, count, ago()))


def _careless_root(ago: Ages) -> Root:
    return Root(
        password=ago.password(2100, 3),
        keys=(ago.key(2100, 41, used_for=("us-east-1", "ec2")), ago.key(3000, 2400, active=False)),
        certificates=(Certificate(created=ago(3500), active=False),),
    )


def _management(ago: Ages) -> tuple[User, ...]:
    return (
        ago.human("auditor", 300, 1, keys=(ago.key(30, 0.1, used_for=("us-east-1", "sts")),)),
        ago.human("break-glass", 900, None, mfa=Mfa.HARDWARE, password=ago.password(20)),
        ago.human("greta.lindqvist", 2000, 8, mfa=Mfa.HARDWARE),
        ago.service("billing-export", 700, ago.key(70, 0.5), path="/service/"),
    )


def _legacy(ago: Ages) -> tuple[User, ...]:
    """A company bought three years ago, with the credentials of its founders."""
    signed = (Certificate(created=ago(2800)), Certificate(created=ago(3000), active=False))
    return (
        ago.human("admin", 3500, 2, mfa=Mfa.NONE, keys=(ago.key(2300, 1), ago.key(900, 0.2))),
        ago.human("bob", 3200, 1400, mfa=Mfa.NONE, password=ago.password(3200, 1400)),
        ago.human("carla.mendes", 2500, None, mfa=Mfa.NONE, password=ago.password(2500)),
        ago.service("erp-sync", 2900, ago.key(2900, 0.1, used_for=("eu-west-1", "s3"))),
        ago.service("edi_bridge", 2600, certificates=signed),
        ago.service("intern-2019", 2400),
        ago.service("mailer", 2100, ago.key(2100, active=False), ago.key(2000, active=False)),
        ago.service("s3-mirror", 1800, ago.key(1800), path="/apps/mirror/"),
    )


def _payments(ago: Ages) -> tuple[User, ...]:
    """Everything that has changed since this account's report of three hours ago."""
    together = ago(300)
    toggled = partial(Key, created=ago(200), last_used=ago(100))
    return (
        ago.human("ines.abara", 800, 4, mfa=Mfa.HARDWARE),
        ago.human("joris.vandamme", 0.05, None, view=View.LIVE_ONLY),
        ago.service("settlement-batch", 0.06, Key(created=ago(0.06), view=View.LIVE_ONLY),
                    view=View.LIVE_ONLY, path="/batch/"),
        ago.service("placeholder", 0.04, view=View.LIVE_ONLY),
        ago.human("leaver.quispe", 900, 60, keys=(ago.key(500, 62),), view=View.REPORT_ONLY),
        ago.service("card-vault", 400, ago.key(80, 1), Key(created=ago(0.08), view=View.LIVE_ONLY)),
        ago.service("fraud-feed", 400, replace(ago.key(280, 90), view=View.REPORT_ONLY),
                    ago.key(15, 1)),
        ago.service("ledger-export", 600, toggled(active=False, active_in_report=True)),
        ago.service("refund-worker", 600, toggled(active=True, active_in_report=False),
                    service_credentials=(ServiceCredential(service=KEYSPACES, created=ago(30)),)),
        ago.service("twin-keys", 310, Key(created=together, last_used=ago(2)),
                    Key(created=together)),
        ago.service("chargeback-sync", 300, replace(ago.key(120), view=View.LIVE_ONLY)),
    )  # fmt: skip


def _staging(ago: Ages) -> tuple[User, ...]:
    return (
        ago.human("ines.abara", 800, 20),
        ago.service("load-test", 500, ago.key(410, 3), ago.key(300, active=False)),
        ago.service("ci-deploy", 700, ago.key(35, 0.1), path="/ci/"),
    )


def _developers(ago: Ages) -> tuple[User, ...]:
    """Console users, among them two set up with a key they never asked for."""
    born = ago(200)
    setup = Key(created=born + timedelta(seconds=40))
    return (
        ago.human("hana.kimura", 200, 1, keys=(setup,)),
        ago.human("oskar.dahl", 200, 2, keys=(ago.key(150, 1),)),
        ago.human("rania.okafor", 200, 5, mfa=Mfa.NONE, keys=(replace(setup, active=False),)),
        ago.human("soren.eriksen", 700, 44.9, password=ago.password(90, 44.9)),
        ago.human("tamar.weiss", 700, 45, password=ago.password(90, 45)),
        ago.service("dev", 500, ago.key(90, 1)),
        ago.service("dev-ops", 500, ago.key(90.01, 1), ago.key(12, 0.3)),
        ago.service("playground", 90, ago.key(5)),
        ago.service("upload-test", 90, ago.key(8)),
    )


def _storefront(ago: Ages) -> tuple[User, ...]:
    return (
        ago.human("emeka.okafor", 1200, 6, mfa=Mfa.HARDWARE),
        ago.service("ses-smtp", 1300, ago.key(412, 0.2, used_for=("us-east-1", "ses"))),
        ago.service(
            "ci-deploy",
            1300,
            ago.key(22, 0.1),
            path="/ci/pipelines/",
            service_credentials=(ServiceCredential(service=CODECOMMIT, created=ago(900)),),
        ),
        ago.service(
            "product-texts",
            130,
            service_credentials=(
                ServiceCredential(service=BEDROCK, created=ago(130)),
                ServiceCredential(service=BEDROCK, created=ago(20), expires=ago(-70)),
            ),
        ),
        ago.service("cdn-purge", 900, ago.key(640, 2, active=False), ago.key(61, 1)),
    )


def _data(ago: Ages) -> tuple[User, ...]:
    return (
        ago.human("NA", 260, 9),
        ago.human("zofia.novak", 400, 70, password=ago.password(60, 70)),
        ago.service("etl-nightly", 1000, ago.key(77, 0.3), path="/service/"),
        ago.service("null", 1000, ago.key(200, 190), path="/service/"),
        ago.service("warehouse-loader", 1000, ago.key(88, 47), ago.key(46)),
    )


def _one_service_user(ago: Ages) -> tuple[User, ...]:
    return (
        ago.human("ulrich.gruber", 900, 11),
        ago.service("monitoring", 800, ago.key(64, 0.1)),
    )
