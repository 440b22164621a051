"""What ``/health`` and ``/metrics`` tell of tools that the server runs: figures, and no words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.server.test_metrics import read
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server
from tests.support.server.rounds import CODE, SEARCH, browse, python
from tests.support.server.scripts import HELLO, final, in_turn
from tests.support.server.tools import Scripted

NOTHING: dict[str, Any] = {"python": False, "browser": None, "mcp": [], "calls": {}}


def respond(server: Server) -> None:
    body = json.dumps({"model": "m", "input": "secret question", "tools": [CODE, SEARCH]})
    answer = ask(server, "POST", "/v1/responses", body.encode())
    assert answer.json["status"] == "completed"


def test_a_server_without_tools_tells_of_none(serve: Serve) -> None:
    server = serve(HELLO)
    assert ask(server, "GET", "/health").json["tools"] == NOTHING
    assert not [name for name in read(server) if "_tool_" in name]


def test_what_is_enabled_and_what_it_did(
    serve: Serve, encoding: Encoding, logged_errors: object
) -> None:
    turns = [
        python("print('secret code')"),
        browse("search", query="secret query"),
        final("One."),
        python("2"),
        final("Two."),
    ]
    scripted = Scripted()
    config = Config(date=DATE, tool_browser="brave")
    backend = ScriptedBackend(in_turn(encoding, turns))
    server = serve(backend, tools=scripted.tools, config=config)
    told = ask(server, "GET", "/health").json["tools"]
    assert told == {"python": True, "browser": "brave", "mcp": ["sums"], "calls": {}}
    respond(server)
    scripted.python.calls.errors.append(RuntimeError("it broke"))
    respond(server)
    calls = ask(server, "GET", "/health").json["tools"]["calls"]
    assert {name: (each["calls"], each["failures"]) for name, each in calls.items()} == {
        "python": (2, 1),
        "browser.search": (1, 0),
    }
    found = read(server)
    for tool, each in calls.items():
        assert each["seconds"] >= 0
        assert found[f"mlxoss_tool_calls_total {tool}"] == each["calls"]
        assert found[f"mlxoss_tool_failures_total {tool}"] == each["failures"]
        seconds = found[f"mlxoss_tool_seconds_total {tool}"]
        assert seconds == pytest.approx(each["seconds"], abs=0.001)
    for path in ("/health", "/metrics"):
        assert b"secret" not in ask(server, "GET", path).body
