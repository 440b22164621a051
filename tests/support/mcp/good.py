"""A server by the SDK's own server side: ``good.py stdio``, or ``good.py http|sse [TOKEN]``, which
prints its port."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import ToolAnnotations

server = MCPServer("good", version="1.2")
App = Callable[[Any, Any, Any], Awaitable[None]]


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail."""
    raise ValueError("there is no such file")


@server.tool()
def picture() -> Image:
    """A picture."""
    return Image(data=b"\x89PNG" + bytes(3_000), format="png")


@server.tool()
def weather(city: str) -> dict[str, Any]:
    """A value with a form."""
    return {"city": city, "degrees": 21}


@server.tool()
def variable(name: str) -> str:
    """A variable of the server's."""
    return os.environ.get(name, "not set")


@server.tool()
async def wait(file: str, context: Context[Any, Any]) -> str:
    """Make the file, and wait for its end."""
    Path(file).touch()
    while Path(file).exists():
        await anyio.sleep(0.01)
    return "it is gone"


@server.tool()
def pid() -> int:
    """The process's number."""
    return os.getpid()


def guarded(app: App, token: str) -> App:
    """Only who brings the token is served."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope.get("headers", []))
        if scope["type"] == "http" and headers.get(b"authorization") != f"Bearer {token}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": token.encode()})
            return
        await app(scope, receive, send)

    return serve


def main(kind: str, token: str = "") -> None:
    if kind == "stdio":
        server.run()
        return
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    make = server.sse_app if kind == "sse" else server.streamable_http_app
    app: App = make(transport_security=security)
    listener = socket.create_server(("127.0.0.1", 0))
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    config = uvicorn.Config(guarded(app, token) if token else app, log_level="critical")
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(*sys.argv[1:])
