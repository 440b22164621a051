"""Silence before and amid an answer: what keeps clients whose clocks do not see comments.

Each answer is put together by the official clients themselves, and is the one that comes without
any silence.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.sync.client import connect as connect_websocket

from mlxoss.config import Config
from mlxoss.core import GenerationRequest
from mlxoss.harmony.encoding import Encoding
from mlxoss.server.app import HEARTBEAT_S
from tests.server.conftest import Connect, Serve
from tests.server.test_process import read_to_end
from tests.server.test_responses_streams import (
    body,
    create,
    events_in,
    get,
    read_until,
    send,
)
from tests.support.api.strict import check_event
from tests.support.fakes import ScriptedBackend
from tests.support.http import ask
from tests.support.server.harness import DATE, Server, send_chat, set_at_last
from tests.support.server.messages import ANSWERS
from tests.support.server.scripts import HELLO, always, by_last_words, final, to_ids
from tests.support.waiting import HANG_S, until

USER: Any = [{"role": "user", "content": "Hello!"}]
BEATS = 3
STRICTEST_CLIENT_S = 15.0

Script = Callable[[GenerationRequest], Sequence[int]]


class Gate(threading.Event):
    """Lets ``steps`` pass, and then none until it is set."""

    def __init__(self, steps: int = 0) -> None:
        super().__init__()
        self.left = steps

    def wait(self, timeout: float | None = None) -> bool:
        if self.left > 0:
            self.left -= 1
            return True
        return super().wait(timeout)


class Silent:
    """A server whose model stands still after ``steps`` until it is told to ``go_on``."""

    def __init__(self, serve: Serve, script: Script, steps: int = 0, **options: Any) -> None:
        self.gate = Gate(steps)
        self.backend = ScriptedBackend(script, gate=self.gate)
        self.gate.clear()
        self.server: Server = serve(self.backend, **{"heartbeat_s": 0.02} | options)
        self._beats = 0

    def beat(self) -> None:
        """Another one came: after a few the model goes on."""
        self._beats += 1
        if self._beats == BEATS:
            self.gate.set()

    @contextmanager
    def ended(self) -> Iterator[None]:
        """Inside it the model may stand still; at its end enough beats must have come."""
        with set_at_last(self.gate):
            yield
        assert self._beats >= BEATS


def test_the_strictest_client_hears_something_in_time() -> None:
    assert HEARTBEAT_S < STRICTEST_CLIENT_S


def whole(answer: Any) -> Any:
    """Without what is new each time."""
    return answer.model_dump(exclude={"id", "created", "created_at", "completed_at"})


@pytest.mark.parametrize("steps", [0, 1, 6, 12])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 2},
        {"logprobs": True, "top_logprobs": 2, "stream_options": {"include_usage": True}},
    ],
)
def test_chat_is_the_same_for_the_official_client(
    encoding: Encoding, serve: Serve, steps: int, fields: dict[str, Any]
) -> None:
    def read(server: Server, heard: Callable[[], None]) -> Any:
        chats = server.client().chat.completions
        with chats.stream(model="m", messages=USER, **fields) as stream:
            for event in stream:
                if event.type == "chunk" and any(
                    choice.finish_reason is None and not choice.delta.to_dict()
                    for choice in event.chunk.choices
                ):
                    heard()
            return stream.get_final_completion()

    silent = Silent(serve, always(encoding, HELLO), steps)
    with silent.ended():
        told = read(silent.server, silent.beat)
    assert whole(told) == whole(read(serve(HELLO), pytest.fail))
    assert told.choices[0].message.role == "assistant"
    assert told.choices[0].message.content == "Hello, wörld 🎉!"


def test_chat_chunks_in_silence_are_empty_deltas_of_one_id(
    encoding: Encoding, serve: Serve
) -> None:
    silent = Silent(serve, always(encoding, HELLO))
    chunks = []
    with silent.ended():
        for chunk in silent.server.client().chat.completions.create(
            model="m", messages=USER, stream=True
        ):
            chunks.append(chunk)
            silent.beat()
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [chunk.choices[0].delta.model_dump(exclude_unset=True) for chunk in chunks]
    assert deltas[:BEATS] == [{"role": "assistant", "content": ""}, {}, {}]
    assert [delta for delta in deltas if "role" in delta] == deltas[:1]
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks[:-1])


def test_chat_says_nothing_of_a_choice_that_has_ended(encoding: Encoding, serve: Serve) -> None:
    scripts = iter([to_ids(encoding, final("Yes.")), to_ids(encoding, final("No, " * 9))])
    silent = Silent(serve, lambda request: next(scripts), steps=9)
    kinds: list[tuple[int, str]] = []
    with silent.ended():
        for chunk in silent.server.client().chat.completions.create(
            model="m", messages=USER, n=2, stream=True
        ):
            (choice,) = chunk.choices
            if choice.finish_reason is not None:
                kinds.append((choice.index, "end"))
            elif not choice.delta.to_dict():
                kinds.append((choice.index, "beat"))
                silent.beat()
    assert kinds[0] == (0, "end")
    assert {index for index, _ in kinds[1:]} == {1}


@pytest.mark.parametrize("steps", [0, 6])
@pytest.mark.parametrize("fields", [{}, {"n": 2, "echo": True}, {"logprobs": 1}])
def test_completions_are_the_same(
    encoding: Encoding, serve: Serve, steps: int, fields: dict[str, Any]
) -> None:
    def read(server: Server, heard: Callable[[], None]) -> list[Any]:
        told = []
        for chunk in server.client().completions.create(
            model="m", prompt="Hello!", max_tokens=30, stream=True, **fields
        ):
            (choice,) = chunk.choices
            if choice.text or choice.logprobs or choice.finish_reason:
                told.append(whole(chunk))
            else:
                heard()
        return sorted(told, key=lambda chunk: chunk["choices"][0]["index"])

    silent = Silent(serve, always(encoding, "Hello, wörld! " * 9), steps)
    with silent.ended():
        told = read(silent.server, silent.beat)
    assert told == read(serve("Hello, wörld! " * 9), pytest.fail)


@pytest.mark.parametrize("steps", [0, 6, 12])
def test_responses_are_the_same_for_the_official_client(
    encoding: Encoding, serve: Serve, steps: int
) -> None:
    def read(server: Server, heard: Callable[[], None]) -> Any:
        with server.client().responses.stream(model="m", input="Hello!") as stream:
            for number, event in enumerate(stream):
                if event.type == "response.in_progress" and number > 1:
                    heard()
            return stream.get_final_response()

    silent = Silent(serve, always(encoding, HELLO), steps)
    with silent.ended():
        told = read(silent.server, silent.beat)
    assert told.output_text == "Hello, wörld 🎉!"
    straight = read(serve(HELLO), pytest.fail)
    assert told.usage == straight.usage
    assert [item.type for item in told.output] == [item.type for item in straight.output]


def test_responses_number_what_is_repeated(encoding: Encoding, serve: Serve) -> None:
    silent = Silent(serve, always(encoding, HELLO), steps=6)
    with silent.ended(), silent.server.connect() as connection:
        send(connection, stream=True)
        received = b""
        while b"[DONE]" not in received:
            before = received.count(b"event: response.in_progress")
            received += connection.recv(4096)
            for _ in range(received.count(b"event: response.in_progress") - max(1, before)):
                silent.beat()
    events = events_in(received)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert all(
        event["response"]["status"] == "in_progress"
        for event in events
        if event["type"] == "response.in_progress"
    )
    (kept,) = [event["response"]["id"] for event in events[-1:]]
    assert ask(silent.server, "GET", f"/v1/responses/{kept}").json["status"] == "completed"


def test_who_waits_in_the_queue_hears_it_too(encoding: Encoding, serve: Serve) -> None:
    config = Config(date=DATE, max_batch=1)
    silent = Silent(serve, always(encoding, HELLO), config=config)
    engine = silent.server.services.engine
    with set_at_last(silent.gate), silent.server.connect() as first:
        send_chat(first, stream=True)
        until(lambda: engine.status().active == 1)
        with silent.server.connect() as second, silent.server.connect() as third:
            send(second, stream=True)
            until(lambda: engine.status().waiting == 1)
            send_chat(third, stream=True)
            until(lambda: engine.status().waiting == 2)
            received = b""
            while received.count(b"event: response.in_progress") <= BEATS:
                received += second.recv(4096)
            received = b""
            while received.count(b'"delta":{}') < BEATS:
                received += third.recv(4096)
        assert engine.status().active == 1


def test_a_background_response_is_repeated_and_kept_once(encoding: Encoding, serve: Serve) -> None:
    silent = Silent(serve, always(encoding, HELLO), steps=6)
    with set_at_last(silent.gate), silent.server.connect() as connection:
        id_ = create(silent.server, background=True)["id"]
        path = f"/v1/responses/{id_}?stream=true"
        get(connection, path)
        received = b""
        while received.count(b"event: response.in_progress") <= BEATS:
            received += connection.recv(4096)
        received += read_until(connection, b"\n\n")
        seen = events_in(received[: received.rindex(b"\n\n")])
        last = seen[-1]
        assert last["type"] == "response.in_progress"
        numbers = [event["sequence_number"] for event in seen]
        assert numbers == sorted(numbers)
        # It has the number of what came before it: who goes on from it misses nothing.
        assert numbers[-1] == numbers[-BEATS] == len(set(numbers)) - 1
        with silent.server.connect() as other:
            get(other, f"{path}&starting_after={numbers[-1]}")
            again = read_until(other, b"event: response.in_progress")
            silent.gate.set()
            rest = events_in(again + read_to_end(other))
    rest = [event for event in rest if event["type"] != "response.in_progress"]
    replayed = events_in(ask(silent.server, "GET", path).body)
    assert [event["sequence_number"] for event in replayed] == list(range(len(replayed)))
    assert [event["type"] for event in replayed].count("response.in_progress") == 1
    assert rest == replayed[numbers[-1] + 1 :]


def test_a_background_response_that_waits_says_so(encoding: Encoding, serve: Serve) -> None:
    silent = Silent(serve, always(encoding, HELLO))
    with set_at_last(silent.gate), silent.server.connect() as connection:
        id_ = create(silent.server, background=True)["id"]
        get(connection, f"/v1/responses/{id_}?stream=true")
        received = b""
        while received.count(b"event: response.queued") <= BEATS:
            received += connection.recv(4096)
        silent.gate.set()
        received += read_to_end(connection)
    events = events_in(received)
    kinds = [event["type"] for event in events]
    assert kinds[:2] == ["response.created", "response.queued"]
    assert {event["sequence_number"] for event in events if event["type"] == kinds[1]} == {1}
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("steps", [0, 6])
def test_a_websocket_hears_it_too(encoding: Encoding, serve: Serve, steps: int) -> None:
    silent = Silent(serve, always(encoding, HELLO), steps)
    url = f"ws://127.0.0.1:{silent.server.port}/v1/responses"
    with silent.ended(), connect_websocket(url) as socket:
        socket.send(json.dumps({"type": "response.create"} | json.loads(body())))
        kinds: list[str] = []
        while "response.completed" not in kinds:
            event = json.loads(socket.recv(timeout=HANG_S))
            check_event(event)
            assert event["sequence_number"] == len(kinds)
            kinds.append(event["type"])
            if event["type"] == "response.in_progress" and len(kinds) > 2:
                silent.beat()


@pytest.mark.parametrize("steps", [0, 6])
def test_messages_are_the_same_for_the_official_client(
    encoding: Encoding, serve: Serve, connect: Connect, steps: int
) -> None:
    def read(server: Server) -> Any:
        with connect(server.url).messages.stream(model="m", max_tokens=90, messages=USER) as stream:
            return stream.get_final_message()

    script = by_last_words(encoding, ANSWERS)
    silent = Silent(serve, script, steps)
    # The client hides pings, so another connection, which began later, listens for them.
    with ThreadPoolExecutor() as pool, silent.ended(), silent.server.connect() as other:
        told = pool.submit(read, silent.server)
        until(lambda: silent.backend.active == 1 and not silent.gate.left)
        content = json.dumps({"model": "m", "max_tokens": 90, "messages": USER, "stream": True})
        head = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json"
        other.sendall(f"{head}\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode())
        for _ in range(BEATS):
            read_until(other, b"event: ping")
            silent.beat()
        assert whole(told.result(HANG_S)) == whole(read(serve(ScriptedBackend(script))))
