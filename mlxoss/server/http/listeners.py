"""The sockets that the settings ask for, and the connections that come in on them."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from sanic.server import AsyncioServer

from mlxoss.addresses import to_netloc
from mlxoss.config import Config
from mlxoss.errors import ServiceError
from mlxoss.server.http.errors import App
from mlxoss.server.http.protocol import HEAD_S, BoundedProtocol
from mlxoss.sockets import IPV4_ALONE, bind, bind_unix, find_holder, is_other_half
from mlxoss.tls import make_server_context

_BACKLOG = 1024
_REMEDIES: dict[int | None, str] = {
    errno.EADDRINUSE: "choose another with --port",
    errno.EACCES: "choose another with --port",
    errno.EADDRNOTAVAIL: "choose another with --host",
}


class Listener(NamedTuple):
    """A socket that listens, and the TLS that is spoken on it, if any."""

    socket: socket.socket
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        own = self.socket.getsockname()
        if isinstance(own, str):
            return f"unix:{own}"
        return f"{'https' if self.tls else 'http'}://{to_netloc(*own[:2])}"


@contextmanager
def open_listeners(config: Config) -> Iterator[tuple[Listener, ...]]:
    """Listen on all that ``config`` names, the network first, until the context ends.

    Raises ServiceError when an address cannot be had, ConfigError when TLS or the unix
    socket cannot be as the settings say.
    """
    tls = make_server_context(config.tls_cert, config.tls_key)
    with ExitStack() as stack:
        opened = [Listener(stack.enter_context(each), tls) for each in _bind(config)]
        if config.unix_socket is not None:
            unix = stack.enter_context(bind_unix(config.unix_socket))
            stack.callback(_remove, config.unix_socket, os.lstat(config.unix_socket))
            opened.append(Listener(unix))
        for listener in opened:
            listener.socket.listen(_BACKLOG)
            listener.socket.setblocking(False)
        yield tuple(opened)


def _bind(config: Config) -> list[socket.socket]:
    try:
        return bind(config.host, config.port)
    except OSError as error:
        where = str(error.filename)
        remedy = IPV4_ALONE if is_other_half(config.host, where) else _REMEDIES.get(error.errno)
        hint = f" ({remedy})" if remedy else ""
        why = error.strerror
        if error.errno == errno.EADDRINUSE and (holder := find_holder(config.port)):
            why = f"{why}; {holder}"
        message = f"cannot listen on {to_netloc(where, config.port)}: {why}{hint}"
        raise ServiceError(message) from None


def _remove(path: Path, own: os.stat_result) -> None:
    """Remove a socket's file, unless another server has put its own there."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if (found.st_dev, found.st_ino) == (own.st_dev, own.st_ino):
        path.unlink(missing_ok=True)


class Serving(NamedTuple):
    """The servers of one app, one to a listener, and the connections of all of them."""

    servers: Sequence[AsyncioServer]
    connections: set[BoundedProtocol]

    def stop_accepting(self) -> None:
        """Close the listeners; the connections stay."""
        for each in self.servers:
            if each.server is not None:
                each.server.close()


async def start_listening(app: App, listeners: Sequence[Listener]) -> Serving:
    """Accept connections on ``listeners`` from here on, on the running loop."""
    app.ctx.connections = set()
    servers = [await _make_server(app, listener) for listener in listeners]
    await servers[0].startup()  # type: ignore[no-untyped-call]
    for server in servers:
        await server.start_serving()  # type: ignore[no-untyped-call]
    return Serving(servers, app.ctx.connections)


async def _make_server(app: App, listener: Listener) -> AsyncioServer:
    options = {"ssl_handshake_timeout": HEAD_S} if listener.tls else {}
    server = await app.create_server(
        sock=listener.socket,
        ssl=listener.tls,
        protocol=BoundedProtocol,
        backlog=_BACKLOG,
        asyncio_server_kwargs={"start_serving": False, **options},
    )
    assert server is not None
    return server
