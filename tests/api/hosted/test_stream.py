"""Items and events of calls that this server runs, judged by the official client's types."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import ResponseItem

from mlxoss.api.responses.parse_items import parse_items
from mlxoss.harmony.conversation import BuiltinResult, FunctionResult
from mlxoss.harmony.encoding import Encoding
from mlxoss.outcomes import (
    BrowserOutcome,
    McpFailure,
    McpOutcome,
    McpToolList,
    OpenedPage,
    PythonOutcome,
)
from tests.support.api.hosted_runs import (
    FILES,
    FINAL,
    LISTS,
    NEXT,
    THINK,
    HostedRun,
    browser,
    function,
    make_hosted_stream,
    play_rounds,
    python,
    write,
)
from tests.support.api.responses_runs import FAILURE, SEAL, USAGE, make_ids, one_at_a_time
from tests.support.api.strict import check, check_event, check_response
from tests.support.harmony.turns import encode_turn

INCLUDED = {"include": ["code_interpreter_call.outputs", "web_search_call.action.sources"]}
ENCRYPTED = {"include": ["reasoning.encrypted_content"], "store": False}
ASKS = {"tools": [{**FILES, "require_approval": "always"}]}
ANSWER = f"{FINAL}It is 4.<|return|>"

RUNS = {
    "code": HostedRun([THINK + python("2 + 2"), THINK + ANSWER]),
    "code with outputs": HostedRun([python("2 + 2"), ANSWER], INCLUDED),
    "code that killed its worker": HostedRun(
        [python("while True: pass"), ANSWER],
        INCLUDED,
        {"python": PythonOutcome("Time is up.", "", is_failed=True)},
    ),
    "search, open, find": HostedRun(
        [
            browser("search", '{"query": "gulls"}'),
            browser("open", '{"id": 0}'),
            browser("find", '{"pattern": "gull"}'),
            f"{FINAL}Gulls【1†L1-L3】.<|return|>",
        ],
        INCLUDED,
    ),
    "a page that is not there": HostedRun(
        [browser("open", '{"id": 99}'), ANSWER],
        outcomes={"open": BrowserOutcome("No such link.", OpenedPage(""), is_failed=True)},
    ),
    "MCP": HostedRun([function("files__read", '{"path": "a"}'), ANSWER]),
    "MCP that failed": HostedRun([function("files__write", "{}"), ANSWER]),
    "MCP that is not there": HostedRun(
        [function("files__read", "{}"), ANSWER],
        outcomes={"read": McpOutcome("Gone.", failure=McpFailure("http_error", "Gone."))},
    ),
    "two calls of MCP at once": HostedRun(
        [function("files__read", "{}", NEXT) + function("files__write", "{}"), ANSWER]
    ),
    "MCP and the client's": HostedRun(
        [function("files__read", "{}", NEXT) + function("look_up", "{}")], ENCRYPTED
    ),
    "a word of the client's": HostedRun([THINK + function("files__read", "{}")], ASKS),
    "cut in code": HostedRun([python("2 + ")[: -len("<|call|>")]]),
    "cut in what waits for a word": HostedRun([function("files__read", '{"a', "")], ASKS),
    "sealed": HostedRun([THINK + python("2 + 2"), THINK + python("4"), ANSWER], ENCRYPTED),
}


@pytest.mark.parametrize("name", RUNS)
def test_events_are_the_official_ones(encoding: Encoding, name: str) -> None:
    played = play_rounds(encoding, RUNS[name], one_at_a_time)
    for event in played.events:
        check_event(event)
    assert [event["sequence_number"] for event in played.events] == list(range(len(played.events)))
    check_response(played.stream.response)
    for item in played.output:
        told = [event for event in played.events if event.get("item", {}).get("id") == item["id"]]
        assert told[-1]["type"] == "response.output_item.done"
        assert told[-1]["item"] == item
        assert told[0]["type"] == "response.output_item.added"
        assert {event["output_index"] for event in told} == {played.output.index(item)}


@pytest.mark.parametrize("name", RUNS)
def test_the_ai_sdk_finds_what_it_needs(encoding: Encoding, name: str) -> None:
    """What @ai-sdk/openai's schemas ask for: some keys always, others never with null."""
    for event in play_rounds(encoding, RUNS[name]).events:
        item = event.get("item", {})
        match item.get("type"):
            case "code_interpreter_call":
                assert isinstance(item["container_id"], str)
                assert item["outputs"] is None or isinstance(item["outputs"], list)
            case "mcp_call":
                assert isinstance(item["status"], str)
            case "web_search_call":
                assert isinstance(item["action"]["type"], str)


@pytest.mark.parametrize("name", RUNS)
def test_items_go_back_as_the_official_client_sends_them(encoding: Encoding, name: str) -> None:
    output: Any = play_rounds(encoding, RUNS[name]).output
    response = check_response({**play_rounds(encoding, RUNS[name]).stream.response})
    for item, judged in zip(output, response.output, strict=True):
        for sent in (item, judged.model_dump(mode="json"), judged.model_dump(exclude_unset=True)):
            (read,) = parse_items([sent], make_id=str, find=lambda _: None)
            listed: Any = read.to_json()
            assert {key: value for key, value in listed.items() if value is not None} == {
                key: value for key, value in item.items() if value is not None
            }
            check(ResponseItem, listed)


PIECES = st.sampled_from(
    [
        THINK,
        f"<|channel|>commentary<|message|>Wait 🦜.{NEXT}",
        python("2 + 2"),
        browser("search", '{"query": "gulls"}'),
        browser("open", "nonsense"),
        function("files__read", "{}", NEXT),
        function("files__read", "{}"),
        function("files__write", '{"a'),
        function("look_up", "{}", NEXT),
        function("look_up", "{}"),
        ANSWER,
        f"{FINAL}See【1†L1】【2†L",
        "<|channel|>analysis to=python code<|message|>",
        NEXT,
    ]
)


@given(
    st.lists(st.lists(PIECES, min_size=1, max_size=4).map("".join), max_size=4),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([{}, INCLUDED, ENCRYPTED, ASKS]),
)
def test_whatever_the_model_writes(
    encoding: Encoding, rounds: list[str], most: int | None, request: dict[str, Any]
) -> None:
    run = HostedRun(rounds, {**request, "max_tool_calls": most})
    played = play_rounds(encoding, run, one_at_a_time)
    for event in played.events:
        check_event(event)
    assert [event["sequence_number"] for event in played.events] == list(range(len(played.events)))
    done = [e for e in played.events if e["type"] == "response.output_item.done"]
    by_place = sorted(done, key=lambda event: event["output_index"])
    assert [event["item"] for event in by_place] == played.output
    assert [event["output_index"] for event in by_place] == list(range(len(played.output)))
    counted = [item for item in played.output if item["type"].endswith("_call")]
    assert most is None or len([c for c in counted if c["type"] != "function_call"]) <= most


def test_code_goes_through_its_states(encoding: Encoding) -> None:
    played = play_rounds(encoding, RUNS["code with outputs"])
    call = played.output[0]
    assert call == {
        "id": "ci_1",
        "type": "code_interpreter_call",
        "status": "completed",
        "code": "2 + 2",
        "container_id": "cntr_1",
        "outputs": [
            {"type": "logs", "logs": "4"},
            {"type": "image", "url": "data:image/png;base64,iVBORw=="},
        ],
    }
    types = [kind for kind in played.types if kind != "code_interpreter_call_code.delta"]
    assert types[2:9] == [
        "output_item.added",
        "code_interpreter_call.in_progress",
        "code_interpreter_call_code.done",
        "code_interpreter_call.interpreting",
        "code_interpreter_call.completed",
        "output_item.done",
        "output_item.added",
    ]
    assert played.results == {"ci_1": BuiltinResult("python", "4")}
    (plain,) = (one for one in play_rounds(encoding, RUNS["code"]).output if "code" in one)
    assert plain["outputs"] is None


def test_what_failed_says_so(encoding: Encoding) -> None:
    for name, error in [
        ("code that killed its worker", None),
        ("a page that is not there", None),
        (
            "MCP that failed",
            {
                "type": "mcp_tool_execution_error",
                "content": [{"type": "text", "text": "No space."}],
            },
        ),
        ("MCP that is not there", {"type": "http_error", "code": 503, "message": "Gone."}),
    ]:
        played = play_rounds(encoding, RUNS[name])
        assert played.output[0]["status"] == "failed", name
        assert played.output[0].get("error") == error
        assert not [kind for kind in played.types if kind.endswith("call.completed")]
        assert played.stream.response["status"] == "completed"


def test_searches_are_told_with_their_sources_if_included(encoding: Encoding) -> None:
    run = RUNS["search, open, find"]
    search, opened, found, message = play_rounds(encoding, run).output
    sources = [{"type": "url", "url": f"https://{name}.example/"} for name in "ab"]
    action = {"type": "search", "query": "gulls", "queries": ["gulls"]}
    assert search["action"] == {**action, "sources": sources}
    assert opened["action"] == {"type": "open_page", "url": "https://www.example.org/a(b)?q=ü"}
    assert found["action"]["type"] == "find_in_page"
    assert search["id"].startswith("ws_s1_")
    (part,) = message["content"]
    assert part["text"] == "Gulls ([example.org](https://www.example.org/a%28b%29?q=ü))."
    (citation,) = part["annotations"]
    cited = part["text"][citation["start_index"] : citation["end_index"]]
    assert cited == "([example.org](https://www.example.org/a%28b%29?q=ü))"
    bare = play_rounds(encoding, HostedRun(run.rounds)).output
    assert bare[0]["action"] == action


def test_calls_at_once_are_run_in_order_and_stay_in_their_places(encoding: Encoding) -> None:
    played = play_rounds(encoding, RUNS["two calls of MCP at once"])
    assert [call.tool for call in played.calls] == ["read", "write"]
    assert [item.get("name") for item in played.output] == ["read", "write", None]
    assert played.rounds[0].item_ids == played.rounds[0].call_ids == ("mcp_1", "mcp_2")
    assert list(played.results.values()) == [
        FunctionResult("files__read", "text"),
        FunctionResult("files__write", "No space."),
    ]


def test_a_call_of_the_client_s_ends_the_loop(encoding: Encoding) -> None:
    played = play_rounds(encoding, RUNS["MCP and the client's"])
    assert played.stream.awaits_client
    mcp, call, sealed = played.output
    assert (mcp["type"], call["type"]) == ("mcp_call", "function_call")
    assert played.rounds[0].call_ids == (mcp["id"], call["call_id"])
    # No reasoning came that could take the round along.
    assert (sealed["type"], sealed["content"]) == ("reasoning", [])
    assert SEAL.open_rounds(sealed["encrypted_content"]) == tuple(played.rounds)
    assert SEAL.open_reasoning(sealed["encrypted_content"]) is None


def test_rounds_are_sealed_into_the_reasoning_that_follows(encoding: Encoding) -> None:
    played = play_rounds(encoding, RUNS["sealed"])
    first, _, second, _, message = played.output
    assert SEAL.open_rounds(first["encrypted_content"]) == ()
    assert SEAL.open_rounds(second["encrypted_content"]) == (played.rounds[0],)
    reasoning = SEAL.open_reasoning(second["encrypted_content"])
    assert reasoning is not None
    assert reasoning.token_ids
    # An answer ended the loop: the second round is of no use any more.
    assert message["type"] == "message"


def test_a_call_that_needs_a_word_is_asked_for(encoding: Encoding) -> None:
    played = play_rounds(encoding, RUNS["a word of the client's"])
    assert played.calls == []
    assert played.stream.awaits_client
    _, request = played.output
    assert request == {
        "id": request["id"],
        "type": "mcp_approval_request",
        "server_label": "files",
        "name": "read",
        "arguments": "{}",
    }
    assert played.rounds[0].call_ids == (request["id"],)


def test_a_call_that_is_cut_is_not_run(encoding: Encoding) -> None:
    played = play_rounds(encoding, RUNS["cut in code"])
    assert played.calls == []
    assert played.output[0]["status"] == "incomplete"
    assert played.stream.response["status"] == "incomplete"
    played = play_rounds(encoding, RUNS["cut in what waits for a word"])
    assert played.output == []
    assert played.types[-1] == "incomplete"


def test_calls_over_the_limit_are_no_items(encoding: Encoding) -> None:
    run = HostedRun(RUNS["search, open, find"].rounds, {"max_tool_calls": 1})
    played = play_rounds(encoding, run)
    assert [item["type"] for item in played.output] == ["web_search_call"]
    stream = make_hosted_stream(encoding, run, make_ids())
    first = [encode_turn(encoding, run.rounds[0])]
    write(encoding, run, stream, first)
    assert len(stream.calls_to_run) == 1
    write(encoding, run, stream, [encode_turn(encoding, run.rounds[1])])
    (ignored,) = stream.ignored_calls
    assert (ignored.recipient, ignored.item_id) == ("browser.open", "")


def test_what_is_open_when_it_breaks_is_kept_as_incomplete(encoding: Encoding) -> None:
    run = RUNS["two calls of MCP at once"]
    stream = make_hosted_stream(encoding, run, make_ids())
    events = stream.begin(USAGE)
    events += write(encoding, run, stream, [encode_turn(encoding, run.rounds[0])])
    events += stream.begin_call(stream.calls_to_run[0])
    events += stream.fail(FAILURE, USAGE)
    output: Any = stream.output
    assert [item["status"] for item in output] == ["incomplete", "incomplete"]
    for event in events:
        check_event(event)


def test_a_list_is_an_item_of_its_own(encoding: Encoding) -> None:
    stream = make_hosted_stream(encoding, RUNS["MCP"], make_ids())
    failed = McpToolList(failure=McpFailure("http_error", "Gone.", 502))
    events = [
        *stream.begin(USAGE),
        *stream.list_tools("files", LISTS["files"]),
        *stream.list_tools("wiki", failed),
        *stream.finish(USAGE),
    ]
    for event in events:
        check_event(event)
    output: Any = events[-1]["response"]["output"]
    files, wiki = output
    assert files["tools"] == [
        {
            "name": "read",
            "input_schema": {"type": "object"},
            "description": "Reads a file.",
            "annotations": {"readOnlyHint": True},
        },
        {"name": "write", "input_schema": {"type": "object"}},
    ]
    assert "error" not in files
    assert wiki["error"] == "Gone."
    kinds = [event["type"].removeprefix("response.mcp_list_tools.") for event in events]
    assert [kind for kind in kinds if "." not in kind] == [
        "in_progress",
        "completed",
        "in_progress",
        "failed",
    ]
