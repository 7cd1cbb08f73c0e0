"""Hosts and endpoints: which of them are on this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

_NETLOC = re.compile(
    r"(?:\[(?P<address>[0-9a-fA-F:.]+)\]|(?P<name>[^\s\[\]@:/?#\\]+))(?::(?P<port>\d{1,5}))?",
    re.ASCII,
)
_MAX_PORT = 65_535


def host_of(netloc: str) -> str:
    """The host of ``HOST`` or ``HOST:PORT``, in lower case; brackets hold an IPv6 address.

    Raises ValueError for anything else.
    """
    match = _NETLOC.fullmatch(netloc)
    if match is None:
        raise ValueError(f"{netloc!r} is not HOST or HOST:PORT")
    if int(match["port"] or 0) > _MAX_PORT:
        raise ValueError(f"port {match['port']} is not between 0 and {_MAX_PORT}")
    if match["address"]:
        return str(ipaddress.IPv6Address(match["address"]))
    return match["name"].lower()


def is_loopback(host: str) -> bool:
    """Whether what is sent to ``host``, a name or an address, stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_simulated(endpoint_url: str | None) -> bool:
    """Whether answers come from a loopback address: from a simulator, never from AWS itself."""
    if endpoint_url is None:
        return False
    try:
        return is_loopback(host_of(urlsplit(endpoint_url).netloc))
    except ValueError:
        return False


def must_be_safe(url: str) -> None:
    """Raise ValueError unless ``url`` is an endpoint that credentials may be sent to.

    That is https, or http on a loopback address, with a host, a port and a path at most. The
    message holds no password.
    """
    shown = url.rpartition("@")[2]  # what stands before it may be a password
    try:
        parts = urlsplit(url)
        # Python's own parser reads http://[::1].evil as [::1].
        host = host_of(parts.netloc.rpartition("@")[2]) if parts.netloc else None
    except ValueError as error:
        raise ValueError(
            f"{shown!r} is not a URL ({error}); it looks like https://host:port"
        ) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError(f"{shown!r} is not a URL; it looks like https://host:port")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("the endpoint URL can contain only a host, a port and a path")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(
            f"{url!r} would send credentials unencrypted; use https "
            "(plain http is accepted for loopback addresses only)"
        )
