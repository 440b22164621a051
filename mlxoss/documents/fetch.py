"""A file from a public address, by HTTP.

Whoever may ask the model could else have this machine ask its neighbours, its router or a cloud's
metadata (server-side request forgery). So each address is checked after its name was looked up,
and the very address that was checked is connected to: a name that is looked up twice may lead
elsewhere. Redirects are followed by hand and checked again. Nothing of this machine goes along:
no cookies, no credentials, no proxy.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from mlxoss import __version__
from mlxoss.addresses import is_host, is_public
from mlxoss.documents.contents import FileContents
from mlxoss.errors import FileUnreadable

MOST_BYTES = 20 << 20
MOST_S = 30.0
_STEP_S = 10.0
_CHUNK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_HEADERS = MappingProxyType(
    {
        "User-Agent": f"mlxoss/{__version__}",
        "Accept": "application/pdf, text/*;q=0.9, */*;q=0.5",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
)
_GZIP_WINDOW = 31


@dataclass(frozen=True, slots=True)
class FetchRules:
    """What one fetch sends, and what it takes for an answer.

    ``headers`` go beside the usual ones to whoever answers, so one that has secrets follows no
    redirects. With a ``body`` it is a POST. ``is_open`` says of an internet address whether it may
    be connected to, ``refuse`` of a web address why it may not be asked for: the one that was
    named, and each that it leads to. ``most_bytes`` are those of the file, unpacked where
    ``unpacks`` allows gzip.
    """

    most_bytes: int = MOST_BYTES
    most_s: float = MOST_S
    most_redirects: int = 5
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    is_open: Callable[[str], bool] = is_public
    refuse: Callable[[str], str | None] = lambda _: None
    unpacks: bool = False


_AS_FILES = FetchRules()


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a request goes: the name for the other side, the addresses for the connection."""

    parts: SplitResult
    host: str
    port: int
    addresses: tuple[str, ...]

    @property
    def path(self) -> str:
        path = quote(self.parts.path or "/", safe="/%:=&?~#+!$,;'@()*[]")
        query = quote(self.parts.query, safe="/%:=&?~#+!$,;'@()*[]")
        return f"{path}?{query}" if query else path


class Fetching:
    """One fetch. ``fetch`` blocks on a thread; ``stop`` ends it from any other.

    Once it has ended, ``url`` is the address that answered and ``status`` what with, as far as it
    came to that.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.monotonic,
        rules: FetchRules = _AS_FILES,
    ) -> None:
        self.url = url
        self.status: int | None = None
        self.most_s = rules.most_s
        self._rules = rules
        self._clock = clock
        self._ends_at = clock() + rules.most_s
        self._socket: socket.socket | None = None
        self._is_stopped = False

    def fetch(self) -> FileContents:
        """The file. Raises FileUnreadable with the reason, which names no address of ours."""
        for _ in range(self._rules.most_redirects + 1):
            found = self._ask(self.url)
            if isinstance(found, FileContents):
                return found
            self.url = _joined(self.url, found)
        most = self._rules.most_redirects
        raise FileUnreadable(f"the address leads on more than {most} times")

    def stop(self) -> None:
        """Have ``fetch`` end: whatever it waits for fails."""
        self._is_stopped = True
        if self._socket is not None:
            try:
                # Not SSLSocket's own, which takes the session from the thread that reads.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already

    def _ask(self, url: str) -> FileContents | str:
        """The file, or where it is instead."""
        if (reason := self._rules.refuse(url)) is not None:
            raise FileUnreadable(reason, code="unsupported_value")
        target = _look_up(url, self._rules.is_open)
        try:
            connection = self._connect(target)
            try:
                self._request(connection, target)
                with connection.getresponse() as response:
                    return self._read(response)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException, ValueError, zlib.error) as error:
            reason = "it took too long" if self._is_late else type(error).__name__
            raise FileUnreadable(f"the address could not be read: {reason}") from error

    @property
    def _is_late(self) -> bool:
        return self._is_stopped or self._clock() > self._ends_at

    def _request(self, connection: http.client.HTTPConnection, target: _Target) -> None:
        headers = {**_HEADERS, **self._rules.headers}
        if self._rules.unpacks:
            headers["Accept-Encoding"] = "gzip"
        method = "GET" if self._rules.body is None else "POST"
        connection.request(method, target.path, self._rules.body, headers)

    def _connect(self, target: _Target) -> http.client.HTTPConnection:
        raw = self._reach(target)
        try:
            if target.parts.scheme == "https":
                context = ssl.create_default_context()
                raw = context.wrap_socket(
                    raw, server_hostname=target.host, do_handshake_on_connect=False
                )
            self._socket = raw
            if self._is_late:  # told so before there was a connection to end
                raise TimeoutError
            if isinstance(raw, ssl.SSLSocket):
                raw.do_handshake()
        except BaseException:
            raw.close()
            raise
        connection = http.client.HTTPConnection(target.host, target.port, timeout=_STEP_S)
        connection.default_port = _PORTS[target.parts.scheme]
        connection.sock = raw
        return connection

    def _reach(self, target: _Target) -> socket.socket:
        """Connect to the first address that takes it; each was checked. Raises OSError."""
        for address in target.addresses[:-1]:
            try:
                return socket.create_connection((address, target.port), timeout=_STEP_S)
            except OSError:
                if self._is_late:
                    raise
        return socket.create_connection((target.addresses[-1], target.port), timeout=_STEP_S)

    def _read(self, response: http.client.HTTPResponse) -> FileContents | str:
        self.status = response.status
        place = response.headers.get("location")
        if self._rules.most_redirects and response.status in _REDIRECTS and place:
            return place
        if response.status != http.client.OK:
            raise FileUnreadable(f"the address answers with the status {response.status}")
        body = self._body(response)
        return FileContents(bytes(body), response.headers.get("content-type"))

    def _body(self, response: http.client.HTTPResponse) -> bytearray:
        packing = response.headers.get("content-encoding", "identity").strip().lower()
        is_packed = self._rules.unpacks and packing in ("gzip", "x-gzip")
        if not is_packed and packing != "identity":
            raise FileUnreadable("the address answers compressed, which was not asked for")
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        body, most = bytearray(), self._rules.most_bytes
        while not unpacker.eof and (chunk := response.read(_CHUNK)):
            body += unpacker.decompress(chunk, most + 1 - len(body)) if is_packed else chunk
            if len(body) > most:
                raise FileUnreadable(f"the file is longer than {most} bytes")
            if self._is_late:
                raise TimeoutError
        if not unpacker.eof if is_packed else response.length:  # it was to be longer
            raise FileUnreadable("the address ended before the file did")
        return body


async def fetch_apart(fetching: Fetching, executor: Executor | None = None) -> FileContents:
    """As ``Fetching.fetch``, which is ended when it takes too long or nobody waits any more.

    Its thread is one of ``executor``'s, else of the event loop's own.
    """
    try:
        async with asyncio.timeout(fetching.most_s):
            return await asyncio.get_running_loop().run_in_executor(executor, fetching.fetch)
    except TimeoutError:
        raise FileUnreadable("the address could not be read: it took too long") from None
    finally:
        fetching.stop()


def _joined(url: str, place: str) -> str:
    try:
        return urljoin(url, place)
    except ValueError:
        raise FileUnreadable("the address leads to what is none") from None


def _look_up(url: str, is_open: Callable[[str], bool]) -> _Target:
    """Look the name up, once. Raises FileUnreadable for what is not open, or no web address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.scheme not in _PORTS or parts.username is not None or not is_host(host):
        raise FileUnreadable("it is no http or https address, or names a user")
    port = port or _PORTS[parts.scheme]
    try:
        name = host.encode("ascii" if ":" in host else "idna").decode()
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FileUnreadable("nothing is known under the name in the address") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_open, addresses)):
        reason = "the address is not public, and no other is read"
        raise FileUnreadable(reason, code="unsupported_value")
    return _Target(parts, name, port, tuple(dict.fromkeys(addresses)))
