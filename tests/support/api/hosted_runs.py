"""Responses of several rounds, from scripted ids: what the model wrote, what its calls were
answered, and the events a client gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import RunnableCall, ToolResult
from mlxoss.api.hosted.declared import HostedOffer
from mlxoss.api.responses.hosted.running import HostedSetup
from mlxoss.api.responses.object import ResponseHeader, ResponseShape
from mlxoss.api.responses.output import StreamSetup
from mlxoss.api.responses.request import parse_responses_request
from mlxoss.api.responses.stream import ResponsesStream
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.responses.tools import read_tools
from mlxoss.api.turn_request import TurnOutput
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import TurnEndReason
from mlxoss.harmony.parser import TurnParser
from mlxoss.outcomes import (
    BrowserOutcome,
    FoundInPage,
    McpFailure,
    McpOutcome,
    McpTool,
    McpToolList,
    OpenedPage,
    PythonOutcome,
    ShownPage,
    ToolImage,
    ToolOutcome,
    WebSearch,
)
from tests.support.api.responses_runs import SEAL, USAGE, make_ids
from tests.support.harmony.turns import encode_turn

OFFER = HostedOffer(python=True, browser=True, mcp_labels=("files", "wiki"))
LISTS = {
    "files": McpToolList(
        (
            McpTool("read", {"type": "object"}, "Reads a file.", is_read_only=True),
            McpTool("write", {"type": "object"}),
        )
    )
}
SEARCH = {"type": "web_search"}
CODE = {"type": "code_interpreter", "container": {"type": "auto"}}
FILES = {"type": "mcp", "server_label": "files", "require_approval": "never"}
LOOK_UP = {"type": "function", "name": "look_up"}
TOOLS = [SEARCH, CODE, FILES, LOOK_UP]

NEXT = "<|end|><|start|>assistant"
THINK = f"<|channel|>analysis<|message|>Let me see. 👋{NEXT}"
FINAL = "<|channel|>final<|message|>"


def python(code: str) -> str:
    return f"<|channel|>analysis to=python code<|message|>{code}<|call|>"


def browser(function: str, arguments: str) -> str:
    return f"<|channel|>analysis to=browser.{function} code<|message|>{arguments}<|call|>"


def function(name: str, arguments: str, end: str = "<|call|>") -> str:
    head = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f"{head}{arguments}{end}"


PAGES = {
    0: ShownPage(0, "", "Hits"),
    1: ShownPage(1, "https://www.example.org/a(b)?q=ü", "An example"),
    2: ShownPage(2, "https://other.example/x", "Another"),
}

OUTCOMES: dict[str, ToolOutcome] = {
    "python": PythonOutcome("4", "4", (ToolImage("image/png", b"\x89PNG"),)),
    "search": BrowserOutcome(
        "[0] Hits", WebSearch("gulls", ("https://a.example/", "https://b.example/")), PAGES[0]
    ),
    "open": BrowserOutcome("[1] An example", OpenedPage(PAGES[1].url), PAGES[1]),
    "find": BrowserOutcome("[2] Found", FoundInPage("gull", PAGES[1].url), PAGES[2]),
    "read": McpOutcome("text", "text"),
    "write": McpOutcome("No space.", failure=McpFailure("mcp_tool_execution_error", "No space.")),
}


@dataclass(frozen=True)
class HostedRun:
    """The turns that the model writes, one after the other, and what its calls are answered."""

    rounds: Sequence[str]
    request: Mapping[str, Any] = field(default_factory=dict)
    outcomes: Mapping[str, ToolOutcome] = field(default_factory=lambda: OUTCOMES)
    offer: HostedOffer = OFFER
    has_cited: bool = True

    def body(self) -> dict[str, Any]:
        return {"model": "m", "input": "Hi", "tools": TOOLS, **self.request}

    def table(self) -> ToolTable:
        return read_tools(self.body()["tools"], offer=self.offer, mcp=LISTS)


@dataclass(frozen=True)
class Played:
    """Its events, its stream, its rounds, the calls that were run."""

    events: list[Any]
    stream: ResponsesStream
    rounds: list[EndedRound]
    calls: list[RunnableCall]

    @property
    def types(self) -> list[str]:
        return [event["type"].removeprefix("response.") for event in self.events]

    @property
    def output(self) -> list[Any]:
        return list(self.stream.output)

    @property
    def results(self) -> dict[str, ToolResult]:
        return {name: one for ended in self.rounds for name, one in ended.results.items()}


def make_hosted_stream(
    encoding: Encoding, run: HostedRun, make_id: Callable[[str], str]
) -> ResponsesStream:
    request = parse_responses_request(run.body())
    table = run.table()
    setup = StreamSetup(
        tools=table.names,
        make_id=make_id,
        clock=lambda: 1_790_000_002.5,
        token_bytes=encoding.token_bytes,
        seal=SEAL.seal_reasoning if request.wants_encrypted else None,
        max_tool_calls=request.max_tool_calls,
        hosted=HostedSetup(
            container_id="cntr_1",
            browser_session="s1",
            cite=PAGES.get if run.has_cited else None,
            has_outputs=request.wants_outputs,
            has_sources=request.wants_sources,
        ),
    )
    header = ResponseHeader("resp_1", 1_790_000_000, "m")
    return ResponsesStream(ResponseShape(header, request, table), setup)


def play_rounds(
    encoding: Encoding,
    run: HostedRun,
    batch: Callable[[Sequence[int]], Sequence[Sequence[int]]] = lambda ids: [ids],
    make_id: Callable[[str], str] | None = None,
) -> Played:
    """Play the rounds, as long as there is something to run."""
    stream = make_hosted_stream(encoding, run, make_id or make_ids())
    played = Played(stream.begin(USAGE), stream, [], [])
    for written in run.rounds:
        ids = encode_turn(encoding, written)
        played.events.extend(write(encoding, run, stream, batch(ids)))
        results = {}
        for call in stream.calls_to_run:
            outcome = run.outcomes[call.tool]
            played.calls.append(call)
            played.events.extend([*stream.begin_call(call), *stream.end_call(call, outcome)])
            results[call.item_id] = call.to_result(outcome)
        played.rounds.append(stream.end_round(ids, results))
        if not results or stream.awaits_client:
            break
    played.events.extend(stream.finish(USAGE))
    return played


def write(
    encoding: Encoding, run: HostedRun, stream: ResponsesStream, batches: Sequence[Sequence[int]]
) -> list[Any]:
    """The events of one turn of the model."""
    table = run.table()
    builtins = [name for one in table.hosted.builtins for name in one.recipients]
    parser = TurnParser(encoding, table.names, builtins)
    events = [
        made
        for ids in batches
        for token_id in ids
        for event in parser.feed(token_id)
        for made in stream.feed(TurnOutput(0, event))
    ]
    for event in parser.finish(TurnEndReason.LENGTH):
        events += stream.feed(TurnOutput(0, event))
    return events
