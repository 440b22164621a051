"""What of a server's list of tools goes on: before the SDK reads it, which would refuse it whole.

Each tool is made anew of what is known, so that nothing else of a server's gets to the model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mlxoss.hosted.mcp.limits import McpLimits

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_NAMESPACE = "namespace"
"""Behind ``//`` it closes the list of functions in the prompt (``} // namespace functions``)."""

_SHOWN_CHARS = 64
_TEXTS = frozenset({"description", "title", "$comment"})
CUT = " [cut]"


class _Unfit(ValueError):
    """Why a tool is left out."""


@dataclass(slots=True)
class Sieve:
    """Keeps what is fit; ``left_out`` says what was not, and why, since the last ``begin``."""

    limits: McpLimits
    left_out: list[tuple[str, str]] = field(default_factory=list)
    _names: set[str] = field(default_factory=set)
    _chars: int = 0

    def begin(self) -> None:
        """A list is asked for from its first page."""
        self.left_out.clear()
        self._names.clear()
        self._chars = 0

    def page(self, result: Mapping[str, Any]) -> dict[str, Any]:
        """A page of the list, as the SDK may read it."""
        return {**result, "tools": list(self._fit(result["tools"]))}

    def _fit(self, tools: list[object]) -> Iterator[dict[str, Any]]:
        for tool in tools:
            if len(self._names) >= self.limits.tools:
                self._leave_out(tool, f"there are more than {self.limits.tools} tools")
                return
            try:
                made = self._tool(tool)
                self._count(made)
            except _Unfit as error:
                self._leave_out(tool, str(error))
            else:
                self._names.add(made["name"])
                yield made

    def _count(self, tool: Mapping[str, Any]) -> None:
        """All tools together go into one prompt, where a question has to fit too."""
        chars = len(json.dumps(tool))
        if self._chars + chars > self.limits.list_chars:
            raise _Unfit(f"all tools together have more than {self.limits.list_chars} characters")
        self._chars += chars

    def _leave_out(self, tool: object, reason: str) -> None:
        if len(self.left_out) < self.limits.tools:
            self.left_out.append((_shown_name(tool), reason))

    def _tool(self, tool: object) -> dict[str, Any]:
        if not isinstance(tool, dict):
            raise _Unfit("it is no object")
        name = tool.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _Unfit("its name is none that a function can have")
        if name in self._names:
            raise _Unfit("another has its name")
        made = {"name": name, "inputSchema": self._schema(tool.get("inputSchema"))}
        if isinstance(text := tool.get("description"), str) and text.strip():
            made["description"] = clean(text, self.limits.description_chars)
        hints = tool.get("annotations")
        if isinstance(hints, dict) and hints.get("readOnlyHint") is True:
            made["annotations"] = {"readOnlyHint": True}
        return made

    def _schema(self, schema: object) -> dict[str, Any]:
        if not isinstance(schema, dict) or schema.get("type", "object") != "object":
            raise _Unfit("its inputSchema is not that of an object")
        if not _is_sound(schema):
            raise _Unfit("its inputSchema is none")
        made: dict[str, Any] = self._clean({**schema, "type": "object"}, 0, is_named=False)
        if len(json.dumps(made)) > self.limits.schema_chars:
            raise _Unfit("its inputSchema is too long")
        return made

    def _clean(self, value: object, depth: int, *, is_named: bool) -> Any:
        """``value`` with harmless texts. ``is_named``: its keys are properties' names, no words of
        a schema's."""
        if depth > self.limits.schema_depth:
            raise _Unfit("its inputSchema is nested too deeply")
        if isinstance(value, list):
            return [self._clean(each, depth + 1, is_named=False) for each in value]
        if not isinstance(value, dict):
            return value
        made: dict[str, Any] = {}
        for name, each in value.items():
            if isinstance(each, str) and name in _TEXTS and not is_named:
                made[name] = clean(each, self.limits.description_chars)
            else:
                inner = name in ("properties", "$defs", "definitions") and not is_named
                made[name] = self._clean(each, depth + 1, is_named=inner)
        return made


def _is_sound(schema: Mapping[str, Any]) -> bool:
    """Whether it has an object schema's form on its first level, and its texts can be written."""
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    if not all(isinstance(each, dict | bool) for each in properties.values()):
        return False
    return all(isinstance(name, str) for name in required)


def clean(text: str, most_chars: int) -> str:
    """``text`` as a comment in the prompt may have it: cut, and no end of the list of functions."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = "\n".join(_CONTROL.sub("", text).splitlines())
    text = _without_ends(text).strip()
    return text if len(text) <= most_chars else text[:most_chars] + CUT


def _without_ends(text: str) -> str:
    """``text`` with no ``//`` before that word, in time that grows with its length alone."""
    *before, last = text.split(_NAMESPACE)
    return "".join(f"{_without_slashes(piece)}{_NAMESPACE}" for piece in before) + last


def _without_slashes(text: str) -> str:
    left = text.rstrip()
    if not left.endswith("//"):
        return text
    while left.endswith("/"):
        left = left.rstrip("/").rstrip()
    return f"{left} "


def _shown_name(tool: object) -> str:
    name = tool.get("name") if isinstance(tool, dict) else None
    shown = "".join(filter(str.isprintable, name)) if isinstance(name, str) else ""
    return shown[:_SHOWN_CHARS] or "?"
