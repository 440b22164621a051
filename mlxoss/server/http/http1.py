"""Requests on one connection: what Sanic reads of them too narrowly, or answers too soon."""

from __future__ import annotations

import asyncio
import re

from sanic.exceptions import BadRequest, PayloadTooLarge
from sanic.http import Http

from mlxoss.api.errors import HttpError, HttpRefusal
from mlxoss.server.http.bodies import MAX_BODY_BYTES

MAX_HEAD_BYTES = 16_384
"""Sanic takes no more."""

LINGER_S = 2
"""For a client to send the rest of a head that was refused, and to read why."""

_TRAILER = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[^\0\r\n]*")
_END = b"\r\n\r\n"


class BoundedHttp(Http):
    """Heads that are refused are read on, so that the answer arrives; trailers are left out.

    Belongs to the event loop's thread, as its connection.
    """

    __slots__ = ("_is_refused",)

    def __init__(self, protocol: object) -> None:
        super().__init__(protocol)  # type: ignore[no-untyped-call]
        self._is_refused = False

    async def http1(self) -> None:
        """Take requests until the connection is to be closed."""
        await super().http1()  # type: ignore[no-untyped-call]
        if self._is_refused:
            await self._linger()

    async def http1_request_header(self) -> None:
        """Read a head. Raises HttpRefusal (431) for one that is too long."""
        try:
            await super().http1_request_header()  # type: ignore[no-untyped-call]
        except PayloadTooLarge:
            self._is_refused = True
            message = f"The head of the request is longer than {MAX_HEAD_BYTES} bytes."
            raise HttpRefusal(HttpError(431, message, code="request_head_too_large")) from None
        except Exception:
            self._is_refused = True
            raise

    async def read(self) -> bytes | None:
        """Some bytes of the body, ``None`` at its end.

        The fields of a trailer may be dropped (RFC 9112 section 7.1.2); Sanic refuses them.
        """
        is_kept = self.keep_alive
        try:
            return await super().read()
        except BadRequest:
            if self.request_body is not None:
                raise
            # The last chunk was read: what follows is no empty line, so it is a trailer.
            await self._drop_trailer()
            self.keep_alive = is_kept
            return None

    async def _drop_trailer(self) -> None:
        buffer = self.recv_buffer
        while (end := buffer.find(_END)) < 0 and len(buffer) <= MAX_HEAD_BYTES:
            await self._receive_more()
        if not 0 < end <= MAX_HEAD_BYTES:
            raise BadRequest("Bad chunked encoding")
        lines = bytes(buffer[:end]).split(b"\r\n")
        if not all(_TRAILER.fullmatch(line) for line in lines):
            raise BadRequest("Bad chunked encoding")
        del buffer[: end + len(_END)]

    async def _linger(self) -> None:
        """Closing while a client sends would reset the connection before it has read the answer."""
        transport, left = self.protocol.transport, MAX_BODY_BYTES
        if transport is None or transport.is_closing():
            return
        if transport.can_write_eof():
            transport.write_eof()
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0:
                    left -= len(self.recv_buffer)
                    self.recv_buffer.clear()
                    await self._receive_more()
        except TimeoutError:
            pass
