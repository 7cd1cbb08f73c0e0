"""AWS Organizations' read calls, in JSON 1.1."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from orgscan.models import AccountState
from orgscan.simulator.call import ServiceError
from orgscan.simulator.draw import letters
from orgscan.simulator.world import StateFields

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud, Session
    from orgscan.simulator.world import Account, World

_LARGEST_PAGE = 20
_HEXADECIMAL = frozenset("0123456789abcdef")
_OPEN_TO_ALL = {"DescribeOrganization"}


class Organizations:
    """The tree of one world, indexed once, and the calls that read it."""

    def __init__(self, cloud: Cloud) -> None:
        """Nothing is indexed before it is asked for."""
        self._cloud = cloud

    @property
    def _world(self) -> World:
        return self._cloud.world

    def call(self, session: Session, call: Call) -> dict[str, Any]:
        """Answer one call; only the management account and delegates may list."""
        handler = ACTIONS[call.action]
        readers = {self._world.management_account_id, *self._world.delegated_administrators}
        if call.action not in _OPEN_TO_ALL and session.account_id not in readers:
            raise ServiceError(
                400, "AccessDeniedException", "You don't have permissions to access this resource."
            )
        return handler(self, call.parameters)

    def describe_organization(self, _parameters: dict[str, Any]) -> dict[str, Any]:
        """The organization and its management account."""
        world = self._world
        management = world.accounts[0]
        identity = world.organization_id
        return {
            "Organization": {
                "Id": identity,
                "Arn": f"{self._prefix}:organization/{identity}",
                "FeatureSet": "ALL",
                "MasterAccountArn": f"{self._prefix}:account/{identity}/{management.id}",
                "MasterAccountId": management.id,
                "MasterAccountEmail": management.email,
                "AvailablePolicyTypes": [],
            }
        }

    def list_accounts(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """All accounts, whatever their state."""
        return self._accounts("ListAccounts", self._world.accounts, parameters)

    def list_accounts_for_parent(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The accounts directly under a root or an organizational unit."""
        parent = self._parent(parameters)
        accounts = self._by_parent.get(parent, [])
        return self._accounts(f"ListAccountsForParent/{parent}", accounts, parameters)

    def list_roots(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The one root."""
        root = {
            "Id": self._root_id,
            "Arn": f"{self._prefix}:root/{self._world.organization_id}/{self._root_id}",
            "Name": "Root",
            "PolicyTypes": [],
        }
        return self._page("Roots", [root], parameters, "ListRoots")

    def list_units(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The organizational units directly under a parent."""
        parent = self._parent(parameters)
        units = [
            {
                "Id": identity,
                "Arn": f"{self._prefix}:ou/{self._world.organization_id}/{identity}",
                "Name": path.rpartition("/")[2],
            }
            for path, identity in self._unit_ids.items()
            if path != "Root" and self._unit_ids[path.rpartition("/")[0]] == parent
        ]
        return self._page("OrganizationalUnits", units, parameters, f"units/{parent}")

    def list_tags(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The tags of an account."""
        account = self._cloud.accounts.get(parameters.get("ResourceId", ""))
        if account is None:
            raise ServiceError(
                400, "TargetNotFoundException", "You specified a target that doesn't exist."
            )
        return {"Tags": [{"Key": key, "Value": value} for key, value in account.tags.items()]}

    @cached_property
    def _prefix(self) -> str:
        return f"{self._cloud.issuer}:organizations::{self._world.management_account_id}"

    @cached_property
    def _root_id(self) -> str:
        return "r-" + letters(4, self._world.seed, "root").lower()

    @cached_property
    def _unit_ids(self) -> dict[str, str]:
        """Every path of the tree, parents included, with its id."""
        paths = {"Root"}
        for path in {account.ou for account in self._world.accounts} | {*self._world.empty_ous}:
            parts = path.split("/")
            paths |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        prefix = "ou" + self._root_id[1:]
        return {
            path: self._root_id
            if path == "Root"
            else f"{prefix}-{letters(8, self._world.seed, path).lower()}"
            for path in sorted(paths)
        }

    @cached_property
    def _by_parent(self) -> dict[str, list[Account]]:
        index: dict[str, list[Account]] = {}
        for account in self._world.accounts:
            index.setdefault(self._unit_ids[account.ou], []).append(account)
        return index

    def _parent(self, parameters: dict[str, Any]) -> str:
        parent = str(parameters.get("ParentId", ""))
        if parent not in self._unit_ids.values():
            raise ServiceError(
                400, "ParentNotFoundException", "You specified parent that doesn't exist."
            )
        return parent

    def _accounts(
        self, scope: str, accounts: Sequence[Account], parameters: dict[str, Any]
    ) -> dict[str, Any]:
        answer = self._page("Accounts", accounts, parameters, scope)
        answer["Accounts"] = [self._account(account) for account in answer["Accounts"]]
        return answer

    def _account(self, account: Account) -> dict[str, Any]:
        organization = self._world.organization_id
        answer: dict[str, Any] = {
            "Id": account.id,
            "Arn": f"{self._prefix}:account/{organization}/{account.id}",
            "Email": account.email,
            "Name": account.name,
            "JoinedMethod": "CREATED",
            "JoinedTimestamp": account.joined.timestamp(),
        }
        fields = account.state_fields or self._world.state_fields
        state = self._cloud.state(account)
        if fields in {StateFields.STATE, StateFields.BOTH}:
            answer["State"] = state
        if fields in {StateFields.STATUS, StateFields.BOTH}:
            # The retired field knows no CLOSED.
            answer["Status"] = "SUSPENDED" if state == AccountState.CLOSED else state
        return answer

    def _page(
        self, name: str, items: Sequence[Any], parameters: dict[str, Any], scope: str
    ) -> dict[str, Any]:
        """A page of ``items``; now and then an empty one, which is legal."""
        size = parameters.get("MaxResults", _LARGEST_PAGE)
        if not isinstance(size, int) or not 1 <= size <= _LARGEST_PAGE:
            raise ServiceError(
                400,
                "InvalidInputException",
                "You provided a value that does not match the required pattern.",
            )
        size = min(size, self._world.page_size)
        start, resumed = self._start(parameters.get("NextToken"), scope)
        every = self._world.empty_page_every
        if every and not resumed and (start // size + 1) % every == 0:
            return {name: [], "NextToken": self._token(start, scope, resumed=True)}
        end = start + size
        answer: dict[str, Any] = {name: items[start:end]}
        if end < len(items):
            answer["NextToken"] = self._token(end, scope)
        return answer

    def _token(self, position: int, scope: str, *, resumed: bool = False) -> str:
        """``resumed``: the page at this place was given empty, and must now be given whole."""
        seal = letters(20, self._world.seed, scope, position, resumed)
        return f"{position:x}-{int(resumed)}-{seal}"

    def _start(self, token: str | None, scope: str) -> tuple[int, bool]:
        if token is None:
            return 0, False
        position, _, rest = token.partition("-")
        resumed = rest.startswith("1")
        number = int(position, 16) if _HEXADECIMAL.issuperset(position) and position else -1
        if self._token(number, scope, resumed=resumed) != token:
            raise ServiceError(
                400, "InvalidInputException", "You specified a NextToken that isn't valid."
            )
        return number, resumed


ACTIONS: dict[str, Callable[[Organizations, dict[str, Any]], dict[str, Any]]] = {
    "DescribeOrganization": Organizations.describe_organization,
    "ListAccounts": Organizations.list_accounts,
    "ListAccountsForParent": Organizations.list_accounts_for_parent,
    "ListRoots": Organizations.list_roots,
    "ListOrganizationalUnitsForParent": Organizations.list_units,
    "ListTagsForResource": Organizations.list_tags,
}
