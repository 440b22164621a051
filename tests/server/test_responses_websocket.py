"""WebSocket mode of the Responses API, by the official client's library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from tests.server.conftest import Serve
from tests.support.api.strict import check_event
from tests.support.server.harness import Server
from tests.support.server.scripts import HELLO


@pytest.fixture
def server(serve: Serve) -> Server:
    return serve(HELLO)


@pytest.fixture
def socket(server: Server) -> Iterator[ClientConnection]:
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as socket:
        yield socket


def turn(socket: ClientConnection, **fields: Any) -> dict[str, Any]:
    """The last event of one response."""
    socket.send(json.dumps({"type": "response.create", "model": "any"} | fields))
    number = 0
    while True:
        event: dict[str, Any] = json.loads(socket.recv(timeout=120))
        if event["type"] == "error":
            return event
        check_event(event)
        assert event["sequence_number"] == number
        number += 1
        if event["type"] in ("response.completed", "response.failed", "response.incomplete"):
            return event


def test_responses_one_after_the_other(socket: ClientConnection) -> None:
    first = turn(socket, input="Hello!", store=False)["response"]
    second = turn(socket, input="More", store=False, previous_response_id=first["id"])["response"]
    assert second["status"] == "completed"
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"]


def test_what_was_not_stored_is_unknown_to_another_socket(
    server: Server, socket: ClientConnection
) -> None:
    first = turn(socket, input="Hello!", store=False)["response"]
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as other:
        event = turn(other, input="More", previous_response_id=first["id"])
        assert event["error"]["code"] == "previous_response_not_found"
        assert turn(other, input="Hello!")["type"] == "response.completed"


def test_a_failed_continuation_is_forgotten(socket: ClientConnection) -> None:
    first = turn(socket, input="Hello!", store=False)["response"]
    output = {"type": "function_call_output", "call_id": "call_none", "output": "x"}
    event = turn(socket, input=[output], previous_response_id=first["id"])
    assert event["status"] == 400
    event = turn(socket, input="More", previous_response_id=first["id"])
    assert event["error"]["code"] == "previous_response_not_found"


def test_a_stored_continuation_of_one_that_was_not(
    server: Server, socket: ClientConnection
) -> None:
    first = turn(socket, input="Hello!", store=False)["response"]
    second = turn(socket, input="More", previous_response_id=first["id"])["response"]
    with connect(f"ws://127.0.0.1:{server.port}/v1/responses") as other:
        third = turn(other, input="More", previous_response_id=second["id"])["response"]
    assert third["usage"]["input_tokens"] > second["usage"]["input_tokens"]


@pytest.mark.parametrize("frame", ["no JSON", "[]", '{"type": "session.update"}', "{}"])
def test_a_wrong_frame_is_an_error_event(socket: ClientConnection, frame: str) -> None:
    socket.send(frame)
    event = json.loads(socket.recv(timeout=120))
    assert (event["type"], event["status"]) == ("error", 400)
    assert turn(socket, input="Hello!")["type"] == "response.completed"
