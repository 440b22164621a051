"""From a turn's events to the ``response.*`` events of ``POST /v1/responses``.

Each message of the turn is an output item of its own: analysis a reasoning item, a
preamble a message in the phase ``commentary``, the final answer one in ``final_answer``,
a call a ``function_call``, ``custom_tool_call`` or the item of a tool that the client runs. An
unstreamed answer is the response of the last event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mlxoss.api.answer_stream import AnswerStream
from mlxoss.api.answers import LogprobEntry, PromptProgressReport
from mlxoss.api.errors import HttpError
from mlxoss.api.logprobs import to_logprob_entry
from mlxoss.api.responses.answers import ResponseEvent, ResponseObject, ResponseStatus
from mlxoss.api.responses.client_run.writers import (
    LocalShellCallWriter,
    PatchCallWriter,
    ShellCallWriter,
    ToolSearchCallWriter,
)
from mlxoss.api.responses.item_answers import ItemStatus, ListedCompaction, ListedItem, Phase
from mlxoss.api.responses.object import ResponseShape
from mlxoss.api.responses.tools import ToolKind, ToolName
from mlxoss.api.responses.writers import (
    CallWriter,
    CustomCallWriter,
    FunctionCallWriter,
    ItemWriter,
    MessageWriter,
    Numbering,
    ReasoningWriter,
)
from mlxoss.api.sse import DONE, encode_named
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.core import TokenLogprob
from mlxoss.harmony.conversation import Reasoning
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)

PROMPT_PROGRESS = "mlxoss.prompt_progress"

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


@dataclass(frozen=True, slots=True)
class StreamSetup:
    """What a stream needs from outside.

    ``tools`` are ``ToolTable.names``; ``make_id`` gives a fresh id with the given prefix;
    ``clock`` Unix seconds; ``token_bytes`` a token's bytes. ``seal`` makes encrypted
    contents (``None``: reasoning items have none). With ``has_summary`` reasoning items
    carry their text as a summary too, with ``has_logprobs`` messages their tokens' log
    probabilities. ``max_tool_calls`` is how many calls of OpenAI's tools are given out: further
    ones are ignored, those of functions do not count.
    """

    tools: Mapping[str, ToolName]
    make_id: Callable[[str], str]
    clock: Callable[[], float]
    token_bytes: Callable[[int], bytes]
    seal: Callable[[Reasoning], str] | None = None
    has_summary: bool = False
    has_logprobs: bool = False
    max_tool_calls: int | None = None


class ResponseFold:
    """The response of the last event."""

    def __init__(self) -> None:
        self._last: ResponseEvent | None = None

    def add(self, event: ResponseEvent) -> None:
        """Take in one event of ResponsesStream."""
        self._last = event

    def answer(self) -> ResponseObject:
        """The response."""
        assert self._last is not None
        return self._last["response"]


class ResponsesStream(AnswerStream[ResponseEvent]):
    """One response's events.

    ``queue`` before ``begin`` if it has to wait in the background; one that was taken back
    ends with ``cancel``.
    """

    # Usage counts the reasoning of earlier turns that is in the prompt: Codex need not guess it.
    headers = MappingProxyType({"x-reasoning-included": "true"})

    def __init__(self, shape: ResponseShape, setup: StreamSetup) -> None:
        self._shape = shape
        self._setup = setup
        self._numbering = Numbering()
        self._is_created = False
        self._is_in_progress = False
        self._waiting: MessageStart | None = None
        self._writer: ItemWriter | None = None
        self._output: list[ListedItem] = []
        self._call_ids: list[str] = []
        self._compaction: ListedCompaction | None = None
        self._client_calls = 0
        self._end = TurnEndReason.RETURN
        self._response = shape.to_json(ResponseStatus.QUEUED)

    @property
    def response(self) -> ResponseObject:
        """The response object as of the last event that carried one, or of ``cancel``."""
        return self._response

    @property
    def output(self) -> tuple[ListedItem, ...]:
        """The items that are done, in order."""
        return tuple(self._output)

    @property
    def call_ids(self) -> tuple[str, ...]:
        """The ids of the calls among them, in order."""
        return tuple(self._call_ids)

    def queue(self) -> list[ResponseEvent]:
        """The events of a background response that waits."""
        self._is_created = True
        return [
            self._lifecycle("created", ResponseStatus.QUEUED),
            self._lifecycle("queued", ResponseStatus.QUEUED),
        ]

    def begin(self, usage: Usage) -> list[ResponseEvent]:
        """The events before the first item."""
        events = []
        if not self._is_created:
            events.append(self._lifecycle("created", ResponseStatus.IN_PROGRESS))
        self._is_created = self._is_in_progress = True
        return [*events, self._lifecycle("in_progress", ResponseStatus.IN_PROGRESS)]

    def begin_compaction(self) -> list[ResponseEvent]:
        """The events before a summary of the conversation, which stands before all items."""
        item_id = self._setup.make_id("cmp_")
        self._compaction = {"id": item_id, "type": "compaction", "encrypted_content": ""}
        make = self._numbering.make
        return [
            make("output_item.added", output_index=0, item=self._compaction),
            make("compaction.compacting", output_index=0, item_id=item_id),
        ]

    def end_compaction(self, content: str) -> list[ResponseEvent]:
        """The event after it; ``content`` is the summary, sealed."""
        assert self._compaction is not None
        done: ListedCompaction = {**self._compaction, "encrypted_content": content}
        self._output.append(done)
        return [self._numbering.make("output_item.done", output_index=0, item=done)]

    def feed(self, output: TurnOutput) -> list[ResponseEvent]:
        """The events for ``output``; there is one choice."""
        match output.event:
            case MessageStart() as event:
                # Reasoning and preambles without a single token are no items.
                if self._is_ignored(event):
                    return []
                is_answer = event.recipient is not None or event.channel is Channel.FINAL
                self._waiting = None if is_answer else event
                return self._open(event) if is_answer else []
            case ContentDelta() as delta:
                return self._add(delta, output.logprob)
            case MessageEnd(is_cut=is_cut):
                self._waiting = None
                return self._end_item("incomplete" if is_cut else "completed")
            case TurnEnd(reason=reason):
                self._end = reason
                return []

    def finish(self, usage: Usage) -> list[ResponseEvent]:
        """The last event, once the turn has ended: completed, or incomplete at the limit."""
        self._is_in_progress = False
        if self._end is TurnEndReason.LENGTH:
            return [self._lifecycle("incomplete", ResponseStatus.INCOMPLETE, usage=usage)]
        return [self._lifecycle("completed", ResponseStatus.COMPLETED, usage=usage)]

    def fail(self, error: HttpError, usage: Usage) -> list[ResponseEvent]:
        """The last event of a response that broke; an open item is kept as incomplete."""
        self._is_in_progress = False
        self._drop_open()
        return [self._lifecycle("failed", ResponseStatus.FAILED, usage=usage, error=error)]

    def still_working(self) -> list[ResponseEvent]:
        """``response.in_progress`` once more, with the next number.

        None once the last event is made: it has its number, and may have to wait for the store.
        """
        if not self._is_in_progress:
            return []
        return [self._lifecycle("in_progress", ResponseStatus.IN_PROGRESS)]

    def prompt_progress(self, progress: PromptProgressReport) -> list[ResponseEvent]:
        """An event of this server's own; it has a number as the others have."""
        event: ResponseEvent = {"type": PROMPT_PROGRESS, "prompt_progress": progress}
        return [self._numbering.number(event)]

    def cancel(self, usage: Usage | None = None) -> ResponseObject:
        """The response of a background turn taken back. OpenAI has no event for it."""
        self._drop_open()
        self._response = self._to_json(ResponseStatus.CANCELLED, usage=usage)
        return self._response

    def make_fold(self) -> ResponseFold:
        """What makes the unstreamed answer."""
        return ResponseFold()

    def encode(self, events: Sequence[ResponseEvent]) -> bytes:
        """Events by their names."""
        return encode_named(events)

    def close(self) -> bytes:
        """``[DONE]``, however it ended."""
        return DONE

    def put_error_before(self, last: list[ResponseEvent], error: HttpError) -> list[ResponseEvent]:
        """``last``, which was not sent yet, behind an ``error`` event, numbered anew."""
        self._numbering.take_back(len(last))
        event: ResponseEvent = {
            "type": "error",
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }
        return [self._numbering.number(one) for one in (event, *last)]

    def _open(self, start: MessageStart) -> list[ResponseEvent]:
        self._writer = self._make_writer(start)
        return self._writer.begin()

    def _make_writer(self, start: MessageStart) -> ItemWriter:
        index, make_id = len(self._output), self._setup.make_id
        if start.recipient is not None:
            return self._make_call_writer(start.recipient)
        if start.is_reasoning:
            return ReasoningWriter(
                self._numbering,
                index,
                make_id("rs_"),
                has_summary=self._setup.has_summary,
                seal=self._setup.seal,
            )
        phase: Phase = "final_answer" if start.channel is Channel.FINAL else "commentary"
        return MessageWriter(self._numbering, index, make_id("msg_"), phase=phase)

    def _make_call_writer(self, recipient: str) -> ItemWriter:
        unknown = ToolName(ToolKind.FUNCTION, recipient)
        name = self._setup.tools.get(recipient, unknown)
        prefix, writer = _CALLS[name.kind]
        item_id, call_id = self._setup.make_id(prefix), self._setup.make_id("call_")
        self._call_ids.append(call_id)
        return writer(self._numbering, len(self._output), item_id, call_id=call_id, name=name)

    def _is_ignored(self, start: MessageStart) -> bool:
        """Whether a call is one of OpenAI's tools too many: it is no item, and not told."""
        name = self._setup.tools.get(start.recipient or "")
        if name is None or not name.kind.is_client_run:
            return False
        self._client_calls += 1
        most = self._setup.max_tool_calls
        return most is not None and self._client_calls > most

    def _add(self, delta: ContentDelta, logprob: TokenLogprob | None) -> list[ResponseEvent]:
        events: list[ResponseEvent] = []
        if self._waiting is not None:
            events += self._open(self._waiting)
            self._waiting = None
        if self._writer is None:
            return events
        return events + self._writer.add(delta.text, delta.token_id, self._entry(delta, logprob))

    def _entry(self, delta: ContentDelta, logprob: TokenLogprob | None) -> LogprobEntry | None:
        is_wanted = self._setup.has_logprobs and isinstance(self._writer, MessageWriter)
        if not is_wanted or logprob is None or delta.token_id is None:
            return None
        return to_logprob_entry(self._setup.token_bytes, delta.token_id, logprob)

    def _end_item(self, status: ItemStatus) -> list[ResponseEvent]:
        if self._writer is None:
            return []
        events = self._writer.end(status)
        self._output.append(events[-1]["item"])
        self._writer = None
        return events

    def _drop_open(self) -> None:
        if self._writer is not None:
            self._output.append(self._writer.to_item("incomplete"))
            self._writer = None

    def _lifecycle(
        self,
        kind: str,
        status: ResponseStatus,
        *,
        usage: Usage | None = None,
        error: HttpError | None = None,
    ) -> ResponseEvent:
        self._response = self._to_json(status, usage=usage, error=error)
        return self._numbering.make(kind, response=self._response)

    def _to_json(
        self,
        status: ResponseStatus,
        *,
        usage: Usage | None = None,
        error: HttpError | None = None,
    ) -> ResponseObject:
        return self._shape.to_json(
            status, self._output, usage=usage, error=error, completed_at=int(self._setup.clock())
        )
