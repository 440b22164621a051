"""Messages without words beside calls, and words between a call and its answer."""

from __future__ import annotations

from typing import Any

import pytest

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.server.begun_elsewhere import ANSWER, CALL, OUTPUT, RESULT, USE, USER, Place, say
from tests.support.server.scripts import AFTER_CALL, by_last_words
from tests.support.server.scripts import CALL as WRITTEN_CALL

EMPTY: tuple[Any, ...] = ("", " ", "\n", [])
TOOL: Any = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
THOUGHT: Any = {
    "type": "reasoning",
    "summary": [],
    "content": [{"type": "reasoning_text", "text": "I look."}],
}
THINKING: Any = {"type": "thinking", "thinking": "I look.", "signature": ""}


def empty_messages(kind: str) -> list[Any]:
    contents = [*EMPTY, [{"type": kind, "text": ""}], [{"type": kind, "text": " "}] * 2]
    return [{"role": "assistant", "content": content} for content in contents]


@pytest.fixture
def place(serve: Serve, encoding: Encoding) -> Place:
    answers = {"user<|message|>Hello!": WRITTEN_CALL, "": AFTER_CALL}
    return Place(serve, encoding, ScriptedBackend(by_last_words(encoding, answers)))


def test_responses(place: Place) -> None:
    fields: Any = {"tools": [{"type": "function", **TOOL}], "store": False}
    thought, words, call = place.post("/v1/responses", input=[USER], **fields)["output"]
    bare = {name: call[name] for name in ("type", "call_id", "name", "arguments")}
    wordy = {"role": "assistant", "content": words["content"]}
    output = OUTPUT | {"call_id": call["call_id"]}
    plain = place.respond(USER, wordy, bare, output, **fields)
    assert "They" not in plain
    assert "I need the weather." in plain
    for empty in empty_messages("output_text"):
        for sent in (
            (USER, empty, wordy, bare, output),
            (USER, wordy, empty, bare, output),
            (USER, wordy, bare, empty, output),
            (USER, wordy, bare, output, empty),
            (USER, wordy, bare, empty | {"phase": "final_answer"}, output),
            (USER, wordy, empty | {"phase": "commentary"}, bare, output),
            (USER, thought | {"id": None}, empty, wordy, bare, output),
        ):
            place.post("/v1/responses", input=list(sent), **fields)
            assert place.prompt == plain


def test_messages(place: Place) -> None:
    tools = [{"name": TOOL["name"], "input_schema": TOOL["parameters"]}]
    written = place.post("/v1/messages", messages=[USER], tools=tools, max_tokens=99)["content"]
    words, use = written
    result = {"role": "user", "content": [RESULT["content"][0] | {"tool_use_id": use["id"]}]}
    plain = place.message(USER, say(words, use), result, tools=tools)
    assert "I need the weather." in plain
    for text in ("", " ", "\n"):
        empty = {"type": "text", "text": text}
        for blocks in ((empty, words, use), (words, empty, use), (words, use, empty)):
            assert place.message(USER, say(*blocks), result, tools=tools) == plain
    for empty in EMPTY:
        message = {"role": "assistant", "content": empty}
        assert place.message(USER, message, say(words, use), result, tools=tools) == plain
        assert place.message(USER, say(words, use), message, result, tools=tools) == plain


def test_chat(place: Place) -> None:
    fields: Any = {"tools": [{"type": "function", "function": TOOL}]}
    choice = place.post("/v1/chat/completions", messages=[USER], **fields)["choices"][0]
    words = {"role": "assistant", "content": choice["message"]["content"]}
    called = words | {"tool_calls": choice["message"]["tool_calls"]}
    tool = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "rain"}
    plain = place.chat(USER, called, tool, **fields)
    assert "I need the weather." in plain
    for empty in empty_messages("text"):
        assert place.chat(USER, empty, called, tool, **fields) == plain
        assert place.chat(USER, called, empty, tool, **fields) == plain
        assert place.chat(USER, called, tool, empty, **fields) == plain


def test_chat_calls_without_words(serve: Serve, encoding: Encoding) -> None:
    """What clients put for the content that a call came without."""
    written = WRITTEN_CALL.replace(
        "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant", ""
    )
    answers = {"user<|message|>Hello!": written, "": AFTER_CALL}
    place = Place(serve, encoding, ScriptedBackend(by_last_words(encoding, answers)))
    fields: Any = {"tools": [{"type": "function", "function": TOOL}]}
    choice = place.post("/v1/chat/completions", messages=[USER], **fields)["choices"][0]
    called = {"role": "assistant", "tool_calls": choice["message"]["tool_calls"]}
    tool = {"role": "tool", "tool_call_id": called["tool_calls"][0]["id"], "content": "rain"}
    plain = place.chat(USER, called, tool, **fields)
    assert "I need the weather." in plain
    for empty in empty_messages("text"):
        assert place.chat(USER, called | empty, tool, **fields) == plain


def test_words_between_a_call_and_its_answer_end_no_loop(place: Place) -> None:
    words = {"role": "assistant", "content": "Let me see."}
    commentary = "<|channel|>commentary<|message|>Let me see.<|end|>"
    second = CALL | {"call_id": "c2"}
    for sent in (
        (USER, THOUGHT, CALL, words, OUTPUT),
        (USER, THOUGHT, words, CALL, OUTPUT),
        (USER, THOUGHT, CALL, second, OUTPUT, words, OUTPUT | {"call_id": "c2"}),
    ):
        prompt = place.respond(*sent)
        assert "I look." in prompt
        assert commentary in prompt
    final = words | {"phase": "final_answer"}
    assert "I look." not in place.respond(USER, THOUGHT, CALL, final, OUTPUT)
    assert "I look." not in place.respond(USER, THOUGHT, CALL, OUTPUT, ANSWER, USER)

    system = {"role": "system", "content": "Go on."}
    prompt = place.message(USER, say(THINKING, USE), system, words, RESULT)
    assert "I look." in prompt
    assert commentary in prompt

    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    calls = {"role": "assistant", "tool_calls": [call]}
    thought = calls | {"reasoning": "I look."}
    tool = {"role": "tool", "tool_call_id": "c1", "content": "rain"}
    old_call = {"name": "f", "arguments": "{}"}
    old = {"role": "assistant", "reasoning": "I look.", "function_call": old_call}
    for chat in (
        (USER, thought, words, tool),
        (USER, words | {"reasoning": "I look."}, calls, tool),
        (USER, old, words, {"role": "function", "name": "f", "content": "rain"}),
    ):
        prompt = place.chat(*chat)
        assert "I look." in prompt
        assert commentary in prompt
    assert "I look." not in place.chat(USER, thought, tool, ANSWER, USER)


def test_results_beside_words_of_the_user_keep_the_turn(place: Place) -> None:
    """Claude Code puts reminders beside results; the turn before them is still the exact one."""
    tools = [{"name": TOOL["name"], "input_schema": TOOL["parameters"]}]
    words, use = place.post("/v1/messages", messages=[USER], tools=tools, max_tokens=99)["content"]
    result = RESULT["content"][0] | {"tool_use_id": use["id"]}
    reminder = {"type": "text", "text": "Be brief."}
    message = {"role": "user", "content": [result, reminder]}
    assert "I need the weather." in place.message(USER, say(words, use), message, tools=tools)


def test_two_calls_under_one_id(place: Place) -> None:
    def shown(prompt: str) -> bool:
        return "functions.f to=assistant<|channel|>commentary<|message|>one" in prompt and (
            "functions.g to=assistant<|channel|>commentary<|message|>two" in prompt
        )

    calls = [CALL, CALL | {"name": "g"}]
    outputs = [OUTPUT | {"output": text} for text in ("one", "two")]
    assert shown(place.respond(USER, *calls, *outputs))
    first = place.post("/v1/responses", input=[USER, *calls, outputs[0], outputs[1]])
    place.post("/v1/responses", input="More", previous_response_id=first["id"])
    assert shown(place.prompt)
    error = place.post("/v1/responses", 400, input=[USER, *calls, OUTPUT])["error"]
    assert error["param"] == "input[3].call_id"
    assert "'c1'" in error["message"]

    uses = [USE, USE | {"name": "g"}]
    result = RESULT["content"][0]
    results = [result | {"content": text} for text in ("one", "two")]
    assert shown(place.message(USER, say(*uses), {"role": "user", "content": results}))
    error = place.post("/v1/messages", 400, messages=[USER, say(*uses), RESULT], max_tokens=9)
    assert "messages[2].content[0].tool_use_id" in error["error"]["message"]
    assert "'t1'" in error["error"]["message"]

    called = {
        "role": "assistant",
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for name in ("f", "g")
        ],
    }
    tools = [{"role": "tool", "tool_call_id": "c1", "content": text} for text in ("one", "two")]
    assert shown(place.chat(USER, called, *tools))
    error = place.post("/v1/chat/completions", 400, messages=[USER, called, tools[0]])["error"]
    assert error["param"] == "messages[2].tool_call_id"
    assert "'c1'" in error["message"]
