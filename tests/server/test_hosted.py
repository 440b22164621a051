"""Responses whose calls the server runs itself: rounds, limits, counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
import pytest
from websockets.sync.client import connect

from mlxoss.config import Config
from mlxoss.core import GenerationRequest
from mlxoss.errors import QueueFull
from mlxoss.harmony.conversation import BuiltinResult, FunctionResult
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import GrammarError
from mlxoss.harmony.prompt import render_results
from tests.server.conftest import Serve
from tests.support.api.strict import check_event, check_response
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, set_at_last
from tests.support.server.rounds import (
    CODE,
    SEARCH,
    WEATHER,
    add,
    browse,
    called,
    python,
    sums,
    think,
    weather,
)
from tests.support.server.scripts import HELLO, final, in_turn, to_ids
from tests.support.server.tools import Scripted
from tests.support.waiting import HANG_S, until

TOOLS = [CODE, SEARCH, sums(), WEATHER]


class Served:
    """A server whose model writes ``texts`` one after the other, and its tools."""

    def __init__(self, serve: Serve, encoding: Encoding, *texts: str, **options: Any) -> None:
        self.backend = ScriptedBackend(in_turn(encoding, texts))
        self.tools = Scripted()
        self.server: Server = serve(self.backend, tools=self.tools.tools, **options)
        self.client = self.server.client()

    def ask(self, given: Any = "Hi", **fields: Any) -> Any:
        fields = {"model": "any", "input": given, "tools": TOOLS} | fields
        return self.client.responses.create(**fields)

    @property
    def prompts(self) -> list[tuple[int, ...]]:
        return [request.prompt_ids for request in self.backend.inserted]


def kinds(response: Any) -> list[str]:
    return [item.type for item in response.output]


def test_a_cell_is_run_and_the_model_goes_on_in_one_response(
    serve: Serve, encoding: Encoding
) -> None:
    served = Served(serve, encoding, python("2**100"), final("Large."))
    response = served.ask(tools=[CODE], include=["code_interpreter_call.outputs"])
    check_response(response.to_dict())
    assert kinds(response) == ["reasoning", "code_interpreter_call", "message"]
    assert response.status == "completed"
    assert response.output_text == "Large."
    cell = response.output[1]
    assert (cell.code, cell.status) == ("2**100", "completed")
    assert cell.outputs[0].logs == "ran 2**100\n"
    assert served.tools.python.calls.made == [(cell.container_id, "2**100")]
    first, second = served.prompts
    result = BuiltinResult("python", "ran 2**100\n")
    told = render_results(encoding, [result])
    assert second == (*first, *to_ids(encoding, python("2**100")), *told)


def test_tokens_of_all_rounds_are_counted(serve: Serve, encoding: Encoding) -> None:
    texts = python("1"), browse("search", query="a"), final("Done.")
    served = Served(serve, encoding, *texts)
    response = served.ask()
    written = [to_ids(encoding, text) for text in texts]
    usage = response.usage
    assert usage.input_tokens == sum(map(len, served.prompts))
    assert usage.output_tokens == sum(map(len, written))
    thoughts = ("I compute.", "I look.")
    assert usage.output_tokens_details.reasoning_tokens == sum(
        len(encoding.encode_text(text)) for text in thoughts
    )
    (record,) = ask(served.server, "GET", "/mlxoss/requests").json["data"]
    assert record["prompt_tokens"] == usage.input_tokens
    assert record["completion_tokens"] == usage.output_tokens
    assert "decode_tokens_per_s" not in record
    counts = served.server.services.turns.tools.counts  # type: ignore[union-attr]
    assert {name: (one.calls, one.failures) for name, one in counts.items()} == {
        "python": (1, 0),
        "browser.search": (1, 0),
    }
    assert all(one.seconds >= 0 for one in counts.values())


def test_streamed_and_whole_are_the_same(serve: Serve, encoding: Encoding) -> None:
    texts = [python("1"), add(1, 2), browse("search", query="a"), final("Done.")]
    served = Served(serve, encoding, *texts, *texts)
    whole = served.ask()
    events = list(served.ask(stream=True))
    for number, event in enumerate(events):
        check_event(event.to_dict())
        assert event.sequence_number == number
    assert served.prompts[: len(texts)] == served.prompts[len(texts) :]
    streamed = events[-1].response
    assert kinds(streamed) == kinds(whole)
    assert kinds(whole)[0] == "mcp_list_tools"
    assert streamed.usage == whole.usage
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == list(streamed.output)


def test_over_a_websocket(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, python("1"), weather(), final("Warm."))
    body = {"type": "response.create", "model": "any", "tools": TOOLS, "store": False}
    with connect(f"ws://127.0.0.1:{served.server.port}/v1/responses") as socket:

        def turn(**fields: Any) -> Any:
            socket.send(json.dumps(body | fields))
            while True:
                event = json.loads(socket.recv(timeout=120))
                if event["type"] in ("response.completed", "error"):
                    return event

        first = turn(input="Hi")["response"]
        call_id = first["output"][-1]["call_id"]
        output = {"type": "function_call_output", "call_id": call_id, "output": "sunny"}
        second = turn(input=[output], previous_response_id=first["id"])["response"]
    assert second["output"][-1]["content"][0]["text"] == "Warm."
    seen = (*served.prompts[1], *to_ids(encoding, weather()))
    assert served.prompts[2][: len(seen)] == seen


def test_in_the_background(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, python("1"), final("Done."))
    response = served.ask(background=True)
    assert response.status == "queued"
    ended = until(lambda: _ended(served.client, response.id))
    assert kinds(ended) == ["mcp_list_tools", "reasoning", "code_interpreter_call", "message"]
    assert [request.is_background for request in served.backend.inserted] == [True, True]
    events = list(served.client.responses.retrieve(response.id, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))


def _ended(client: openai.OpenAI, response_id: str) -> Any:
    response = client.responses.retrieve(response_id)
    return response if response.status == "completed" else None


def test_the_answer_s_tokens_are_those_of_all_rounds(serve: Serve, encoding: Encoding) -> None:
    text = python("1")
    length = len(to_ids(encoding, text))
    for extra in (5, 0):
        served = Served(serve, encoding, text, final("A rather long answer to that."))
        response = served.ask(max_output_tokens=length + extra)
        assert response.status == "incomplete"
        assert response.incomplete_details.reason == "max_output_tokens"
        assert response.output[2].status == "completed"
        assert response.usage.output_tokens == length + extra
        left = [request.max_tokens for request in served.backend.inserted]
        assert left == [length + extra, extra][: 1 + bool(extra)]
        assert len(served.tools.python.calls.made) == 1


def test_a_call_that_is_cut_is_not_run(serve: Serve, encoding: Encoding) -> None:
    text = python("print(1)")
    served = Served(serve, encoding, text)
    response = served.ask(max_output_tokens=len(to_ids(encoding, text)) - 2)
    assert response.status == "incomplete"
    assert response.output[-1].type == "code_interpreter_call"
    assert response.output[-1].status == "incomplete"
    assert served.tools.python.calls.made == []


def test_a_context_that_is_full_cuts_the_answer(serve: Serve, encoding: Encoding) -> None:
    config = Config(date=DATE, context_length=2000)
    served = Served(serve, encoding, python("1"), final("x"), config=config)
    served.tools.python.answer = lambda code, cells: "word " * 3000
    response = served.ask()
    assert response.status == "incomplete"
    assert len(served.prompts) == 1
    again = Served(serve, encoding, python("1"), final("Done."), config=config)
    again.tools.python.answer = lambda code, cells: "word " * 600
    earlier = [{"role": "user", "content": "word " * 400}, {"role": "user", "content": "Hi"}]
    response = again.ask(earlier, truncation="auto")
    assert response.status == "completed"
    assert len(again.prompts[1]) < 2000


def test_calls_over_the_limit_are_ignored_and_the_model_is_told(
    serve: Serve, encoding: Encoding
) -> None:
    served = Served(serve, encoding, python("1"), python("2"), final("One."))
    response = served.ask(max_tool_calls=1, tools=[CODE])
    assert kinds(response) == [
        "reasoning",
        "code_interpreter_call",
        "reasoning",
        "message",
    ]
    assert [code for _, code in served.tools.python.calls.made] == ["1"]
    assert "No more calls" in encoding.decode(served.prompts[2])


def test_a_model_that_calls_on_and_on_is_told_once(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, *[python("1")] * 5)
    response = served.ask(max_tool_calls=1, tools=[CODE])
    assert response.status == "completed"
    assert len(served.prompts) == 3


def test_the_client_s_call_ends_it_and_the_server_s_beside_it_is_run(
    serve: Serve, encoding: Encoding
) -> None:
    both = (
        think("Both.")
        + called("get_weather", {"city": "Oslo"}, "<|end|><|start|>assistant")
        + called("sums__add", {"a": 1, "b": 2})
    )
    served = Served(serve, encoding, both, final("Sunny, and 3."))
    first = served.ask()
    assert kinds(first) == ["mcp_list_tools", "reasoning", "function_call", "mcp_call"]
    assert first.output[3].output == "3"
    output = {"type": "function_call_output", "output": "sunny"}
    output["call_id"] = first.output[2].call_id
    second = served.ask([output], previous_response_id=first.id)
    assert second.output_text == "Sunny, and 3."


def test_a_tool_that_breaks_is_a_call_that_failed(
    serve: Serve, encoding: Encoding, logged_errors: Callable[[], list[str]]
) -> None:
    texts = [python("1"), browse("open", id=1), add(1, 2), final("Sorry.")]
    served = Served(serve, encoding, *texts)
    for calls in (served.tools.python.calls, served.tools.browser.calls, served.tools.mcp.calls):
        calls.errors.append(RuntimeError("hunter2"))
    response = served.ask()
    assert response.status == "completed"
    statuses = [item.status for item in response.output if item.type.endswith("_call")]
    assert statuses == ["failed"] * 3
    assert "hunter2" not in response.model_dump_json()
    assert "hunter2" not in encoding.decode(served.prompts[-1])
    assert logged_errors() == ["a tool failed"] * 3
    counts = served.server.services.turns.tools.counts  # type: ignore[union-attr]
    assert {name: one.failures for name, one in counts.items()} == {
        "python": 1,
        "browser.open": 1,
        "mcp": 1,
    }


def test_a_forced_tool_is_called_and_then_answered(
    serve: Serve, encoding: Encoding, guards: GrammarCompiler
) -> None:
    served = Served(serve, encoding, python("1"), final("Done."), guards=guards)
    response = served.ask(tool_choice={"type": "code_interpreter"})
    assert response.output_text == "Done."
    answer = to_ids(encoding, final("Done."))
    assert [allows(request, answer) for request in served.backend.inserted] == [False, True]


def test_once_all_calls_are_made_no_more_can_be_written(
    serve: Serve, encoding: Encoding, guards: GrammarCompiler
) -> None:
    served = Served(serve, encoding, python("1"), final("Done."), guards=guards)
    response = served.ask(max_tool_calls=1)
    assert response.output_text == "Done."
    allowed = {
        name: [allows(request, to_ids(encoding, text)) for request in served.backend.inserted]
        for name, text in (
            ("python", python("1")),
            ("browser", browse("search", query="a")),
            ("mcp", add(1, 2)),
            ("function", weather()),
        )
    }
    assert allowed == {
        "python": [True, False],
        "browser": [True, False],
        "mcp": [True, False],
        "function": [True, True],
    }


def allows(request: GenerationRequest, ids: Sequence[int]) -> bool:
    """Whether a round may hold ``ids``."""
    assert request.grammar is not None
    try:
        request.grammar.make_matcher().take(ids)
    except GrammarError:
        return False
    return True


def test_code_may_repeat_itself(serve: Serve, encoding: Encoding) -> None:
    config = Config(date=DATE, loop_guard=256)
    code = "x = [" + "0, 0, 0, 0, " * 200 + "]"
    served = Served(serve, encoding, python(code), final("Done."), config=config)
    served.tools.python.answer = lambda code, cells: ""
    assert served.ask(tools=[CODE]).output_text == "Done."
    assert served.tools.python.calls.made[0][1] == code


def test_with_one_call_at_a_time_it_is_run_and_gone_on_from(
    serve: Serve, encoding: Encoding
) -> None:
    two = (
        think("Two.")
        + called("sums__add", {"a": 1, "b": 2}, "<|end|><|start|>assistant")
        + called("sums__add", {"a": 3, "b": 4})
    )
    served = Served(serve, encoding, two, python("1"), final("Done."))
    response = served.ask(tools=[sums(), CODE], parallel_tool_calls=False)
    assert response.output_text == "Done."
    assert served.tools.mcp.calls.made == [("sums", "add", '{"a" : 1 , "b" : 2}')]
    written = two[: two.index("<|start|>assistant", two.index("sums__add"))]
    told = render_results(encoding, [FunctionResult("sums__add", "3")])
    assert served.prompts[1] == (*served.prompts[0], *to_ids(encoding, written), *told)
    earlier = [item.to_dict() for item in response.output]
    assert [item["type"] for item in earlier].count("mcp_call") == 1


def test_a_container_is_that_of_the_conversation(serve: Serve, encoding: Encoding) -> None:
    texts = [python("x = 41"), final("Set.")]
    served = Served(serve, encoding, *texts, *texts, *texts, *texts)
    first = served.ask()
    container = first.output[2].container_id
    second = served.ask(previous_response_id=first.id)
    given = [item.model_dump(exclude_none=True) for item in first.output]
    third = served.ask([*given, {"role": "user", "content": "Again."}], store=False)
    other = served.ask()
    made = [made[0] for made in served.tools.python.calls.made]
    assert made[:3] == [container] * 3
    assert made[3] != container
    assert second.output[1].container_id == third.output[1].container_id == container
    assert container.startswith("cntr_")
    assert other.output[2].container_id == made[3]


def test_a_container_can_be_named(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, python("1"), final("Set."))
    response = served.ask(tools=[{"type": "code_interpreter", "container": "cntr_mine"}])
    assert served.tools.python.calls.made == [("cntr_mine", "1")]
    assert response.output[1].container_id == "cntr_mine"


def test_pages_are_those_of_the_conversation_and_their_numbers_go_on(
    serve: Serve, encoding: Encoding
) -> None:
    texts = [browse("search", query="a"), browse("open", id=0), final("See 【1†L0】.")]
    served = Served(serve, encoding, *texts, *texts, *texts)
    first = served.ask("What of https://example.org/a?")
    second = served.ask("And now?", previous_response_id=first.id)
    sessions = served.tools.browser.asked
    assert sessions[0][0] == sessions[1][0]
    assert [asked[1] for asked in sessions] == [0, 2]
    assert sessions[1][2] == ("What of https://example.org/a?", "And now?")
    assert "[3] Page 3" in encoding.decode(served.prompts[5])
    (annotation,) = first.output[-1].content[0].annotations
    text = first.output_text
    assert annotation.url == "https://example.org/1"
    assert "https://example.org/1" in text[annotation.start_index : annotation.end_index]
    served.tools.browser.sessions.clear()  # too long ago
    served.ask("Once more?", previous_response_id=second.id)
    assert served.tools.browser.asked[-1][:2] == (sessions[0][0], 4)
    assert "[5] Page 5" in encoding.decode(served.prompts[8])


def test_domains_are_those_of_the_request(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, browse("search", query="a"), final("Done."))
    search = {"type": "web_search", "filters": {"allowed_domains": ["example.org"]}}
    served.ask(tools=[search])
    assert served.tools.browser.asked[0][3] == ("example.org",)


def test_progress_is_told_of_each_round(serve: Serve, encoding: Encoding) -> None:
    served = Served(serve, encoding, python("1"), final("Done."))
    served.backend.chunk_tokens, served.backend.step_s = 10, 0.002
    body = {"model": "any", "input": "Hi", "tools": [CODE], "stream": True}
    answer = ask(
        served.server,
        "POST",
        "/v1/responses",
        json.dumps(body | {"return_progress": True}).encode(),
        {"content-type": "application/json"},
    )
    text = answer.body.decode()
    before, _, after = text.partition("code_interpreter_call.completed")
    assert before.count("event: mlxoss.prompt_progress") >= 1
    assert after.count("event: mlxoss.prompt_progress") >= 1


def test_it_is_summed_up_first_where_it_is_too_long(serve: Serve, encoding: Encoding) -> None:
    texts = [final("They said words."), python("1"), final("Done.")]
    served = Served(serve, encoding, *texts)
    response = served.ask(
        "word " * 300,
        tools=[CODE],
        context_management=[{"type": "compaction", "compact_threshold": 300}],
    )
    assert kinds(response) == ["compaction", "reasoning", "code_interpreter_call", "message"]
    assert response.output_text == "Done."
    assert response.usage.input_tokens == sum(map(len, served.prompts))
    stored = served.client.responses.retrieve(response.id)
    assert kinds(stored) == kinds(response)


@pytest.mark.parametrize("tools", [[CODE], []])
def test_behind_the_summary_nobody_has_taken_its_place(
    serve: Serve, encoding: Encoding, tools: list[Any]
) -> None:
    texts = [final("They said words."), final("Done.")]
    config = Config(date=DATE, max_batch=1, max_queue=1)
    served = Served(serve, encoding, *texts, config=config)
    engine = served.server.services.turns.engine

    async def take() -> None:
        """A place, as soon as one is free."""
        while True:
            with suppress(QueueFull):
                engine.hold()
                return
            await asyncio.sleep(0)

    asyncio.run_coroutine_threadsafe(take(), served.server.loop).result(HANG_S)
    served.backend.gate.clear()
    summing = [{"type": "compaction", "compact_threshold": 300}]
    with ThreadPoolExecutor() as pool:
        with set_at_last(served.backend.gate):
            fields: Any = {"tools": tools, "context_management": summing}
            asked = pool.submit(served.ask, "word " * 300, **fields)
            until(lambda: len(served.prompts) == 1)
            taken = asyncio.run_coroutine_threadsafe(take(), served.server.loop)
        assert asked.result(HANG_S).output_text == "Done."
    taken.result(HANG_S)


def test_nothing_of_it_is_there_without_a_tool(serve: Serve, encoding: Encoding) -> None:
    backend = ScriptedBackend(in_turn(encoding, [HELLO]))
    server = serve(backend)
    assert server.services.turns.tools is None
    response = server.client().responses.create(model="any", input="Hi", tools=[CODE, SEARCH])
    assert response.tools == []
    assert "python" not in encoding.decode(backend.inserted[0].prompt_ids)
