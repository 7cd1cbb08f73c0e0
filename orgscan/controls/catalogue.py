"""All controls, in the order in which they are listed, judged and reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.controls import (
    access_keys,
    console,
    password_policy,
    root,
    service_credentials,
    users,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from orgscan.controls.control import Control
    from orgscan.models import Kind

CATALOGUE: tuple[Control, ...] = (
    *root.CONTROLS,
    *password_policy.CONTROLS,
    console.CONSOLE_MFA,
    console.UNUSED_PASSWORD,
    access_keys.UNUSED_ACCESS_KEY,
    access_keys.ACCESS_KEY_ROTATION,
    users.SINGLE_ACTIVE_ACCESS_KEY,
    access_keys.SETUP_ACCESS_KEY,
    access_keys.NEVER_USED_ACCESS_KEY,
    access_keys.INACTIVE_ACCESS_KEY,
    users.USER_WITHOUT_CREDENTIALS,
    console.CONSOLE_USER,
    users.SIGNING_CERTIFICATE,
    service_credentials.SERVICE_SPECIFIC_CREDENTIAL,
)


def requested(kinds: Collection[Kind]) -> tuple[Control, ...]:
    """The controls whose evidence a run asked for; no others are evaluated."""
    return tuple(control for control in CATALOGUE if set(control.requires) <= set(kinds))
