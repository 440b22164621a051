"""From a turn's events to the ``response.*`` events of ``POST /v1/responses``.

Each message of the turn is an output item of its own: analysis a reasoning item, a
preamble a message in the phase ``commentary``, the final answer one in ``final_answer``,
a call a ``function_call``, ``custom_tool_call`` or the item of a tool that the client runs. An
unstreamed answer is the response of the last event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mlxoss.api.answer_stream import AnswerStream
from mlxoss.api.answers import PromptProgressReport
from mlxoss.api.errors import HttpError
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import RunnableCall, ToolResult
from mlxoss.api.responses.answers import ResponseEvent, ResponseObject, ResponseStatus
from mlxoss.api.responses.hosted.mcp_lists import to_list_item
from mlxoss.api.responses.hosted.running import ApprovedCall
from mlxoss.api.responses.item_answers import ListedCompaction, ListedItem
from mlxoss.api.responses.object import ResponseShape
from mlxoss.api.responses.output import Output, StreamSetup
from mlxoss.api.responses.writers import Numbering
from mlxoss.api.sse import DONE, encode_named
from mlxoss.api.turn_request import TurnOutput, Usage
from mlxoss.harmony.events import (
    ContentDelta,
    MessageEnd,
    MessageStart,
    TurnEnd,
    TurnEndReason,
)
from mlxoss.outcomes import McpToolList, ToolOutcome

PROMPT_PROGRESS = "mlxoss.prompt_progress"


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
        self._output = Output(setup, self._numbering)
        self._is_created = False
        self._is_in_progress = False
        self._compaction: ListedCompaction | None = None
        self._end = TurnEndReason.RETURN
        self._response = shape.to_json(ResponseStatus.QUEUED)

    @property
    def response(self) -> ResponseObject:
        """The response object as of the last event that carried one, or of ``cancel``."""
        return self._response

    @property
    def output(self) -> tuple[ListedItem, ...]:
        """The items that are done, in order."""
        return self._output.done

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The ids of the items that the round's turn wrote, in order."""
        return tuple(self._output.item_ids)

    @property
    def call_ids(self) -> tuple[str, ...]:
        """The ids of the calls among them; that of a call that this server runs is its item's."""
        return tuple(self._output.call_ids)

    @property
    def calls_to_run(self) -> tuple[RunnableCall, ...]:
        """The calls that this server has to run now, in order."""
        return self._output.calls_to_run

    @property
    def ignored_calls(self) -> tuple[RunnableCall, ...]:
        """Those of the round over ``max_tool_calls``, without their text: they are no items."""
        return tuple(self._output.ignored)

    @property
    def awaits_client(self) -> bool:
        """Whether the client has to answer a call, or to allow one, before anything goes on."""
        return self._output.awaits_client

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
        self._output.put(done)
        return [self._numbering.make("output_item.done", output_index=0, item=done)]

    def feed(self, output: TurnOutput) -> list[ResponseEvent]:
        """The events for ``output``; there is one choice."""
        match output.event:
            case MessageStart() as event:
                return self._output.start(event)
            case ContentDelta() as delta:
                return self._output.add(delta, output.logprob)
            case MessageEnd(is_cut=is_cut):
                return self._output.end("incomplete" if is_cut else "completed")
            case TurnEnd(reason=reason):
                self._end = reason
                return []

    def list_tools(self, label: str, listed: McpToolList) -> list[ResponseEvent]:
        """A whole ``mcp_list_tools`` item: what the MCP server ``label`` offers."""
        item_id, index = self._setup.make_id("mcpl_"), self._output.next_index
        item = to_list_item(item_id, label, listed)
        self._output.put(item)
        make = self._numbering.make
        has_failed = listed.failure is not None
        kind = "mcp_list_tools.failed" if has_failed else "mcp_list_tools.completed"
        return [
            make("output_item.added", output_index=index, item={**item, "tools": []}),
            make("mcp_list_tools.in_progress", output_index=index, item_id=item_id),
            make(kind, output_index=index, item_id=item_id),
            make("output_item.done", output_index=index, item=item),
        ]

    def begin_approved(self, approved: ApprovedCall) -> tuple[RunnableCall, list[ResponseEvent]]:
        """A call that the client has allowed, to be run before the model goes on."""
        return self._output.open_approved(approved)

    def begin_call(self, call: RunnableCall) -> list[ResponseEvent]:
        """The events as ``call`` begins to run."""
        return self._output.begin_call(call)

    def end_call(self, call: RunnableCall, outcome: ToolOutcome) -> list[ResponseEvent]:
        """The events as ``call`` has ended, whichever way."""
        return self._output.end_call(call, outcome)

    def end_round(self, token_ids: Sequence[int], results: Mapping[str, ToolResult]) -> EndedRound:
        """What is to be kept of a turn whose calls were run, before the next turn or ``finish``.

        ``results`` are by ``RunnableCall.item_id``. Sealed reasoning that follows takes the round
        along; where none does, ``finish`` adds an item that has nothing else.
        """
        return self._output.end_round(token_ids, results)

    def finish(self, usage: Usage) -> list[ResponseEvent]:
        """The last events, once the turn has ended: completed, or incomplete at the limit."""
        self._is_in_progress = False
        events = self._output.close()
        if self._end is TurnEndReason.LENGTH:
            return [*events, self._lifecycle("incomplete", ResponseStatus.INCOMPLETE, usage=usage)]
        return [*events, self._lifecycle("completed", ResponseStatus.COMPLETED, usage=usage)]

    def fail(self, error: HttpError, usage: Usage) -> list[ResponseEvent]:
        """The last event of a response that broke; an open item is kept as incomplete."""
        self._is_in_progress = False
        self._output.drop_open()
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
        self._output.drop_open()
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
            status,
            self._output.done,
            usage=usage,
            error=error,
            completed_at=int(self._setup.clock()),
        )
