"""The one model as its lists show it: to OpenAI's clients, and to Codex in a form of its own.

Source of the second: the fields that Codex CLI 0.169 refuses to do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlxoss.core import ModelInfo

if TYPE_CHECKING:
    from mlxoss.api.answers import CodexModel, ModelList, ModelObject

_EFFORTS = {
    "low": "Short reasoning, quick answers",
    "medium": "Reasoning for everyday work",
    "high": "Long reasoning for hard problems",
}
_TOOL_OUTPUT_TOKENS = 10_000
_INSTRUCTIONS = (
    "You are Codex, a coding agent in the user's terminal. Work on the request until it is done: "
    "look at the files that matter, make the change with your tools, and run what shows that it "
    "works. Change no more than is asked, and undo nothing that you did not write. Say in a "
    "sentence what you are about to do before you call tools, and at the end, shortly, what you "
    "did and what is left."
)


def to_model_list(model: ModelInfo, context_tokens: int) -> ModelList:
    """The answer of ``GET /v1/models``: ``data`` for OpenAI's clients, ``models`` for Codex."""
    return {
        "object": "list",
        "data": [to_model(model, context_tokens)],
        "models": [_to_codex_model(model, context_tokens)],
    }


def to_model(model: ModelInfo, context_tokens: int) -> ModelObject:
    """OpenAI's model object, and the context that the server can serve."""
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": "mlxoss",
        "context_length": context_tokens,
    }


def _to_codex_model(model: ModelInfo, context_tokens: int) -> CodexModel:
    return {
        "slug": model.name,
        "display_name": model.name,
        "description": "GPT-OSS on this machine",
        "default_reasoning_level": "medium",
        "supported_reasoning_levels": [
            {"effort": effort, "description": text} for effort, text in _EFFORTS.items()
        ],
        "shell_type": "unified_exec",
        "visibility": "list",
        "supported_in_api": True,
        "priority": 0,
        "base_instructions": _INSTRUCTIONS,
        "supports_reasoning_summaries": True,
        "supports_reasoning_summary_parameter": True,
        "support_verbosity": False,
        "apply_patch_tool_type": "freeform",
        "truncation_policy": {"mode": "tokens", "limit": _TOOL_OUTPUT_TOKENS},
        "supports_parallel_tool_calls": True,
        "context_window": context_tokens,
        "max_context_window": context_tokens,
        "experimental_supported_tools": [],
        "input_modalities": ["text"],
    }
