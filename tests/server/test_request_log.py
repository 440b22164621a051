"""What is logged about requests, and what never is."""

from __future__ import annotations

import pytest

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.http import ask
from tests.support.server.harness import DATE, ask_chat
from tests.support.server.scripts import HELLO, final
from tests.support.waiting import until


def test_one_line_is_logged_per_turn(
    encoding: Encoding, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(final("secret answer"))
    ask_chat(server, messages=[{"role": "user", "content": "secret question"}])
    ask_chat(server, temperature=9)
    until(lambda: len(turn_lines(caplog)) == 2)
    good, bad = turn_lines(caplog)
    assert " POST /v1/chat/completions 200 in=" in good
    assert "out=6 " in good
    assert "ttft=" in good
    assert "tok/s" in good
    assert " 400 " in bad
    assert "temperature" in bad
    assert "secret" not in caplog.text


def turn_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "mlxoss.turns.request_log"]


def test_raw_previews_are_logged_only_when_asked(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    ask_chat(serve(HELLO))
    assert "They greet me" not in caplog.text
    ask_chat(serve(HELLO, config=Config(date=DATE, debug_raw_preview_chars=30)))
    until(lambda: "<|channel|>analysis<|message|>" in caplog.text)
    assert "They greet me" not in caplog.text


@pytest.mark.parametrize("is_on", [False, True])
def test_a_line_per_http_request_when_asked(
    serve: Serve, caplog: pytest.LogCaptureFixture, is_on: bool
) -> None:
    server = serve(HELLO, config=Config(date=DATE, http_access_log=is_on))
    ask(server, "GET", "/health")
    ask_chat(server, stream=True)
    lines = [
        (record.__dict__["request"], record.__dict__["status"])
        for record in caplog.records
        if record.name == "sanic.access"
    ]
    health = (f"GET {server.url}/health", 200)
    chat = (f"POST {server.url}/v1/chat/completions", 200)
    assert lines == ([health, chat] if is_on else [])
