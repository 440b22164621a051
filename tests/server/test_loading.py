"""Health, and what happens before there is a model."""

from __future__ import annotations

import importlib.abc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from mlxoss.engine.backend import Backend
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import ask_chat, running, set_at_last
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

USER: Any = [{"role": "user", "content": "Hello!"}]


Errors = Callable[[], list[str]]

LAZY = "mlxoss.turns.completions"
"""What nothing imports before completions are asked for."""


def test_health_of_an_idle_server(serve: Serve) -> None:
    server = serve(HELLO)
    ask_chat(server)
    health = ask(server, "GET", "/health")
    assert health.status == 200
    assert health.json["status"] == "ok"
    assert health.json["model"] == "tiny/gpt-oss"
    assert health.json["version"]
    for key in ("active_requests", "queued_requests", "refused_requests", "oldest_wait_s"):
        assert health.json[key] == 0
    assert health.json["uptime_s"] > 0
    assert health.json["decode_tokens_per_s"] > 0
    assert health.json["harmony_recoveries"] == {}


def test_health_counts_recoveries_by_kind(serve: Serve) -> None:
    server = serve("<|channel|>final hello<|return|>")
    ask_chat(server)
    ask_chat(server, stream=True)
    assert ask(server, "GET", "/health").json["harmony_recoveries"] == {"missing_message": 2}


def test_requests_wait_while_the_model_loads(encoding: Encoding) -> None:
    loaded = threading.Event()

    def load() -> Backend:
        loaded.wait(120)
        return ScriptedBackend(always(encoding, HELLO))

    with (
        running(load, lambda: encoding) as server,
        ThreadPoolExecutor() as pool,
        set_at_last(loaded),
    ):
        waiting = [pool.submit(ask_chat, server, stream=streamed) for streamed in (False, True)]
        until(lambda: server.services.engine.status().waiting == 2)
        health = ask(server, "GET", "/health")
        assert health.status == 200
        assert health.json["status"] == "loading"
        assert health.json["queued_requests"] == 2
        assert health.json["oldest_wait_s"] > 0
        assert ask(server, "GET", "/v1/models").status == 200
        assert ask_chat(server, temperature=9).status == 400
        loaded.set()
        assert [answer.result().status for answer in waiting] == [200, 200]
        assert ask(server, "GET", "/health").json["status"] == "ok"


def test_requests_wait_while_the_encoding_loads(encoding: Encoding) -> None:
    loaded = threading.Event()

    def load_encoding() -> Encoding:
        loaded.wait(120)
        return encoding

    backend = ScriptedBackend(always(encoding, HELLO))
    with (
        running(lambda: backend, load_encoding) as server,
        ThreadPoolExecutor() as pool,
        set_at_last(loaded),
    ):
        waiting = pool.submit(ask_chat, server)
        until(lambda: server.services.turns.in_progress == 1)
        assert ask(server, "GET", "/health").json["status"] == "loading"
        loaded.set()
        assert waiting.result().status == 200
        assert ask(server, "GET", "/health").json["status"] == "ok"


def test_the_loop_goes_on_while_what_a_first_request_needs_is_imported(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module that takes long to import stands for a slow disk."""
    begun, go = threading.Event(), threading.Event()

    class Slow(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, path: object, target: object = None) -> None:
            if name == LAZY:
                begun.set()
                go.wait(120)

    server = serve(HELLO)
    monkeypatch.delitem(sys.modules, LAZY, raising=False)
    monkeypatch.delattr("mlxoss.turns.completions", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Slow(), *sys.meta_path])
    with ThreadPoolExecutor() as pool, set_at_last(go):
        body = {"model": "m", "prompt": "Hello", "max_tokens": 1}
        waiting = pool.submit(ask, server, "POST", "/v1/completions", body)
        assert begun.wait(120)
        assert ask(server, "GET", "/health").status == 200
        go.set()
        assert waiting.result().status == 200


@pytest.mark.parametrize("broken", ["model", "encoding"])
def test_a_failed_load(encoding: Encoding, broken: str, logged_errors: Errors) -> None:
    go = threading.Event()

    def load(part: str, value: Any) -> Any:
        if part == broken:
            go.wait(120)
            raise OSError("the disk is gone")
        return value

    backend = ScriptedBackend(always(encoding, HELLO))
    with (
        running(lambda: load("model", backend), lambda: load("encoding", encoding)) as server,
        ThreadPoolExecutor() as pool,
        set_at_last(go),
    ):
        waiting = [pool.submit(ask_chat, server, stream=streamed) for streamed in (False, True)]
        until(lambda: server.services.turns.in_progress == 2)
        go.set()
        for answer in [*(w.result() for w in waiting), ask_chat(server)]:
            assert answer.status == 503
            assert answer.error["type"] == "service_unavailable_error"
            assert "the disk is gone" in answer.error["message"]
        health = ask(server, "GET", "/health")
        assert (health.status, health.json["status"]) == (503, "failed")
        assert health.json["error"] == "the disk is gone"
        with pytest.raises(openai.InternalServerError) as caught:
            server.client().chat.completions.create(model="x", messages=USER)
        assert caught.value.status_code == 503
    assert logged_errors()
