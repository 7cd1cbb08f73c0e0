"""What the id of a finding is made of.

``finding_id`` is 8 hex digits of SHA-256 over organization and control, then 24 of SHA-256 over
organization, account, user and key, each joined by the unit separator. The user is empty for a
control on the account; the key is its id, ``slot-N`` where it has none, and empty for a control
on no key.
"""

from __future__ import annotations

import hashlib

SEPARATOR = "\x1f"
CONTROL_DIGITS, ID_DIGITS = 8, 32
RESOURCE_DIGITS = ID_DIGITS - CONTROL_DIGITS

_WITHOUT_ID = ("", "slot-1", "slot-2")
"""What stands for the key where no key id is told."""


def control_digits(organization_id: str, control_id: str) -> str:
    """The half of an id that is the control's."""
    name = SEPARATOR.join((organization_id, control_id))
    return hashlib.sha256(name.encode()).hexdigest()[:CONTROL_DIGITS]


def resource_digits(name: bytes) -> str:
    """The half of an id that is the resource's; ``name`` is what it is made of, joined."""
    return hashlib.sha256(name).hexdigest()[:RESOURCE_DIGITS]


def is_id_of(
    finding_id: str,
    *,
    organization_id: str,
    control_id: str,
    account_id: str,
    user: str = "",
    access_key_id: str = "",
) -> bool:
    """Whether a finding of this control and resource has that id; any slot where no key is told."""
    if finding_id[:CONTROL_DIGITS] != control_digits(organization_id, control_id):
        return False
    keys = (access_key_id,) if access_key_id else _WITHOUT_ID
    names = (SEPARATOR.join((organization_id, account_id, user, key)) for key in keys)
    return any(
        finding_id[CONTROL_DIGITS:] == resource_digits(name.encode(errors="replace"))
        for name in names
    )
