"""OpenAI's SDK for Python with tools that the server runs: parsed by its own types, strictly."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from openai.types.conversations import ConversationItem
from openai.types.responses import ResponseItem

from tests.clients.hosted.conftest import Live, Start
from tests.support.api.strict import check, check_event, check_response
from tests.support.hosted.live import ADDER, CITED, CODE, PAGE, PLANS, SEARCH
from tests.support.server.rounds import WEATHER, python
from tests.support.server.scripts import final

pytestmark = pytest.mark.slow

TOOLS = [CODE, SEARCH, ADDER, WEATHER]
INCLUDE: Any = ["code_interpreter_call.outputs", "web_search_call.action.sources"]
SEALED = "reasoning.encrypted_content"
Ask = Callable[..., Any]


def whole(live: Live, **fields: Any) -> Any:
    return live.server.client().responses.create(model="any", **fields)


def streamed(live: Live, **fields: Any) -> Any:
    """By the helper that adds up what comes, and refuses what does not go together."""
    with live.server.client().responses.stream(model="any", **fields) as stream:
        for number, event in enumerate(stream):
            assert event.sequence_number == number
        return stream.get_final_response()


def as_events(live: Live, **fields: Any) -> Any:
    events = list(live.server.client().responses.create(model="any", stream=True, **fields))
    for event in events:
        check_event(event.to_dict())
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == list(events[-1].response.output)
    return events[-1].response


def in_background(live: Live, **fields: Any) -> Any:
    client = live.server.client()
    response: Any = client.responses.create(model="any", background=True, **fields)
    while response.status in ("queued", "in_progress"):
        time.sleep(0.05)
        response = client.responses.retrieve(response.id, include=fields.get("include", []))
    return response


WAYS: list[Ask] = [whole, streamed, as_events, in_background]


def kinds(response: Any) -> list[str]:
    return [item.type for item in response.output if item.type != "reasoning"]


def checked(response: Any) -> Any:
    check_response(_without_parsed(response.to_dict()))
    assert response.status == "completed", response
    return response


def _without_parsed(value: Any) -> Any:
    """What the server sent: without what the SDK's helper puts beside it."""
    if isinstance(value, list):
        return [_without_parsed(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: one for key, one in value.items() if key not in ("parsed", "parsed_arguments")}
    return {key: _without_parsed(one) for key, one in kept.items()}


@pytest.mark.parametrize("ask", WAYS)
def test_each_tool(start: Start, ask: Ask) -> None:
    live = start(PLANS)
    cell, _ = (r := checked(ask(live, input="Set.", tools=TOOLS, include=INCLUDE))).output[-2:]
    assert (cell.type, cell.code, cell.status) == (
        "code_interpreter_call",
        "x = 41\nx",
        "completed",
    )
    assert [output.logs.strip() for output in cell.outputs] == ["41"]
    assert r.output_text == "It is 41."
    found = checked(ask(live, input="Search.", tools=TOOLS, include=INCLUDE))
    actions = [item.action for item in found.output if item.type == "web_search_call"]
    assert [action.type for action in actions] == ["search", "open_page", "find_in_page"]
    assert [source.url for source in actions[0].sources] == [PAGE]
    assert (actions[1].url, actions[2].url, actions[2].pattern) == (PAGE, PAGE, "trunk")
    text = found.output[-1].content[0]
    assert text.text == CITED
    (cited,) = text.annotations
    assert (cited.type, cited.url) == ("url_citation", PAGE)
    assert text.text[cited.start_index : cited.end_index] == f"([words.example]({PAGE}))"
    added = checked(ask(live, input="Add.", tools=TOOLS))
    assert kinds(added) == ["mcp_list_tools", "mcp_call", "message"]
    call = next(item for item in added.output if item.type == "mcp_call")
    assert (call.name, call.output, call.error) == ("add", "3", None)
    assert json.loads(call.arguments) == {"a": 1, "b": 2}


@pytest.mark.parametrize("ask", WAYS)
@pytest.mark.parametrize("how", ["by id", "by items", "sealed"])
def test_the_answer_goes_on_behind_a_function(start: Start, ask: Ask, how: str) -> None:
    if how == "sealed" and ask is in_background:
        pytest.skip("a response in the background is stored")
    live = start(PLANS)
    more: Any = {"include": [SEALED], "store": False} if how == "sealed" else {}
    user = {"role": "user", "content": "All of it."}
    first = checked(ask(live, input=[user], tools=TOOLS, **more))
    assert kinds(first) == [
        "mcp_list_tools", "code_interpreter_call", "web_search_call", "mcp_call", "function_call",
    ]  # fmt: skip
    call_id = next(item.call_id for item in first.output if item.type == "function_call")
    output = {"type": "function_call_output", "call_id": call_id, "output": "sunny"}
    if how == "by id":
        second = ask(live, input=[output], previous_response_id=first.id, tools=TOOLS)
    else:
        second = ask(live, input=[user, *first.output, output], tools=TOOLS, **more)
    assert kinds(checked(second)) == ["code_interpreter_call", "message"]
    assert second.output_text == "It is sunny."
    cells = [one for one in (*first.output, *second.output) if one.type == "code_interpreter_call"]
    assert cells[0].container_id == cells[1].container_id
    assert live.model.are_spliced


@pytest.mark.parametrize("ask", WAYS)
def test_items_of_all_kinds_go_back_in(start: Start, ask: Ask) -> None:
    """As the SDK has them, after a final answer: the cell's state is there, and pages count on."""
    live = start(PLANS)
    given: list[Any] = []
    for word in ("Set.", "Search.", "Add.", "Raise.", "Search."):
        given.append({"role": "user", "content": word})
        response = checked(ask(live, input=given, tools=TOOLS, include=INCLUDE))
        given += response.output
        if word == "Raise.":
            cell = next(one for one in response.output if one.type == "code_interpreter_call")
            assert cell.outputs[0].logs.strip() == "42"
    assert "mcp_list_tools" not in kinds(response)
    assert "[3] trees" in live.model.prompts[-1]
    assert live.model.prompts[-1].count("A tree has a trunk") >= 1


@pytest.mark.parametrize("ask", WAYS)
def test_the_client_s_word_on_a_call(start: Start, ask: Ask) -> None:
    live = start(PLANS)
    tools = [ADDER | {"require_approval": "always"}]
    user = {"role": "user", "content": "Add."}
    first = checked(ask(live, input=[user], tools=tools))
    assert kinds(first) == ["mcp_list_tools", "mcp_approval_request"]
    word = {"type": "mcp_approval_response", "approval_request_id": first.output[-1].id}
    allowed, denied = word | {"approve": True}, word | {"approve": False}
    second = checked(ask(live, input=[allowed], tools=tools, previous_response_id=first.id))
    assert (kinds(second), second.output_text) == (["mcp_call", "message"], "It is 3.")
    assert second.output[0].output == "3"
    third = checked(ask(live, input=[user, *first.output, denied], tools=tools))
    assert kinds(third) == ["message"]
    again = [user, *first.output, allowed, *second.output, {"role": "user", "content": "Hello!"}]
    assert checked(ask(live, input=again, tools=tools)).output_text == "Hello."


def test_items_are_listed(start: Start) -> None:
    """Those of a response's input, and those of a conversation."""
    live = start(PLANS)
    client = live.server.client()
    words = ("Set.", "Search.", "Add.")
    given: list[Any] = []
    for word in words:
        given.append({"role": "user", "content": word})
        response = whole(live, input=given, tools=TOOLS, include=INCLUDE)
        given += [item.to_dict() for item in response.output]
    listed = list(client.responses.input_items.list(response.id, order="asc", limit=100))
    before = [item for item in given if item.get("id") not in {one.id for one in response.output}]
    assert [item.type for item in listed] == [item.get("type", "message") for item in before]
    for item in listed:
        check(ResponseItem, item.to_dict())
    conversation = client.conversations.create()
    for word in words:
        last = whole(live, input=word, tools=TOOLS, conversation=conversation.id)
    kept = list(client.conversations.items.list(conversation.id, order="asc", limit=100))
    for one in kept:
        check(ConversationItem, one.to_dict())
    assert [one.type for one in kept][-len(last.output) :] == [one.type for one in last.output]
    again: Any = client.responses.retrieve(last.id)
    assert again.output == last.output


class Sum(pydantic.BaseModel):
    sum: int


def test_parsed_answers(start: Start) -> None:
    live = start({"Sum": [python("40 + 2"), final('{"sum": 42}')]})
    client = live.server.client()
    fields: Any = {"model": "any", "input": "Sum.", "tools": TOOLS, "text_format": Sum}
    assert client.responses.parse(**fields).output_parsed == Sum(sum=42)
    with client.responses.stream(**fields) as stream:
        for _ in stream:
            pass
        assert stream.get_final_response().output_parsed == Sum(sum=42)


def test_chats(start: Start) -> None:
    live = start(PLANS)
    client = live.server.client()
    fields: Any = {"model": "any", "web_search_options": {}}
    asked: Any = [{"role": "user", "content": "Search."}]
    message = client.chat.completions.create(messages=asked, **fields).choices[0].message
    assert message.content == CITED
    assert message.annotations is not None
    assert [one.url_citation.url for one in message.annotations] == [PAGE]
    with client.chat.completions.stream(messages=asked, **fields) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.content == CITED
    python_too: Any = {"extra_body": {"chat_template_kwargs": {"builtin_tools": ["python"]}}}
    asked = [{"role": "user", "content": "Set."}]
    completion = client.chat.completions.create(model="any", messages=asked, **python_too)
    assert completion.choices[0].message.content == "It is 41."


def test_the_id_of_a_container_is_where_its_state_is(start: Start) -> None:
    live = start(PLANS)
    first = whole(live, input="Set.", tools=[CODE])
    container = next(x.container_id for x in first.output if x.type == "code_interpreter_call")
    tool = {"type": "code_interpreter", "container": container}
    second = whole(live, input="Raise.", tools=[tool], include=INCLUDE)
    assert second.output[1].outputs[0].logs.strip() == "42"
