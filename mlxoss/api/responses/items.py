"""The items of the Responses API, as they come in and as they are kept.

Source: OpenAI's API reference (responses, input items). A kept item always has an id
and is written the way OpenAI lists it: contents as parts, with a status. Keys that no
item of its type has are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from mlxoss.api.history.files import INPUT_FILE
from mlxoss.api.params import FunctionName
from mlxoss.api.responses.item_answers import (
    InputFile,
    InputText,
    ItemStatus,
    ListedCallOutput,
    ListedCompaction,
    ListedCustomCall,
    ListedFunctionCall,
    ListedMessage,
    ListedReasoning,
    ListedRecord,
    MessageHead,
    OutputText,
    Phase,
    ReasoningHead,
    RecordType,
    Refusal,
    Role,
    read_citation,
)
from mlxoss.api.validation import StrictModel, read_later
from mlxoss.core import JsonObject

Id = Annotated[str, Field(min_length=1, max_length=256)]


_PLAIN = "text"
"""The type of the one part that a plain string is read as."""


def _to_parts(value: Any) -> Any:
    if isinstance(value, str):
        return [{"type": _PLAIN, "text": value}]
    if isinstance(value, list):
        return value
    raise PydanticCustomError(
        "content_type", "input should be a string or an array of content parts"
    )


class ItemPart(StrictModel):
    """A part of a content or an output, of any type; ``parse_items`` takes the textual ones, and
    files whose ``text`` was read."""

    type: str
    text: str | None = None
    refusal: str | None = None
    filename: str | None = None
    file_data: str | None = None
    file_url: str | None = None
    annotations: list[Any] | None = None

    @property
    def said(self) -> str:
        """The part's text."""
        return self.text if self.text is not None else self.refusal or ""


Parts = Annotated[
    list[ItemPart], BeforeValidator(_to_parts, json_schema_input_type=str | list[ItemPart])
]


def _without_id(schema: JsonObject) -> None:
    schema["required"].remove("id")


class _Item(StrictModel):
    """What all items have. One that comes without an id is given one before it is validated."""

    model_config = ConfigDict(json_schema_extra=_without_id)

    id: Id


class Said(StrictModel):
    """What a message says, and ``agent_message`` too."""

    content: Parts


class MessageItem(_Item):
    """A message of any role. ``phase`` tells a preamble from a final answer."""

    type: Literal["message"] = "message"
    role: Role
    content: Parts
    phase: Phase | None = None
    status: ItemStatus | None = None

    @property
    def text(self) -> str:
        """All of the content; parts are lines of their own."""
        return join_parts(self.content)

    def to_json(self) -> ListedMessage:
        """The item as it is listed."""
        head: MessageHead = {
            "id": self.id,
            "type": self.type,
            "status": self.status or "completed",
            "role": self.role,
        }
        if self.role != "assistant":
            return {**head, "content": [*to_input_parts(self.content)]}
        if self.phase is not None:
            head["phase"] = self.phase
        return {**head, "content": [_output_part(part) for part in self.content]}


class ReasoningItem(_Item):
    """Earlier reasoning: its text, a summary, its sealed ids, or several of these."""

    type: Literal["reasoning"]
    summary: list[ItemPart] | None = None
    content: list[ItemPart] | None = None
    encrypted_content: str | None = None
    status: ItemStatus | None = None

    @property
    def text(self) -> str:
        """The reasoning's own text, else its summary's."""
        return join_parts(self.content or self.summary or ())

    def to_json(self) -> ListedReasoning:
        """The item as it is listed."""
        item: ReasoningHead = {
            "id": self.id,
            "type": self.type,
            "summary": [{"type": "summary_text", "text": part.said} for part in self.summary or ()],
        }
        if self.content is not None:
            item["content"] = [
                {"type": "reasoning_text", "text": part.said} for part in self.content
            ]
        if self.encrypted_content is not None:
            item["encrypted_content"] = self.encrypted_content
        return {**item, "status": self.status or "completed"}


class FunctionCallItem(_Item):
    """A call of a function; ``arguments`` verbatim."""

    type: Literal["function_call"]
    call_id: Id
    name: FunctionName
    arguments: str
    namespace: str | None = None
    status: ItemStatus | None = None

    def to_json(self) -> ListedFunctionCall:
        """The item as it is listed."""
        call: ListedFunctionCall = {
            "id": self.id,
            "type": self.type,
            "status": self.status or "completed",
            "call_id": self.call_id,
            "name": self.name,
            "arguments": self.arguments,
        }
        if self.namespace is not None:
            call["namespace"] = self.namespace
        return call


class CustomCallItem(_Item):
    """A call of a custom tool; ``input`` verbatim."""

    type: Literal["custom_tool_call"]
    call_id: Id
    name: FunctionName
    input: str
    namespace: str | None = None
    status: ItemStatus | None = None

    def to_json(self) -> ListedCustomCall:
        """The item as it is listed."""
        call: ListedCustomCall = {
            "id": self.id,
            "type": self.type,
            "status": self.status or "completed",
            "call_id": self.call_id,
            "name": self.name,
            "input": self.input,
        }
        if self.namespace is not None:
            call["namespace"] = self.namespace
        return call


class CallOutputItem(_Item):
    """What a tool answered. ``type`` says which kind of call it answers."""

    type: Literal["function_call_output", "custom_tool_call_output"]
    call_id: Id
    output: Parts
    status: ItemStatus | None = None

    @property
    def text(self) -> str:
        """All of the output."""
        return join_parts(self.output)

    def to_json(self) -> ListedCallOutput:
        """The item as it is listed."""
        is_plain = [part.type for part in self.output] == [_PLAIN]
        output = self.text if is_plain else to_input_parts(self.output)
        return {
            "id": self.id,
            "type": self.type,
            "status": self.status or "completed",
            "call_id": self.call_id,
            "output": output,
        }


class CompactionItem(_Item):
    """A conversation's earlier part, as ``/v1/responses/compact`` sealed it."""

    type: Literal["compaction"]
    encrypted_content: str

    def to_json(self) -> ListedCompaction:
        """The item as it is listed."""
        return {
            "id": self.id,
            "type": self.type,
            "encrypted_content": self.encrypted_content,
        }


class RecordItem(_Item):
    """A call of a tool that the client runs or its output, or what another server did or is told;
    kept and listed as it came.

    ``mlxoss.api.responses.records`` says what the model reads of it.
    """

    model_config = ConfigDict(extra="allow")

    type: RecordType

    @property
    def fields(self) -> JsonObject:
        """What it holds besides its id and type."""
        return self.model_extra or {}

    @property
    def call_id(self) -> str | None:
        """The id under which a client may answer the call that this is."""
        call_id = self.fields.get("call_id")
        return call_id if isinstance(call_id, str) and self.type.endswith("_call") else None

    def to_json(self) -> ListedRecord:
        """The item as it is listed."""
        item: ListedRecord = {"id": self.id, "type": self.type}
        return cast("ListedRecord", {**self.fields, **item})


TypedItem = (
    MessageItem
    | ReasoningItem
    | FunctionCallItem
    | CustomCallItem
    | CallOutputItem
    | CompactionItem
)
"""Items whose fields are known and checked."""

Item = TypedItem | RecordItem


def outlives_compaction(item: Item) -> bool:
    """Whether ``item`` stays beside a compaction that stands for it.

    System, developer and user messages do, and so do the tools that a client added or found, which
    nothing else tells of.
    """
    if isinstance(item, RecordItem):
        return item.type in ("additional_tools", "tool_search_output")
    return isinstance(item, MessageItem) and item.role != "assistant"


class ItemReference(StrictModel):
    """Stands for a kept item."""

    type: Literal["item_reference"] | None = None
    id: Id


InputItem = Annotated[Any, read_later(Item | ItemReference)]
"""An item as it comes in: ``parse_items`` reads it."""


def join_parts(parts: Iterable[ItemPart]) -> str:
    """Their texts, each on lines of its own."""
    return "\n".join(part.said for part in parts)


def to_input_parts(parts: Iterable[ItemPart]) -> list[InputText | InputFile]:
    """Parts as what was put in; with a file goes what was read of it."""
    return [
        _to_file(part) if part.type == INPUT_FILE else {"type": "input_text", "text": part.said}
        for part in parts
    ]


def _to_file(part: ItemPart) -> InputFile:
    names = ("filename", "file_data", "file_url", "text")
    told = {name: value for name in names if (value := getattr(part, name)) is not None}
    return cast("InputFile", {"type": INPUT_FILE, **told})


def _output_part(part: ItemPart) -> OutputText | Refusal:
    if part.type == "refusal":
        return {"type": "refusal", "refusal": part.said}
    annotations = [one for one in map(read_citation, part.annotations or ()) if one is not None]
    return {"type": "output_text", "text": part.said, "annotations": annotations, "logprobs": []}
