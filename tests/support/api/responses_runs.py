"""Responses run from scripted ids: what the model wrote, to the events a client gets."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxoss.api.errors import HttpError
from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.responses.object import ResponseHeader, ResponseShape
from mlxoss.api.responses.output import StreamSetup
from mlxoss.api.responses.request import parse_responses_request
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.api.responses.tools import read_tools
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import KEY_BYTES, TokenLogprob
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import Event, TurnEndReason
from mlxoss.harmony.parser import TurnParser
from tests.support.harmony.turns import encode_turn

USAGE = Usage(prompt_tokens=10, completion_tokens=7, reasoning_tokens=3, cached_tokens=2)
FAILURE = HttpError(500, "The model stumbled.", type="server_error", code="generation_failed")
SEAL = ContentSeal(bytes(range(KEY_BYTES)), lambda count: bytes(count))

WEATHER_TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "Gets the weather.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": False,
}
CRM_TOOLS = {
    "type": "namespace",
    "name": "crm",
    "description": "Customers.",
    "tools": [
        {"type": "function", "name": "find", "description": "Finds one.", "parameters": None},
        {
            "type": "custom",
            "name": "query",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
        },
    ],
}
TOOLS = [WEATHER_TOOL, CRM_TOOLS]


def make_ids() -> Callable[[str], str]:
    """Ids that count up, so that runs can be compared."""
    counter = itertools.count(1)
    return lambda prefix: f"{prefix}{next(counter)}"


@dataclass(frozen=True)
class Run:
    """A scripted turn. ``written`` is what the model writes, special tokens by name.

    It ends as it ends, by a limit, or with a failure.
    """

    written: str
    request: dict[str, Any] = field(default_factory=dict)
    is_failure: bool = False
    is_background: bool = False
    has_logprobs: bool = False

    def body(self) -> dict[str, Any]:
        return {"model": "gpt-oss-20b", "input": "Hi", "tools": TOOLS, **self.request}


def make_stream(encoding: Encoding, run: Run) -> ResponsesStream:
    request = parse_responses_request(run.body())
    tools = read_tools(request.tools)
    header = ResponseHeader("resp_1", 1_790_000_000, request.model)
    setup = StreamSetup(
        tools=tools.names,
        make_id=make_ids(),
        clock=lambda: 1_790_000_002.5,
        token_bytes=encoding.token_bytes,
        seal=SEAL.seal_reasoning if request.wants_encrypted else None,
        has_summary=request.summary is not None,
        has_logprobs=request.wants_logprobs,
    )
    return ResponsesStream(ResponseShape(header, request, tools), setup)


def play(
    encoding: Encoding, run: Run, batch: Callable[[Sequence[int]], Iterable[Sequence[int]]]
) -> tuple[list[Any], ResponsesStream]:
    """The events of ``run`` with its ids arriving in the batches that ``batch`` makes."""
    stream = make_stream(encoding, run)
    names = read_tools(parse_responses_request(run.body()).tools).names
    parser = TurnParser(encoding, names)
    events: list[Any] = stream.queue() if run.is_background else []
    events += stream.begin(USAGE)
    for ids in batch(encode_turn(encoding, run.written)):
        parsed = [event for token_id in ids for event in parser.feed(token_id)]
        events += _feed(stream, parsed, run)
    if run.is_failure:
        return events + stream.fail(FAILURE, USAGE), stream
    events += _feed(stream, parser.finish(TurnEndReason.LENGTH), run)
    return events + stream.finish(USAGE), stream


def _feed(stream: ResponsesStream, parsed: Iterable[Event], run: Run) -> list[Any]:
    logprob = TokenLogprob(-0.25, ((72, -0.25), (73, float("-inf")))) if run.has_logprobs else None
    return [one for event in parsed for one in stream.feed(TurnOutput(0, event, logprob))]


def one_at_a_time(ids: Sequence[int]) -> list[Sequence[int]]:
    return [[token_id] for token_id in ids]


def all_at_once(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids]


ANALYSIS = "<|channel|>analysis<|message|>The user says hi. 👋<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>Hello, Zoë! 🦜<|return|>"
CALL = "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"

RUNS = {
    "final": Run(FINAL),
    "reasoning_and_final": Run(ANALYSIS + FINAL),
    "preamble_and_two_calls": Run(
        f"{ANALYSIS}<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
        f'{CALL}{{"city": "Bergen"}}<|end|><|start|>assistant{CALL}{{"city":"Oslo"}}<|call|>'
    ),
    "length_inside_reasoning": Run("<|channel|>analysis<|message|>The user says"),
    "length_inside_a_header": Run(ANALYSIS + "<|channel|>fin"),
    "failure_mid_stream": Run(ANALYSIS + "<|channel|>final<|message|>Hello, Zo", is_failure=True),
    "summary": Run(ANALYSIS + FINAL, {"reasoning": {"summary": "auto", "effort": "minimal"}}),
    "custom_tool_in_a_namespace": Run(
        "<|channel|>commentary to=functions.crm__query code<|message|>name = 'Zoë'<|call|>"
    ),
    "function_in_a_namespace": Run(
        "<|channel|>commentary to=functions.crm__find json<|message|>{}<|call|>"
    ),
    "background": Run(FINAL, {"background": True, "conversation": "conv_1"}, is_background=True),
    "logprobs": Run(
        ANALYSIS + FINAL,
        {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        has_logprobs=True,
    ),
    "nothing": Run("<|return|>"),
}
