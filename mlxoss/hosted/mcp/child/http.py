"""HTTP as it goes to a server under an address.

Every request passes here, those after redirects too (the SDK follows them to the same origin
alone). The address of a server that a request named is looked up once, has to be public
(``mlxoss.addresses``), and is the one that is connected to. What goes wrong becomes an answer with
a bad status, since an exception would end the connection with all its other calls; the reason
stands in the ``Exchange`` of whoever asked.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx2

from mlxoss import __version__
from mlxoss.addresses import is_public
from mlxoss.hosted.mcp.child.failures import Exchange, exchanges
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.server import AddressServer

_BAD_GATEWAY = 502
_FIRST_BAD_STATUS = 400
_DENIED = {401, 403}
_PORTS = {"http": 80, "https": 443}
_EVENTS = "text/event-stream"


class _Refused(Exception):
    """Why a request was not sent, or its answer not read: half a sentence about the server."""


def make_client(server: AddressServer, limits: McpLimits) -> httpx2.AsyncClient:
    """A client that asks the server, without proxies, cookies' jars of others or netrc."""
    own = {"User-Agent": f"mlxoss/{__version__}", "Accept-Encoding": "identity"}
    return httpx2.AsyncClient(
        transport=_Transport(server, limits),
        headers={**own, **dict(server.headers)},
        timeout=httpx2.Timeout(None),  # the operation has one
        trust_env=False,
    )


class _Transport(httpx2.AsyncBaseTransport):
    def __init__(self, server: AddressServer, limits: McpLimits) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self._is_public_only = server.is_public_only
        self._limits = limits

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer, or one of ours that says nothing."""
        exchange = exchanges.get(Exchange())
        try:
            response = await self._ask(request, exchange)
        except (_Refused, httpx2.TransportError) as error:
            reason = error if isinstance(error, _Refused) else f"cannot be reached ({_name(error)})"
            exchange.reason, exchange.status = f"The server {reason}.", None
            return httpx2.Response(_BAD_GATEWAY, request=request)
        exchange.reason, exchange.status = _judge(response.status_code), response.status_code
        return response

    async def aclose(self) -> None:
        """Close its connections."""
        await self._inner.aclose()

    async def _ask(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        if self._is_public_only:
            request = await _pinned(request)
        response = await self._inner.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise _Refused("answers compressed, which was not asked for")
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        has_events = response.headers.get("content-type", "").startswith(_EVENTS)
        most = self._limits.noise_bytes if has_events else self._limits.message_bytes
        return httpx2.Response(
            response.status_code,
            headers=response.headers,
            stream=_Bounded(response.stream, most, exchange),
            extensions=response.extensions,
        )


class _Bounded(httpx2.AsyncByteStream):
    """A body that fails in a way that costs its own request alone."""

    def __init__(self, inner: httpx2.AsyncByteStream, most_bytes: int, exchange: Exchange) -> None:
        self._inner = inner
        self._left = most_bytes
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The body's pieces. Raises ``StreamError``, which the SDK answers the request with."""
        try:
            async for piece in self._inner:
                self._left -= len(piece)
                if self._left < 0:
                    raise self._fail("is too long")
                yield piece
        except httpx2.TransportError as error:
            raise self._fail(f"broke off ({_name(error)})") from None

    def _fail(self, what: str) -> httpx2.StreamError:
        self._exchange.reason, self._exchange.status = f"The server's answer {what}.", None
        return httpx2.StreamError(what)

    async def aclose(self) -> None:
        """Close the body."""
        await self._inner.aclose()


async def _pinned(request: httpx2.Request) -> httpx2.Request:
    """The same to an address that was checked: for the other side, and for TLS, under its name."""
    url = request.url
    address = await _public_address(url.host, url.port or _PORTS[url.scheme])
    return httpx2.Request(
        request.method,
        url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": url.host},
    )


async def _public_address(host: str, port: int) -> str:
    look_up = asyncio.get_running_loop().getaddrinfo
    try:
        found = await look_up(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _Refused("has an address under whose name nothing is known") from None
    addresses = [str(entry[4][0]) for entry in found]
    if not addresses or not all(map(is_public, addresses)):
        raise _Refused("has an address that is not public, and no other is asked for a request")
    return addresses[0]


def _judge(status: int) -> str:
    """What is wrong with that status, if anything is."""
    if status < _FIRST_BAD_STATUS:
        return ""
    hint = ": it wants other credentials" if status in _DENIED else ""
    return f"The server answers with the status {status}{hint}."


def _name(error: Exception) -> str:
    return type(error).__name__
