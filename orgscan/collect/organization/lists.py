"""The lists of AWS Organizations: units and their accounts, all accounts, tags."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from orgscan.errors import Malformed
from orgscan.models import Account, AccountState, Organization, is_word

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from orgscan.models import Calls

ACTIONS = (
    "organizations:DescribeOrganization",
    "organizations:ListAccounts",
    "organizations:ListAccountsForParent",
    "organizations:ListOrganizationalUnitsForParent",
    "organizations:ListRoots",
    "organizations:ListTagsForResource",
)
_is_account_id = re.compile(r"\d{12}", re.ASCII).fullmatch


async def describe(organizations: Calls) -> Organization:
    """The organization the caller belongs to.

    Raises :class:`orgscan.errors.CallError`.
    """
    answer = await organizations.call("DescribeOrganization", "Organization")
    described = answer["Organization"]
    try:
        organization = Organization(
            id=described["Id"], management_account_id=described["MasterAccountId"]
        )
        if is_word(organization.id) and _is_account_id(organization.management_account_id):
            return organization
    except (KeyError, TypeError):
        pass
    raise Malformed(
        "organizations:DescribeOrganization: the answer names no organization",
        code="MalformedAnswer",
        action="organizations:DescribeOrganization",
    )


@dataclass
class Lists:
    """Reads the lists of one organization page by page; a reader stops when it has enough.

    Everything here raises :class:`orgscan.errors.CallError`.
    """

    organizations: Calls
    organization: Organization
    began_at: datetime | None = None
    """When the run began. Accounts that joined later may be in one of the lists only."""
    ou_paths: dict[str, str] = field(default_factory=dict)
    """Path by id of every root and organizational unit seen."""
    joined_later: set[str] = field(default_factory=set)
    """Ids of accounts that joined after the run began."""
    repeated: int = 0
    """Units that were listed again."""

    async def accounts(self) -> AsyncGenerator[list[Account]]:
        """Pages of the account list. Only the tree knows where an account lives."""
        async for page in self.organizations.pages("ListAccounts", "Accounts"):
            yield [self._account(item) for item in page]

    async def accounts_in_units(
        self, start: Mapping[str, str] | None = None
    ) -> AsyncGenerator[list[Account]]:
        """Pages of accounts with their OU paths, unit by unit; ``start`` as in :meth:`units`."""
        async with aclosing(self.units(start)) as units:
            async for ou_id, path in units:
                async for page in self.members(ou_id, path):
                    yield page

    async def members(self, ou_id: str, path: str) -> AsyncGenerator[list[Account]]:
        """Pages of the accounts directly in one unit."""
        pages = self.organizations.pages("ListAccountsForParent", "Accounts", ParentId=ou_id)
        async for page in pages:
            yield [replace(self._account(item), ou_id=ou_id, ou_path=path) for item in page]

    async def units(
        self, start: Mapping[str, str] | None = None
    ) -> AsyncGenerator[tuple[str, str]]:
        """Id and path of each unit, breadth first: the one walk of the tree.

        It begins at the roots, or at the units of ``start``, path by id. While the reader looks
        at a unit, the units below it are listed.
        """
        waiting = deque((await self._roots() if start is None else start).items())
        known = {ou_id for ou_id, _path in waiting}
        while waiting:
            ou_id, path = waiting.popleft()
            listing = asyncio.create_task(self._below(ou_id, path))
            try:
                yield ou_id, path
                # A unit that moves during the walk is listed twice, and never walked twice.
                below = {unit: at for unit, at in (await listing).items() if unit not in known}
            finally:
                listing.cancel()
                await asyncio.gather(listing, return_exceptions=True)
            self.ou_paths |= below
            known |= below.keys()
            waiting += below.items()

    async def tags(self, account_id: str) -> dict[str, str]:
        """The tags of one account."""
        pages = self.organizations.pages("ListTagsForResource", "Tags", ResourceId=account_id)
        return {
            _text(tag.get("Key")): _text(tag.get("Value")) async for page in pages for tag in page
        }

    async def _roots(self) -> dict[str, str]:
        roots = {
            _id(root): _text(root.get("Name")) or "Root"
            async for page in self.organizations.pages("ListRoots", "Roots")
            for root in page
        }
        self.ou_paths |= roots
        return roots

    async def _below(self, parent: str, path: str) -> dict[str, str]:
        units = [
            # An unescaped / would put the unit below another one, under that one's thresholds.
            (_id(unit), f"{path}/{(_text(unit.get('Name')) or unit['Id']).replace('/', '%2F')}")
            async for page in self.organizations.pages(
                "ListOrganizationalUnitsForParent", "OrganizationalUnits", ParentId=parent
            )
            for unit in page
        ]
        once = dict(units)
        self.repeated += len(units) - len(once)
        return once

    def _account(self, item: dict[str, Any]) -> Account:
        account_id = _id(item)
        if not _is_account_id(account_id):
            raise Malformed(
                f"organizations: {account_id!r:.40} is not an account id",
                code="MalformedAnswer",
                action="organizations",
            )
        joined = item.get("JoinedTimestamp")
        joined_at = joined if isinstance(joined, datetime) else None
        if joined_at is not None and self.began_at is not None and joined_at > self.began_at:
            self.joined_later.add(account_id)
        return Account(
            account_id=account_id,
            name=_text(item.get("Name")),
            email=_text(item.get("Email")),
            arn=_text(item.get("Arn")),
            state=_state(item),
            is_management=account_id == self.organization.management_account_id,
            joined_at=joined_at,
        )


def _id(item: dict[str, Any]) -> str:
    try:
        return str(item["Id"])
    except (KeyError, TypeError):
        raise Malformed(
            "organizations: the answer holds an account, unit or root without an id",
            code="MalformedAnswer",
            action="organizations",
        ) from None


def _state(item: dict[str, Any]) -> AccountState:
    """State, else the Status it replaced in 2026; anything else is UNKNOWN, never dropped."""
    try:
        return AccountState(item.get("State") or item.get("Status") or "")
    except ValueError:
        return AccountState.UNKNOWN


def _text(value: object) -> str:
    """Text as AWS gave it; half a surrogate pair, which no file can hold, becomes U+FFFD."""
    return str(value or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
