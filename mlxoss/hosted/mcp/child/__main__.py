"""Runs the process. The first message on stdin says which server, and within what limits."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from mlxoss.hosted.mcp.frames import read_frame
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.server import from_message

_MOST_HELLO_BYTES = 4 << 20


def main() -> None:
    """Serve, and end all that is in this process's group: what a server started may outlive it."""
    answers = os.dup(sys.stdout.fileno())
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, sys.stdout.fileno())
    logging.disable(logging.CRITICAL)  # the SDK logs what servers say
    asyncio.run(_serve_and_end(answers))


async def _serve_and_end(answers: int) -> None:
    try:
        await _serve(answers)
    finally:
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)


async def _serve(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    hello = await read_frame(reader, _MOST_HELLO_BYTES)
    if hello is None:
        return
    # The SDK takes a second to import.
    from mlxoss.hosted.mcp.child.connection import Connection
    from mlxoss.hosted.mcp.child.redact import Redactor
    from mlxoss.hosted.mcp.child.serving import Answers, Relay

    server = from_message(hello["server"])
    connection = Connection(server, McpLimits(**hello["limits"]))
    await Relay(connection, Answers(descriptor, Redactor(server.secrets))).run(reader)


if __name__ == "__main__":
    main()
