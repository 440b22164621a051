"""Refusals: the right status, OpenAI's error shape, the field's name."""

from __future__ import annotations

import json
import socket
from typing import Any

import openai
import pytest

from tests.server.conftest import Serve
from tests.support.http import ask
from tests.support.server.harness import Server, ask_chat, chat_body
from tests.support.server.scripts import HELLO

USER: Any = {"role": "user", "content": "Hello!"}


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


def test_content_types(server: Server) -> None:
    for sent, status in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=utf-8", 200),
        ("application/vnd.api+json", 200),
    ]:
        answer = ask(server, "POST", "/v1/chat/completions", chat_body(), {"content-type": sent})
        assert answer.status == status
    assert ask(server, "POST", "/v1/chat/completions", chat_body()).status == 200


@pytest.mark.parametrize("extra", [0, 4_000_000])
def test_a_body_that_is_too_long(server: Server, extra: int) -> None:
    client = server.client()
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="x", messages=[{"role": "user", "content": "a" * (10 * 1024 * 1024 + extra)}]
        )
    assert caught.value.status_code == 413
    assert caught.value.code == "request_too_large"
    assert client.chat.completions.create(model="x", messages=[USER]).choices


def test_a_chunked_body_that_is_too_long(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        part = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
        for _ in range(12):
            connection.sendall(part)
        connection.sendall(b"0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_paths_and_methods(server: Server) -> None:
    for method, path, status in [
        ("GET", "/index.html", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/models/none/such", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("PUT", "/health", 405),
    ]:
        answer = ask(server, method, path)
        assert answer.status == status, path
        assert answer.error["type"] == "invalid_request_error"
        assert "x-request-id" in answer.headers
    assert ask(server, "DELETE", "/v1/models").headers["allow"] == "GET, HEAD"
    assert ask(server, "GET", "/v1/models/none").error["code"] == "model_not_found"


def test_requests_that_are_not_http(server: Server) -> None:
    for sent, status in [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"400"),
        (b"GET /health HTTP/1.1\r\nx: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
    ]:
        with server.connect() as connection:
            connection.sendall(sent)
            received = read_to_end(connection)
        head, _, body = received.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 " + status), received
        assert json.loads(body)["error"]["message"]
        assert b"Traceback" not in body


def read_to_end(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_request_ids(server: Server) -> None:
    for sent, is_kept in [("abc-123", True), ("a b", False), ("x" * 200, False)]:
        answer = ask(server, "GET", "/health", headers={"x-request-id": sent})
        assert (answer.headers["x-request-id"] == sent) is is_kept


def test_the_client_raises_its_typed_errors(server: Server) -> None:
    client = server.client()
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="x", messages=[USER], temperature=9)
    assert (bad.value.param, bad.value.code) == ("temperature", "invalid_value")
    assert bad.value.request_id is not None
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody/has-this")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="x", input="x")


def test_models(server: Server) -> None:
    client = server.client()
    (listed,) = client.models.list().data
    assert listed == client.models.retrieve("tiny/gpt-oss")
    assert (listed.id, listed.created) == ("tiny/gpt-oss", 1_700_000_000)
    assert ask(server, "GET", "/v1/models/tiny/gpt-oss").json["id"] == "tiny/gpt-oss"


def test_a_slash_at_the_end_changes_nothing(server: Server) -> None:
    body = chat_body()
    for path in ("/v1/models", "/v1/models/tiny/gpt-oss", "/v1/models/none", "/metrics"):
        plain = ask(server, "GET", path)
        for more in ("/", "//", "/?", "/?limit=5"):
            answer = ask(server, "GET", path + more)
            assert answer.status == plain.status, path + more
            if path != "/metrics":
                assert answer.json == plain.json
    assert ask(server, "HEAD", "/v1/models/").status == 200
    assert ask(server, "POST", "/v1/chat/completions/", body).status == 200
    assert ask(server, "POST", "/v1/messages/", body).json["type"] == "error"


def test_prompts_longer_than_the_context(server: Server) -> None:
    text = "word " * 5000
    for streamed in (False, True):
        answer = ask_chat(server, stream=streamed, messages=[{"role": "user", "content": text}])
        assert answer.status == 400
        assert answer.error["code"] == "context_length_exceeded"
        assert answer.error["param"] == "messages"


def test_max_tokens_is_cut_to_what_the_context_leaves(serve: Serve) -> None:
    from mlxoss.config import Config

    server = serve(HELLO, config=Config(context_length=80))
    usage = ask_chat(server, max_tokens=1000).json["usage"]
    assert usage["total_tokens"] == 80


def test_the_host_that_xcode_names(server: Server) -> None:
    host = {"host": f"0.0.0.0:{server.port}"}
    assert ask(server, "GET", "/v1/models?", headers=host).json["data"]
    assert ask(server, "POST", "/v1/chat/completions", chat_body(), host).status == 200
    page = {**host, "origin": "http://evil.example"}
    assert ask(server, "GET", "/v1/models", headers=page).error["code"] == "origin_not_allowed"
