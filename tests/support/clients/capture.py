"""What tools a client really declares: it is run against a socket that keeps its requests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mlxoss.core import JsonObject

Tools = dict[str, JsonObject]
"""Schemas by name; those of a namespace under the name that the model sees."""

_REFUSAL = json.dumps({"error": {"type": "invalid_request_error", "message": "Enough."}}).encode()


def declared_tools(run: Callable[[str], object]) -> Tools:
    """The functions that a client declares. ``run`` gets a URL and runs the client to its end.

    Every request is refused with 400, of which clients make no second try.
    """
    with _listening() as (url, bodies):
        run(url)
    tools: Tools = {}
    for body in bodies:
        for tool in body.get("tools") or ():
            tools |= dict(_read(tool))
    return tools


def _read(tool: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    if tool.get("type") == "namespace":
        for part in tool["tools"]:
            for name, parameters in _read(part):
                yield f"{tool['name']}__{name}", parameters
        return
    schema = tool.get("parameters", tool.get("input_schema"))
    if isinstance(schema, dict):
        yield tool["name"], schema


@contextmanager
def _listening() -> Iterator[tuple[str, list[JsonObject]]]:
    bodies: list[JsonObject] = []

    class Refusing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            bodies.append(json.loads(body or b"{}"))
            self._answer(400)

        def do_GET(self) -> None:
            self._answer(404)

        do_HEAD = do_GET

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(_REFUSAL)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(_REFUSAL)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()
