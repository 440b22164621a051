"""``bind`` as macOS has it, on a Linux machine: for the half of TCP's rules that differs.

XNU (bsd/netinet/in_pcb.c, ``in_pcbbind``; bsd/netinet6/in6_pcb.c, ``in6_pcbbind``) refuses a port
of an address that is bound already with EADDRINUSE. A socket with SO_REUSEADDR collides with the
very same address alone, one without with every one that overlaps it. Linux refuses overlapping
listeners unless all have SO_REUSEPORT; with it, it hands a connection to the most exact one, as XNU
does. So here every socket has that, XNU's rule is applied to the kernel's table of listeners, and
its rule for the sockets of other users, which only refuses more, is left out.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_LISTENS = "0A"
_kernels_bind = socket.socket.bind


def bind(own: socket.socket, address: Any, /) -> None:
    """``socket.socket.bind`` with XNU's rule for TCP."""
    if own.family in (socket.AF_INET, socket.AF_INET6) and own.type == socket.SOCK_STREAM:
        reuses = bool(own.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
        wanted = _address(address[0] or "0.0.0.0", own.family)
        if address[1] and any(_collides(wanted, other, reuses) for other in _bound(address[1])):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _kernels_bind(own, address)


def install() -> None:
    """Have this whole process bind so: for the first lines of a program."""
    socket.socket.bind = bind  # type: ignore[assignment,method-assign]


PREAMBLE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.support.xnu import install
install()
"""


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _collides(wanted: _Address, other: _Address, reuses: bool) -> bool:
    """``in_pcblookup_local``: an address of IPv4 is one of a socket for both kinds too."""
    if wanted == other:
        return True
    either = wanted.is_unspecified or other.is_unspecified
    apart = wanted.version == 6 and other.version == 4 and not wanted.is_unspecified
    apart = apart or (wanted.version == 4 and other.version == 6 and not other.is_unspecified)
    return either and not apart and not reuses


def _bound(port: int) -> Iterator[_Address]:
    """The addresses with a listener on ``port`` (proc(5), net/tcp)."""
    for name in ("tcp", "tcp6"):
        for line in Path("/proc/net", name).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            digits, _, held = local.partition(":")
            if state == _LISTENS and int(held, 16) == port:
                words = bytes.fromhex(digits)
                packed = b"".join(words[i : i + 4][::-1] for i in range(0, len(words), 4))
                yield ipaddress.ip_address(packed)


def _address(host: str, family: int) -> _Address:
    found = socket.getaddrinfo(host, 0, family, socket.SOCK_STREAM)[0][4][0]
    return ipaddress.ip_address(str(found).partition("%")[0])
