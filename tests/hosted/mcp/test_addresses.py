"""MCP servers by their address: which are asked, and what they may answer."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from mlxoss.hosted.mcp.child.failures import Exchange, exchanges
from mlxoss.hosted.mcp.child.http import make_client
from mlxoss.hosted.mcp.limits import McpLimits
from mlxoss.hosted.mcp.server import AddressServer
from mlxoss.outcomes import McpFailure, McpServerRef
from tests.hosted.mcp.conftest import Configure
from tests.support.certificates import make_pair
from tests.support.internet import PUBLIC
from tests.support.mcp.running import PATIENT, good, named, opened, run

pytestmark = pytest.mark.slow

SHORT_S = 0.3
NAME = "mcp.example"
Handler = Callable[[BaseHTTPRequestHandler, dict[str, Any]], None]


@contextmanager
def site(handle: Handler, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """A server that ``handle`` answers for: its port, and what was asked for."""
    seen: list[str] = []

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", 0))
            body = json.loads(self.rfile.read(length) or b"{}")
            seen.append(f"{self.headers['host']} {body.get('method')}")
            handle(self, body)

        def do_GET(self) -> None:
            seen.append(f"{self.headers['host']} GET")
            self.send_error(405)

        do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    server.daemon_threads = True
    server.block_on_close = False
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_address[1], seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(request: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    request.send_response(status)
    for name, value in {"content_type": "application/json", **headers}.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("content-length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def result(message: dict[str, Any], value: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": message.get("id"), "result": value}).encode()


def answer(request: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
    """A server of the older protocol, with one tool."""
    match message.get("method"):
        case "initialize":
            value = {
                "protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "hand", "version": "0"},
            }
            send(request, 200, result(message, value), mcp_session_id="one")
        case "tools/list":
            tool = {"name": "fine", "inputSchema": {"type": "object"}}
            send(request, 200, result(message, {"tools": [tool]}))
        case "tools/call":
            done = {"content": [{"type": "text", "text": "done"}]}
            send(request, 200, result(message, done))
        case "server/discover":
            send(request, 404, b"")
        case _:
            send(request, 202, b"")


def failure_of(url: str, addresses: str = "on") -> McpFailure:
    """Why a call of a server that a request names comes to nothing."""

    async def work() -> McpFailure:
        async with opened(addresses=addresses) as servers:
            done = await servers.call(McpServerRef("there", url), "fine", "{}")
            assert done.failure is not None
            return done.failure

    return run(work())


def outcome_of(configure: Configure, handle: Handler, limits: McpLimits = PATIENT) -> McpFailure:
    """The same of one that is configured, and may be local."""
    with site(handle) as (port, _):
        configure(there={"url": f"http://127.0.0.1:{port}/mcp"})

        async def work() -> McpFailure:
            async with opened(limits) as servers:
                done = await servers.call(named("there"), "fine", "{}")
                assert done.failure is not None
                return done.failure

        return run(work())


def test_a_configured_one_may_be_local(configure: Configure) -> None:
    with site(answer) as (port, _):
        configure(there={"url": f"http://127.0.0.1:{port}/mcp"})

        async def work() -> None:
            async with opened() as servers:
                done = await servers.call(named("there"), "fine", "{}")
                assert done.output == "done"

        run(work())


HOSTS = ("127.0.0.1", "localhost", "[::1]", "0x7f000001", "2130706433", "[::ffff:127.0.0.1]", "0")


def test_no_private_address_is_asked(configure: Configure) -> None:
    configure()
    with site(answer) as (port, seen):

        async def work() -> None:
            async with opened(addresses="on") as servers:
                assert servers.allows_addresses
                refs = [McpServerRef("there", f"http://{host}:{port}/mcp") for host in HOSTS]
                refs.append(McpServerRef("there", "http://169.254.169.254/mcp"))
                for found in await asyncio.gather(*map(servers.list_tools, refs)):
                    assert found.failure is not None
                    assert found.failure.kind == "http_error"
                    assert "not public" in found.failure.message

        run(work())
        assert seen == []


@pytest.mark.parametrize("url", ["ftp://a.example/", "http://user:pw@a.example/", "http://[", "x"])
def test_what_is_no_address_is_refused(configure: Configure, url: str) -> None:
    configure()
    assert "no http or https address" in failure_of(url).message


def test_none_is_asked_unless_allowed(configure: Configure) -> None:
    configure()
    assert "mcp_addresses" in failure_of("http://a.example/mcp", addresses="off").message


def test_headers_go_to_addresses_alone(configure: Configure) -> None:
    configure(good=good())

    async def work() -> None:
        async with opened() as servers:
            ref = McpServerRef("good", headers=(("Authorization", "x"),))
            failure = (await servers.list_tools(ref)).failure
            assert failure is not None
            assert "Headers" in failure.message

    run(work())


class Internet:
    """A stand-in at the edge of the process: names, and public addresses that lead here."""

    def __init__(self, patch: pytest.MonkeyPatch, port: int) -> None:
        self.names: dict[str, list[list[str]]] = {}
        self.reached: list[str] = []
        self._port = port
        self._resolve, self._connect = socket.getaddrinfo, anyio.connect_tcp
        patch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        patch.setattr(anyio, "connect_tcp", self._connect_tcp)

    def _getaddrinfo(self, host: Any, port: Any, *args: Any, **options: Any) -> Any:
        answers = self.names.get(host)
        if answers is None:
            return self._resolve(host, port, *args, **options)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [
            entry for each in found for entry in self._resolve(each, port, type=socket.SOCK_STREAM)
        ]

    async def _connect_tcp(self, remote_host: str, remote_port: int, **options: Any) -> Any:
        self.reached.append(remote_host)
        assert remote_host == PUBLIC
        return await self._connect("127.0.0.1", self._port, **options)


def ask(url: str, limits: McpLimits = PATIENT) -> tuple[httpx2.Response, Exchange]:
    """One request as the process makes it."""

    async def work() -> tuple[httpx2.Response, Exchange]:
        exchange = Exchange()
        exchanges.set(exchange)
        async with make_client(AddressServer("x", url, is_public_only=True), limits) as client:
            return await client.post(url, json={"method": "tools/call"}), exchange

    return run(work())


def test_the_address_that_was_checked_is_the_one_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with site(answer) as (port, seen):
        internet = Internet(monkeypatch, port)
        internet.names[NAME] = [[PUBLIC], ["127.0.0.1"]]  # another one, when asked again
        response, exchange = ask(f"http://{NAME}/mcp")
        assert (response.status_code, exchange.reason) == (200, "")
        assert internet.reached == [PUBLIC]
        assert seen == [f"{NAME} tools/call"]
        response, exchange = ask(f"http://{NAME}/mcp")
        assert "not public" in exchange.reason
        assert internet.reached == [PUBLIC]


def test_one_private_address_among_public_ones_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    with site(answer) as (port, seen):
        internet = Internet(monkeypatch, port)
        internet.names[NAME] = [[PUBLIC, "10.0.0.1"]]
        assert "not public" in ask(f"http://{NAME}/mcp")[1].reason
        assert seen == []


def test_tls_is_asked_for_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pair = make_pair(tmp_path / "tls", NAME)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(pair.certificate))
    with site(answer, context) as (port, seen):
        internet = Internet(monkeypatch, port)
        internet.names = {NAME: [[PUBLIC]], "other.example": [[PUBLIC]]}
        response, exchange = ask(f"https://{NAME}/mcp")
        assert (response.status_code, exchange.reason) == (200, "")
        assert seen == [f"{NAME} tools/call"]
        assert "cannot be reached" in ask("https://other.example/mcp")[1].reason


def test_redirects_lead_nowhere_else(configure: Configure) -> None:
    with site(answer) as (port, seen):

        def lead(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
            send(request, 307, b"", location=f"http://127.0.0.1:{port}/mcp")

        failure = outcome_of(configure, lead)
        assert failure.kind == "mcp_protocol_error"
        assert seen == []


def during_call(handle: Handler) -> Handler:
    """Does the ordinary until the tool is called."""

    def both(request: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        (handle if message.get("method") == "tools/call" else answer)(request, message)

    return both


def drip(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    request.send_response(200)
    request.send_header("content-type", "application/json")
    request.end_headers()
    while True:
        request.wfile.write(b" ")
        time.sleep(0.05)


def flood(request: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
    text = "x" * (PATIENT.message_bytes + 1)
    send(request, 200, result(message, {"content": [{"type": "text", "text": text}]}))


def bomb(request: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
    body = result(message, {"content": [{"type": "text", "text": "x" * 1_000_000}]})
    send(request, 200, gzip.compress(body), content_encoding="gzip")


def page(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    send(request, 200, b"<p>Hello.", content_type="text/html")


def broken(request: BaseHTTPRequestHandler, _: dict[str, Any]) -> None:
    request.send_response(200)
    request.send_header("content-type", "application/json")
    request.send_header("content-length", "1000")
    request.end_headers()
    request.wfile.write(b"{")
    request.close_connection = True


@pytest.mark.parametrize(
    ("handle", "kind", "part"),
    [
        (drip, "mcp_protocol_error", f"within {SHORT_S} s"),
        (flood, "http_error", "too long"),
        (bomb, "http_error", "compressed"),
        (page, "mcp_protocol_error", "content type"),
        (broken, "http_error", "broke off"),
        (lambda request, _: send(request, 503, b"secret"), "http_error", "status 503"),
    ],
)
def test_a_bad_answer_costs_the_call(
    configure: Configure, handle: Handler, kind: str, part: str
) -> None:
    limits = replace(PATIENT, call_s=SHORT_S) if handle is drip else PATIENT
    failure = outcome_of(configure, during_call(handle), limits)
    assert failure.kind == kind
    assert part in failure.message


def test_a_bad_answer_leaves_the_connection(configure: Configure) -> None:
    bad = iter((flood, bomb, page, broken))

    def handle(request: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        next(bad, answer)(request, message)

    with site(during_call(handle)) as (port, seen):
        configure(there={"url": f"http://127.0.0.1:{port}/mcp"})

        async def work() -> None:
            async with opened() as servers:
                calls = [await servers.call(named("there"), "fine", "{}") for _ in range(5)]
                assert [done.output for done in calls] == [None] * 4 + ["done"]

        run(work())
        assert sum(line.endswith("initialize") for line in seen) == 1


def test_a_forgotten_session_is_begun_anew(configure: Configure) -> None:
    """Once for all who call at that moment."""
    calls = 3
    forgotten = [True] * calls
    together = threading.Barrier(calls)

    def forget(request: BaseHTTPRequestHandler, message: dict[str, Any]) -> None:
        if forgotten:
            together.wait()
            forgotten.pop()
            together.wait()
            send(request, 404, b"")
        else:
            answer(request, message)

    with site(during_call(forget)) as (port, seen):
        configure(there={"url": f"http://127.0.0.1:{port}/mcp"})

        async def work() -> None:
            async with opened() as servers:
                await servers.list_tools(named("there"))
                asked = [servers.call(named("there"), "fine", "{}") for _ in range(calls)]
                done = await asyncio.gather(*asked)
                assert [each.output for each in done] == ["done"] * calls

        run(work())
        assert sum(line.endswith("initialize") for line in seen) == 2
