"""A stand-in for the internet: names, public addresses behind them, and servers there.

It stands at the edge of the process. The resolver knows the names that it is told of, and
connections to public addresses reach servers on this machine; whatever else is asked for goes
where it always does.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

Answer = Callable[[BaseHTTPRequestHandler], None]
PUBLIC = "93.184.216.34"


@dataclass
class Internet:
    """``names`` are the addresses of names, ``ports`` the local ports behind public ones.

    ``asked`` are the names that were looked up, ``reached`` the addresses connected to.
    """

    names: dict[str, list[str]] = field(default_factory=dict)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    reached: list[tuple[str, int]] = field(default_factory=list)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        resolve, connect = socket.getaddrinfo, socket.create_connection

        def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            if host not in self.names:
                return resolve(host, port, *args, **options)
            self.asked.append(host)
            return [
                entry
                for address in self.names[host]
                for entry in resolve(address, port, type=socket.SOCK_STREAM)
            ]

        def create_connection(address: Any, *args: Any, **options: Any) -> socket.socket:
            if address in self.ports:
                self.reached.append(address)
                address = ("127.0.0.1", self.ports[address])
            return connect(address, *args, **options)

        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        patch.setattr(socket, "create_connection", create_connection)

    @contextmanager
    def site(
        self,
        name: str,
        answer: Answer,
        *,
        tls: ssl.SSLContext | None = None,
        address: str = PUBLIC,
    ) -> Iterator[list[BaseHTTPRequestHandler]]:
        """Serve under ``name`` until the block ends; what was asked for is appended.

        Sites that are there at the same time have an ``address`` each.
        """
        seen: list[BaseHTTPRequestHandler] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self)
                answer(self)

            do_POST = do_GET

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        self.names[name] = [address]
        self.ports[address, 443 if tls else 80] = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def give(body: bytes, kind: str = "text/plain") -> Answer:
    """Answers with the body."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("content-type", kind)
        request.send_header("content-length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def lead_to(place: str) -> Answer:
    """Answers that it is elsewhere."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("location", place)
        request.send_header("set-cookie", "a=b")
        request.end_headers()

    return answer
