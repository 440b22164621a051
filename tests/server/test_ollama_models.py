"""Ollama's door besides chats: lists, loading, who is let in, and what is not there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ollama
import pytest

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from tests.server.conftest import Serve
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, ask_chat
from tests.support.server.ollama import (
    NAME,
    USER,
    ollama_client,
)
from tests.support.server.scripts import HELLO
from tests.support.waiting import until


@pytest.fixture
def client(talking: Server) -> ollama.Client:
    return ollama_client(talking)


def test_the_model_is_listed_and_shown(client: ollama.Client) -> None:
    (model,) = client.list().models
    assert model.model == NAME
    assert model.modified_at is not None
    assert model.modified_at.timestamp() == 1_700_000_000
    shown = client.show("gpt-oss:20b")
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert shown.modelinfo is not None
    architecture = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{architecture}.context_length"] == 4096
    assert shown.details is not None
    assert shown.details.family == architecture


def test_a_model_is_shown_by_either_name(talking: Server) -> None:
    assert ask(talking, "POST", "/api/show", {"name": "m"}).status == 200
    answer = ask(talking, "POST", "/api/show", {})
    assert (answer.status, "'model'" in answer.json["error"]) == (400, True)


def test_the_version_is_one_that_clients_take(talking: Server) -> None:
    version = ask(talking, "GET", "/api/version").json["version"]
    assert [int(part) for part in version.split(".")] >= [0, 6, 4]


@pytest.mark.parametrize(
    "unload", [lambda client: client.generate("m", keep_alive=0),
               lambda client: client.chat("m", keep_alive=0),
               lambda client: client.generate("m", keep_alive="0s")]
)  # fmt: skip
def test_the_model_goes_and_comes(
    talking: Server, client: ollama.Client, unload: Callable[[ollama.Client], Any]
) -> None:
    (model,) = client.ps().models
    assert (model.model, model.context_length) == (NAME, 4096)
    assert model.expires_at is not None
    done = unload(client)
    assert (done.done, done.done_reason) == (True, "unload")
    assert client.ps().models == []
    assert client.generate("m", keep_alive="5m").done_reason == "load"
    assert len(client.ps().models) == 1
    assert client.chat("m", [USER], keep_alive=0).message.content == "Hello, wörld 🎉!"
    assert len(client.ps().models) == 1


def test_a_word_that_is_no_duration_unloads_nothing(talking: Server, client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="Invalid 'keep_alive': "):
        client.generate("m", keep_alive="s")
    for duration in ("1h0m", "-1m", "1.5s", ""):
        assert client.generate("m", keep_alive=duration).done_reason == "load"
    assert len(client.ps().models) == 1


def test_who_leaves_when_idle_is_said(serve: Serve) -> None:
    server = serve(HELLO, config=Config(date=DATE, idle_unload=30))
    (model,) = ollama_client(server).ps().models
    assert model.expires_at is not None
    assert time.time() < model.expires_at.timestamp() <= time.time() + 30 * 60


def test_what_is_not_there_says_what_is(talking: Server, client: ollama.Client) -> None:
    for method, path, status in [
        ("POST", "/api/pull", 404),
        ("POST", "/api/embed", 404),
        ("DELETE", "/api/delete", 404),
        ("GET", "/api/nonsense", 404),
        ("GET", "/api/chat", 405),
        ("POST", "/api/tags", 405),
    ]:
        answer = ask(talking, method, path)
        assert answer.status == status, path
        assert set(answer.json) == {"error"}
        assert ("/api/chat" in answer.json["error"]) or status == 405
    with pytest.raises(ollama.ResponseError, match="/api/pull"):
        client.pull("gpt-oss:20b")
    with pytest.raises(ollama.ResponseError, match="/api/chat"):
        client.generate("m", "Hello!")
    assert ask(talking, "HEAD", "/").status == 200
    assert ask(talking, "HEAD", "/api/tags").status == 200
    assert ask(talking, "POST", "/api/chat", b"{").json["error"]
    unlike = ask(talking, "POST", "/api/chat", b"{}", {"content-type": "text/plain"})
    assert (unlike.status, set(unlike.json)) == (415, {"error"})


def test_a_key_comes_as_ollamas_clients_send_it(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(HELLO, folder=tmp_path)
    token = create_key(tmp_path, "laptop", time.time())
    with pytest.raises(ollama.ResponseError, match="API key") as caught:
        ollama_client(server).list()
    assert caught.value.status_code == 401
    monkeypatch.setenv("OLLAMA_API_KEY", token)
    assert ollama_client(server).chat("m", [USER]).done


def test_other_pages_and_hosts_are_kept_out(talking: Server) -> None:
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        answer = ask(talking, "GET", "/api/tags", headers=headers)
        assert (answer.status, set(answer.json)) == (403, {"error"})


def test_its_turns_are_told_of_as_others(talking: Server, client: ollama.Client) -> None:
    client.chat("m", [USER])
    ask_chat(talking)
    until(lambda: len(ask(talking, "GET", "/mlxoss/requests").json["data"]) == 2)
    told = ask(talking, "GET", "/mlxoss/requests").json["data"]
    assert {each["endpoint"] for each in told} == {
        "POST /api/chat",
        "POST /v1/chat/completions",
    }
