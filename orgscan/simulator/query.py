"""What IAM's calls share: times, status words, the user asked about, and pages."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Protocol

from orgscan.simulator.call import ServiceError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from orgscan.simulator.call import Call
    from orgscan.simulator.cloud import Cloud, Estate
    from orgscan.simulator.world import User

_DEFAULT_PAGE, _LARGEST_PAGE = 100, 1000


class Switched(Protocol):
    """A credential that is active or not."""

    @property
    def active(self) -> bool:
        """Whether it can be used."""

    @property
    def status(self) -> str:
        """The word IAM gives; empty: as ``active`` says."""


def status(credential: Switched) -> str:
    """The credential's status as IAM's lists give it."""
    return credential.status or ("Active" if credential.active else "Inactive")


def stamp(moment: datetime) -> str:
    """A time as IAM's XML writes it."""
    return moment.isoformat(timespec="seconds")[:19] + "Z"


def named_user(estate: Estate, call: Call) -> User:
    """The live user the call names; ValidationError without a name, NoSuchEntity without a user."""
    name = call.parameters.get("UserName")
    if not name:
        raise ServiceError(
            400, "ValidationError", "Must specify userName when calling with non-User credentials"
        )
    return estate.user(name)


def page(
    cloud: Cloud, parameters: dict[str, Any], items: Sequence[Any]
) -> tuple[Sequence[Any], str]:
    """The page a Marker points at, and the elements that say whether more follow."""
    start = _start(parameters.get("Marker"))
    size = min(_size(parameters.get("MaxItems")), cloud.world.iam_page_size)
    end = start + size
    if end < len(items):
        marker = b64encode(f"after/{end}/{len(items)}".encode()).decode("ascii")
        paging = f"<IsTruncated>true</IsTruncated><Marker>{marker}</Marker>"
    else:
        paging = "<IsTruncated>false</IsTruncated>"
    return items[start:end], paging


def _start(marker: str | None) -> int:
    return 0 if marker is None else read_marker(marker)[0]


def read_marker(marker: str) -> tuple[int, int]:
    """How many items came before the page a Marker points at, and how many there are in all.

    Raises :class:`~orgscan.simulator.cloud.ServiceError` for a Marker that was never given.
    """
    try:
        _, position, total = b64decode(marker, validate=True).decode("ascii").split("/")
        return int(position), int(total)
    except ValueError:
        raise ServiceError(400, "ValidationError", "Invalid Marker.") from None


def _size(text: str | None) -> int:
    try:
        size = int(text) if text is not None else _DEFAULT_PAGE
    except ValueError:
        size = 0
    if not 1 <= size <= _LARGEST_PAGE:
        raise ServiceError(
            400, "ValidationError", f"Value '{text}' at 'maxItems' failed to satisfy constraint"
        )
    return size
