"""Chats as Ollama's official client asks for them, and as raw HTTP does."""

from __future__ import annotations

from typing import Any

import ollama

from mlxoss.harmony.encoding import Encoding
from tests.support.fakes import ScriptedBackend
from tests.support.http import Answer, ask
from tests.support.server.harness import Server
from tests.support.waiting import HANG_S

NAME = "tiny/gpt-oss"
USER: Any = {"role": "user", "content": "Hello!"}
ASKED: Any = {"role": "user", "content": "Weather?"}
RESULT: Any = {"role": "tool", "tool_name": "get_weather", "content": "sunny"}
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def ollama_client(server: Server) -> ollama.Client:
    """The official client of ``server``, which closes it."""
    client = ollama.Client(server.url, timeout=HANG_S)
    server.clients.callback(client.close)
    return client


def chat(server: Server, *messages: Any, **fields: Any) -> Answer:
    """A whole answer of raw HTTP."""
    wanted = {"model": "gpt-oss:20b", "messages": messages or [USER], "stream": False} | fields
    return ask(server, "POST", "/api/chat", wanted)


def called(*calls: tuple[str, int]) -> Any:
    """A message with calls of an older client, which has no ids."""
    functions = [{"name": name, "arguments": {"n": n}} for name, n in calls]
    made = [{"function": function} for function in functions]
    return {"role": "assistant", "content": "", "thinking": "Two.", "tool_calls": made}


def prompt(backend: ScriptedBackend, encoding: Encoding) -> str:
    """The last prompt."""
    return encoding.decode(backend.inserted[-1].prompt_ids)


def refusal(server: Server, *messages: Any, **fields: Any) -> str:
    """What a chat is refused with: 400, in Ollama's shape."""
    answer = chat(server, *messages, **fields)
    assert answer.status == 400, answer.body
    assert set(answer.json) == {"error"}
    message: str = answer.json["error"]
    return message
