"""Chats that use this server's tools: one answer of several turns, and the pages it cites."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from mlxoss.api.chat.prompt import to_turn_request
from mlxoss.api.chat.request import parse_chat_request
from mlxoss.api.chat.stream import ChatOptions, ChatStream
from mlxoss.api.common import CompletionHeader
from mlxoss.api.history.replay import ExactTurns
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.declared import HostedOffer
from mlxoss.api.turn_request import TurnOutput, TurnRequest
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import BuiltinResult, ExactTurn, FunctionResult, UserText
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import TurnEndReason
from mlxoss.harmony.parser import TurnParser
from mlxoss.harmony.prompt import render_prompt, render_results
from mlxoss.harmony.read_turn import read_turn
from tests.support.api.hosted_runs import (
    FINAL,
    NEXT,
    OFFER,
    PAGES,
    THINK,
    browser,
    function,
    python,
)
from tests.support.api.responses_runs import USAGE
from tests.support.api.strict import check
from tests.support.harmony.turns import encode_turn

RECIPIENTS = ("python", "browser.search", "browser.open", "browser.find")
PREAMBLE = f"<|channel|>commentary<|message|>Let me look 🦜.{NEXT}"
LINK = "([example.org](https://www.example.org/a%28b%29?q=ü))"
OPTIONS = ChatOptions(include_usage=True, cite=PAGES.get)


def turn(offer: HostedOffer = OFFER, turns: ExactTurns | None = None, **fields: Any) -> TurnRequest:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}
    request = parse_chat_request(body)
    return to_turn_request(request, date=datetime.date(2026, 2, 3), turns=turns, offer=offer)


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({}, []),
        ({"web_search_options": {}}, ["browser"]),
        ({"web_search_options": {"search_context_size": "low"}}, ["browser"]),
        ({"chat_template_kwargs": {"builtin_tools": ["python"]}}, ["python"]),
        ({"chat_template_kwargs": {"builtin_tools": ["python", "browser"]}}, ["browser", "python"]),
        (
            {"chat_template_kwargs": {"builtin_tools": ["python"]}, "web_search_options": {}},
            ["browser", "python"],
        ),
    ],
)
def test_what_is_asked_for_is_shown_and_callable(fields: Any, names: list[str]) -> None:
    asked = turn(**fields)
    assert [one.name for one in asked.conversation.builtins] == names
    callable_ = dict.fromkeys(rule.recipient.partition(".")[0] for rule in asked.rules.builtins)
    assert list(callable_) == names
    assert asked.needs_grammar == ()
    without = turn(**fields, tool_choice="none")
    assert (without.conversation.builtins, without.rules.builtins) == ((), ())


def test_a_choice_of_a_function_leaves_them_shown() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    forced = turn(tools=tools, tool_choice="required", web_search_options={})
    assert len(forced.rules.builtins) == 3
    assert forced.rules.must_call
    named = {"type": "function", "function": {"name": "f"}}
    one = turn(tools=tools, tool_choice=named, web_search_options={})
    assert (one.rules.builtins, one.needs_grammar) == ((), ("tool_choice",))
    assert one.conversation.builtins


@pytest.mark.parametrize(
    ("fields", "offer", "param"),
    [
        ({"web_search_options": {}}, HostedOffer(python=True), "web_search_options"),
        (
            {"chat_template_kwargs": {"builtin_tools": ["python"]}},
            HostedOffer(browser=True),
            "chat_template_kwargs.builtin_tools",
        ),
        (
            {"chat_template_kwargs": {"builtin_tools": ["python"]}, "web_search_options": {}},
            HostedOffer(browser=True),
            "chat_template_kwargs.builtin_tools",
        ),
        ({"web_search_options": {}, "n": 2}, OFFER, "n"),
        ({"web_search_options": 5}, OFFER, "web_search_options"),
        (
            {"chat_template_kwargs": {"builtin_tools": ["shell"]}},
            OFFER,
            "chat_template_kwargs.builtin_tools[0]",
        ),
    ],
)
def test_what_is_not_here_is_refused(fields: Any, offer: HostedOffer, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        turn(offer, **fields)
    assert caught.value.param == param


def make(options: ChatOptions) -> ChatStream:
    numbers = itertools.count(1)
    return ChatStream(
        CompletionHeader("chatcmpl-1", 1_700_000_000, "m"),
        options,
        token_bytes=lambda token_id: b"",
        make_call_id=lambda index: f"call_{next(numbers)}",
    )


def feed(encoding: Encoding, stream: ChatStream, written: str) -> list[Any]:
    parser = TurnParser(encoding, ("f",), RECIPIENTS)
    events = [e for token_id in encode_turn(encoding, written) for e in parser.feed(token_id)]
    events += parser.finish(TurnEndReason.LENGTH)
    return [chunk for event in events for chunk in stream.feed(TurnOutput(0, event))]


def fold(stream: ChatStream, chunks: Sequence[Any]) -> Any:
    whole = stream.make_fold()
    for chunk in chunks:
        check(ChatCompletionChunk, without_extras(chunk))
        whole.add(chunk)
    return whole.answer()


def without_extras(chunk: Any) -> Any:
    """Without what OpenAI's type of a delta has not: reasoning, and the annotations that OpenAI's
    own answers have all the same."""
    extras = ("reasoning", "reasoning_content", "annotations")
    choices = [
        {**one, "delta": {k: v for k, v in one["delta"].items() if k not in extras}}
        for one in chunk["choices"]
    ]
    return {**chunk, "choices": choices}


def test_rounds_are_one_answer(encoding: Encoding) -> None:
    stream = make(OPTIONS)
    chunks = feed(encoding, stream, THINK + PREAMBLE + browser("search", '{"query": "gulls"}'))
    (search,) = stream.calls_to_run
    assert (search.kind, search.tool, search.text) == ("browser", "search", '{"query": "gulls"}')
    assert all(choice["finish_reason"] is None for c in chunks for choice in c["choices"])
    stream.end_round((), {search.item_id: BuiltinResult("browser.search", "[0] Hits")})
    chunks += feed(encoding, stream, python("1 + 1"))
    (code,) = stream.calls_to_run
    assert (code.kind, code.recipient, code.text) == ("python", "python", "1 + 1")
    stream.end_round((), {code.item_id: BuiltinResult("python", "2")})
    chunks += feed(encoding, stream, f"{FINAL}Two【1†L1】, says a page【7†L1.<|return|>")
    assert stream.calls_to_run == ()
    answer = fold(stream, [*chunks, *stream.finish(USAGE)])
    (choice,) = answer["choices"]
    message = choice["message"]
    assert message["content"] == f"Let me look 🦜.\n\nTwo {LINK}, says a page【7†L1."
    assert choice["finish_reason"] == "stop"
    (annotation,) = message["annotations"]
    cited = annotation["url_citation"]
    assert message["content"][cited["start_index"] : cited["end_index"]] == LINK
    for extra in ("reasoning", "reasoning_content"):
        message.pop(extra)
    check(ChatCompletion, answer)


def test_an_answer_that_stops_at_a_call_ends(encoding: Encoding) -> None:
    stream = make(OPTIONS)
    chunks = feed(encoding, stream, python("1"))
    answer = fold(stream, [*chunks, *stream.finish(USAGE)])
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_the_client_s_calls_come_first(encoding: Encoding) -> None:
    stream = make(OPTIONS)
    chunks = feed(encoding, stream, function("f", "{}", NEXT) + python("1"))
    assert stream.calls_to_run == ()
    answer = fold(stream, [*chunks, *stream.finish(USAGE)])
    assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_that_is_cut_is_not_run(encoding: Encoding) -> None:
    stream = make(OPTIONS)
    chunks = feed(encoding, stream, python("1")[: -len("<|call|>")])
    assert stream.calls_to_run == ()
    answer = fold(stream, [*chunks, *stream.finish(USAGE)])
    assert answer["choices"][0]["finish_reason"] == "length"
    assert "annotations" not in answer["choices"][0]["message"]


def test_rounds_before_a_call_of_the_client_s_go_back_to_the_token(encoding: Encoding) -> None:
    stream = make(ChatOptions(include_usage=True))
    written = [
        THINK + PREAMBLE + browser("search", '{"query":  "gulls"}'),
        THINK + python("1 + 1"),
        THINK + function("f", '{"a":  1}'),
    ]
    results = [BuiltinResult("browser.search", "[0] Hits"), BuiltinResult("python", "2")]
    rounds: list[EndedRound] = []
    chunks: list[Any] = []
    for one, result in itertools.zip_longest(written, results):
        chunks += feed(encoding, stream, one)
        answered = {call.item_id: result for call in stream.calls_to_run}
        rounds.append(stream.end_round(encode_turn(encoding, one), answered))
    message = fold(stream, [*chunks, *stream.finish(USAGE)])["choices"][0]["message"]
    tools = [{"type": "function", "function": {"name": "f"}}]
    asked: Any = {
        "tools": tools,
        "web_search_options": {},
        "chat_template_kwargs": {"builtin_tools": ["python"]},
    }
    user = {"role": "user", "content": "Hi"}
    ids = render_prompt(encoding, turn(**asked).conversation)
    for ended in rounds:
        ids += ended.token_ids
        if ended.results:
            ids += render_results(encoding, list(ended.results.values()))
    last = replace(rounds[-1], call_ids=("call_1",))
    before = {"call_1": rounds[:-1]}
    turns = ExactTurns([last], partial(read_turn, encoding), before=before)
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "ok"}
    for hidden in ({}, {"reasoning": None, "reasoning_content": None}):
        again = turn(**asked, messages=[user, {**message, **hidden}, answer], turns=turns)
        kinds = [type(item) for item in again.conversation.items]
        one = [ExactTurn, BuiltinResult]
        assert kinds == [UserText, *one, *one, ExactTurn, FunctionResult]
        assert render_prompt(encoding, again.conversation)[: len(ids)] == ids
    edited = {**message, "content": "Let me not look."}
    again = turn(**asked, messages=[user, edited, answer], turns=turns)
    assert ExactTurn not in map(type, again.conversation.items)
