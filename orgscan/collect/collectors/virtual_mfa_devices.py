"""Virtual MFA devices in use: tells root's virtual device from a hardware one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orgscan.collect.collectors.document import agreed, document, is_text, list_items
from orgscan.collect.collectors.trial import Trial
from orgscan.models import ROOT_USER, Evidence, Kind, mfa_owner

if TYPE_CHECKING:
    from orgscan.models import Calls, Clock

KIND = Kind.VIRTUAL_MFA_DEVICES
ACTIONS = ("iam:ListVirtualMFADevices",)
TRIALS = (
    Trial(
        action=ACTIONS[0],
        result="VirtualMFADevices",
        parameters={"AssignmentStatus": "Assigned", "MaxItems": 1},
    ),
)

_KEPT = ("SerialNumber", "EnableDate", "User")
"""AWS leaves a device's seed out of lists; should an endpoint send it, it is not ours to keep."""


async def collect_virtual_mfa_devices(
    calls: Calls, clock: Clock, *, roots_matters: bool
) -> tuple[Evidence, frozenset[str]]:
    """The assigned virtual devices, and the names of the users they are assigned to.

    With ``roots_matters`` root has an MFA device: a list without a virtual one of root would make
    it a hardware device, so such a list must be confirmed by a second one.

    Raises :class:`orgscan.errors.CallError`.
    """
    devices, repeated = await _listed(calls)
    if roots_matters and not any(mfa_owner(device) == ROOT_USER for device in devices):
        first = (devices, repeated)
        devices, repeated = await agreed(lambda: _listed(calls), ACTIONS[0], first)
    evidence = Evidence(
        kind=KIND, content=document(devices), collected_at=clock.now(), repeated=repeated
    )
    return evidence, frozenset(filter(None, map(_user, devices)))


def _user(device: dict[str, Any]) -> str:
    """The name of the IAM user that a device is assigned to; empty for root's."""
    if mfa_owner(device) != "user":
        return ""
    _path, _slash, name = device["User"]["Arn"].rpartition("/")
    return str(name)


async def _listed(calls: Calls) -> tuple[list[dict[str, Any]], int]:
    devices, repeated = await list_items(
        calls,
        ACTIONS[0],
        "VirtualMFADevices",
        {"SerialNumber": is_text},
        AssignmentStatus="Assigned",
    )
    kept = [{name: device[name] for name in _KEPT if name in device} for device in devices]
    return kept, repeated
