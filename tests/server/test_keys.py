"""Keys of a running server: made, used and revoked while it serves."""

from __future__ import annotations

import json
import logging
import socket
import time
from pathlib import Path
from typing import Any

import openai
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from mlxoss.api_key_file import (
    KEYS_FILE,
    USES_FILE,
    create_key,
    hash_token,
    read_local_token,
    read_uses,
    revoke_key,
)
from mlxoss.config import Config
from mlxoss.errors import ConfigError
from mlxoss.server.access.exposure import check_exposure
from tests.server.conftest import Serve
from tests.support.http import Answer, ask
from tests.support.server.harness import Server, chat_body
from tests.support.server.scripts import HELLO
from tests.support.waiting import until

USER: Any = {"role": "user", "content": "Hello!"}


@pytest.fixture
def server(serve: Serve, tmp_path: Path) -> Server:
    return serve(HELLO, folder=tmp_path)


def ask_with(server: Server, authorization: str | None, path: str = "/v1/models") -> Answer:
    headers = {} if authorization is None else {"authorization": authorization}
    return ask(server, "GET", path, headers=headers)


def test_without_a_key_anything_goes(server: Server) -> None:
    for sent in (None, "Bearer none", "Bearer sk-anything", "Basic eDp5"):
        assert ask_with(server, sent).status == 200
    assert "version" in ask(server, "GET", "/health").json


def test_once_there_is_a_key_it_is_needed_everywhere(server: Server, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", time.time())
    for method, path in [
        ("GET", "/v1/models"),
        ("GET", "/openapi.json"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("GET", "/v1/responses/resp_1"),
        ("GET", "/no/such/path"),
        ("OPTIONS", "/v1/models"),
        ("GET", "/health/x"),
        ("GET", "/v1/models/"),
    ]:
        answer = ask(server, method, path)
        assert answer.status == 401, path
        assert answer.error["code"] == "invalid_api_key"
        assert answer.error["type"] == "invalid_request_error"
        assert answer.headers["www-authenticate"] == "Bearer"
    for path in ("/health", "/health/"):
        assert ask(server, "GET", path).status == 200
    assert ask_with(server, f"Bearer {token}").status == 200
    assert ask_with(server, f"bearer  {token}").status == 200


def test_a_key_may_come_as_anthropic_s_clients_send_it(server: Server, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", time.time())
    for headers, status in [
        ({"x-api-key": token}, 200),
        ({"x-api-key": token, "authorization": "Bearer none"}, 200),
        ({"x-api-key": "none", "authorization": f"Bearer {token}"}, 200),
        ({"x-api-key": f"{token}x"}, 401),
        ({"x-api-key": f"Bearer {token}"}, 401),
        ({"x-api-key": ""}, 401),
    ]:
        assert ask(server, "GET", "/v1/models", headers=headers).status == status, headers
    refused = ask(server, "POST", "/v1/messages")
    assert refused.status == 401
    assert refused.json["error"]["type"] == "authentication_error"
    assert token not in refused.body.decode()


@pytest.mark.parametrize(
    "wrong", ["", "{}", "Bearer", "Bearer ", "Basic {}", "Bearer {}x", "Bearer {} {}", "Bearer é"]
)
def test_what_is_no_key(server: Server, tmp_path: Path, wrong: str) -> None:
    token = create_key(tmp_path, "laptop", 0)
    answer = ask_with(server, wrong.replace("{}", token))
    assert answer.status == 401
    assert token not in answer.body.decode()
    assert ask_with(server, f"Bearer {hash_token(token)}").status == 401


def test_two_keys_at_once_are_none(server: Server, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", 0)
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as connection:
        lines = f"Authorization: Bearer {token}\r\n" * 2
        head = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n"
        connection.sendall(head.encode())
        assert connection.recv(12) == b"HTTP/1.1 401"


def test_the_official_client(server: Server, tmp_path: Path) -> None:
    create_key(tmp_path, "other", 0)
    with pytest.raises(openai.AuthenticationError) as caught:
        server.client().chat.completions.create(model="x", messages=[USER])
    assert caught.value.code == "invalid_api_key"
    token = create_key(tmp_path, "laptop", 0)
    client = server.client().with_options(api_key=token)
    assert client.chat.completions.create(model="x", messages=[USER]).choices
    assert client.responses.create(model="x", input="Hello!").status == "completed"
    revoke_key(tmp_path, "laptop")
    with pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model="x", messages=[USER])
    revoke_key(tmp_path, "other")
    assert client.chat.completions.create(model="x", messages=[USER]).choices


def test_a_socket_needs_a_key(server: Server, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", 0)
    url = f"ws://127.0.0.1:{server.port}/v1/responses"
    with pytest.raises(InvalidStatus) as caught:
        connect(url)
    assert caught.value.response.status_code == 401
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as opened:
        frame = json.dumps({"type": "response.create", "model": "x", "input": "Hello!"})
        opened.send(frame)
        assert json.loads(opened.recv(timeout=120))["type"] == "response.created"
        while json.loads(opened.recv(timeout=120))["type"] != "response.completed":
            pass
        create_key(tmp_path, "phone", 0)
        revoke_key(tmp_path, "laptop")
        opened.send(frame)
        event = json.loads(opened.recv(timeout=120))
        assert (event["status"], event["error"]["code"]) == (401, "invalid_api_key")


def test_health_without_a_key_tells_its_status_alone(server: Server, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", 0)
    for wrong in (None, "Bearer wrong"):
        answer = ask_with(server, wrong, "/health")
        assert (answer.status, answer.json) == (200, {"status": "loading"})
    assert ask_with(server, f"Bearer {token}", "/health").json["model"] == "tiny/gpt-oss"
    local = read_local_token(tmp_path)
    assert ask_with(server, f"Bearer {local}", "/health").json["model"] == "tiny/gpt-oss"


def test_the_local_token_is_a_key_until_the_next_start(serve: Serve, tmp_path: Path) -> None:
    create_key(tmp_path, "laptop", 0)
    config = Config(responses_store="off")  # the store is one daemon's alone
    first = serve(HELLO, folder=tmp_path, config=config)
    old = read_local_token(tmp_path)
    assert ask_with(first, f"Bearer {old}").status == 200
    second = serve(HELLO, folder=tmp_path, config=config)
    new = read_local_token(tmp_path)
    for server in (first, second):
        assert ask_with(server, f"Bearer {old}").status == 401
        assert ask_with(server, f"Bearer {new}").status == 200


def test_uses_are_noted_at_once_then_later(serve: Serve, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", 0)
    key = hash_token(token)
    began = time.time()
    server = serve(HELLO, folder=tmp_path)
    ask_with(server, f"Bearer {token}")
    until(lambda: read_uses(tmp_path).get(key, 0) >= began)
    first = (tmp_path / USES_FILE).stat().st_mtime_ns
    for _ in range(20):
        ask_with(server, f"Bearer {token}")
    ask_with(server, "Bearer wrong")
    assert (tmp_path / USES_FILE).stat().st_mtime_ns == first
    assert set(read_uses(tmp_path)) == {key}


def test_a_damaged_file_leaves_the_keys_in_force(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    token = create_key(tmp_path, "laptop", 0)
    assert ask_with(server, None).status == 401
    (tmp_path / KEYS_FILE).write_text("{")
    for _ in range(3):
        assert ask_with(server, None).status == 401
        assert ask_with(server, f"Bearer {token}").status == 200
    warned = [r for r in caplog.records if r.levelno == logging.WARNING and KEYS_FILE in r.message]
    assert len(warned) == 1


def test_no_key_is_logged(server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = create_key(tmp_path, "laptop", 0)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    assert ask(server, "POST", "/v1/chat/completions", chat_body(), headers).status == 200
    assert ask_with(server, f"Bearer {token}x").status == 401
    said = caplog.text
    assert "POST /v1/chat/completions" in said
    assert token not in said
    assert str(read_local_token(tmp_path)) not in said


def test_a_preflight_needs_no_key(serve: Serve, tmp_path: Path) -> None:
    create_key(tmp_path, "laptop", 0)
    origin = "https://app.example"
    server = serve(HELLO, folder=tmp_path, config=Config(allow_origin=(origin,)))
    asked = {"origin": origin, "access-control-request-method": "POST"}
    assert ask(server, "OPTIONS", "/v1/responses", headers=asked).status == 204
    answer = ask(server, "POST", "/v1/responses", b"{}", headers={"origin": origin})
    assert answer.status == 401
    assert answer.headers["access-control-allow-origin"] == origin


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1"])
def test_other_machines_need_a_key(host: str) -> None:
    with pytest.raises(ConfigError, match="mlxoss key create"):
        check_exposure(Config(host=host), has_keys=False)
    check_exposure(Config(host=host), has_keys=True)
    check_exposure(Config(host=host, insecure_no_auth=True), has_keys=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.9.9.9", "no.such.invalid"])
def test_this_machine_needs_none(host: str) -> None:
    check_exposure(Config(host=host), has_keys=False)
