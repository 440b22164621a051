"""One output item each, from its first event to its last."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mlxoss.api.responses.tools import ToolKind, ToolName
from mlxoss.harmony.conversation import Reasoning

StreamEvent = dict[str, Any]
"""A ``response.*`` event as it is sent."""

COMPLETED = "completed"
INCOMPLETE = "incomplete"
_IN_PROGRESS = "in_progress"


class Numbering:
    """Makes a stream's events: their sequence numbers start at 0 and have no gaps."""

    def __init__(self) -> None:
        self._next = 0

    def make(self, kind: str, **fields: Any) -> StreamEvent:
        """The next event, of type ``response.<kind>``."""
        return self.number({"type": f"response.{kind}", **fields})

    def number(self, event: StreamEvent) -> StreamEvent:
        """``event`` with the next number."""
        numbered = {**event, "sequence_number": self._next}
        self._next += 1
        return numbered

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

    def begin(self) -> list[StreamEvent]:
        """The events before any text."""
        added = self._on_item("added", _IN_PROGRESS)
        self._has_begun = True
        return [added, *self._opening()]

    def add(
        self, text: str, token_id: int | None, logprob: dict[str, Any] | None
    ) -> list[StreamEvent]:
        """The events for one delta; ``logprob`` is its token's entry."""
        self._note(token_id, logprob)
        if not text and logprob is None:
            return []
        self._texts.append(text)
        return list(self._deltas(text, logprob))

    def end(self, status: str) -> list[StreamEvent]:
        """The events after the last text; the last one holds the whole item."""
        return [*self._closing(), self._on_item("done", status)]

    def to_item(self, status: str) -> dict[str, Any]:
        """The item as it stands."""
        item_type, fields = self._content(status)
        return {"id": self._item_id, "type": item_type, "status": status, **fields}

    @property
    def _text(self) -> str:
        return "".join(self._texts)

    @abstractmethod
    def _content(self, status: str) -> tuple[str, dict[str, Any]]:
        """The item's type and the fields that only this type has."""

    @abstractmethod
    def _deltas(self, text: str, logprob: dict[str, Any] | None) -> Iterator[StreamEvent]:
        """The events for ``text``."""

    @abstractmethod
    def _closing(self) -> Iterator[StreamEvent]:
        """The events between the last text and the item's own end."""

    def _opening(self) -> Iterator[StreamEvent]:
        """The events between the item's beginning and its first text."""
        return iter(())

    def _note(self, token_id: int | None, logprob: dict[str, Any] | None) -> None:
        """Take in what a delta is besides its text."""
        return

    def _make(self, kind: str, **fields: Any) -> StreamEvent:
        return self._numbering.make(kind, item_id=self._item_id, output_index=self._index, **fields)

    def _on_item(self, kind: str, status: str) -> StreamEvent:
        item = self.to_item(status)
        return self._numbering.make(f"output_item.{kind}", output_index=self._index, item=item)


class MessageWriter(ItemWriter):
    """A message: a preamble (``phase`` commentary) or the final answer."""

    def __init__(self, numbering: Numbering, index: int, item_id: str, *, phase: str) -> None:
        super().__init__(numbering, index, item_id)
        self._phase = phase
        self._logprobs: list[dict[str, Any]] = []

    def _content(self, status: str) -> tuple[str, dict[str, Any]]:
        content = [self._part()] if self._has_begun else []
        return "message", {"role": "assistant", "phase": self._phase, "content": content}

    def _opening(self) -> Iterator[StreamEvent]:
        yield self._make("content_part.added", content_index=0, part=self._part())

    def _note(self, token_id: int | None, logprob: dict[str, Any] | None) -> None:
        if logprob is not None:
            self._logprobs.append(logprob)

    def _deltas(self, text: str, logprob: dict[str, Any] | None) -> Iterator[StreamEvent]:
        bare = [] if logprob is None else [_without_bytes(logprob)]
        yield self._make("output_text.delta", content_index=0, delta=text, logprobs=bare)

    def _closing(self) -> Iterator[StreamEvent]:
        bare = [_without_bytes(entry) for entry in self._logprobs]
        yield self._make("output_text.done", content_index=0, text=self._text, logprobs=bare)
        yield self._make("content_part.done", content_index=0, part=self._part())

    def _part(self) -> dict[str, Any]:
        return {
            "type": "output_text",
            "text": self._text,
            "annotations": [],
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

    def _content(self, status: str) -> tuple[str, dict[str, Any]]:
        fields: dict[str, Any] = {
            "summary": [self._summary_part()] if self._has_begun and self._has_summary else [],
            "content": [self._text_part()] if self._has_begun else [],
        }
        if self._seal is not None and status != _IN_PROGRESS:
            ids = tuple(self._token_ids) or None
            fields["encrypted_content"] = self._seal(Reasoning(self._text, ids))
        return "reasoning", fields

    def _opening(self) -> Iterator[StreamEvent]:
        yield self._make("content_part.added", content_index=0, part=self._text_part())
        if self._has_summary:
            part = self._summary_part()
            yield self._make("reasoning_summary_part.added", summary_index=0, part=part)

    def _note(self, token_id: int | None, logprob: dict[str, Any] | None) -> None:
        if token_id is not None:
            self._token_ids.append(token_id)

    def _deltas(self, text: str, logprob: dict[str, Any] | None) -> Iterator[StreamEvent]:
        yield self._make("reasoning_text.delta", content_index=0, delta=text)
        if self._has_summary:
            yield self._make("reasoning_summary_text.delta", summary_index=0, delta=text)

    def _closing(self) -> Iterator[StreamEvent]:
        text = self._text
        yield self._make("reasoning_text.done", content_index=0, text=text)
        yield self._make("content_part.done", content_index=0, part=self._text_part())
        if self._has_summary:
            part = self._summary_part()
            yield self._make("reasoning_summary_text.done", summary_index=0, text=text)
            yield self._make("reasoning_summary_part.done", summary_index=0, part=part)

    def _text_part(self) -> dict[str, Any]:
        return {"type": "reasoning_text", "text": self._text}

    def _summary_part(self) -> dict[str, Any]:
        return {"type": "summary_text", "text": self._text}


@dataclass(frozen=True, slots=True)
class _CallWords:
    """How a kind of call is spelled: its item's type, its text's field, its events."""

    item_type: str
    field: str
    events: str


_CALL_WORDS: MappingProxyType[ToolKind, _CallWords] = MappingProxyType(
    {
        ToolKind.FUNCTION: _CallWords("function_call", "arguments", "function_call_arguments"),
        ToolKind.CUSTOM: _CallWords("custom_tool_call", "input", "custom_tool_call_input"),
    }
)


class CallWriter(ItemWriter):
    """A call of a function or of a custom tool."""

    def __init__(
        self, numbering: Numbering, index: int, item_id: str, *, call_id: str, name: ToolName
    ) -> None:
        super().__init__(numbering, index, item_id)
        self._call_id = call_id
        self._name = name
        self._words = _CALL_WORDS[name.kind]

    def _content(self, status: str) -> tuple[str, dict[str, Any]]:
        fields = {
            "call_id": self._call_id,
            "name": self._name.name,
            self._words.field: self._text,
        }
        if self._name.namespace is not None:
            fields["namespace"] = self._name.namespace
        return self._words.item_type, fields

    def _deltas(self, text: str, logprob: dict[str, Any] | None) -> Iterator[StreamEvent]:
        yield self._make(f"{self._words.events}.delta", delta=text)

    def _closing(self) -> Iterator[StreamEvent]:
        text = {self._words.field: self._text}
        yield self._make(f"{self._words.events}.done", **text)


def _without_bytes(entry: dict[str, Any]) -> dict[str, Any]:
    """``entry`` as events have it."""
    top = [{"token": one["token"], "logprob": one["logprob"]} for one in entry["top_logprobs"]]
    return {"token": entry["token"], "logprob": entry["logprob"], "top_logprobs": top}
