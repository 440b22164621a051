"""``tool_choice`` and what else a request asks of its turn's form, in both endpoints' words."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from mlxoss.api.chat.prompt import to_turn_request
from mlxoss.api.chat.request import parse_chat_request
from mlxoss.api.messages.request import parse_messages_request
from mlxoss.api.responses.tools import read_tools
from mlxoss.api.tool_choice import read_tool_choice
from mlxoss.api.turn_request import TurnRequest
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import FunctionCall, FunctionResult
from mlxoss.harmony.grammar.rules import CallRule, FreeText, Json, Lark, Regex

ANY = Json({"type": "object"})
DECLARED = (CallRule("f", ANY), CallRule("g", ANY), CallRule("crm__find", ANY))

CHOICES: dict[str, tuple[Any, list[str], bool]] = {
    "left out": (None, ["f", "g", "crm__find"], False),
    "auto": ("auto", ["f", "g", "crm__find"], False),
    "none": ("none", [], False),
    "required": ("required", ["f", "g", "crm__find"], True),
    "chat, named": ({"type": "function", "function": {"name": "g"}}, ["g"], True),
    "chat, named custom": ({"type": "custom", "custom": {"name": "g"}}, ["g"], True),
    "named": ({"type": "function", "name": "g"}, ["g"], True),
    "named custom": ({"type": "custom", "name": "g"}, ["g"], True),
    "named in a namespace": (
        {"type": "function", "name": "find", "namespace": "crm"},
        ["crm__find"],
        True,
    ),
    "chat, allowed": (
        {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "auto",
                "tools": [{"type": "function", "function": {"name": "g"}}],
            },
        },
        ["g"],
        False,
    ),
    "allowed": (
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "g"}, {"type": "function", "name": "f"}],
        },
        ["f", "g"],
        False,
    ),
    "allowed, required": (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "f"}]},
        ["f"],
        True,
    ),
    "allowed with one not served": (
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "web_search"}, {"type": "function", "name": "f"}],
        },
        ["f"],
        False,
    ),
    "nothing allowed": ({"type": "allowed_tools", "mode": "auto", "tools": []}, [], False),
}


@pytest.mark.parametrize(("value", "names", "must_call"), CHOICES.values(), ids=CHOICES)
def test_reads(value: Any, names: list[str], must_call: bool) -> None:
    choice = read_tool_choice(value, DECLARED)
    assert [call.name for call in choice.calls] == names
    assert choice.must_call == must_call
    assert choice.is_restricted(DECLARED) == (must_call or len(names) < 3)


REFUSED: dict[str, tuple[Any, str]] = {
    "unknown word": ("always", "tool_choice"),
    "number": (7, "tool_choice"),
    "no type": ({"name": "f"}, "tool_choice"),
    "not declared": ({"type": "function", "name": "x"}, "tool_choice"),
    "no name": ({"type": "function"}, "tool_choice.name"),
    "hosted": ({"type": "web_search"}, "tool_choice"),
    "mode": ({"type": "allowed_tools", "mode": "some", "tools": []}, "tool_choice.mode"),
    "chat, mode": (
        {"type": "allowed_tools", "allowed_tools": {"mode": "some", "tools": []}},
        "tool_choice.allowed_tools.mode",
    ),
    "no tools": ({"type": "allowed_tools", "mode": "auto"}, "tool_choice.tools"),
    "no tool": ({"type": "allowed_tools", "tools": ["f"]}, "tool_choice.tools[0]"),
    "allowed, not declared": (
        {"type": "allowed_tools", "tools": [{"type": "function", "name": "x"}]},
        "tool_choice.tools[0]",
    ),
    "required, nothing allowed": (
        {"type": "allowed_tools", "mode": "required", "tools": []},
        "tool_choice",
    ),
}


@pytest.mark.parametrize(("value", "param"), REFUSED.values(), ids=REFUSED)
def test_refuses(value: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tool_choice(value, DECLARED)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ({"type": "auto"}, "the word 'auto' alone"),
        ({"type": "none"}, "the word 'none' alone"),
        ({"type": "required"}, "the word 'required' alone"),
        ({"type": "any"}, "the word 'required'"),
        ("any", "the word 'required'"),
        ({"type": "tool", "name": "f"}, "'function'"),
    ],
)
def test_says_what_is_meant(value: Any, meant: str) -> None:
    with pytest.raises(InvalidRequest, match=meant) as caught:
        read_tool_choice(value, DECLARED)
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize("value", ["auto", "required", 5, ["auto"], {"type": "required"}])
def test_messages_says_what_is_meant_too(value: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    with pytest.raises(InvalidRequest, match=r"auto.*any.*tool") as caught:
        parse_messages_request(body | {"tool_choice": value})
    assert str(caught.value.param).startswith("tool_choice")


def test_a_required_call_needs_a_tool() -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tool_choice("required", ())
    assert caught.value.param == "tool_choice"


def turn(**fields: Any) -> TurnRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]} | fields
    return to_turn_request(parse_chat_request(body), date=datetime.date(2026, 1, 1))


SCHEMA = {"type": "object", "properties": {}, "additionalProperties": False}


def function(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name} | more}


def test_a_plain_chat_needs_no_guard() -> None:
    plain = turn()
    assert plain.rules.calls == ()
    assert plain.rules.final == FreeText()
    assert not plain.rules.preambles
    assert plain.needs_grammar == ()


def test_strict_functions_follow_their_schema() -> None:
    tools = [
        function("a", parameters=SCHEMA, strict=True),
        function("b", parameters=SCHEMA),
        function("c", strict=True),
    ]
    rules = turn(tools=tools).rules
    assert [call.body for call in rules.calls] == [Json(SCHEMA), ANY, Json(SCHEMA)]
    assert [call.param for call in rules.calls] == [
        f"tools[{i}].function.parameters" for i in range(3)
    ]
    assert rules.preambles
    assert rules.parallel_calls
    assert not turn(tools=tools, parallel_tool_calls=False).rules.parallel_calls


def test_strict_functions_without_arguments_get_none() -> None:
    for parameters in ({}, {"type": "object"}, {"type": "object", "properties": {}}):
        (rule,) = turn(tools=[function("f", parameters=parameters, strict=True)]).rules.calls
        assert rule.body == Json(SCHEMA), parameters
        (rule,) = turn(tools=[function("f", parameters=parameters)]).rules.calls
        assert rule.body == ANY, parameters


@pytest.mark.parametrize("root", [{"type": "string"}, {"type": ["array", "null"]}])
def test_a_strict_root_is_an_object(root: Any) -> None:
    with pytest.raises(InvalidRequest, match="object") as caught:
        turn(tools=[function("f", parameters=root, strict=True)])
    assert caught.value.param == "tools[0].function.parameters"
    with pytest.raises(InvalidRequest, match="object") as caught:
        read_tools([{"type": "function", "name": "f", "parameters": root, "strict": True}])
    assert caught.value.param == "tools[0].parameters"
    (rule,) = turn(tools=[function("f", parameters=root)]).rules.calls
    assert rule.body == ANY


def test_functions_that_are_not_strict_follow_their_schema_too() -> None:
    schema = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
    for strict in (None, False, True):
        (rule,) = turn(tools=[function("f", parameters=schema, strict=strict)]).rules.calls
        assert rule.body == Json({**schema, "type": "object"})
        assert rule.is_strict is bool(strict)


def test_formats_are_the_finals_form() -> None:
    assert turn(response_format={"type": "json_object"}).rules.final == ANY
    for strict in (True, False, None):
        wanted = {"name": "n", "schema": SCHEMA, "strict": strict}
        got = turn(response_format={"type": "json_schema", "json_schema": wanted})
        assert got.rules.final == Json(SCHEMA)
        assert got.rules.final_param == "response_format.json_schema.schema"
        assert bool(got.needs_grammar) == bool(strict)


def test_what_only_the_guard_can_honour() -> None:
    tools = [function("f"), function("g")]
    assert turn(tools=tools).needs_grammar == ()
    assert turn(tools=tools, tool_choice="none").needs_grammar == ()
    assert turn(tools=tools, tool_choice="required").needs_grammar == ("tool_choice",)


def custom(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "custom", "custom": {"name": name} | more}


def grammar(syntax: str, definition: str) -> dict[str, Any]:
    return {"type": "grammar", "grammar": {"syntax": syntax, "definition": definition}}


def test_custom_tools_of_chat() -> None:
    tools = [
        custom("a", description="Says so."),
        custom("b", format={"type": "text"}),
        custom("c", format=grammar("lark", 'start: "x"')),
        custom("d", format=grammar("regex", "x+")),
        function("e", parameters=SCHEMA, strict=True),
    ]
    asked = turn(tools=tools)
    bodies = [call.body for call in asked.rules.calls]
    assert bodies == [FreeText(), FreeText(), Lark('start: "x"'), Regex("x+"), Json(SCHEMA)]
    params = [call.param for call in asked.rules.calls]
    assert params[2] == "tools[2].custom.format.grammar.definition"
    assert params[4] == "tools[4].function.parameters"
    assert asked.needs_grammar == ()
    shown = asked.conversation.tools
    assert [tool.name for tool in shown] == ["a", "b", "c", "d", "e"]
    assert "Says so." in (shown[0].description or "")
    assert "x+" in (shown[3].description or "")


@pytest.mark.parametrize("tools", [[custom("a")], [function("b")], []])
def test_custom_calls_come_back_in_chat(tools: list[Any]) -> None:
    """As text, declared or not."""
    called = {"id": "call_1", "type": "custom", "custom": {"name": "a", "input": "x\ny"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Done"},
    ]
    items = turn(messages=messages, tools=tools).conversation.items
    assert items[1:] == (FunctionCall("a", "x\ny", is_text=True), FunctionResult("a", "Done"))


MALFORMED: dict[str, Any] = {
    "no member": {"type": "custom"},
    "another member": {"type": "custom", "function": {"name": "f"}},
    "both members": {"type": "function", "function": {"name": "f"}, "custom": {"name": "f"}},
    "no grammar": custom("a", format={"type": "grammar"}),
    "another syntax": custom("a", format=grammar("gbnf", "root ::= x")),
}


@pytest.mark.parametrize("tool", MALFORMED.values(), ids=MALFORMED)
def test_malformed_tools_of_chat(tool: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        turn(tools=[tool])
    assert (caught.value.param or "").startswith("tools[0]")


def test_custom_tools_of_responses() -> None:
    table = read_tools(
        [
            {"type": "custom", "name": "a"},
            {"type": "custom", "name": "b", "format": {"type": "text"}},
            {
                "type": "custom",
                "name": "c",
                "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'},
            },
            {
                "type": "custom",
                "name": "d",
                "format": {"type": "grammar", "syntax": "regex", "definition": "x+"},
            },
            {"type": "function", "name": "e", "parameters": SCHEMA, "strict": True},
        ]
    )
    bodies = [call.body for call in table.calls]
    assert bodies == [FreeText(), FreeText(), Lark('start: "x"'), Regex("x+"), Json(SCHEMA)]
    assert table.calls[2].param == "tools[2].format.definition"
    assert table.calls[4].param == "tools[4].parameters"
