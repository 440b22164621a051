"""Tools that a Messages client holds back, refers to, adds and removes."""

from __future__ import annotations

import datetime
import os
from functools import partial
from typing import Any

import pytest

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.messages.prompt import Recalled, to_conversation, to_turn_request
from mlxoss.api.messages.request import parse_count_tokens_request, parse_messages_request
from mlxoss.api.turn_request import TurnRequest
from mlxoss.core import KEY_BYTES
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import DeveloperText, FunctionResult, FunctionTool
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt
from mlxoss.harmony.read_turn import read_turn

KNOWN = partial(Recalled, seal=ContentSeal(bytes(KEY_BYTES), os.urandom))
DATE = datetime.date(2026, 11, 28)


def tool(name: str, **more: Any) -> Any:
    return {"name": name, "description": f"To {name}.", "input_schema": {"type": "object"}} | more


SEARCH = tool("ToolSearch")
FETCH = tool("WebFetch", defer_loading=True)
PLAN = tool("Plan", defer_loading=True)
ASK: Any = {"role": "user", "content": "Go"}
USE: Any = {"type": "tool_use", "id": "t1", "name": "ToolSearch", "input": {}}
CALLED: Any = {"role": "assistant", "content": [USE]}
WEB_FETCH = FunctionTool("WebFetch", "To WebFetch.", {"type": "object"})
SEARCHED_ELSEWHERE: Any = {
    "type": "tool_search_tool_result",
    "tool_use_id": "s1",
    "content": {
        "type": "tool_search_tool_search_result",
        "tool_references": [{"type": "tool_reference", "tool_name": "WebFetch"}],
    },
}


def reference(name: str) -> Any:
    return {"type": "tool_reference", "tool_name": name}


def found(*names: str) -> Any:
    content = [reference(name) for name in names]
    result = {"type": "tool_result", "tool_use_id": "t1", "content": content}
    return {"role": "user", "content": [result]}


def change(kind: str, name: str) -> Any:
    return {"type": f"tool_{kind}", "tool": {"type": "tool_reference", "name": name}}


def define(definition: Any) -> Any:
    tool = {"type": "tool_definition", "definition": definition}
    return {"type": "tool_addition", "tool": tool}


def system(*blocks: Any, **more: Any) -> Any:
    return {"role": "system", "content": list(blocks)} | more


def turn(encoding: Encoding, *messages: Any, **fields: Any) -> TurnRequest:
    tools = {"tools": [SEARCH, FETCH, PLAN]}
    body = {"model": "m", "max_tokens": 9, "messages": [ASK, *messages]} | tools | fields
    known = KNOWN(turns=ExactTurns([], partial(read_turn, encoding)), date=DATE)
    request = to_turn_request(parse_messages_request(body), known)
    del body["max_tokens"]
    counted = to_conversation(parse_count_tokens_request(body), known)
    assert render_prompt(encoding, counted) == render_prompt(encoding, request.conversation)
    return request


def told(request: TurnRequest) -> list[DeveloperText]:
    return [item for item in request.conversation.items if isinstance(item, DeveloperText)]


def callable_now(request: TurnRequest) -> list[str]:
    return [call.name for call in request.rules.calls]


def test_a_deferred_tool_is_neither_shown_nor_called(encoding: Encoding) -> None:
    request = turn(encoding)
    assert request == turn(encoding, tools=[SEARCH])
    assert callable_now(request) == ["ToolSearch"]


def test_a_reference_shows_a_tool_where_it_is(encoding: Encoding) -> None:
    request = turn(encoding, CALLED, found("WebFetch"))
    *_, result, brought = request.conversation.items
    assert result == FunctionResult("ToolSearch", "Found the function WebFetch")
    assert brought == DeveloperText("", (WEB_FETCH,))
    assert callable_now(request) == ["ToolSearch", "WebFetch"]
    assert request.conversation.functions == ("ToolSearch", "WebFetch")


def test_a_tool_is_told_once(encoding: Encoding) -> None:
    again = (CALLED, found("WebFetch", "ToolSearch"), CALLED, found("WebFetch"))
    assert told(turn(encoding, *again)) == [DeveloperText("", (WEB_FETCH,))]


def test_references_come_behind_all_results_and_before_words(encoding: Encoding) -> None:
    both = {"role": "assistant", "content": [USE, USE | {"id": "t2"}]}
    results: Any = found("WebFetch")
    results["content"] += [
        {"type": "text", "text": "Tool loaded."},
        {"type": "tool_result", "tool_use_id": "t2", "content": "none"},
    ]
    kinds = [type(item).__name__ for item in turn(encoding, both, results).conversation.items[-4:]]
    assert kinds == ["FunctionResult", "FunctionResult", "DeveloperText", "UserText"]


@pytest.mark.parametrize(
    "later",
    [
        (CALLED, found("WebFetch")),
        (system(change("addition", "WebFetch")),),
        (system(change("removal", "ToolSearch")),),
        (system(define(tool("Later"))),),
        (CALLED, found("WebFetch"), CALLED, found("Plan")),
    ],
)
def test_what_was_computed_before_stays(encoding: Encoding, later: Any) -> None:
    """Up to the header of the answer that another message comes in the place of."""
    for length in range(len(later)):
        if length and later[length - 1]["role"] == "assistant":
            continue
        before = render_prompt(encoding, turn(encoding, *later[:length]).conversation)
        longer = render_prompt(encoding, turn(encoding, *later).conversation)
        assert longer[: len(before) - 1] == before[:-1]


def test_tools_are_written_as_those_in_front_are(encoding: Encoding) -> None:
    brought = system({"type": "text", "text": "Be brief."}, change("addition", "WebFetch"))
    prompt = encoding.decode(render_prompt(encoding, turn(encoding, brought).conversation))
    assert (
        "<|start|>developer<|message|># Instructions\n\nBe brief.\n\n# Tools\n\n## functions\n\n"
        "namespace functions {\n\n// To WebFetch.\ntype WebFetch = () => any;\n\n"
        "} // namespace functions<|end|>" in prompt
    )


def test_tools_come_and_go(encoding: Encoding) -> None:
    gone = turn(encoding, system(change("addition", "WebFetch"), change("removal", "ToolSearch")))
    (said,) = told(gone)
    assert said.text == "From here on these functions cannot be called: ToolSearch."
    assert callable_now(gone) == ["WebFetch"]
    assert "type ToolSearch" in encoding.decode(render_prompt(encoding, gone.conversation))
    back = turn(
        encoding,
        system(change("removal", "ToolSearch")),
        ASK,
        system(change("addition", "ToolSearch")),
    )
    assert told(back)[-1].tools == (
        FunctionTool("ToolSearch", "To ToolSearch.", WEB_FETCH.parameters),
    )
    assert callable_now(back) == ["ToolSearch"]
    both = system(change("removal", "ToolSearch"), change("addition", "ToolSearch"))
    assert turn(encoding, both) == turn(encoding)


def test_the_old_name_of_a_reference_s_field(encoding: Encoding) -> None:
    """``tool_name``, as in a result, where the reference has ``name`` now."""
    old = {"type": "tool_addition", "tool": reference("WebFetch")}
    assert turn(encoding, system(old)) == turn(encoding, system(change("addition", "WebFetch")))


def test_a_tool_by_definition(encoding: Encoding) -> None:
    request = turn(encoding, system(define(tool("Later", strict=True))))
    assert told(request)[0].tools[0].name == "Later"
    assert request.rules.calls[-1].name == "Later"
    # The list of tools has the last word on its names.
    other = define(tool("WebFetch") | {"description": "Another."})
    assert told(turn(encoding, system(other))) == [DeveloperText("", (WEB_FETCH,))]
    removed = turn(encoding, system(define(tool("Later"))), ASK, system(change("removal", "Later")))
    assert callable_now(removed) == ["ToolSearch"]


def test_tool_choice(encoding: Encoding) -> None:
    named: Any = {"type": "tool", "name": "WebFetch"}
    request = turn(encoding, tool_choice=named)
    assert request.conversation.items[-1] == DeveloperText("", (WEB_FETCH,))
    assert callable_now(request) == ["WebFetch"]
    assert request.rules.must_call
    referred = turn(encoding, CALLED, found("WebFetch"), tool_choice=named)
    assert len(told(referred)) == 1
    none = turn(encoding, CALLED, found("WebFetch"), tool_choice={"type": "none"})
    assert (none.conversation.functions, callable_now(none)) == ((), [])
    wanted = turn(encoding, tool_choice={"type": "any"})
    assert callable_now(wanted) == ["ToolSearch"]


@pytest.mark.parametrize("name", ["WebFetch", "ToolSearch"])
def test_a_removed_tool_cannot_be_chosen(encoding: Encoding, name: str) -> None:
    removal = system(change("removal", name))
    with pytest.raises(InvalidRequest, match="a message removed the tool") as caught:
        turn(encoding, removal, tool_choice={"type": "tool", "name": name})
    assert caught.value.param == "tool_choice.name"


def test_a_call_of_nothing_but_deferred_tools_cannot_be_wanted(encoding: Encoding) -> None:
    with pytest.raises(InvalidRequest, match="no function to call"):
        turn(encoding, tools=[FETCH], tool_choice={"type": "any"})


def test_what_nobody_knows_changes_nothing(encoding: Encoding) -> None:
    for blocks in (
        [change("addition", "Gone")],
        [change("removal", "Gone")],
        [{"type": "tool_addition", "tool": {"type": "mcp_toolset_reference", "server_name": "a"}}],
        [define({"type": "web_search_20250305", "name": "web_search"})],
        [define(tool("Query", allowed_callers=["code_execution_20250825"]))],
    ):
        assert turn(encoding, system(*blocks)) == turn(encoding)
    request = turn(encoding, CALLED, found("Gone"))
    said = FunctionResult("ToolSearch", "There is no longer a function Gone")
    assert request.conversation.items[-1] == said


def test_what_another_server_s_search_found(encoding: Encoding) -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "tool_search_tool_bm25", "input": {}}
    answer = {
        "role": "assistant",
        "content": [use, SEARCHED_ELSEWHERE, {"type": "text", "text": "Here."}],
    }
    request = turn(encoding, answer, ASK)
    assert told(request) == [DeveloperText("", (WEB_FETCH,))]
    assert callable_now(request) == ["ToolSearch", "WebFetch"]
    assert FunctionResult("tool_search", "WebFetch") in request.conversation.items


def test_a_search_of_this_server_is_refused(encoding: Encoding) -> None:
    search = {"type": "tool_search_tool_bm25_20251119", "name": "tool_search_tool_bm25"}
    with pytest.raises(InvalidRequest, match="without defer_loading") as caught:
        turn(encoding, tools=[FETCH, search])
    assert caught.value.param == "tools[1].type"


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "tool_addition"}, "tool"),
        ({"type": "tool_addition", "tool": 5}, "tool"),
        ({"type": "tool_removal", "tool": {"type": "tool_reference"}}, "tool.name"),
        ({"type": "tool_removal", "tool": {"type": "tool_definition"}}, "tool.type"),
        ({"type": "tool_addition", "tool": {"type": "hologram"}}, "tool.type"),
        ({"type": "tool_addition", "tool": {"type": "tool_definition"}}, "tool.definition"),
        (define({"name": "a b"}), "tool.definition.name"),
        (define({"name": "a"}), "tool.definition.input_schema"),
    ],
)
def test_a_change_without_a_tool_is_refused(encoding: Encoding, block: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        turn(encoding, system(block))
    assert caught.value.param == f"messages[1].content[0].{field}"


def test_a_reference_without_a_name_is_refused(encoding: Encoding) -> None:
    nameless: Any = found("WebFetch")
    del nameless["content"][0]["content"][0]["tool_name"]
    with pytest.raises(InvalidRequest) as caught:
        turn(encoding, CALLED, nameless)
    assert caught.value.param == "messages[2].content[0].content[0].tool_name"


def test_a_text_that_is_cleared_at_the_next_message(encoding: Encoding) -> None:
    text = {"type": "text", "text": "Be brief."}
    note = system(text, change("addition", "WebFetch"), clear_at="next_user_message")
    assert told(turn(encoding, note)) == [DeveloperText("Be brief.", (WEB_FETCH,))]
    assert told(turn(encoding, note, ASK)) == [DeveloperText("", (WEB_FETCH,))]
    kept = system(text, clear_at="never")
    assert told(turn(encoding, kept, ASK)) == [DeveloperText("Be brief.")]
