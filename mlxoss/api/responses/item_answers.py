"""Shapes of the items that responses and conversations list, for ``/openapi.json``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel

from mlxoss.api.answers import Answer, TokenLogprob, maybe_absent
from mlxoss.api.responses.items import ItemStatus, Phase, Role


class InputText(Answer):
    """Text that was put in."""

    type: Literal["input_text"]
    text: str


class OutputText(Answer):
    """Text that the model wrote."""

    type: Literal["output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)]
    logprobs: list[TokenLogprob]


class Refusal(Answer):
    """A refusal that a client put in."""

    type: Literal["refusal"]
    refusal: str


class SummaryText(Answer):
    """A summary of reasoning."""

    type: Literal["summary_text"]
    text: str


class ReasoningText(Answer):
    """Reasoning itself."""

    type: Literal["reasoning_text"]
    text: str


class ListedMessage(Answer):
    """A message of any role."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Role
    phase: Phase = maybe_absent()
    content: list[InputText | OutputText | Refusal]


class ListedReasoning(Answer):
    """Reasoning before an answer or a call."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[SummaryText]
    content: list[ReasoningText] = maybe_absent()
    encrypted_content: str = maybe_absent()


class ListedFunctionCall(Answer):
    """A call of a function."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str
    namespace: str = maybe_absent()


class ListedCustomCall(Answer):
    """A call of a custom tool."""

    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    input: str
    namespace: str = maybe_absent()


class ListedCallOutput(Answer):
    """What a tool answered."""

    id: str
    type: Literal["function_call_output", "custom_tool_call_output"]
    status: ItemStatus
    call_id: str
    output: str | list[InputText]


class ListedCompaction(Answer):
    """A conversation's earlier part, summed up and sealed."""

    id: str
    type: Literal["compaction"]
    encrypted_content: str


ListedItem = (
    ListedMessage
    | ListedReasoning
    | ListedFunctionCall
    | ListedCustomCall
    | ListedCallOutput
    | ListedCompaction
)


class Item(RootModel[ListedItem]):
    """One item."""


class ItemList(Answer):
    """A page of items."""

    object: Literal["list"]
    data: list[Item]
    first_id: str
    last_id: str
    has_more: bool


Part = InputText | OutputText | Refusal | SummaryText | ReasoningText
