"""The tools that real MCP servers and Codex declare, and arguments for them.

``real_tools.json`` holds their schemas, as the servers listed them in November 2026, without
descriptions, titles, examples and defaults, which bind nothing. All are MIT or Apache-2.0.
"""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxoss.api.turn_rules import function_rule
from mlxoss.core import JsonObject
from mlxoss.harmony.grammar.rules import TurnRules

CODEX = "@openai/codex"
COMMON = (
    "@modelcontextprotocol/server-everything",
    "@modelcontextprotocol/server-filesystem",
    "@modelcontextprotocol/server-github",
    "@modelcontextprotocol/server-memory",
    "@modelcontextprotocol/server-sequential-thinking",
    "@playwright/mcp",
    "@upstash/context7-mcp",
    "tavily-mcp",
    "figma-developer-mcp",
)
"""Servers that many have side by side: a hundred tools."""

Tools = dict[str, JsonObject]
"""Schemas by the names of their tools."""


@dataclass(frozen=True, slots=True)
class ToolSource:
    """A package and the tools that it declares."""

    package: str
    version: str
    license: str
    tools: Tools


def real_tools() -> dict[str, ToolSource]:
    """All of them, by package."""
    text = Path(__file__).with_suffix(".json").read_text()
    return {each["package"]: ToolSource(**each) for each in json.loads(text)}


def together(sources: dict[str, ToolSource]) -> Tools:
    """The tools of several, under names that a client gives them."""
    named: Tools = {}
    for source in sources.values():
        prefix = source.package.rpartition("/")[2]
        named |= {f"mcp__{prefix}__{name}"[:64]: schema for name, schema in source.tools.items()}
    return named


def to_rules(tools: Tools) -> TurnRules:
    """As a request with these tools is read."""
    calls = [
        function_rule(name, schema, strict=False, param=f"tools[{position}].parameters")
        for position, (name, schema) in enumerate(tools.items())
    ]
    return TurnRules(calls=tuple(calls), preambles=True)


_WORDS = ("a", "file", "made", "by", "some", "of them,", "/a/path.txt", "12", "&", '"so"', "on.\n")
_BY_FORMAT = {
    "uuid": "123e4567-e89b-12d3-a456-426614174000",
    "date-time": "2026-11-28T10:00:00Z",
    "json": "{}",
}
_FOR_PATTERNS = ("aName", "a.png", "12:34")
_DEEPEST = 8


def arguments(schema: Any, dice: random.Random) -> Any:
    """Arguments that mostly fit ``schema``: of several forms at once it knows nothing."""
    return _value(schema, schema, dice, 0)


def _value(schema: Any, root: Any, dice: random.Random, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {}
    if "const" in schema or "enum" in schema:
        return dice.choice([schema["const"]] if "const" in schema else schema["enum"])
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if "$ref" in schema:
        branches.append(_resolve(schema["$ref"], root))
    if branches:
        return _value(dice.choice(branches), root, dice, depth + 1)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return _object(schema, root, dice, depth)
    if kind == "array":
        count = dice.randint(max(1, schema.get("minItems", 0)), schema.get("maxItems", 3))
        return [_value(schema.get("items"), root, dice, depth + 1) for _ in range(count)]
    return _scalar(kind, schema, dice)


def _scalar(kind: str, schema: JsonObject, dice: random.Random) -> Any:
    match kind:
        case "integer" | "number":
            least = schema.get("minimum") or schema.get("exclusiveMinimum") or 0
            return max(1, int(least) + 1)
        case "boolean":
            return dice.random() < 0.5
        case "null":
            return None
    if "pattern" in schema:
        fitting = (text for text in _FOR_PATTERNS if re.search(schema["pattern"], text))
        return next(fitting, _FOR_PATTERNS[0])
    text = " ".join(dice.choices(_WORDS, k=dice.randint(1, 25)))
    return _BY_FORMAT.get(schema.get("format", ""), text[: schema.get("maxLength")])


def _object(schema: JsonObject, root: Any, dice: random.Random, depth: int) -> JsonObject:
    required = schema.get("required", ())
    return {
        name: _value(part, root, dice, depth + 1)
        for name, part in schema.get("properties", {}).items()
        if name in required or dice.random() < 0.5
    }


def _resolve(reference: str, root: Any) -> Any:
    at = root
    for name in reference.removeprefix("#").split("/")[1:]:
        at = at.get(name, {})
    return at
