"""The tools that gpt-oss was trained with, in the words that it was trained with.

The texts are openai-harmony's own (``ToolNamespaceConfig``), read when this is imported. Only what
would not be true here is put right: code never reaches the internet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from openai_harmony import ToolNamespaceConfig

from mlxoss.harmony.conversation import Builtin, FunctionTool, JsonSchema
from mlxoss.harmony.grammar.any_order import any_order
from mlxoss.harmony.grammar.rules import ANY_OBJECT, Body, BuiltinRule, FreeText

_INTERNET = re.compile(r"(Internet access for this session is )UNKNOWN\b.*", re.DOTALL)
"""To the text's end: what follows says what it depends on."""


def _to_builtin(official: ToolNamespaceConfig) -> Builtin:
    tools = (FunctionTool(one.name, one.description, one.parameters) for one in official.tools)
    description = _INTERNET.sub(r"\1disabled.", official.description or "")
    return Builtin(official.name, description, tuple(tools))


PYTHON = _to_builtin(ToolNamespaceConfig.python())
"""Called by code. What is said of it holds for a worker that keeps its state, runs a cell for at
most 120 seconds and has a folder ``/mnt/data``."""

BROWSER = _to_builtin(ToolNamespaceConfig.browser())
"""``browser.search``, ``browser.open`` and ``browser.find``, called with JSON."""


def to_rules(builtins: Iterable[Builtin]) -> tuple[BuiltinRule, ...]:
    """What calls of ``builtins`` look like, each by its recipient."""
    return tuple(
        BuiltinRule(recipient, body)
        for builtin in builtins
        for recipient, body in zip(builtin.recipients, _bodies(builtin), strict=True)
    )


def _bodies(builtin: Builtin) -> tuple[Body, ...]:
    return tuple(_arguments(tool.parameters) for tool in builtin.tools) or (FreeText(),)


def _arguments(parameters: JsonSchema | None) -> Body:
    if isinstance(parameters, Mapping) and parameters.get("properties"):
        return any_order(parameters)
    return ANY_OBJECT
