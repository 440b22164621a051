"""Asks a daemon how it is, without ever waiting long."""

from __future__ import annotations

import errno
import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LIMIT_BYTES = 1 << 20


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

    ``timeout_s`` limits connecting and each wait for bytes, so that a daemon that hangs
    costs at most twice that. A daemon that asks for keys tells who sends no ``token`` its
    status alone. Never raises for anything the other side does.
    """
    connection = http.client.HTTPConnection(reachable(host), port, timeout=timeout_s)
    try:
        headers = {"Connection": "close"}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        connection.request("GET", "/health", headers=headers)
        answer = connection.getresponse()
        return _read(answer.status, answer.read(LIMIT_BYTES))
    except TimeoutError:
        return Silent(f"no answer within {timeout_s:g} s")
    except http.client.HTTPException as exc:
        return Foreign(f"not HTTP: {type(exc).__name__}")
    except OSError as exc:
        return Refused(exc.strerror or str(exc))
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Return where to reach a server bound to ``host``: a wildcard is reached on the loopback."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


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


def _read(status: int, body: bytes) -> Health:
    try:
        document = json.loads(body)
    except ValueError:
        return Foreign(f"HTTP {status} without JSON")
    if isinstance(document, dict) and "status" in document:
        return Answered(document)
    return Foreign(f"HTTP {status}, not a health report of mlxoss")
