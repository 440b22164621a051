"""``/mlxoss/load`` and ``/mlxoss/unload``."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from mlxoss.api_key_file import create_key
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server, ask_chat, running
from tests.support.server.scripts import HELLO, always, endless
from tests.support.waiting import until


def status(server: Server) -> str:
    found: str = ask(server, "GET", "/health").json["status"]
    return found


def test_the_model_goes_and_comes(encoding: Encoding) -> None:
    made: list[ScriptedBackend] = []

    def load() -> ScriptedBackend:
        made.append(ScriptedBackend(always(encoding, HELLO)))
        return made[-1]

    with running(load, lambda: encoding) as server:
        for count in (1, 2):
            done = ask(server, "POST", "/mlxoss/unload")
            assert (done.status, done.json["status"]) == (200, "unloaded")
            assert done.json["memory"]["process_bytes"] > 0
            assert status(server) == "unloaded"
            done = ask(server, "POST", "/mlxoss/load")
            assert (done.status, done.json["status"]) == (200, "ok")
            assert status(server) == "ok"
            assert len(made) == count + 1
        assert ask_chat(server).status == 200


def test_a_turn_ends_before_its_model_goes(
    encoding: Encoding, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    backend = endless(encoding)
    backend.gate.clear()
    server = serve(backend)
    with ThreadPoolExecutor() as pool:
        turn = pool.submit(ask_chat, server, max_tokens=20)
        until(lambda: backend.active == 1)
        # One that gives up takes its wish back.
        with server.connect() as connection:
            connection.sendall(b"POST /mlxoss/unload HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: "the model is to be unloaded; 1 requests" in caplog.text)
        until(lambda: "the model stays" in caplog.text)
        backend.gate.set()
        assert turn.result().status == 200
        assert status(server) == "ok"
        backend.gate.clear()
        turn = pool.submit(ask_chat, server, max_tokens=20)
        until(lambda: backend.active == 1)
        unloading = pool.submit(ask, server, "POST", "/mlxoss/unload")
        until(lambda: caplog.text.count("the model is to be unloaded; 1 requests") == 2)
        assert not unloading.done()
        backend.gate.set()
        assert turn.result().json["usage"]["completion_tokens"] == 20
        assert unloading.result().json["status"] == "unloaded"


def test_the_same_rules_as_everywhere_and_no_body(serve: Serve, tmp_path: Path) -> None:
    server = serve(HELLO, folder=tmp_path)
    for path in ("/mlxoss/load", "/mlxoss/unload"):
        assert ask(server, "GET", path).status == 405
        assert ask(server, "POST", path, headers={"origin": "http://evil.example"}).status == 403
        assert ask(server, "POST", path, headers={"host": "evil.example"}).status == 403
        refused = ask(server, "POST", path, b'{"wait": false}')
        assert (refused.status, refused.error["message"]) == (400, "This request takes no body.")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    with closing(connection):
        for _ in range(3):  # on one connection, which the refusal said to keep
            connection.request("POST", "/mlxoss/unload", b"{}")
            response = connection.getresponse()
            assert (response.status, response.getheader("connection")) == (400, "keep-alive")
            response.read()
    token = create_key(tmp_path, "laptop", time.time())
    assert ask(server, "POST", "/mlxoss/unload").status == 401
    headers = {"authorization": f"Bearer {token}"}
    assert ask(server, "POST", "/mlxoss/unload", headers=headers).status == 200
