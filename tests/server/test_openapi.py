"""``/openapi.json``: it validates, describes every route, and real answers are as it says."""

from __future__ import annotations

import re
from typing import Any

import pytest
from jsonschema import ValidationError
from openapi_spec_validator import validate

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.contract import Contract
from tests.support.server.harness import Server
from tests.support.server.scripts import AFTER_CALL, CALL, HELLO, by_last_words, endless
from tests.support.waiting import until

USER: Any = {"role": "user", "content": "Hello!"}
PARAMETERS: Any = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER: Any = {"name": "get_weather", "description": "Tell it.", "parameters": PARAMETERS}
TOOLS: Any = [{"type": "function", "function": WEATHER}]
TURN: dict[str, Any] = {"model": "any", "input": "Hello!"}


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


@pytest.fixture
def contract(server: Server) -> Contract:
    return Contract(server)


def test_it_validates_and_is_the_same_every_time(serve: Serve) -> None:
    first, second = (Contract(serve(HELLO)) for _ in range(2))
    validate(first.document)
    bodies = [ask(one, "GET", "/openapi.json").body for one in (serve(HELLO), serve(HELLO))]
    assert bodies[0] == bodies[1]
    assert first.document == second.document


def test_every_route_is_described_and_nothing_else(server: Server, contract: Contract) -> None:
    routed = {
        (method, "/" + re.sub(r"<(\w+)(:\w+)?>", r"{\1}", route.path))
        for route in server.app.router.routes
        for method in route.methods
    }
    assert routed == contract.operations


def test_names_are_unique_and_everything_said_is_used(contract: Contract) -> None:
    document = contract.document
    operations = [op for item in document["paths"].values() for op in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for operation in operations)
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used == set(document["components"]["schemas"])


def test_a_request_s_fields_are_those_of_its_model(contract: Contract) -> None:
    schemas = contract.document["components"]["schemas"]
    for good in (
        {"model": "m", "messages": [USER], "stop": "x"},
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    ):
        contract.check_value(schemas["ChatRequest"], good)
    for good in (
        TURN,
        TURN | {"conversation": {"id": "conv_1"}, "input": [USER, {"id": "msg_1"}]},
        TURN | {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        TURN | {"tools": [{"type": "function", **WEATHER}, {"type": "web_search"}]},
    ):
        contract.check_value(schemas["ResponsesRequest"], good)
    for name, bad in (
        ("ChatRequest", {"model": "m"}),
        ("ChatRequest", {"model": "m", "messages": [USER], "temperature": 3}),
        ("ResponsesRequest", TURN | {"input": 5}),
        ("ResponsesRequest", TURN | {"input": [{"type": "message"}]}),
        ("ResponsesRequest", TURN | {"input": [{"type": "reasoning", "content": 5}]}),
    ):
        with pytest.raises(ValidationError):
            contract.check_value(schemas[name], bad)


def test_answers_of_chat(serve: Serve, encoding: Encoding) -> None:
    script = by_last_words(encoding, {"Weather": CALL, "sunny": AFTER_CALL, "Hello": HELLO})
    server = serve(ScriptedBackend(script))
    contract = Contract(server)
    asked = {"role": "user", "content": "Weather?"}
    for streamed in (
        {},
        {"stream": True},
        {"stream": True, "stream_options": {"include_usage": True}},
    ):
        for fields in (
            {"messages": [USER], "n": 2, "logprobs": True, "top_logprobs": 2},
            {"messages": [USER], "reasoning": {"exclude": True}, "stop": ["wör"]},
            {"messages": [asked], "tools": TOOLS},
            {"messages": [asked], "tools": TOOLS, "max_tokens": 3},
        ):
            path = "/v1/chat/completions"
            assert contract.ask("POST", path, model="m", **fields, **streamed).status == 200
    assert contract.ask("POST", "/v1/chat/completions", model="m", messages=[]).status == 400


def test_answers_of_messages_and_completions(serve: Serve, encoding: Encoding) -> None:
    script = by_last_words(encoding, {"Weather": CALL, "Hello": HELLO})
    contract = Contract(serve(ScriptedBackend(script)))
    tool = {"name": "get_weather", "input_schema": PARAMETERS}
    asked = {"role": "user", "content": "Weather?"}
    for streamed in ({}, {"stream": True}):
        for fields in (
            {"messages": [USER], "thinking": {"type": "adaptive"}},
            {"messages": [asked], "tools": [tool]},
        ):
            turn = {"model": "m", "max_tokens": 90, **fields, **streamed}
            assert contract.ask("POST", "/v1/messages", **turn).status == 200
        raw = {"model": "m", "prompt": "Hello", "logprobs": 2, **streamed}
        assert contract.ask("POST", "/v1/completions", **raw).status == 200
    counted = contract.ask("POST", "/v1/messages/count_tokens", model="m", messages=[USER])
    assert counted.json["input_tokens"] > 0
    assert contract.ask("POST", "/v1/messages", model="m", messages=[USER]).status == 400
    assert contract.ask("POST", "/v1/completions", model="m").status == 400


def test_answers_of_ollamas_door(serve: Serve, encoding: Encoding) -> None:
    script = by_last_words(encoding, {"Weather": CALL, "Hello": HELLO})
    contract = Contract(serve(ScriptedBackend(script)))
    asked = {"role": "user", "content": "Weather?"}
    requests: list[dict[str, Any]] = [
        {"messages": [USER], "logprobs": True, "top_logprobs": 2},
        {"messages": [USER], "think": False, "options": {"num_predict": 9}},
        {"messages": [asked], "tools": TOOLS},
        {"messages": []},
    ]
    for streamed in ({}, {"stream": False}):
        for fields in requests:
            assert contract.ask("POST", "/api/chat", model="m", **fields, **streamed).status == 200
    assert contract.ask("POST", "/api/chat", model="m", messages=[5]).status == 400
    assert contract.ask("POST", "/api/generate", model="m").status == 200
    assert contract.ask("POST", "/api/generate", model="m", prompt="x").status == 400
    assert contract.ask("POST", "/api/show", model="m").status == 200
    for path in ("/api/tags", "/api/ps", "/api/version"):
        assert contract.ask("GET", path).status == 200


def test_answers_of_responses(contract: Contract) -> None:
    tools = [{"type": "function", **WEATHER}, {"type": "custom", "name": "sh"}]
    include = ["reasoning.encrypted_content", "message.output_text.logprobs"]
    settings = {"tools": tools, "include": include, "reasoning": {"summary": "auto"}}
    form = {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}}
    kept = contract.ask("POST", "/v1/responses", **TURN, **settings, metadata={"a": "b"}).json["id"]
    for fields in (
        {"stream": True, **settings},
        {"previous_response_id": kept, "max_output_tokens": 4, "text": form},
        {"background": True, "stream": True},
        {"input": [USER, {"type": "reasoning", "summary": [], "encrypted_content": "?"}]},
    ):
        answer = contract.ask("POST", "/v1/responses", **TURN | fields)
        assert answer.status in (200, 400)
    path = f"/v1/responses/{kept}"
    counted = contract.ask("POST", "/v1/responses/input_tokens", **TURN)
    assert counted.json["input_tokens"] > 0
    for method, where, status in [
        ("GET", path, 200),
        ("GET", f"{path}?stream=true", 400),
        ("GET", f"{path}/input_items?limit=1&order=asc", 200),
        ("GET", f"{path}/input_items?limit=0", 400),
        ("POST", f"{path}/cancel", 400),
        ("DELETE", path, 200),
        ("GET", path, 404),
        ("GET", "/v1/responses", 426),
    ]:
        assert contract.ask(method, where).status == status
    compacted = contract.ask("POST", "/v1/responses/compact", **TURN)
    assert compacted.json["output"][-1]["type"] == "compaction"


def test_answers_of_the_background(serve: Serve, encoding: Encoding) -> None:
    backend = endless(encoding)
    contract = Contract(serve(backend))
    path = (
        "/v1/responses/" + contract.ask("POST", "/v1/responses", **TURN, background=True).json["id"]
    )
    until(lambda: contract.ask("GET", path).json["status"] == "in_progress")
    assert contract.ask("POST", f"{path}/cancel").json["status"] == "cancelled"
    assert contract.ask("GET", f"{path}?stream=true&starting_after=1").status == 200


ITEMS: list[Any] = [
    USER,
    {"role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "x"}]},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    {
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "s"}],
        "content": [{"type": "reasoning_text", "text": "r"}],
        "encrypted_content": "sealed elsewhere",
    },
    {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "namespace": "n"},
    {"type": "function_call_output", "call_id": "c1", "output": "x"},
    {"type": "custom_tool_call", "call_id": "c2", "name": "f", "input": "x"},
    {
        "type": "custom_tool_call_output",
        "call_id": "c2",
        "output": [{"type": "input_text", "text": "x"}],
    },
]


def test_answers_of_conversations(contract: Contract) -> None:
    created = contract.ask("POST", "/v1/conversations", items=ITEMS, metadata={"a": "b"})
    path = f"/v1/conversations/{created.json['id']}"
    contract.ask("POST", "/v1/responses", **TURN, conversation=created.json["id"])
    item = contract.ask("POST", f"{path}/items", items=[USER]).json["first_id"]
    listed = contract.ask("GET", f"{path}/items?limit=100").json["data"]
    assert len({one["type"] for one in listed}) == 6
    for method, where, status in [
        ("GET", path, 200),
        ("GET", f"{path}/items/{item}", 200),
        ("DELETE", f"{path}/items/{item}", 200),
        ("GET", f"{path}/items/{item}", 404),
        ("DELETE", path, 200),
        ("DELETE", path, 404),
    ]:
        assert contract.ask(method, where).status == status
    assert contract.ask("POST", "/v1/conversations", items=[5]).status == 400


def test_answers_about_the_server(serve: Serve) -> None:
    server = serve(HELLO, config=Config(max_queue=3))
    contract = Contract(server)
    assert contract.ask("POST", "/v1/chat/completions", model="m", messages=[USER]).status == 200
    assert contract.ask("POST", "/v1/chat/completions", model="m").status == 400
    for path in (
        "/",
        "/health",
        "/metrics",
        "/mlxoss/requests",
        "/v1/models",
        "/openapi.json",
        f"/v1/models/{server.services.model.name.replace('/', '%2F')}",
    ):
        assert contract.ask("GET", path).status == 200
    assert contract.ask("GET", "/v1/models/none").status == 404
    for path in ("/health", "/v1/models", "/v1/models/none"):
        answer = ask(server, "HEAD", path)
        contract.check("HEAD", path, answer)
    refused = ask(server, "GET", "/openapi.json", headers={"origin": "https://evil.example"})
    assert refused.status == 403
    contract.check("GET", "/openapi.json", refused)
