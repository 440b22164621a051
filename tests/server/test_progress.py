"""How far a prompt is, told while it is computed: in streams that ask for it, and to who looks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.sync.client import connect as connect_websocket

from mlxoss.config import Config
from mlxoss.harmony.encoding import Encoding
from tests.server.conftest import Connect, Serve
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, set_at_last
from tests.support.server.scripts import HELLO, always
from tests.support.server.steps import Steps
from tests.support.waiting import HANG_S, until

CHUNK, CACHED = 30, 7
LONG = "A long prompt. " * 40
USER: Any = [{"role": "user", "content": LONG}]
WANTED = {"return_progress": True}


class Slow:
    """A server whose model does the next chunk of a prompt when the last was told of."""

    def __init__(self, encoding: Encoding, serve: Serve, max_batch: int = 2) -> None:
        self.steps = Steps()
        self._backend = ScriptedBackend(
            always(encoding, HELLO), chunk_tokens=CHUNK, cached_tokens=CACHED
        )
        self._backend.gate = self.steps
        self.server: Server = serve(self._backend, config=Config(date=DATE, max_batch=max_batch))
        self.told: list[dict[str, int]] = []

    def hear(self, told: dict[str, int] | None) -> None:
        """A chunk came: it tells how far the prompt is, or not."""
        if told is None:
            return
        self.told.append(told)
        self.steps.go()
        if told["processed"] == told["total"]:
            self.steps.set()

    def check(self, prompt_tokens: int) -> None:
        """It went from what was there before to the end, chunk by chunk."""
        assert {(each["total"], each["cache"]) for each in self.told} == {(prompt_tokens, CACHED)}
        expected = [*range(CACHED, prompt_tokens, CHUNK), prompt_tokens]
        assert [each["processed"] for each in self.told] == expected
        times = [each["time_ms"] for each in self.told]
        assert times == sorted(times)


@pytest.fixture
def slow(encoding: Encoding, serve: Serve) -> Iterator[Slow]:
    slow = Slow(encoding, serve)
    with set_at_last(slow.steps):
        yield slow


def plain(chunks: Iterable[Any], slow: Slow) -> list[dict[str, Any]]:
    """Chunks as JSON, each of them heard."""
    found = []
    for chunk in chunks:
        found.append(chunk.model_dump(exclude_unset=True, warnings=False))
        slow.hear(found[-1].get("prompt_progress"))
    return found


def test_chat_tells_in_llama_cpps_words(slow: Slow) -> None:
    stream = slow.server.client().chat.completions.create(
        model="m",
        messages=USER,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=WANTED,
    )
    chunks = plain(stream, slow)
    usage = chunks[-1]["usage"]
    slow.check(usage["prompt_tokens"])
    assert usage["prompt_tokens_details"]["cached_tokens"] == CACHED
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    assert "".join(delta.get("content") or "" for delta in deltas) == "Hello, wörld 🎉!"
    assert [delta["role"] for delta in deltas if "role" in delta] == ["assistant"]


@pytest.mark.parametrize("fields", [{}, {"return_progress": False}, {"return_progress": None}])
def test_who_does_not_ask_is_not_told(slow: Slow, fields: dict[str, Any]) -> None:
    slow.steps.set()
    stream = slow.server.client().chat.completions.create(
        model="m", messages=USER, stream=True, extra_body=fields
    )
    assert not any("prompt_progress" in chunk.model_dump() for chunk in stream)


def test_of_several_choices_the_slowest_is_told(slow: Slow) -> None:
    stream = slow.server.client().chat.completions.create(
        model="m", messages=USER, n=2, stream=True, extra_body=WANTED
    )
    chunks = plain(stream, slow)
    assert slow.told[-1]["processed"] == slow.told[-1]["total"]
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    ends = {choice["index"] for choice in choices if choice["finish_reason"]}
    assert ends == {0, 1}


def test_completions_tell(slow: Slow) -> None:
    stream = slow.server.client().completions.create(
        model="m",
        prompt=LONG,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=WANTED,
    )
    slow.check(plain(stream, slow)[-1]["usage"]["prompt_tokens"])


def test_responses_tell_by_an_event_of_their_own(slow: Slow) -> None:
    stream = slow.server.client().responses.create(
        model="m", input=LONG, stream=True, extra_body=WANTED
    )
    events = plain(stream, slow)
    kinds = {event["type"] for event in events if "prompt_progress" in event}
    assert kinds == {"mlxoss.prompt_progress"}
    slow.check(events[-1]["response"]["usage"]["input_tokens"])
    assert [event["sequence_number"] for event in events] == list(range(len(events)))


def test_responses_tell_over_a_websocket(slow: Slow) -> None:
    url = f"{slow.server.url.replace('http', 'ws', 1)}/v1/responses"
    with connect_websocket(url, open_timeout=HANG_S) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "m", "input": LONG, **WANTED}))
        events: list[dict[str, Any]] = []
        while not events or events[-1]["type"] != "response.completed":
            events.append(json.loads(socket.recv(timeout=HANG_S)))
            slow.hear(events[-1].get("prompt_progress"))
    slow.check(events[-1]["response"]["usage"]["input_tokens"])


def test_messages_tell_in_pings(slow: Slow, connect: Connect) -> None:
    stream = connect(slow.server.url).messages.create(
        model="m", max_tokens=50, messages=USER, stream=True, extra_body=WANTED
    )
    events: list[dict[str, Any]] = []
    with stream:
        for line in stream.response.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line[6:]))
                slow.hear(events[-1].get("prompt_progress"))
    assert {event["type"] for event in events if "prompt_progress" in event} == {"ping"}
    usage = events[0]["message"]["usage"]
    slow.check(usage["input_tokens"] + usage["cache_read_input_tokens"])


def test_anthropics_client_skips_them(slow: Slow, connect: Connect) -> None:
    slow.steps.set()
    stream = connect(slow.server.url).messages.stream(
        model="m", max_tokens=50, messages=USER, extra_body=WANTED
    )
    with stream as events:
        assert events.get_final_text() == "Hello, wörld 🎉!"


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("chat/completions", {"messages": USER}),
        ("completions", {"prompt": LONG}),
        ("responses", {"input": LONG}),
        ("messages", {"messages": USER, "max_tokens": 9}),
        ("responses", {"input": LONG, "background": True, "stream": True}),
    ],
)
def test_where_nobody_could_be_told_it_is_refused(
    serve: Serve, path: str, fields: dict[str, Any]
) -> None:
    answer = ask(serve(HELLO), "POST", f"/v1/{path}", {"model": "m", **WANTED, **fields})
    assert answer.status == 400
    assert "return_progress" in answer.json["error"]["message"]


def running(server: Server) -> list[dict[str, Any]]:
    """What ``/mlxoss/requests`` tells of those on their way."""
    found: list[dict[str, Any]] = ask(server, "GET", "/mlxoss/requests").json["running"]
    return found


def test_who_looks_sees_each_request_on_its_way(encoding: Encoding, serve: Serve) -> None:
    slow = Slow(encoding, serve, max_batch=1)
    server, steps = slow.server, slow.steps
    client = server.client()

    def chat() -> str | None:
        answer = client.chat.completions.create(model="m", messages=USER)
        return answer.choices[0].message.content

    with ThreadPoolExecutor(2) as pool, set_at_last(steps):
        answers = [pool.submit(chat)]
        until(lambda: [each["state"] for each in running(server)] == ["prefill"])
        answers.append(pool.submit(chat))
        until(lambda: len(running(server)) == 2)
        first, queued = running(server)
        assert queued["state"] == "queued"
        assert (first["state"], first["cached_tokens"]) == ("prefill", CACHED)
        assert first["prefilled_tokens"] == CACHED
        assert "left_s" not in first
        assert (queued["place"], queued["completion_tokens"]) == (1, 0)
        assert queued["prompt_tokens"] == first["prompt_tokens"] > 2 * CHUNK

        steps.go()
        until(lambda: running(server)[0]["prefilled_tokens"] == CACHED + CHUNK)
        first = running(server)[0]
        assert first["prefill_tokens_per_s"] > 0
        assert first["left_s"] >= 0
        assert ask(server, "GET", "/health").json["running"][0]["state"] == "prefill"

        steps.go(first["prompt_tokens"] // CHUNK + 2)
        until(lambda: running(server)[0]["state"] == "decode")
        assert running(server)[0]["completion_tokens"] > 0
        steps.set()
        assert [each.result(HANG_S) for each in answers] == ["Hello, wörld 🎉!"] * 2
    until(lambda: running(server) == [])
