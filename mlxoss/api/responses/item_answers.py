"""Shapes of the items that responses and conversations list."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, with_config
from typing_extensions import TypeAliasType, TypedDict

from mlxoss.api.answers import LogprobEntry, SchemaExtra
from mlxoss.api.responses.hosted.item_answers import (
    ListedApprovalRequest,
    ListedCodeCall,
    ListedMcpCall,
    ListedMcpTools,
    ListedWebSearchCall,
)

Role = Literal["user", "assistant", "system", "developer"]
Phase = Literal["commentary", "final_answer"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]
RecordType = Literal[
    "additional_tools",
    "agent_message",
    "apply_patch_call",
    "apply_patch_call_output",
    "code_interpreter_call",
    "compaction_trigger",
    "computer_call",
    "computer_call_output",
    "context_compaction",
    "file_search_call",
    "ghost_snapshot",
    "image_generation_call",
    "local_shell_call",
    "local_shell_call_output",
    "mcp_approval_request",
    "mcp_approval_response",
    "mcp_call",
    "mcp_list_tools",
    "program",
    "program_output",
    "shell_call",
    "shell_call_output",
    "tool_search_call",
    "tool_search_output",
    "web_search_call",
]
"""Items of others' work: of the client's own tools, or left by conversations begun elsewhere."""


class InputText(TypedDict):
    """Text that was put in."""

    type: Literal["input_text"]
    text: str


class InputFile(TypedDict):
    """A file that was put in, as it came."""

    type: Literal["input_file"]
    filename: NotRequired[str]
    file_data: NotRequired[str]
    file_url: NotRequired[str]


class UrlCitation(TypedDict):
    """A link to a page that the text cites: ``text[start_index:end_index]``, in code points."""

    type: Literal["url_citation"]
    start_index: int
    end_index: int
    url: str
    title: str


def read_citation(value: object) -> UrlCitation | None:
    """A citation that a client sends back; ``None`` for what is none of a page."""
    match value:
        case {
            "type": "url_citation",
            "start_index": int(start),
            "end_index": int(end),
            "url": str(url),
            "title": str(title),
        }:
            return {
                "type": "url_citation",
                "start_index": start,
                "end_index": end,
                "url": url,
                "title": title,
            }
    return None


class OutputText(TypedDict):
    """Text that the model wrote."""

    type: Literal["output_text"]
    text: str
    annotations: list[UrlCitation]
    logprobs: list[LogprobEntry]


class Refusal(TypedDict):
    """A refusal that a client put in."""

    type: Literal["refusal"]
    refusal: str


class SummaryText(TypedDict):
    """A summary of reasoning."""

    type: Literal["summary_text"]
    text: str


class ReasoningText(TypedDict):
    """Reasoning itself."""

    type: Literal["reasoning_text"]
    text: str


class MessageHead(TypedDict):
    """A message without its content."""

    id: str
    type: Literal["message"]
    status: ItemStatus
    role: Role
    phase: NotRequired[Phase]


class ListedMessage(MessageHead):
    """A message of any role."""

    content: list[InputText | InputFile | OutputText | Refusal]


class ReasoningHead(TypedDict):
    """Reasoning without its status, which stands last in what was put in."""

    id: str
    type: Literal["reasoning"]
    summary: list[SummaryText]
    content: NotRequired[list[ReasoningText]]
    encrypted_content: NotRequired[str]


class ListedReasoning(TypedDict):
    """Reasoning before an answer or a call."""

    id: str
    type: Literal["reasoning"]
    status: ItemStatus
    summary: list[SummaryText]
    content: NotRequired[list[ReasoningText]]
    encrypted_content: NotRequired[str]


class ListedFunctionCall(TypedDict):
    """A call of a function."""

    id: str
    type: Literal["function_call"]
    status: ItemStatus
    call_id: str
    name: str
    arguments: str
    namespace: NotRequired[str]


class ListedCustomCall(TypedDict):
    """A call of a custom tool."""

    id: str
    type: Literal["custom_tool_call"]
    status: ItemStatus
    call_id: str
    name: str
    input: str
    namespace: NotRequired[str]


class ListedCallOutput(TypedDict):
    """What a tool answered."""

    id: str
    type: Literal["function_call_output", "custom_tool_call_output"]
    status: ItemStatus
    call_id: str
    output: str | list[InputText | InputFile]


class ListedCompaction(TypedDict):
    """A conversation's earlier part, summed up and sealed."""

    id: str
    type: Literal["compaction"]
    encrypted_content: str


@with_config(ConfigDict(extra="allow"))
class ListedRecord(TypedDict):
    """A call of the client's own tools or its output, or what another server did or is told."""

    id: str
    type: RecordType


ListedItem = TypeAliasType(
    "ListedItem",
    Annotated[
        ListedMessage
        | ListedReasoning
        | ListedFunctionCall
        | ListedCustomCall
        | ListedCallOutput
        | ListedCompaction
        | ListedWebSearchCall
        | ListedCodeCall
        | ListedMcpCall
        | ListedMcpTools
        | ListedApprovalRequest
        | ListedRecord,
        SchemaExtra(description="One item."),
    ],
)


class ItemList(TypedDict):
    """A page of items."""

    object: Literal["list"]
    data: list[ListedItem]
    first_id: str
    last_id: str
    has_more: bool


ListedPart = InputText | InputFile | OutputText | Refusal | SummaryText | ReasoningText
