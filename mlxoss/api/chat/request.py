"""The request of ``POST /v1/chat/completions``: its fields, types and ranges.

Sources: OpenAI's API reference (chat completions); vLLM for
``chat_template_kwargs``; OpenRouter for ``reasoning``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mlxoss.api.chat.answer_form import AnswerFormFields
from mlxoss.api.chat.attachments import note_earlier
from mlxoss.api.chat.tools import CalledFunction, Tool, ToolCall
from mlxoss.api.common import MAX_CHOICES, StopField, UsageOptions, to_parts
from mlxoss.api.errors import unsupported
from mlxoss.api.other_fields import CHAT, refuse_other_fields
from mlxoss.api.params import EffortWord, Refused, Verbosity
from mlxoss.api.progress import check_progress
from mlxoss.api.sampling import SamplingFields, check_sampling
from mlxoss.api.validation import StrictModel, validate
from mlxoss.core import JsonObject
from mlxoss.errors import InvalidRequest

UserName = Annotated[str, Field(pattern=r"^[^\s<|\\/>]{1,64}$")]


class ContentPart(StrictModel):
    """A part of a message's content, of any type; the converter takes the textual ones."""

    type: str
    text: str | None = None
    refusal: str | None = None


class ChatMessageParam(StrictModel):
    """A message of any role; the converter checks what its role needs."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Annotated[
        list[ContentPart] | None,
        BeforeValidator(to_parts, json_schema_input_type=str | list[ContentPart] | None),
    ] = None
    name: UserName | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None


class ChatReasoning(StrictModel):
    """OpenRouter's ``reasoning``: its effort, and whether to hide the text from the answer."""

    effort: EffortWord | None = None
    exclude: bool | None = None


class TemplateArguments(StrictModel):
    """vLLM's ``chat_template_kwargs``; gpt-oss's template has these. This server runs the
    built-in tools itself."""

    reasoning_effort: EffortWord | None = None
    builtin_tools: list[Literal["browser", "python"]] | None = None


class WebSearchOptions(StrictModel):
    """A search of the web by this server. How much of it, and where the user is, has no word in
    the tool that gpt-oss was trained with, and changes nothing."""

    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: dict[str, Any] | None = None


class ChatRequest(AnswerFormFields, SamplingFields):
    """The whole request. ``None`` means the default everywhere, as in OpenAI's API."""

    model: str
    messages: Annotated[list[ChatMessageParam], Field(min_length=1)]
    stream: bool | None = None
    stream_options: UsageOptions | None = None
    return_progress: bool | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None

    tools: list[Tool] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: EffortWord | None = None
    reasoning: ChatReasoning | None = None
    chat_template_kwargs: TemplateArguments | None = None
    verbosity: Verbosity | None = None

    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: StopField = None
    logprobs: bool | None = None
    prompt_cache_key: str | None = None

    modalities: list[str] | None = None
    audio: Refused = None
    functions: Refused = None
    function_call: Refused = None
    web_search_options: WebSearchOptions | None = None
    moderation: Refused = None


def parse_chat_request(value: JsonObject) -> ChatRequest:
    """Validate a request. Raises InvalidRequest for the first field that cannot be honoured.

    Where a tool answered with an image, audio or a file, or an earlier message holds one, there
    is a note from here on.
    """
    refuse_other_fields(value, CHAT, ChatRequest)
    request = validate(ChatRequest, note_earlier(value))
    _check_combinations(request)
    _check_tools(request)
    _check_supported(request)
    return request


def _check_combinations(request: ChatRequest) -> None:
    if request.stream_options is not None and not request.stream:
        raise InvalidRequest(
            "'stream_options' is only allowed when 'stream' is true.",
            param="stream_options",
            code="invalid_value",
        )
    check_progress(is_wanted=request.return_progress, is_stream=request.stream)
    if request.top_logprobs is not None and not request.logprobs:
        raise InvalidRequest(
            "'top_logprobs' needs 'logprobs' to be true.",
            param="top_logprobs",
            code="invalid_value",
        )
    check_sampling(request)


def _check_tools(request: ChatRequest) -> None:
    for position, tool in enumerate(request.tools or ()):
        tool.check(f"tools[{position}]")
    for place, message in enumerate(request.messages):
        for position, call in enumerate(message.tool_calls or ()):
            call.check(f"messages[{place}].tool_calls[{position}]")


def _check_supported(request: ChatRequest) -> None:
    if any(modality != "text" for modality in request.modalities or []):
        raise unsupported("modalities", "this model answers with text only")
    if request.audio is not None:
        raise unsupported("audio", "this model answers with text only")
    for name in ("functions", "function_call"):
        if getattr(request, name) is not None:
            raise unsupported(name, "use 'tools' and 'tool_choice' instead")
    if request.moderation is not None:
        raise unsupported("moderation", "this server does not moderate")
