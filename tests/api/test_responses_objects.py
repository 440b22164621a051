"""Objects as OpenAI's types have them, and the queries of lists."""

from __future__ import annotations

from typing import Any

import pytest
from openai.types.conversations import (
    Conversation,
    ConversationDeletedResource,
    ConversationItemList,
)
from openai.types.responses import (
    CompactedResponse,
    InputTokenCountResponse,
    ResponseInputMessageItem,
    ResponseItemList,
    ResponseStreamEvent,
)

from mlxoss.api.errors import HttpError
from mlxoss.api.responses.answers import ResponseStatus
from mlxoss.api.responses.conversations import to_conversation_object, to_deleted_conversation
from mlxoss.api.responses.item_list import PageQuery, parse_page_query
from mlxoss.api.responses.object import (
    ResponseHeader,
    ResponseShape,
    to_compacted_items,
    to_compaction,
    to_deleted_response,
    to_failed,
    to_failed_event,
    to_input_tokens,
    to_item_list,
)
from mlxoss.api.responses.parse_items import parse_items
from mlxoss.api.responses.request import parse_responses_request
from mlxoss.api.responses.tools import read_tools
from mlxoss.errors import InvalidRequest
from tests.api.test_responses_items import EVERY_KIND
from tests.support.api.responses_runs import FAILURE, SEAL, TOOLS, USAGE, make_ids
from tests.support.api.strict import check, check_response

HEADER = ResponseHeader("resp_1", 1_790_000_000, "gpt-oss-20b")


def make_shape(**fields: Any) -> ResponseShape:
    request = parse_responses_request({"model": "m", "input": "Hi", **fields})
    return ResponseShape(HEADER, request, read_tools(request.tools))


@pytest.mark.parametrize("status", ResponseStatus)
def test_every_status_is_a_whole_response(status: ResponseStatus) -> None:
    value = make_shape().to_json(status, usage=USAGE, completed_at=7)
    response = check_response(value)
    assert response.status == status.value
    assert response.completed_at == (7 if status is ResponseStatus.COMPLETED else None)
    assert (response.incomplete_details is not None) == (status is ResponseStatus.INCOMPLETE)
    assert response.usage is not None
    assert response.usage.total_tokens == 17
    assert response.usage.input_tokens_details.cached_tokens == 2
    assert response.usage.output_tokens_details.reasoning_tokens == 3


def test_a_response_says_what_is_in_force() -> None:
    text = {
        "format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}},
        "verbosity": "low",
    }
    value = make_shape(
        instructions="Be brief.",
        tools=[*TOOLS, {"type": "web_search"}],
        tool_choice="none",
        parallel_tool_calls=False,
        temperature=0.5,
        top_p=0.9,
        reasoning={"effort": "xhigh", "generate_summary": "detailed"},
        text=text,
        truncation="auto",
        max_output_tokens=20,
        max_tool_calls=2,
        metadata={"a": "b"},
        store=False,
        background=True,
        conversation={"id": "conv_1"},
        user="ada",
        safety_identifier="s",
        prompt_cache_key="k",
        service_tier="flex",
    ).to_json(ResponseStatus.QUEUED)
    check_response(value)
    assert value["reasoning"] == {"effort": "high", "summary": "detailed"}
    assert value["text"]["format"] == {
        **text["format"],  # type: ignore[dict-item]
        "description": None,
        "strict": False,
    }
    assert [tool["type"] for tool in value["tools"]] == ["function", "namespace"]
    expected = {
        "instructions": "Be brief.",
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "temperature": 0.5,
        "top_p": 0.9,
        "truncation": "auto",
        "max_output_tokens": 20,
        "max_tool_calls": 2,
        "metadata": {"a": "b"},
        "store": False,
        "background": True,
        "conversation": {"id": "conv_1"},
        "user": "ada",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "service_tier": "default",
    }
    assert {name: dict(value)[name] for name in expected} == expected


def test_an_interrupted_response_becomes_a_failed_one() -> None:
    kept = make_shape(background=True).to_json(ResponseStatus.IN_PROGRESS)
    failed = to_failed(kept, HttpError(500, "The daemon ended.", type="server_error"))
    response = check_response(failed)
    assert response.status == "failed"
    assert response.error is not None
    assert (response.error.code, response.error.message) == ("server_error", "The daemon ended.")
    check(ResponseStreamEvent, to_failed_event(failed, 7))


def test_known_error_codes_are_kept() -> None:
    limited = HttpError(429, "Later.", type="rate_limit_error", code="rate_limit_exceeded")
    for error, code in ((limited, "rate_limit_exceeded"), (FAILURE, "server_error")):
        value = make_shape().to_json(ResponseStatus.FAILED, error=error)
        assert check_response(value).error.code == code  # type: ignore[union-attr]


def test_counts_and_deletions() -> None:
    assert check(InputTokenCountResponse, to_input_tokens(7)).input_tokens == 7
    assert to_deleted_response("resp_1") == {
        "id": "resp_1",
        "object": "response",
        "deleted": True,
    }
    check(ConversationDeletedResource, to_deleted_conversation("conv_1"))
    check(Conversation, to_conversation_object("conv_1", 1, {"a": "b"}))


@pytest.mark.parametrize("kind", [ResponseItemList, ConversationItemList])
def test_lists_of_items(kind: Any) -> None:
    items = parse_items(EVERY_KIND, make_id=make_ids(), find=lambda _: None)
    listed = [item.to_json() for item in items]
    page = check(kind, to_item_list(listed, has_more=True))
    assert (page.first_id, page.last_id) == (items[0].id, items[-1].id)
    empty = check(kind, to_item_list([], has_more=False))
    assert (empty.data, empty.first_id, empty.has_more) == ([], "", False)


def test_a_compaction_keeps_the_user_s_words_and_a_sealed_summary() -> None:
    items = parse_items(EVERY_KIND, make_id=make_ids(), find=lambda _: None)
    output = to_compacted_items(items, "All is well.", seal=SEAL, make_id=make_ids())
    *messages, compaction = to_compaction(HEADER, output, USAGE)["output"]
    assert [check(ResponseInputMessageItem, one).role for one in messages] == [
        "user",
        "system",
        "developer",
    ]
    # openai-python's type has no place for the messages that OpenAI's answers hold.
    check(CompactedResponse, to_compaction(HEADER, [compaction], USAGE))
    sealed = dict(compaction)["encrypted_content"]
    assert SEAL.open_compaction(str(sealed), param="input[0]") == "All is well."


def test_a_compaction_keeps_the_tools_that_were_added() -> None:
    """No summary makes up for them: they could be called no longer."""
    tools = [{"type": "function", "name": "f", "description": None, "parameters": None}]
    added = {"type": "additional_tools", "role": "developer", "tools": tools}
    values = [added, {"role": "user", "content": "Hi"}]
    items = parse_items(values, make_id=make_ids(), find=lambda _: None)
    kept = to_compacted_items(items, "All is well.", seal=SEAL, make_id=make_ids())
    again = parse_items(kept, make_id=make_ids(), find=lambda _: None)
    assert [rule.name for rule in read_tools(None, again).calls] == ["f"]


QUERIES: dict[str, tuple[dict[str, str], PageQuery]] = {
    "nothing": ({}, PageQuery(None, 20, False)),
    "everything": ({"after": "a", "limit": "100", "order": "asc"}, PageQuery("a", 100, True)),
    "include": ({"include": "x", "order": "desc"}, PageQuery(None, 20, False)),
}


@pytest.mark.parametrize("case", QUERIES)
def test_queries_are_read(case: str) -> None:
    query, expected = QUERIES[case]
    assert parse_page_query(query) == expected


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"order": "up"}, "order"),
    ],
)
def test_bad_queries_are_named(query: dict[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_page_query(query)
    assert caught.value.param == param
