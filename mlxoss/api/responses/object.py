"""The objects of the Responses API: responses, compactions, lists, counts, conversations.

Every field of OpenAI's schema is there. Numbers that Open Responses wants
(``temperature``, ``top_logprobs``, …) are numbers, never null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from mlxoss.api.errors import HttpError
from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.responses.answers import (
    Compaction,
    DeletedResponse,
    ErrorCode,
    InputTokens,
    ResponseConstants,
    ResponseError,
    ResponseEvent,
    ResponseObject,
    ResponseStatus,
    ResponseUsage,
    SettingsInForce,
    TextSettings,
    UnknownHere,
)
from mlxoss.api.responses.attachments import without_texts
from mlxoss.api.responses.item_answers import ItemList, ListedCompaction, ListedItem
from mlxoss.api.responses.items import Item, outlives_compaction
from mlxoss.api.responses.parse_items import MakeId
from mlxoss.api.responses.request import FormatParam, ResponsesRequest, TextParam
from mlxoss.api.responses.tool_table import ToolTable
from mlxoss.api.turn_request import Usage
from mlxoss.core import JsonObject

_ERROR_CODES: MappingProxyType[str, ErrorCode] = MappingProxyType(
    {
        "server_error": "server_error",
        "rate_limit_exceeded": "rate_limit_exceeded",
        "invalid_prompt": "invalid_prompt",
    }
)
"""Those of the codes that OpenAI's schema allows in a response that can happen here."""

_UNKNOWN_HERE: UnknownHere = {
    "access_programs": None,
    "image": None,
    "input_transformations": None,
    "moderation": None,
    "prompt": None,
    "prompt_cache_diagnostics": None,
    "prompt_cache_options": None,
    "prompt_cache_retention": None,
    "tool_usage": None,
}


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
        self._created_at = header.created_at
        self._constants: ResponseConstants = {
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
        output: Sequence[ListedItem] = (),
        *,
        usage: Usage | None = None,
        error: HttpError | None = None,
        completed_at: int | None = None,
    ) -> ResponseObject:
        """The object; ``completed_at`` (Unix seconds) is shown for a completed one only."""
        is_cut = status is ResponseStatus.INCOMPLETE
        is_complete = status is ResponseStatus.COMPLETED
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "completed_at": completed_at if is_complete else None,
            "error": None if error is None else to_response_error(error),
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "output": list(output),
            "usage": None if usage is None else to_response_usage(usage),
            **self._constants,
        }


def _settings(request: ResponsesRequest, tools: ToolTable, *, can_store: bool) -> SettingsInForce:
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


def _to_text(text: TextParam | None) -> TextSettings:
    return {
        "format": _to_format(text.format if text else None),
        "verbosity": (text and text.verbosity) or "medium",
    }


def _to_format(wanted: FormatParam | None) -> JsonObject:
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


def to_response_usage(usage: Usage) -> ResponseUsage:
    """The ``usage`` of a response."""
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def to_failed(response: ResponseObject, error: HttpError) -> ResponseObject:
    """A kept response that was interrupted, as failed. ``output`` stays as it is."""
    return {
        **response,
        "status": ResponseStatus.FAILED,
        "completed_at": None,
        "error": to_response_error(error),
    }


def to_failed_event(response: ResponseObject, sequence_number: int) -> ResponseEvent:
    """The last event of such a response."""
    return {
        "type": "response.failed",
        "response": response,
        "sequence_number": sequence_number,
    }


def to_response_error(error: HttpError) -> ResponseError:
    """The ``error`` of a failed response: one of OpenAI's codes, the rest as ``server_error``."""
    code = _ERROR_CODES.get(error.code or "", "server_error")
    return {"code": code, "message": error.message, "param": error.param, "type": error.type}


def to_input_tokens(count: int) -> InputTokens:
    """The answer of ``POST /v1/responses/input_tokens``."""
    return {"object": "response.input_tokens", "input_tokens": count}


def to_deleted_response(response_id: str) -> DeletedResponse:
    """The answer of ``DELETE /v1/responses/{id}``."""
    return {"id": response_id, "object": "response", "deleted": True}


def to_item_list(items: Sequence[ListedItem], *, has_more: bool) -> ItemList:
    """A page of items in the order given."""
    return {
        "object": "list",
        "data": list(items),
        "first_id": items[0]["id"] if items else "",
        "last_id": items[-1]["id"] if items else "",
        "has_more": has_more,
    }


def to_compaction(header: ResponseHeader, output: Sequence[ListedItem], usage: Usage) -> Compaction:
    """The answer of ``POST /v1/responses/compact``; ``output``: ``to_compacted_items``."""
    return {
        "id": header.id,
        "object": "response.compaction",
        "created_at": header.created_at,
        "output": list(output),
        "usage": to_response_usage(usage),
    }


def to_compacted_items(
    items: Sequence[Item], summary: str, *, seal: ContentSeal, make_id: MakeId
) -> list[ListedItem]:
    """The items that stand for ``items`` from now on.

    Some stay as they are; ``summary``, which the model wrote of everything, is sealed in a
    compaction item behind them.
    """
    kept: list[ListedItem] = [
        without_texts(item.to_json()) for item in items if outlives_compaction(item)
    ]
    compaction: ListedCompaction = {
        "id": make_id("cmp_"),
        "type": "compaction",
        "encrypted_content": seal.seal_compaction(summary),
    }
    return [*kept, compaction]
