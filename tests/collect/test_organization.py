from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from orgscan.collect.organization import ACTIONS, Enumeration, Lists, Scope, describe
from orgscan.errors import CallerBroken, Denied, Malformed, RunError, Transient
from orgscan.models import Account, AccountState, Organization
from orgscan.simulator import Fault
from tests.kit import faults
from tests.kit.worlds import WORLDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MANAGEMENT = "000000000001"
ORGANIZATION = Organization("o-abc123", MANAGEMENT)
DENIED = Denied("not allowed", code="AccessDeniedException", action="organizations:X")
BROKEN = Transient("gone", code="ServiceException", action="organizations:X")
TREE = {
    "r-1": (["ou-a", "ou-b"], [MANAGEMENT]),
    "ou-a": (["ou-c"], ["000000000002"]),
    "ou-b": ([], []),
    "ou-c": ([], ["000000000003", "000000000004"]),
}
NAMES = {"r-1": "Root", "ou-a": "Work", "ou-b": "Empty", "ou-c": "Prod"}
ALL = [f"{number:012d}" for number in range(1, 5)]


class Tree:
    """An organization whose answers a test writes; pages of one item each.

    ``reads`` counts how often each list was begun; ``change`` is told of each reading.
    """

    def __init__(self, **errors: Exception) -> None:
        self.tree = {parent: ([*units], [*members]) for parent, (units, members) in TREE.items()}
        self.listed = [*ALL]
        self.errors = errors
        self.reads: Counter[str] = Counter()
        self.pages_given: list[str] = []
        self.change: Callable[[str], None] = lambda _what: None
        self.details: dict[str, dict[str, Any]] = {}
        self.states: dict[tuple[str, str], str] = {}
        """State by action and account, where one of the lists disagrees."""

    async def call(self, action: str, _result: str, /, **_parameters: Any) -> dict[str, Any]:
        raise NotImplementedError(action)

    async def pages(self, action: str, _result: str, /, **parameters: Any) -> AsyncIterator[Any]:
        parent = parameters.get("ParentId", parameters.get("ResourceId", ""))
        what = f"{action} {parent}".strip()
        self.change(what)
        self.reads[what] += 1
        items = self._items(action, parent)
        for item in [*items, None]:
            await asyncio.sleep(0)
            for name in (action, f"{action}_{parent.replace('-', '_')}"):
                # An error strikes after the first page, so that it is always in the middle.
                if name in self.errors and (item is None or item is not items[0]):
                    raise self.errors[name]
            self.pages_given.append(what)
            yield [] if item is None else [item]

    def _items(self, action: str, parent: str) -> list[dict[str, Any]]:
        if action == "ListRoots":
            return [{"Id": "r-1", "Name": "Root"}]
        if action == "ListOrganizationalUnitsForParent":
            return [{"Id": unit, "Name": NAMES[unit]} for unit in self.tree[parent][0]]
        if action == "ListTagsForResource":
            return [{"Key": "owner", "Value": parent}, {"Key": "empty", "Value": ""}]
        members = self.listed if action == "ListAccounts" else self.tree[parent][1]
        plain = {"State": "ACTIVE", "Name": "name"}
        found = [{"Id": one, **plain, **self.details.get(one, {})} for one in members]
        for item in found:
            item["State"] = self.states.get((action, item["Id"]), item["State"])
        return found


async def read(tree: Any, **more: Any) -> tuple[Enumeration, list[Account]]:
    enumeration = Enumeration(tree, ORGANIZATION, **more)
    return enumeration, [account async for account in enumeration]


def paths(accounts: list[Account]) -> dict[str, str]:
    assert len({account.account_id for account in accounts}) == len(accounts)
    return {account.account_id: account.ou_path for account in accounts}


WHOLE = dict(zip(ALL, ["Root", "Root/Work", "Root/Work/Prod", "Root/Work/Prod"], strict=True))


class TestLists:
    """A reader that has enough stops, and nothing more is asked."""

    async def test_the_account_list_is_read_page_by_page(self) -> None:
        tree = Tree()
        async with aclosing(Lists(tree, ORGANIZATION).accounts()) as pages:
            first, second = await anext(pages), await anext(pages)

        assert [account.account_id for account in (*first, *second)] == ALL[:2]
        assert [account.is_management for account in (*first, *second)] == [True, False]
        assert tree.pages_given == ["ListAccounts"] * 2

    @pytest.mark.parametrize(("wanted", "listed"), [("Root/Work", 1), ("Root/Work/Prod", 2)])
    async def test_no_unit_is_listed_after_the_one_that_was_sought(
        self, wanted: str, listed: int
    ) -> None:
        tree = Tree()
        lists = Lists(tree, ORGANIZATION)
        async with aclosing(lists.units()) as units:
            async for _unit in units:
                if wanted in lists.ou_paths.values():
                    break
        assert sum(what.startswith("ListOrg") for what in tree.reads) == listed

    async def test_a_walk_to_the_end_names_each_unit_once(self) -> None:
        lists = Lists(Tree(), ORGANIZATION)
        units = [unit async for unit in lists.units()]
        assert [ou_id for ou_id, _path in units] == ["r-1", "ou-a", "ou-b", "ou-c"]
        assert dict(units) == lists.ou_paths
        assert lists.repeated == 0

    async def test_a_walk_may_begin_at_a_unit(self) -> None:
        lists = Lists(Tree(), ORGANIZATION)
        pages = [page async for page in lists.accounts_in_units({"ou-a": "Root/Work"})]
        below = [account for page in pages for account in page]
        assert paths(below) == {account: WHOLE[account] for account in ALL[1:]}

    async def test_a_walk_that_is_left_early_leaves_no_task_and_no_call(self) -> None:
        before = asyncio.all_tasks()
        tree = Tree()
        async with aclosing(Lists(tree, ORGANIZATION).units()) as units:
            assert await anext(units) == ("r-1", "Root")
        assert asyncio.all_tasks() <= before
        assert tree.reads == {"ListRoots": 1}

    async def test_a_unit_that_moves_beside_itself_is_walked_once(self) -> None:
        tree = Tree()
        tree.tree["ou-b"][0].append("ou-c")  # was ou-a's when that one was listed
        units = [unit async for unit in Lists(tree, ORGANIZATION).units()]
        assert len(units) == len(dict(units)) == len(TREE)

    async def test_tags_are_those_of_the_account_named(self) -> None:
        tree = Tree()
        assert await Lists(tree, ORGANIZATION).tags(ALL[2]) == {"owner": ALL[2], "empty": ""}
        assert set(tree.reads) == {f"ListTagsForResource {ALL[2]}"}


class TestTree:
    async def test_every_account_has_the_path_of_its_unit(self) -> None:
        enumeration, accounts = await read(Tree())
        assert paths(accounts) == WHOLE
        assert (enumeration.total, enumeration.notes, enumeration.tree_readable) == (4, [], True)
        assert enumeration.ou_paths == {
            "r-1": "Root",
            "ou-a": "Root/Work",
            "ou-b": "Root/Empty",
            "ou-c": "Root/Work/Prod",
        }

    async def test_the_management_account_is_marked(self) -> None:
        _, accounts = await read(Tree())
        assert [one.account_id for one in accounts if one.is_management] == [MANAGEMENT]

    async def test_the_first_account_comes_before_the_last_page_was_read(self) -> None:
        tree = Tree()
        enumeration = aiter(Enumeration(tree, ORGANIZATION))
        first = await anext(enumeration)
        assert first.account_id == MANAGEMENT
        assert "ListAccountsForParent ou-c" not in tree.pages_given
        await enumeration.aclose()

    async def test_leaving_early_leaves_no_task(self) -> None:
        before = asyncio.all_tasks()
        enumeration = aiter(Enumeration(Tree(), ORGANIZATION))
        await anext(enumeration)
        await enumeration.aclose()
        assert asyncio.all_tasks() <= before

    async def test_an_account_met_twice_is_one_account(self) -> None:
        tree = Tree()
        tree.tree["ou-b"][1].append("000000000002")
        tree.listed += ["000000000003"]
        _, accounts = await read(tree)
        assert paths(accounts) == WHOLE

    async def test_a_unit_met_twice_is_walked_once(self) -> None:
        tree = Tree()
        tree.tree["ou-c"][0].append("ou-a")  # moved below itself while being walked
        _, accounts = await read(tree)
        assert paths(accounts) == WHOLE
        assert tree.reads["ListAccountsForParent ou-a"] == 1

    async def test_a_unit_s_name_puts_it_below_no_other(self, monkeypatch: Any) -> None:
        monkeypatch.setitem(NAMES, "ou-c", "Empty/Prod")
        enumeration, accounts = await read(Tree())
        assert enumeration.ou_paths["ou-c"] == "Root/Work/Empty%2FProd"
        assert {one.ou_path for one in accounts} == {"Root", "Root/Work", "Root/Work/Empty%2FProd"}

    @pytest.mark.parametrize("action", ["ListRoots", "ListOrganizationalUnitsForParent"])
    async def test_a_unit_or_root_without_an_id_is_malformed(self, action: str) -> None:
        tree = Tree()
        items = tree._items
        tree._items = lambda asked, parent: [{}] if asked == action else items(asked, parent)  # type: ignore[method-assign]
        with pytest.raises(RunError, match="without an id"):
            await read(tree)


class TestControlTotal:
    async def test_an_account_only_listed_at_first_gets_its_path_at_the_second_reading(
        self,
    ) -> None:
        tree = Tree()
        tree.listed.append("000000000009")

        def change(what: str) -> None:
            if what == "ListRoots" and tree.reads["ListRoots"]:
                tree.tree["ou-c"][1].append("000000000009")

        tree.change = change
        enumeration, accounts = await read(tree)
        assert paths(accounts) == {**WHOLE, "000000000009": "Root/Work/Prod"}
        assert enumeration.notes == []
        assert tree.reads["ListAccounts"] == tree.reads["ListRoots"] == 2

    async def test_an_account_only_walked_at_first_is_found_listed_at_the_second_reading(
        self,
    ) -> None:
        tree = Tree()
        tree.listed.remove("000000000004")

        def change(what: str) -> None:
            if what == "ListAccounts" and tree.reads["ListAccounts"]:
                tree.listed.append("000000000004")

        tree.change = change
        enumeration, accounts = await read(tree)
        assert (paths(accounts), enumeration.notes) == (WHOLE, [])

    async def test_what_still_differs_is_united_and_told(self) -> None:
        tree = Tree()
        tree.listed.remove("000000000004")
        tree.listed.append("000000000009")
        enumeration, accounts = await read(tree)
        assert paths(accounts) == {**WHOLE, "000000000009": ""}
        (note,) = enumeration.notes
        assert "Only in the tree: 000000000004. Only in the list: 000000000009." in note

    async def test_many_that_differ_are_counted_and_not_all_named(self) -> None:
        tree = Tree()
        tree.listed += [f"9{number:011d}" for number in range(25)]
        enumeration, accounts = await read(tree)
        assert len(accounts) == 29
        assert "900000000009 and 15 more." in enumeration.notes[0]

    @pytest.mark.parametrize(
        ("lost", "added"),
        [(ALL, []), (["000000000004"], []), ([], ["000000000009"])],
        ids=["the list is empty", "the list lacks one", "the tree lacks one"],
    )
    async def test_what_still_differs_leaves_it_unproven(
        self, lost: list[str], added: list[str]
    ) -> None:
        tree = Tree()
        tree.listed = [one for one in ALL if one not in lost] + added
        enumeration, accounts = await read(tree)
        assert set(paths(accounts)) == {*ALL, *added}
        assert not enumeration.proven
        assert tree.reads["ListAccounts"] == tree.reads["ListRoots"] == 2

    @pytest.mark.parametrize(("later", "proven"), [(1, True), (0, False), (-1, False)])
    @pytest.mark.parametrize("where", ["tree", "list", "state"])
    async def test_accounts_that_joined_after_the_run_began_are_no_difference(
        self, where: str, later: int, *, proven: bool
    ) -> None:
        began = datetime(2026, 11, 3, 12, tzinfo=UTC)
        tree, new = Tree(), "000000000009"
        tree.details[new] = {"JoinedTimestamp": began + timedelta(seconds=later)}
        if where != "tree":
            tree.listed.append(new)
        if where != "list":
            tree.tree["ou-c"][1].append(new)
        if where == "state":
            tree.states["ListAccounts", new] = "SUSPENDED"
        enumeration, accounts = await read(tree, began_at=began)
        assert set(paths(accounts)) == {*ALL, new}
        assert (enumeration.proven, enumeration.notes == []) == (proven, proven)

    async def test_an_account_that_keeps_moving_is_no_difference(self) -> None:
        tree = Tree()
        tree.listed.append("000000000009")  # moved while the tree was read the first time

        def change(what: str) -> None:
            if what == "ListRoots" and tree.reads["ListRoots"]:
                # Found now, while another one moves.
                tree.tree["ou-c"][1].append("000000000009")
                tree.tree["ou-a"][1].remove("000000000002")

        tree.change = change
        enumeration, accounts = await read(tree)
        assert set(paths(accounts)) == {*ALL, "000000000009"}
        assert (enumeration.proven, enumeration.notes) == (True, [])

    async def test_agreement_is_read_once(self) -> None:
        tree = Tree()
        await read(tree)
        assert set(tree.reads.values()) == {1}


def states_of(accounts: list[Account]) -> dict[str, str]:
    assert len({account.account_id for account in accounts}) == len(accounts)
    return {account.account_id: account.state for account in accounts}


class TestStates:
    """Tree and list disagree on whether an account is active."""

    ONE = "000000000002"

    @pytest.mark.parametrize("inactive", ["SUSPENDED", "PENDING_CLOSURE", "CLOSED"])
    @pytest.mark.parametrize("active", ["ACTIVE", "", "HIBERNATING"])
    @pytest.mark.parametrize("where", ["ListAccounts", "ListAccountsForParent"])
    async def test_to_the_end_it_is_read_and_named_and_the_enumeration_unproven(
        self, where: str, active: str, inactive: str
    ) -> None:
        tree = Tree()
        tree.details[self.ONE] = {"State": active}
        tree.states[where, self.ONE] = inactive
        enumeration, accounts = await read(tree)
        assert states_of(accounts)[self.ONE] in {AccountState.ACTIVE, AccountState.UNKNOWN}
        assert len(accounts) == len(ALL)
        assert paths(accounts) == WHOLE
        assert not enumeration.proven
        (note,) = enumeration.notes
        assert self.ONE in note
        assert inactive in note
        assert tree.reads["ListAccounts"] == tree.reads["ListRoots"] == 2

    @pytest.mark.parametrize("settled", ["SUSPENDED", "ACTIVE"])
    @pytest.mark.parametrize("where", ["ListAccounts", "ListAccountsForParent"])
    async def test_only_at_first_it_settles_at_the_second_reading(
        self, where: str, settled: str
    ) -> None:
        tree = Tree()
        tree.states[where, self.ONE] = "SUSPENDED"

        def change(what: str) -> None:
            if what == "ListRoots" and tree.reads[what]:
                tree.states.clear()
                tree.details[self.ONE] = {"State": settled}

        tree.change = change
        enumeration, accounts = await read(tree)
        # What the tree called active was read at once, while it was.
        expected = settled if where == "ListAccountsForParent" else "ACTIVE"
        assert states_of(accounts)[self.ONE] == expected
        assert (enumeration.proven, enumeration.notes) == (True, [])

    async def test_an_inactive_account_waits_for_the_list_and_the_others_do_not(self) -> None:
        tree = Tree()
        tree.details[MANAGEMENT] = {"State": "SUSPENDED"}
        enumeration = Enumeration(tree, ORGANIZATION)
        order = [account.account_id async for account in enumeration]
        assert order == [*ALL[1:], MANAGEMENT]
        assert (enumeration.proven, enumeration.notes) == (True, [])
        assert set(tree.reads.values()) == {1}

    async def test_ways_of_being_inactive_are_no_difference(self) -> None:
        tree = Tree()
        tree.details[self.ONE] = {"State": "CLOSED"}
        tree.states["ListAccounts", self.ONE] = "SUSPENDED"
        enumeration, accounts = await read(tree)
        assert states_of(accounts)[self.ONE] == "CLOSED"
        assert (enumeration.proven, tree.reads["ListAccounts"]) == (True, 1)

    async def test_without_a_state_in_one_of_them_it_is_read(self) -> None:
        tree = Tree()
        tree.states["ListAccounts", self.ONE] = ""
        enumeration, accounts = await read(tree)
        assert states_of(accounts)[self.ONE] == "ACTIVE"
        assert (enumeration.proven, tree.reads["ListAccounts"]) == (True, 1)

    @pytest.mark.parametrize("again", ["ou-b", "ou-c"])
    async def test_within_the_tree_it_is_read(self, again: str) -> None:
        """It moved while the tree was read, and was suspended or reopened at the same time."""
        for first, second in (("ACTIVE", "SUSPENDED"), ("SUSPENDED", "ACTIVE")):
            tree = Tree()
            tree.tree[again][1].append(self.ONE)
            given = iter([first, second])
            items = tree._items

            def answer(
                action: str, parent: str, items: Any = items, given: Any = given
            ) -> list[dict[str, Any]]:
                found = items(action, parent)
                for item in found if action == "ListAccountsForParent" else ():
                    if item["Id"] == self.ONE:
                        item["State"] = next(given)
                return list(found)

            tree._items = answer  # type: ignore[method-assign]
            _, accounts = await read(tree)
            assert states_of(accounts)[self.ONE] == "ACTIVE"
            assert len(accounts) == len(ALL)

    async def test_a_tree_read_in_part_is_held_to_the_list_too(self) -> None:
        tree = Tree(ListAccountsForParent_ou_c=DENIED)
        tree.states["ListAccountsForParent", self.ONE] = "SUSPENDED"
        enumeration, accounts = await read(tree)
        assert states_of(accounts)[self.ONE] == "ACTIVE"
        assert set(states_of(accounts)) == set(ALL)
        assert not enumeration.proven

    async def test_without_the_list_the_tree_decides_and_is_not_proven(self) -> None:
        tree = Tree(ListAccounts=DENIED)
        tree.details[self.ONE] = {"State": "SUSPENDED"}
        enumeration, accounts = await read(tree)
        assert states_of(accounts)[self.ONE] == "SUSPENDED"
        assert paths(accounts) == WHOLE
        assert not enumeration.proven


class TestDenied:
    async def test_the_tree_leaves_the_list_without_paths_and_a_note(self) -> None:
        enumeration, accounts = await read(Tree(ListRoots=DENIED))
        assert set(paths(accounts)) == set(ALL)
        assert not enumeration.tree_readable
        assert "OU paths are incomplete or empty" in enumeration.notes[0]

    async def test_a_part_of_the_tree_keeps_the_paths_seen_before(self) -> None:
        tree = Tree(ListAccountsForParent_ou_c=DENIED)
        enumeration, accounts = await read(tree)
        assert set(paths(accounts)) == set(ALL)
        assert paths(accounts)["000000000002"] == "Root/Work"
        assert len(enumeration.notes) == 1

    async def test_the_list_leaves_the_tree_and_a_note(self) -> None:
        enumeration, accounts = await read(Tree(ListAccounts=DENIED))
        assert paths(accounts) == WHOLE
        assert "the 4 accounts of the OU tree could not be checked" in enumeration.notes[0]

    async def test_both_fail_the_run(self) -> None:
        with pytest.raises(RunError, match="the account list could not be read in full"):
            await read(Tree(ListRoots=DENIED, ListAccounts=DENIED))

    async def test_tags_are_left_out_with_one_note(self) -> None:
        enumeration, accounts = await read(Tree(ListTagsForResource=DENIED), with_tags=True)
        assert {account.tags for account in accounts} == {None}
        assert enumeration.notes == ["Account tags could not be read (not allowed)."]


async def test_tags_that_cannot_be_read_cost_no_account_and_are_told_once() -> None:
    tree = Tree(ListTagsForResource=BROKEN)
    enumeration, accounts = await read(tree, with_tags=True)
    assert paths(accounts) == WHOLE
    assert {account.tags for account in accounts} == {None}
    assert enumeration.notes == [f"The tags of {', '.join(ALL)} could not be read (gone)."]


async def test_a_caller_who_may_call_no_more_fails_the_run_at_the_tags_too() -> None:
    broken = CallerBroken("expired", code="ExpiredToken", action="organizations:X")
    with pytest.raises(RunError, match="could not be read in full: expired"):
        await read(Tree(ListTagsForResource=broken), with_tags=True)


@pytest.mark.parametrize(
    "action",
    [
        "ListRoots",
        "ListAccounts",
        "ListAccountsForParent_ou_c",
        "ListOrganizationalUnitsForParent_ou_a",
    ],
)
async def test_a_failure_in_the_middle_fails_the_run(action: str) -> None:
    before = asyncio.all_tasks()
    with pytest.raises(RunError, match="could not be read in full: gone"):
        await read(Tree(**{action: BROKEN}), with_tags=True)
    assert asyncio.all_tasks() <= before


@pytest.mark.parametrize("account_id", ["12345678901", "\uff11" * 12, "x" * 12])
async def test_what_is_no_account_id_fails_the_run(account_id: str) -> None:
    tree = Tree()
    tree.listed.append(account_id)
    with pytest.raises(RunError, match="is not an account id"):
        await read(tree)


async def test_an_account_without_an_id_fails_the_run() -> None:
    tree = Tree()
    tree.details[ALL[1]] = {"Id": None}
    accounts = tree._items("ListAccounts", "")
    accounts[0].pop("Id")
    tree._items = lambda *_: accounts  # type: ignore[method-assign]
    with pytest.raises(RunError, match="without an id"):
        await read(tree)


class TestAccounts:
    @pytest.mark.parametrize(
        ("fields", "state"),
        [
            ({"State": "SUSPENDED"}, AccountState.SUSPENDED),
            ({"State": "CLOSED", "Status": "SUSPENDED"}, AccountState.CLOSED),
            ({"State": None, "Status": "SUSPENDED"}, AccountState.SUSPENDED),
            ({"State": "", "Status": "ACTIVE"}, AccountState.ACTIVE),
            ({"State": None}, AccountState.UNKNOWN),
            ({"State": "HIBERNATING"}, AccountState.UNKNOWN),
            ({"State": "HIBERNATING", "Status": "ACTIVE"}, AccountState.UNKNOWN),
            ({"State": ["ACTIVE"]}, AccountState.UNKNOWN),
        ],
        ids=str,
    )
    async def test_have_a_state_or_are_unknown_and_never_dropped(
        self, fields: dict[str, Any], state: AccountState
    ) -> None:
        tree = Tree()
        tree.details[ALL[2]] = fields
        _, accounts = await read(tree)
        assert next(one.state for one in accounts if one.account_id == ALL[2]) is state

    @pytest.mark.parametrize("name", ["=1+1", "NA", "", "\U0001f680", "a\nb\x00", "\u202ex"])
    async def test_keep_their_names_to_the_letter(self, name: str) -> None:
        tree = Tree()
        tree.details[ALL[2]] = {"Name": name, "Email": name}
        _, accounts = await read(tree)
        found = next(one for one in accounts if one.account_id == ALL[2])
        assert (found.name, found.email) == (name, name)

    async def test_half_a_surrogate_pair_is_replaced(self) -> None:
        tree = Tree()
        tree.details[ALL[2]] = {"Name": "lone \ud800 half", "Email": None}
        _, accounts = await read(tree)
        found = next(one for one in accounts if one.account_id == ALL[2])
        assert (found.name, found.email) == ("lone \ufffd half", "")

    async def test_keep_when_they_joined_where_it_is_a_time(self) -> None:
        joined = datetime(2020, 1, 1, tzinfo=UTC)
        tree = Tree()
        tree.details = {ALL[0]: {"JoinedTimestamp": joined}, ALL[1]: {"JoinedTimestamp": "soon"}}
        _, accounts = await read(tree)
        assert [one.joined_at for one in accounts[:2]] == [joined, None]

    async def test_have_tags_where_they_are_asked_for(self) -> None:
        _, without = await read(Tree())
        _, tagged = await read(Tree(), with_tags=True)
        assert {one.tags for one in without} == {None}
        assert all(one.tags == {"owner": one.account_id, "empty": ""} for one in tagged)


class TestScope:
    PATHS = {"r-1": "Root", "ou-1": "Root/Prod", "ou-2": "Root/Prod/EU", "ou-3": "Root/Production"}  # noqa: RUF012

    def excluded(self, path: str, **scope: Any) -> str:
        account = Account(account_id="000000000005", ou_path=path)
        return Scope(**scope).exclusion(account, self.PATHS)

    def test_of_nothing_is_everything(self) -> None:
        assert not Scope()
        assert self.excluded("Root/Prod") == ""

    @pytest.mark.parametrize("ou", ["ou-1", "Root/Prod", "Prod", "/Root/Prod/", "Prod/"])
    def test_of_a_unit_is_all_below_it_and_nothing_beside_it(self, ou: str) -> None:
        assert self.excluded("Root/Prod", include_ous=(ou,)) == ""
        assert self.excluded("Root/Prod/EU", include_ous=(ou,)) == ""
        for path in ("Root", "Root/Production"):
            assert self.excluded(path, include_ous=(ou,)).startswith("outside the organizational")

    def test_of_a_unit_may_hold_an_account_that_moved_while_the_tree_was_read(self) -> None:
        assert self.excluded("", include_ous=("Prod",)) == ""

    def test_of_the_root_is_everything(self) -> None:
        assert self.excluded("Root/Production", include_ous=("r-1",)) == ""
        assert self.excluded("Root", include_ous=("Root",)) == ""

    def test_exclusion_by_number_outweighs_inclusion(self) -> None:
        both = {"accounts": ("000000000005",), "exclude_accounts": ("000000000005",)}
        assert self.excluded("Root", **both) == "excluded by name in the settings"

    def test_of_other_accounts_leaves_this_one_out(self) -> None:
        assert "not among the accounts" in self.excluded("Root", accounts=("000000000006",))
        assert self.excluded("Root", accounts=("000000000005",)) == ""

    @pytest.mark.parametrize(
        ("scope", "said"),
        [
            ({"accounts": ("000000000099",)}, "account 000000000099 is not in the organization"),
            ({"exclude_accounts": ("000000000099",)}, "account 000000000099 is not in the"),
            (
                {"include_ous": ("Wrok",)},
                "OU 'Wrok' does not exist; give an ID or a path, for example",
            ),
            ({"include_ous": ("",)}, "OU '' does not exist"),
            ({"include_ous": ("/",)}, "OU '/' does not exist"),
            ({"include_ous": ("ou-a", "Work/Prod"), "accounts": (MANAGEMENT,)}, None),
        ],
        ids=str,
    )
    async def test_that_names_what_does_not_exist_is_told(
        self, scope: dict[str, Any], said: str | None
    ) -> None:
        enumeration, accounts = await read(Tree())
        problem = Scope(**scope).unknown(accounts, enumeration.ou_paths)
        assert problem is None if said is None else said in (problem or "")

    async def test_of_units_needs_the_tree(self) -> None:
        enumeration, accounts = await read(Tree(ListRoots=DENIED))
        assert not enumeration.tree_readable
        problem = Scope(include_ous=("ou-a",)).unknown(
            accounts, enumeration.ou_paths, tree_readable=False
        )
        assert problem == "--include-ou needs the OU tree, which the caller may not read"


class Described:
    def __init__(self, organization: Any) -> None:
        self._organization = organization

    async def call(self, _action: str, _result: str, /) -> dict[str, Any]:
        return {"Organization": self._organization}

    pages: Any = None


async def test_an_organization_is_its_id_and_its_management_account() -> None:
    found = await describe(Described({"Id": "o-1", "MasterAccountId": MANAGEMENT}))
    assert found == Organization("o-1", MANAGEMENT)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"Id": "o-1"},
        None,
        {"MasterAccountId": "1"},
        {"Id": "../../x", "MasterAccountId": MANAGEMENT},
        {"Id": "o-1\x1b[2J", "MasterAccountId": MANAGEMENT},
        {"Id": "o-1", "MasterAccountId": "x"},
    ],
    ids=str,
)
async def test_an_organization_without_its_parts_is_malformed(answer: Any) -> None:
    with pytest.raises(Malformed):
        await describe(Described(answer))


class TestAgainstTheSimulator:
    @pytest.mark.parametrize("name", ["paging", "hostile"])
    async def test_every_account_comes_once_with_its_path_and_only_declared_actions_are_called(
        self, simulate: Any, connect: Any, name: str
    ) -> None:
        world = WORLDS[name]()
        simulator = await simulate(world)
        aws = await connect(simulator)
        described = await describe(aws.organizations)
        enumeration = Enumeration(aws.organizations, described, with_tags=True)
        found = {account.account_id: account async for account in enumeration}
        assert enumeration.notes == []
        assert enumeration.total == len(found) == len(world.accounts)
        for account in world.accounts:
            mine = found[account.id]
            assert (mine.ou_path, mine.tags) == (account.ou, account.tags)
            assert mine.name == account.name.replace("\ud800", "\ufffd")
            assert mine.joined_at == account.joined
        assert {call.name for call in simulator.calls} == set(ACTIONS)

    async def test_throttling_and_odd_pages_change_nothing(
        self, simulate: Any, connect: Any
    ) -> None:
        world = replace(
            WORLDS["paging"](),
            faults=(
                Fault(effect=faults.TOO_MANY_REQUESTS, service="organizations", probability=0.5),
                Fault(effect=faults.PAGE_EDITS["empty-page"], action="ListAccounts", nth=1),
                Fault(effect=faults.PAGE_EDITS["duplicate-page"], action="ListAccountsForParent"),
            ),
        )
        aws = await connect(await simulate(world))
        enumeration = Enumeration(aws.organizations, await describe(aws.organizations))
        found = [account.account_id async for account in enumeration]
        assert sorted(found) == sorted(account.id for account in world.accounts)
        assert len(enumeration.notes) == 1
        assert "more than once; each account is covered once" in enumeration.notes[0]

    async def test_markers_that_go_in_circles_fail_the_run(
        self, simulate: Any, connect: Any
    ) -> None:
        circle = Fault(effect=faults.PAGE_EDITS["marker-circle"], action="ListAccounts")
        aws = await connect(await simulate(WORLDS["small"](), faults=[circle]))
        enumeration = Enumeration(aws.organizations, await describe(aws.organizations))
        with pytest.raises(RunError, match="the same page marker came twice"):
            async for _ in enumeration:
                pass
