"""A file from a public address, by HTTP.

Whoever may ask the model could else have this machine ask its neighbours, its router or a cloud's
metadata (server-side request forgery). So each address is checked after its name was looked up,
and the very address that was checked is connected to: a name that is looked up twice may lead
elsewhere. Redirects are followed by hand and checked again. Nothing of this machine goes along:
no cookies, no credentials, no proxy.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from mlxoss import __version__
from mlxoss.addresses import is_public
from mlxoss.documents.contents import FileContents
from mlxoss.errors import FileUnreadable

MOST_BYTES = 20 << 20
MOST_S = 30.0
_STEP_S = 10.0
_MOST_REDIRECTS = 5
_CHUNK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_HEADERS = {
    "User-Agent": f"mlxoss/{__version__}",
    "Accept": "application/pdf, text/*;q=0.9, */*;q=0.5",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: the name for the other side, the address for the connection."""

    parts: SplitResult
    host: str
    port: int
    address: str

    @property
    def path(self) -> str:
        path = quote(self.parts.path or "/", safe="/%:=&?~#+!$,;'@()*[]")
        query = quote(self.parts.query, safe="/%:=&?~#+!$,;'@()*[]")
        return f"{path}?{query}" if query else path


class Fetching:
    """One fetch. ``fetch`` blocks on a thread; ``stop`` ends it from any other."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._clock = clock
        self._ends_at = clock() + MOST_S
        self._socket: socket.socket | None = None
        self._is_stopped = False

    def fetch(self) -> FileContents:
        """The file. Raises FileUnreadable with the reason, which names no address of ours."""
        url = self._url
        for _ in range(_MOST_REDIRECTS + 1):
            found = self._ask(url)
            if isinstance(found, FileContents):
                return found
            url = urljoin(url, found)
        raise FileUnreadable(f"the address leads on more than {_MOST_REDIRECTS} times")

    def stop(self) -> None:
        """Have ``fetch`` end: whatever it waits for fails."""
        self._is_stopped = True
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def _ask(self, url: str) -> FileContents | str:
        """The file, or where it is instead."""
        target = _look_up(url)
        try:
            connection = self._connect(target)
            try:
                connection.request("GET", target.path, headers=_HEADERS)
                with connection.getresponse() as response:
                    return self._read(response)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = "it took too long" if self._is_late else type(error).__name__
            raise FileUnreadable(f"the address could not be read: {reason}") from error

    @property
    def _is_late(self) -> bool:
        return self._is_stopped or self._clock() > self._ends_at

    def _connect(self, target: _Target) -> http.client.HTTPConnection:
        raw = socket.create_connection((target.address, target.port), timeout=_STEP_S)
        try:
            if target.parts.scheme == "https":
                context = ssl.create_default_context()
                raw = context.wrap_socket(raw, server_hostname=target.host)
        except BaseException:
            raw.close()
            raise
        self._socket = raw
        if self._is_late:  # told so before there was a connection to end
            raw.close()
            raise TimeoutError
        connection = http.client.HTTPConnection(target.host, target.port, timeout=_STEP_S)
        connection.default_port = _PORTS[target.parts.scheme]
        connection.sock = raw
        return connection

    def _read(self, response: http.client.HTTPResponse) -> FileContents | str:
        if response.status in _REDIRECTS and (place := response.headers.get("location")):
            return place
        if response.status != http.client.OK:
            raise FileUnreadable(f"the address answers with the status {response.status}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FileUnreadable("the address answers compressed, which was not asked for")
        body = bytearray()
        while chunk := response.read(_CHUNK):
            body += chunk
            if len(body) > MOST_BYTES:
                raise FileUnreadable(f"the file is longer than {MOST_BYTES} bytes")
            if self._is_late:
                raise TimeoutError
        if response.length:  # it was to be longer
            raise FileUnreadable("the address ended before the file did")
        return FileContents(bytes(body), response.headers.get("content-type"))


def _look_up(url: str) -> _Target:
    """Look the name up, once. Raises FileUnreadable for what is not public, or no web address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _PORTS or parts.username is not None:
        raise FileUnreadable("it is no http or https address, or names a user")
    port = port or _PORTS[parts.scheme]
    try:
        name = host.encode("ascii" if ":" in host else "idna").decode()
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FileUnreadable("nothing is known under the name in the address") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        reason = "the address is not public, and no other is read"
        raise FileUnreadable(reason, code="unsupported_value")
    return _Target(parts, name, port, addresses[0])
