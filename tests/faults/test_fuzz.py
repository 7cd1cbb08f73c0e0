"""No element of an answer of IAM, dropped, emptied or halved, makes a verdict better."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache, partial
from typing import TYPE_CHECKING

import pytest

from orgscan.collect import collectors
from orgscan.controls.catalogue import CATALOGUE
from orgscan.errors import ExitCode
from orgscan.simulator import Simulator, World
from orgscan.simulator.people import Ages, account
from orgscan.simulator.world import (
    BEDROCK,
    CODECOMMIT,
    Account,
    Certificate,
    Mfa,
    PasswordPolicy,
    Root,
    ServiceCredential,
    SshKey,
    User,
    View,
)
from tests.kit.elements import Mutation
from tests.kit.fuzzing import Case, Element, Judgement, cases, identified, tried
from tests.kit.scans import NOW, Judged, collect
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orgscan.simulator import Call

AGO = Ages(NOW)
STORED = timedelta(hours=3)


def people() -> Iterator[User]:
    """Users the report describes: one for each verdict."""
    key, service, human = AGO.key, AGO.service, AGO.human
    yield human("open", 400, 200, mfa=Mfa.NONE)
    yield human("guarded", 400, 3, keys=(key(20, 1),))
    yield human("fob", 400, None, mfa=Mfa.HARDWARE)
    yield human("setup", 100, 2, keys=(key(100),))
    yield service("two", 700, key(600, 100), key(30, 2))
    yield service("idle", 700, key(600, 100, active=False), key(500))
    yield service("expired", 300, replace(key(200, 100, active=False), status="Expired"))
    yield service("bare", 300)
    yield service("signing", 300, certificates=(Certificate(created=AGO(200)),))
    yield service("old-cert", 300, certificates=(Certificate(created=AGO(200), active=False),))
    yield service("mirror", 300, ssh_keys=(SshKey(created=AGO(100)),))


def since_the_report() -> Iterator[User]:
    """Users and keys that changed in the last three hours."""
    new = partial(replace, view=View.LIVE_ONLY)
    gone = partial(replace, view=View.REPORT_ONLY)
    fresh, service, human = AGO.key(0.05), AGO.service, AGO.human
    yield new(human("new-open", 0.1, None, mfa=Mfa.NONE, keys=(fresh,)))
    yield new(human("new-guarded", 0.1, 0.01, mfa=Mfa.HARDWARE))
    yield new(service("new-keys", 0.1, fresh, AGO.key(0.04, 0.01)))
    yield new(service("new-cert", 0.1, certificates=(Certificate(created=AGO(0.05)),)))
    yield new(service("new-bare", 0.1))
    yield gone(service("gone", 300, AGO.key(20, 1)))
    yield gone(human("again", 500, 3, keys=(AGO.key(60, 1),)))
    yield new(human("again", 0.1, None, mfa=Mfa.NONE, keys=(new(fresh),)))
    yield human("renamed", 500, 3, name_in_report="former", keys=(AGO.key(50, 2),))
    yield service("more-keys", 500, AGO.key(200, 100), new(fresh))
    yield service("other-key", 500, gone(AGO.key(200, 100)), new(fresh))
    yield service("toggled", 500, replace(AGO.key(200, 100), active_in_report=False))


def own_accounts() -> Iterator[Account]:
    make = partial(account, 0, ou="Root/Fuzz", joined=AGO(900))
    keyed = Root(
        password=AGO.password(800, 10),
        mfa=Mfa.VIRTUAL,
        keys=(AGO.key(700, 20), AGO.key(650, active=False)),
        certificates=(Certificate(created=AGO(700)),),
    )
    credentials = (
        ServiceCredential(service=BEDROCK, created=AGO(10)),
        ServiceCredential(service=BEDROCK, created=AGO(10), expires=AGO(-30)),
        ServiceCredential(service=CODECOMMIT, created=AGO(500)),
        ServiceCredential(service=CODECOMMIT, created=AGO(400), active=False),
    )
    yield make("people", users=tuple(people()))
    yield make("changed", users=tuple(since_the_report()), report_age=STORED)
    yield make("root-virtual", root=keyed, password_policy=PasswordPolicy(minimum_length=8))
    yield make("root-hardware", root=Root(password=AGO.password(800, 700), mfa=Mfa.HARDWARE))
    yield make("root-open", root=Root(password=AGO.password(800, 1)), password_policy=None)
    yield make(
        "specific",
        users=tuple(
            AGO.service(f"svc-{place}", 600, service_credentials=(one,))
            for place, one in enumerate(credentials)
        ),
    )


def paged_accounts() -> Iterator[Account]:
    for one in own_accounts():
        if one.name in {"changed", "specific"}:
            yield one
        if one.name == "root-virtual":
            users = (AGO.human("ann", 400, 3), AGO.human("bob", 300, 2), AGO.human("cy", 90, 1))
            yield replace(one, users=users)


def of(name: str) -> World:
    """A world whose accounts are cases by themselves."""
    worlds = {
        "own": World(name="own", now=NOW, accounts=(manager(), *own_accounts())),
        "paged": World(
            name="paged", now=NOW, accounts=(manager(), *paged_accounts()), iam_page_size=2
        ),
    }
    world = worlds.get(name) or WORLDS[name](now=NOW)
    first, *others = world.accounts
    if name == "contradictory":
        # The lasting fault of this world is tied to an account id, and a copy has another.
        others = [one for one in others if one.name != "device-without-user"]
    return replace(world, accounts=(first, *map(identified, others)), faults=())


def manager() -> Account:
    return account(0, "fuzz-management", "Root", AGO(900), roles=())


NAMES = ("own", "paged", "contradictory", "small")


@cache
def all_cases(name: str) -> tuple[list[Case], dict[str, Judgement]]:
    return cases(of(name))


def sample(chosen: list[Case], every: int) -> list[Case]:
    """One case in ``every``, spread evenly over accounts, actions and elements."""
    return [case for place, case in enumerate(chosen) if place % every == every // 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_part_of_an_answer_makes_a_verdict_better(name: str) -> None:
    chosen, calm = all_cases(name)
    wrong = tried(of(name), chosen, calm)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(("name", "every"), [("own", 300), ("contradictory", 600)])
def test_a_sample_of_changes_makes_no_verdict_better(name: str, every: int) -> None:
    chosen, calm = all_cases(name)
    wrong = tried(of(name), sample(chosen, every), calm)
    assert not wrong, "\n".join(wrong)


def test_the_cases_cover_every_action_and_every_verdict() -> None:
    chosen, calm = all_cases("own")
    assert {f"iam:{case.action}" for case in chosen} == set(collectors.ACTIONS)
    seen = {
        (control, status)
        for name in ("own", "contradictory")
        for judged in all_cases(name)[1].values()
        for (control, _user, _key), statuses in judged.findings.items()
        for status in statuses
    }
    for control in CATALOGUE:
        assert (control.id, "FAIL") in seen, control.id
        assert {(control.id, "PASS"), (control.id, "NOT_APPLICABLE")} & seen, control.id
    assert all(judged.coverage == "COMPLETE" for judged in calm.values())


ONCE_WRONG = {
    "a count takes the value of the entry before it": (
        "contradictory",
        (
            "summary-mfa-off: GetAccountSummary() GetAccountSummaryResult/SummaryMap/entry[5] "
            "halved, all"
        ),
    ),
    "an entry without its key takes the key of the entry before it": (
        "contradictory",
        (
            "summary-certificates: GetAccountSummary() "
            "GetAccountSummaryResult/SummaryMap/entry[9]/key dropped, all"
        ),
    ),
    "the first entry has no key": (
        "own",
        "people: GetAccountSummary() GetAccountSummaryResult/SummaryMap/entry[1]/key dropped, all",
    ),
    "the summary does not say whether root has a password": (
        "contradictory",
        (
            "summary-no-password: GetAccountSummary() GetAccountSummaryResult/SummaryMap/entry[7] "
            "dropped, all"
        ),
    ),
    "a credential belongs to a user that is not listed": (
        "own",
        (
            "specific: ListServiceSpecificCredentials(AllUsers=true) "
            "ListServiceSpecificCredentialsResult/ServiceSpecificCredentials/member[3]/UserName "
            "halved, all"
        ),
    ),
    "the device of a new user is missing once": (
        "own",
        (
            "changed: ListMFADevices(UserName=new-guarded) ListMFADevicesResult/MFADevices "
            "emptied, once"
        ),
    ),
    "the only SSH key of a user is missing once": (
        "own",
        (
            "people: ListSSHPublicKeys(UserName=mirror) ListSSHPublicKeysResult/SSHPublicKeys "
            "emptied, once"
        ),
    ),
    "users are not listed, and one was created again": (
        "own",
        "changed: ListUsers() ListUsersResult/Users/member[1]/Arn dropped, all",
    ),
    "keys are not listed, and there is a new one": (
        "own",
        "changed: ListAccessKeys(UserName=new-bare) ListAccessKeysResult dropped, all",
    ),
}


@pytest.mark.parametrize("name", ["own", "contradictory"])
def test_changes_that_once_made_a_verdict_better(name: str) -> None:
    chosen, calm = all_cases(name)
    wanted = {text for world, text in ONCE_WRONG.values() if world == name}
    found = [case for case in chosen if str(case) in wanted]
    assert {str(case) for case in found} == wanted
    wrong = tried(of(name), found, calm)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("how", list(Mutation))
def test_what_no_verdict_rests_on_changes_none(how: Mutation) -> None:
    chosen, calm = all_cases("own")
    idle = ("/RequestId", "/Path", "/CertificateBody", "/RequireSymbols", "/Description")
    found = [
        replace(case, harmless=True)
        for case in chosen
        if isinstance(case.change, Element)
        and case.change.path.endswith(idle)
        and case.change.how is how
    ]
    assert found
    wrong = tried(of("own"), found[:: len(found) // 20 + 1], calm)
    assert not wrong, "\n".join(wrong)


class Undated(Simulator):
    """AWS without the Date of its answers."""

    def _common(self, call: Call) -> bytes:
        head, _, _ = super()._common(call).partition(b"Date: ")
        return head + b"\r\n"


async def test_a_report_without_a_date_to_hold_it_to_is_a_gap(tmp_path: Path) -> None:
    async with Undated(of("small")) as simulator:
        await collect(simulator, tmp_path / "run")
    run = Judged(tmp_path / "run")
    assert set(run.accounts["coverage"]) == {"PARTIAL"}
    assert set(run.accounts["missing"]) == {"credential_report"}
    assert run.exit_code() == ExitCode.COVERAGE_GAPS
