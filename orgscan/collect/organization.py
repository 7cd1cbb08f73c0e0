"""The organization: its accounts, streamed with their OU paths, and proof that none is missing.

Accounts come from a walk of the OU tree, because only the walk knows where an account lives.
ListAccounts is the control total. Where the two differ, in accounts or in whether an account is
active, both are read again once. Then the union is taken, an account that either calls active is
read, and a difference that remains is reported and leaves the enumeration unproven.

The walk is streamed, with one exception: an account that the tree calls inactive is held back until
the account list was read, because only then is it certain that there is nothing to read.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orgscan.errors import CallerBroken, CallError, Denied, Malformed, RunError
from orgscan.models import Account, AccountState, Organization, is_read, is_word

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping

    from orgscan.models import Calls

_is_account_id = re.compile(r"\d{12}", re.ASCII).fullmatch

ACTIONS = (
    "organizations:DescribeOrganization",
    "organizations:ListAccounts",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
    "organizations:ListRoots",
    "organizations:ListTagsForResource",
)
_NAMED_IN_NOTE = 10
_GLANCED = 10
"""Pages, of 20 accounts each: what AWS grants in a second or two."""
_GLANCED_LISTS = 50
"""Pages of the OU tree's lists: what AWS grants in ten seconds."""


async def describe(organizations: Calls) -> Organization:
    """The organization the caller belongs to.

    Raises :class:`orgscan.errors.CallError`.
    """
    answer = await organizations.call("DescribeOrganization", "Organization")
    organization = answer["Organization"]
    try:
        found = Organization(
            id=organization["Id"], management_account_id=organization["MasterAccountId"]
        )
        if is_word(found.id) and _is_account_id(found.management_account_id):
            return found
    except (KeyError, TypeError):
        pass
    text = "organizations:DescribeOrganization: the answer names no organization"
    raise Malformed(text, code="MalformedAnswer", action="organizations:DescribeOrganization")


@dataclass
class Enumeration:
    """One reading of the account list. Iterate it once; then ask for the rest.

    Iterating yields each :class:`Account` once, as soon as it is known, and raises
    :class:`orgscan.errors.RunError` if the list cannot be read to its end: a part of the
    organization must never pass for the whole.
    """

    organizations: Calls
    organization: Organization
    with_tags: bool = False
    notes: list[str] = field(default_factory=list)
    """Sentences for the officer, filled while iterating."""
    ou_paths: dict[str, str] = field(default_factory=dict)
    """Path by id of every root and organizational unit seen."""
    tree_readable: bool = True
    began_at: datetime | None = None
    """When the run began. Accounts that joined later may be in one of the lists only."""
    proven: bool = True
    """Whether the account list was read and agrees with the tree: an account that moves while
    the tree is read is missed there."""
    total: int = 0
    """Accounts found."""
    repeated: int = 0
    """Accounts and units that were listed again."""
    _untagged: dict[str, CallError] = field(default_factory=dict)
    _joined_later: set[str] = field(default_factory=set)

    async def __aiter__(self) -> AsyncGenerator[Account]:
        try:
            async with aclosing(self._accounts()) as accounts:
                async for account in accounts:
                    self.total += 1
                    yield await self._tagged(account)
            if self._untagged:
                *_, error = self._untagged.values()
                self.notes.append(
                    f"The tags of {_some(self._untagged.keys())} could not be read ({error})."
                )
        except CallError as error:
            message = f"the account list could not be read to its end: {error}"
            raise RunError(message) from error

    async def glance(self, enough: Callable[[list[Account]], bool]) -> tuple[list[Account], bool]:
        """Pages of the account list until they are ``enough``; whether those were all.

        Of a long list at most :data:`_GLANCED` pages. Raises :class:`orgscan.errors.CallError`.
        """
        found: list[Account] = []
        left = _GLANCED
        async for page in self.organizations.pages("ListAccounts", "Accounts"):
            found += map(self._account, page)
            left -= 1
            if enough(found) or not left:
                return found, False
        return found, True

    async def glance_at_tree(self) -> list[Account]:
        """A page of each list the tree is read by; the accounts seen, directly below a root.

        Fills :attr:`ou_paths` with the roots. Raises :class:`orgscan.errors.CallError`.
        """
        members: list[Account] = []
        for root, path in (await self.roots()).items():
            await _first(
                self.organizations.pages(
                    "ListOrganizationalUnitsForParent", "OrganizationalUnits", ParentId=root
                )
            )
            pages = self.organizations.pages("ListAccountsForParent", "Accounts", ParentId=root)
            members += [
                replace(self._account(item), ou_id=root, ou_path=path)
                for item in await _first(pages)
            ]
        return members

    async def glance_at_units(self, enough: Callable[[dict[str, str]], bool]) -> bool:
        """Read units from the roots down until :attr:`ou_paths` is ``enough``; whether it is whole.

        Of a large tree the units of at most :data:`_GLANCED_LISTS` are listed. Raises
        :class:`orgscan.errors.CallError`.
        """
        left = _GLANCED_LISTS
        async with aclosing(self._below(await self.roots())) as units:
            async for _unit in units:
                if enough(self.ou_paths) or not left:
                    return False
                left -= 1
        return True

    async def glance_below(
        self, units: dict[str, str], enough: Callable[[list[Account]], bool]
    ) -> tuple[list[Account], bool]:
        """Accounts in ``units``, path by id, and below them until they are ``enough``; whether all.

        At most :data:`_GLANCED_LISTS` pages of accounts. Raises
        :class:`orgscan.errors.CallError`.
        """
        found: list[Account] = []
        left = _GLANCED_LISTS
        async with aclosing(self._below(units)) as below:
            async for parent, path in below:
                pages = self.organizations.pages(
                    "ListAccountsForParent", "Accounts", ParentId=parent
                )
                async for page in pages:
                    found += [
                        replace(self._account(item), ou_id=parent, ou_path=path) for item in page
                    ]
                    left -= 1
                    if enough(found) or not left:
                        return found, False
        return found, True

    async def roots(self) -> dict[str, str]:
        """Path by id of each root of the first page; there has only ever been one.

        Raises :class:`orgscan.errors.CallError`.
        """
        roots = await _first(self.organizations.pages("ListRoots", "Roots"))
        found = {_id(root): _text(root.get("Name")) or "Root" for root in roots}
        self.ou_paths |= found
        return found

    async def _below(self, units: dict[str, str]) -> AsyncGenerator[tuple[str, str]]:
        """The units and those below them, breadth first; each is listed after it was yielded."""
        waiting, known = deque(units.items()), set(units)
        while waiting:
            ou_id, path = waiting.popleft()
            yield ou_id, path
            deeper = [unit for unit in await self._units(ou_id, path) if unit[0] not in known]
            self.ou_paths |= dict(deeper)
            known |= dict(deeper).keys()
            waiting += deeper

    async def glance_at_tags(self, account_id: str) -> None:
        """A page of the tags of one account.

        Raises :class:`orgscan.errors.CallError`.
        """
        await _first(self.organizations.pages("ListTagsForResource", "Tags", ResourceId=account_id))

    async def _accounts(self) -> AsyncGenerator[Account]:
        listing = asyncio.create_task(self._listed())
        walked: dict[str, str] = {}
        held: dict[str, Account] = {}
        try:
            async with aclosing(self._walk()) as walk:
                async for account in walk:
                    account_id = account.account_id
                    before = walked.get(account_id)
                    self.repeated += before is not None
                    if before is not None and (is_read(before) or not is_read(account.state)):
                        continue
                    walked[account_id] = account.state
                    if is_read(account.state):
                        held.pop(account_id, None)
                        yield account
                    else:
                        held[account_id] = account
            listed = await self._control_total(listing, walked)
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)
        if self.repeated:
            self.notes.append(
                f"AWS Organizations listed {self.repeated} entries more than once; each account "
                "is covered once."
            )
        for account in await self._reconciled(walked, held, listed):
            yield account

    async def _control_total(
        self, listing: asyncio.Task[dict[str, Account]], walked: Mapping[str, str]
    ) -> dict[str, Account] | None:
        try:
            return await listing
        except Denied as error:
            if not self.tree_readable:
                raise
            self.proven = False
            self.notes.append(
                f"The account list could not be read ({error}), so the {len(walked)} accounts of "
                "the OU tree could not be checked against it."
            )
            return None

    async def _reconciled(
        self,
        walked: Mapping[str, str],
        held: Mapping[str, Account],
        listed: Mapping[str, Account] | None,
    ) -> list[Account]:
        """The accounts not yet yielded: those held back, and those that only the list has.

        ``walked`` is the state of each account of the tree, by id. Tree and list are read a second
        time where they differ.
        """
        if listed is None:
            return list(held.values())
        first = _Lists(walked, _states(listed), tree_whole=self.tree_readable)
        if not first.differ():
            missed = listed.keys() - walked.keys()
            return [*held.values(), *(listed[account_id] for account_id in sorted(missed))]
        walked_again = await self._walked_again() if self.tree_readable else {}
        listed_again = await self._listed()
        second = _Lists(
            # Where the tree cannot be read a second time, the first reading is what there is.
            _states(walked_again) if self.tree_readable else walked,
            _states(listed_again),
            tree_whole=self.tree_readable,
        )
        self._report_differences(first, second)
        # Only the tree knows where an account lives.
        latest = {**listed, **listed_again, **held, **walked_again}
        yielded = walked.keys() - held.keys()
        states = first.updated_by(second)
        return [
            replace(latest[account_id], state=states.state_of(account_id))
            for account_id in sorted(latest.keys() - yielded)
        ]

    def _report_differences(self, first: _Lists, second: _Lists) -> None:
        """Add notes for the differences that remain after the second reading.

        An account that one of the lists had the first time only has moved or left since.
        """
        only_tree = second.only_in_tree - first.listed.keys() - self._joined_later
        only_list = second.only_in_list - first.tree.keys() - self._joined_later
        latest = first.updated_by(second)
        present = second.tree.keys() | second.listed.keys()
        disputed = (latest.disputed & present) - self._joined_later
        if only_tree or only_list:
            self.proven = False
            self.notes.append(
                "The OU tree and the account list of AWS Organizations still differed when read "
                f"a second time; every account of either is covered. Only in the tree: "
                f"{_some(only_tree)}. Only in the list: {_some(only_list)}."
            )
        if disputed:
            self.proven = False
            states = {
                account_id: f"{account_id} ({latest.tree[account_id]} in the tree, "
                f"{latest.listed[account_id]} in the list)"
                for account_id in disputed
            }
            self.notes.append(
                "The OU tree and the account list of AWS Organizations still disagreed about the "
                "state of accounts when read a second time; these accounts are read as active: "
                f"{_some(states.values())}."
            )

    async def _walked_again(self) -> dict[str, Account]:
        found: dict[str, Account] = {}
        async for account in self._walk():
            _enter(found, account)
        return found

    async def _listed(self) -> dict[str, Account]:
        found: dict[str, Account] = {}
        async for page in self.organizations.pages("ListAccounts", "Accounts"):
            for item in page:
                account = self._account(item)
                self.repeated += account.account_id in found
                _enter(found, account)
        return found

    async def _walk(self) -> AsyncGenerator[Account]:
        """Accounts in breadth-first order of the tree; nothing where it may not be read."""
        known: set[str] = set()
        try:
            async for page in self.organizations.pages("ListRoots", "Roots"):
                level = [(_id(root), _text(root.get("Name")) or "Root") for root in page]
                while level:
                    deeper: list[tuple[str, str]] = []
                    for ou_id, path in level:
                        known.add(ou_id)
                        self.ou_paths[ou_id] = path
                        units = asyncio.create_task(self._units(ou_id, path))
                        try:
                            async with aclosing(self._members(ou_id, path)) as members:
                                async for account in members:
                                    yield account
                            # A unit moved during the walk is met twice, and never walked twice.
                            deeper += [unit for unit in await units if unit[0] not in known]
                        finally:
                            units.cancel()
                            await asyncio.gather(units, return_exceptions=True)
                    level = deeper
        except Denied as error:
            self.tree_readable = False
            self.notes.append(
                "The OU tree could not be read, so OU paths are incomplete or empty; all "
                f"accounts come from the account list ({error})."
            )

    async def _units(self, parent: str, path: str) -> list[tuple[str, str]]:
        units = [
            # A / of its own would put the unit below another one, under that one's limits.
            (_id(unit), f"{path}/{(_text(unit.get('Name')) or unit['Id']).replace('/', '%2F')}")
            async for page in self.organizations.pages(
                "ListOrganizationalUnitsForParent", "OrganizationalUnits", ParentId=parent
            )
            for unit in page
        ]
        once = dict(units)
        self.repeated += len(units) - len(once)
        return list(once.items())

    async def _members(self, parent: str, path: str) -> AsyncGenerator[Account]:
        pages = self.organizations.pages("ListAccountsForParent", "Accounts", ParentId=parent)
        async for page in pages:
            for item in page:
                yield replace(self._account(item), ou_id=parent, ou_path=path)

    def _account(self, item: dict[str, Any]) -> Account:
        account_id = _id(item)
        if not _is_account_id(account_id):
            text = f"organizations: {account_id!r:.40} is not an account id"
            raise Malformed(text, code="MalformedAnswer", action="organizations")
        joined = item.get("JoinedTimestamp")
        joined_at = joined if isinstance(joined, datetime) else None
        if joined_at is not None and self.began_at is not None and joined_at > self.began_at:
            self._joined_later.add(account_id)
        return Account(
            account_id=account_id,
            name=_text(item.get("Name")),
            email=_text(item.get("Email")),
            arn=_text(item.get("Arn")),
            state=_state(item),
            is_management=account_id == self.organization.management_account_id,
            joined_at=joined_at,
        )

    async def _tagged(self, account: Account) -> Account:
        if not self.with_tags:
            return account
        tags: dict[str, str] = {}
        pages = self.organizations.pages(
            "ListTagsForResource", "Tags", ResourceId=account.account_id
        )
        try:
            async for page in pages:
                tags |= {_text(tag.get("Key")): _text(tag.get("Value")) for tag in page}
        except Denied as error:
            self.with_tags = False
            self.notes.append(f"Account tags could not be read ({error}).")
            return account
        except CallerBroken:
            raise
        except CallError as error:
            # Left meanwhile, or a call that fails for good: no reason to read no account at all.
            self._untagged[account.account_id] = error
            return account
        return replace(account, tags=tags)


@dataclass(frozen=True, slots=True)
class _Lists:
    """One reading of OU tree and account list: the state of each account, by id."""

    tree: Mapping[str, str]
    listed: Mapping[str, str]
    tree_whole: bool = True

    def updated_by(self, later: _Lists) -> _Lists:
        """Every account of two readings, in the state of the later one that has it."""
        return _Lists({**self.tree, **later.tree}, {**self.listed, **later.listed})

    def differ(self) -> bool:
        """Whether the two must be read again."""
        return bool(self.only_in_tree or self.only_in_list or self.disputed)

    @property
    def only_in_tree(self) -> set[str]:
        return self.tree.keys() - self.listed.keys()

    @property
    def only_in_list(self) -> set[str]:
        """Empty where the tree could not be read to its end: it lacks accounts then."""
        return self.listed.keys() - self.tree.keys() if self.tree_whole else set()

    @property
    def disputed(self) -> set[str]:
        """Accounts that one of the two calls active and the other does not."""
        return {
            account_id
            for account_id in self.tree.keys() & self.listed.keys()
            if is_read(self.tree[account_id]) != is_read(self.listed[account_id])
        }

    def state_of(self, account_id: str) -> str:
        """The account's state; where the two differ, the one that has it read."""
        states = [of[account_id] for of in (self.tree, self.listed) if account_id in of]
        return next(filter(is_read, states), states[0])


def _states(accounts: Mapping[str, Account]) -> dict[str, str]:
    return {account_id: account.state for account_id, account in accounts.items()}


def _enter(found: dict[str, Account], account: Account) -> None:
    """Add an account to a list; of two entries that differ the one that has it read is kept."""
    before = found.setdefault(account.account_id, account)
    if is_read(account.state) and not is_read(before.state):
        found[account.account_id] = account


async def _first(pages: AsyncIterator[list[Any]]) -> list[Any]:
    """The first page that holds anything: an empty one in front of it is legal."""
    async for page in pages:
        if page:
            return page
    return []


def _id(item: dict[str, Any]) -> str:
    try:
        return str(item["Id"])
    except (KeyError, TypeError):
        text = "organizations: the answer holds an account, unit or root without an id"
        raise Malformed(text, code="MalformedAnswer", action="organizations") from None


def _state(item: dict[str, Any]) -> AccountState:
    """State, else the Status it replaced in 2026; anything else is UNKNOWN, never dropped."""
    try:
        return AccountState(item.get("State") or item.get("Status") or "")
    except ValueError:
        return AccountState.UNKNOWN


def _text(value: object) -> str:
    """Text as AWS gave it; half a surrogate pair, which no file can hold, becomes U+FFFD."""
    return str(value or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _some(account_ids: Collection[str]) -> str:
    named = sorted(account_ids)[:_NAMED_IN_NOTE]
    rest = len(account_ids) - len(named)
    return (", ".join(named) or "none") + (f" and {rest} more" if rest else "")


@dataclass(frozen=True)
class Scope:
    """Which accounts the settings put out of scope. Empty tuples exclude nothing."""

    include_ous: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    exclude_accounts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include_ous or self.accounts or self.exclude_accounts)

    def unknown(self, enumeration: Enumeration, accounts: list[Account]) -> str | None:
        """What the scope names that the organization does not have, as one sentence."""
        if self.include_ous and not enumeration.tree_readable:
            return "--include-ou needs the OU tree, which the caller may not read"
        for account_id in self.unseen_accounts(accounts):
            return f"account {account_id} is not in the organization; check the number"
        for ou in self.unseen_ous(enumeration.ou_paths):
            known_paths = json.dumps(sorted(enumeration.ou_paths.values())[:20])
            return f"there is no OU {ou!r}; give an id or a path, as in {known_paths}"
        return None

    def unseen_accounts(self, accounts: list[Account]) -> list[str]:
        """The account ids of the scope that are none of ``accounts``."""
        known = {account.account_id for account in accounts}
        return [one for one in (*self.accounts, *self.exclude_accounts) if one not in known]

    def unseen_ous(self, ou_paths: dict[str, str]) -> list[str]:
        """The organizational units of the scope that are not in ``ou_paths``."""
        return [ou for ou in self.include_ous if not _paths_of(ou, ou_paths)]

    def included(self, ou_paths: dict[str, str]) -> dict[str, str]:
        """Those of ``ou_paths``, path by id, that the scope names."""
        paths = {path for ou in self.include_ous for path in _paths_of(ou, ou_paths)}
        return {ou_id: path for ou_id, path in ou_paths.items() if path in paths}

    def exclusion(self, account: Account, ou_paths: dict[str, str]) -> str:
        """Why the account is out of scope; empty where it is in scope."""
        if account.account_id in self.exclude_accounts:
            return "excluded by name in the settings"
        if self.accounts and account.account_id not in self.accounts:
            return "not among the accounts named in the settings"
        if not account.ou_path:
            return ""  # moved while the tree was read: wherever it is now, it may be inside
        included = [path for ou in self.include_ous for path in _paths_of(ou, ou_paths)]
        inside = any(
            account.ou_path == path or account.ou_path.startswith(f"{path}/") for path in included
        )
        if self.include_ous and not inside:
            return "outside the organizational units named in the settings"
        return ""


def _paths_of(ou: str, ou_paths: dict[str, str]) -> list[str]:
    """The paths an OU id, a full path, or a path below the root stands for."""
    if ou in ou_paths:
        return [ou_paths[ou]]
    wanted = ou.strip("/")
    return [
        path
        for path in ou_paths.values()
        if path == wanted or (path.partition("/")[2] == wanted and wanted)
    ]
