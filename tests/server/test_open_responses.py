"""The 17 cases of Open Responses' compliance list, started all at once, as that list does."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from websockets.sync.client import ClientConnection, connect

from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.api.strict import check_event, check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import Answer, ask
from tests.support.server.harness import Server
from tests.support.server.scripts import CALL, HELLO, to_ids

ENDS = ("response.completed", "response.failed", "response.incomplete", "error")
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}
REQUIRED = (
    *("completed_at", "incomplete_details", "previous_response_id", "instructions", "error"),
    *("tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "reasoning", "usage"),
    *("max_output_tokens", "max_tool_calls", "store", "background", "service_tier", "metadata"),
    *("safety_identifier", "prompt_cache_key"),
)
NEVER_NULL = (
    *("tools", "tool_choice", "truncation", "parallel_tool_calls", "text", "usage"),
    *("store", "background", "service_tier", "metadata", "completed_at"),
)


def message(role: str, text: str, **fields: Any) -> dict[str, Any]:
    kind = "output_text" if role == "assistant" else "input_text"
    part: dict[str, Any] = {"type": kind, "text": text} | (
        {"annotations": []} if role == "assistant" else {}
    )
    return {"type": "message", "role": role, "content": [part], **fields}


def post(server: Server, path: str, **body: Any) -> Answer:
    headers = {"content-type": "application/json"}
    return ask(server, "POST", f"/v1/responses{path}", json.dumps(body).encode(), headers)


def create(server: Server, input: Any, **fields: Any) -> dict[str, Any]:
    answer = post(server, "", model="m", input=input, **fields)
    assert answer.status == 200, answer.body
    check_completed(answer.json)
    return dict(answer.json)


def check_completed(response: dict[str, Any]) -> None:
    check_response(response)
    assert set(REQUIRED) <= set(response)
    assert [name for name in NEVER_NULL if response[name] is None] == []
    assert response["text"]["format"] == {"type": "text"}
    assert set(response["reasoning"]) >= {"effort", "summary"}
    assert {"input_tokens_details", "output_tokens_details"} <= set(response["usage"])
    assert response["status"] == "completed"


def kinds(response: Mapping[str, Any]) -> list[str]:
    return [item["type"] for item in response["output"]]


def says_hello(response: Mapping[str, Any]) -> None:
    last = response["output"][-1]
    assert last["content"][0]["text"] == "Hello, wörld 🎉!"


@contextlib.contextmanager
def socket(server: Server) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as opened:
        yield opened


def turn(opened: ClientConnection, input: Any, **fields: Any) -> dict[str, Any]:
    """The last event of one ``response.create``, which has to come within 30 s each."""
    opened.send(json.dumps({"type": "response.create", "model": "m", "input": input} | fields))
    while True:
        event: dict[str, Any] = json.loads(opened.recv(timeout=120))  # [DONE] would be no JSON
        if event["type"] != "error":
            check_event(event)
        if event["type"] in ENDS:
            if event["type"] == "response.completed":
                check_completed(event["response"])
            return event


def completed(opened: ClientConnection, input: Any, **fields: Any) -> dict[str, Any]:
    event = turn(opened, input, **fields)
    assert event["type"] == "response.completed", event
    return dict(event["response"])


def not_found(event: Mapping[str, Any]) -> None:
    assert event["type"] == "error"
    assert event["error"]["code"] == "previous_response_not_found"


def basic_response(server: Server) -> None:
    says_hello(create(server, [message("user", "Hello!")]))


def assistant_phase(server: Server) -> None:
    history = [
        message("user", "Look it up."),
        message("assistant", "I look.", phase="commentary"),
        message("assistant", "Found.", phase="final_answer"),
        message("user", "And now?"),
    ]
    says_hello(create(server, history))


def response_output_phase_schema(server: Server) -> None:
    items = create(server, "What is the weather?", tools=[WEATHER])["output"]
    messages = [item for item in items if item["type"] == "message"]
    assert [item["phase"] for item in messages] == ["commentary"]


def streaming_response(server: Server) -> None:
    answer = post(server, "", model="m", input="Hello!", stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = answer.body.decode().strip().split("\n\n")
    assert blocks.pop() == "data: [DONE]"
    events = []
    for block in blocks:
        name, data = block.split("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        check_event(event)
        events.append(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] == "response.completed"
    check_completed(events[-1]["response"])


def system_prompt(server: Server) -> None:
    says_hello(create(server, [message("system", "Be a pirate."), message("user", "Hello!")]))


def tool_calling(server: Server) -> None:
    response = create(server, "What is the weather?", tools=[WEATHER])
    call = response["output"][-1]
    assert call["type"] == "function_call"
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"city": "Oslo"})


def image_input(server: Server) -> None:
    """A model that reads text says so: the one case that it cannot pass."""
    image = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    text = {"type": "input_text", "text": "What is it?"}
    content = {"type": "message", "role": "user", "content": [text, image]}
    answer = post(server, "", model="m", input=[content])
    assert answer.status == 400
    assert answer.error["param"].startswith("input[0].content[1]")


def multi_turn(server: Server) -> None:
    talk = [message("user", "I am Ann."), message("assistant", "Hi Ann."), message("user", "Who?")]
    says_hello(create(server, talk))


def compact(server: Server) -> list[dict[str, Any]]:
    history = [message("user", "I am Ann."), message("assistant", "Hi Ann.")]
    answer = post(server, "/compact", model="m", input=history, prompt_cache_key="k")
    assert answer.status == 200, answer.body
    assert answer.json["object"] == "response.compaction"
    assert "compaction" in kinds(answer.json)
    return list(answer.json["output"])


def compact_response(server: Server) -> None:
    compact(server)


def compact_missing_model(server: Server) -> None:
    answer = post(server, "/compact", input=[message("user", "Hello!")])
    assert (answer.status, answer.error["param"]) == (400, "model")


def websocket_response(server: Server) -> None:
    with socket(server) as opened:
        says_hello(completed(opened, "Hello!"))


def websocket_sequential_responses(server: Server) -> None:
    with socket(server) as opened:
        first, second = completed(opened, "One"), completed(opened, "Two")
    assert first["id"] != second["id"]


def websocket_continuation(server: Server) -> None:
    with socket(server) as opened:
        first = completed(opened, "One", store=False)
        second = completed(opened, "Two", store=False, previous_response_id=first["id"])
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]


def websocket_reconnect_store_false_recovery(server: Server) -> None:
    with socket(server) as opened:
        first = completed(opened, "One", store=False)
    with socket(server) as again:
        not_found(turn(again, "Two", store=False, previous_response_id=first["id"]))
        talk = [message("user", "One"), *first["output"], message("user", "Two")]
        says_hello(completed(again, talk, store=False))


def websocket_previous_response_not_found(server: Server) -> None:
    with socket(server) as opened:
        not_found(turn(opened, "Hello!", previous_response_id="resp_nowhere"))
        says_hello(completed(opened, "Hello!"))


def websocket_failed_continuation_evicts_cache(server: Server) -> None:
    with socket(server) as opened:
        first = completed(opened, "One", store=False)
        output = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
        failed = turn(opened, [output], store=False, previous_response_id=first["id"])
        assert failed["type"] == "error"
        not_found(turn(opened, "Two", store=False, previous_response_id=first["id"]))


def websocket_compact_new_chain(server: Server) -> None:
    compacted = compact(server)
    with socket(server) as opened:
        first = completed(opened, [*compacted, message("user", "Who am I?")], store=False)
        completed(opened, "And now?", store=False, previous_response_id=first["id"])


CASES: tuple[Callable[[Server], None], ...] = (
    basic_response,
    assistant_phase,
    response_output_phase_schema,
    streaming_response,
    system_prompt,
    tool_calling,
    image_input,
    multi_turn,
    compact_response,
    compact_missing_model,
    websocket_response,
    websocket_sequential_responses,
    websocket_continuation,
    websocket_reconnect_store_false_recovery,
    websocket_previous_response_not_found,
    websocket_failed_continuation_evicts_cache,
    websocket_compact_new_chain,
)


def test_all_cases_at_once(encoding: Encoding, serve: Serve) -> None:
    hello, call = to_ids(encoding, HELLO), to_ids(encoding, CALL)

    def script(request: GenerationRequest) -> list[int]:
        return call if "get_weather" in encoding.decode(request.prompt_ids) else hello

    server = serve(ScriptedBackend(script))
    together = threading.Barrier(len(CASES))

    def play(case: Callable[[Server], None]) -> None:
        together.wait(120)
        case(server)

    with ThreadPoolExecutor(len(CASES)) as pool:
        played = {case.__name__: pool.submit(play, case) for case in CASES}
    failures = {name: repr(run.exception()) for name, run in played.items() if run.exception()}
    assert failures == {}
