"""Takes the addresses that the settings name, or tells who has them."""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

from mlxoss.addresses import LOOPBACK, LOOPBACK_ADDRESSES, is_loopback
from mlxoss.errors import ConfigError

IPV4_ALONE = "clients that ask for localhost may reach it; host = 127.0.0.1 leaves IPv6 alone"
"""What to say of a port that another program has on ::1."""

_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
_TRIES = 16
_ASKED_S = 1.0
"""A machine answers itself at once, unless its queue of connections is full."""
_LSOF_S = 5.0
_ASKED = {"": ("127.0.0.1",), "0.0.0.0": ("127.0.0.1",), "::": LOOPBACK_ADDRESSES}  # noqa: S104
"""Where to ask for a listener beside one that would take every address."""

_IN_USE = "is in use"

_PATH_BYTES = 103
"""Most of a socket's path on macOS, its end not counted (``sockaddr_un``); Linux has four more."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to ``host`` and ``port``, not yet listening.

    ``localhost`` is both loopback addresses on one port, or that of IPv4 alone where the
    machine has no IPv6; a name is the first of its addresses. Port 0 takes a free one.
    Raises OSError whose ``filename`` is the address that could not be had: half of
    ``localhost`` is none, since whoever has the other half would get its clients.

    Whether somebody answers there is asked first. BSD lets one address be bound beside another
    program's listener on every address (XNU, bsd/netinet/in_pcb.c, ``in_pcbbind``: with
    SO_REUSEADDR, which takes a port from connections of the past, only the same address is
    a conflict), and would then give this server the other one's clients.
    """
    if port:
        _refuse_beside_another(host, port)
    if host != LOOPBACK:
        return [_bind_one(host, port)]
    for _ in range(_TRIES - 1 if port == 0 else 0):
        # A free port of IPv4 may be taken on IPv6.
        with suppress(OSError):
            return _bind_loopback(0)
    return _bind_loopback(port)


def port_problem(host: str, port: int) -> str | None:
    """Try to bind; return why that is not possible, ``None`` if it is."""
    try:
        found = bind(host, port)
    except OSError as exc:
        where = str(exc.filename)
        if exc.errno != errno.EADDRINUSE:
            return f"{where}:{port} cannot be bound: {exc.strerror or exc}"
        taken = f"port {port} on {where} {_IN_USE}"
        return f"{taken} ({IPV4_ALONE})" if is_other_half(host, where) else taken
    for trial in found:
        trial.close()
    return None


def find_holder(port: int) -> str | None:
    """The programs of this user that listen on ``port``, as ``lsof`` names them, in a sentence."""
    command = shutil.which("lsof") or "/usr/sbin/lsof"
    wanted = [command, "+c", "0", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpcn"]
    try:
        done = subprocess.run(
            wanted, capture_output=True, text=True, errors="replace", timeout=_LSOF_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.findall(r"^p(\d+)\nc(.*)$", done.stdout, re.MULTILINE)
    said = " and ".join(f"{name} (pid {pid})" for pid, name in found).replace(r"\x20", " ")
    return f"{said} listens there" if said else None


def port_taken(host: str, port: int) -> str | None:
    """As ``port_problem``, and who is there."""
    problem = port_problem(host, port)
    holder = find_holder(port) if problem and _IN_USE in problem else None
    return f"{problem}; {holder}" if holder else problem


def is_other_half(host: str, address: str) -> bool:
    """Whether ``address`` is the half of ``host`` that one can do without."""
    return host == LOOPBACK and address == LOOPBACK_ADDRESSES[1]


def bind_unix(path: Path) -> socket.socket:
    """A socket bound to the file ``path``, which only its owner can connect to.

    A file that a dead server left is replaced. Raises ConfigError where others could
    replace it or somebody listens, and for a file that is no socket. Call before the
    process has other threads: it changes the umask for a moment.
    """
    if len(os.fsencode(path)) > _PATH_BYTES:
        raise _refuse(path, f"a socket's path has at most {_PATH_BYTES} bytes")
    try:
        _check_folder(path)
        _remove_stale(path)
        found = socket.socket(socket.AF_UNIX)
        before = os.umask(0o177)
        try:
            found.bind(str(path))
        except OSError:
            found.close()
            raise
        finally:
            os.umask(before)
    except OSError as error:
        raise _refuse(path, error.strerror or str(error)) from None
    return found


def _refuse_beside_another(host: str, port: int) -> None:
    """Raise OSError (EADDRINUSE) where a connection to ``host`` is taken."""
    asked = LOOPBACK_ADDRESSES if host == LOOPBACK else _ASKED.get(host, (host,))
    for address in asked:
        if _answers(address, port):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), address)


def _answers(host: str, port: int) -> bool:
    """Whether a connection to ``port`` of an address of this machine is taken.

    The kernel takes it for a listener that says nothing too. One that reaches itself, since its
    own port happened to be the one asked for, has found nobody (RFC 9293, 3.5, simultaneous open).
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as asking:
            asking.settimeout(_ASKED_S)
            # What is left of a connection to itself must not hold the port.
            asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            asking.bind((address[0], 0, *address[2:]))  # no other machine is asked
            asking.connect(address)
            return bool(asking.getsockname() != asking.getpeername())
    except TimeoutError:  # a listener whose queue is full; elsewhere it may be a firewall
        return is_loopback(str(address[0]))
    except OSError:
        return False


def _bind_loopback(port: int) -> list[socket.socket]:
    first, second = LOOPBACK_ADDRESSES
    found = [_bind_one(first, port)]
    try:
        found.append(_bind_one(second, found[0].getsockname()[1]))
    except OSError as error:
        if error.errno not in _NO_IPV6:
            found[0].close()
            raise
    return found


def _bind_one(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), host) from None
    return found


def _check_folder(path: Path) -> None:
    """Whoever may write to the folder may put a socket of their own in this one's place."""
    folder = path.parent
    found = folder.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise _refuse(path, f"{folder} is no folder")
    if found.st_uid not in (0, os.getuid()):
        raise _refuse(path, f"the folder {folder} is another user's")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX:
        raise _refuse(path, f"other users may write to {folder}; chmod go-w '{folder}'")


def _remove_stale(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise _refuse(path, "there is a file of that name that is no socket")
    with socket.socket(socket.AF_UNIX) as trial:
        trial.setblocking(False)
        answer = trial.connect_ex(str(path))
    if answer != errno.ECONNREFUSED:
        why = "another program listens there" if answer == 0 else os.strerror(answer)
        raise _refuse(path, why)
    path.unlink(missing_ok=True)


def _refuse(path: Path, why: str) -> ConfigError:
    return ConfigError(f"The unix socket {path} cannot be used: {why}.", key="unix_socket")
