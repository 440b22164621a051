"""Items in, items kept, and which ``input[i]`` a refusal names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlxoss.api.responses.items import CallOutputItem, MessageItem
from mlxoss.api.responses.parse_items import check_items, parse_items, read_items, referenced_ids
from mlxoss.errors import InvalidRequest, NotFound, RequestError
from tests.support.api.responses_runs import make_ids

CALL = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "rain"}
CUSTOM_CALL = {"type": "custom_tool_call", "call_id": "call_2", "name": "q", "input": "x"}
CUSTOM_OUTPUT = {"type": "custom_tool_call_output", "call_id": "call_2", "output": "y"}

EVERY_KIND: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
    {
        "role": "developer",
        "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}],
    },
    {
        "role": "assistant",
        "phase": "commentary",
        "content": [{"type": "output_text", "text": "Wait.", "annotations": []}],
    },
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    {
        "type": "reasoning",
        "id": "rs_7",
        "summary": [{"type": "summary_text", "text": "short"}],
        "content": [{"type": "reasoning_text", "text": "long"}],
        "encrypted_content": "x",
    },
    {"type": "reasoning", "summary": [], "content": None},
    {**CALL, "namespace": "crm", "status": "completed", "caller": {"type": "direct"}},
    OUTPUT,
    {**CALL, "call_id": "call_3", "id": None},
    {**OUTPUT, "call_id": "call_3", "output": [{"type": "input_text", "text": "sun"}]},
    CUSTOM_CALL,
    CUSTOM_OUTPUT,
    {"type": "compaction", "encrypted_content": "x"},
]


def parse(*values: Any, find: Any = lambda _: None) -> tuple[Any, ...]:
    return parse_items(values, make_id=make_ids(), find=find)


def test_every_kind_gets_an_id_and_survives_being_kept() -> None:
    items = parse(*EVERY_KIND)
    kept = [item.to_json() for item in items]
    assert [one["type"] for one in kept] == [
        *["message"] * 5,
        *["reasoning"] * 2,
        "function_call",
        "function_call_output",
        "function_call",
        "function_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "compaction",
    ]
    assert len({one["id"] for one in kept}) == len(kept)
    assert kept[5]["id"] == "rs_7"
    assert [item.to_json() for item in read_items(kept)] == kept
    check_items((), items)


def test_contents_are_listed_as_parts() -> None:
    user, _, developer, preamble, refusal = (item.to_json() for item in parse(*EVERY_KIND[:5]))
    assert user["content"] == [{"type": "input_text", "text": "Hi"}]
    assert [part["text"] for part in developer["content"]] == ["a", "b"]
    assert preamble["phase"] == "commentary"
    assert preamble["content"][0]["type"] == "output_text"
    assert "phase" not in refusal
    assert refusal["content"] == [{"type": "refusal", "refusal": "No."}]


def test_outputs_keep_their_shape() -> None:
    plain, parts = parse(OUTPUT, {**OUTPUT, "output": [{"type": "input_text", "text": "sun"}]})
    assert isinstance(plain, CallOutputItem)
    assert plain.to_json()["output"] == "rain"
    assert parts.to_json()["output"] == [{"type": "input_text", "text": "sun"}]
    (empty,) = parse({**OUTPUT, "output": []})
    assert empty.text == ""


def test_references_become_what_they_point_at() -> None:
    kept = {"msg_1": parse({"role": "user", "content": "Hi", "id": "msg_1"})[0].to_json()}
    values = [{"type": "item_reference", "id": "msg_1"}, CALL]
    assert referenced_ids([*values, "x", {"type": "item_reference", "id": 3}]) == ("msg_1",)
    message, _ = parse(*values, find=kept.get)
    assert isinstance(message, MessageItem)
    assert (message.id, message.text) == ("msg_1", "Hi")
    for value in (
        {"id": "msg_1"},
        {"id": "msg_1", "type": None},
        {"type": None, "id": "msg_1", "status": None},
    ):
        assert referenced_ids([value]) == ("msg_1",)
        assert parse(value, find=kept.get) == (message,)
    with pytest.raises(NotFound) as caught:
        parse(CALL, {"type": "item_reference", "id": "msg_2"}, find=kept.get)
    assert caught.value.param == "input[1].id"


IMAGE = {"type": "input_image", "image_url": "data:,"}

REFUSED: dict[str, tuple[Any, str]] = {
    "a string": ("Hi", "input[1]"),
    "nothing": ({}, "input[1].type"),
    "an unknown type": ({"type": "hologram_call"}, "input[1].type"),
    "a list as type": ({"type": ["message"]}, "input[1].type"),
    "an unknown role": ({"role": "tool", "content": "x"}, "input[1].role"),
    "no content": ({"role": "user"}, "input[1].content"),
    "a number as content": ({"role": "user", "content": 1}, "input[1].content"),
    "an image": (
        {"role": "user", "content": [{"type": "text", "text": "x"}, IMAGE]},
        "input[1].content[1]",
    ),
    "audio": ({"role": "user", "content": [{"type": "input_audio"}]}, "input[1].content[0]"),
    "a file": ({"role": "user", "content": [{"type": "input_file"}]}, "input[1].content[0]"),
    "a part without text": (
        {"role": "user", "content": [{"type": "input_text"}]},
        "input[1].content[0].text",
    ),
    "a part without a type": ({"role": "user", "content": [{}]}, "input[1].content[0].type"),
    "an unknown part as output": (
        {**OUTPUT, "output": [{"type": "hologram"}]},
        "input[1].output[0]",
    ),
    "an object as output": ({**OUTPUT, "output": {}}, "input[1].output"),
    "no call id": ({"type": "function_call_output", "output": "x"}, "input[1].call_id"),
    "no name": ({"type": "function_call", "call_id": "c", "arguments": ""}, "input[1].name"),
    "arguments as an object": ({**CALL, "arguments": {}}, "input[1].arguments"),
    "a number as id": ({**CALL, "id": 5}, "input[1].id"),
    "compaction without content": ({"type": "compaction"}, "input[1].encrypted_content"),
    "a summary of images": ({"type": "reasoning", "summary": [IMAGE]}, "input[1].summary[0]"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_item_is_named(case: str) -> None:
    value, param = REFUSED[case]
    with pytest.raises(InvalidRequest) as caught:
        parse({"role": "user", "content": "Hi"}, value)
    assert caught.value.param == param
    assert param in str(caught.value)


UNCHECKED: dict[str, tuple[list[Any], list[Any], str | None]] = {
    "an output with its call": ([], [CALL, OUTPUT], None),
    "an output with its call in history": ([CALL], [OUTPUT], None),
    "an output without its call": ([], [OUTPUT], "input[0].call_id"),
    "an output before its call": ([], [OUTPUT, CALL], "input[0].call_id"),
    "an output of another kind": (
        [CALL],
        [{**CUSTOM_OUTPUT, "call_id": "call_1"}],
        "input[0].call_id",
    ),
    "an id twice": ([], [{**CALL, "id": "a"}, {**CALL, "id": "a"}], "input[1].id"),
    "an id in history": ([{**CALL, "id": "a"}], [{**CALL, "id": "a"}], "input[0].id"),
}


@pytest.mark.parametrize("case", UNCHECKED)
def test_items_are_checked_together(case: str) -> None:
    earlier, later, param = UNCHECKED[case]
    make_id = make_ids()
    history = parse_items(earlier, make_id=make_id, find=lambda _: None)
    items = parse_items(later, make_id=make_id, find=lambda _: None)
    if param is None:
        check_items(history, items)
        return
    with pytest.raises(InvalidRequest) as caught:
        check_items(history, items)
    assert caught.value.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "id",
        "call_id",
        "name",
        "arguments",
        "output",
        "summary",
        "phase",
        "tools",
        "encrypted_content",
    ]
)
WORDS = st.sampled_from(
    [
        "message",
        "user",
        "reasoning",
        "function_call",
        "item_reference",
        "text",
        "agent_message",
        "additional_tools",
        "local_shell_call",
        "local_shell_call_output",
        "image_generation_call",
        "context_compaction",
    ]
)


@settings(max_examples=200, deadline=None, print_blob=True)
@given(values=st.lists(st.dictionaries(KEYS, WORDS | JSON, max_size=6) | JSON, max_size=3))
def test_any_json_is_parsed_or_refused_by_name(values: list[Any]) -> None:
    outcome = parse_or_refuse(values)
    if isinstance(outcome, RequestError):
        assert str(outcome.param).startswith("input[")
    else:
        kept = [item.to_json() for item in outcome]
        assert [item.to_json() for item in read_items(kept)] == kept


def parse_or_refuse(values: list[Any]) -> tuple[Any, ...] | RequestError:
    try:
        return parse(*values)
    except RequestError as error:
        return error
