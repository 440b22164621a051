"""Shapes of what Ollama's endpoints answer."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from typing_extensions import TypeAliasType, TypedDict

from mlxoss.api.answers import LogprobEntry, SchemaExtra
from mlxoss.core import JsonObject

DoneReason = Literal["stop", "length", "load", "unload"]


class OllamaFunctionCall(TypedDict):
    """The function that a call names, and the call's number in its turn."""

    index: int
    name: str
    arguments: JsonObject


class OllamaCall(TypedDict):
    """A call; who sends its ``id`` back has the turn taken up to the token."""

    id: str
    function: OllamaFunctionCall


class OllamaMessage(TypedDict):
    """What the model wrote, or more of it."""

    role: Literal["assistant"]
    content: str
    thinking: NotRequired[str]
    tool_calls: NotRequired[list[OllamaCall]]


class OllamaChat(TypedDict):
    """A line of an answer, or a whole one. The last line alone is ``done`` and has figures.

    Durations are in nanoseconds: ``load_duration`` is the time before the request had its slot.
    """

    model: str
    created_at: str
    message: OllamaMessage
    done: bool
    logprobs: NotRequired[list[LogprobEntry]]
    done_reason: NotRequired[DoneReason]
    total_duration: NotRequired[int]
    load_duration: NotRequired[int]
    prompt_eval_count: NotRequired[int]
    prompt_eval_duration: NotRequired[int]
    eval_count: NotRequired[int]
    eval_duration: NotRequired[int]


class OllamaLoaded(TypedDict):
    """That the model was loaded, or unloaded."""

    model: str
    created_at: str
    response: str
    done: bool
    done_reason: DoneReason


class OllamaDetails(TypedDict):
    """What kind of a model it is; what is not known is empty."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class OllamaModel(TypedDict):
    """The model that this server has. Its ``size`` is not told: 0."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: OllamaDetails


class OllamaModelList(TypedDict):
    """All models: one."""

    models: list[OllamaModel]


class OllamaLoadedModel(TypedDict):
    """The model while it is in memory: its sizes are what MLX holds, in bytes."""

    name: str
    model: str
    size: int
    size_vram: int
    digest: str
    details: OllamaDetails
    expires_at: str
    context_length: int


class OllamaLoadedModels(TypedDict):
    """The models in memory: one, or none."""

    models: list[OllamaLoadedModel]


class OllamaModelReport(TypedDict):
    """What the model is and can do."""

    modified_at: str
    template: str
    parameters: str
    details: OllamaDetails
    model_info: JsonObject
    capabilities: list[str]


class OllamaVersion(TypedDict):
    """The release of Ollama whose API this one is like."""

    version: str


OllamaChatLine = TypeAliasType(
    "OllamaChatLine",
    Annotated[OllamaChat, SchemaExtra(description="A line of the stream.")],
)
