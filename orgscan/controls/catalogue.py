"""All controls, in the order in which they are listed, evaluated and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.controls.access_keys import CONTROLS as ACCESS_KEYS
from orgscan.controls.console import CONTROLS as CONSOLE
from orgscan.controls.password_policy import CONTROLS as PASSWORD_POLICY
from orgscan.controls.root import CONTROLS as ROOT
from orgscan.controls.service_credentials import CONTROLS as SERVICE_CREDENTIALS
from orgscan.controls.users import CONTROLS as USERS

if TYPE_CHECKING:
    from collections.abc import Collection

    from orgscan.controls.control import Control
    from orgscan.models import Kind

CATALOGUE: tuple[Control, ...] = (
    *ROOT,
    *PASSWORD_POLICY,
    *CONSOLE,
    *ACCESS_KEYS,
    *USERS,
    *SERVICE_CREDENTIALS,
)


def requested(kinds: Collection[Kind]) -> tuple[Control, ...]:
    """The controls whose evidence a run asked for; no others are evaluated."""
    return tuple(control for control in CATALOGUE if set(control.requires) <= set(kinds))
