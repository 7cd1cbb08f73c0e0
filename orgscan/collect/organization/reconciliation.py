"""OU tree against account list: where they differ, and what is said about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan.models import is_read

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_NAMED_IN_NOTE = 10


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading of OU tree and account list: the state of each account, by id."""

    tree: Mapping[str, str]
    listed: Mapping[str, str]
    tree_whole: bool = True

    def updated_by(self, later: Reading) -> Reading:
        """Every account of two readings, in the state of the later one that has it."""
        return Reading({**self.tree, **later.tree}, {**self.listed, **later.listed})

    @property
    def differs(self) -> bool:
        """Whether the two must be read again."""
        return bool(self.only_in_tree or self.only_in_list or self.disputed)

    @property
    def only_in_tree(self) -> set[str]:
        """Accounts that are not in the account list."""
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


def remaining_differences(
    first: Reading, second: Reading, joined_later: Collection[str]
) -> list[str]:
    """Sentences about the differences that the second reading leaves; none where it leaves none.

    An account that one of the lists had only the first time has moved or left since, and one
    that joined after the run began may be in either.
    """
    only_tree = second.only_in_tree - first.listed.keys() - set(joined_later)
    only_list = second.only_in_list - first.tree.keys() - set(joined_later)
    latest = first.updated_by(second)
    present = second.tree.keys() | second.listed.keys()
    disputed = (latest.disputed & present) - set(joined_later)
    notes = []
    if only_tree or only_list:
        notes.append(
            "The OU tree and the account list still differ after a second reading. "
            "orgscan covers the accounts of both. Only in the tree: "
            f"{some(only_tree)}. Only in the list: {some(only_list)}."
        )
    if disputed:
        states = [
            f"{account_id} ({latest.tree[account_id]} in the tree, "
            f"{latest.listed[account_id]} in the list)"
            for account_id in disputed
        ]
        notes.append(
            "The OU tree and the account list of AWS Organizations still disagreed about the "
            "state of accounts when read a second time; these accounts are read as active: "
            f"{some(states)}."
        )
    return notes


def some(names: Collection[str]) -> str:
    """The first of ``names`` in order, and how many more there are."""
    named = sorted(names)[:_NAMED_IN_NOTE]
    rest = len(names) - len(named)
    return (", ".join(named) or "none") + (f" and {rest} more" if rest else "")
