"""Parameters that several endpoints share: their types, and what they become."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from mlxoss.core import Effort
from mlxoss.harmony.conversation import ResponseFormat

FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]
FormatName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
EffortWord = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"]
_BETWEEN_NAMES = "__"

Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
TopP = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
TopLogprobs = Annotated[int, Field(ge=0, le=20)]

Verbosity = Literal["low", "medium", "high"]

Refused = Annotated[Any, WithJsonSchema({"type": "null"})]
"""A field that would change the answer and is refused by its name unless it is null."""

_EFFORTS: MappingProxyType[EffortWord, Effort] = MappingProxyType(
    {
        "none": Effort.LOW,
        "minimal": Effort.LOW,
        "low": Effort.LOW,
        "medium": Effort.MEDIUM,
        "high": Effort.HIGH,
        "xhigh": Effort.HIGH,
        "max": Effort.HIGH,
        "ultra": Effort.HIGH,
    }
)


_VERBOSITY: MappingProxyType[Verbosity, str | None] = MappingProxyType(
    {
        "low": "Keep the final answer short.",
        "medium": None,
        "high": "Make the final answer detailed and thorough.",
    }
)
"""gpt-oss has no setting for it: it is told in words."""


def flatten(name: str, namespace: str | None) -> str:
    """The name that the model sees for a tool, in a namespace or not."""
    if namespace is None:
        return name
    between = "" if namespace.endswith(_BETWEEN_NAMES) else _BETWEEN_NAMES
    return f"{namespace}{between}{name}"


def to_effort(word: EffortWord | None) -> Effort:
    """The effort that OpenAI's word asks for, as far as gpt-oss knows it; medium by default."""
    return _EFFORTS[word] if word else Effort.MEDIUM


def to_verbosity_line(word: Verbosity | None) -> str | None:
    """The line of the prompt that asks for a long or a short answer, if one does."""
    return _VERBOSITY[word] if word else None


def json_object_format() -> ResponseFormat:
    """What the model is shown for OpenAI's ``json_object``."""
    return ResponseFormat("json_object", {"type": "object"})
