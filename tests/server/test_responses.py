"""The Responses API over a real socket, as the official client sees it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.conversations import Conversation
from openai.types.responses import CompactedResponse, ResponseCompactionItem, ResponseItem

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Serve
from tests.support.api.strict import check, check_event, check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, ask_chat, running
from tests.support.server.scripts import AFTER_CALL, CALL, HELLO, always, by_last_words, final

WEATHER: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}
LARK = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}


def post(server: Server, path: str = "/v1/responses", **fields: Any) -> Any:
    """A request's JSON answer, checked to have succeeded."""
    usual: dict[str, Any] = {} if "conversations" in path else {"model": "any"}
    answer = ask(
        server,
        "POST",
        path,
        json.dumps(usual | fields).encode(),
        {"content-type": "application/json"},
    )
    assert answer.status == 200, answer.body
    assert answer.headers["x-request-id"]
    assert answer.headers["openai-processing-ms"].isdecimal()
    return answer.json


def refused(server: Server, path: str = "/v1/responses", **fields: Any) -> tuple[int, Any]:
    body = json.dumps({"model": "any"} | fields).encode()
    answer = ask(server, "POST", path, body, {"content-type": "application/json"})
    return answer.status, answer.error


def read_stream(body: bytes) -> list[dict[str, Any]]:
    """The events of an SSE body: each named by its type, numbered without gaps, then DONE."""
    *blocks, done = [b for b in body.split(b"\n\n") if b and not b.startswith(b":")]
    assert done == b"data: [DONE]"
    events = []
    for block in blocks:
        name, data = block.split(b"\n")
        event = json.loads(data.removeprefix(b"data: "))
        assert name == b"event: " + event["type"].encode()
        check_event(event)
        events.append(event)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    return events


def stream(server: Server, **fields: Any) -> list[dict[str, Any]]:
    body = json.dumps({"model": "any", "stream": True} | fields).encode()
    headers = {"content-type": "application/json"}
    return read_stream(ask(server, "POST", "/v1/responses", body, headers).body)


def prompts(backend: ScriptedBackend) -> list[tuple[int, ...]]:
    return [request.prompt_ids for request in backend.inserted]


def test_a_response_and_what_is_kept_of_it(serve: Serve) -> None:
    server = serve(HELLO)
    created = post(server, input="Hello!", metadata={"a": "b"})
    response = check_response(created)
    assert response.output_text == "Hello, wörld 🎉!"
    assert [item.type for item in response.output] == ["reasoning", "message"]
    client = server.client()
    assert ask(server, "GET", f"/v1/responses/{response.id}").json == created
    (item,) = client.responses.input_items.list(response.id).data
    check(ResponseItem, item.to_dict())
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.input_items.list(response.id)


def test_a_stream_says_what_the_whole_answer_says(serve: Serve) -> None:
    server = serve(HELLO)
    events = stream(server, input="Hello!", reasoning={"summary": "auto"})
    assert events[0]["type"] == "response.created"
    assert events[0]["sequence_number"] == 0
    last = events[-1]["response"]
    assert events[-1]["type"] == "response.completed"
    assert ask(server, "GET", f"/v1/responses/{last['id']}").json == last
    assert last["output"][0]["summary"] == [{"type": "summary_text", "text": "They greet me."}]
    with server.client().responses.stream(model="x", input="Hello!") as typed:
        assert typed.get_final_response().output_text == "Hello, wörld 🎉!"


def test_summaries_can_be_turned_off(serve: Serve) -> None:
    server = serve(HELLO, config=Config(date=DATE, reasoning_summary="off"))
    created = post(server, input="Hello!", reasoning={"summary": "auto"})
    assert created["output"][0]["summary"] == []


def test_a_tool_loop_gets_its_exact_turn_back(encoding: Encoding, serve: Serve) -> None:
    script = by_last_words(encoding, {"sunny": AFTER_CALL, "Oslo?": CALL})
    backend = ScriptedBackend(script)
    server = serve(backend)
    first = post(server, input="Oslo?", tools=[WEATHER], instructions="Be terse.")
    call = first["output"][-1]
    assert [i["type"] for i in first["output"]] == ["reasoning", "message", "function_call"]
    assert first["output"][1]["phase"] == "commentary"
    answer = {"type": "function_call_output", "call_id": call["call_id"], "output": "sunny"}
    second = post(
        server,
        input=[answer],
        tools=[WEATHER],
        instructions="Be terse.",
        previous_response_id=first["id"],
    )
    assert check_response(second).output_text == "It is sunny in Oslo."
    before, after = prompts(backend)
    assert after[: len(before)] == before
    written = list(script(backend.inserted[0]))
    assert list(after[len(before) : len(before) + len(written)]) == written
    third = post(server, input="Oslo?", previous_response_id=second["id"])
    text = encoding.decode(prompts(backend)[2])
    assert "I need the weather" not in text
    assert "Be terse." not in text
    assert third["previous_response_id"] == second["id"]


def test_encrypted_reasoning_comes_back_to_the_token(encoding: Encoding, serve: Serve) -> None:
    script = by_last_words(encoding, {"sunny": AFTER_CALL, "Oslo?": CALL})
    backend = ScriptedBackend(script)
    server = serve(backend)
    include = ["reasoning.encrypted_content"]
    first = post(server, input="Oslo?", tools=[WEATHER], store=False, include=include)
    assert ask(server, "GET", f"/v1/responses/{first['id']}").status == 404
    reasoning = dict(first["output"][0])
    sealed = {**reasoning, "content": None}
    output = {
        "type": "function_call_output",
        "call_id": first["output"][2]["call_id"],
        "output": "sunny",
    }
    asked = {"role": "user", "content": "Oslo?"}
    items = [asked, sealed, *first["output"][1:], output]
    second = post(server, input=items, tools=[WEATHER], store=False)
    assert check_response(second).output_text == "It is sunny in Oslo."
    assert "I need the weather." in encoding.decode(prompts(backend)[1])
    damaged = {**sealed, "encrypted_content": "mlxoss1.AAAA", "id": "rs_other"}
    post(server, input=[asked, damaged], store=False)
    assert "I need the weather." not in encoding.decode(prompts(backend)[2])


def test_chat_gets_its_exact_turn_back(encoding: Encoding, serve: Serve) -> None:
    script = by_last_words(encoding, {"sunny": AFTER_CALL, "Oslo?": CALL})
    backend = ScriptedBackend(script)
    server = serve(backend)
    tool = {"type": "function", "function": {"name": "get_weather"}}
    messages: list[Any] = [{"role": "user", "content": "Oslo?"}]
    first = ask_chat(server, messages=messages, tools=[tool]).json["choices"][0]["message"]
    messages += [
        {key: first[key] for key in ("role", "content", "tool_calls")},
        {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "sunny"},
    ]
    assert ask_chat(server, messages=messages, tools=[tool]).status == 200
    before, after = prompts(backend)
    written = tuple(script(backend.inserted[0]))
    assert after[: len(before) + len(written)] == before + written


def test_background_is_polled_replayed_and_cancelled(encoding: Encoding, serve: Serve) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    server = serve(backend)
    backend.gate.clear()
    queued = post(server, input="Hello!", background=True)
    assert check_response(queued).status == "queued"
    path = f"/v1/responses/{queued['id']}"
    assert ask(server, "GET", path).json["status"] in ("queued", "in_progress")
    backend.gate.set()
    followed = read_stream(ask(server, "GET", f"{path}?stream=true").body)
    kinds = [event["type"] for event in followed]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert ask(server, "GET", path).json == followed[-1]["response"]
    rest = read_stream(ask(server, "GET", f"{path}?stream=true&starting_after=4").body)
    assert rest == followed[5:]
    ended = ask(server, "POST", f"{path}/cancel")
    assert (ended.status, ended.error["param"]) == (400, "response_id")
    assert ended.error["message"] == "Cannot cancel a completed response."
    client = server.client()
    resumed = client.responses.retrieve(queued["id"], stream=True, starting_after=4)
    assert [event.to_dict() for event in resumed] == rest

    backend.gate.clear()
    second = post(server, input="Hello!", background=True, store=False)
    backend.gate.set()
    cancelled = ask(server, "POST", f"/v1/responses/{second['id']}/cancel")
    if cancelled.status == 200:
        assert check_response(cancelled.json).status == "cancelled"
    else:
        assert cancelled.error["message"] == "Cannot cancel a completed response."
    plain = post(server, input="Hello!")
    refused = ask(server, "POST", f"/v1/responses/{plain['id']}/cancel")
    assert refused.status == 400
    assert refused.error["message"] == "Cannot cancel a synchronous response."
    assert ask(server, "GET", f"/v1/responses/{plain['id']}?stream=true").status == 400


def test_a_running_background_response_is_cancelled(encoding: Encoding, serve: Serve) -> None:
    backend = ScriptedBackend(always(encoding, final("word " * 2000)), step_s=0.01)
    server = serve(backend)
    running = post(server, input="Hello!", background=True)
    path = f"/v1/responses/{running['id']}"
    answer = ask(server, "POST", f"{path}/cancel").json
    assert check_response(answer).status == "cancelled"
    assert ask(server, "POST", f"{path}/cancel").json == answer
    status, error = refused(server, input="More", previous_response_id=running["id"])
    assert (status, error["param"]) == (400, "previous_response_id")
    assert ask(server, "DELETE", path).json["deleted"] is True
    for method, suffix in (("DELETE", ""), ("POST", "/cancel"), ("GET", "")):
        gone = ask(server, method, path + suffix)
        assert (gone.status, gone.error["code"]) == (404, "response_not_found")


def test_a_response_that_was_cut_is_not_cancelled(serve: Serve) -> None:
    server = serve(HELLO)
    cut = post(server, input="Hello!", background=True, max_output_tokens=3)
    path = f"/v1/responses/{cut['id']}"
    read_stream(ask(server, "GET", f"{path}?stream=true").body)
    answer = ask(server, "POST", f"{path}/cancel")
    assert answer.error["message"] == "Cannot cancel an incomplete response."
    assert ask(server, "DELETE", path).json["deleted"] is True


def test_conversations(serve: Serve) -> None:
    server = serve(HELLO)
    seed = {"type": "message", "role": "user", "content": "My name is Zoë."}
    created = post(server, "/v1/conversations", items=[seed], metadata={"a": "b"})
    check(Conversation, created)
    path = f"/v1/conversations/{created['id']}"
    response = post(server, input="Hello!", conversation=created["id"])
    assert response["conversation"] == {"id": created["id"]}
    client = server.client()
    items = list(client.conversations.items.list(created["id"], order="asc"))
    assert [item.type for item in items] == ["message", "message", "reasoning", "message"]
    named = {**seed, "id": "50 % ä/b?"}
    post(server, f"{path}/items", items=[named])
    assert client.conversations.items.retrieve(named["id"], conversation_id=created["id"])
    client.conversations.items.delete(named["id"], conversation_id=created["id"])
    (added,) = post(server, f"{path}/items", items=[seed])["data"]
    assert ask(server, "GET", f"{path}/items/{added['id']}").json == added
    assert ask(server, "DELETE", f"{path}/items/{added['id']}").json["id"] == created["id"]
    assert ask(server, "GET", f"{path}/items/{added['id']}").status == 404
    assert post(server, path, metadata={"c": "d"})["metadata"] == {"c": "d"}
    assert ask(server, "DELETE", path).json["deleted"] is True
    assert ask(server, "GET", path).status == 404


def test_counting_and_compacting(encoding: Encoding, serve: Serve) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    server = serve(backend)
    count = post(server, "/v1/responses/input_tokens", input="Hello!")["input_tokens"]
    created = post(server, input="Hello!")
    assert count == created["usage"]["input_tokens"] == len(prompts(backend)[0])
    compacted = post(
        server, "/v1/responses/compact", input="Go on", previous_response_id=created["id"]
    )
    assert set(compacted) == set(CompactedResponse.model_fields) - {"image"}
    check(ResponseCompactionItem, compacted["output"][-1])
    post(server, input=[*compacted["output"], {"role": "user", "content": "And?"}])
    assert "Hello, wörld" in encoding.decode(prompts(backend)[-1])
    status, _ = refused(server, "/v1/responses/compact", model=None, input="x")
    assert status == 400


def test_unknown_ids(serve: Serve) -> None:
    server = serve(HELLO)
    status, error = refused(server, input="x", previous_response_id="resp_none")
    assert (status, error["code"]) == (404, "previous_response_not_found")
    status, error = refused(server, input="x", conversation="conv_none")
    assert status == 404
    status, error = refused(server, input=[{"type": "item_reference", "id": "msg_none"}])
    assert (status, error["param"]) == (404, "input[0].id")
    output = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
    status, error = refused(server, input=[output])
    assert (status, error["param"]) == (400, "input[0].call_id")
    assert ask(server, "GET", "/v1/responses/resp_none").status == 404
    assert ask(server, "POST", "/v1/responses/resp_none/cancel").status == 404


def test_hosted_tools_are_left_out(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(HELLO)
    created = post(server, input="Hello!", tools=[{"type": "web_search"}, WEATHER])
    assert [tool["type"] for tool in created["tools"]] == ["function"]
    assert "web_search" in caplog.text
    status, error = refused(server, input="x", tool_choice={"type": "web_search"})
    assert (status, error["param"]) == (400, "tool_choice")


def test_the_length_limit(serve: Serve) -> None:
    created = post(serve(HELLO), input="Hello!", max_output_tokens=4)
    response = check_response(created)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].type == "reasoning"


def test_one_call_at_a_time_when_asked(serve: Serve) -> None:
    two = CALL.replace("<|call|>", "<|end|><|start|>assistant" + CALL[CALL.rindex("<|channel|>") :])
    server = serve(two)
    both = post(server, input="Oslo?", tools=[WEATHER])
    one = post(server, input="Oslo?", tools=[WEATHER], parallel_tool_calls=False)
    kinds = [[item["type"] for item in r["output"]].count("function_call") for r in (both, one)]
    assert kinds == [2, 1]
    assert check_response(one).status == "completed"


def test_a_failure_mid_stream(encoding: Encoding, serve: Serve, logged_errors: Any) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    server = serve(backend)
    post(server, input="Hello!")
    backend.token_errors[(backend.inserted[0].prompt_ids[0], 3)] = RuntimeError("broken")
    events = stream(server, input="Hello!")
    assert events[-1]["type"] == "response.failed"
    kept = ask(server, "GET", f"/v1/responses/{events[-1]['response']['id']}").json
    assert kept == events[-1]["response"]
    status, error = refused(server, input="Hello!")
    assert (status, error["code"]) == (500, "generation_failed")


def test_a_store_that_fails_is_told_and_does_not_stop_the_server(
    serve: Serve, logged_errors: Any
) -> None:
    server = serve(HELLO)
    store = server.services.turns.storage.store
    asyncio.run_coroutine_threadsafe(store.close(), server.loop).result(120)
    events = stream(server, input="Hello!")
    assert [event["type"] for event in events[-2:]] == ["error", "response.completed"]
    assert events[-1]["response"]["store"] is False
    assert logged_errors()
    assert ask_chat(server).status == 200


def test_what_codex_sends_and_reads(encoding: Encoding, serve: Serve) -> None:
    """Its fields, tools and items as it sends them; the events that it goes by."""
    script = by_last_words(encoding, {"sunny": AFTER_CALL, "Oslo?": CALL})
    server = serve(ScriptedBackend(script))
    asked: dict[str, Any] = {
        "instructions": "You are a coding agent. " * 50,
        "tools": [
            WEATHER | {"strict": False},
            {"type": "namespace", "name": "mcp__files__", "description": "", "tools": [WEATHER]},
            {"type": "custom", "name": "apply_patch", "description": "Edits.", "format": LARK},
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199",
        "text": {"verbosity": "low"},
        "service_tier": "priority",
        "client_metadata": {"x-codex-installation-id": "1"},
    }
    items: list[Any] = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": t}]}
        for t in ("<permissions>", "<environment>")
    ]
    asked_by_user = [{"type": "input_text", "text": "Oslo?"}]
    items.append({"type": "message", "role": "user", "id": "msg_1", "content": asked_by_user})
    first = stream(server, input=items, **asked)
    done = [event["item"] for event in first if event["type"] == "response.output_item.done"]
    assert [item["type"] for item in done] == ["reasoning", "message", "function_call"]
    assert done[0]["summary"]
    for event in first:
        if event["type"].startswith("response.reasoning_summary"):
            assert event["summary_index"] == 0
        if event["type"] == "response.reasoning_text.delta":
            assert event["content_index"] == 0
    answer = {"type": "function_call_output", "call_id": done[2]["call_id"], "output": "sunny"}
    # It sends items back without their status, reasoning without its text.
    again = [{k: v for k, v in item.items() if k != "status"} for item in done]
    second = stream(
        server, input=[*items, {**again[0], "content": None}, *again[1:], answer], **asked
    )
    assert second[-1]["type"] == "response.completed"
    usage = second[-1]["response"]["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == 0
    assert usage["output_tokens_details"]["reasoning_tokens"] == 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    status, error = refused(server, input="word " * 5_000)
    assert (status, error["code"]) == (400, "context_length_exceeded")


def test_state_outlives_a_restart(encoding: Encoding, serve: Serve, tmp_path: Path) -> None:
    backend = ScriptedBackend(always(encoding, HELLO))
    with running(lambda: backend, lambda: encoding, folder=tmp_path) as server:
        first = post(server, input="Hello!")
    assert (tmp_path / "content.key").stat().st_mode & 0o777 == 0o600
    again = ScriptedBackend(always(encoding, HELLO))
    with running(lambda: again, lambda: encoding, folder=tmp_path) as server:
        assert ask(server, "GET", f"/v1/responses/{first['id']}").json == first
        post(server, input="And?", previous_response_id=first["id"])
    assert "Hello, wörld" in encoding.decode(prompts(again)[0])
