"""What another web page, a rebound name or a wrong client gets, on real sockets."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from mlxoss.config import Config
from tests.server.conftest import Serve
from tests.support.http import Answer, ask
from tests.support.server.harness import Server, chat_body
from tests.support.server.scripts import HELLO

EVIL = "https://evil.example"
APP = "https://app.example"
PATHS = [
    ("GET", "/health"),
    ("GET", "/v1/models"),
    ("GET", "/openapi.json"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("DELETE", "/v1/responses/resp_1"),
    ("OPTIONS", "/v1/chat/completions"),
    ("GET", "/no/such/path"),
    ("PUT", "/health"),
]


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


@pytest.fixture
def opened(serve: Serve) -> Server:
    return serve(HELLO, config=Config(allow_origin=(APP,), allow_host=("llm.example",)))


def send(server: Server, first_line: str, headers: Sequence[str], body: bytes = b"") -> Answer:
    """A request with exactly these lines; the answer is read to the connection's end."""
    lines = [first_line, *headers, f"Content-Length: {len(body)}", "Connection: close"]
    with server.connect() as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        received = b""
        while part := connection.recv(65536):
            received += part
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *fields = head.decode().split("\r\n")
    names = dict(field.lower().split(": ", 1) for field in fields)
    return Answer(int(status.split()[1]), names, rest)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_rebound_name_is_refused_everywhere(server: Server, method: str, path: str) -> None:
    answer = send(server, f"{method} {path} HTTP/1.1", ["Host: evil.example:8000"])
    assert answer.status == 403
    assert answer.error["code"] == "host_not_allowed"
    assert not any(name.startswith("access-control") for name in answer.headers)


@pytest.mark.parametrize(("method", "path"), PATHS)
@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000", ""])
def test_another_origin_is_refused_everywhere(
    server: Server, method: str, path: str, origin: str
) -> None:
    answer = send(server, f"{method} {path} HTTP/1.1", ["Host: localhost", f"Origin: {origin}"])
    assert answer.status == 403
    assert answer.error["code"] == "origin_not_allowed"
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_simple_post_does_not_run_a_turn(server: Server) -> None:
    for kind in ("text/plain", "application/json"):
        headers = ["Host: localhost", f"Origin: {EVIL}", f"Content-Type: {kind}"]
        body = chat_body()
        answer = send(server, "POST /v1/chat/completions HTTP/1.1", headers, body)
        assert answer.status == 403
    assert server.services.engine.status().prefill_tokens_per_s == 0
    assert ask(server, "GET", "/health").json["active_requests"] == 0


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["Host: localhost", "Host: localhost"],
        ["Host: localhost", "Host: evil.example"],
        ["Host:"],
        ["Host: löcalhost"],
        ["Host: " + "a" * 4000],
        ["Host: localhost, evil.example"],
        ["X-Forwarded-Host: localhost", "Host: evil.example"],
        ["Forwarded: host=localhost", "Host: evil.example"],
    ],
)
def test_hosts_that_are_none_or_two(server: Server, lines: list[str]) -> None:
    answer = send(server, "GET /health HTTP/1.1", lines)
    assert answer.status == 403
    assert answer.error["code"] == "host_not_allowed"
    assert len(answer.body) < 1000


def test_an_absolute_target_is_looked_at_too(server: Server) -> None:
    for target, status in [
        ("http://evil.example/health", 403),
        ("http://localhost:1/health", 200),
        ("//evil.example/health", 404),
    ]:
        assert send(server, f"GET {target} HTTP/1.1", ["Host: localhost"]).status == status


def test_the_connection_goes_on_after_a_refusal(server: Server) -> None:
    with server.connect() as connection:
        head = "POST /v1/responses HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n"
        connection.sendall(head.encode() + b"GET /heal")
        assert connection.recv(12) == b"HTTP/1.1 403"
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = b""
        while part := connection.recv(65536):
            received += part
    assert b"HTTP/1.1 200" in received


@pytest.mark.parametrize("origin", [EVIL, "null", "http://localhost:3000"])
def test_a_socket_of_another_origin_is_not_opened(server: Server, origin: str) -> None:
    url = f"ws://127.0.0.1:{server.port}/v1/responses"
    with pytest.raises(InvalidStatus) as caught:
        connect(url, origin=Origin(origin))
    assert caught.value.response.status_code == 403
    body = json.loads(caught.value.response.body or b"")
    assert body["error"]["code"] == "origin_not_allowed"


def test_a_socket_of_a_rebound_name_is_not_opened(server: Server) -> None:
    upgrade = [
        "Host: evil.example",
        "Origin: http://evil.example",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    ]
    assert send(server, "GET /v1/responses HTTP/1.1", upgrade).status == 403


def test_the_server_s_own_origin_is_let_in(server: Server) -> None:
    own = f"http://127.0.0.1:{server.port}"
    headers = {"origin": own, "content-type": "application/json"}
    answer = ask(server, "POST", "/v1/chat/completions", chat_body(), headers)
    assert answer.status == 200
    assert "access-control-allow-origin" not in answer.headers
    with connect(f"ws{own[4:]}/v1/responses", origin=Origin(own)):
        pass


def test_an_origin_of_the_settings_may_use_everything(opened: Server) -> None:
    headers = {"origin": APP, "content-type": "application/json"}
    for body in (chat_body(), chat_body(stream=True), b"no JSON"):
        answer = ask(opened, "POST", "/v1/chat/completions", body, headers)
        assert answer.status == (400 if body == b"no JSON" else 200)
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
    assert ask(opened, "GET", "/no", headers=headers).headers["access-control-allow-origin"] == APP
    assert ask(opened, "GET", "/health", headers={"origin": EVIL}).status == 403
    with connect(f"ws://127.0.0.1:{opened.port}/v1/responses", origin=Origin(APP)):
        pass


def test_preflights(opened: Server) -> None:
    wanted = {
        "origin": APP,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
        "access-control-request-private-network": "true",
    }
    answer = ask(opened, "OPTIONS", "/v1/chat/completions", headers=wanted)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == APP
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"]
    assert allowed == "authorization, content-type, x-stainless-lang"
    assert answer.headers["access-control-allow-private-network"] == "true"
    assert "Access-Control-Request-Headers" in answer.headers["vary"]
    for refused in ({"origin": EVIL}, {"origin": "null"}):
        answer = ask(opened, "OPTIONS", "/v1/chat/completions", headers=wanted | refused)
        assert answer.status == 403
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_name_of_the_settings(opened: Server) -> None:
    for host, status in [("llm.example", 200), ("LLM.example:8443", 200), ("x.example", 403)]:
        assert send(opened, "GET /health HTTP/1.1", [f"Host: {host}"]).status == status
