"""Shapes of the answers that all of the API shares.

An answer's shape is spelled once: what makes it is checked against it, and ``/openapi.json`` is
made of it. Nothing is in an answer that is not in its shape.
"""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from mlxoss.core import JsonObject


class SchemaExtra:
    """Goes with a type (``typing.Annotated``): ``fields`` are added to its JSON schema."""

    def __init__(self, **fields: Any) -> None:
        self._fields = fields

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> JsonObject:
        return {**handler(core), **self._fields}


class ErrorFields(TypedDict):
    """What went wrong. ``param`` names the field to blame, ``code`` is for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(TypedDict):
    """The answer to a request that cannot be served as asked."""

    error: ErrorFields


class PromptProgressReport(TypedDict):
    """How far a prompt is, in tokens: of ``total`` so many are ``processed``, and of these
    ``cache`` needed no computing. ``time_ms`` is since its computing began.

    The words are those of llama.cpp's server (its README, ``return_progress``).
    """

    total: int
    cache: int
    processed: int
    time_ms: int


class Logprob(TypedDict):
    """A token and how likely it was."""

    token: str
    logprob: float
    bytes: list[int]


class LogprobEntry(Logprob):
    """A token of an answer, with its alternatives."""

    top_logprobs: list[Logprob]


MessagesErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "permission_error",
    "not_found_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
]
"""Anthropic's words (its API reference, "Errors")."""


class MessagesErrorFields(TypedDict):
    """What went wrong; the message names the field to blame."""

    type: MessagesErrorType
    message: str


class MessagesError(TypedDict):
    """The answer to a request that cannot be served as asked, or an event in a stream."""

    type: Literal["error"]
    error: MessagesErrorFields
    request_id: str


class OllamaError(TypedDict):
    """The answer to a request that cannot be served as asked, or the last line of a stream."""

    error: str


class ModelObject(TypedDict):
    """The model that this server has."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int


class CodexEffort(TypedDict):
    """An effort that the model knows."""

    effort: str
    description: str


class CodexTruncation(TypedDict):
    """How much of a tool's output Codex passes on."""

    mode: Literal["tokens"]
    limit: int


class CodexModel(TypedDict):
    """The model as Codex CLI wants to be told of it."""

    slug: str
    display_name: str
    description: str
    default_reasoning_level: str
    supported_reasoning_levels: list[CodexEffort]
    shell_type: str
    visibility: str
    supported_in_api: bool
    priority: int
    base_instructions: str
    supports_reasoning_summaries: bool
    supports_reasoning_summary_parameter: bool
    support_verbosity: bool
    apply_patch_tool_type: str
    truncation_policy: CodexTruncation
    supports_parallel_tool_calls: bool
    context_window: int
    max_context_window: int
    experimental_supported_tools: list[str]
    input_modalities: list[str]


class ModelList(TypedDict):
    """All models: one, in ``data`` for OpenAI's clients and in ``models`` for Codex."""

    object: Literal["list"]
    data: list[ModelObject]
    models: list[CodexModel]
