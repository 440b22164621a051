"""Internet addresses as sockets and Host headers spell them."""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def to_address(text: str) -> Address:
    """The address; one of IPv4 within IPv6, as a socket for both has it, is that of IPv4.

    A zone (``fe80::1%en0``) does not count. Raises ValueError for a name.
    """
    found = ipaddress.ip_address(text.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches ``address``."""
    return to_address(address).is_loopback
