"""A server that works keeps its machine from idle sleep, and says whether it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.caffeinate import Caffeinate, make_caffeinate
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, send_chat, set_at_last
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Caffeinate:
    made = make_caffeinate(tmp_path)
    monkeypatch.setenv("MLXOSS_CAFFEINATE", str(made.command))
    return made


def awake(server: Server) -> Any:
    return ask(server, "GET", "/health").json["awake"]


@pytest.mark.parametrize("background", [False, True])
def test_it_is_held_from_the_request_to_the_answer(
    fake: Caffeinate, serve: Serve, encoding: Encoding, background: bool
) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    backend.gate.clear()
    with set_at_last(backend.gate):
        server = serve(backend)
        assert awake(server) == {"state": "ready"}
        with server.connect() as connection:
            if background:
                body = {"model": "m", "input": "Hello!", "background": True}
                assert ask(server, "POST", "/v1/responses", body).json["status"] == "queued"
            else:
                send_chat(connection)
            until(fake.holders)
            assert awake(server) == {"state": "held"}
            assert len(fake.starts()) == 1
            backend.gate.set()
            until(lambda: server.services.turns.in_progress == 0)


def test_a_server_that_ends_holds_nothing(
    fake: Caffeinate, encoding: Encoding, serve: Serve
) -> None:
    server = serve(HELLO)
    assert ask(server, "POST", "/v1/responses", {"model": "m", "input": "Hi"}).status == 200
    until(fake.holders)
    server.services.turns.awake.close()
    assert fake.holders() == []


def test_with_keep_awake_off_nothing_is_held(fake: Caffeinate, serve: Serve) -> None:
    server = serve(HELLO, config=Config(date=DATE, keep_awake="off"))
    assert ask(server, "POST", "/v1/responses", {"model": "m", "input": "Hi"}).status == 200
    assert awake(server) == {"state": "off"}
    assert fake.starts() == []


def test_what_cannot_be_held_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    broken = make_caffeinate(tmp_path, is_broken=True)
    monkeypatch.setenv("MLXOSS_CAFFEINATE", str(broken.command))
    server = serve(HELLO)
    assert ask(server, "POST", "/v1/responses", {"model": "m", "input": "Hi"}).status == 200
    until(lambda: awake(server)["state"] == "failed")
    (problem,) = ask(server, "GET", "/health").json["problems"]
    assert problem["code"] == "may_sleep"
    assert "ended (exit status 71)" in problem["message"]
    assert json.dumps(problem)
    assert b"mlxoss_problems 1.0" in ask(server, "GET", "/metrics").body
