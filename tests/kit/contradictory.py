"""The contradictory world: one account for each way in which AWS's answers can disagree.

Each account has one case; its name is the case. Beside contradictions there are the credentials
that only one of the answers shows.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from orgscan.simulator.faults import Fault
from orgscan.simulator.people import Ages, account, guarded_root
from orgscan.simulator.world import (
    BEDROCK,
    CLOUDWATCH_LOGS,
    CODECOMMIT,
    KEYSPACES,
    Certificate,
    Mfa,
    ReportStyle,
    Role,
    Root,
    ServiceCredential,
    SshKey,
    View,
    World,
    real_now,
)
from tests.kit.faults import DEVICE_WITHOUT_USER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from orgscan.simulator.world import Account, User

_NO_ROLE: tuple[Role, ...] = ()
_MANY_COLUMNS = ReportStyle(columns=23)
_ADDITIONAL = "1 further credential"


def contradictory(*, seed: int = 0, now: datetime | None = None) -> World:
    """The management account, and an account for each case."""
    now = now or real_now()
    ago = Ages(now)
    make = partial(account, seed, ou="Root/Contradictions", joined=ago(900))
    cases = (*_against_the_summary(make, ago), *_against_the_report(make, ago))
    without_user = next(one.id for one in cases if one.name == "device-without-user")
    return World(
        name="contradictory",
        seed=seed,
        now=now,
        accounts=(
            account(seed, "contradictory-management", "Root", ago(900), roles=_NO_ROLE),
            *cases,
        ),
        faults=(
            Fault(
                effect=DEVICE_WITHOUT_USER,
                action="ListVirtualMFADevices",
                account=without_user,
            ),
        ),
    )


def _against_the_summary(make: Callable[..., Account], ago: Ages) -> Iterator[Account]:
    """The account summary says otherwise than the report, or knows less."""
    guarded = guarded_root(ago)
    open_root = replace(guarded, mfa=Mfa.NONE)
    signing = replace(guarded, certificates=(Certificate(created=ago(700)),))
    keyed = replace(guarded, keys=(ago.key(700, 300),))
    yield make("summary-mfa-off", root=guarded, summary={"AccountMFAEnabled": 0})
    yield make("summary-mfa-on", root=open_root, summary={"AccountMFAEnabled": 1})
    yield make("summary-password", summary={"AccountPasswordPresent": 1})
    yield make("summary-no-password", root=open_root, summary={"AccountPasswordPresent": 0})
    yield make("summary-keys", root=guarded, summary={"AccountAccessKeysPresent": 1})
    yield make("summary-no-keys", root=keyed, summary={"AccountAccessKeysPresent": 0})
    present = "AccountSigningCertificatesPresent"
    yield make("summary-certificates", root=guarded, summary={present: 1})
    yield make("summary-no-certificates", root=signing, summary={present: 0})
    yield make("root-certificate", root=signing)
    yield make(
        "summary-incomplete",
        root=guarded,
        summary=dict.fromkeys((present, "AccountMFAEnabled", "AccountPasswordPresent", "Users")),
    )
    user = ago.service("ci-deploy", 300, ago.key(20, 1))
    yield make("summary-more-users", users=(user,), summary={"Users": 2})


def _against_the_report(make: Callable[..., Account], ago: Ages) -> Iterator[Account]:
    """What the report does not show, or shows of something that is gone."""
    stored = {"report_age": timedelta(hours=3)}
    yield make("service-credentials", users=_with_service_credentials(ago))
    ssh = (SshKey(created=ago(300)), SshKey(created=ago(400), active=False))
    yield make("ssh-only", users=(ago.service("git-mirror", 400, ssh_keys=ssh),))
    yield make("created-again", users=_created_again(ago), **stored)
    yield make("renamed", users=_renamed(ago), **stored)
    yield make("additional-of-root", style=_MANY_COLUMNS, root=Root(additional=_ADDITIONAL))
    yield make(
        "additional-of-a-user",
        style=_MANY_COLUMNS,
        users=(
            ago.service("bare", 300, additional=_ADDITIONAL),
            ago.service("ci-deploy", 300, ago.key(20, 1)),
        ),
    )
    yield make("device-without-user", root=guarded_root(ago, Mfa.VIRTUAL))
    yield make(
        "key-statuses",
        users=(
            ago.service("expired", 300, replace(ago.key(200, 100, active=False), status="Expired")),
            ago.service("unheard-of", 300, replace(ago.key(200, 100), status="Dormant")),
        ),
    )
    yield make("no-service-credentials", supports_service_credentials=False)


def _with_service_credentials(ago: Ages) -> tuple[User, ...]:
    """A user for each kind of service-specific credential, without any other credential."""
    bedrock = partial(ServiceCredential, service=BEDROCK)
    commit = partial(ServiceCredential, service=CODECOMMIT)
    young, old = ago(10), ago(500)
    kinds = {
        "bedrock-for-ever": bedrock(created=young),
        "bedrock-100-years": bedrock(created=young, expires=young + timedelta(days=36_600)),
        "bedrock-30-days": bedrock(created=young, expires=young + timedelta(days=30)),
        "bedrock-expired": bedrock(
            created=old, expires=old + timedelta(days=30), active=False, status="Expired"
        ),
        "bedrock-inactive": bedrock(created=old, active=False),
        "codecommit-old": commit(created=old),
        "codecommit-young": commit(created=young),
        "codecommit-inactive": commit(created=old, active=False),
        "keyspaces-old": ServiceCredential(service=KEYSPACES, created=old),
        "logs-for-ever": ServiceCredential(service=CLOUDWATCH_LOGS, created=young),
    }
    return tuple(
        ago.service(name, 600, service_credentials=(credential,))
        for name, credential in kinds.items()
    )


def _created_again(ago: Ages) -> tuple[User, ...]:
    """The report knows the former user, with MFA; the present one has none."""
    name = "ines.abara"
    return (
        ago.human(name, 800, 4, keys=(ago.key(60, 1),), view=View.REPORT_ONLY),
        ago.human(
            name,
            0.05,
            None,
            mfa=Mfa.NONE,
            password=ago.password(0.05),
            keys=(replace(ago.key(0.04), view=View.LIVE_ONLY),),
            view=View.LIVE_ONLY,
        ),
    )


def _renamed(ago: Ages) -> tuple[User, ...]:
    return (
        ago.human("hana.sato", 500, 3, name_in_report="hana.kimura", keys=(ago.key(50, 2),)),
        ago.service("monitoring", 300, ago.key(30, 1)),
    )
