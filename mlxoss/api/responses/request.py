"""The requests of ``/v1/responses``: their fields, types and ranges.

Source: OpenAI's API reference (responses). Fields that only OpenAI's own service has
and that do not change the answer (``service_tier``, ``prompt_cache_retention``, …) are
accepted; what would change it and cannot be honoured is refused by name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.other_fields import RESPONSES, refuse_other_fields
from mlxoss.api.params import (
    EffortWord,
    FormatName,
    Refused,
    Verbosity,
    json_object_format,
    to_effort,
)
from mlxoss.api.responses.items import InputItem
from mlxoss.api.responses.tool_params import ToolParam
from mlxoss.api.sampling import SamplingFields, check_sampling
from mlxoss.api.validation import StrictModel, validate
from mlxoss.core import Effort, JsonObject
from mlxoss.harmony.conversation import ResponseFormat

INCLUDE_ENCRYPTED = "reasoning.encrypted_content"
INCLUDE_LOGPROBS = "message.output_text.logprobs"
INCLUDE_OUTPUTS = "code_interpreter_call.outputs"
INCLUDE_SOURCES = "web_search_call.action.sources"

Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]
SummaryWord = Literal["auto", "concise", "detailed"]


def _to_input(value: Any) -> Any:
    if isinstance(value, str):
        return [{"type": "message", "role": "user", "content": value}]
    if value is None or isinstance(value, list):
        return value
    raise PydanticCustomError("input_type", "input should be a string or an array of items")


def _to_conversation_id(value: Any) -> Any:
    return value.get("id", value) if isinstance(value, dict) else value


class ConversationParam(StrictModel):
    """``conversation`` as an object."""

    id: str


Input = Annotated[
    list[Any] | None,
    BeforeValidator(_to_input, json_schema_input_type=str | list[InputItem] | None),
]
ConversationId = Annotated[
    str | None,
    BeforeValidator(_to_conversation_id, json_schema_input_type=str | ConversationParam | None),
]


class ReasoningParam(StrictModel):
    """``reasoning``; ``generate_summary`` is the old name of ``summary``."""

    effort: EffortWord | None = None
    summary: SummaryWord | None = None
    generate_summary: SummaryWord | None = None
    context: Literal["auto", "current_turn", "all_turns"] | None = None
    mode: str | None = None


class FormatParam(StrictModel):
    """``text.format``: shown to the model and enforced on its answer."""

    type: Literal["text", "json_object", "json_schema"]
    name: FormatName | None = None
    schema_: JsonObject | None = Field(None, alias="schema")
    description: str | None = None
    strict: bool | None = None


class TextParam(StrictModel):
    """``text``."""

    format: FormatParam | None = None
    verbosity: Verbosity | None = None


class StreamOptions(StrictModel):
    """``stream_options``: there is nothing on this machine to hide by obfuscation."""

    include_obfuscation: bool | None = None


class CacheOptions(StrictModel):
    """``prompt_cache_options``: what is cached is the server's own choice.

    ``prewarm`` is ``generate: false`` by another name.
    """

    prewarm: bool | None = None


class CompactionWish(StrictModel):
    """One of ``context_management``: how a conversation that gets long becomes shorter."""

    type: Literal["compaction"]
    compact_threshold: Annotated[int, Field(ge=1)] | None = None


class PromptFields(StrictModel):
    """What a prompt is made of: the fields that counting its tokens takes too.

    ``input`` is a list of items as they came, a string already turned into one.
    """

    model: str | None = None
    input: Input = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: ConversationId = None
    tools: list[ToolParam] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningParam | None = None
    text: TextParam | None = None
    truncation: Literal["auto", "disabled"] | None = None

    @property
    def effort(self) -> Effort:
        """The effort that is in force."""
        return to_effort(self.reasoning.effort if self.reasoning else None)

    @property
    def summary(self) -> SummaryWord | None:
        """The kind of summary asked for."""
        if self.reasoning is None:
            return None
        return self.reasoning.summary or self.reasoning.generate_summary

    @property
    def is_strict(self) -> bool:
        """Whether ``text.format`` asks to be enforced."""
        return bool(self.text and self.text.format and self.text.format.strict)

    @property
    def response_format(self) -> ResponseFormat | None:
        """What ``text.format`` shows the model."""
        wanted = self.text and self.text.format
        if not wanted or wanted.type == "text":
            return None
        if wanted.type == "json_object":
            beside = wanted.schema_
            return json_object_format() if beside is None else ResponseFormat(wanted.type, beside)
        if wanted.name is None:
            raise missing("text.format.name")
        if wanted.schema_ is None:
            raise missing("text.format.schema")
        return ResponseFormat(wanted.name, wanted.schema_, wanted.description)


class ResponsesRequest(PromptFields, SamplingFields):
    """The whole request of ``POST /v1/responses``. ``None`` means the default everywhere."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    return_progress: bool | None = None
    background: bool | None = None
    store: bool | None = None
    include: list[str] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tool_calls: Annotated[int, Field(ge=1)] | None = None
    metadata: Metadata | None = None
    prompt_cache_key: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    user: str | None = None

    prompt: Refused = None
    context_management: Annotated[list[CompactionWish], Field(max_length=1)] | None = None
    moderation: Refused = None
    prompt_cache_options: CacheOptions | None = None
    generate: bool | None = None

    @property
    def is_stored(self) -> bool:
        """Whether the response can be fetched and continued later."""
        return self.store is not False

    @property
    def only_prompt(self) -> bool:
        """Whether the prompt is to be computed, and nothing to be said."""
        options = self.prompt_cache_options
        return self.generate is False or bool(options and options.prewarm)

    @property
    def compaction(self) -> CompactionWish | None:
        """How the conversation is to be summed up where it is too long."""
        return self.context_management[0] if self.context_management else None

    @property
    def wants_encrypted(self) -> bool:
        """Whether reasoning items carry their encrypted content."""
        return INCLUDE_ENCRYPTED in (self.include or ())

    @property
    def wants_outputs(self) -> bool:
        """Whether calls of code tell what it printed and drew."""
        return INCLUDE_OUTPUTS in (self.include or ())

    @property
    def wants_sources(self) -> bool:
        """Whether searches tell the addresses of their hits."""
        return INCLUDE_SOURCES in (self.include or ())

    @property
    def wants_logprobs(self) -> bool:
        """Whether the answer's text comes with log probabilities."""
        return INCLUDE_LOGPROBS in (self.include or ()) or bool(self.top_logprobs)


class CompactRequest(StrictModel):
    """The request of ``POST /v1/responses/compact``."""

    model: str
    conversation: Refused = None
    input: Input = None
    instructions: str | None = None
    previous_response_id: str | None = None
    prompt_cache_key: str | None = None


def parse_responses_request(value: JsonObject) -> ResponsesRequest:
    """Validate a request. Raises InvalidRequest for the first field that cannot be honoured.

    ``input`` and ``tools`` are looked into by ``parse_items`` and
    ``tools.read_tools``.
    """
    refuse_other_fields(value, RESPONSES, ResponsesRequest)
    request = validate(ResponsesRequest, value)
    _check_prompt_fields(request)
    check_sampling(request)
    for name, reason in (
        ("prompt", "this server keeps no prompt templates"),
        ("moderation", "this server does not moderate"),
    ):
        if getattr(request, name) is not None:
            raise unsupported(name, reason)
    if request.return_progress and request.background:
        raise invalid("return_progress", "a background response keeps no events of it")
    return request


def parse_input_tokens_request(value: JsonObject) -> PromptFields:
    """Validate the request of ``POST /v1/responses/input_tokens``."""
    refuse_other_fields(value, RESPONSES, ResponsesRequest)
    request = validate(PromptFields, value)
    _check_prompt_fields(request)
    return request


def parse_compact_request(value: JsonObject) -> CompactRequest:
    """Validate the request of ``POST /v1/responses/compact``."""
    refuse_other_fields(value, RESPONSES, ResponsesRequest)
    request = validate(CompactRequest, value)
    if request.conversation is not None:
        raise unsupported("conversation", "give the items as 'input'")
    if not request.input and request.previous_response_id is None:
        raise missing("input")
    return request


def _check_prompt_fields(request: PromptFields) -> None:
    if request.previous_response_id is not None and request.conversation is not None:
        raise invalid("previous_response_id", "it cannot be used together with 'conversation'")
    if request.input is None and not (request.previous_response_id or request.conversation):
        raise missing("input")
    if request.reasoning is not None:
        if request.reasoning.context == "all_turns":
            raise unsupported(
                "reasoning.context", "this model was trained to drop reasoning after an answer"
            )
        if request.reasoning.mode not in (None, "standard"):
            raise unsupported("reasoning.mode", "only 'standard' is supported")
    _ = request.response_format
