"""The output of a response while it grows: which items are done, which is written, which are run.

Each message of a turn is an item. One at a time is written; calls that this server runs are open
beside it until their outcomes are known.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from mlxoss.api.answers import LogprobEntry
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import RunnableCall, ToolResult
from mlxoss.api.logprobs import to_logprob_entry
from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.client_run.writers import (
    LocalShellCallWriter,
    PatchCallWriter,
    ShellCallWriter,
    ToolSearchCallWriter,
)
from mlxoss.api.responses.hosted.citing import CitingWriter
from mlxoss.api.responses.hosted.running import (
    ApprovedCall,
    HostedItems,
    HostedSetup,
    to_ignored,
)
from mlxoss.api.responses.hosted.writers import ApprovalWriter, HostedWriter
from mlxoss.api.responses.item_answers import ItemStatus, ListedItem, ListedReasoning, Phase
from mlxoss.api.responses.tool_table import ToolKind, ToolName
from mlxoss.api.responses.writers import (
    CallWriter,
    CustomCallWriter,
    FunctionCallWriter,
    ItemWriter,
    MessageWriter,
    Numbering,
    ReasoningWriter,
)
from mlxoss.core import JsonMapping, TokenLogprob
from mlxoss.harmony.conversation import Reasoning
from mlxoss.harmony.events import Channel, ContentDelta, MessageStart
from mlxoss.outcomes import ToolOutcome

_CALLS: MappingProxyType[ToolKind, tuple[str, type[CallWriter]]] = MappingProxyType(
    {
        ToolKind.FUNCTION: ("fc_", FunctionCallWriter),
        ToolKind.CUSTOM: ("ctc_", CustomCallWriter),
        ToolKind.SHELL: ("sh_", ShellCallWriter),
        ToolKind.LOCAL_SHELL: ("lsh_", LocalShellCallWriter),
        ToolKind.APPLY_PATCH: ("apc_", PatchCallWriter),
        ToolKind.TOOL_SEARCH: ("tsc_", ToolSearchCallWriter),
    }
)
"""By what is called: how the ids of its items begin, and what writes them."""


class SealReasoning(Protocol):
    """``ContentSeal.seal_reasoning``."""

    def __call__(self, reasoning: Reasoning | None, rounds: Sequence[EndedRound] = (), /) -> str:
        """The encrypted content."""


@dataclass(frozen=True, slots=True)
class StreamSetup:
    """What a stream needs from outside.

    ``tools`` are ``ToolTable.names``; ``make_id`` gives a fresh id with the given prefix;
    ``clock`` Unix seconds; ``token_bytes`` a token's bytes. ``seal`` makes encrypted
    contents (``None``: reasoning items have none). With ``has_summary`` reasoning items
    carry their text as a summary too, with ``has_logprobs`` messages their tokens' log
    probabilities. ``max_tool_calls`` is how many calls of OpenAI's tools and of MCP servers' are
    given out or run: further ones are ignored, those of functions do not count. ``hosted`` is for
    those that this server runs.
    """

    tools: Mapping[str, ToolName]
    make_id: Callable[[str], str]
    clock: Callable[[], float]
    token_bytes: Callable[[int], bytes]
    seal: SealReasoning | None = None
    has_summary: bool = False
    has_logprobs: bool = False
    max_tool_calls: int | None = None
    hosted: HostedSetup = field(default_factory=HostedSetup)


class Output:
    """The items of one response, and what its calls of this server's tools wait for.

    ``item_ids`` and ``call_ids`` are of the round: the items that the model's turn wrote, and its
    calls among them, in order. The id of a call that this server runs is its item's.
    ``awaits_client`` once a call is the client's to answer, ``has_final`` once there is an answer.
    ``ignored`` are calls of the round over the limit that this server would have run.
    """

    def __init__(self, setup: StreamSetup, numbering: Numbering) -> None:
        self.item_ids: list[str] = []
        self.call_ids: list[str] = []
        self.ignored: list[RunnableCall] = []
        self.awaits_client = False
        self.has_final = False
        self._setup = setup
        self._numbering = numbering
        self._hosted = HostedItems(setup.tools, setup.hosted, setup.make_id)
        self._waiting: MessageStart | None = None
        self._writer: ItemWriter | None = None
        self._written: dict[str, HostedWriter] = {}
        self._done: dict[int, ListedItem] = {}
        self._rounds: list[EndedRound] = []
        self._counted_calls = 0

    @property
    def done(self) -> tuple[ListedItem, ...]:
        """The items that are done, in order."""
        return tuple(self._done[index] for index in sorted(self._done))

    @property
    def calls_to_run(self) -> tuple[RunnableCall, ...]:
        """The calls that are written and not run to their end, in order."""
        return tuple(writer.runnable for writer in self._written.values())

    @property
    def next_index(self) -> int:
        """Of the next item."""
        return len(self._done) + len(self._written) + (self._writer is not None)

    def put(self, item: ListedItem) -> None:
        """An item that is done and that the model did not write."""
        self._done[self.next_index] = item

    def start(self, start: MessageStart) -> list[ResponseEvent]:
        """A message begins. Reasoning and preambles without a single token are no items."""
        self._waiting = None
        if self._is_ignored(start):
            return []
        if start.is_call or start.channel is Channel.FINAL:
            return self._open(start)
        self._waiting = start
        return []

    def add(self, delta: ContentDelta, logprob: TokenLogprob | None) -> list[ResponseEvent]:
        """More of the open message."""
        events: list[ResponseEvent] = []
        if self._waiting is not None:
            events += self._open(self._waiting)
            self._waiting = None
        if self._writer is None:
            return events
        return events + self._writer.add(delta.text, delta.token_id, self._entry(delta, logprob))

    def end(self, status: ItemStatus) -> list[ResponseEvent]:
        """The open message has ended. A call that this server runs stays open, if it is whole."""
        writer, self._writer, self._waiting = self._writer, None, None
        if writer is None:
            return []
        if isinstance(writer, HostedWriter):
            self._note(writer)
            events = writer.close_text()
            if status == "completed":
                self._written[writer.item_id] = writer
                return events
            return [*events, *self._finish(writer, writer.end(status))]
        events = writer.end(status)
        if not events:
            return []
        self._note(writer)
        self.awaits_client |= isinstance(writer, CallWriter | ApprovalWriter)
        return self._finish(writer, events)

    def begin_call(self, call: RunnableCall) -> list[ResponseEvent]:
        """It begins to run."""
        return self._written[call.item_id].run()

    def end_call(self, call: RunnableCall, outcome: ToolOutcome) -> list[ResponseEvent]:
        """It has ended."""
        writer = self._written.pop(call.item_id)
        return self._finish(writer, writer.end_with(outcome))

    def open_approved(self, approved: ApprovedCall) -> tuple[RunnableCall, list[ResponseEvent]]:
        """A call that the model wrote in an earlier response, to be run now."""
        self._counted_calls += 1
        writer = self._hosted.open_approved(approved, self._numbering, self.next_index)
        events = [*writer.begin(), *writer.add(approved.arguments, None, None)]
        self._written[writer.item_id] = writer
        return writer.runnable, [*events, *writer.close_text()]

    def end_round(self, token_ids: Sequence[int], results: Mapping[str, ToolResult]) -> EndedRound:
        """The turn has ended, its calls were run; what is to be kept of it."""
        ended = EndedRound(
            tuple(token_ids), tuple(self.item_ids), tuple(self.call_ids), dict(results)
        )
        self.item_ids, self.call_ids, self.ignored = [], [], []
        if results and self._setup.seal is not None:
            run = (item for item in self._done.values() if item["id"] in results)
            ended = replace(ended, items=tuple(map(_without_answer, run)))
            self._rounds.append(ended)
        return ended

    def close(self) -> list[ResponseEvent]:
        """What stands behind the last message: calls that are not run any more, and rounds that
        no reasoning has taken along, where the client is to send them back."""
        events: list[ResponseEvent] = []
        for writer in tuple(self._written.values()):
            del self._written[writer.item_id]
            events += self._finish(writer, writer.end("incomplete"))
        if not self._rounds or self._setup.seal is None or self.has_final:
            return events
        item: ListedReasoning = {
            "id": self._setup.make_id("rs_"),
            "type": "reasoning",
            "status": "completed",
            "summary": [],
            "content": [],
            "encrypted_content": self._setup.seal(None, self._take_rounds()),
        }
        index, make = self.next_index, self._numbering.make
        self.put(item)
        return [
            *events,
            make("output_item.added", output_index=index, item=item),
            make("output_item.done", output_index=index, item=item),
        ]

    def drop_open(self) -> None:
        """Keep what is open as incomplete: nothing more comes."""
        opened = [*self._written.values(), *([self._writer] if self._writer else [])]
        self._written.clear()
        self._writer = None
        for writer in opened:
            if not isinstance(writer, ApprovalWriter):
                self._done[writer.index] = writer.to_item("incomplete")

    def _finish(self, writer: ItemWriter, events: list[ResponseEvent]) -> list[ResponseEvent]:
        self._done[writer.index] = events[-1]["item"]
        return events

    def _note(self, writer: ItemWriter) -> None:
        self.item_ids.append(writer.item_id)
        match writer:
            case CallWriter():
                self.call_ids.append(writer.call_id)
            case HostedWriter() | ApprovalWriter():
                self.call_ids.append(writer.item_id)
            case MessageWriter(phase="final_answer"):
                self.has_final = True
            case _:
                pass

    def _is_ignored(self, start: MessageStart) -> bool:
        """Whether a call is one too many: it is no item, and not told."""
        call = self._hosted.read(start)
        name = self._setup.tools.get(start.recipient or "")
        if call is None and (name is None or not name.kind.is_client_run):
            return False
        self._counted_calls += 1
        most = self._setup.max_tool_calls
        is_ignored = most is not None and self._counted_calls > most
        if is_ignored and call is not None:
            self.ignored.append(to_ignored(call))
        return is_ignored

    def _open(self, start: MessageStart) -> list[ResponseEvent]:
        self._writer = self._make_writer(start)
        return self._writer.begin()

    def _make_writer(self, start: MessageStart) -> ItemWriter:
        index, make_id = self.next_index, self._setup.make_id
        if (call := self._hosted.read(start)) is not None:
            return self._hosted.open(call, self._numbering, index)
        if start.recipient is not None:
            return self._make_call_writer(start.recipient, index)
        if start.is_reasoning:
            return self._make_reasoning_writer(index)
        phase: Phase = "final_answer" if start.channel is Channel.FINAL else "commentary"
        cite = self._setup.hosted.cite
        if cite is not None and phase == "final_answer":
            return CitingWriter(self._numbering, index, make_id("msg_"), cite=cite)
        return MessageWriter(self._numbering, index, make_id("msg_"), phase=phase)

    def _make_reasoning_writer(self, index: int) -> ReasoningWriter:
        seal = self._setup.seal
        return ReasoningWriter(
            self._numbering,
            index,
            self._setup.make_id("rs_"),
            has_summary=self._setup.has_summary,
            seal=None if seal is None else functools.partial(_seal, seal, self._take_rounds()),
        )

    def _take_rounds(self) -> tuple[EndedRound, ...]:
        rounds, self._rounds = tuple(self._rounds), []
        return rounds

    def _make_call_writer(self, recipient: str, index: int) -> CallWriter:
        unknown = ToolName(ToolKind.FUNCTION, recipient)
        name = self._setup.tools.get(recipient, unknown)
        prefix, writer = _CALLS[name.kind]
        item_id, call_id = self._setup.make_id(prefix), self._setup.make_id("call_")
        return writer(self._numbering, index, item_id, call_id=call_id, name=name)

    def _entry(self, delta: ContentDelta, logprob: TokenLogprob | None) -> LogprobEntry | None:
        is_wanted = self._setup.has_logprobs and isinstance(self._writer, MessageWriter)
        if not is_wanted or logprob is None or delta.token_id is None:
            return None
        return to_logprob_entry(self._setup.token_bytes, delta.token_id, logprob)


def _seal(seal: SealReasoning, rounds: Sequence[EndedRound], reasoning: Reasoning) -> str:
    return seal(reasoning, rounds)


def _without_answer(item: ListedItem) -> JsonMapping:
    """The item of a call, whose answer is kept beside it."""
    return {key: value for key, value in item.items() if key not in ("outputs", "output")}
