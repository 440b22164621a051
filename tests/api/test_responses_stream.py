"""Scripted ids to ``response.*`` events: goldens, OpenAI's types, its own accumulation.

``python -m tests.api.test_responses_stream`` writes the goldens anew.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import ResponseStreamEvent

from mlxoss.api.turn_request import TurnOutput
from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.harmony.events import Channel, MessageEnd, MessageStart
from tests.support.api.responses_runs import (
    FAILURE,
    RUNS,
    SEAL,
    USAGE,
    Run,
    all_at_once,
    make_stream,
    one_at_a_time,
    play,
)
from tests.support.api.strict import check_event, check_response
from tests.support.harmony.turns import SPECIAL_IDS, encode_turn

GOLDEN = Path(__file__).parent.parent / "golden" / "responses"


def to_text(events: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events)


@pytest.mark.parametrize("batch", [one_at_a_time, all_at_once])
@pytest.mark.parametrize("name", RUNS)
def test_events_as_written_out(encoding: Encoding, name: str, batch: Any) -> None:
    events, _ = play(encoding, RUNS[name], batch)
    assert to_text(events) == (GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8")


def test_every_golden_is_used() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_events_are_openai_s(encoding: Encoding, name: str) -> None:
    events, _ = play(encoding, RUNS[name], one_at_a_time)
    for event in events:
        check_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


@pytest.mark.parametrize("name", RUNS)
def test_the_official_client_accumulates_them(encoding: Encoding, name: str) -> None:
    events, stream = play(encoding, RUNS[name], one_at_a_time)
    state = accumulate(events)
    if events[-1]["type"] == "response.completed":
        assert state is not None
        assert state.id == "resp_1"
        assert len(state.output) == len(stream.output)


def accumulate(events: Sequence[dict[str, Any]]) -> Any:
    """The last event's response as openai-python's ``responses.stream`` gives it."""
    adapter: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(ResponseStreamEvent)
    state: ResponseStreamState[Any] = ResponseStreamState(input_tools=omit, text_format=omit)
    last: Any = None
    for event in events:
        (last,) = state.handle_event(adapter.validate_python(event))
    return last.response


@pytest.mark.parametrize("name", RUNS)
def test_the_response_is_the_last_event_s(encoding: Encoding, name: str) -> None:
    events, stream = play(encoding, RUNS[name], all_at_once)
    assert stream.response == events[-1]["response"]
    assert list(stream.output) == stream.response["output"]
    output: Any = stream.output
    calls = [item["call_id"] for item in output if "call_id" in item]
    assert list(stream.call_ids) == calls


def test_sealed_reasoning_opens_to_its_exact_ids(encoding: Encoding) -> None:
    run = Run(RUNS["reasoning_and_final"].written, {"include": ["reasoning.encrypted_content"]})
    events, stream = play(encoding, run, one_at_a_time)
    for event in events:
        check_event(event)
    reasoning: Any = stream.output[0]
    opened = SEAL.open_reasoning(reasoning["encrypted_content"])
    assert opened is not None
    assert opened.token_ids == tuple(encoding.encode_text(reasoning["content"][0]["text"]))
    (done,) = (
        e
        for e in events
        if e["type"] == "response.output_item.done" and e["item"]["id"] == reasoning["id"]
    )
    assert done["item"] == reasoning


def test_a_cancelled_response_keeps_what_there_was(encoding: Encoding) -> None:
    run = Run("", {"background": True}, is_background=True)
    stream = make_stream(encoding, run)
    stream.queue()
    assert check_response(stream.response).status == "queued"
    cancelled = check_response(stream.cancel(USAGE))
    assert (cancelled.status, cancelled.output, cancelled.completed_at) == ("cancelled", [], None)


def test_an_error_comes_before_the_last_event_without_a_gap(encoding: Encoding) -> None:
    stream = make_stream(encoding, RUNS["final"])
    first = stream.begin(USAGE)
    last = stream.put_error_before(stream.finish(USAGE), FAILURE)
    assert [e["type"] for e in last] == ["error", "response.completed"]
    assert [e["sequence_number"] for e in first + last] == [0, 1, 2, 3]
    for event in last:
        check_event(event)


PIECES = st.sampled_from(
    [*SPECIAL_IDS, "analysis", "commentary", "final", " to=functions.crm__query"]
)
TEXTS = st.text(max_size=8) | st.sampled_from(["👋", "{}", "assistant"])
TURNS = st.lists(PIECES | TEXTS, max_size=40).map("".join)


@settings(max_examples=150, deadline=None, print_blob=True)
@given(written=TURNS, is_cut=st.booleans(), options=st.sampled_from(["", "summary", "logprobs"]))
def test_any_turn_makes_a_sound_stream(
    encoding: Encoding, written: str, is_cut: bool, options: str
) -> None:
    requests: dict[str, dict[str, Any]] = {
        "": {},
        "summary": {"reasoning": {"summary": "detailed"}},
        "logprobs": {"include": ["message.output_text.logprobs"]},
    }
    run = Run(written if is_cut else written + "<|return|>", requests[options], has_logprobs=True)
    events, stream = play(encoding, run, one_at_a_time)
    assert events == play(encoding, run, all_at_once)[0]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        check_event(event)
    accumulate(events)
    assert_deltas_make_the_output(events, stream.response["output"])


def assert_deltas_make_the_output(events: Sequence[Any], output: Sequence[Any]) -> None:
    texts: dict[tuple[int, str], str] = {}
    for event in events:
        if event["type"].endswith(".delta"):
            kind = event["type"].removeprefix("response.").removesuffix(".delta")
            key = (event["output_index"], kind)
            texts[key] = texts.get(key, "") + event["delta"]
    for index, item in enumerate(output):
        match item["type"]:
            case "message":
                assert texts.get((index, "output_text"), "") == item["content"][0]["text"]
            case "reasoning":
                assert texts.get((index, "reasoning_text"), "") == item["content"][0]["text"]
                if item["summary"]:
                    summary = texts.get((index, "reasoning_summary_text"), "")
                    assert summary == item["summary"][0]["text"]
            case "function_call":
                assert texts.get((index, "function_call_arguments"), "") == item["arguments"]
            case "custom_tool_call":
                assert texts.get((index, "custom_tool_call_input"), "") == item["input"]
            case other:
                raise AssertionError(other)


def test_arguments_come_as_the_model_writes_them(encoding: Encoding) -> None:
    events, _ = play(encoding, RUNS["preamble_and_two_calls"], one_at_a_time)
    deltas = [e for e in events if e["type"] == "response.function_call_arguments.delta"]
    ids = encode_turn(encoding, '{"city": "Bergen"}') + encode_turn(encoding, '{"city":"Oslo"}')
    assert len(deltas) == len(ids)


@pytest.mark.parametrize("is_failure", [False, True])
def test_in_silence_it_is_said_again_from_the_beginning_to_the_end(
    encoding: Encoding, is_failure: bool
) -> None:
    stream = make_stream(encoding, RUNS["preamble_and_two_calls"])
    assert stream.still_working() == []
    events = [*stream.begin(USAGE), *stream.still_working()]
    events += stream.feed(TurnOutput(0, MessageStart(Channel.FINAL)))
    events += [*stream.still_working(), *stream.feed(TurnOutput(0, MessageEnd()))]
    events += stream.still_working()
    last = stream.fail(FAILURE, USAGE) if is_failure else stream.finish(USAGE)
    # What is made may wait for the store now, and nothing may go out before it with a number.
    assert stream.still_working() == []
    events += last
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    repeated = [event for event in events[2:] if event["type"] == "response.in_progress"]
    assert [len(event["response"]["output"]) for event in repeated] == [0, 0, 1]
    assert stream.response["status"] == ("failed" if is_failure else "completed")
    for event in events:
        check_event(event)


if __name__ == "__main__":
    loaded = load_encoding()
    for case, scripted in RUNS.items():
        text = to_text(play(loaded, scripted, all_at_once)[0])
        (GOLDEN / f"{case}.jsonl").write_text(text, encoding="utf-8")
