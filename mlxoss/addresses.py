"""Internet addresses as settings, sockets, URLs and Host headers spell them."""

from __future__ import annotations

import ipaddress

LOOPBACK = "localhost"
"""As a setting: this machine alone, by IPv4 and IPv6 (RFC 6761 keeps the name for that)."""

LOOPBACK_ADDRESSES = ("127.0.0.1", "::1")

_REACHABLE = {
    LOOPBACK: "127.0.0.1",
    "0.0.0.0": "127.0.0.1",  # noqa: S104 (bound nowhere)
    "": "127.0.0.1",
    "::": "::1",
}

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "3fff::/20"),
    )
)
"""What older releases of Python take for public: the IETF's own network, where one cloud has its
metadata (192.0.0.192); 6to4's relays; documentation. And the address of Azure's host."""

_IN_NO_HOST = frozenset(' "#/<>?@[\\]^`{|}')
"""Forbidden in hosts (WHATWG's URL standard). A resolver may stop at a zero, and take what stands
before it for the name."""

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


def is_host(text: str) -> bool:
    """Whether a URL's host, without brackets, has no character that none may have."""
    return text.isprintable() and _IN_NO_HOST.isdisjoint(text)


def reachable(host: str) -> str:
    """Where a client on this machine reaches a server that was told to listen on ``host``."""
    return _REACHABLE.get(host, host)


def to_netloc(host: str, port: int) -> str:
    """Both as a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def to_url(host: str, port: int, *, is_tls: bool = False) -> str:
    """How a client on this machine reaches a server that listens on ``host`` and ``port``."""
    return f"{'https' if is_tls else 'http'}://{to_netloc(reachable(host), port)}"


def is_public(text: str) -> bool:
    """Whether the address is one of the open internet: not of this machine, its network, a
    provider's (CGNAT), and none that leads to such a one in IPv6's ways to IPv4.

    Sources: IANA's special-purpose registries, by ``ipaddress``; RFC 6052 (NAT64), RFC 3056
    (6to4), RFC 4380 (Teredo).
    """
    address = to_address(text)
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(str(ipaddress.IPv4Address(address.packed[-4:])))
        if address.sixtofour or address.teredo or address.is_site_local:
            return False
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
