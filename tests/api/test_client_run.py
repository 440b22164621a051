"""What the model may write to tools that the client runs, and what becomes of what it wrote."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlxoss.api.responses.client_run.calls import (
    kind_of_call,
    to_arguments,
    to_found,
    to_local_shell_action,
    to_operation,
    to_shell_action,
)
from mlxoss.api.responses.client_run.declared import names_of_client_tools
from mlxoss.api.responses.parse_items import parse_items
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.responses.tools import read_tools
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.rules import TurnRules
from tests.support.harmony.walks import accepts

TOOLS: list[Any] = [
    {"type": "shell"},
    {"type": "local_shell"},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
]
TAKEN: dict[str, list[Any]] = {
    "shell": [{"commands": ["ls", ""]}, {"commands": ["ls"], "timeout_ms": 5}],
    "local_shell": [{"command": ["ls"]}, {"command": ["a"], "workdir": "/", "env": {"A": "b"}}],
    "apply_patch": [
        {"type": "create_file", "path": "a", "diff": "+b"},
        {"type": "update_file", "path": "a", "diff": "@@\n-b"},
        {"type": "delete_file", "path": "a"},
    ],
    "tool_search": [{}, {"anything": [1]}],
}
REFUSED: dict[str, list[Any]] = {
    "shell": [{}, {"commands": []}, {"commands": "ls"}, {"commands": ["ls"], "timeout_ms": 0}],
    "local_shell": [
        {"command": "ls"},
        {"command": ["ls"], "env": {"A": 1}},
        {"command": []},
        {"command": ["ls"], "env": {}},
    ],
    "apply_patch": [
        {"type": "create_file", "path": "a"},
        {"type": "delete_file", "path": "a", "diff": "+b"},
        {"type": "move_file", "path": "a"},
        {"path": "a", "diff": "+b"},
    ],
    "tool_search": [[], "x"],
}


def written(name: str, arguments: Any) -> str:
    header = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f"{header}{json.dumps(arguments)}<|call|>"


@pytest.mark.parametrize("name", TAKEN)
def test_arguments_are_held_to_their_schema(
    guards: GrammarCompiler, encoding: Encoding, name: str
) -> None:
    rules = TurnRules(calls=read_tools(TOOLS).calls)
    for arguments in TAKEN[name]:
        assert accepts(guards, encoding, rules, written(name, arguments)), arguments
    for arguments in REFUSED[name]:
        assert not accepts(guards, encoding, rules, written(name, arguments)), arguments


NONSENSE: list[Any] = [None, 5, "x", [5, None], {}, {"type": [1], "commands": {}, "command": 3}]


def test_nonsense_is_read_as_nothing() -> None:
    for value in NONSENSE:
        fields = dict.fromkeys(("action", "operation", "arguments", "tools", "call_id"), value)
        for name in TAKEN:
            json.loads(to_arguments(name, fields))  # type: ignore[arg-type]
            kind_of_call(f"{name}_call", fields)
        assert to_found(fields) == "Nothing was found."
        text = json.dumps(value)
        for part in (text, text[:-1], "{" * 9, '{"commands": ["a', "not JSON"):
            assert to_shell_action(part)["commands"] == []
            assert to_local_shell_action(part, is_cut=False)["command"] == []
            assert to_operation(part) is None


def test_a_command_that_is_one_text_is_one_word() -> None:
    arguments = to_arguments("local_shell", {"action": {"command": "ls"}})
    assert json.loads(arguments) == {"command": ["ls"]}


def test_names_are_those_of_openai_unless_taken() -> None:
    names = names_of_client_tools({"shell", "builtin_shell", "tool_search"})
    assert names == {
        "shell": "builtin_builtin_shell",
        "local_shell": "local_shell",
        "apply_patch": "apply_patch",
        "tool_search": "builtin_tool_search",
    }


def test_what_was_found_is_named_as_it_is_called() -> None:
    crm = {"type": "namespace", "name": "crm", "tools": [{"name": "find"}, {"name": "add"}]}
    assert to_found({"tools": [{"name": "now"}, crm]}) == "Found: now, crm__find, crm__add."


def test_what_is_added_is_held_back_too_while_there_is_a_search() -> None:
    late: Any = {"type": "function", "name": "late", "defer_loading": True}
    added = {"type": "additional_tools", "id": "t1", "tools": [late, {"type": "shell"}]}
    found = {"type": "tool_search_output", "id": "t2", "call_id": "s1", "tools": [late]}
    said = {"type": "message", "id": "m1", "role": "user", "content": "Hi"}

    def read(*items: Any, tools: Any = TOOLS[3:]) -> ToolTable:
        return read_tools(tools, parse_items(items, make_id=str, find=lambda _: None))

    table = read(added, said)
    assert [tool.name for tool in table.functions] == ["tool_search", "shell"]
    assert list(table.later) == []
    table = read(added, said, found)
    assert [tool.name for tool in table.later["t2"].tools] == ["late"]
    assert [call.name for call in table.calls] == ["tool_search", "shell", "late"]
    table = read(added, said, tools=None)
    assert [tool.name for tool in table.functions] == ["late", "shell"]


def test_held_tools_that_lead_are_shown_in_front() -> None:
    late: Any = {"type": "function", "name": "late", "defer_loading": True}
    found = {"type": "tool_search_output", "id": "t1", "call_id": "s1", "tools": [late]}
    items = parse_items([found], make_id=str, find=lambda _: None)
    table = read_tools([*TOOLS[3:], late], items)
    assert [tool.name for tool in table.functions] == ["tool_search", "late"]
    assert table.held == frozenset()
    assert read_tools([*TOOLS[3:], late]).held == {"late"}
