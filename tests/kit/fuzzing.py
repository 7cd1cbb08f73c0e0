"""Answers of IAM with one part changed, and what no change may do to the verdicts.

Every case is a copy of an account with a fault of its own, so that one scan tries hundreds of
cases. The copies differ in nothing but the account id: the ids of their credentials are fixed.
"""

from __future__ import annotations

import asyncio
import tempfile
from base64 import b64decode, b64encode
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orgscan.errors import RunError
from orgscan.models import INTEGRITY_FAILURE
from orgscan.report import ADDITIONAL
from orgscan.simulator import Fault, World
from orgscan.simulator.draw import letters
from orgscan.simulator.faults import Effect
from orgscan.simulator.report import HEADER
from orgscan.simulator.world import View
from tests.kit.elements import Mutation, element_paths, mutate
from tests.kit.scans import GAPS, Judged, scan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from orgscan.simulator.call import Call
    from orgscan.simulator.wire import Answer
    from orgscan.simulator.world import Account, User

BATCH = 120
"""Cases of one scan."""
RANK = {"FAIL": 0, "UNKNOWN": 1, "PASS": 2, "NOT_APPLICABLE": 2}
SEVERITY = [0, 4, 1, 5]
"""Exit codes, from best to worst."""
LISTS = {
    "AccessKeyMetadata": "AccessKeyId",
    "VirtualMFADevices": "SerialNumber",
    "MFADevices": "SerialNumber",
    "Certificates": "CertificateId",
    "SSHPublicKeys": "SSHPublicKeyId",
    "ServiceSpecificCredentials": "ServiceSpecificCredentialId",
}
"""Lists whose members no other answer shows, or the report at most as they were."""

Asked = tuple[tuple[str, str], ...]
Body = tuple[str, Asked, bytes]
"""An answer: its action, the parameters of the call, and its content."""
Verdict = tuple[str, str, str]
"""What a finding is about: control, user, and key or credential."""


class Strikes(Enum):
    """Which of the calls with the same parameters are struck."""

    ONCE = "once"
    LATER = "all but the first"
    LASTING = "all"

    def hit(self, count: int) -> bool:
        """Whether the call of this number, counted from 1, is struck."""
        return self is Strikes.LASTING or (count == 1) == (self is Strikes.ONCE)


@dataclass(frozen=True)
class Element:
    """One element of the XML."""

    path: str
    how: Mutation

    def __str__(self) -> str:
        return f"{self.path} {self.how.value}"

    def edit(self, body: bytes) -> bytes:
        """The answer with the element changed."""
        return mutate(body, self.path, self.how)


@dataclass(frozen=True)
class Cell:
    """One cell of the credential report; a whole row or column without the other number."""

    row: int | None
    column: int | None
    how: Mutation
    words: str

    def __str__(self) -> str:
        return f"report {self.words} {self.how.value}"

    def edit(self, body: bytes) -> bytes:
        """The answer with the cell of its report changed."""
        start, end = body.index(b"<Content>") + 9, body.index(b"</Content>")
        text = b64encode(self._report(b64decode(body[start:end])))
        return body[:start] + text + body[end:]

    def _report(self, report: bytes) -> bytes:
        rows = [line.split(b",") for line in report.split(b"\n")]
        if self.column is None:
            rows = self._changed(rows, self.row)
        else:
            rows = [
                self._changed(cells, self.column) if self.row in {None, place} else cells
                for place, cells in enumerate(rows)
            ]
        return b"\n".join(b",".join(cells) for cells in rows)

    def _changed(self, parts: list[Any], place: int | None) -> list[Any]:
        """The list with one part, or with every part, changed."""
        if place is None:
            return parts[: len(parts) // 2] if self.how is Mutation.HALVED else []
        if self.how is Mutation.DROPPED:
            return parts[:place] + parts[place + 1 :]
        part = parts[place]
        empty = b"" if isinstance(part, bytes) else [b""]
        kept = empty if self.how is Mutation.EMPTIED else part[: len(part) // 2]
        return [*parts[:place], kept, *parts[place + 1 :]]


Change = Element | Cell


@dataclass(frozen=True)
class Case:
    """An account, and one change to one of its answers."""

    account: Account
    action: str
    asked: Asked
    change: Change
    strikes: Strikes
    harmless: bool = False
    """Whether every verdict must stay: another listing finds what the change hides."""

    def __str__(self) -> str:
        asked = ",".join(f"{name}={value}" for name, value in self.asked)
        return f"{self.account.name}: {self.action}({asked}) {self.change}, {self.strikes.value}"


class Record(Effect):
    """Keeps the first answer to every call, and how often it was made."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[tuple[str, Asked], bytes]] = defaultdict(dict)
        self.counts: Counter[tuple[str, str, Asked]] = Counter()

    def after(self, answer: Answer, call: Call, /) -> Answer:
        key = call.action, asked(call)
        self.bodies[call.target].setdefault(key, answer.body)
        self.counts[call.target, *key] += 1
        return answer


class Changed(Effect):
    """The answers to the calls with these parameters are changed."""

    def __init__(self, case: Case) -> None:
        self._case = case
        self._count = 0

    def after(self, answer: Answer, call: Call, /) -> Answer:
        case = self._case
        if asked(call) != case.asked or b"xml" not in answer.content_type.encode():
            return answer
        if isinstance(case.change, Cell) and b"<Content>" not in answer.body:
            return answer
        self._count += 1
        if not case.strikes.hit(self._count):
            return answer
        return replace(answer, body=case.change.edit(answer.body))


def asked(call: Call) -> Asked:
    """What tells calls of one action apart."""
    parameters = call.parameters.items()
    return tuple(sorted((name, str(value)) for name, value in parameters if name != "MaxItems"))


@dataclass(frozen=True)
class Judgement:
    """What a run says about one account."""

    findings: dict[Verdict, tuple[str, ...]]
    """Statuses, the worst first; more than one where two principals bear one name."""
    users: frozenset[str]
    keys: frozenset[str]
    coverage: str
    by_slots: bool
    """Keys that could not be listed are judged from the slots of the report (controls.md): such a
    slot is a finding of its own, and an active one is a credential of the user."""
    exit_code: int
    counted: tuple[Any, ...]


def identified(account: Account) -> Account:
    """The account with ids of its credentials that do not depend on its own."""
    users = tuple(_identified(account.name, user) for user in account.all_users())
    return replace(account, users=users, generate=None)


def _identified(name: str, user: User) -> User:
    def named(prefix: str, items: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(
            replace(item, id=item.id or prefix + letters(16, name, user.name, user.created, place))
            for place, item in enumerate(items)
        )

    return replace(
        user,
        keys=named("AKIA", user.keys),
        service_credentials=named("ACCA", user.service_credentials),
        ssh_keys=named("APKA", user.ssh_keys),
    )


def scanned(world: World, *faults: Fault) -> dict[str, Judgement]:
    """What a scan says about every account of the world, by account id."""
    with tempfile.TemporaryDirectory() as directory:
        run = asyncio.run(scan(world, Path(directory) / "run", *faults)).run
    assert run.manifest["enumerated"]
    return dict(_judgements(run))


def _judgements(run: Judged) -> Iterator[tuple[str, Judgement]]:
    findings: dict[str, dict[Verdict, list[str]]] = defaultdict(lambda: defaultdict(list))
    columns = ["account_id", "control_id", "user", "access_key_id", "slot", "status"]
    for account, control, user, key, slot, status in (
        run.findings[columns].astype("object").fillna("").itertuples(index=False)
    ):
        findings[account][control, user, str(key or slot)].append(status)
    existing = run.credentials[run.credentials["exists"]]
    users = existing.groupby("account_id")["user"].agg(frozenset)
    live = run.access_keys[run.access_keys["exists"]]
    keys = live.groupby("account_id")["access_key_id"].agg(frozenset)
    sizes = run.accounts[["users", "access_keys", "service_credentials"]].astype("object")
    for place, row in run.accounts.iterrows():
        name = row["account_id"]
        found = {key: tuple(sorted(of, key=RANK.__getitem__)) for key, of in findings[name].items()}
        unknown = any("UNKNOWN" in statuses for statuses in found.values())
        code = 4 if row["coverage"] in GAPS or unknown else 0
        yield (
            name,
            Judgement(
                found,
                users.get(name, frozenset()),
                keys.get(name, frozenset()),
                row["coverage"],
                "access_keys" in str(row["missing"]),
                5 if row["error_code"] == INTEGRITY_FAILURE else code,
                tuple(sizes.loc[place].fillna(-1)),
            ),
        )


def violations(before: Judgement, after: Judgement, *, harmless: bool) -> list[str]:
    """In which way a change made the verdicts better or lost something; empty: in none."""
    if harmless:
        return ["a second listing would have found it"] * (before != after)
    wrong = [
        f"{key}: {before.findings[key]} -> {statuses}"
        for key, statuses in after.findings.items()
        if key in before.findings
        and not (after.by_slots and key[0] == "user-without-credentials")
        and RANK[statuses[0]] > RANK[before.findings[key][0]]
        # Evidence that is missing makes a FAIL UNKNOWN, as it must: that ends with exit code 4.
        and statuses[0] != "UNKNOWN"
    ]
    gap = after.coverage in GAPS
    lost = {key for key in before.findings if key not in after.findings}
    if not gap:
        wrong += [f"{key}: {before.findings[key]} -> lost" for key in sorted(lost)]
        wrong += [f"user {name} lost" for name in sorted(before.users - after.users)]
        wrong += [f"key {name} lost" for name in sorted(before.keys - after.keys)]
        if any(now < then for then, now in zip(before.counted, after.counted, strict=True)):
            wrong.append(f"counts {before.counted} -> {after.counted}")
    if SEVERITY.index(after.exit_code) < SEVERITY.index(before.exit_code):
        wrong.append(f"exit code {before.exit_code} -> {after.exit_code}")
    return wrong


def cases(world: World) -> tuple[list[Case], dict[str, Judgement]]:
    """Every case of a world's accounts, and the undisturbed verdicts by account name."""
    record = Record()
    calm = scanned(world, Fault(effect=record, service="iam"))
    found: list[Case] = []
    for account in world.accounts[1:]:
        for (action, parameters), body in record.bodies[account.id].items():
            repeated = record.counts[account.id, action, parameters] > 1
            for change in _changes(action, body):
                for strikes in Strikes:
                    if strikes is Strikes.LATER and not repeated:
                        continue
                    case = Case(account, action, parameters, change, strikes)
                    found += _allowed(case, body)
    return found, {account.name: calm[account.id] for account in world.accounts}


def _changes(action: str, body: bytes) -> Iterator[Change]:
    seen = {body}
    for change in _all_changes(action, body):
        changed = change.edit(body)
        if changed not in seen:
            seen.add(changed)
            yield change


def _all_changes(action: str, body: bytes) -> Iterator[Change]:
    for path in element_paths(body):
        for how in Mutation:
            yield Element(path, how)
    if action != "GetCredentialReport" or b"<Content>" not in body:
        return
    report = b64decode(body.partition(b"<Content>")[2].partition(b"</Content>")[0]).decode()
    rows = [line.split(",") for line in report.split("\n")]
    for how in Mutation:
        yield Cell(None, None, how, "rows")
        for place, cells in enumerate(rows):
            yield Cell(place, None, how, f"row of {cells[0]}")
            for column in range(len(cells)):
                yield Cell(place, column, how, f"{HEADER[column]} of {cells[0]}")
        for column in range(len(rows[0])):
            yield Cell(None, column, how, f"column {HEADER[column]}")


def _allowed(case: Case, body: bytes) -> Iterator[Case]:
    """The case, unless nothing but the changed answer could tell the truth."""
    if _is_optional(case.change):
        return
    hidden = _hidden(body, case.change.edit(body))
    if not hidden:
        yield case
        return
    # A whole key, device or credential that is missing from every listing does not exist.
    if case.strikes is not Strikes.ONCE:
        return
    # The known limit: the report describes the user fully, and the key is newer than the report;
    # nothing says that there should be another listing.
    user = next((one for one in _users(case) if one.view is View.BOTH), None)
    if case.action == "ListAccessKeys" and user is not None:
        newer = {key.id for key in user.keys if key.view is View.LIVE_ONLY}
        if hidden <= newer:
            return
    yield replace(case, harmless=True)


def _is_optional(change: Change) -> bool:
    """Whether a part of the report is gone that AWS itself leaves out or leaves empty.

    Live reports have 22 columns, and no other source describes what the 23rd would.
    """
    if not isinstance(change, Cell) or change.column != HEADER.index(ADDITIONAL):
        return False
    return change.how is not Mutation.HALVED or change.row in {None, 0}


def _users(case: Case) -> Iterator[User]:
    name = dict(case.asked).get("UserName")
    return (user for user in case.account.users if user.name == name)


def _hidden(before: bytes, after: bytes) -> set[str]:
    """The members a list lost whole, if nothing else of the answer changed."""
    then, now = _members(before), _members(after)
    if then is None or now is None or not set(now) < set(then) or len(set(then)) != len(then):
        return set()
    return {_identity(member) for member in set(then) - set(now)}


def _members(body: bytes) -> list[bytes] | None:
    """The members of the answer's list, in order; None where it has none or is damaged."""
    for name in LISTS:
        start, end = f"<{name}>".encode(), f"</{name}>".encode()
        if start in body and b"<IsTruncated>" in body and b"RequestId>" in body:
            inside = body.partition(start)[2].partition(end)[0]
            return [part for part in inside.split(b"</member>") if part]
    return None


def _identity(member: bytes) -> str:
    for name in LISTS.values():
        if f"<{name}>".encode() in member:
            return member.decode().partition(f"<{name}>")[2].partition("<")[0]
    return ""


def tried(world: World, chosen: Sequence[Case], calm: dict[str, Judgement]) -> list[str]:
    """Scan the cases in batches; every violation, in words."""
    wrong: list[str] = []
    for start in range(0, len(chosen), BATCH):
        wrong += _batch(world, chosen[start : start + BATCH], calm)
    return wrong


def _batch(world: World, chosen: Sequence[Case], calm: dict[str, Judgement]) -> list[str]:
    copies = {f"{place:012d}": case for place, case in enumerate(chosen, 1)}
    accounts = [replace(case.account, id=name) for name, case in copies.items()]
    faults = [
        Fault(effect=Changed(case), service="iam", action=case.action, account=name)
        for name, case in copies.items()
    ]
    copied = replace(world, accounts=(world.accounts[0], *accounts))
    try:
        judged = scanned(copied, *faults)
    except RunError as error:
        # A run that fails is worse than any other, but it must say which account it was.
        if len(chosen) == 1:
            return [f"{chosen[0]}: {error}"]
        half = len(chosen) // 2
        return _batch(world, chosen[:half], calm) + _batch(world, chosen[half:], calm)
    wrong = []
    for name, case in copies.items():
        before, after = calm[case.account.name], judged[name]
        found = violations(before, after, harmless=case.harmless)
        wrong += [f"{case}: {one}" for one in found]
    return wrong
