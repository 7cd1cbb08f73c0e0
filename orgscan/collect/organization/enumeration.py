"""Every account of the organization, streamed as the tree is walked.

Accounts come from a walk of the OU tree, because only the walk knows where an account lives.
ListAccounts is the control total. Where the two differ, in accounts or in whether an account is
active, both are read again once. Then the union is taken, an account that either calls active is
read, and a difference that remains is reported and leaves the enumeration unproven.

The walk is streamed, with one exception: an account that the tree calls inactive is held back until
the account list was read, because only then is it certain that there is nothing to read.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from orgscan.collect.organization.lists import Lists
from orgscan.collect.organization.reconciliation import Reading, remaining_differences, some
from orgscan.errors import CallerBroken, CallError, Denied, RunError
from orgscan.models import is_read

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from datetime import datetime

    from orgscan.models import Account, Calls, Organization


class Enumeration:
    """One reading of the account list. Iterate it once; then ask for the rest.

    Iterating yields each :class:`Account` once, as soon as it is known, and raises
    :class:`orgscan.errors.RunError` if the list cannot be read to its end: a part of the
    organization must never pass for the whole.
    """

    def __init__(
        self,
        organizations: Calls,
        organization: Organization,
        *,
        with_tags: bool = False,
        began_at: datetime | None = None,
    ) -> None:
        """``began_at``, the beginning of the run, explains accounts that joined later."""
        self._lists = Lists(organizations, organization, began_at)
        self._with_tags = with_tags
        self._repeated = 0
        self._untagged: dict[str, CallError] = {}
        self.notes: list[str] = []
        """Sentences for the officer, filled while iterating."""
        self.tree_readable = True
        self.proven = True
        """Whether the account list was read and agrees with the tree: an account that moves while
        the tree is read is missed there."""
        self.total = 0
        """Accounts yielded so far."""

    @property
    def ou_paths(self) -> dict[str, str]:
        """Path by id of every root and organizational unit seen."""
        return self._lists.ou_paths

    async def __aiter__(self) -> AsyncGenerator[Account]:
        try:
            async with aclosing(self._accounts()) as accounts:
                async for account in accounts:
                    self.total += 1
                    yield await self._tagged(account)
            if self._untagged:
                *_, error = self._untagged.values()
                self.notes.append(
                    f"The tags of {some(self._untagged.keys())} could not be read ({error})."
                )
        except CallError as error:
            raise RunError(f"the account list could not be read in full: {error}") from error

    async def _accounts(self) -> AsyncGenerator[Account]:
        listing = asyncio.create_task(self._listed())
        walked: dict[str, str] = {}
        held: dict[str, Account] = {}
        try:
            async with aclosing(self._walk()) as walk:
                async for account in walk:
                    account_id = account.account_id
                    before = walked.get(account_id)
                    self._repeated += before is not None
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
        if repeated := self._repeated + self._lists.repeated:
            self.notes.append(
                f"AWS Organizations listed {repeated} entries more than once; each account "
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
        first = Reading(walked, _states(listed), tree_whole=self.tree_readable)
        if not first.differs:
            missed = listed.keys() - walked.keys()
            return [*held.values(), *(listed[account_id] for account_id in sorted(missed))]
        walked_again: dict[str, Account] = {}
        if self.tree_readable:
            async for account in self._walk():
                _enter(walked_again, account)
        listed_again = await self._listed()
        second = Reading(
            # Where the tree cannot be read a second time, the first reading is what there is.
            _states(walked_again) if self.tree_readable else walked,
            _states(listed_again),
            tree_whole=self.tree_readable,
        )
        if differences := remaining_differences(first, second, self._lists.joined_later):
            self.proven = False
            self.notes += differences
        # Only the tree knows where an account lives.
        latest = {**listed, **listed_again, **held, **walked_again}
        yielded = walked.keys() - held.keys()
        states = first.updated_by(second)
        return [
            replace(latest[account_id], state=states.state_of(account_id))
            for account_id in sorted(latest.keys() - yielded)
        ]

    async def _listed(self) -> dict[str, Account]:
        listed: dict[str, Account] = {}
        async for page in self._lists.accounts():
            for account in page:
                self._repeated += account.account_id in listed
                _enter(listed, account)
        return listed

    async def _walk(self) -> AsyncGenerator[Account]:
        """Accounts in breadth-first order of the tree; nothing where it may not be read."""
        try:
            async with aclosing(self._lists.accounts_in_units()) as pages:
                async for page in pages:
                    for account in page:
                        yield account
        except Denied as error:
            self.tree_readable = False
            self.notes.append(
                f"The OU tree could not be read ({error}). Accounts come from the account list; "
                "OU paths are incomplete or empty."
            )

    async def _tagged(self, account: Account) -> Account:
        if not self._with_tags:
            return account
        try:
            return replace(account, tags=await self._lists.tags(account.account_id))
        except Denied as error:
            self._with_tags = False
            self.notes.append(f"Account tags could not be read ({error}).")
        except CallerBroken:
            raise
        except CallError as error:
            # The account left, or the call fails for good: no reason to read no account at all.
            self._untagged[account.account_id] = error
        return account


def _states(accounts: Mapping[str, Account]) -> dict[str, str]:
    return {account_id: account.state for account_id, account in accounts.items()}


def _enter(listed: dict[str, Account], account: Account) -> None:
    """Add an account to a list; of two entries that differ the one that has it read is kept."""
    before = listed.setdefault(account.account_id, account)
    if is_read(account.state) and not is_read(before.state):
        listed[account.account_id] = account
