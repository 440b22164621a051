"""The process's life: connect, do what is asked for until nothing is any more, leave nobody."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from typing import Any

from mcp import Client

from mlxoss.hosted.mcp.child.connection import Connection
from mlxoss.hosted.mcp.child.failures import Exchange, exchanges, explain
from mlxoss.hosted.mcp.child.operations import Operations
from mlxoss.hosted.mcp.child.redact import Redactor
from mlxoss.hosted.mcp.frames import pack_frame, read_frame

CLOSE_S = 0.5
"""To take leave of the MCP server in order."""

MOST_BYTES = 64 << 20
"""Of one message: arguments that a model wrote are shorter."""


class Answers:
    """Writes to the server's process, which always reads; nothing goes without the redactor."""

    def __init__(self, descriptor: int, redactor: Redactor) -> None:
        self._descriptor = descriptor
        self._redactor = redactor

    def send(self, message: dict[str, Any]) -> None:
        """Write it, whole."""
        left = memoryview(pack_frame(self._redactor.message(message)))
        while left:
            left = left[os.write(self._descriptor, left) :]


class Relay:
    """One connection, from its first message to its end."""

    def __init__(self, connection: Connection, answers: Answers) -> None:
        self._connection = connection
        self._answers = answers
        self._running: dict[int, asyncio.Task[None]] = {}
        self._is_left = asyncio.Event()

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Serve until the server's process or the MCP server ends, and tell of the latter.

        What does not come to its end then is left to whoever ends this process.
        """
        living = asyncio.create_task(self._live())
        reading = asyncio.create_task(self._read(reader))
        await asyncio.wait({living, reading}, return_when=asyncio.FIRST_COMPLETED)
        self._is_left.set()
        await asyncio.wait({living}, timeout=CLOSE_S)

    async def _live(self) -> None:
        exchange = Exchange()
        exchanges.set(exchange)
        try:
            async with self._connection.open() as client:
                self._operations = Operations(client, self._connection)
                self._answers.send(_describe(client))
                await self._serve()
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (whatever the SDK raises)
            self._tell_end(error, exchange)

    async def _serve(self) -> None:
        is_over, is_left = self._connection.is_over, self._is_left
        waits = {asyncio.create_task(event.wait()) for event in (is_over, is_left)}
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if is_over.is_set():
            if self._running:
                await asyncio.wait(self._running.values())  # they fail by themselves
            self._tell_end(ConnectionError(), Exchange())

    async def _read(self, reader: asyncio.StreamReader) -> None:
        """Nothing is asked for before the connection was told of."""
        while (frame := await read_frame(reader, MOST_BYTES)) is not None:
            number = frame["id"]
            if frame["do"] == "cancel":
                if task := self._running.get(number):
                    task.cancel()
                continue
            task = asyncio.create_task(self._do(number, frame))
            self._running[number] = task
            task.add_done_callback(partial(self._forget, number))

    def _forget(self, number: int, _: asyncio.Task[None]) -> None:
        del self._running[number]

    async def _do(self, number: int, frame: dict[str, Any]) -> None:
        exchange = Exchange()
        exchanges.set(exchange)  # of this task alone
        connection = self._connection
        try:
            if frame["do"] == "list":
                answer = await self._operations.list_tools()
            else:
                answer = await self._operations.call(frame["tool"], frame["arguments"])
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 (likewise)
            answer = {"failure": explain(error, exchange, connection.ending, connection.limits)}
            answer["is_stale"] = exchange.status == _NOT_FOUND
        self._answers.send({"id": number, **answer})

    def _tell_end(self, error: BaseException, exchange: Exchange) -> None:
        connection = self._connection
        failure = explain(error, exchange, connection.ending, connection.limits)
        self._answers.send({"ended": failure, "stderr": connection.tail.text})


_NOT_FOUND = 404
"""What a server answers that has forgotten its session (MCP, "Session Management")."""


def _describe(client: Client) -> dict[str, Any]:
    info = client.server_info
    shown = {"name": info.name, "version": info.version} if info else {}
    return {"connected": {"protocol": client.protocol_version, **shown}}
