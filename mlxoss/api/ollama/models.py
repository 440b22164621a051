"""The one model as Ollama's clients are told of it.

Sources: Ollama's API reference (list, show, running models, version); the fields of ``model_info``
that VS Code and others look for.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from mlxoss.api.times import to_rfc3339
from mlxoss.core import ModelInfo

if TYPE_CHECKING:
    from mlxoss.api.ollama.answers import (
        OllamaDetails,
        OllamaLoadedModel,
        OllamaModel,
        OllamaModelReport,
    )

VERSION = "0.13.0"
"""The release of Ollama that has the fields served here. Clients refuse what they take for an
older one: VS Code anything below 0.6.4."""

NEVER = 253_402_300_799.0
"""When a model leaves the memory that stays in it: the last second that RFC 3339 can write."""

_ARCHITECTURE = "gptoss"


def to_ollama_model(model: ModelInfo) -> OllamaModel:
    """The model in the list of ``/api/tags``."""
    return {
        "name": model.name,
        "model": model.name,
        "modified_at": to_rfc3339(model.created),
        "size": 0,
        "digest": _digest(model),
        "details": _details(),
    }


def to_loaded_model(
    model: ModelInfo, context_tokens: int, *, held_bytes: int, until: float
) -> OllamaLoadedModel:
    """The model in the list of ``/api/ps``: in memory, ``until`` a Unix time in seconds."""
    return {
        "name": model.name,
        "model": model.name,
        "size": held_bytes,
        "size_vram": held_bytes,
        "digest": _digest(model),
        "details": _details(),
        "expires_at": to_rfc3339(until),
        "context_length": context_tokens,
    }


def to_model_report(model: ModelInfo, context_tokens: int) -> OllamaModelReport:
    """The answer of ``/api/show``."""
    return {
        "modified_at": to_rfc3339(model.created),
        "template": "",
        "parameters": "",
        "details": _details(),
        "model_info": {
            "general.architecture": _ARCHITECTURE,
            "general.basename": model.name,
            f"{_ARCHITECTURE}.context_length": context_tokens,
        },
        "capabilities": ["completion", "tools", "thinking"],
    }


def _details() -> OllamaDetails:
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": _ARCHITECTURE,
        "families": [_ARCHITECTURE],
        "parameter_size": "",
        "quantization_level": "",
    }


def _digest(model: ModelInfo) -> str:
    """The same for the same model: clients keep what they know of a model by it."""
    return hashlib.sha256(f"{model.name} {model.created}".encode()).hexdigest()
