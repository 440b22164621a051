"""What a prompt is made of when a response goes on from something, to the token."""

from __future__ import annotations

import dataclasses
import datetime
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.conversations import ConversationItemList
from openai.types.responses import ResponseItemList

from mlxoss.config import Config
from mlxoss.core import GenerationRequest
from mlxoss.harmony.conversation import (
    Conversation,
    FinalText,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    Preamble,
    UserText,
)
from mlxoss.harmony.encoding import CALL, END, RETURN, START, Encoding
from mlxoss.harmony.prompt import render_prompt
from tests.server.conftest import Serve
from tests.server.test_responses import WEATHER, post, prompts, refused
from tests.support.api.strict import check, check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, kept_responses, running
from tests.support.server.scripts import HELLO, always, final, to_ids
from tests.support.waiting import until

LOOPS = 200
INCLUDE = "reasoning.encrypted_content"
STATELESS: dict[str, Any] = {"store": False, "include": [INCLUDE]}
SHOWN = FunctionTool("get_weather", None, WEATHER["parameters"])


@dataclass
class Writer:
    """A model that writes arbitrary turns: calls as often as told, then an answer.

    Its text is in ids of its own choosing, not those that encoding it gives.
    """

    encoding: Encoding
    rng: random.Random
    calls_left: int = 0
    turns: list[list[int]] = field(default_factory=list)

    def __call__(self, request: GenerationRequest) -> Sequence[int]:
        bodies = [f"<|channel|>analysis<|message|>{self.words()}" for _ in range(self.dice(3))]
        if self.rng.random() < 0.4:
            bodies.append(f"<|channel|>commentary<|message|>{self.words()}")
        if self.calls_left:
            self.calls_left -= 1
            bodies += [self.header() + self.words() for _ in range(1 + self.dice(2))]
        else:
            bodies.append(f"<|channel|>final<|message|>{self.words()}")
            self.calls_left = -1
        self.turns.append(self.to_ids(bodies, RETURN if self.calls_left < 0 else CALL))
        return self.turns[-1]

    def dice(self, sides: int) -> int:
        return self.rng.randrange(sides)

    def words(self) -> str:
        words = ["rain", "Oslo", "{", "}", "👋", "\n", '"x"', "so", "Zoë"]
        return " ".join(self.rng.choices(words, k=1 + self.dice(6)))

    def header(self) -> str:
        return self.rng.choice(
            (
                "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>",
                " to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>",
                "<|channel|>analysis to=functions.get_weather code<|message|>",
            )
        )

    def to_ids(self, bodies: Sequence[str], last: int) -> list[int]:
        ids: list[int] = []
        between = [END, START, *self.encoding.encode_text("assistant")]
        for body in bodies:
            header, text = body.rsplit("<|message|>", 1)
            cut = self.rng.randrange(len(text))
            ids += to_ids(self.encoding, f"{header}<|message|>")
            ids += [*self.encoding.encode_text(text[:cut]), *self.encoding.encode_text(text[cut:])]
            ids += between
        return [*ids[: -len(between)], last]


def results(response: dict[str, Any], rng: random.Random) -> list[dict[str, Any]]:
    """An output for each of a response's calls."""
    return [
        {"type": "function_call_output", "call_id": item["call_id"], "output": f"{rng.random()}"}
        for item in response["output"]
        if item["type"] == "function_call"
    ]


Continue = Callable[[list[Any], dict[str, Any], list[Any]], dict[str, Any]]
"""All items so far, the last response, the new items: to the fields of the next request."""

WAYS: dict[str, Continue] = {
    "previous_response_id": lambda items, last, new: {
        "previous_response_id": last["id"],
        "input": new,
    },
    "nothing stored": lambda items, last, new: {
        "store": False,
        "include": [INCLUDE],
        "input": [*items, *last["output"], *new],
    },
    "all items": lambda items, last, new: {"input": [*items, *last["output"], *new]},
    "conversation": lambda items, last, new: {
        "conversation": last["conversation"]["id"],
        "input": new,
    },
    "conversation, nothing stored": lambda items, last, new: {
        "conversation": last["conversation"]["id"],
        "store": False,
        "input": new,
    },
    "references": lambda items, last, new: {
        "input": [
            *items,
            *({"type": "item_reference", "id": item["id"]} for item in last["output"]),
            *new,
        ]
    },
}


def to_harmony(items: Sequence[dict[str, Any]]) -> list[Item]:
    """Items as the official rendering takes them, reasoning and preambles of no words left out."""
    found: list[Item] = []
    for item in items:
        match item:
            case {"role": "user", "content": text}:
                found.append(UserText(text))
            case {"type": "message", "phase": phase, "content": [{"text": text}]}:
                if phase != "commentary":
                    found.append(FinalText(text))
                elif text.strip():
                    found.append(Preamble(text))
            case {"type": "function_call", "arguments": arguments}:
                found.append(FunctionCall("get_weather", arguments))
            case {"type": "function_call_output", "output": output}:
                found.append(FunctionResult("get_weather", output))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_prompts_of_a_loop_begin_with_all_that_was_written(
    encoding: Encoding, serve: Serve, way: str
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    writer = Writer(encoding, rng)
    backend = ScriptedBackend(writer)
    server = serve(backend)
    for _ in range(LOOPS // len(WAYS)):
        backend.inserted.clear()
        writer.turns.clear()
        writer.calls_left = 1 + rng.randrange(3)
        new: list[Any] = [{"role": "user", "content": writer.words()}]
        items: list[Any] = []
        begin: Any = {}
        if "conversation" in way:
            begin["conversation"] = post(server, "/v1/conversations")["id"]
        if "nothing stored" in way:
            begin |= STATELESS
        last = post(server, input=new, tools=[WEATHER], **begin)
        while outputs := results(last, rng):
            fields = WAYS[way](items := [*items, *new], last, outputs)
            items, new = [*items, *last["output"]], outputs
            last = post(server, tools=[WEATHER], **fields)
        asked = prompts(backend)
        for before, written, after in zip(asked, writer.turns, asked[1:], strict=False):
            start = (*before, *written)
            assert after[: len(start)] == start
        writer.calls_left = 0
        items = [*items, *new]
        question = {"role": "user", "content": "And now?"}
        post(server, tools=[WEATHER], **WAYS[way](items, last, [question]))
        everything = to_harmony([*items, *last["output"], question])
        official = Conversation(tuple(everything), DATE, tools=(SHOWN,))
        assert list(prompts(backend)[-1]) == render_prompt(encoding, official)


@pytest.mark.parametrize("store", [True, False])
def test_sealed_reasoning_comes_back_bit_for_bit(
    encoding: Encoding, serve: Serve, store: bool
) -> None:
    reasoning = [one for letter in "I think so" for one in encoding.encode_text(letter)]
    call = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{}<|call|>"
    written = [
        *to_ids(encoding, "<|channel|>analysis<|message|>"),
        *reasoning,
        *to_ids(encoding, f"<|end|><|start|>assistant{call}"),
    ]
    assert reasoning != encoding.encode_text("I think so")
    backend = ScriptedBackend(lambda request: written)
    server = serve(backend)
    asked: dict[str, Any] = {"role": "user", "content": "Hm?"}
    first = post(server, input=[asked], tools=[WEATHER], store=store, include=[INCLUDE])
    thought, called = first["output"]
    # As a client that keeps nothing but what it was given, and no ids of items.
    thought = {k: v for k, v in thought.items() if k not in ("id", "content", "status")}
    called = {k: v for k, v in called.items() if k not in ("id", "status")}
    output = {"type": "function_call_output", "call_id": called["call_id"], "output": "x"}
    post(server, input=[asked, thought, called, output], tools=[WEATHER], store=store)
    before, after = prompts(backend)
    head = (*before, *to_ids(encoding, "<|channel|>analysis<|message|>"), *reasoning, END)
    assert after[: len(head)] == head


def test_what_another_server_sealed_is_left_out(serve: Serve) -> None:
    one, other = serve(HELLO), serve(HELLO)
    thought = post(one, input="Hi", include=[INCLUDE])["output"][0]
    sealed = thought["encrypted_content"]
    asked = {"role": "user", "content": "Hm?"}
    flipped = sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]
    without = post(other, input=[asked, asked], store=False)["usage"]["input_tokens"]
    for server, content in ((other, sealed), (one, flipped), (one, "gAAAA"), (one, "ä"), (one, "")):
        item = {**thought, "content": None, "encrypted_content": content}
        answer = post(server, input=[asked, item, asked], store=False)
        assert answer["usage"]["input_tokens"] == without
    answer = post(one, input=[asked, {**thought, "content": None}, asked], store=False)
    assert answer["usage"]["input_tokens"] > without


CRM: Any = {
    "type": "namespace",
    "name": "crm",
    "description": "Customers.",
    "tools": [
        {"type": "function", "name": "find"},
        {
            "type": "custom",
            "name": "query",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
    ],
}


@pytest.mark.parametrize("stored", [True, False])
def test_tools_of_a_namespace_make_the_round(
    encoding: Encoding, serve: Serve, stored: bool
) -> None:
    written = to_ids(
        encoding,
        "<|channel|>commentary to=functions.crm__find <|constrain|>json<|message|>{}<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.crm__query code<|message|>"
        "name = 'Zoë'<|call|>",
    )
    backend = ScriptedBackend(lambda request: written)
    server = serve(backend)
    asked = {"role": "user", "content": "Who?"}
    first = check_response(post(server, input=[asked], tools=[CRM], store=stored))
    find, query = first.output
    assert find.type == "function_call"
    assert query.type == "custom_tool_call"
    assert [(call.name, call.namespace) for call in (find, query)] == [
        ("find", "crm"),
        ("query", "crm"),
    ]
    assert query.input == "name = 'Zoë'"
    assert "start: /.+/" in encoding.decode(prompts(backend)[0])
    answers = [
        {"type": "function_call_output", "call_id": find.call_id, "output": "x"},
        {"type": "custom_tool_call_output", "call_id": query.call_id, "output": "Zoë B."},
    ]
    if stored:
        fields: dict[str, Any] = {"previous_response_id": first.id, "input": answers}
    else:
        fields = {"input": [asked, find.to_dict(), query.to_dict(), *answers]}
    check_response(post(server, tools=[CRM], store=stored, **fields))
    before, after = prompts(backend)
    assert after[: len(before) + len(written)] == (*before, *written)
    text = encoding.decode(after)
    assert "functions.crm__find to=assistant" in text
    assert "functions.crm__query to=assistant" in text


def test_the_oldest_goes_when_it_may_be_cut(encoding: Encoding, serve: Serve) -> None:
    backend = ScriptedBackend(always(encoding, final("yes")))
    server = serve(backend, config=Config(date=DATE, context_length=600))
    first = post(server, input="old " * 400)
    again = {"input": "new " * 200, "previous_response_id": first["id"]}
    status, error = refused(server, **again)
    assert (status, error["code"], error["param"]) == (400, "context_length_exceeded", "input")
    cut = check_response(post(server, **again, truncation="auto"))
    assert cut.truncation == "auto"
    text = encoding.decode(prompts(backend)[-1])
    assert "old" not in text
    assert text.count("new") == 200
    status, error = refused(server, input="x " * 700, truncation="auto")
    assert (status, error["code"]) == (400, "context_length_exceeded")


def test_a_conversation_keeps_its_date(encoding: Encoding, tmp_path: Path) -> None:
    days = [DATE, DATE + datetime.timedelta(days=1)]
    backend = ScriptedBackend(always(encoding, HELLO))
    kept: list[dict[str, Any]] = [{}]
    for day in days:
        config = Config(date=day)
        with running(lambda: backend, lambda: encoding, config=config, folder=tmp_path) as server:
            post(server, input="New")
            kept.append(post(server, input="Hi", previous_response_id=kept[-1].get("id")))
    new, first, newer, second = [encoding.decode(prompt) for prompt in prompts(backend)]
    assert f"Current date: {days[1]}" in newer
    for prompt in (new, first, second):
        assert f"Current date: {days[0]}" in prompt


def test_lists_are_openai_s_to_the_field(serve: Serve) -> None:
    server = serve(HELLO)
    created = post(server, "/v1/conversations", items=[{"role": "user", "content": "Hi"}])
    first = post(server, input="Hi", conversation=created["id"], include=[INCLUDE])
    again = [{"role": "developer", "content": "Go on."}, *first["output"]]
    second = post(server, input=again, previous_response_id=None)
    for kind, path in (
        (ConversationItemList, f"/v1/conversations/{created['id']}/items"),
        (ResponseItemList, f"/v1/responses/{second['id']}/input_items"),
    ):
        whole = ask(server, "GET", path).json
        check(kind, whole)
        assert whole["has_more"] is False
        newest = ask(server, "GET", f"{path}?limit=1").json
        assert newest["data"] == whole["data"][:1]
        assert newest["has_more"] is True
        rest = ask(server, "GET", f"{path}?after={newest['last_id']}&order=desc").json
        assert rest["data"] == whole["data"][1:]
        oldest = ask(server, "GET", f"{path}?order=asc").json
        assert oldest["data"] == whole["data"][::-1]


def test_what_is_not_there_has_a_code(serve: Serve) -> None:
    server = serve(HELLO)
    conversation = post(server, "/v1/conversations")["id"]
    created = post(server, input="Hi")["id"]
    reference = [{"type": "item_reference", "id": "msg_none"}]
    for path, code in {
        "/v1/responses/none": "response_not_found",
        "/v1/responses/none/input_items": "response_not_found",
        f"/v1/responses/{created}/input_items?after=none": "item_not_found",
        "/v1/conversations/none": "conversation_not_found",
        "/v1/conversations/none/items": "conversation_not_found",
        f"/v1/conversations/{conversation}/items/none": "item_not_found",
    }.items():
        answer = ask(server, "GET", path)
        assert (answer.status, answer.error["code"]) == (404, code), path
    for fields, code in (
        ({"input": "x", "previous_response_id": "none"}, "previous_response_not_found"),
        ({"input": "x", "conversation": "none"}, "conversation_not_found"),
        ({"input": reference}, "item_not_found"),
    ):
        status, error = refused(server, **fields)
        assert (status, error["code"]) == (404, code)
        with pytest.raises(openai.NotFoundError):
            server.client().responses.create(model="x", **fields)


def test_without_a_store_nothing_is_on_the_disk(encoding: Encoding, tmp_path: Path) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    config = dataclasses.replace(Config(date=DATE), responses_store="off")

    def serve() -> Any:
        return running(lambda: backend, lambda: encoding, config=config, folder=tmp_path)

    with serve() as server:
        first = post(server, input="Secret", include=[INCLUDE])
        post(server, input="And?", previous_response_id=first["id"])
        # The count may be one of a moment before.
        until(lambda: kept_responses(server) == 2)
        assert {path.name for path in tmp_path.iterdir()} == {"content.key", "local.token"}
    with serve() as server:
        status, error = refused(server, input="And?", previous_response_id=first["id"])
        assert (status, error["code"]) == (404, "previous_response_not_found")
        thought = {**first["output"][0], "content": None}
        post(server, input=[{"role": "user", "content": "Hi"}, thought])
