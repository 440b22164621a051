"""``context_management``: the conversation is summed up before it is answered, once it is long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.responses import ResponseCompactionItem
from websockets.sync.client import connect

from mlxoss.api_key_file import create_key
from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.server.test_responses import WEATHER, post, prompts, refused, stream
from tests.server.test_responses_websocket import turn
from tests.support.api.strict import check, check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import Server
from tests.support.server.scripts import CALL, by_last_words, final
from tests.support.waiting import until

SUMMARY = "We spoke of trolls."
LONG = "Tell me of trolls. " * 40
ANSWERS = {
    "Answer with the summary alone": f"<|channel|>analysis<|message|>So.<|end|>"
    f"<|start|>assistant{final(SUMMARY)}",
    "Weather": CALL,
    "Forecast": CALL,
    "": final("Trolls turn to stone."),
}


def managed(threshold: int | None = 100) -> dict[str, Any]:
    wanted = {"type": "compaction", "compact_threshold": threshold}
    return {"context_management": [wanted]}


@pytest.fixture
def backend(encoding: Encoding) -> ScriptedBackend:
    return ScriptedBackend(by_last_words(encoding, ANSWERS))


@pytest.fixture
def server(backend: ScriptedBackend, serve: Serve) -> Server:
    return serve(backend)


def last_prompt(encoding: Encoding, backend: ScriptedBackend) -> str:
    return encoding.decode(prompts(backend)[-1])


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


HISTORY = [user(LONG), assistant("Trolls live under bridges."), user("Go on.")]


def test_a_long_conversation_is_summed_up_first(
    encoding: Encoding, backend: ScriptedBackend, server: Server
) -> None:
    response = check_response(post(server, input=HISTORY, **managed()))
    assert [item.type for item in response.output] == ["compaction", "message"]
    check(ResponseCompactionItem, response.output[0].model_dump(exclude_none=True))
    assert response.output_text == "Trolls turn to stone."
    prompt = last_prompt(encoding, backend)
    assert SUMMARY in prompt
    assert LONG in prompt
    assert "Go on." in prompt
    assert "under bridges" not in prompt
    first, second = prompts(backend)
    assert response.usage is not None
    assert response.usage.input_tokens == len(first) + len(second)
    spoken = [len(encoding.encode_text(text)) for text in (SUMMARY, "Trolls turn to stone.")]
    assert response.usage.output_tokens > sum(spoken)


def test_a_short_one_is_not(backend: ScriptedBackend, server: Server) -> None:
    for much in (managed(100_000), managed(None)):
        assert [item["type"] for item in post(server, input="Hi", **much)["output"]] == ["message"]
    exact = len(prompts(backend)[0])
    for threshold, count in ((exact, 1), (exact - 1, 2)):
        assert len(post(server, input="Hi", **managed(threshold))["output"]) == count


def test_without_a_threshold_three_quarters_of_the_context_are_one(
    backend: ScriptedBackend, serve: Serve
) -> None:
    server = serve(backend, config=Config(context_length=400))
    for words, kinds in ((100, ["message"]), (330, ["compaction", "message"])):
        said = [user("so " * (words // 2)), assistant("so " * (words // 2)), user("Go on.")]
        answer = post(server, input=said, **managed(None), max_output_tokens=30)
        assert [item["type"] for item in answer["output"]] == kinds


def test_its_events(server: Server) -> None:
    events = stream(server, input=HISTORY, **managed())
    assert [event["type"] for event in events[:6]] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.compaction.compacting",
        "response.output_item.done",
        "response.output_item.added",
    ]
    assert [event.get("output_index") for event in events[2:6]] == [0, 0, 0, 1]
    done = events[4]["item"]
    assert done["encrypted_content"]
    assert done["id"] == events[3]["item_id"]
    assert events[-1]["response"]["output"][0] == done


def test_openai_s_client_reads_it(server: Server) -> None:
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="x")
    with client.responses.stream(
        model="m",
        input=LONG,
        context_management=[{"type": "compaction", "compact_threshold": 100}],
    ) as events:
        response = events.get_final_response()
    assert [item.type for item in response.output] == ["compaction", "message"]


def test_the_next_request_goes_on_from_the_summary(
    encoding: Encoding, backend: ScriptedBackend, server: Server
) -> None:
    first = post(server, input=HISTORY, **managed())
    answered = prompts(backend)[-1]
    post(server, input="And then?", previous_response_id=first["id"])
    by_id = prompts(backend)[-1]
    assert by_id[: len(answered)] == answered
    post(server, input=[*HISTORY, *first["output"], user("And then?")])
    assert prompts(backend)[-1] == by_id
    # What is before it may be left out.
    post(server, input=[user(LONG), user("Go on."), *first["output"], user("And then?")])
    assert prompts(backend)[-1] == by_id
    again = post(server, input="And?", previous_response_id=first["id"], **managed(50))
    assert [item["type"] for item in again["output"]] == ["compaction", "message"]
    assert last_prompt(encoding, backend).count(SUMMARY) == 1


def test_not_stored_and_in_a_conversation(
    encoding: Encoding, backend: ScriptedBackend, server: Server
) -> None:
    response = post(server, input=HISTORY, store=False, **managed())
    status, _ = refused(server, input="x", previous_response_id=response["id"])
    assert status == 404
    talk = post(server, "/v1/conversations")["id"]
    post(server, input=HISTORY, conversation=talk, **managed())
    items = ask(server, "GET", f"/v1/conversations/{talk}/items?order=asc").json["data"]
    assert [item["type"] for item in items] == ["message"] * 3 + ["compaction", "message"]
    post(server, input="And then?", conversation=talk)
    prompt = last_prompt(encoding, backend)
    assert SUMMARY in prompt
    assert "under bridges" not in prompt


def test_in_a_tool_loop(encoding: Encoding, backend: ScriptedBackend, server: Server) -> None:
    # So far from the end that only the first prompt asks for the call.
    said: Any = [user(LONG + "Forecast" + " so" * 42)]
    called = post(server, input=said, tools=[WEATHER])
    call = called["output"][-1]
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "rainfall"}
    answer = post(server, input=[*said, *called["output"], output], tools=[WEATHER], **managed())
    assert [item["type"] for item in answer["output"]] == ["compaction", "message"]
    assert "rainfall" in encoding.decode(prompts(backend)[-2])
    assert "rainfall" not in last_prompt(encoding, backend)
    assert "get_weather" in last_prompt(encoding, backend)


def test_a_call_after_it_comes_back_exactly(
    encoding: Encoding, backend: ScriptedBackend, server: Server
) -> None:
    asked = [*HISTORY, user("Weather")]
    ways: Any = ({}, {"store": False})
    for fields in ways:
        first = post(server, input=asked, tools=[WEATHER], **managed(), **fields)
        call = first["output"][-1]
        assert (first["output"][0]["type"], call["type"]) == ("compaction", "function_call")
        answered = prompts(backend)[-1]
        output = {"type": "function_call_output", "call_id": call["call_id"], "output": "Sun"}
        post(server, input=[*asked, *first["output"], output], tools=[WEATHER])
        wrote = by_last_words(encoding, {"": CALL})(backend.inserted[0])
        assert prompts(backend)[-1][len(answered) :][: len(wrote)] == tuple(wrote)


def test_in_the_background(backend: ScriptedBackend, server: Server) -> None:
    queued = post(server, input=HISTORY, background=True, **managed())
    path = f"/v1/responses/{queued['id']}"
    until(lambda: ask(server, "GET", path).json["status"] == "completed")
    assert [item["type"] for item in ask(server, "GET", path).json["output"]] == [
        "compaction",
        "message",
    ]
    assert all(request.is_background for request in backend.inserted)


def test_cancelled_in_either_turn(backend: ScriptedBackend, server: Server) -> None:
    for turns in (1, 2):
        before = len(backend.inserted)
        backend.token_errors.clear()
        backend.step_s = 0.05
        queued = post(server, input=HISTORY, background=True, **managed())
        until(lambda wanted=before + turns: len(backend.inserted) >= wanted)  # type: ignore[misc]
        done = ask(server, "POST", f"/v1/responses/{queued['id']}/cancel")
        assert done.status == 200
        assert done.json["status"] == "cancelled"
        until(lambda: backend.active == 0)
        backend.step_s = 0.0


@pytest.mark.usefixtures("logged_errors")
def test_a_summary_that_fails_is_the_response_s_failure(
    backend: ScriptedBackend, server: Server
) -> None:
    first_id = 200_006
    backend.token_errors[(first_id, 3)] = ValueError("lost")
    *_, last = stream(server, input=HISTORY, **managed())
    assert (last["type"], last["response"]["output"]) == ("response.failed", [])
    backend.token_errors.clear()
    assert post(server, input=HISTORY, **managed())["status"] == "completed"


def test_over_a_websocket(backend: ScriptedBackend, server: Server) -> None:
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as socket:
        first = turn(socket, input=HISTORY, store=False, **managed())["response"]
        assert [item["type"] for item in first["output"]] == ["compaction", "message"]
        answered = prompts(backend)[-1]
        turn(socket, input="And then?", store=False, previous_response_id=first["id"])
    assert prompts(backend)[-1][: len(answered)] == answered


def test_a_key_that_may_have_one_request(
    backend: ScriptedBackend, serve: Serve, tmp_path: Path
) -> None:
    key = create_key(tmp_path, "laptop", 0)
    server = serve(backend, config=Config(max_requests_per_key=1), folder=tmp_path)
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    for _ in range(2):
        body = json.dumps({"model": "m", "input": HISTORY, **managed()}).encode()
        assert ask(server, "POST", "/v1/responses", body, headers).status == 200


def test_what_is_wrong_is_told_before_anything_runs(
    backend: ScriptedBackend, server: Server
) -> None:
    wrong = {"type": "function", "name": "unknown"}
    status, error = refused(server, input=HISTORY, tool_choice=wrong, **managed())
    assert status == 400
    assert error["param"].startswith("tool_choice")
    status, error = refused(server, input="Hi", context_management=[{"type": "clear"}])
    assert (status, error["param"]) == (400, "context_management[0].type")
    assert backend.inserted == []
    assert post(server, input=HISTORY, generate=False, **managed())["output"] == []
