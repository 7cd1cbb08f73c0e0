"""The organization: its accounts, streamed with their OU paths, and proof that none is missing.

Accounts come from a walk of the OU tree, because only the walk knows where an account lives.
ListAccounts is the control total. Where the two differ both are read again once; then the union
is taken and the difference reported, so that no account is lost to a move during the walk.
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
from orgscan.models import Account, AccountState, Organization, is_word

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection

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
    proven: bool = True
    """Whether the account list vouches for the tree: an account that moves while the tree is
    read is missed there."""
    total: int = 0
    """Accounts found."""
    repeated: int = 0
    """Accounts and units that were listed again."""
    _untagged: dict[str, CallError] = field(default_factory=dict)

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
        seen: set[str] = set()
        try:
            async with aclosing(self._walk()) as walk:
                async for account in walk:
                    if account.account_id in seen:
                        self.repeated += 1
                    else:
                        seen.add(account.account_id)
                        yield account
            listed = await self._control_total(listing, seen)
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)
        if self.repeated:
            self.notes.append(
                f"AWS Organizations listed {self.repeated} entries more than once; each account "
                "is covered once."
            )
        if listed is None:
            return
        if self.tree_readable and listed.keys() != seen:
            listed = await self._settle(listed)
        for account_id in sorted(listed.keys() - seen):
            yield listed[account_id]

    async def _control_total(
        self, listing: asyncio.Task[dict[str, Account]], walked: set[str]
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

    async def _settle(self, listed: dict[str, Account]) -> dict[str, Account]:
        """Read tree and list again, say what still differs, and return the union."""
        walked, again = {}, await self._listed()
        async for account in self._walk():
            walked[account.account_id] = account
        only_tree = walked.keys() - again.keys()
        only_list = again.keys() - walked.keys()
        if only_tree or only_list:
            self.notes.append(
                "The OU tree and the account list of AWS Organizations still differed when read "
                f"a second time; every account of either is covered. Only in the tree: "
                f"{_some(only_tree)}. Only in the list: {_some(only_list)}."
            )
        return {**listed, **again, **walked}

    async def _listed(self) -> dict[str, Account]:
        found: dict[str, Account] = {}
        async for page in self.organizations.pages("ListAccounts", "Accounts"):
            for item in page:
                account = self._account(item)
                self.repeated += account.account_id in found
                found.setdefault(account.account_id, account)
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
        return Account(
            account_id=account_id,
            name=_text(item.get("Name")),
            email=_text(item.get("Email")),
            arn=_text(item.get("Arn")),
            state=_state(item),
            is_management=account_id == self.organization.management_account_id,
            joined_at=joined if isinstance(joined, datetime) else None,
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
