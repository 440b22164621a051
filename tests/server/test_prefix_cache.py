"""What a client is told of the prefix cache: a random model, a real server, the official client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from mlxoss.engine.backend import Backend
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.engine.status import EngineState
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.http import ask
from tests.support.server.harness import Server, running
from tests.support.waiting import until

LIMIT_BYTES = 1 << 28

# An untrained model ends nothing by itself: ends and JSON's own signs are made likely.
LIKELY = {"200002": 10, "200007": 10, "200012": 10, "1": 8, "92": 8, "60": 8}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "look",
        "parameters": {
            "type": "object",
            "properties": {"place": {"enum": ["north", "south"]}},
            "required": ["place"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, guards: GrammarCompiler, encoding: Encoding
) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("model")
    write_checkpoint(folder, TinyModel(hidden=32))

    def load() -> Backend:
        return MlxBackend(load_folder(folder), prefixes=PrefixCache(LIMIT_BYTES))

    with running(load, lambda: encoding, guards=guards) as server:
        engine = server.services.engine
        until(lambda: engine.status().state is EngineState.OK)
        yield server


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return server.client(timeout=120.0)


def chat(client: openai.OpenAI, messages: list[Any], **fields: Any) -> Any:
    return client.chat.completions.create(
        model="m", messages=messages, logit_bias=LIKELY, seed=1, **fields
    )


def say(*texts: str) -> list[Any]:
    return [
        {"role": "assistant" if number % 2 else "user", "content": text}
        for number, text in enumerate(texts)
    ]


def cached(answer: Any) -> int:
    return int(answer.usage.prompt_tokens_details.cached_tokens)


def test_a_repeat_is_cached_but_for_its_last_token(client: openai.OpenAI) -> None:
    messages = say("Tell me of the harbour, the boats and the ropes.")
    first = chat(client, messages, max_tokens=5)
    again = chat(client, messages, max_tokens=5)
    assert cached(again) == first.usage.prompt_tokens - 1
    assert again.choices[0].message == first.choices[0].message


def test_a_tool_loop_goes_on_where_the_call_ended(client: openai.OpenAI) -> None:
    messages = say("Which way is the sea?")
    first = chat(client, messages, tools=[TOOL], tool_choice="required", max_tokens=1500)
    assert first.choices[0].finish_reason == "tool_calls"
    message = first.choices[0].message
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "water"} for call in message.tool_calls
    ]
    follow_up = [*messages, message.model_dump(exclude_none=True), *results]
    second = chat(client, follow_up, tools=[TOOL], max_tokens=5)
    assert cached(second) == first.usage.total_tokens


def test_after_a_final_the_next_turn_computes_its_message_only(
    server: Server, client: openai.OpenAI
) -> None:
    def entries() -> int:
        return int(ask(server, "GET", "/health").json["prefix_cache"]["entries"])

    system = {"role": "system", "content": "You speak for the birds."}
    messages = [system, *say("What does the gull say to the wind?")]
    before = entries()
    first = chat(client, messages, max_tokens=1500)
    assert first.choices[0].finish_reason == "stop"
    # The head, the question, and then the history that the answer leaves.
    until(lambda: entries() == before + 3)
    content = first.choices[0].message.content
    messages += [{"role": "assistant", "content": content}, *say("And then?")]
    second = chat(client, messages, max_tokens=2)
    assert cached(second) > first.usage.prompt_tokens
    # <|user|>, three words and a sign, and the signs around them.
    assert second.usage.prompt_tokens - cached(second) < 10


def test_an_edited_last_message_and_another_conversation_share_what_they_can(
    client: openai.OpenAI,
) -> None:
    system = {"role": "system", "content": "You keep the lighthouse and write its log."}
    opening = [system, *say("Who comes there?", "A friend.")]
    chat(client, [*opening, *say("Where to?")], max_tokens=3)
    edited = chat(client, [*opening, *say("Where from, if I may ask?")], max_tokens=3)
    other = chat(client, [system, *say("What is the weather?")], max_tokens=3)
    # All but the message itself: its role, its words and the signs around them.
    assert edited.usage.prompt_tokens - cached(edited) < 16
    assert other.usage.prompt_tokens - cached(other) < 14


def test_responses_report_it_too(client: openai.OpenAI) -> None:
    question = "How deep is the water at the pier?"
    first = client.responses.create(model="m", input=question, max_output_tokens=16)
    again = client.responses.create(model="m", input=question, max_output_tokens=16)
    assert first.usage is not None
    assert again.usage is not None
    assert again.usage.input_tokens_details.cached_tokens == first.usage.input_tokens - 1


def test_health_shows_the_cache(server: Server, client: openai.OpenAI) -> None:
    before = ask(server, "GET", "/health").json["prefix_cache"]
    messages = say("One more.")
    for _ in range(2):
        answer = chat(client, messages, max_tokens=2)
    after = ask(server, "GET", "/health").json["prefix_cache"]
    disk = {"disk_entries", "disk_bytes", "disk_limit_bytes", "disk_hits"}
    assert set(after) == {"entries", "bytes", "limit_bytes", "hits", "hit_tokens"} | disk
    assert 0 < after["bytes"] <= after["limit_bytes"] == LIMIT_BYTES
    assert after["entries"] > before["entries"]
    assert after["hits"] > before["hits"]
    assert after["hit_tokens"] - before["hit_tokens"] >= cached(answer)
