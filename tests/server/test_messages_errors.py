"""What /v1/messages cannot do, and what fails: in Anthropic's own shapes."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import pytest

from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Connect, Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server
from tests.support.server.messages import TOOL, USER, create, stream
from tests.support.server.scripts import endless

IMAGE: Any = {"type": "image", "source": {"type": "url", "url": "http://localhost/a.png"}}
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content[0].type"),
    (
        {"messages": [USER, {"role": "user", "content": [{"type": "document"}]}]},
        "messages[1].content[0].type",
    ),
    ({"messages": [USER, {"role": "assistant", "content": "The"}]}, "messages[1].role"),
    (
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x"}]}]},
        "messages[0].content[0].tool_use_id",
    ),
    ({"system": [IMAGE]}, "system[0].type"),
    ({"max_tokens": None}, "max_tokens"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"name": "f"}]}, "tools[0].input_schema"),
    ({"tools": [{"name": "f", "input_schema": {"type": "array"}}]}, "tools[0].input_schema.type"),
    ({"tools": [TOOL, TOOL]}, "tools[1].name"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool"}}, "tool_choice.name"),
    ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
    ({"tool_choice": {"type": "any"}}, "tool_choice"),
    ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
    ({"thinking": {"type": "long"}}, "thinking.type"),
    ({"stop_sequences": [""]}, "stop_sequences[0]"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
    ({"container": "c"}, "container"),
    (
        {"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}},
        "context_management.edits[0].type",
    ),
    ({"top_logprobs": 1}, "top_logprobs"),
]


@pytest.mark.parametrize(("fields", "param"), REFUSED)
def test_what_cannot_be_done_is_refused_by_its_name(
    talking: Server, fields: dict[str, Any], param: str
) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [USER]} | fields
    headers = {"content-type": "application/json", "x-request-id": "mine"}
    answer = ask(talking, "POST", "/v1/messages", json.dumps(body).encode(), headers)
    assert answer.status == 400
    assert answer.json == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": answer.json["error"]["message"],
        },
        "request_id": "mine",
    }
    assert f"'{param}'" in answer.json["error"]["message"]
    assert answer.headers["request-id"] == "mine"


def test_errors_are_of_the_client_s_own_classes(
    serve: Serve, encoding: Encoding, connect: Connect
) -> None:
    long: Any = {"role": "user", "content": "word " * 5000}
    client = connect(serve(endless(encoding)).url)
    with pytest.raises(anthropic.BadRequestError, match=r"prompt is too long: \d+ tokens > 4096"):
        create(client, long)
    for path, body in [("/v1/messages", b"{"), ("/v1/messages/count_tokens", b"[]")]:
        refused = client._client.post(path, content=body)
        assert refused.status_code == 400
        assert refused.json()["error"]["type"] == "invalid_request_error"
    for path in ("/v1/messages", "/v1/messages//"):
        wrong = client._client.get(path)
        assert wrong.status_code == 405
        assert wrong.json()["type"] == "error"


def test_a_failure_in_the_middle_is_an_event(
    talking: Server, claude: anthropic.Anthropic, talker: ScriptedBackend, logged_errors: Any
) -> None:
    create(claude)
    talker.token_errors[(talker.inserted[0].prompt_ids[0], 20)] = RuntimeError("broken")
    with pytest.raises(anthropic.APIStatusError) as failed:
        stream(claude, max_tokens=300)
    body: Any = failed.value.body
    assert body["error"]["type"] == "api_error"
    assert logged_errors()
