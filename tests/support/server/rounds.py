"""Turns that call tools of the server, spelt with token names, and requests that allow them."""

from __future__ import annotations

import json
from typing import Any

CODE: Any = {"type": "code_interpreter", "container": {"type": "auto"}}
SEARCH: Any = {"type": "web_search"}
WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def sums(**fields: Any) -> Any:
    """The MCP server that adds."""
    return {"type": "mcp", "server_label": "sums", "require_approval": "never"} | fields


def think(text: str) -> str:
    return f"<|channel|>analysis<|message|>{text}<|end|><|start|>assistant"


def python(code: str, before: str = "I compute.") -> str:
    """A turn that ends in a call of python, spelt as the model samples it."""
    return f"{think(before)}<|channel|>analysis to=python code<|message|>{code}<|call|>"


def browse(function: str, before: str = "I look.", **arguments: Any) -> str:
    text = json.dumps(arguments)
    head = f"<|channel|>analysis to=browser.{function} code<|message|>"
    return f"{think(before)}{head}{text}<|call|>"


def called(name: str, arguments: Any, end: str = "<|call|>") -> str:
    """A call of a function, with spaces in its JSON that nobody would write anew."""
    text = json.dumps(arguments, separators=(" , ", " : "))
    head = f"<|channel|>commentary to=functions.{name} <|constrain|>json<|message|>"
    return f"{head}{text}{end}"


def weather(before: str = "I need the weather.") -> str:
    return think(before) + called("get_weather", {"city": "Oslo"})


def add(a: int, b: int, before: str = "I add.") -> str:
    return think(before) + called("sums__add", {"a": a, "b": b})
