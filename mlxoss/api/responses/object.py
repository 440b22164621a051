"""The objects of the Responses API: responses, compactions, lists, counts, conversations.

Every field of OpenAI's schema is there. Numbers that Open Responses wants
(``temperature``, ``top_logprobs``, …) are numbers, never null.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from mlxoss.api.encrypted_content import ContentSeal
from mlxoss.api.errors import HttpError
from mlxoss.api.responses.items import Item, MessageItem
from mlxoss.api.responses.parse_items import MakeId
from mlxoss.api.responses.request import FormatParam, ResponsesRequest, TextParam
from mlxoss.api.responses.tools import ToolTable
from mlxoss.api.turn_request import Usage

_UNKNOWN_HERE: MappingProxyType[str, None] = MappingProxyType(
    dict.fromkeys(
        (
            "access_programs",
            "image",
            "input_transformations",
            "moderation",
            "prompt",
            "prompt_cache_diagnostics",
            "prompt_cache_options",
            "prompt_cache_retention",
            "tool_usage",
        )
    )
)
"""Fields for what only OpenAI's own service has: always null."""

_ERROR_CODES = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})
"""Those of the codes that OpenAI's schema allows in a response that can happen here."""


class ResponseStatus(StrEnum):
    """Where a response stands."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ResponseHeader:
    """What a response is from its beginning on; ``created_at`` is a Unix time in seconds.

    ``can_store`` is false where no response outlives the server: none says that it is stored.
    """

    id: str
    created_at: int
    model: str
    can_store: bool = True


class ResponseShape:
    """Makes the response object of one request, at any moment of its life."""

    def __init__(self, header: ResponseHeader, request: ResponsesRequest, tools: ToolTable) -> None:
        conversation = request.conversation
        self.id = header.id
        self._begin = {
            "id": header.id,
            "object": "response",
            "created_at": header.created_at,
        }
        self._rest = {
            "model": header.model,
            "instructions": request.instructions,
            "previous_response_id": request.previous_response_id,
            "conversation": None if conversation is None else {"id": conversation},
            **_settings(request, tools, can_store=header.can_store),
            **_UNKNOWN_HERE,
        }

    def to_json(
        self,
        status: ResponseStatus,
        output: Sequence[Mapping[str, Any]] = (),
        *,
        usage: Usage | None = None,
        error: HttpError | None = None,
        completed_at: int | None = None,
    ) -> dict[str, Any]:
        """The object; ``completed_at`` (Unix seconds) is shown for a completed one only."""
        is_cut = status is ResponseStatus.INCOMPLETE
        is_complete = status is ResponseStatus.COMPLETED
        return {
            **self._begin,
            "status": status.value,
            "completed_at": completed_at if is_complete else None,
            "error": None if error is None else to_response_error(error),
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": list(output),
            "usage": None if usage is None else to_usage(usage),
            **self._rest,
        }


def _settings(request: ResponsesRequest, tools: ToolTable, *, can_store: bool) -> dict[str, Any]:
    return {
        "temperature": _number(request.temperature, 1.0),
        "top_p": _number(request.top_p, 1.0),
        "presence_penalty": _number(request.presence_penalty, 0.0),
        "frequency_penalty": _number(request.frequency_penalty, 0.0),
        "top_logprobs": request.top_logprobs or 0,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": request.max_tool_calls,
        "tools": list(tools.public),
        "tool_choice": request.tool_choice or "auto",
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "reasoning": {"effort": request.effort.value, "summary": request.summary},
        "text": _to_text(request.text),
        "truncation": request.truncation or "disabled",
        "background": bool(request.background),
        "store": request.is_stored and can_store,
        "service_tier": "default",
        "metadata": request.metadata or {},
        "prompt_cache_key": request.prompt_cache_key,
        "safety_identifier": request.safety_identifier,
        "user": request.user,
    }


def _number(value: float | None, default: float) -> float:
    return default if value is None else value


def _to_text(text: TextParam | None) -> dict[str, Any]:
    return {
        "format": _to_format(text.format if text else None),
        "verbosity": (text and text.verbosity) or "medium",
    }


def _to_format(wanted: FormatParam | None) -> dict[str, Any]:
    if wanted is None:
        return {"type": "text"}
    if wanted.type != "json_schema":
        return {"type": wanted.type}
    return {
        "type": "json_schema",
        "name": wanted.name,
        "schema": wanted.schema_,
        "description": wanted.description,
        "strict": bool(wanted.strict),
    }


def to_usage(usage: Usage) -> dict[str, Any]:
    """The ``usage`` of a response."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def to_failed(response: Mapping[str, Any], error: HttpError) -> dict[str, Any]:
    """A kept response that was interrupted, as failed. ``output`` stays as it is."""
    return {
        **response,
        "status": ResponseStatus.FAILED.value,
        "completed_at": None,
        "error": to_response_error(error),
    }


def to_failed_event(response: Mapping[str, Any], sequence_number: int) -> dict[str, Any]:
    """The last event of such a response."""
    return {
        "type": "response.failed",
        "response": response,
        "sequence_number": sequence_number,
    }


def to_response_error(error: HttpError) -> dict[str, Any]:
    """The ``error`` of a failed response: one of OpenAI's codes, the rest as ``server_error``."""
    code = error.code if error.code in _ERROR_CODES else "server_error"
    return {"code": code, "message": error.message, "param": error.param, "type": error.type}


def to_input_tokens(count: int) -> dict[str, Any]:
    """The answer of ``POST /v1/responses/input_tokens``."""
    return {"object": "response.input_tokens", "input_tokens": count}


def to_deleted_response(response_id: str) -> dict[str, Any]:
    """The answer of ``DELETE /v1/responses/{id}``."""
    return {"id": response_id, "object": "response", "deleted": True}


def to_item_list(items: Sequence[Mapping[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A page of items in the order given."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }


def to_compaction(
    header: ResponseHeader, output: Sequence[Mapping[str, Any]], usage: Usage
) -> dict[str, Any]:
    """The answer of ``POST /v1/responses/compact``; ``output``: ``to_compacted_items``."""
    return {
        "id": header.id,
        "object": "response.compaction",
        "created_at": header.created_at,
        "output": list(output),
        "usage": to_usage(usage),
    }


def to_compacted_items(
    items: Sequence[Item], summary: str, *, seal: ContentSeal, make_id: MakeId
) -> list[dict[str, Any]]:
    """The items that stand for ``items`` from now on.

    System, developer and user messages stay as they are; ``summary``, which the model
    wrote of everything, is sealed in a compaction item behind them.
    """
    kept = [
        item.to_json()
        for item in items
        if isinstance(item, MessageItem) and item.role != "assistant"
    ]
    compaction = {
        "id": make_id("cmp_"),
        "type": "compaction",
        "encrypted_content": seal.seal_compaction(summary),
    }
    return [*kept, compaction]
