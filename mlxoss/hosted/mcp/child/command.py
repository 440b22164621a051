"""A server that is a program: messages are lines on its stdin and stdout.

As the SDK's own transport, but with bounds, and in this process's group, so that both can be ended
at once from outside. Lines that are no messages are dropped: many programs print some.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import ReadStream, WriteStream
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, jsonrpc_message_adapter

from mlxoss.hosted.mcp.child.failures import Ending, ServerGone
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.programs import find_command, search_path
from mlxoss.hosted.mcp.server import CommandServer

TAIL_BYTES = 4_096
_GRACE_S = 0.3
_CLOSED = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, OSError)
_INHERITED = ("LANG", "LC_ALL", "TMPDIR")

Incoming = SessionMessage | Exception
Streams = tuple[ReadStream[Incoming], WriteStream[SessionMessage]]


class Tail:
    """The last that the program wrote to stderr. It is kept here, and goes into no log."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        """Keep ``data``, and let go of what is too old."""
        self._kept += data
        del self._kept[:-TAIL_BYTES]

    @property
    def text(self) -> str:
        """What is kept."""
        return self._kept.decode(errors="replace").strip()


@asynccontextmanager
async def run_command(
    server: CommandServer, limits: McpLimits, tail: Tail, ending: Ending
) -> AsyncIterator[Streams]:
    """The program's messages, as the SDK wants them. Raises ``ServerGone`` where there are none."""
    process = await _start(server)
    inside, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, outside = anyio.create_memory_object_stream[SessionMessage](0)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_Reader(process.stdout, limits, ending).run, inside)
        tasks.start_soon(_write, outside, process.stdin)
        tasks.start_soon(_keep, process.stderr, tail)
        try:
            yield incoming, outgoing
        finally:
            with anyio.CancelScope(shield=True):
                await _end(process)
            for stream in (inside, incoming, outgoing, outside):
                stream.close()
            tasks.cancel_scope.cancel()


async def _start(server: CommandServer) -> Process:
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    env = {**get_default_environment(), **inherited, **dict(server.env)}
    env["PATH"] = search_path(env)
    program = find_command(server.command, env, server.cwd)
    if program is None:
        raise ServerGone(f"has a command that is not found, {server.command!r}")
    try:
        return await anyio.open_process([program, *server.args], env=env, cwd=server.cwd)
    except OSError as error:
        raise ServerGone(f"cannot be started: {error.strerror}") from None


async def _end(process: Process) -> None:
    """As the protocol says: its stdin is closed, then it is asked to end, then it is killed."""
    assert process.stdin
    with suppress(*_CLOSED):
        await process.stdin.aclose()
    for end in (process.terminate, process.kill):
        with anyio.move_on_after(_GRACE_S):
            await process.wait()
            return
        with suppress(ProcessLookupError):
            end()


class _Reader:
    """Reads lines, and ends the connection where one has no end."""

    def __init__(self, stdout: ByteReceiveStream, limits: McpLimits, ending: Ending) -> None:
        self._stdout = stdout
        self._limits = limits
        self._ending = ending
        self._noise = 0

    async def run(self, inside: MemoryObjectSendStream[Incoming]) -> None:
        with suppress(*_CLOSED):
            async with inside:
                await self._read(inside)
        if not self._ending.reason:
            self._ending.reason = "ended"

    async def _read(self, inside: MemoryObjectSendStream[Incoming]) -> None:
        buffer = bytearray()
        async for chunk in self._stdout:
            searched = len(buffer)
            buffer += chunk
            self._noise += len(chunk)
            while (end := buffer.find(b"\n", searched)) >= 0:
                await self._give(bytes(buffer[:end]), inside)
                del buffer[: end + 1]
                searched = 0
            if len(buffer) > self._limits.message_bytes:
                self._ending.reason = f"sent more than {self._limits.message_bytes} bytes at once"
                return
            if self._noise > self._limits.noise_bytes:
                self._ending.reason = f"sent {self._limits.noise_bytes} bytes and no answer"
                return

    async def _give(self, line: bytes, inside: MemoryObjectSendStream[Incoming]) -> None:
        if len(line) > self._limits.message_bytes:
            return
        try:
            # Python's own reader takes deeper nesting than Pydantic's: the sieve judges that.
            message = jsonrpc_message_adapter.validate_python(json.loads(line), by_name=False)
        except (ValueError, RecursionError):
            return
        if not isinstance(message, JSONRPCNotification):
            self._noise = 0
        await inside.send(SessionMessage(message))


async def _write(outside: MemoryObjectReceiveStream[SessionMessage], stdin: ByteSendStream) -> None:
    with suppress(*_CLOSED):
        async with outside:
            async for item in outside:
                text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                await stdin.send(text.encode() + b"\n")


async def _keep(stderr: ByteReceiveStream, tail: Tail) -> None:
    with suppress(*_CLOSED):
        async for data in stderr:
            tail.add(data)
