"""How many requests one API key may have in progress."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from mlxoss.api_key_file import create_key, read_local_token
from mlxoss.config import Config
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import Answer, ask
from tests.support.server.harness import Server, chat_body, set_at_last
from tests.support.waiting import until

ANSWER = [200_005, 17_196, 200_008, 1000, 200_002]


def post(server: Server, token: str | None, path: str, **fields: Any) -> Answer:
    headers = {"content-type": "application/json"}
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    body = {"model": "x", "input": "Hello!"} | fields
    data = chat_body() if path.startswith("/v1/chat") else json.dumps(body).encode()
    return ask(server, "POST", path, data, headers)


def hold(server: Server, token: str) -> socket.socket:
    """A chat that has begun and goes on until it is closed."""
    body = chat_body()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection = server.connect()
    connection.sendall(head.encode() + body)
    return connection


def test_a_key_has_so_many_and_others_theirs(serve: Serve, tmp_path: Path) -> None:
    laptop, phone = (create_key(tmp_path, name, 0) for name in ("laptop", "phone"))
    backend = ScriptedBackend(lambda request: ANSWER)
    server = serve(backend, config=Config(max_requests_per_key=2), folder=tmp_path)
    backend.gate.clear()
    with set_at_last(backend.gate):
        held = [hold(server, laptop), hold(server, laptop)]
        until(lambda: in_engine(server) == 2)
        for path, fields in [
            ("/v1/chat/completions", {}),
            ("/v1/responses", {}),
            ("/v1/responses", {"background": True}),
            ("/v1/responses/compact", {}),
        ]:
            answer = post(server, laptop, path, **fields)
            assert _is_refused(answer), path
            assert answer.error["type"] == "rate_limit_error"
            assert "max_requests_per_key" in answer.error["message"]
            assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert _socket_answer(server, laptop)["code"] == "too_many_requests_of_key"
        # What takes no turn is not counted.
        assert post(server, laptop, "/v1/responses/input_tokens").status == 200
        others = [phone, str(read_local_token(tmp_path)), str(read_local_token(tmp_path))]
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda token=token: answers.append(
                    post(server, token, "/v1/chat/completions").status
                )
            )
            for token in others
        ]
        for thread in threads:
            thread.start()
        until(lambda: in_engine(server) == 5)
        held.pop().close()
        until(lambda: in_engine(server) == 4)
        # A place is free again, and a background response keeps it.
        queued = post(server, laptop, "/v1/responses", background=True)
        assert queued.status == 200
        assert _is_refused(post(server, laptop, "/v1/responses"))
        cancelled = post(server, laptop, f"/v1/responses/{queued.json['id']}/cancel")
        assert cancelled.json["status"] == "cancelled"
        backend.gate.set()
        for thread in threads:
            thread.join(120)
        assert answers == [200, 200, 200]
    held.pop().close()
    until(lambda: server.services.turns.in_progress == 0)
    assert post(server, laptop, "/v1/responses").status == 200


def in_engine(server: Server) -> int:
    status = server.services.engine.status()
    return status.active + status.waiting


def _is_refused(answer: Answer) -> bool:
    return answer.status == 429 and answer.error["code"] == "too_many_requests_of_key"


def _socket_answer(server: Server, token: str) -> dict[str, Any]:
    url = f"ws://127.0.0.1:{server.port}/v1/responses"
    with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as opened:
        opened.send(json.dumps({"type": "response.create", "model": "x", "input": "Hello!"}))
        event = json.loads(opened.recv(timeout=120))
    assert event["status"] == 429
    error: dict[str, Any] = event["error"]
    return error


@pytest.mark.parametrize("most", [0, 1])
def test_without_keys_it_does_nothing(serve: Serve, most: int) -> None:
    backend = ScriptedBackend(lambda request: ANSWER)
    server = serve(backend, config=Config(max_requests_per_key=most))
    backend.gate.clear()
    with set_at_last(backend.gate):
        held = [hold(server, "whatever") for _ in range(3)]
        until(lambda: in_engine(server) == 3)
    for connection in held:
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.close()


def test_what_fails_gives_its_place_back(serve: Serve, tmp_path: Path) -> None:
    token = create_key(tmp_path, "laptop", 0)
    backend = ScriptedBackend(lambda request: ANSWER)
    server = serve(
        backend, config=Config(max_requests_per_key=1, context_length=100), folder=tmp_path
    )
    for _ in range(3):
        answer = post(server, token, "/v1/responses", input="word " * 300)
        assert (answer.status, answer.error["code"]) == (400, "context_length_exceeded")
        assert post(server, token, "/v1/responses").status == 200
