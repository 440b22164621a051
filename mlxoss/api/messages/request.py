"""The request of ``POST /v1/messages``: its fields, types and ranges.

Source: Anthropic's API reference (Messages). What serves their servers alone (caching,
tiers, telemetry) is accepted and changes nothing; sampling has the fields of the neighbours.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mlxoss.api.common import Stops
from mlxoss.api.errors import invalid, unsupported
from mlxoss.api.messages.attachments import note_earlier
from mlxoss.api.messages.blocks import Blocks, MessageParam
from mlxoss.api.messages.tools import MessagesTool
from mlxoss.api.other_fields import MESSAGES, refuse_other_fields
from mlxoss.api.params import EffortWord, Refused
from mlxoss.api.progress import check_progress
from mlxoss.api.sampling import SamplingFields, check_sampling
from mlxoss.api.validation import StrictModel, validate
from mlxoss.core import JsonObject


class MessagesToolChoice(StrictModel):
    """``tool_choice``."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


def _to_choice(value: Any) -> Any:
    """OpenAI's is a word; here it is an object in any case."""
    if value is None or isinstance(value, dict):
        return value
    raise PydanticCustomError(
        "choice_type", "input should be an object of the type auto, any, tool or none"
    )


class Thinking(StrictModel):
    """``thinking``: whether to show it, and how long it may be.

    With ``updates`` it stays hidden as with ``omitted``; what the model says between calls is text
    in any case.
    """

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Annotated[int, Field(ge=1)] | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None


class OutputFormat(StrictModel):
    """The schema that the answer's text follows."""

    type: Literal["json_schema"]
    schema_: JsonObject = Field(alias="schema")


class OutputConfig(StrictModel):
    """``output_config``."""

    effort: EffortWord | None = None
    format: OutputFormat | None = None


class ContextEdit(StrictModel):
    """One of ``context_management.edits``."""

    type: str


class ContextManagement(StrictModel):
    """``context_management``: clearing earlier thinking is what happens here anyway."""

    edits: list[ContextEdit] | None = None


class MessagesPromptFields(StrictModel):
    """What makes the prompt: the whole request of ``POST /v1/messages/count_tokens``."""

    model: str
    messages: Annotated[list[MessageParam], Field(min_length=1)]
    system: Blocks | None = None
    tools: list[MessagesTool] | None = None
    tool_choice: Annotated[
        MessagesToolChoice | None,
        BeforeValidator(_to_choice, json_schema_input_type=MessagesToolChoice | None),
    ] = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    context_management: ContextManagement | None = None

    container: Refused = None
    mcp_servers: Refused = None
    thread: Refused = None
    compaction: Refused = None

    @property
    def chosen_tool(self) -> str | None:
        """The tool that has to be called, if one is named."""
        choice = self.tool_choice
        return choice.name if choice is not None and choice.type == "tool" else None

    @property
    def format_and_param(self) -> tuple[OutputFormat | None, str]:
        """The answer's format, and the field that it is in."""
        if self.output_format is not None:
            return self.output_format, "output_format"
        config = self.output_config
        return None if config is None else config.format, "output_config.format"


class MessagesRequest(MessagesPromptFields, SamplingFields):
    """The whole request. ``None`` means the default everywhere."""

    max_tokens: Annotated[int, Field(ge=1)]
    stop_sequences: Stops | None = None
    stream: bool | None = None
    return_progress: bool | None = None


def parse_messages_request(value: JsonObject) -> MessagesRequest:
    """Validate a request. Raises InvalidRequest for the first field that cannot be honoured.

    Where a tool answered with an image or a document, or an earlier message holds one, there is
    a note from here on. Documents of plain text and search results are text.
    """
    refuse_other_fields(value, MESSAGES, MessagesRequest)
    request = validate(MessagesRequest, note_earlier(value))
    _check_prompt(request)
    check_sampling(request)
    check_progress(is_wanted=request.return_progress, is_stream=request.stream)
    if request.top_logprobs is not None:
        raise unsupported("top_logprobs", "messages carry no log probabilities")
    return request


def parse_count_tokens_request(value: JsonObject) -> MessagesPromptFields:
    """As :func:`parse_messages_request`, for what makes the prompt alone."""
    refuse_other_fields(value, MESSAGES, MessagesRequest)
    request = validate(MessagesPromptFields, note_earlier(value))
    _check_prompt(request)
    return request


def _check_prompt(request: MessagesPromptFields) -> None:
    _check_tools(request)
    _check_supported(request)
    config = request.output_config
    if request.output_format is not None and config is not None and config.format is not None:
        raise invalid("output_format", "the format is already in 'output_config'")
    last = len(request.messages) - 1
    if request.messages[last].role == "assistant":
        raise unsupported(
            f"messages[{last}].role", "the model begins its own answers, so a user speaks last"
        )


def _check_tools(request: MessagesPromptFields) -> None:
    seen: set[str] = set()
    for position, tool in enumerate(request.tools or ()):
        tool.check(f"tools[{position}]")
        if tool.name in seen:
            raise invalid(f"tools[{position}].name", f"the tool '{tool.name}' is declared twice")
        seen.add(tool.name)
    if request.tool_choice and request.tool_choice.type == "tool" and not request.chosen_tool:
        raise invalid("tool_choice.name", "it has to name the tool")


def _check_supported(request: MessagesPromptFields) -> None:
    for name, reason in (
        ("container", "this server has no containers"),
        ("mcp_servers", "this server connects to no others"),
        ("thread", "send the whole conversation"),
        ("compaction", "this server does not sum up messages"),
    ):
        if getattr(request, name) not in (None, []):
            raise unsupported(name, reason)
    management = request.context_management
    for position, edit in enumerate((management and management.edits) or ()):
        if not edit.type.startswith("clear_thinking_"):
            raise unsupported(
                f"context_management.edits[{position}].type",
                "what a conversation says is left as it is",
            )
