"""Which accounts of the organization the settings put in scope."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orgscan.models import is_in_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from orgscan.models import Account


@dataclass(frozen=True)
class Scope:
    """Which accounts the settings put out of scope. Empty tuples exclude nothing."""

    include_ous: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    exclude_accounts: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.include_ous or self.accounts or self.exclude_accounts)

    def unknown(
        self,
        accounts: Sequence[Account],
        ou_paths: Mapping[str, str],
        *,
        tree_readable: bool = True,
    ) -> str | None:
        """What the scope names that is neither account nor unit, as one sentence."""
        if self.include_ous and not tree_readable:
            return "--include-ou needs the OU tree, which the caller may not read"
        for account_id in self.unseen_accounts(accounts):
            return f"account {account_id} is not in the organization; check the number"
        for ou in self.unseen_ous(ou_paths):
            known_paths = json.dumps(sorted(ou_paths.values())[:20])
            return f"OU {ou!r} does not exist; give an ID or a path, for example {known_paths}"
        return None

    def unseen_accounts(self, accounts: Sequence[Account]) -> list[str]:
        """The account ids of the scope that are none of ``accounts``."""
        known = {account.account_id for account in accounts}
        named = (*self.accounts, *self.exclude_accounts)
        return [account_id for account_id in named if account_id not in known]

    def unseen_ous(self, ou_paths: Mapping[str, str]) -> list[str]:
        """The organizational units of the scope that are not in ``ou_paths``."""
        return [ou for ou in self.include_ous if not _paths_of(ou, ou_paths)]

    def included(self, ou_paths: Mapping[str, str]) -> dict[str, str]:
        """Those of ``ou_paths``, path by id, that the scope names."""
        paths = {path for ou in self.include_ous for path in _paths_of(ou, ou_paths)}
        return {ou_id: path for ou_id, path in ou_paths.items() if path in paths}

    def exclusion(self, account: Account, ou_paths: Mapping[str, str]) -> str:
        """Why the account is out of scope; empty where it is in scope."""
        if account.account_id in self.exclude_accounts:
            return "excluded by name in the settings"
        if self.accounts and account.account_id not in self.accounts:
            return "not among the accounts named in the settings"
        # An account without a path moved while the tree was read: it may be inside now.
        if self.include_ous and account.ou_path:
            included = [path for ou in self.include_ous for path in _paths_of(ou, ou_paths)]
            if not any(is_in_unit(account.ou_path, path) for path in included):
                return "outside the organizational units named in the settings"
        return ""


def _paths_of(ou: str, ou_paths: Mapping[str, str]) -> list[str]:
    """The paths an OU id, a full path, or a path below the root stands for."""
    if ou in ou_paths:
        return [ou_paths[ou]]
    wanted = ou.strip("/")
    return [
        path
        for path in ou_paths.values()
        if path == wanted or (path.partition("/")[2] == wanted and wanted)
    ]
