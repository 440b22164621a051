"""What the model read and wrote in rounds is in the next prompt to the token, while it matters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import openai
import openai_harmony
import pytest

from mlxoss.engine.backend import PrefixCacheStatus
from mlxoss.harmony.builtins import PYTHON
from mlxoss.harmony.conversation import (
    BuiltinCall,
    BuiltinResult,
    Conversation,
    FinalText,
    FunctionResult,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_results
from tests.harmony.conftest import VOCABULARY_FOLDER
from tests.support.fakes import ScriptedBackend
from tests.support.harmony.official import official_prompt
from tests.support.server.harness import DATE, Server, running
from tests.support.server.rounds import (
    CODE,
    SEARCH,
    WEATHER,
    add,
    browse,
    called,
    python,
    sums,
    think,
    weather,
)
from tests.support.server.scripts import final, in_turn, to_ids
from tests.support.server.tools import Scripted
from tests.support.waiting import until

TOOLS = [CODE, SEARCH, sums(), WEATHER]
OPEN = [
    python("x = 6 * 7\nx"),
    browse("search", query="Oslo  weather", topn=3),
    add(20, 22),
    weather(),
]
"""A loop that the client has to go on with: three rounds, and a function of the client's."""

ENCRYPTED: Any = ["reasoning.encrypted_content"]


@dataclass
class Lives:
    """Servers of one folder, one after the other, whose model writes ``texts``."""

    encoding: Encoding
    folder: Path
    texts: list[str] = field(default_factory=list)
    backends: list[ScriptedBackend] = field(default_factory=list)
    tools: Scripted = field(default_factory=Scripted)
    stack: ExitStack = field(default_factory=ExitStack)
    kind: type[ScriptedBackend] = ScriptedBackend

    def start(self) -> openai.OpenAI:
        backend = self.kind(in_turn(self.encoding, self.texts))
        self.backends.append(backend)
        server: Server = self.stack.enter_context(
            running(
                lambda: backend,
                lambda: self.encoding,
                folder=self.folder,
                tools=self.tools.tools,
            )
        )
        return server.client()

    def restart(self, texts: list[str]) -> openai.OpenAI:
        self.stack.close()
        self.texts = texts
        self.tools = Scripted()
        return self.start()

    @property
    def prompts(self) -> list[tuple[int, ...]]:
        return [request.prompt_ids for backend in self.backends for request in backend.inserted]


@pytest.fixture
def lives(encoding: Encoding, tmp_path: Path) -> Iterator[Lives]:
    lives = Lives(encoding, tmp_path)
    with lives.stack:
        yield lives


def ask(client: openai.OpenAI, given: Any, **fields: Any) -> Any:
    return client.responses.create(model="any", input=given, tools=TOOLS, **fields)


def answer_of(response: Any, output: str = "sunny") -> Any:
    call_id = next(item.call_id for item in response.output if item.type == "function_call")
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def echoed(response: Any) -> list[Any]:
    return [item.model_dump(exclude_none=True) for item in response.output]


QUESTION: Any = {"role": "user", "content": "How warm is it in Oslo?"}


def by_previous(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION])
    ask(client, [answer_of(first)], previous_response_id=first.id)


def by_previous_after_a_restart(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION])
    again = lives.restart([final("Warm.")])
    ask(again, [answer_of(first)], previous_response_id=first.id)


def by_items(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION])
    ask(client, [QUESTION, *echoed(first), answer_of(first)])


def by_items_after_a_restart(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION])
    again = lives.restart([final("Warm.")])
    ask(again, [QUESTION, *echoed(first), answer_of(first)])


def by_references(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION])
    references = [{"type": "item_reference", "id": item.id} for item in first.output]
    ask(client, [QUESTION, *references, answer_of(first)])


def by_conversation(lives: Lives, client: openai.OpenAI) -> None:
    conversation = client.conversations.create().id
    first = ask(client, [QUESTION], conversation=conversation)
    ask(client, [answer_of(first)], conversation=conversation)


def by_conversation_unstored(lives: Lives, client: openai.OpenAI) -> None:
    conversation = client.conversations.create().id
    first = ask(client, [QUESTION], conversation=conversation, store=False)
    ask(client, [answer_of(first)], conversation=conversation, store=False)


def unstored_and_sealed(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION], store=False, include=ENCRYPTED)
    given = [QUESTION, *echoed(first), answer_of(first)]
    ask(client, given, store=False, include=ENCRYPTED)


def unstored_and_without_the_calls(lives: Lives, client: openai.OpenAI) -> None:
    """As the AI SDK does it."""
    first = ask(client, [QUESTION], store=False, include=ENCRYPTED)
    sent = [item for item in echoed(first) if item["type"] in ("reasoning", "function_call")]
    ask(client, [QUESTION, *sent, answer_of(first)], store=False, include=ENCRYPTED)


def unstored(lives: Lives, client: openai.OpenAI) -> None:
    first = ask(client, [QUESTION], store=False)
    ask(client, [QUESTION, *echoed(first), answer_of(first)], store=False)


def streamed(lives: Lives, client: openai.OpenAI) -> None:
    with client.responses.stream(model="any", input=[QUESTION], tools=TOOLS) as stream:
        first: Any = stream.get_final_response()
    ask(client, [answer_of(first)], previous_response_id=first.id)


WAYS = [
    by_previous,
    by_previous_after_a_restart,
    by_items,
    by_items_after_a_restart,
    by_references,
    by_conversation,
    by_conversation_unstored,
    unstored_and_sealed,
    unstored_and_without_the_calls,
    unstored,
    streamed,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_an_open_loop_comes_back_to_the_token(
    lives: Lives, encoding: Encoding, way: Callable[[Lives, openai.OpenAI], None]
) -> None:
    lives.texts = [*OPEN, final("Warm.")]
    way(lives, lives.start())
    *before, after = lives.prompts
    assert len(before) == len(OPEN)
    for text, prompt, following in zip(OPEN, before, [*before[1:], after], strict=True):
        seen = (*prompt, *to_ids(encoding, text))
        assert following[: len(seen)] == seen
    result = FunctionResult("get_weather", "sunny")
    asked = (*before[-1], *to_ids(encoding, OPEN[-1]), *render_results(encoding, [result]))
    assert after == asked


def test_what_is_sealed_outlives_the_memory(lives: Lives, encoding: Encoding) -> None:
    lives.texts = list(OPEN)
    first = ask(lives.start(), [QUESTION], store=False, include=ENCRYPTED)
    before = lives.prompts[-1]
    again = lives.restart([final("Warm.")])
    ask(again, [QUESTION, *echoed(first), answer_of(first)], store=False, include=ENCRYPTED)
    thought = "<|channel|>analysis<|message|>I need the weather.<|end|>"
    known = (*before, *to_ids(encoding, thought))
    assert lives.prompts[-1][: len(known)] == known


def test_tools_are_where_they_were_by_what_is_sealed(lives: Lives) -> None:
    lives.texts = list(OPEN)
    first = ask(lives.start(), [QUESTION], store=False, include=ENCRYPTED)
    sent = [item for item in echoed(first) if item["type"] in ("reasoning", "function_call")]
    again = lives.restart([*OPEN[:1], final("Warm.")])
    given = [QUESTION, *sent, answer_of(first)]
    second = ask(again, given, store=False, include=ENCRYPTED)
    cells = [one for one in (*first.output, *second.output) if one.type == "code_interpreter_call"]
    assert len({one.container_id for one in cells}) == 1


def test_a_loop_that_ends_with_a_call_of_both_is_sealed_in_an_item_of_its_own(
    lives: Lives, encoding: Encoding
) -> None:
    both = (
        think("Both.")
        + called("get_weather", {"city": "Oslo"}, "<|end|><|start|>assistant")
        + called("sums__add", {"a": 1, "b": 2})
    )
    lives.texts = [both]
    first = ask(lives.start(), [QUESTION], store=False, include=ENCRYPTED)
    kinds = [item.type for item in first.output]
    assert kinds == ["mcp_list_tools", "reasoning", "function_call", "mcp_call", "reasoning"]
    again = lives.restart([final("Warm.")])
    ask(again, [QUESTION, *echoed(first), answer_of(first)], store=False, include=ENCRYPTED)
    results = [FunctionResult("sums__add", "3"), FunctionResult("get_weather", "sunny")]
    seen = (*lives.prompts[0], *to_ids(encoding, both), *render_results(encoding, results))
    assert lives.prompts[-1] == seen


def test_what_was_edited_does_not_come_back_as_it_was(lives: Lives, encoding: Encoding) -> None:
    lives.texts = [*OPEN, final("Warm.")]
    client = lives.start()
    first = ask(client, [QUESTION])
    items = echoed(first)
    items[2]["code"] = "x = 1"
    ask(client, [QUESTION, *items, answer_of(first)])
    said = encoding.decode(lives.prompts[-1])
    assert "x = 1" in said
    assert "x = 6 * 7\nx<|call|>" not in said


@pytest.fixture(scope="module")
def library() -> openai_harmony.HarmonyEncoding:
    """openai-harmony used directly, to compare with."""
    with mock.patch.dict(os.environ, TIKTOKEN_ENCODINGS_BASE=str(VOCABULARY_FOLDER)):
        return openai_harmony.load_harmony_encoding("HarmonyGptOss")


def test_a_final_drops_what_the_official_renderer_drops(
    lives: Lives, library: openai_harmony.HarmonyEncoding
) -> None:
    lives.texts = [python("1 + 1"), python("2 + 2", "Again."), final("It is 4."), final("Yes.")]
    client = lives.start()
    tools: Any = [CODE]
    first = client.responses.create(model="any", input="Add.", tools=tools)
    client.responses.create(model="any", input="Sure?", tools=tools, previous_response_id=first.id)
    said = (
        UserText("Add."),
        Reasoning("I compute."),
        BuiltinCall("python", "1 + 1"),
        BuiltinResult("python", "ran 1 + 1\n"),
        Reasoning("Again."),
        BuiltinCall("python", "2 + 2"),
        BuiltinResult("python", "ran 2 + 2\n"),
        FinalText("It is 4."),
        UserText("Sure?"),
    )
    conversation = Conversation(said, DATE, builtins=(PYTHON,))
    assert list(lives.prompts[-1]) == official_prompt(library, conversation)


class Keeping(ScriptedBackend):
    """One that says it keeps prompts, so that they are computed ahead."""

    @property
    def prefix_cache(self) -> PrefixCacheStatus:
        return PrefixCacheStatus(entries=0, bytes=0, limit_bytes=1, hits=0, hit_tokens=0)


def test_what_is_computed_ahead_is_what_is_asked_next(lives: Lives) -> None:
    lives.kind = Keeping
    lives.texts = [python("1 + 1"), python("2 + 2", "Again."), final("It is 4."), final("Yes.")]
    client = lives.start()
    first = ask(client, "Add.")
    (backend,) = lives.backends
    until(lambda: backend.warmed)
    ask(client, "Sure?", previous_response_id=first.id)
    (ahead,) = set(backend.warmed[:1])
    start = ahead[:-1]  # it ends where the assistant would go on
    assert lives.prompts[-1][: len(start)] == start


def test_a_final_drops_it_without_a_store_too(lives: Lives) -> None:
    lives.texts = [python("1 + 1"), final("It is 2."), final("Yes.")] * 2
    client = lives.start()
    prompts: list[tuple[int, ...]] = []
    for store in (True, False):
        first = ask(client, [QUESTION], store=store)
        ask(client, [QUESTION, *echoed(first), QUESTION], store=store)
        prompts.append(lives.prompts[-1])
    assert prompts[0] == prompts[1]
    assert "1 + 1" not in lives.encoding.decode(prompts[0])
