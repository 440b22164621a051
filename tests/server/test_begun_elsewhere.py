"""Conversations that were begun with another server go on here, over each API."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from websockets.sync.client import connect

from mlxoss.harmony.encoding import Encoding
from tests.fakes import ScriptedBackend
from tests.server.conftest import Serve
from tests.server.harness import Server, ask, eventually
from tests.server.scripts import HELLO, always

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


class Place:
    """A server, and what its model was shown last."""

    def __init__(self, serve: Serve, encoding: Encoding) -> None:
        self._encoding = encoding
        self._backend = ScriptedBackend(always(encoding, HELLO))
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
        eventually(lambda: ask(self.server, "GET", path).json["status"] == "completed")
        assert self.prompt == prompt
        with connect(f"ws://127.0.0.1:{self.server.port}/v1/responses") as socket:
            socket.send(json.dumps({"type": "response.create", "model": "any", **usual}))
            while (event := json.loads(socket.recv(timeout=30)))["type"] != "response.completed":
                assert event["type"] != "error", event
        assert self.prompt == prompt
        counted = self.post("/v1/responses/input_tokens", input=list(items))["input_tokens"]
        assert counted == len(self._backend.inserted[-1].prompt_ids)
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


@pytest.fixture
def place(serve: Serve, encoding: Encoding) -> Place:
    return Place(serve, encoding)


def say(*blocks: Any) -> Any:
    return {"role": "assistant", "content": list(blocks)}


def think(text: str = "", signature: str = SIGNED) -> Any:
    return {"type": "thinking", "thinking": text, "signature": signature}


def foreign_contents(server: Server) -> int:
    for line in ask(server, "GET", "/metrics").body.decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name == "mlxoss_foreign_contents_total":
            return int(float(value))
    raise AssertionError("it is not counted")


def test_responses_reasoning_sealed_elsewhere(place: Place) -> None:
    summary = [{"type": "summary_text", "text": "A summary."}]
    content = [{"type": "reasoning_text", "text": "A thought."}]
    plain = place.respond(USER, CALL, OUTPUT)
    for sealed in (FOREIGN, "", "mlxoss1.AAAA", "ä"):
        item = SEALED | {"encrypted_content": sealed}
        assert place.respond(USER, item, CALL, OUTPUT) == plain
        with_summary = place.respond(USER, item | {"summary": summary}, CALL, OUTPUT)
        assert "<|channel|>analysis<|message|>A summary.<|end|>" in with_summary
        with_content = place.respond(USER, item | {"content": content}, CALL, OUTPUT)
        assert "<|channel|>analysis<|message|>A thought.<|end|>" in with_content


def test_messages_thinking_signed_elsewhere(place: Place) -> None:
    plain = place.message(USER, say(USE), RESULT)
    for block in (think(), think(signature=""), REDACTED, REDACTED | {"data": ""}):
        assert place.message(USER, say(block, USE), RESULT) == plain
    for signature in (SIGNED, ""):
        prompt = place.message(USER, say(think("A thought.", signature), USE), RESULT)
        assert "<|channel|>analysis<|message|>A thought.<|end|>" in prompt


def test_it_is_counted_and_said_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    assert foreign_contents(place.server) == 0
    for _ in range(3):
        place.post("/v1/responses", input=[USER, SEALED, CALL, OUTPUT, SEALED | {"id": "rs_2"}])
    place.post("/v1/messages", messages=[USER, say(REDACTED, USE), RESULT], max_tokens=9)
    assert foreign_contents(place.server) == 7
    said = [one for one in caplog.records if "encrypted content" in one.getMessage()]
    assert [one.levelno for one in said] == [logging.WARNING]


def test_before_an_answer_it_is_not_looked_at(place: Place) -> None:
    plain = place.respond(USER, CALL, OUTPUT, ANSWER, USER)
    assert place.respond(USER, SEALED, CALL, OUTPUT, ANSWER, USER) == plain
    assert place.respond(USER, CALL, OUTPUT, SEALED, ANSWER, USER) == plain
    plain = place.message(USER, say(USE), RESULT, ANSWER, USER)
    for block in (think(), think("A thought."), REDACTED):
        assert place.message(USER, say(block, USE), RESULT, ANSWER, USER) == plain
        answer = say(block, {"type": "text", "text": "Hi."})
        assert place.message(USER, say(USE), RESULT, answer, USER) == plain
    assert foreign_contents(place.server) == 0


def test_a_kept_conversation_goes_on(place: Place) -> None:
    """What is stored with content of another server does not stand in the way later."""
    first = place.post("/v1/responses", input=[USER, SEALED, CALL, OUTPUT])
    place.post("/v1/responses", input=[USER], previous_response_id=first["id"])
    kept = place.post("/v1/conversations", items=[USER, SEALED, CALL])
    place.post("/v1/responses", input=[OUTPUT], conversation=kept["id"])
    place.post("/v1/responses/compact", input=[USER, SEALED, CALL, OUTPUT])


def test_a_compaction_sealed_elsewhere_stays_an_error(place: Place) -> None:
    compaction = {"type": "compaction", "encrypted_content": FOREIGN}
    error = place.post("/v1/responses", 400, input=[compaction, USER])["error"]
    assert error["param"] == "input[0].encrypted_content"
    assert error["code"] == "invalid_encrypted_content"
    assert "Nothing else holds" in error["message"]
