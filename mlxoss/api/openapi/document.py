"""The document of ``GET /openapi.json``, made of the endpoints as they are served.

Source: the OpenAPI Specification 3.1. Events have no schema of their own there: the
extension ``x-event-schema`` beside a ``text/event-stream`` is that of one event's data, beside
``application/x-ndjson`` that of a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from types import MappingProxyType

from pydantic import BaseModel

from mlxoss.api.answers import Error
from mlxoss.api.openapi.endpoint import ALWAYS, Endpoint, NamedEndpoint
from mlxoss.api.openapi.schemas import Schemas, Shape
from mlxoss.core import JsonObject

_PARAMETER = re.compile(r"<(\w+):\w+>")

_HEADERS: MappingProxyType[str, JsonObject] = MappingProxyType(
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


class OpenApi(BaseModel):
    """This document."""

    openapi: str
    paths: JsonObject


def make_document(endpoints: Sequence[NamedEndpoint], *, version: str) -> JsonObject:
    """The document, the same for the same endpoints. Takes a tenth of a second."""
    described = [_Described(named) for named in endpoints]
    schemas = Schemas(each for one in described for each in one.types)
    paths: JsonObject = {}
    for one in described:
        path = _PARAMETER.sub(r"{\1}", one.endpoint.path)
        for method in one.endpoint.methods:
            paths.setdefault(path, {})[method.lower()] = one.to_operation(schemas, method)
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
            "schemas": schemas.components,
            "headers": dict(_HEADERS),
            "securitySchemes": dict(_KEYS),
        },
    }


class _Described:
    """An endpoint with its types imported."""

    def __init__(self, named: NamedEndpoint) -> None:
        self.endpoint = named.endpoint
        self._named = named
        self._shapes = None if named.endpoint.shapes is None else named.endpoint.shapes()
        has_body = self._shapes is not None and self._shapes.body is not None
        assert has_body == named.endpoint.reads_body, named.name

    @property
    def types(self) -> Iterator[Shape]:
        """All that go over it."""
        yield self._error
        if (shapes := self._shapes) is not None:
            yield from filter(None, (shapes.answer, shapes.body, shapes.events))

    @property
    def _error(self) -> Shape:
        return (self._shapes and self._shapes.error) or Error

    def to_operation(self, schemas: Schemas, method: str) -> JsonObject:
        """The endpoint as one method answers it."""
        endpoint, is_head = self.endpoint, method == "HEAD"
        operation: JsonObject = {
            "operationId": f"{self._named.name}-head" if is_head else self._named.name,
            "tags": [self._named.group],
            "summary": endpoint.summary,
            "parameters": _to_parameters(endpoint),
        }
        if not endpoint.needs_key:
            operation["security"] = [{}]
        if self._shapes is not None and self._shapes.body is not None:
            content = _json(schemas.refer(self._shapes.body))
            operation["requestBody"] = {"required": True, "content": content}
        statuses = sorted({*endpoint.statuses, *endpoint.errors, *ALWAYS})
        answers = {str(status): self._to_answer(schemas, status) for status in statuses}
        if is_head:
            for answer in answers.values():
                answer.pop("content", None)
        return {**operation, "responses": answers}

    def _to_answer(self, schemas: Schemas, status: int) -> JsonObject:
        endpoint, shapes = self.endpoint, self._shapes
        answer: JsonObject = {
            "description": HTTPStatus(status).phrase,
            "headers": {
                name: {"$ref": f"#/components/headers/{name}"}
                for name in _headers(endpoint, status)
            },
        }
        is_own = status in endpoint.statuses
        own = [shapes.answer] if shapes is not None and is_own else []
        error = [self._error] if status in (*ALWAYS, *endpoint.errors) else []
        if types := [*own, *error]:
            answer["content"] = _json(schemas.refer(*types))
        if endpoint.media is not None and is_own:
            answer["content"] = {endpoint.media: {"schema": {"type": "string"}}}
        if shapes is not None and shapes.events is not None and is_own:
            answer["content"][shapes.events_media] = {
                "x-event-schema": schemas.refer(shapes.events, self._error),
            }
        return answer


def _to_parameters(endpoint: Endpoint) -> list[JsonObject]:
    in_path: list[JsonObject] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(endpoint.path)
    ]
    in_query = [
        {
            "name": one.name,
            "in": "query",
            "description": one.description,
            "schema": dict(one.schema),
        }
        for one in endpoint.query
    ]
    return in_path + in_query


def _headers(endpoint: Endpoint, status: int) -> tuple[str, ...]:
    own = ["request-id"] if endpoint.is_messages else []
    retry = ["retry-after"] if status == 429 else []
    return ("x-request-id", *own, "openai-processing-ms", *retry)


def _json(schema: JsonObject) -> JsonObject:
    return {"application/json": {"schema": schema}}
