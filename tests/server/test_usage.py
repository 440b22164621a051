"""Tokens by day and client: of real turns by real clients, kept over a restart, without words."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from websockets.sync.client import connect as open_socket

from mlxoss.api_key_file import create_key, revoke_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from mlxoss.server.access.clients import OTHER, name_client
from tests.server.conftest import Connect, Serve
from tests.server.test_metrics import read
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, ask_chat, chat_body, running
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

MESSAGES: Any = [{"role": "user", "content": "Hello!"}]


def usage(server: Server, query: str = "", **headers: str) -> dict[tuple[str, str], Any]:
    answer = ask(server, "GET", f"/mlxoss/usage{query}", headers=headers)
    assert answer.status == 200, answer.body
    today = time.strftime("%Y-%m-%d")
    rows = answer.json["data"]
    assert all(row["day"] <= today for row in rows)
    return {(row["client"], row["endpoint"]): row for row in rows}


def chat_as(server: Server, user_agent: str, **headers: str) -> None:
    sent = {"content-type": "application/json", "user-agent": user_agent} | headers
    assert ask(server, "POST", "/v1/chat/completions", chat_body(), sent).status == 200


def counted(server: Server, *keys: tuple[str, str]) -> dict[tuple[str, str], Any]:
    until(lambda: set(usage(server)) == set(keys))
    return usage(server)


def test_each_client_and_api_by_itself(serve: Serve, connect: Connect) -> None:
    server = serve(HELLO)
    told = server.client().chat.completions.create(model="m", messages=MESSAGES).usage
    server.client().responses.create(model="m", input="Hello!")
    server.client().completions.create(model="m", prompt="Hello!", max_tokens=5)
    connect(server.url).messages.create(model="m", messages=MESSAGES, max_tokens=30)
    with open_socket(
        f"ws://127.0.0.1:{server.port}/v1/responses", user_agent_header=None
    ) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "m", "input": "Hello!"}))
        while json.loads(socket.recv(timeout=60))["type"] != "response.completed":
            pass
    found = counted(
        server,
        ("openai-python", "chat"),
        ("openai-python", "responses"),
        ("openai-python", "completions"),
        ("anthropic-python", "messages"),
        ("other", "responses"),
    )
    assert told is not None
    assert told.completion_tokens_details is not None
    chat = found["openai-python", "chat"]
    assert chat["requests"] == 1
    assert chat["input_tokens"] == told.prompt_tokens
    assert chat["output_tokens"] == told.completion_tokens
    assert chat["reasoning_tokens"] == told.completion_tokens_details.reasoning_tokens
    assert chat["reasoning_tokens"] > 0
    assert chat["cached_tokens"] == 0
    assert chat["day"] == time.strftime("%Y-%m-%d")
    metrics = read(server)
    assert metrics["mlxoss_client_requests_total openai-python"] == 3
    assert metrics["mlxoss_client_tokens_total anthropic-python prompt"] > 0


def test_what_had_no_turn_is_not_counted(serve: Serve) -> None:
    server = serve(HELLO)
    assert ask_chat(server, temperature=9).status == 400
    chat_as(server, "curl/8.7.1")
    assert counted(server, ("curl", "chat"))["curl", "chat"]["requests"] == 1


def test_a_turn_in_the_background_counts_once(serve: Serve) -> None:
    server = serve(HELLO)
    client = server.client()
    response = client.responses.create(model="m", input="Hello!", background=True)
    until(lambda: client.responses.retrieve(response.id).status == "completed")
    key = ("openai-python", "responses")
    assert counted(server, key)[key]["requests"] == 1


def test_a_key_s_name_is_the_client_s(serve: Serve, tmp_path: Path) -> None:
    server = serve(HELLO, folder=tmp_path)
    token = create_key(tmp_path, "my laptop", 0)
    own = {"authorization": f"Bearer {token}"}
    chat_as(server, "curl/8.7.1", **own)
    assert ask(server, "GET", "/mlxoss/usage").status == 401
    until(lambda: set(usage(server, **own)) == {("my laptop", "chat")})
    assert revoke_key(tmp_path, "my laptop") == 0
    assert set(usage(server)) == {("my laptop", "chat")}


def test_no_client_makes_up_names(serve: Serve) -> None:
    server = serve(HELLO)
    for number in range(20):
        chat_as(server, f"evil-{number}/1.0 {'x' * 300}")
    found = counted(server, ("other", "chat"))
    assert found["other", "chat"]["requests"] == 20
    assert "evil" not in ask(server, "GET", "/metrics").body.decode()


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("codex_cli_rs/0.46.0 (Mac OS 15.6.0; arm64) Terminal", "codex"),
        ("codex-tui/0.98.0", "codex"),
        ("claude-cli/2.0.14 (external, cli)", "claude-code"),
        ("opencode/1.0.3 ai-sdk/provider-utils/3.0.9 runtime/bun/1.3.0", "opencode"),
        ("ai/5.0.0 ai-sdk/openai-compatible/1.0.0 runtime/node.js/22", "ai-sdk"),
        ("AsyncOpenAI/Python 2.1.0", "openai-python"),
        ("OpenAI/JS 6.0.0", "openai-node"),
        ("Anthropic/JS 0.60.0", "anthropic-node"),
        ("python-httpx/0.28.1", "python"),
        ("Mozilla/5.0 (Macintosh) Safari/605.1.15", "browser"),
        ("x" * 512 + "curl/8", OTHER),
        ("", OTHER),
    ],
)
def test_names_of_programs(user_agent: str, name: str) -> None:
    assert name_client(user_agent, None) == name
    assert name_client(user_agent, "key") == "key"


def test_they_outlive_the_process(encoding: Encoding, tmp_path: Path) -> None:
    def start() -> Any:
        backend = ScriptedBackend(always(encoding, HELLO))
        return running(lambda: backend, lambda: encoding, folder=tmp_path)

    with start() as server:
        chat_as(server, "curl/8.7.1")
    with start() as server:
        chat_as(server, "curl/8.7.1")
        until(lambda: usage(server)["curl", "chat"]["requests"] == 2)
    assert b"Hello!" not in (tmp_path / "responses.db").read_bytes()


def test_where_nothing_is_kept_they_end_with_the_process(
    encoding: Encoding, tmp_path: Path
) -> None:
    config = Config(date=DATE, responses_store="off")
    for _ in range(2):
        with running(
            lambda: ScriptedBackend(always(encoding, HELLO)),
            lambda: encoding,
            folder=tmp_path,
            config=config,
        ) as server:
            assert usage(server) == {}
            chat_as(server, "curl/8.7.1")
            assert counted(server, ("curl", "chat"))["curl", "chat"]["requests"] == 1
    assert not (tmp_path / "responses.db").exists()


@pytest.mark.parametrize("days", ["0", "401", "-1", "", "x", "1.5", "9" * 5000, "000000001999"])
def test_days_are_a_number(days: str, serve: Serve) -> None:
    answer = ask(serve(HELLO), "GET", f"/mlxoss/usage?days={days}")
    assert (answer.status, answer.error["param"]) == (400, "days")


def test_the_official_clients_are_told_apart() -> None:
    """What they send is theirs to change: the names are those of the versions here."""
    with openai.OpenAI(api_key="x", base_url="http://127.0.0.1:1") as client:
        assert name_client(client.user_agent, None) == "openai-python"
    with anthropic.Anthropic(api_key="x", base_url="http://127.0.0.1:1") as other:
        assert name_client(other.user_agent, None) == "anthropic-python"
