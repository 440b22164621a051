"""The one model as Anthropic's clients list it.

Source: Anthropic's API reference (list models), and the types of its SDK.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from typing_extensions import TypeAliasType, TypedDict

from mlxoss.api.answers import Error, MessagesError, ModelList, ModelObject, SchemaExtra
from mlxoss.api.errors import invalid
from mlxoss.api.query import read_number
from mlxoss.api.times import to_rfc3339
from mlxoss.core import ModelInfo

_LIMITS = range(1, 1001)
_CURSORS = ("after_id", "before_id")
_STAGES = ("active", "deprecated", "retired")


class Support(TypedDict):
    """Whether something is there."""

    supported: bool


class ContextSupport(TypedDict):
    """Which edits of the context are made."""

    supported: bool
    clear_thinking_20251015: Support
    clear_tool_uses_20250919: Support
    compact_20260112: Support


class EffortSupport(TypedDict):
    """Which efforts differ from each other: the words of the others are taken as the next one."""

    supported: bool
    low: Support
    medium: Support
    high: Support
    xhigh: Support
    max: Support


class ServerToolSupport(TypedDict):
    """Which tools the server runs itself."""

    supported: bool
    code_execution: Support
    web_search: Support


class ThinkingTypeSupport(TypedDict):
    """Which ``type`` a request's ``thinking`` may have."""

    adaptive: Support
    enabled: Support
    disabled: Support
    between_tools: Support


class ThinkingSupport(TypedDict):
    """That the model reasons."""

    supported: bool
    types: ThinkingTypeSupport


class MessagesModelCapabilities(TypedDict):
    """What ``/v1/messages`` can do."""

    batch: Support
    citations: Support
    code_execution: Support
    context_management: ContextSupport
    effort: EffortSupport
    image_input: Support
    pdf_input: Support
    server_tools: ServerToolSupport
    structured_outputs: Support
    thinking: ThinkingSupport


class MessagesModel(TypedDict):
    """The model that this server has, for who sends ``anthropic-version``."""

    type: Literal["model"]
    id: str
    display_name: str
    created_at: str
    max_input_tokens: int
    max_tokens: int
    capabilities: MessagesModelCapabilities
    lifecycle: Literal["active"]
    line: None
    deprecated_at: None
    retires_at: None


class MessagesModelList(TypedDict):
    """A page of the models, of which there is one."""

    data: list[MessagesModel]
    first_id: str | None
    last_id: str | None
    has_more: bool


AnyModelList = TypeAliasType(
    "AnyModelList",
    Annotated[
        ModelList | MessagesModelList,
        SchemaExtra(description="OpenAI's list, or Anthropic's for who sends 'anthropic-version'."),
    ],
)
AnyModel = TypeAliasType(
    "AnyModel",
    Annotated[
        ModelObject | MessagesModel,
        SchemaExtra(
            description="OpenAI's model, or Anthropic's for who sends 'anthropic-version'."
        ),
    ],
)
AnyError = TypeAliasType(
    "AnyError",
    Annotated[
        Error | MessagesError,
        SchemaExtra(
            description="OpenAI's error, or Anthropic's for who sends 'anthropic-version'."
        ),
    ],
)


def to_messages_models(data: list[MessagesModel]) -> MessagesModelList:
    """A page of so many models."""
    return {
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": False,
    }


def is_on_page(model: ModelInfo, query: Mapping[str, str], stages: Collection[str]) -> bool:
    """Whether the one model is on the page that a list's ``query`` asks for.

    It is on all but those behind it and before it, and those that want other ``stages`` of a
    model's life. Raises InvalidRequest that names the key.
    """
    read_number(query, "limit", _LIMITS, default=20)
    cursors = [name for name in _CURSORS if query.get(name)]
    for name in cursors:
        if query[name] != model.name:
            raise invalid(name, f"the only model is '{model.name}'")
    for stage in stages:
        if stage not in _STAGES:
            raise invalid("lifecycle", f"it should be of {', '.join(_STAGES)}")
    return not cursors and (not stages or _STAGES[0] in stages)


def to_messages_model(model: ModelInfo, context_tokens: int) -> MessagesModel:
    """The model, with prompts and answers of ``context_tokens`` at most, together."""
    return {
        "type": "model",
        "id": model.name,
        "display_name": model.name,
        "created_at": to_rfc3339(model.created),
        "max_input_tokens": context_tokens,
        "max_tokens": context_tokens,
        "capabilities": _capabilities(),
        "lifecycle": "active",
        "line": None,
        "deprecated_at": None,
        "retires_at": None,
    }


def _capabilities() -> MessagesModelCapabilities:
    yes, no = Support(supported=True), Support(supported=False)
    return {
        "batch": no,
        "citations": no,
        "code_execution": no,
        "context_management": {
            "supported": True,
            "clear_thinking_20251015": yes,
            "clear_tool_uses_20250919": no,
            "compact_20260112": no,
        },
        "effort": {
            "supported": True,
            "low": yes,
            "medium": yes,
            "high": yes,
            "xhigh": no,
            "max": no,
        },
        "image_input": no,
        "pdf_input": yes,
        "server_tools": {"supported": False, "code_execution": no, "web_search": no},
        "structured_outputs": yes,
        "thinking": {
            "supported": True,
            "types": {"adaptive": yes, "enabled": yes, "disabled": yes, "between_tools": no},
        },
    }
