"""What a Responses request may say, and which field a refusal names."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mlxoss.api.responses.conversations import (
    parse_conversation_request,
    parse_conversation_update,
    parse_items_request,
)
from mlxoss.api.responses.parse_items import parse_items
from mlxoss.api.responses.request import (
    parse_compact_request,
    parse_input_tokens_request,
    parse_responses_request,
)
from mlxoss.api.responses.tool_table import ToolKind, ToolTable
from mlxoss.api.responses.tools import read_tools
from mlxoss.core import Effort
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import ResponseFormat

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "model"),
    "a number as input": ({"input": 1}, "input"),
    "no input": ({"input": None}, "input"),
    "both states": (
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        "previous_response_id",
    ),
    "a conversation without an id": ({"conversation": {"name": "x"}}, "conversation"),
    "a template": ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    "moderation": ({"moderation": {"model": "x"}}, "moderation"),
    "other context management": (
        {"context_management": [{"type": "truncation"}]},
        "context_management[0].type",
    ),
    "no type of it": ({"context_management": [{}]}, "context_management[0].type"),
    "it twice": ({"context_management": [{"type": "compaction"}] * 2}, "context_management"),
    "no threshold": (
        {"context_management": [{"type": "compaction", "compact_threshold": 0}]},
        "context_management[0].compact_threshold",
    ),
    "a word as generate": ({"generate": "no"}, "generate"),
    "a word as prewarm": (
        {"prompt_cache_options": {"prewarm": "yes"}},
        "prompt_cache_options.prewarm",
    ),
    "a schema without a name": (
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        "text.format.name",
    ),
    "a format without a schema": (
        {"text": {"format": {"type": "json_schema", "name": "x"}}},
        "text.format.schema",
    ),
    "an unknown format": ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
    "an unknown verbosity": ({"text": {"verbosity": "mute"}}, "text.verbosity"),
    "an unknown effort": ({"reasoning": {"effort": "heroic"}}, "reasoning.effort"),
    "old reasoning": ({"reasoning": {"context": "all_turns"}}, "reasoning.context"),
    "another mode": ({"reasoning": {"mode": "pro"}}, "reasoning.mode"),
    "an unknown truncation": ({"truncation": "middle"}, "truncation"),
    "no tokens": ({"max_output_tokens": 0}, "max_output_tokens"),
    "too many logprobs": ({"top_logprobs": 21}, "top_logprobs"),
    "heat": ({"temperature": 2.5}, "temperature"),
    "NaN": ({"top_p": float("nan")}, "top_p"),
    "a bias outside the vocabulary": ({"logit_bias": {"201088": 1.0}}, "logit_bias.201088"),
    "metadata of numbers": ({"metadata": {"a": 1}}, "metadata.a"),
    "much metadata": ({"metadata": {str(i): "" for i in range(17)}}, "metadata"),
    "long metadata": ({"metadata": {"a": "x" * 513}}, "metadata.a"),
    "a string as background": ({"background": "yes"}, "background"),
    "include as a string": ({"include": "all"}, "include"),
}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-oss-20b", "input": "Hi", **fields}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_honoured_is_named(case: str) -> None:
    fields, param = REFUSED[case]
    with pytest.raises(InvalidRequest) as caught:
        parse_responses_request(body(**fields))
    assert caught.value.param == param
    assert param.split(".")[0] in str(caught.value)


def test_harmless_fields_are_accepted() -> None:
    request = parse_responses_request(
        body(
            include=["web_search_call.action.sources", "something.new"],
            client_metadata={"a": 1},
            service_tier="flex",
            stream_options={"include_obfuscation": True},
            prompt_cache_retention="24h",
            prompt_cache_options={"mode": "explicit", "ttl": "12h"},
            reasoning={"context": "auto", "mode": "standard"},
            user="ada",
            background_options={"completion_window": "2h"},
            max_tool_calls=3,
            context_management=[],
        )
    )
    assert not request.wants_encrypted
    assert not request.wants_logprobs
    assert request.is_stored


def test_codex_s_request_is_accepted() -> None:
    request = parse_responses_request(
        body(
            store=False,
            stream=True,
            include=["reasoning.encrypted_content"],
            reasoning={"summary": "auto"},
            prompt_cache_key="0199",
            client_metadata={"originator": "x"},
            tool_choice="auto",
            parallel_tool_calls=False,
            text={"verbosity": "low"},
        )
    )
    assert request.wants_encrypted
    assert request.summary == "auto"
    assert not request.is_stored


@pytest.mark.parametrize(
    "field",
    [
        {"messages": [{"role": "user", "content": "Hi"}]},
        {"max_tokens": 5},
        {"max_completion_tokens": 5},
        {"response_format": {"type": "json_object"}},
        {"reasoning_effort": "low"},
        {"functions": [{"name": "f"}]},
        {"stop": "x"},
        {"n": 2},
    ],
)
def test_words_of_chat_are_not_ignored(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_responses_request(body(**field))
    assert caught.value.param == next(iter(field))
    parse_responses_request(body(**dict.fromkeys(field)))


def test_the_state_may_be_all_there_is() -> None:
    assert parse_responses_request(body(input=None, previous_response_id="resp_1")).input is None
    assert parse_responses_request(body(conversation={"id": "conv_1"})).conversation == "conv_1"
    assert parse_responses_request(body(conversation="conv_1")).conversation == "conv_1"


FORMATS: list[tuple[dict[str, Any] | None, ResponseFormat | None]] = [
    (None, None),
    ({"type": "text"}, None),
    ({"type": "json_object"}, ResponseFormat("json_object", {"type": "object"})),
    (
        {"type": "json_schema", "name": "x", "schema": SCHEMA, "description": "d"},
        ResponseFormat("x", SCHEMA, "d"),
    ),
]


@pytest.mark.parametrize(("wanted", "shown"), FORMATS)
def test_formats_are_shown(wanted: Any, shown: ResponseFormat | None) -> None:
    assert parse_responses_request(body(text={"format": wanted})).response_format == shown


def test_efforts_are_what_the_model_knows() -> None:
    efforts = {
        word: parse_responses_request(body(reasoning={"effort": word})).effort
        for word in ("minimal", "medium", "xhigh", "ultra", None)
    }
    assert efforts == {
        "minimal": Effort.LOW,
        "medium": Effort.MEDIUM,
        "xhigh": Effort.HIGH,
        "ultra": Effort.HIGH,
        None: Effort.MEDIUM,
    }
    assert parse_responses_request(body(reasoning={"generate_summary": "concise"})).summary


def test_counting_needs_no_model_and_checks_the_same() -> None:
    assert parse_input_tokens_request({"input": "Hi"}).input
    with pytest.raises(InvalidRequest) as caught:
        parse_input_tokens_request({"input": "Hi", "truncation": "some"})
    assert caught.value.param == "truncation"


def test_compacting_needs_a_model_and_something_to_compact() -> None:
    assert parse_compact_request({"model": "m", "previous_response_id": "resp_1"}).input is None
    for value, param in (({"input": "Hi"}, "model"), ({"model": "m"}, "input")):
        with pytest.raises(InvalidRequest) as caught:
            parse_compact_request(value)
        assert caught.value.param == param


def test_conversations_take_a_bounded_number_of_items() -> None:
    assert parse_conversation_request({}).items is None
    assert parse_conversation_update({"metadata": {"a": "b"}}).metadata == {"a": "b"}
    assert len(parse_items_request({"items": [{}]}).items) == 1
    for parse, value, param in (
        (parse_conversation_request, {"items": [{}] * 21}, "items"),
        (parse_items_request, {"items": []}, "items"),
        (parse_items_request, {}, "items"),
        (parse_conversation_update, {}, "metadata"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            parse(value)
        assert caught.value.param == param


def test_tools_are_shown_flat_and_hosted_ones_dropped() -> None:
    table = read_tools(
        [
            {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA},
            {"type": "web_search"},
            {"type": "custom", "name": "edit", "description": "Edits."},
            {
                "type": "namespace",
                "name": "mcp__",
                "description": "Files.",
                "tools": [
                    {"type": "function", "name": "read", "description": "Reads."},
                    {"type": "function", "name": "write"},
                ],
            },
            {"type": "something_new"},
        ]
    )
    assert [tool.name for tool in table.functions] == ["f", "edit", "mcp__read", "mcp__write"]
    assert table.dropped == ("web_search", "something_new")
    assert [one["type"] for one in table.public] == ["function", "custom", "namespace"]
    assert table.functions[2].description == "Files.\nReads."
    assert table.functions[3].description is None
    name = table.names["mcp__write"]
    assert (name.name, name.namespace, name.flat) == ("write", "mcp__", "mcp__write")


def test_a_custom_tool_s_grammar_is_shown() -> None:
    lark = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    table = read_tools([{"type": "custom", "name": "c", "description": "D.", "format": lark}])
    description = table.functions[0].description
    assert description is not None
    assert description.startswith("D.\n")
    assert description.endswith("Lark grammar:\nstart: /a+/")
    assert table.public[0]["format"] == lark


BAD_TOOLS: dict[str, tuple[Any, str]] = {
    "no object": ("x", "tools[0]"),
    "no type": ({"name": "f"}, "tools[0].type"),
    "a number as type": ({"type": 1}, "tools[0].type"),
    "chat's shape": ({"type": "function", "function": {"name": "f"}}, "tools[0].name"),
    "a bad name": ({"type": "function", "name": "a b"}, "tools[0].name"),
    "parameters as text": (
        {"type": "function", "name": "f", "parameters": "{}"},
        "tools[0].parameters",
    ),
    "a grammar without one": (
        {"type": "custom", "name": "c", "format": {"type": "grammar", "syntax": "lark"}},
        "tools[0].format.definition",
    ),
    "a grammar of no language": (
        {"type": "custom", "name": "c", "format": {"type": "grammar", "definition": "x"}},
        "tools[0].format.syntax",
    ),
    "a bad tool in a namespace": (
        {"type": "namespace", "name": "n", "tools": [{"type": "function"}]},
        "tools[0].tools[0].name",
    ),
    "a hosted tool in a namespace": (
        {"type": "namespace", "name": "n", "tools": [{"type": "web_search"}]},
        "tools[0].tools[0].type",
    ),
}


@pytest.mark.parametrize("case", BAD_TOOLS)
def test_a_bad_tool_is_named(case: str) -> None:
    tool, param = BAD_TOOLS[case]
    with pytest.raises(InvalidRequest) as caught:
        read_tools([tool])
    assert caught.value.param == param


def test_two_tools_of_one_name_are_refused() -> None:
    namespace = {
        "type": "namespace",
        "name": "a",
        "tools": [{"type": "function", "name": "b"}],
    }
    with pytest.raises(InvalidRequest) as caught:
        read_tools([{"type": "function", "name": "a__b"}, namespace])
    assert caught.value.param == "tools[1].tools[0].name"


def added(*values: Any, first_of_input: int = 0) -> ToolTable:
    numbers = itertools.count()
    items = parse_items(values, make_id=lambda kind: f"{kind}{next(numbers)}", find=lambda _: None)
    return read_tools(None, items, first_of_input=first_of_input)


USER = {"role": "user", "content": "Hi"}
LOOKUP = {"type": "function", "name": "lookup", "parameters": SCHEMA}


def additional(*tools: Any) -> Any:
    return {"type": "additional_tools", "tools": list(tools)}


def test_a_later_word_on_an_added_tool_goes() -> None:
    """Whether the first stood in front of the conversation or in it: it is told, and what is
    written to the tool and given to the client follows it."""
    free = {"type": "custom", "name": "lookup", "description": "Another."}
    for before in ((), (USER,)):
        table = added(*before, additional(LOOKUP), USER, additional(free))
        *_, told = table.later.values()
        assert [tool.parameters for tool in told.tools] == [{"type": "string"}]
        assert table.names["lookup"].kind is ToolKind.CUSTOM
        bodies = [call.body for call in table.calls]
        assert bodies == [call.body for call in added(additional(free)).calls]


def test_an_added_tool_is_named_by_its_own_field() -> None:
    """What a grammar cannot be made of is known later, and told by this name."""
    item = additional({"type": "web_search"}, LOOKUP)
    assert added(USER, item).calls[0].param == "input[1].tools[1].parameters"
    assert added(USER, item, USER, first_of_input=1).calls[0].param.startswith("input[0].")
    assert (
        added(USER, item, USER, first_of_input=2).calls[0].param.startswith("previous_response_id")
    )
