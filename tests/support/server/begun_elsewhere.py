"""Conversations that other servers began, and what becomes of them over each API."""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import connect

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server
from tests.support.server.scripts import HELLO, always
from tests.support.waiting import until

USER: Any = {"role": "user", "content": "Hello!"}
FOREIGN = "gAAAAABotAXNYQ3"
SIGNED = "EqQBCgIYAhIMxyz"
CALL: Any = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
OUTPUT: Any = {"type": "function_call_output", "call_id": "c1", "output": "rain"}
ANSWER: Any = {"role": "assistant", "content": "Hi."}
SEALED: Any = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": FOREIGN}
USE: Any = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
RESULT: Any = {
    "role": "user",
    "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}],
}
REDACTED: Any = {"type": "redacted_thinking", "data": "xyz"}


def say(*blocks: Any) -> Any:
    return {"role": "assistant", "content": list(blocks)}


def foreign_contents(server: Server) -> int:
    for line in ask(server, "GET", "/metrics").body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name == "mlxoss_foreign_contents_total":
            return int(float(value))
    raise AssertionError("it is not counted")


class Place:
    """A server, and what its model was shown last."""

    def __init__(
        self, serve: Serve, encoding: Encoding, backend: ScriptedBackend | None = None
    ) -> None:
        self._encoding = encoding
        self._backend = backend or ScriptedBackend(always(encoding, HELLO))
        self.server: Server = serve(self._backend)

    @property
    def prompt(self) -> str:
        return self._encoding.decode(self._backend.inserted[-1].prompt_ids)

    def post(self, path: str, status: int = 200, **fields: Any) -> Any:
        body = json.dumps({"model": "any"} | fields).encode()
        answer = ask(self.server, "POST", path, body, {"content-type": "application/json"})
        assert answer.status == status, answer.body
        return None if fields.get("stream") else answer.json

    def respond(self, *items: Any, **fields: Any) -> str:
        """The prompt that the items make as a response's input, however it is asked for."""
        usual: Any = {"input": list(items), "store": False} | fields
        self.post("/v1/responses", **usual)
        prompt = self.prompt
        self.post("/v1/responses", **usual, stream=True)
        assert self.prompt == prompt
        waiting = self.post("/v1/responses", **usual | {"store": True, "background": True})
        path = f"/v1/responses/{waiting['id']}"
        until(lambda: ask(self.server, "GET", path).json["status"] == "completed")
        assert self.prompt == prompt
        with connect(f"ws://127.0.0.1:{self.server.port}/v1/responses") as socket:
            socket.send(json.dumps({"type": "response.create", "model": "any", **usual}))
            while (event := json.loads(socket.recv(timeout=30)))["type"] != "response.completed":
                assert event["type"] != "error", event
        assert self.prompt == prompt
        counted = self.post("/v1/responses/input_tokens", input=list(items), **fields)
        assert counted["input_tokens"] == len(self._backend.inserted[-1].prompt_ids)
        return prompt

    def message(self, *messages: Any, **fields: Any) -> str:
        """The prompt that Anthropic's messages make."""
        self.post("/v1/messages", messages=list(messages), max_tokens=30, **fields)
        prompt = self.prompt
        counted = self.post("/v1/messages/count_tokens", messages=list(messages), **fields)
        assert counted["input_tokens"] == len(self._backend.inserted[-1].prompt_ids)
        return prompt

    def chat(self, *messages: Any, **fields: Any) -> str:
        """The prompt that chat messages make."""
        self.post("/v1/chat/completions", messages=list(messages), **fields)
        return self.prompt
