"""Asks a daemon how it is, without ever waiting long."""

from __future__ import annotations

import errno
import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIMIT_BYTES = 1 << 20
_HTTP = b"HTTP/1."


@dataclass(frozen=True, slots=True)
class Answered:
    """``/health`` answered with this document (JSON as it came; the server says what is in it)."""

    document: Mapping[str, Any]

    @property
    def status(self) -> str:
        """``ok``, ``loading``, ``failed`` ..., as the server says; ``""`` if it does not."""
        return str(self.document.get("status", ""))

    @property
    def pid(self) -> int | None:
        """The answering process, if it says."""
        pid = self.document.get("pid")
        return pid if isinstance(pid, int) else None


@dataclass(frozen=True, slots=True)
class Foreign:
    """Something answered, or took the connection, that is not mlxoss."""

    why: str


@dataclass(frozen=True, slots=True)
class Silent:
    """The connection was taken but no answer came in time: a daemon that hangs."""

    why: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Nobody listens there."""

    why: str


Health = Answered | Foreign | Silent | Refused


def probe(host: str, port: int, *, timeout_s: float = 0.25, token: str | None = None) -> Health:
    """GET ``/health`` from the daemon that was told to bind ``host`` and ``port``.

    Takes no longer than ``timeout_s`` from the connection's start to the answer's end, looking
    a name up apart. A daemon that asks for keys tells who sends no ``token`` its status alone.
    Never raises for anything the other side does. Written on a socket because
    ``status`` must be quick, and ``http.client`` takes longer to import than all this to run.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with socket.create_connection((reachable(host), port), timeout_s) as connection:
            connection.sendall(_request(host, port, token))
            return _read(_receive(connection, deadline))
    except TimeoutError:
        return Silent(f"no answer within {timeout_s:g} s")
    except OSError as exc:
        return Refused(exc.strerror or str(exc))


def reachable(host: str) -> str:
    """Return where to reach a server bound to ``host``: a wildcard is reached on the loopback."""
    wildcards = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
    return wildcards.get(host, host)


def port_problem(host: str, port: int) -> str | None:
    """Try to bind; return why that is not possible, ``None`` if it is."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            return f"port {port} on {host} is in use"
        return f"{host}:{port} cannot be bound: {exc.strerror or exc}"
    return None


def _request(host: str, port: int, token: str | None) -> bytes:
    name = reachable(host)
    named = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    lines = ["GET /health HTTP/1.1", f"Host: {named}", "Connection: close"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    return "\r\n".join([*lines, "", ""]).encode()


def _receive(connection: socket.socket, deadline: float) -> bytes:
    """Return an HTTP answer, or as much of anything else as shows that it is none."""
    data = b""
    while not _is_whole(data):
        connection.settimeout(max(deadline - time.monotonic(), 1e-3))
        part = connection.recv(65536)
        if not part:
            break
        data += part
    return data


def _is_whole(data: bytes) -> bool:
    if len(data) > LIMIT_BYTES or not data.startswith(_HTTP[: len(data)]):
        return True
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    return bool(end and length) and len(body) >= int(length[1] if length else 0)


def _read(answer: bytes) -> Health:
    head, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d{3})", head)
    if found is None:
        return Foreign("it does not speak HTTP" if answer else "it closed without an answer")
    status = int(found[1])
    try:
        document = json.loads(body)
    except ValueError:
        return Foreign(f"HTTP {status} without JSON")
    if isinstance(document, dict) and "status" in document:
        return Answered(document)
    return Foreign(f"HTTP {status}, not a health report of mlxoss")
