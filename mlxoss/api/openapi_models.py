"""The models that ``Endpoint.body``, ``answer`` and ``events`` name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlxoss.api.answers import Control, Error, FinishedRequests, Health, ModelList, OpenApi
from mlxoss.api.answers import Model as ModelEntry
from mlxoss.api.chat_answers import ChatCompletion, ChatCompletionChunk
from mlxoss.api.chat_request import ChatRequest
from mlxoss.api.completions_answers import Completion
from mlxoss.api.completions_request import CompletionRequest
from mlxoss.api.conversations import ConversationRequest, ConversationUpdate, ItemsRequest
from mlxoss.api.item_answers import Item, ItemList
from mlxoss.api.messages_answers import (
    MessagesError,
    MessagesEvent,
    MessagesMessage,
    MessagesTokenCount,
)
from mlxoss.api.messages_request import MessagesPromptFields, MessagesRequest
from mlxoss.api.responses_answers import (
    Compaction,
    Conversation,
    DeletedConversation,
    DeletedResponse,
    InputTokens,
    Response,
    ResponseEvent,
)
from mlxoss.api.responses_request import CompactRequest, PromptFields, ResponsesRequest

_MODELS: tuple[type[BaseModel], ...] = (
    ChatCompletion,
    ChatCompletionChunk,
    ChatRequest,
    Compaction,
    CompactRequest,
    Completion,
    CompletionRequest,
    Control,
    Conversation,
    ConversationRequest,
    ConversationUpdate,
    DeletedConversation,
    DeletedResponse,
    Error,
    FinishedRequests,
    Health,
    InputTokens,
    Item,
    ItemList,
    ItemsRequest,
    MessagesError,
    MessagesEvent,
    MessagesMessage,
    MessagesPromptFields,
    MessagesRequest,
    MessagesTokenCount,
    ModelEntry,
    ModelList,
    OpenApi,
    PromptFields,
    Response,
    ResponseEvent,
    ResponsesRequest,
)
MODELS: MappingProxyType[str, type[BaseModel]] = MappingProxyType(
    {model.__name__: model for model in _MODELS}
)
"""By their names."""

REFERENCE = "#/components/schemas/{model}"


def make_schemas() -> dict[str, Any]:
    """The JSON schemas of all models and of what they are made of, by their names."""
    _, whole = models_json_schema(
        [(model, "validation") for model in MODELS.values()], ref_template=REFERENCE
    )
    schemas: dict[str, Any] = whole["$defs"]
    return {name: _strip(schemas[name]) for name in sorted(schemas)}


def _strip(schema: dict[str, Any]) -> dict[str, Any]:
    """``schema`` without the titles that repeat names, and without defaults of ``null``.

    Only what is a schema is looked into: a property may well be called ``title``.
    """
    stripped: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "title" or (key == "default" and value is None):
            continue
        stripped[key] = _strip_within(key, value)
    return stripped


def _strip_within(key: str, value: Any) -> Any:
    match key, value:
        case (("properties" | "patternProperties"), dict()):
            return {name: _strip(part) for name, part in value.items()}
        case (("items" | "additionalProperties" | "propertyNames"), dict()):
            return _strip(value)
        case (("anyOf" | "oneOf" | "allOf"), list()):
            return [_strip(part) for part in value]
        case _:
            return value
