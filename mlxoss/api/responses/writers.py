"""One output item each, from its first event to its last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Unpack

from mlxoss.api.answers import LogprobEntry
from mlxoss.api.responses.answers import EventFields, EventTokenLogprob, ResponseEvent
from mlxoss.api.responses.item_answers import (
    ItemStatus,
    ListedCustomCall,
    ListedFunctionCall,
    ListedItem,
    ListedMessage,
    ListedReasoning,
    OutputText,
    Phase,
    ReasoningText,
    SummaryText,
    UrlCitation,
)
from mlxoss.api.responses.tool_table import ToolName
from mlxoss.harmony.conversation import Reasoning

_IN_PROGRESS: Final = "in_progress"


class Numbering:
    """Makes a stream's events: their sequence numbers start at 0 and have no gaps."""

    def __init__(self) -> None:
        self._next = 0

    def make(self, kind: str, **fields: Unpack[EventFields]) -> ResponseEvent:
        """The next event, of type ``response.<kind>``."""
        return {"type": f"response.{kind}", **fields, "sequence_number": self._take()}

    def number(self, event: ResponseEvent) -> ResponseEvent:
        """``event`` with the next number."""
        numbered = event.copy()
        numbered["sequence_number"] = self._take()
        return numbered

    def _take(self) -> int:
        self._next += 1
        return self._next - 1

    def take_back(self, count: int) -> None:
        """Give the last ``count`` numbers anew: their events were never sent."""
        self._next -= count


class ItemWriter(ABC):
    """An item that grows: ``begin`` once, then ``add``, then ``end`` once.

    ``index`` is its place in the output; ``item_id`` stays the same throughout.
    """

    def __init__(self, numbering: Numbering, index: int, item_id: str) -> None:
        self._numbering = numbering
        self._index = index
        self._item_id = item_id
        self._texts: list[str] = []
        self._has_begun = False

    @property
    def index(self) -> int:
        """The item's place in the output."""
        return self._index

    @property
    def item_id(self) -> str:
        """The item's id."""
        return self._item_id

    def begin(self) -> list[ResponseEvent]:
        """The events before any text."""
        added = self._on_item("added", _IN_PROGRESS)
        self._has_begun = True
        return [added, *self._opening()]

    def add(
        self, text: str, token_id: int | None, logprob: LogprobEntry | None
    ) -> list[ResponseEvent]:
        """The events for one delta; ``logprob`` is its token's entry."""
        self._note(token_id, logprob)
        if not text and logprob is None:
            return []
        self._texts.append(text)
        return list(self._deltas(text, logprob))

    def end(self, status: ItemStatus) -> list[ResponseEvent]:
        """The events after the last text; the last one holds the whole item."""
        return [*self._closing(), self._on_item("done", status)]

    @abstractmethod
    def to_item(self, status: ItemStatus) -> ListedItem:
        """The item as it stands."""

    @property
    def _text(self) -> str:
        return "".join(self._texts)

    @abstractmethod
    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        """The events for ``text``."""

    @abstractmethod
    def _closing(self) -> Iterator[ResponseEvent]:
        """The events between the last text and the item's own end."""

    def _opening(self) -> Iterator[ResponseEvent]:
        """The events between the item's beginning and its first text."""
        return iter(())

    def _note(self, token_id: int | None, logprob: LogprobEntry | None) -> None:
        """Take in what a delta is besides its text."""
        return

    def _make(self, kind: str, **fields: Unpack[EventFields]) -> ResponseEvent:
        own: EventFields = {"item_id": self._item_id, "output_index": self._index, **fields}
        return self._numbering.make(kind, **own)

    def _on_item(self, kind: str, status: ItemStatus) -> ResponseEvent:
        item = self.to_item(status)
        return self._numbering.make(f"output_item.{kind}", output_index=self._index, item=item)


class MessageWriter(ItemWriter):
    """A message: a preamble (``phase`` commentary) or the final answer."""

    def __init__(self, numbering: Numbering, index: int, item_id: str, *, phase: Phase) -> None:
        super().__init__(numbering, index, item_id)
        self.phase = phase
        self._logprobs: list[LogprobEntry] = []
        self._annotations: list[UrlCitation] = []

    def to_item(self, status: ItemStatus) -> ListedMessage:
        """The message as it stands."""
        return {
            "id": self._item_id,
            "type": "message",
            "status": status,
            "role": "assistant",
            "phase": self.phase,
            "content": [self._part()] if self._has_begun else [],
        }

    def _opening(self) -> Iterator[ResponseEvent]:
        yield self._make("content_part.added", content_index=0, part=self._part())

    def _note(self, token_id: int | None, logprob: LogprobEntry | None) -> None:
        if logprob is not None:
            self._logprobs.append(logprob)

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        yield self._delta(text, [] if logprob is None else [logprob])

    def _delta(self, text: str, logprobs: Sequence[LogprobEntry]) -> ResponseEvent:
        bare = [_without_bytes(entry) for entry in logprobs]
        return self._make("output_text.delta", content_index=0, delta=text, logprobs=bare)

    def _closing(self) -> Iterator[ResponseEvent]:
        bare = [_without_bytes(entry) for entry in self._logprobs]
        yield self._make("output_text.done", content_index=0, text=self._text, logprobs=bare)
        yield self._make("content_part.done", content_index=0, part=self._part())

    def _part(self) -> OutputText:
        return {
            "type": "output_text",
            "text": self._text,
            "annotations": list(self._annotations),
            "logprobs": list(self._logprobs),
        }


class ReasoningWriter(ItemWriter):
    """Reasoning: its text, with ``has_summary`` once more as its summary.

    ``seal`` makes the item's encrypted content, if it is to have one.
    """

    def __init__(
        self,
        numbering: Numbering,
        index: int,
        item_id: str,
        *,
        has_summary: bool,
        seal: Callable[[Reasoning], str] | None,
    ) -> None:
        super().__init__(numbering, index, item_id)
        self._has_summary = has_summary
        self._seal = seal
        self._token_ids: list[int] = []

    def to_item(self, status: ItemStatus) -> ListedReasoning:
        """The reasoning as it stands."""
        item: ListedReasoning = {
            "id": self._item_id,
            "type": "reasoning",
            "status": status,
            "summary": [self._summary_part()] if self._has_begun and self._has_summary else [],
            "content": [self._text_part()] if self._has_begun else [],
        }
        if self._seal is not None and status != _IN_PROGRESS:
            ids = tuple(self._token_ids) or None
            item["encrypted_content"] = self._seal(Reasoning(self._text, ids))
        return item

    def _opening(self) -> Iterator[ResponseEvent]:
        yield self._make("content_part.added", content_index=0, part=self._text_part())
        if self._has_summary:
            part = self._summary_part()
            yield self._make("reasoning_summary_part.added", summary_index=0, part=part)

    def _note(self, token_id: int | None, logprob: LogprobEntry | None) -> None:
        if token_id is not None:
            self._token_ids.append(token_id)

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        yield self._make("reasoning_text.delta", content_index=0, delta=text)
        if self._has_summary:
            yield self._make("reasoning_summary_text.delta", summary_index=0, delta=text)

    def _closing(self) -> Iterator[ResponseEvent]:
        text = self._text
        yield self._make("reasoning_text.done", content_index=0, text=text)
        yield self._make("content_part.done", content_index=0, part=self._text_part())
        if self._has_summary:
            part = self._summary_part()
            yield self._make("reasoning_summary_text.done", summary_index=0, text=text)
            yield self._make("reasoning_summary_part.done", summary_index=0, part=part)

    def _text_part(self) -> ReasoningText:
        return {"type": "reasoning_text", "text": self._text}

    def _summary_part(self) -> SummaryText:
        return {"type": "summary_text", "text": self._text}


class CallWriter(ItemWriter):
    """A call, of whichever kind."""

    def __init__(
        self, numbering: Numbering, index: int, item_id: str, *, call_id: str, name: ToolName
    ) -> None:
        super().__init__(numbering, index, item_id)
        self.call_id = call_id
        self._name = name


class FunctionCallWriter(CallWriter):
    """A call of a function."""

    def to_item(self, status: ItemStatus) -> ListedFunctionCall:
        """The call as it stands."""
        item: ListedFunctionCall = {
            "id": self._item_id,
            "type": "function_call",
            "status": status,
            "call_id": self.call_id,
            "name": self._name.name,
            "arguments": self._text,
        }
        if self._name.namespace is not None:
            item["namespace"] = self._name.namespace
        return item

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        yield self._make("function_call_arguments.delta", delta=text)

    def _closing(self) -> Iterator[ResponseEvent]:
        yield self._make("function_call_arguments.done", arguments=self._text)


class CustomCallWriter(CallWriter):
    """A call of a custom tool."""

    def to_item(self, status: ItemStatus) -> ListedCustomCall:
        """The call as it stands."""
        item: ListedCustomCall = {
            "id": self._item_id,
            "type": "custom_tool_call",
            "status": status,
            "call_id": self.call_id,
            "name": self._name.name,
            "input": self._text,
        }
        if self._name.namespace is not None:
            item["namespace"] = self._name.namespace
        return item

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        yield self._make("custom_tool_call_input.delta", delta=text)

    def _closing(self) -> Iterator[ResponseEvent]:
        yield self._make("custom_tool_call_input.done", input=self._text)


def _without_bytes(entry: LogprobEntry) -> EventTokenLogprob:
    """``entry`` as events have it."""
    return {
        "token": entry["token"],
        "logprob": entry["logprob"],
        "top_logprobs": [
            {"token": one["token"], "logprob": one["logprob"]} for one in entry["top_logprobs"]
        ],
    }
