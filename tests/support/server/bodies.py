"""Whole request bodies that use every field there is, and their places to put something else."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

Place = tuple[str | int, ...]

TEXT = "some text"
"""In each place where a text goes that the model is shown."""

SCHEMA: Any = {
    "type": "object",
    "title": TEXT,
    "description": TEXT,
    "properties": {
        "city": {"type": "string", "description": TEXT, "enum": [TEXT, "b"], "default": TEXT},
        TEXT: {"type": "array", "items": {"anyOf": [{"const": TEXT}, {"type": "null"}]}},
    },
    "required": ["city"],
}
_FUNCTION: Any = {"name": "find", "description": TEXT, "parameters": SCHEMA, "strict": False}
_GRAMMAR: Any = {"syntax": "regex", "definition": TEXT}
_SAMPLING: Any = {
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 5,
    "min_p": 0.1,
    "presence_penalty": 0.1,
    "frequency_penalty": 0.1,
    "repetition_penalty": 1.1,
    "logit_bias": {"5": 1.0},
    "seed": 7,
    "top_logprobs": 2,
}

CHAT: Any = {
    **_SAMPLING,
    "model": "m",
    "return_progress": False,
    "prompt_cache_key": "k",
    "messages": [
        {"role": "system", "content": TEXT},
        {"role": "developer", "content": [{"type": "text", "text": TEXT}]},
        {"role": "user", "content": TEXT, "name": "Ann"},
        {
            "role": "assistant",
            "content": TEXT,
            "reasoning": TEXT,
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": TEXT}},
                {"id": "c2", "type": "custom", "custom": {"name": "run", "input": TEXT}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": TEXT},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": TEXT}]},
        {"role": "assistant", "content": None, "refusal": TEXT},
        {"role": "system", "content": TEXT},
        {"role": "assistant", "function_call": {"name": "find", "arguments": TEXT}},
        {"role": "function", "name": "find", "content": TEXT},
        {"role": "user", "content": TEXT},
    ],
    "tools": [
        {"type": "function", "function": _FUNCTION},
        {
            "type": "custom",
            "custom": {
                "name": "run",
                "description": TEXT,
                "format": {"type": "grammar", "grammar": _GRAMMAR},
            },
        },
    ],
    "tool_choice": {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "find"}}],
        },
    },
    "parallel_tool_calls": True,
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "form", "description": TEXT, "schema": SCHEMA, "strict": False},
    },
    "n": 1,
    "stream": False,
    "max_tokens": 50,
    "max_completion_tokens": 50,
    "stop": ["never"],
    "logprobs": True,
    "reasoning_effort": "low",
    "verbosity": "high",
    "reasoning": {"effort": "low", "exclude": False},
    "chat_template_kwargs": {"reasoning_effort": "low"},
    "modalities": ["text"],
}
RESPONSES: Any = {
    **_SAMPLING,
    "model": "m",
    "return_progress": False,
    "instructions": TEXT,
    "input": [
        {"role": "user", "content": TEXT},
        {"type": "message", "role": "developer", "content": TEXT, "status": "completed"},
        {
            "type": "message",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": TEXT}],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": TEXT}],
            "content": [{"type": "reasoning_text", "text": TEXT}],
        },
        {"type": "function_call", "call_id": "c1", "name": "find", "arguments": TEXT},
        {"type": "function_call_output", "call_id": "c1", "output": TEXT},
        {
            "type": "custom_tool_call",
            "call_id": "c2",
            "name": "run",
            "input": TEXT,
            "namespace": "shell",
        },
        {
            "type": "custom_tool_call_output",
            "call_id": "c2",
            "output": [{"type": "input_text", "text": TEXT}],
        },
        {"role": "assistant", "content": [{"type": "refusal", "refusal": TEXT}]},
        {"role": "user", "content": [{"type": "input_text", "text": TEXT}]},
    ],
    "tools": [
        {"type": "function", **_FUNCTION},
        {
            "type": "namespace",
            "name": "shell",
            "description": TEXT,
            "tools": [
                {
                    "type": "custom",
                    "name": "run",
                    "description": TEXT,
                    "format": {"type": "grammar", **_GRAMMAR},
                }
            ],
        },
        {"type": "web_search"},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": "find"}]},
    "parallel_tool_calls": True,
    "text": {
        "format": {"type": "json_schema", "name": "form", "description": TEXT, "schema": SCHEMA},
        "verbosity": "low",
    },
    "reasoning": {"effort": "low", "summary": "auto", "context": "auto", "mode": "standard"},
    "truncation": "disabled",
    "stream": False,
    "background": False,
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "max_output_tokens": 50,
    "max_tool_calls": 5,
    "metadata": {"a": "b"},
    "prompt_cache_key": "k",
    "safety_identifier": "s",
    "service_tier": "auto",
    "user": "u",
    "context_management": [{"type": "compaction", "compact_threshold": 100_000}],
    "prompt_cache_options": {"prewarm": False},
    "generate": True,
}
_LASTING: Any = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
MESSAGES: Any = {
    **_SAMPLING,
    **_LASTING,
    "model": "m",
    "return_progress": False,
    "system": [{"type": "text", "text": TEXT, **_LASTING}, {"type": "text", "text": TEXT}],
    "messages": [
        {"role": "user", "content": TEXT},
        {"role": "system", "content": TEXT},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": TEXT, "signature": "another server's"},
                {"type": "text", "text": TEXT, **_LASTING},
                {"type": "tool_use", "id": "t1", "name": "find", "input": {TEXT: [TEXT]}},
                {"type": "tool_use", "id": "t2", "name": "run", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": TEXT, **_LASTING},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": [{"type": "text", "text": TEXT}],
                    "is_error": True,
                },
                {"type": "text", "text": TEXT},
            ],
        },
        {"role": "assistant", "content": TEXT},
        {"role": "user", "content": [{"type": "text", "text": TEXT}]},
    ],
    "tools": [
        {"name": "find", "description": TEXT, "input_schema": SCHEMA, "strict": False},
        {
            "type": "custom",
            "name": "run",
            "description": TEXT,
            "input_schema": {"type": "object"},
            "allowed_callers": ["direct"],
        },
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
    "thinking": {"type": "enabled", "budget_tokens": 1024, "display": "summarized"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "max_tokens": 50,
    "stop_sequences": ["never"],
    "stream": False,
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
}
del MESSAGES["top_logprobs"]
COMPLETIONS: Any = {
    **_SAMPLING,
    "model": "m",
    "return_progress": False,
    "prompt": ["first", " ".join([TEXT] * 21)],
    "n": 1,
    "best_of": 1,
    "max_tokens": 5,
    "stop": ["never"],
    "logprobs": 2,
    "echo": False,
    "stream": False,
    "user": "u",
}
del COMPLETIONS["top_logprobs"]
BODIES = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/messages": MESSAGES,
    "/v1/completions": COMPLETIONS,
}
"""By the path that takes them."""


def places(value: Any, here: Place = ()) -> Iterator[Place]:
    """Where in ``value`` something is, the outermost first."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for step, part in parts:
        yield (*here, step)
        if isinstance(part, dict | list):
            yield from places(part, (*here, step))


def put(body: Any, place: Place, value: Any) -> Any:
    """``body`` with ``value`` in ``place``."""
    changed = copy.deepcopy(body)
    *outer, last = place
    part = changed
    for step in outer:
        part = part[step]
    part[last] = value
    return changed


def retell(value: Any, text: str) -> Any:
    """``value`` with ``text`` for each ``TEXT``."""
    match value:
        case str():
            return value.replace(TEXT, text)
        case dict():
            return {retell(key, text): retell(part, text) for key, part in value.items()}
        case list():
            return [retell(part, text) for part in value]
        case _:
            return value
