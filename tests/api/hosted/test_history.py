"""Calls that this server ran go back into the prompt: to the token where they are known."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from mlxoss.api.history.replay import ExactTurns, KeptTurn
from mlxoss.api.hosted.calls import ToolResult
from mlxoss.api.responses.hosted.trail import (
    approved_calls,
    fill_in,
    follow_browser,
    latest_container,
    sealed_rounds,
)
from mlxoss.api.responses.items import Item, ReasoningItem
from mlxoss.api.responses.items_to_prompt import issued_call_ids
from mlxoss.api.responses.parse_items import check_items, parse_items, read_items
from mlxoss.api.responses.prompt import PromptItems, to_conversation
from mlxoss.api.responses.request import parse_responses_request
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import (
    BuiltinCall,
    BuiltinResult,
    Conversation,
    ExactTurn,
    FinalText,
    FunctionCall,
    FunctionResult,
    Reasoning,
    UserText,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.prompt import render_prompt, render_results
from mlxoss.harmony.read_turn import read_turn
from tests.support.api.hosted_runs import (
    FILES,
    FINAL,
    NEXT,
    OUTCOMES,
    THINK,
    HostedRun,
    Played,
    browser,
    function,
    play_rounds,
    python,
)
from tests.support.api.responses_runs import SEAL, make_ids
from tests.support.api.strict import check_event

DATE = datetime.date(2026, 2, 3)
USER: dict[str, Any] = {"type": "message", "id": "u1", "role": "user", "content": "Hi"}
ENCRYPTED = {"include": ["reasoning.encrypted_content"], "store": False}
OPEN_LOOP = [
    THINK + browser("search", '{"topn":  3, "query": "gulls"}'),
    browser("open", '{ "id": 0, "cursor": 0 }'),
    THINK + python("x = 41\nx + 1"),
    function("files__read", '{ "path": "a" }', NEXT) + function("files__write", "{}"),
    THINK + function("files__read", '{"path": "b"}', NEXT) + function("look_up", '{"a":  1}'),
]
ANSWERED = {"type": "function_call_output", "call_id": "call_", "output": "found"}


def parsed(values: Sequence[Any]) -> tuple[Item, ...]:
    return parse_items(values, make_id=make_ids(), find=lambda _: None)


def converse(
    encoding: Encoding,
    run: HostedRun,
    values: Sequence[Any],
    known: Sequence[KeptTurn] = (),
    results: Mapping[str, ToolResult] | None = None,
) -> Conversation:
    request = parse_responses_request({**run.body(), "input": list(values)})
    turns = ExactTurns(known, partial(read_turn, encoding), results or {})
    items = parsed(request.input or ())
    return to_conversation(request, run.table(), PromptItems((), items, turns, SEAL, DATE))


def written_on(encoding: Encoding, prompt: Sequence[int], played: Played) -> list[int]:
    """The ids behind ``prompt`` that the model went on from, and the last turn."""
    ids = list(prompt)
    for ended in played.rounds:
        ids += ended.token_ids
        if ended.results:
            ids += render_results(encoding, list(ended.results.values()))
    return ids


def answer_of(played: Played) -> dict[str, Any]:
    (call,) = (item for item in played.output if item["type"] == "function_call")
    return {**ANSWERED, "call_id": call["call_id"]}


@pytest.fixture(scope="module")
def opened(encoding: Encoding) -> Played:
    return play_rounds(encoding, HostedRun(OPEN_LOOP))


def test_an_open_loop_goes_back_to_the_token(encoding: Encoding, opened: Played) -> None:
    run = HostedRun(OPEN_LOOP)
    prompt = render_prompt(encoding, converse(encoding, run, [USER]))
    history = [USER, *opened.output, answer_of(opened)]
    conversation = converse(encoding, run, history, opened.rounds, opened.results)
    kinds = [type(item) for item in conversation.items]
    call, result = ExactTurn, BuiltinResult
    both = [ExactTurn, FunctionResult, FunctionResult]
    assert kinds == [UserText, call, result, call, result, call, result, *both, *both]
    ids = written_on(encoding, prompt, opened)
    assert render_prompt(encoding, conversation)[: len(ids) - 2] == ids[:-2]


def test_it_does_without_reasoning_and_by_the_calls_alone(
    encoding: Encoding, opened: Played
) -> None:
    run = HostedRun(OPEN_LOOP)
    bare = [item for item in opened.output if item["type"] != "reasoning"]
    history = [USER, *bare, answer_of(opened)]
    whole = converse(
        encoding, run, [USER, *opened.output, answer_of(opened)], opened.rounds, opened.results
    )
    assert converse(encoding, run, history, opened.rounds, opened.results) == whole
    by_call = [e for e in issued_call_ids(parsed(history)) if not e.startswith("call_")]
    assert by_call == [
        item["id"] for item in opened.output if item["id"][:3] in ("ws_", "ci_", "mcp")
    ]


def test_calls_that_are_not_sent_back_are_among_what_is_sealed(encoding: Encoding) -> None:
    played = play_rounds(encoding, HostedRun(OPEN_LOOP, ENCRYPTED))
    given = parsed([USER, *played.output, answer_of(played)])
    left = [item for item in given if item.id[:3] not in ("ci_", "ws_", "mcp")]
    assert [item.id for item in fill_in(left, SEAL)] == [item.id for item in given]
    assert fill_in(given, SEAL) == tuple(given)
    alone = [item for item in left if not isinstance(item, ReasoningItem)]
    assert fill_in(alone, SEAL) == tuple(alone)
    assert latest_container(fill_in(left, SEAL)) == "cntr_1"
    assert follow_browser(fill_in(left, SEAL)) == follow_browser(given)


def test_sealed_rounds_do_without_a_store(encoding: Encoding) -> None:
    run = HostedRun(OPEN_LOOP, ENCRYPTED)
    played = play_rounds(encoding, run)
    history = [USER, *played.output, answer_of(played)]
    rounds = sealed_rounds(parsed(history), SEAL)
    assert list(rounds) == played.rounds
    results = {name: one for ended in rounds for name, one in ended.results.items()}
    prompt = render_prompt(encoding, converse(encoding, run, [USER]))
    ids = written_on(encoding, prompt, played)
    again = render_prompt(encoding, converse(encoding, run, history, rounds, results))
    assert again[: len(ids) - 2] == ids[:-2]


def test_what_is_not_known_is_told_as_others_work(encoding: Encoding, opened: Played) -> None:
    run = HostedRun(OPEN_LOOP)
    items = converse(encoding, run, [USER, *opened.output[:5]]).items
    told = [item.output for item in items if isinstance(item, FunctionResult)]
    assert told == [
        "Searched the web for: gulls.",
        "Opened the web page https://www.example.org/a(b)?q=ü.",
        "Ran this code:\nx = 41\nx + 1",
    ]
    assert not [item for item in items if isinstance(item, BuiltinCall | BuiltinResult)]


def test_a_history_that_was_edited_is_what_is_said(encoding: Encoding, opened: Played) -> None:
    run = HostedRun(OPEN_LOOP)
    edits: list[tuple[str, str, Any]] = [
        ("code_interpreter_call", "code", "x = 1"),
        ("web_search_call", "action", {"type": "search", "query": "owls"}),
        ("mcp_call", "arguments", '{"path": "c"}'),
    ]
    for kind, name, value in edits:
        place = next(i for i, item in enumerate(opened.output) if item["type"] == kind)
        history = [USER, *opened.output, answer_of(opened)]
        history[place + 1] = {**history[place + 1], name: value}
        items = converse(encoding, run, history, opened.rounds, opened.results).items
        turns = [item for item in items if isinstance(item, ExactTurn)]
        assert len(turns) == len(OPEN_LOOP) - 1, kind
        calls = [item for item in items if isinstance(item, BuiltinCall | FunctionCall)]
        assert calls, kind


def test_an_answer_ends_the_loop(encoding: Encoding) -> None:
    run = HostedRun([*OPEN_LOOP[2:4], f"{FINAL}42.<|return|>"])
    played = play_rounds(encoding, run)
    history = [USER, *played.output, {**USER, "id": "u2"}]
    conversation = converse(encoding, run, history, played.rounds, played.results)
    kinds = [type(item) for item in conversation.items]
    assert kinds == [
        UserText,
        Reasoning,
        BuiltinCall,
        BuiltinResult,
        *[FunctionCall, FunctionResult] * 2,
        FinalText,
        UserText,
    ]
    text = encoding.decode(render_prompt(encoding, conversation))
    assert "x + 1" not in text
    assert "files__read" in text


def asked(encoding: Encoding, run: HostedRun) -> tuple[Played, str]:
    played = play_rounds(encoding, run)
    for event in played.events:
        check_event(event)
    return played, played.output[-1]["id"]


ASKING = HostedRun(
    [THINK + function("files__write", '{"a":  1}')],
    {"tools": [FILES | {"require_approval": "always"}]},
)


def word(request_id: object, **fields: Any) -> dict[str, Any]:
    return {"type": "mcp_approval_response", "approval_request_id": request_id, **fields}


def test_a_call_that_is_denied_is_answered_so(encoding: Encoding) -> None:
    played, request_id = asked(encoding, ASKING)
    denied = word(request_id, approve=False, reason="Not now.")
    history = [USER, *played.output, denied]
    assert approved_calls((), parsed(history), ASKING.table()) == ()
    items = converse(encoding, ASKING, history, played.rounds).items
    assert [type(item) for item in items] == [UserText, ExactTurn, FunctionResult]
    said = FunctionResult("files__write", "The user did not allow this call.\nNot now.")
    assert items[-1] == said


@pytest.mark.parametrize("is_by_id", [True, False])
def test_a_call_that_is_allowed_is_run_first(encoding: Encoding, is_by_id: bool) -> None:
    played, request_id = asked(encoding, ASKING)
    earlier = parsed([USER, *played.output])
    own = parsed([word(request_id, approve=True)])
    history, items = (earlier, own) if is_by_id else ((), (*earlier, *own))
    check_items(history, items)
    (approved,) = approved_calls(history, items, ASKING.table())
    assert (approved.tool, approved.arguments) == ("write", '{"a":  1}')
    stream = play_rounds(encoding, HostedRun([], ASKING.request)).stream
    call, events = stream.begin_approved(approved)
    assert (call.kind, call.server_label, call.text) == ("mcp", "files", '{"a":  1}')
    events += [*stream.begin_call(call), *stream.end_call(call, OUTCOMES["write"])]
    for event in events:
        check_event(event)
    (run,) = stream.output
    assert run["approval_request_id"] == request_id  # type: ignore[typeddict-item]
    again = [*earlier, *own, *read_items([run])]
    assert approved_calls((), again, ASKING.table()) == ()
    turns = ExactTurns(played.rounds, partial(read_turn, encoding))
    request = parse_responses_request(ASKING.body())
    contents = PromptItems((), again, turns, SEAL, DATE)
    conversation = to_conversation(request, ASKING.table(), contents)
    kinds = [type(item) for item in conversation.items]
    assert kinds == [UserText, ExactTurn, FunctionResult]
    assert conversation.items[-1] == FunctionResult("files__write", "No space.")


def test_a_word_on_nothing_is_refused(encoding: Encoding) -> None:
    played, request_id = asked(encoding, ASKING)
    earlier = parsed([USER, *played.output])
    for own, table in [
        (parsed([USER, word("mcpr_x", approve=True)]), ASKING.table()),
        (parsed([USER, word(request_id, approve=True)]), HostedRun([], {"tools": []}).table()),
    ]:
        with pytest.raises(InvalidRequest) as caught:
            approved_calls(earlier, own, table)
        assert caught.value.param == "input[1].approval_request_id"


def test_a_call_that_nobody_spoke_of_was_not_made(encoding: Encoding) -> None:
    played, request_id = asked(encoding, ASKING)
    unmade = FunctionResult("files__write", "This call was not made.")
    later = {**USER, "id": "u2"}
    for words in ([later], [word(request_id, approve=None), later]):
        items = converse(encoding, ASKING, [USER, *played.output, *words], played.rounds).items
        assert isinstance(items[1], ExactTurn)
        assert items[2:] == (unmade, UserText("Hi"))


def test_a_call_that_was_allowed_keeps_its_answer_once_its_server_is_gone(
    encoding: Encoding,
) -> None:
    played, request_id = asked(encoding, ASKING)
    run = {
        "type": "mcp_call",
        "id": "mcp_1",
        "server_label": "files",
        "name": "write",
        "arguments": '{"a":  1}',
        "approval_request_id": request_id,
        "output": "Written.",
    }
    history = [USER, *played.output, word(request_id, approve=True), run]
    gone, written = HostedRun([], {"tools": []}), FunctionResult("files__write", "Written.")
    items = converse(encoding, gone, history, results={"mcp_1": written}).items
    assert items[2:] == (FunctionCall("files__write", '{"a":  1}'), written)


def test_two_words_run_a_call_once(encoding: Encoding) -> None:
    played, request_id = asked(encoding, ASKING)
    own = parsed([word(request_id, approve=True), word(request_id, approve=True)])
    earlier = parsed([USER, *played.output])
    assert len(approved_calls(earlier, own, ASKING.table())) == 1


def test_calls_of_a_server_that_is_gone_are_told(encoding: Encoding, opened: Played) -> None:
    run = HostedRun([], {"tools": []})
    (call,) = (item for item in opened.output if item.get("arguments") == '{ "path": "a" }')
    (told,) = converse(encoding, run, [call]).items
    assert isinstance(told, FunctionResult)
    assert "Called the tool read of the MCP server files" in told.output


def test_what_a_server_answered_is_read_from_its_item(encoding: Encoding) -> None:
    call = {"type": "mcp_call", "server_label": "files", "name": "read", "arguments": "{}"}
    error = {"type": "mcp_protocol_error", "code": -32603, "message": "Broken."}
    content = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": "No."}]}
    answers: list[tuple[dict[str, Any], str]] = [
        ({"output": "text"}, "text"),
        ({"output": None, "error": error}, "Broken."),
        ({"error": content}, "No."),
        ({"error": "Old."}, "Old."),
        ({"status": "incomplete"}, "The call did not end."),
        ({}, ""),
    ]
    for fields, text in answers:
        items = converse(encoding, HostedRun([]), [{**call, **fields}]).items
        assert items == (FunctionCall("files__read", "{}"), FunctionResult("files__read", text))


def test_where_tools_are_is_told_by_the_items(opened: Played) -> None:
    items = parsed(opened.output)
    assert latest_container(items) == "cntr_1"
    assert latest_container(()) is None
    trail = follow_browser(items)
    assert (trail.session, trail.next_cursor) == ("s1", 2)
    foreign = parsed([{"type": "web_search_call", "id": "ws_68a1b2"}])
    assert follow_browser(foreign).session is None
    failed = {"type": "web_search_call", "id": "ws_s1_x9", "status": "failed"}
    assert follow_browser((*items, *parsed([failed]))).next_cursor == 2


def test_nonsense_is_never_refused(encoding: Encoding) -> None:
    names = [
        "action",
        "code",
        "outputs",
        "arguments",
        "server_label",
        "name",
        "error",
        "output",
        "status",
    ]
    for value in (None, 5, "x", [5, None], {}, {"type": [1]}):
        fields = dict.fromkeys((*names, "approval_request_id"), value)
        for kind in ("web_search_call", "code_interpreter_call", "mcp_call", "mcp_list_tools"):
            converse(encoding, HostedRun([]), [{"type": kind, "id": "x", **fields}, USER])
        for kind in ("mcp_approval_request", "mcp_approval_response"):
            more = {**fields, "approve": value}
            converse(encoding, HostedRun([]), [{"type": kind, "id": "x", **more}, USER])
        with suppress(InvalidRequest):
            words = [word("x"), {"type": "mcp_call", **fields}, word(value, approve=[1])]
            approved_calls((), parsed(words), ASKING.table())


def test_citations_of_an_answer_are_kept_as_they_came() -> None:
    citation = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 1,
        "url": "https://a.example/",
        "title": "A",
    }
    others = [{"type": "file_citation", "file_id": "f"}, 5, {**citation, "url": None}]
    part = {"type": "output_text", "text": "A", "annotations": [citation, *others]}
    (item,) = parsed([{"type": "message", "role": "assistant", "content": [part]}])
    listed: Any = item.to_json()
    assert listed["content"][0]["annotations"] == [citation]
