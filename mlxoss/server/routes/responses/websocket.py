"""WebSocket mode of ``/v1/responses``. Source: the Open Responses specification.

The client sends ``response.create`` frames, one response after the other; it gets the
events of the HTTP stream, one to a frame. The connection remembers its last response,
kept or not, so that the next can go on from it; one that fails to is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from sanic import Request, Websocket

from mlxoss.api.errors import HttpError, invalid, unsupported
from mlxoss.api.json_body import parse_json_object
from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.request import parse_responses_request
from mlxoss.api.sse import encode_json
from mlxoss.core import JsonMapping, JsonObject
from mlxoss.server.access.middleware import is_known, make_key_refusal
from mlxoss.server.http.answer import log_request, to_caller
from mlxoss.server.http.errors import to_error
from mlxoss.server.http.heartbeat import Heartbeat
from mlxoss.server.services import Services
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.responses.context import LocalResponse
from mlxoss.turns.responses.run import ResponseRun
from mlxoss.turns.responses.start import start_response


async def converse(http: Request, socket: Websocket, services: Services) -> None:
    """Answer the frames of one connection until the client closes it."""
    connection = _Connection(http, socket, services)
    async for frame in socket:
        await connection.answer(frame)


class _Connection:
    def __init__(self, http: Request, socket: Websocket, services: Services) -> None:
        self._http = http
        self._socket = socket
        self._services = services
        self._last: LocalResponse | None = None
        self._sending = asyncio.Lock()

    async def answer(self, frame: str | bytes) -> None:
        """Answer one frame; what is wrong with it is an ``error`` event."""
        body: JsonObject = {}
        try:
            body = parse_json_object(frame.encode() if isinstance(frame, str) else frame)
            await self._create(_read_create(body))
        except Exception as error:  # noqa: BLE001 (the client is told, and may go on)
            self._forget(body)
            event = _to_error_event(to_error(self._http, error))
            await self._send(event, body)

    async def _create(self, body: JsonObject) -> None:
        services = self._services
        if not is_known(services, self._http):  # its key was revoked
            raise make_key_refusal(self._http)
        with log_request(self._http, services) as log, services.turns.counted():
            request = parse_responses_request(body)
            caller = to_caller(self._http)
            run = await start_response(services.turns, request, caller, self._last)
            try:
                await self._send_all(run, body, log)
            finally:
                run.answer.close(log)

    async def _send_all(self, run: ResponseRun, body: JsonObject, log: LoggedRequest) -> None:
        has_failed = False

        async def beat() -> None:
            await self._send_events(run.stream.still_working(), body)

        heart = Heartbeat(self._services.heartbeat_s, beat)
        async with aclosing(run.answer.batches(log, at_once=True)) as batches, heart:
            async for events in batches:
                match events[-1]["type"]:
                    case "response.completed" | "response.incomplete":
                        self._last = run.keeper.to_local()
                    case "response.failed":
                        has_failed = True
                await self._send_events(events, body)
                heart.note()
        if has_failed:
            self._forget(body)

    def _forget(self, body: JsonMapping) -> None:
        """Forget the response that ``body`` failed to go on from."""
        if self._last is not None and self._last.id == body.get("previous_response_id"):
            self._last = None

    async def _send_events(self, events: Sequence[ResponseEvent], body: JsonMapping) -> None:
        """Send them with nothing in between."""
        async with self._sending:
            for event in events:
                await self._send(event, body)

    async def _send(self, event: JsonMapping, body: JsonMapping) -> None:
        lane = body.get("stream_id")
        named = {**event, "stream_id": lane} if isinstance(lane, str) else event
        await self._socket.send(encode_json(named).decode())


def _read_create(body: JsonObject) -> JsonObject:
    if body.get("type") != "response.create":
        raise invalid("type", "the only frame that this server knows is 'response.create'")
    if body.get("background"):
        raise unsupported("background", "a WebSocket carries its responses itself")
    return body


def _to_error_event(error: HttpError) -> JsonObject:
    return {"type": "error", "status": error.status, **error.body}
