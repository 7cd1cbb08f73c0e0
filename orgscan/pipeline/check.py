"""check(): what a scan would meet, asked beforehand. Nothing is kept, nothing is written."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orgscan.aws import CLOCK_TOLERANCE_SECONDS, Aws
from orgscan.collect import collectors, organization, preflight
from orgscan.collect.account import AccountReader, unread, why_denied
from orgscan.controls.criteria import Criteria
from orgscan.errors import (
    CallerBroken,
    CallError,
    Denied,
    ExitCode,
    IntegrityError,
    Malformed,
    OrgscanError,
    RunError,
    Transient,
    UsageError,
)
from orgscan.models import Account, Caller, Organization
from orgscan.role.policy import declared_actions
from orgscan.text import count

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from orgscan.models import Calls, Clock, Credentials, Observer
    from orgscan.settings import Settings

_T = TypeVar("_T")

STEPS = (
    "caller",
    "clock",
    "organization",
    "account list",
    "OU tree",
    "scope",
    "account tags",
    "audit role",
    "member account",
    "own account",
    "management account",
)
"""Every step of a check, in the order of asking."""

_GRAVEST_FIRST = (
    ExitCode.INTEGRITY,
    ExitCode.USAGE,
    ExitCode.RUN_FAILED,
    ExitCode.COVERAGE_GAPS,
    ExitCode.OK,
)


class StepState(StrEnum):
    """How a step of the check ended."""

    OK = "OK"
    FAILED = "FAILED"
    NOT_CHECKED = "NOT CHECKED"


@dataclass(frozen=True, slots=True)
class Step:
    """One question and its answer.

    ``name`` is one of :data:`STEPS`. ``detail`` is a sentence, with the remedy where the step
    failed and the reason where it was not checked; it may quote names from AWS. ``exit_code``
    is what a scan would suffer.
    """

    name: str
    state: StepState
    detail: str
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True, slots=True)
class Readiness:
    """The steps of a check, each of :data:`STEPS` once."""

    steps: tuple[Step, ...]

    @property
    def exit_code(self) -> ExitCode:
        """The gravest of the steps: integrity, usage, a run that fails, gaps, nothing at all."""
        return min((step.exit_code for step in self.steps), key=_GRAVEST_FIRST.index)

    @property
    def failed(self) -> int:
        """How many steps failed."""
        return sum(step.state is StepState.FAILED for step in self.steps)

    @property
    def actions(self) -> dict[str, list[str]]:
        """What a scan calls at most: actions by service, both sorted."""
        by_service: dict[str, list[str]] = {}
        for declared in sorted(declared_actions()):
            service, _, action = declared.partition(":")
            by_service.setdefault(service, []).append(action)
        return by_service


async def check(
    settings: Settings,
    *,
    clock: Clock,
    observer: Observer,
    account: str | None = None,
    credentials: Credentials | None = None,
) -> Readiness:
    """Ask what a scan with ``settings`` would ask, as little of each as will tell.

    The audit role is tried in ``account``, or else in the first member account a scan would
    read. A step that fails hides none that can still be tried. ``credentials`` are as in
    :func:`orgscan.pipeline.scan.collect`.

    Raises :class:`orgscan.errors.UsageError` where the settings name no audit role, or a
    framework that cannot be used; all else that goes wrong is a step.
    """
    preflight.require_role(settings)
    Criteria.of_settings(settings)
    steps = _Steps(settings, observer)
    try:
        async with Aws(settings, clock, credentials) as aws:
            caller = await steps.ask("caller", partial(_identify, aws, settings))
            await steps.ask("clock", partial(_compare_clocks, aws))
            if caller is not None:
                await _Checking(settings, aws, caller, clock, steps, account).run()
    except (UsageError, RunError) as error:
        # No way in at all: there are no credentials, or the SDK is too old.
        steps.add("caller", StepState.FAILED, str(error), error.exit_code)
    for name in STEPS[len(steps.done) :]:
        steps.add(name, StepState.NOT_CHECKED, _NO_CALLER)
    return Readiness(tuple(steps.done))


_PAGES_OF_LIST = 10
"""Pages of the account list, of 20 accounts each: what AWS grants in a second or two."""
_PAGES_OF_TREE = 50
"""Units listed, or pages of their accounts: what AWS grants in ten seconds."""
_NO_CALLER = "the caller's credentials do not work"
_ALLOW_TO_ROLE = "add it to the policy of the audit role (`orgscan role policy`)"


class _NotCheckedError(Exception):
    """There is nothing to try a step on; the text says why."""


class _GapError(OrgscanError):
    """A scan would run, and something would be missing from it: evidence, OU paths or tags."""

    exit_code = ExitCode.COVERAGE_GAPS


@dataclass
class _Steps:
    """The steps so far, and how the next one is taken."""

    settings: Settings
    observer: Observer
    done: list[Step] = field(default_factory=list)
    caller_works: bool = True

    def add(
        self, name: str, state: StepState, detail: str, exit_code: ExitCode = ExitCode.OK
    ) -> None:
        """Note how a step ended."""
        self.done.append(Step(name, state, detail, exit_code))

    async def ask(self, name: str, work: Callable[[], Awaitable[tuple[str, _T]]]) -> _T | None:
        """What ``work`` finds beside its sentence; None where it fails or cannot be tried."""
        self.observer.phase(f"Checking: {name}")
        # The first answer shows the clock, even an answer that refuses.
        if not self.caller_works and name != "clock":
            self.add(name, StepState.NOT_CHECKED, _NO_CALLER)
            return None
        try:
            detail, answer = await work()
        except _NotCheckedError as reason:
            self.add(name, StepState.NOT_CHECKED, str(reason))
        except CallerBroken as error:
            self._stop(name, preflight.caller_refused(error, self.settings))
        except preflight.CallerUnusable as error:
            self._stop(name, error)
        except OrgscanError as error:
            self.add(name, StepState.FAILED, _with_remedy(error), error.exit_code)
        else:
            self.add(name, StepState.OK, detail)
            return answer
        return None

    def _stop(self, name: str, error: OrgscanError) -> None:
        self.caller_works = False
        self.add(name, StepState.FAILED, str(error), error.exit_code)


async def _identify(aws: Aws, settings: Settings) -> tuple[str, Caller]:
    caller = await preflight.identify(aws, settings)
    return f"{caller.arn} of account {caller.account_id}", caller


async def _compare_clocks(aws: Aws) -> tuple[str, None]:
    ahead = aws.seconds_ahead
    if ahead is None:
        raise _NotCheckedError("the AWS response contains no time to compare with")
    seconds = round(abs(ahead))
    difference = f"{seconds} seconds {'behind' if ahead > 0 else 'ahead of'} AWS's clock"
    if seconds >= CLOCK_TOLERANCE_SECONDS:
        raise UsageError(f"this machine's clock is {difference}; correct it")
    difference = "matches AWS's clock to the second" if seconds <= 1 else difference
    return f"{difference}; AWS allows {CLOCK_TOLERANCE_SECONDS} seconds", None


@dataclass
class _Checking:
    """What a caller that works can ask: a method a step, each with its sentence and its find."""

    settings: Settings
    aws: Aws
    caller: Caller
    clock: Clock
    steps: _Steps
    account: str | None
    """Where to try the role; None: wherever a scan would."""
    listed: list[Account] = field(default_factory=list)
    """Accounts of the account list, or of the OU tree where the list may not be read."""
    whole: bool = False
    """Whether ``listed`` are all."""
    below_root: list[Account] = field(default_factory=list)
    included: list[Account] = field(default_factory=list)
    """Accounts in the OUs that the settings name."""
    included_whole: bool = False
    """Whether ``included`` are all."""
    # Lists may be readable where the organization cannot be described.
    described: Organization = field(default_factory=lambda: Organization("", ""))
    lists: organization.Lists = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        self.reader = AccountReader.of(settings, self.aws, self.caller, self.clock)
        self.scope = organization.Scope(
            settings.include_ous, settings.accounts, settings.exclude_accounts
        )

    async def run(self) -> None:
        """Take the steps in the order of :data:`STEPS`."""
        ask = self.steps.ask
        self.described = await ask("organization", self.describe) or self.described
        self.lists = organization.Lists(self.aws.organizations, self.described)
        listed = bool(await ask("account list", self.list_accounts))
        tree = bool(await ask("OU tree", partial(self.look_at_tree, listed=listed)))
        await ask("scope", partial(self.look_at_scope, listed=listed, tree=tree))
        await ask("account tags", self.look_at_tags)
        entered = await ask("audit role", self.try_role)
        await ask("member account", partial(self.read_member, entered))
        await ask("own account", self.read_own)
        await ask("management account", self.read_management)

    async def describe(self) -> tuple[str, Organization]:
        """The organization itself."""
        described = await preflight.describe(self.aws, self.settings)
        return f"{described.id}, management account {described.management_account_id}", described

    async def list_accounts(self) -> tuple[str, bool]:
        """The account list, until it answers what the other steps ask of it."""
        try:
            self.listed, self.whole = await _read(
                self.lists.accounts(), until=self._suffice, limit=_PAGES_OF_LIST
            )
        except Denied as error:
            raise _GapError(f"the account list cannot be read: {_caller_lacks(error)}") from None
        if not self.listed:
            raise RunError(
                "the account list is empty, without even the caller's account; try again"
            )
        number = count(len(self.listed), "account")
        return number if self.whole else f"at least {number}", True

    def _suffice(self, accounts: list[Account]) -> bool:
        """Whether every account that is named was found, and one to try the role in.

        Where the settings name accounts there is no other; where they name OUs the tree tells.
        """
        named = replace(self.scope, accounts=(*self.scope.accounts, *self._trial))
        if named.unseen_accounts(accounts):
            return False
        scope = self.scope
        return bool(scope.include_ous or scope.accounts) or any(map(self._will_do, accounts))

    @property
    def _trial(self) -> tuple[str, ...]:
        return () if self.account is None else (self.account,)

    async def look_at_tree(self, *, listed: bool) -> tuple[str, bool]:
        """Each list the tree is read by: the roots, the first one's accounts, and its units."""
        try:
            async with aclosing(self.lists.units()) as units:
                root = await anext(units, None)
                if root is not None:
                    self.below_root, _ = await _read(
                        self.lists.members(*root), until=bool, limit=_PAGES_OF_TREE
                    )
                    # The walk continues once the units below the root are listed.
                    await anext(units, None)
        except Denied as error:
            raise self._without_tree(error, listed=listed) from None
        return "can be read", True

    def _without_tree(self, error: Denied, *, listed: bool) -> OrgscanError:
        problem = f"the OU tree cannot be read: {_caller_lacks(error)}"
        if not listed:
            return RunError(
                f"{problem}; the account list cannot be read either, so there is nothing to scan"
            )
        if self.settings.include_ous:
            return UsageError(f"{problem}; --include-ou requires it")
        return _GapError(problem)

    async def look_at_scope(self, *, listed: bool, tree: bool) -> tuple[str, None]:
        """What the settings name, and whether it leaves a scan anything to read."""
        if not (tree or (listed and not self.scope.include_ous)):
            raise _NotCheckedError("the account list or OU tree cannot be read")
        if not listed:
            self.listed, self.whole = await _read(
                self.lists.accounts_in_units(), until=self._suffice, limit=_PAGES_OF_TREE
            )
        units_whole = bool(self.scope.include_ous) and await self._look_into_units()
        self._must_be_there(units_whole=units_whole)
        candidates, whole = self._candidates()
        if any(map(self._in_scope, candidates)):
            everything = "the whole organization"
            return (
                "every account and OU in the settings exists" if self.scope else everything
            ), None
        if whole:
            raise RunError(
                "no account is in scope: nothing would be audited; check the scope in the settings"
            )
        raise _NotCheckedError(
            f"none of the first {count(len(candidates), 'account')} is in scope; later ones may be"
        )

    async def _look_into_units(self) -> bool:
        """Find the OUs of the settings and an account in them; whether the whole tree was read."""
        scope, paths = self.scope, self.lists.ou_paths
        whole, left = True, _PAGES_OF_TREE
        async with aclosing(self.lists.units()) as units:
            async for _unit in units:
                if not (scope.unseen_ous(paths) and left):
                    whole = False
                    break
                left -= 1
        self.included, self.included_whole = await _read(
            self.lists.accounts_in_units(scope.included(paths)),
            until=lambda accounts: any(map(self._will_do, accounts)),
            limit=_PAGES_OF_TREE,
        )
        self.included_whole &= whole or not scope.unseen_ous(paths)
        return whole

    def _must_be_there(self, *, units_whole: bool) -> None:
        """Refuse, as a scan does, what the organization surely does not have."""
        named, units = (
            replace(self.scope, include_ous=()),
            organization.Scope(self.scope.include_ous),
        )
        paths = self.lists.ou_paths
        problem = named.unknown(self.listed, paths) if self.whole else None
        if units_whole:
            problem = problem or units.unknown([], paths)
        if problem:
            raise UsageError(problem)
        unseen = [*named.unseen_accounts(self.listed), *units.unseen_ous(paths)]
        if unseen:
            raise _NotCheckedError(
                f"{unseen[0]} is not in the part that was checked; a scan reads all of it"
            )

    def _candidates(self) -> tuple[list[Account], bool]:
        """The accounts that a scan may read, as far as they were seen; whether they are all."""
        if self.scope.include_ous:
            return self.included, self.included_whole
        named = organization.Scope(accounts=self.scope.accounts)
        return self.listed, self.whole or bool(named and not named.unseen_accounts(self.listed))

    async def look_at_tags(self) -> tuple[str, None]:
        """The tags of one account; the caller's own is sure to exist."""
        if not self.settings.account_tags:
            raise _NotCheckedError("account_tags is off in the settings")
        try:
            await self.lists.tags(self.caller.account_id)
        except CallerBroken:
            raise
        except CallError as error:
            raise _GapError(f"account tags cannot be read: {_caller_lacks(error)}") from None
        return "can be read", None

    async def try_role(self) -> tuple[str, tuple[str, Calls]]:
        """The audit role of one member account: its number, and what was entered."""
        account_id = self._trial_account()
        calls = await self._enter(account_id)
        return f"{self.settings.role_name} assumed in {account_id}", (account_id, calls)

    async def _enter(self, account_id: str) -> Calls:
        try:
            return await self.reader.enter(account_id)
        except CallerBroken:
            raise
        except Denied as error:
            raise _GapError(
                f"{account_id}: {why_denied(error)}; see `orgscan role cloudformation`"
            ) from None
        except CallError as error:
            raise _GapError(f"{account_id}: {_to_try_again(error)}") from None

    def _trial_account(self) -> str:
        """Where to try the role."""
        if self.account is not None:
            return self._named(self.account)
        candidates, whole = self._candidates()
        for account in candidates:
            if self._will_do(account):
                return account.account_id
        if whole:
            raise _NotCheckedError("no member account is in scope")
        if unseen := self._named_and_unseen():
            return unseen[0]
        problem = "no account is known in which to try the role"
        if candidates:
            first = count(len(candidates), "account")
            problem = f"none of the first {first} needs the audit role"
        raise _NotCheckedError(f"{problem}; name an account with --account")

    def _named_and_unseen(self) -> list[str]:
        """Accounts that the settings name and nothing speaks against, though none was seen."""
        if self.whole or self.scope.include_ous:
            return []
        passed_over = {*self._with_steps_of_their_own, *self.scope.exclude_accounts}
        unseen = organization.Scope(accounts=self.scope.accounts).unseen_accounts(self.listed)
        return [account_id for account_id in unseen if account_id not in passed_over]

    def _named(self, account_id: str) -> str:
        """The account of ``--account``, unless the role is surely not to be tried there."""
        if account_id == self.caller.account_id:
            raise UsageError(
                f"account {account_id} is the caller's own account, which needs no role; name "
                "another account with --account"
            )
        only = organization.Scope(accounts=(account_id,))
        problem = only.unknown(self.listed, {}) if self.whole else None
        for account in (*self.listed, *self.included):
            if account.account_id == account_id and (outcome := unread(account, "")):
                problem = f"{account_id}: {outcome.reason}; name another account with --account"
        if problem:
            raise UsageError(problem)
        return account_id

    @property
    def _with_steps_of_their_own(self) -> set[str]:
        return {self.caller.account_id, self.described.management_account_id}

    def _in_scope(self, account: Account) -> bool:
        """Whether a scan would read the account."""
        return unread(account, self.scope.exclusion(account, self.lists.ou_paths)) is None

    def _will_do(self, account: Account) -> bool:
        """Whether the role can be tried in the account: a member account a scan would read."""
        return account.account_id not in self._with_steps_of_their_own and self._in_scope(account)

    async def read_member(self, entered: tuple[str, Calls] | None) -> tuple[str, None]:
        """Every declared action in the account that was entered."""
        if entered is None:
            raise _NotCheckedError("the audit role was not assumed")
        account_id, calls = entered
        return await self._try_out(account_id, calls, _ALLOW_TO_ROLE), None

    async def read_own(self) -> tuple[str, None]:
        """Every declared action in the caller's own account, with the caller's credentials."""
        account_id = self.caller.account_id
        self._must_be_in_scope(account_id)
        remedy = "add it to the caller's policy (`orgscan role policy --caller`)"
        calls = await self.reader.enter(account_id)
        return await self._try_out(account_id, calls, remedy), None

    async def read_management(self) -> tuple[str, None]:
        """Every declared action in the management account, whose role no StackSet brings."""
        account_id = self.described.management_account_id
        if not account_id:
            raise _NotCheckedError("the organization could not be described")
        if account_id == self.caller.account_id:
            raise _NotCheckedError("it is the caller's own account")
        self._must_be_in_scope(account_id)
        calls = await self._enter(account_id)
        return await self._try_out(account_id, calls, _ALLOW_TO_ROLE), None

    def _must_be_in_scope(self, account_id: str) -> None:
        # Only from the tree is it known which OU the account is in.
        seen = (*self.included, *self.below_root, Account(account_id=account_id))
        account = next(account for account in seen if account.account_id == account_id)
        if reason := self.scope.exclusion(account, self.lists.ou_paths):
            raise _NotCheckedError(reason)

    async def _try_out(self, account_id: str, calls: Calls, remedy: str) -> str:
        failures = await collectors.try_out(calls)
        if failures:
            # Of several the one that somebody has to do something about.
            errors = sorted(failures.values(), key=lambda error: not isinstance(error, Denied))
            denied = f"{errors[0]}; {remedy}" if isinstance(errors[0], Denied) else None
            raise _GapError(
                f"{account_id}: cannot call {', '.join(failures)}: "
                f"{denied or _to_try_again(errors[0])}"
            )
        return f"{account_id}: all {len(collectors.ACTIONS)} actions are allowed"


async def _read(
    pages: AsyncGenerator[list[Account]], *, until: Callable[[list[Account]], bool], limit: int
) -> tuple[list[Account], bool]:
    """Accounts page by page until they are enough, of at most ``limit`` pages; whether all."""
    accounts: list[Account] = []
    async with aclosing(pages):
        async for page in pages:
            accounts += page
            limit -= 1
            if until(accounts) or not limit:
                return accounts, False
    return accounts, True


def _with_remedy(error: OrgscanError) -> str:
    """The text of an error, and what to do where it does not say so itself."""
    if isinstance(error, CallError):
        return _to_try_again(error)
    if isinstance(error, IntegrityError):
        return f"{error}; check the endpoint, the proxy and DNS: AWS did not send this response"
    return str(error)


def _caller_lacks(error: CallError) -> str:
    if isinstance(error, Denied):
        return (
            f"{error}; {error.action} is for the management account or a delegated administrator, "
            "with a policy that allows it (`orgscan role policy --caller`)"
        )
    return _to_try_again(error)


def _to_try_again(error: CallError) -> str:
    passes = isinstance(error, (Transient, Malformed))
    remedy = "try again" if passes else "correct the problem that AWS reports and try again"
    return f"{error}; {remedy}"
