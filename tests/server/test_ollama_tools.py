"""Calls and tools' answers at Ollama's door."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import ollama
import pytest

from mlxoss.api_key_file import create_key
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server
from tests.support.server.ollama import (
    ASKED,
    RESULT,
    TOOL,
    USER,
    called,
    chat,
    ollama_client,
    prompt,
    refusal,
)
from tests.support.server.scripts import CALL, to_ids


@pytest.fixture
def client(talking: Server) -> ollama.Client:
    return ollama_client(talking)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_loop(client: ollama.Client, streamed: bool) -> None:
    messages: list[Any] = [ASKED]
    if streamed:
        lines = list(client.chat("m", messages, tools=[TOOL], stream=True))
        assert lines[-1].done_reason == "stop"
        told = ollama.Message(
            role="assistant",
            content="".join(line.message.content or "" for line in lines),
            thinking="".join(line.message.thinking or "" for line in lines),
            tool_calls=[call for line in lines for call in line.message.tool_calls or ()],
        )
    else:
        told = client.chat("m", messages, tools=[TOOL]).message
    assert (told.content, told.thinking) == ("Let me look.", "I need the weather.")
    assert told.tool_calls
    (call,) = told.tool_calls
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Oslo"})
    messages += [told, RESULT]
    assert client.chat("m", messages, tools=[TOOL]).message.content == "It is sunny in Oslo."


def test_who_sends_a_calls_id_back_gets_the_exact_turn(
    talking: Server, talker: ScriptedBackend, encoding: Encoding
) -> None:
    told = chat(talking, ASKED, tools=[TOOL]).json["message"]
    written = str(to_ids(encoding, CALL.removesuffix("<|call|>")))[1:-1]
    (call,) = told["tool_calls"]
    assert call["function"] == {"index": 0, "name": "get_weather", "arguments": {"city": "Oslo"}}
    del told["thinking"]
    for answer in (RESULT, {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}):
        assert chat(talking, ASKED, told, answer, tools=[TOOL]).status == 200
        assert written in str(talker.inserted[-1].prompt_ids)
    call["id"] = "call_other"
    assert chat(talking, ASKED, told, RESULT, tools=[TOOL]).status == 200
    assert "I need the weather." not in prompt(talker, encoding)


def test_who_drops_it_gets_the_turn_by_what_was_said_before(
    talking: Server, client: ollama.Client, talker: ScriptedBackend, encoding: Encoding
) -> None:
    system = {"role": "system", "content": "Lone \udcff"}
    said = [system, ASKED, called(("get_weather", 1)), RESULT, ASKED]
    told = json.loads(chat(talking, *said, tools=[TOOL]).body)["message"]
    (call,) = told["tool_calls"]
    del told["thinking"], call["id"]
    written = str(to_ids(encoding, CALL.removesuffix("<|call|>")))[1:-1]
    for history, is_exact in [
        ([*said, told], True),
        ([*said, {**told, "content": "Let me see."}], False),
        ([ASKED, told], False),
    ]:
        assert chat(talking, *history, RESULT, tools=[TOOL]).status == 200
        assert (written in str(talker.inserted[-1].prompt_ids)) is is_exact
    # The official client's own messages have no ids.
    first = client.chat("m", [ASKED], tools=[TOOL]).message
    client.chat("m", [ASKED, first, RESULT], tools=[TOOL])
    assert written in str(talker.inserted[-1].prompt_ids)


def test_callers_do_not_share_ids(serve: Serve, tmp_path: Path) -> None:
    server = serve(CALL, folder=tmp_path)

    def ids(key: str) -> set[str]:
        headers = {"authorization": f"Bearer {key}"}
        body = {"model": "m", "messages": [ASKED], "tools": [TOOL], "stream": False}
        answers = [ask(server, "POST", "/api/chat", body, headers) for _ in range(2)]
        return {answer.json["message"]["tool_calls"][0]["id"] for answer in answers}

    first, second = (ids(create_key(tmp_path, name, time.time())) for name in ("one", "two"))
    assert len(first) == len(second) == 1
    assert first != second


def test_tools_answer_by_name_or_in_order(
    talking: Server, talker: ScriptedBackend, encoding: Encoding
) -> None:
    calls = called(("one", 1), ("two", 2), ("one", 3))
    for names in (
        ["one", "two", "one"],
        ["two", "one", "one"],
        [None, None, None],
        ["one", None, None],
    ):
        answers = [
            {"role": "tool", "content": f"r{place}", **({"tool_name": name} if name else {})}
            for place, name in enumerate(names)
        ]
        assert chat(talking, ASKED, calls, *answers, USER).status == 200
        told = prompt(talker, encoding)
        order = names if None not in names else ["one", "two", "one"]
        for place, name in enumerate(order):
            assert f"<|start|>functions.{name} to=assistant<|channel|>commentary<|message|>" in told
            assert f"functions.{name} to=assistant<|channel|>commentary<|message|>r{place}" in told
    older = {"role": "tool", "name": "three", "content": "r"}
    assert chat(talking, ASKED, calls, older, USER).status == 200
    assert "functions.three to=assistant" in prompt(talker, encoding)
    nobody = {"role": "tool", "content": "r"}
    assert "'messages[1].tool_name'" in refusal(talking, ASKED, nobody)


def test_thinking_goes_back_within_a_tool_loop(
    talking: Server, talker: ScriptedBackend, encoding: Encoding
) -> None:
    calls = called(("get_weather", 1))
    chat(talking, ASKED, calls, RESULT)
    told = prompt(talker, encoding)
    assert "<|channel|>analysis<|message|>Two.<|end|>" in told
    assert "to=functions.get_weather<|channel|>commentary" in told
    assert '<|message|>{"n": 1}<|call|>' in told


def test_a_call_that_is_cut_is_none(serve: Serve, encoding: Encoding) -> None:
    for limit in range(20, len(to_ids(encoding, CALL)) + 1):
        server_answer = chat_cut(serve, limit)
        calls = server_answer["message"].get("tool_calls")
        is_whole = server_answer["done_reason"] == "stop"
        assert is_whole or server_answer["done_reason"] == "length"
        if is_whole:
            assert calls[0]["function"]["arguments"] == {"city": "Oslo"}


def test_a_call_that_is_no_object_is_an_error(serve: Serve) -> None:
    server = serve(CALL.replace('{"city": "Oslo"}', "Oslo"))
    client = ollama_client(server)
    with pytest.raises(ollama.ResponseError, match="get_weather") as caught:
        client.chat("m", [ASKED], tools=[TOOL])
    assert caught.value.status_code == 500
    with pytest.raises(ollama.ResponseError, match="get_weather"):
        list(client.chat("m", [ASKED], tools=[TOOL], stream=True))


def chat_cut(serve: Serve, limit: int) -> Any:
    answer = chat(serve(CALL), ASKED, tools=[TOOL], options={"num_predict": limit})
    assert answer.status == 200
    return answer.json
