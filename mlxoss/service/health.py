"""Asks a daemon how it is, without ever waiting long."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss.addresses import reachable, to_netloc
from mlxoss.errors import ConfigError
from mlxoss.tls import make_client_context

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


def probe(
    host: str,
    port: int,
    *,
    timeout_s: float = 0.25,
    token: str | None = None,
    certificate: Path | None = None,
) -> Health:
    """GET ``/health`` from the daemon that was told to bind ``host`` and ``port``.

    One with a ``certificate`` must show exactly that one. Takes no longer than ``timeout_s``
    from the connection's start to the answer's end, looking a name up apart. A daemon that
    asks for keys tells who sends no ``token`` its status alone. Never raises for anything the
    other side does. Written on a socket because
    ``status`` must be quick, and ``http.client`` takes longer to import than all this to run.
    """
    deadline = time.monotonic() + timeout_s
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(
                socket.create_connection((reachable(host), port), timeout_s)
            )
            if certificate is not None:
                connection.settimeout(max(deadline - time.monotonic(), 1e-3))
                context = make_client_context(certificate)
                connection = stack.enter_context(context.wrap_socket(connection))
            connection.sendall(_request(host, port, token))
            return _read(_receive(connection, deadline))
    except TimeoutError:
        return Silent(f"no answer within {timeout_s:g} s")
    except ConfigError as exc:
        return Foreign(str(exc).removesuffix("."))
    except ConnectionError as exc:
        return Refused(exc.strerror or str(exc))
    except OSError as exc:
        return _foreign_tls(exc) if certificate else Refused(exc.strerror or str(exc))


def _foreign_tls(error: OSError) -> Foreign | Refused:
    import ssl

    if not isinstance(error, ssl.SSLError):
        return Refused(error.strerror or str(error))
    return Foreign(f"it does not show the certificate of tls_cert ({error.reason or error})")


def _request(host: str, port: int, token: str | None) -> bytes:
    named = to_netloc(reachable(host), port)
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
