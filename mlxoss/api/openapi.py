"""The document of ``GET /openapi.json``, made of the endpoints as they are served.

Source: the OpenAPI Specification 3.1. Events have no schema of their own there: the
extension ``x-event-schema`` beside a ``text/event-stream`` is that of one event's data.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from mlxoss.api.endpoint import ALWAYS, MESSAGES_ERROR, Endpoint
from mlxoss.api.openapi_models import REFERENCE, make_schemas

_PARAMETER = re.compile(r"<(\w+):\w+>")

QUERY: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "after": {"description": "Begin behind this item.", "schema": {"type": "string"}},
        "limit": {
            "description": "How many items.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 100, "default": 20},
        },
        "order": {
            "description": "Oldest or newest first.",
            "schema": {"type": "string", "enum": ["asc", "desc"], "default": "desc"},
        },
        "stream": {
            "description": "Replay a background response's events.",
            "schema": {"type": "boolean", "default": False},
        },
        "starting_after": {
            "description": "The sequence number of the last event that is not wanted.",
            "schema": {"type": "integer", "default": -1},
        },
    }
)
"""What an endpoint may name as its query."""

_HEADERS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        "x-request-id": {
            "description": "The request's own header if it is sane, else a fresh id.",
            "schema": {"type": "string"},
        },
        "request-id": {
            "description": "The same, under the name that Anthropic's clients read.",
            "schema": {"type": "string"},
        },
        "openai-processing-ms": {
            "description": "Milliseconds until the answer began.",
            "schema": {"type": "integer"},
        },
        "retry-after": {
            "description": "Seconds to wait before the next try.",
            "schema": {"type": "integer"},
        },
    }
)
_WHEN = "Needed once 'mlxoss key create' has made one, and from another machine."
_KEYS: MappingProxyType[str, dict[str, str]] = MappingProxyType(
    {
        "key": {"type": "http", "scheme": "bearer", "description": _WHEN},
        "x_api_key": {
            "type": "apiKey",
            "in": "header",
            "name": "x-api-key",
            "description": "The same key, as Anthropic's clients send it.",
        },
    }
)


def make_document(endpoints: Sequence[Endpoint], *, version: str) -> dict[str, Any]:
    """The document, the same for the same endpoints. Takes a tenth of a second."""
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        path = _PARAMETER.sub(r"{\1}", endpoint.path)
        for method in endpoint.methods:
            paths.setdefault(path, {})[method.lower()] = _to_operation(endpoint, method)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "mlxoss",
            "summary": "GPT-OSS on MLX behind OpenAI's endpoints.",
            "license": {"name": "MIT", "identifier": "MIT"},
            "version": version,
        },
        "servers": [{"url": "/", "description": "Where this document comes from."}],
        "security": [{}, *({name: []} for name in _KEYS)],
        "paths": paths,
        "components": {
            "schemas": make_schemas(),
            "headers": dict(_HEADERS),
            "securitySchemes": dict(_KEYS),
        },
    }


def _to_operation(endpoint: Endpoint, method: str) -> dict[str, Any]:
    is_head = method == "HEAD"
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.name}-head" if is_head else endpoint.name,
        "tags": [endpoint.group],
        "summary": endpoint.summary,
        "parameters": _to_parameters(endpoint),
    }
    if not endpoint.needs_key:
        operation["security"] = [{}]
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": _json(endpoint.body)}
    statuses = sorted({*endpoint.statuses, *endpoint.errors, *ALWAYS})
    answers = {str(status): _to_answer(endpoint, status) for status in statuses}
    if is_head:
        for answer in answers.values():
            answer.pop("content", None)
    return {**operation, "responses": answers}


def _to_parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]
    return in_path + [{"name": name, "in": "query", **QUERY[name]} for name in endpoint.query]


def _to_answer(endpoint: Endpoint, status: int) -> dict[str, Any]:
    names = _headers(endpoint, status)
    answer: dict[str, Any] = {
        "description": HTTPStatus(status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names},
    }
    can_fail = status in (*ALWAYS, *endpoint.errors)
    own = [endpoint.answer] if endpoint.answer and status in endpoint.statuses else []
    models = [*own, *([endpoint.error] if can_fail else [])]
    if models:
        answer["content"] = _json(*models)
    if endpoint.media is not None and status in endpoint.statuses:
        answer["content"] = {endpoint.media: {"schema": {"type": "string"}}}
    if endpoint.events is not None and status in endpoint.statuses:
        answer["content"]["text/event-stream"] = {
            "x-event-schema": _reference(endpoint.events, endpoint.error),
        }
    return answer


def _headers(endpoint: Endpoint, status: int) -> tuple[str, ...]:
    own = ["request-id"] if endpoint.error == MESSAGES_ERROR else []
    retry = ["retry-after"] if status == 429 else []
    return ("x-request-id", *own, "openai-processing-ms", *retry)


def _json(*names: str) -> dict[str, Any]:
    return {"application/json": {"schema": _reference(*names)}}


def _reference(*names: str) -> dict[str, Any]:
    """The schema of what is one of the models."""
    references = [{"$ref": REFERENCE.format(model=name)} for name in names]
    return references[0] if len(references) == 1 else {"anyOf": references}
