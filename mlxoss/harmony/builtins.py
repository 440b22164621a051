"""The tools that gpt-oss was trained with, in the words that it was trained with.

The texts are openai-harmony's own (``ToolNamespaceConfig``), read when this is imported. Only what
would not be true here is put right: code never reaches the internet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from openai_harmony import ToolNamespaceConfig

from mlxoss.harmony.conversation import Builtin, FunctionTool
from mlxoss.harmony.grammar.rules import BuiltinRule, FreeText, Json

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
    """What calls of ``builtins`` look like: text, or an object that follows the tool's schema."""
    rules: list[BuiltinRule] = []
    for builtin in builtins:
        rules += (
            BuiltinRule(f"{builtin.name}.{tool.name}", Json(tool.parameters or {"type": "object"}))
            for tool in builtin.tools
        )
        if not builtin.tools:
            rules.append(BuiltinRule(builtin.name, FreeText()))
    return tuple(rules)
