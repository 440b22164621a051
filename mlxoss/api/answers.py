"""Shapes of the answers that all of the API shares, for ``/openapi.json``.

Answers are made as plain JSON; these models describe them, and the tests hold real answers
against them. Nothing is in an answer that is not in its model.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Answer(BaseModel):
    """The base of every answer's shape."""

    model_config = ConfigDict(extra="forbid")


def maybe_absent() -> Any:
    """The default of a field that an answer may leave out."""
    return Field(default=None)


class ErrorFields(Answer):
    """What went wrong. ``param`` names the field to blame, ``code`` is for programs."""

    message: str
    type: str
    param: str | None
    code: str | None


class Error(Answer):
    """The answer to a request that cannot be served as asked."""

    error: ErrorFields


class Model(Answer):
    """The model that this server has."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    context_length: int


class CodexEffort(Answer):
    """An effort that the model knows."""

    effort: str
    description: str


class CodexTruncation(Answer):
    """How much of a tool's output Codex passes on."""

    mode: Literal["tokens"]
    limit: int


class CodexModel(Answer):
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


class ModelList(Answer):
    """All models: one, in ``data`` for OpenAI's clients and in ``models`` for Codex."""

    object: Literal["list"]
    data: list[Model]
    models: list[CodexModel]


class OpenApi(BaseModel):
    """This document."""

    openapi: str
    paths: dict[str, Any]


class Logprob(Answer):
    """A token and how likely it was."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(Logprob):
    """A token of an answer, with its alternatives."""

    top_logprobs: list[Logprob]


class Memory(Answer):
    """Bytes held: by the process, and by MLX once a model is loaded."""

    process_bytes: int = maybe_absent()
    active_bytes: int = maybe_absent()
    peak_bytes: int = maybe_absent()
    cache_bytes: int = maybe_absent()


class StoreCounts(Answer):
    """How much is kept."""

    responses: int
    conversations: int
    remembered_turns: int
    bytes: int


class PrefixCache(Answer):
    """What is kept of computed prompts."""

    entries: int
    bytes: int
    limit_bytes: int
    hits: int
    hit_tokens: int
    disk_entries: int
    disk_bytes: int
    disk_limit_bytes: int
    disk_hits: int


class Problem(Answer):
    """What is wrong although the server serves; ``since`` is a Unix time in seconds."""

    code: str
    message: str
    remedy: str
    since: float


class Control(Answer):
    """What the model was brought to."""

    status: Literal["ok", "unloaded"]
    memory: Memory


class FinishedRequest(Answer):
    """Sizes and times of a request for a turn; those that were not reached are left out.

    ``preview`` is there only with the setting ``debug_raw_preview_chars``.
    """

    id: str
    endpoint: str
    status: int
    ended_at: float
    total_s: float
    wait_s: float = maybe_absent()
    ttft_s: float = maybe_absent()
    prompt_tokens: int = maybe_absent()
    cached_tokens: int = maybe_absent()
    completion_tokens: int = maybe_absent()
    reasoning_tokens: int = maybe_absent()
    decode_tokens_per_s: float = maybe_absent()
    preview: str = maybe_absent()
    error: str = maybe_absent()


class FinishedRequests(Answer):
    """The last requests, the newest first."""

    object: Literal["list"]
    data: list[FinishedRequest]


class Rank(Answer):
    """One of the hosts that share the model; ``memory`` is MLX's, in bytes."""

    rank: int
    host: str
    pid: int | None
    memory: dict[str, int]
    silent_s: float


class Ranks(Answer):
    """The hosts that share the model. ``communication_s_per_step`` is what the sums of a step of
    one sequence take one after the other, measured when nothing else ran.
    """

    backend: Literal["ring", "jaccl"]
    communication_s_per_step: float | None
    ranks: list[Rank]


class Health(Answer):
    """Whether the server can work and how busy it is; without a needed key the status alone."""

    status: Literal["loading", "ok", "unloaded", "failed", "stopping"]
    model: str = maybe_absent()
    version: str = maybe_absent()
    pid: int = maybe_absent()
    uptime_s: float = maybe_absent()
    active_requests: int = maybe_absent()
    queued_requests: int = maybe_absent()
    paused_requests: int = maybe_absent()
    pauses: int = maybe_absent()
    context_tokens: int = maybe_absent()
    oldest_wait_s: float = maybe_absent()
    max_active_requests: int = maybe_absent()
    max_queued_requests: int = maybe_absent()
    refused_requests: int = maybe_absent()
    decode_tokens_per_s: float = maybe_absent()
    prefill_tokens_per_s: float = maybe_absent()
    harmony_recoveries: dict[str, int] = maybe_absent()
    memory: Memory = maybe_absent()
    problems: list[Problem] = maybe_absent()
    prefix_cache: PrefixCache = maybe_absent()
    ranks: Ranks = maybe_absent()
    store: StoreCounts = maybe_absent()
    error: str | None = maybe_absent()
