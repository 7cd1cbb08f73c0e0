"""Virtual MFA devices in use: tells root's virtual device from a hardware one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orgscan.collectors.document import LIST_PAGE, document, unique
from orgscan.collectors.trial import Trial
from orgscan.models import Evidence, Kind

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


async def collect(calls: Calls, clock: Clock) -> Evidence:
    """The assigned virtual devices.

    Raises :class:`orgscan.errors.CallError`.
    """
    pages = [
        page
        async for page in calls.pages(
            "ListVirtualMFADevices",
            "VirtualMFADevices",
            AssignmentStatus="Assigned",
            MaxItems=LIST_PAGE,
        )
    ]
    found, repeated = unique(pages, {"SerialNumber": str}, ACTIONS[0])
    devices = [{name: device[name] for name in _KEPT if name in device} for device in found]
    return Evidence(
        kind=KIND, content=document(devices), collected_at=clock.now(), repeated=repeated
    )
