"""``/v1/responses`` over HTTP and WebSocket."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sanic import HTTPResponse, Request, Websocket

from mlxoss.api.errors import invalid
from mlxoss.api.openapi.endpoint import BODY, TURN, Endpoint, QueryParameter, Shapes
from mlxoss.api.sse import COMMENT, DONE, encode_named
from mlxoss.errors import InvalidRequest
from mlxoss.server.http.bodies import json_response, read_json_object
from mlxoss.server.http.errors import to_error
from mlxoss.server.http.query import read_flag, read_query
from mlxoss.server.routes.responses.items import PAGE, read_page_request, to_page
from mlxoss.server.routing import Routes, serves

if TYPE_CHECKING:  # what turns import is slow
    from mlxoss.turns.request_log import LoggedRequest
    from mlxoss.turns.responses.background import BackgroundRuns, Follower
    from mlxoss.turns.responses.run import ResponseRun

_RESPONSE = "/v1/responses/<response_id:str>"
_GONE = (404,)
_REPLAY = (
    QueryParameter(
        "stream",
        "Replay a background response's events.",
        {"type": "boolean", "default": False},
    ),
    QueryParameter(
        "starting_after",
        "The sequence number of the last event that is not wanted.",
        {"type": "integer", "default": -1},
    ),
)


def _create() -> Shapes:
    from mlxoss.api.responses.answers import ResponseEvent, ResponseObject
    from mlxoss.api.responses.request import ResponsesRequest

    return Shapes(ResponseObject, ResponsesRequest, ResponseEvent)


def _count() -> Shapes:
    from mlxoss.api.responses.answers import InputTokens
    from mlxoss.api.responses.request import PromptFields

    return Shapes(InputTokens, PromptFields)


def _compact() -> Shapes:
    from mlxoss.api.responses.answers import Compaction
    from mlxoss.api.responses.request import CompactRequest

    return Shapes(Compaction, CompactRequest)


def _response() -> Shapes:
    from mlxoss.api.responses.answers import ResponseObject

    return Shapes(ResponseObject)


def _response_or_events() -> Shapes:
    from mlxoss.api.responses.answers import ResponseEvent, ResponseObject

    return Shapes(ResponseObject, events=ResponseEvent)


def _deleted() -> Shapes:
    from mlxoss.api.responses.answers import DeletedResponse

    return Shapes(DeletedResponse)


def _items() -> Shapes:
    from mlxoss.api.responses.item_answers import ItemList

    return Shapes(ItemList)


class ResponseRoutes(Routes):
    """Responses: in a stream, as a whole, in the background, over a WebSocket."""

    group = "responses"

    def preload(self) -> None:
        """Import what turns need."""
        from mlxoss.server.routes.responses import websocket  # noqa: F401
        from mlxoss.turns.responses import background, compact  # noqa: F401

    @cached_property
    def background(self) -> BackgroundRuns:
        """Those that run."""
        from mlxoss.turns.responses.background import BackgroundRuns

        return BackgroundRuns(self.services.turns)

    @serves(Endpoint("POST", "/v1/responses", "Make a response.", _create, errors=(404, *TURN)))
    async def create(self, http: Request) -> HTTPResponse | None:
        """In a stream, as a whole, or in the background."""
        from mlxoss.api.progress import check_progress
        from mlxoss.api.responses.request import parse_responses_request
        from mlxoss.server.http.answer import log_request, send_stream, to_caller
        from mlxoss.turns.responses.start import start_response

        services = self.services
        with log_request(http, services) as log, services.turns.counted():
            request = parse_responses_request(await read_json_object(http))
            check_progress(is_wanted=request.return_progress, is_stream=request.stream)
            run = await start_response(services.turns, request, to_caller(http))
            if request.background:
                return await self._in_background(http, run, log)
            try:
                if not request.stream:
                    return json_response(await run.answer.fold(log))
                await send_stream(http, services, run.answer, log, at_once=True)
                return None
            finally:
                run.answer.close(log)

    async def _in_background(
        self, http: Request, run: ResponseRun, log: LoggedRequest
    ) -> HTTPResponse | None:
        snapshot = await self.background.start(run, log)
        if run.keeper.request.stream:
            await self._send(http, self.background.follow(run.id, -1))
            return None
        return json_response(snapshot)

    async def _send(self, http: Request, follower: Follower) -> None:
        """Send events that are kept, and ``[DONE]`` after the last."""
        from mlxoss.api.responses.stream import ResponsesStream
        from mlxoss.server.http.event_stream import EventStream

        async with EventStream(
            http,
            heartbeat_s=self.services.heartbeat_s,
            beat=lambda: encode_named(follower.still_working()) or COMMENT,
            headers=ResponsesStream.headers,
        ) as out:
            try:
                await out.send_batches(follower.batches(), encode_named)
            except Exception as error:
                if not out.has_begun:
                    raise
                event = {**to_error(http, error).body["error"], "type": "error"}
                await out.send(encode_named([event]))
            await out.send(DONE)

    @serves(
        Endpoint(
            "POST",
            "/v1/responses/input_tokens",
            "Count a prompt's tokens.",
            _count,
            errors=(404, *BODY),
        )
    )
    async def count_input_tokens(self, http: Request) -> HTTPResponse:
        """The length of the prompt, to the token."""
        from mlxoss.api.responses.object import to_input_tokens
        from mlxoss.api.responses.request import parse_input_tokens_request
        from mlxoss.turns.responses.prompted import count_input_tokens

        request = parse_input_tokens_request(await read_json_object(http))
        return json_response(
            to_input_tokens(await count_input_tokens(self.services.turns, request))
        )

    @serves(
        Endpoint(
            "POST",
            "/v1/responses/compact",
            "Let the model sum up a conversation.",
            _compact,
            errors=(404, *TURN),
        )
    )
    async def compact(self, http: Request) -> HTTPResponse:
        """The model sums up the conversation."""
        from mlxoss.api.responses.request import parse_compact_request
        from mlxoss.server.http.answer import log_request, to_caller
        from mlxoss.turns.responses.compact import compact

        services = self.services
        with log_request(http, services) as log, services.turns.counted():
            request = parse_compact_request(await read_json_object(http))
            compaction = await compact(services.turns, request, to_caller(http), log)
        return json_response(compaction)

    @serves(
        Endpoint(
            "GET",
            _RESPONSE,
            "Get a response, or the events of one in the background.",
            _response_or_events,
            query=_REPLAY,
            errors=_GONE,
        )
    )
    async def retrieve(self, http: Request, response_id: str) -> HTTPResponse | None:
        """The response; with ``stream=true`` a background response's events."""
        from mlxoss.turns.responses.kept import to_object

        after = _starting_after(http)
        if read_flag(http, "stream"):
            response = await self.services.turns.storage.store.get(response_id)
            if not response.background:
                raise invalid("stream", "only background responses can be streamed again")
            await self._send(http, self.background.follow(response_id, after))
            return None
        running = self.background.get(response_id)
        if running is not None:
            return json_response(running.snapshot())
        return json_response(to_object(await self.services.turns.storage.store.get(response_id)))

    @serves(Endpoint("DELETE", _RESPONSE, "Delete a response.", _deleted, errors=_GONE))
    async def delete(self, http: Request, response_id: str) -> HTTPResponse:
        """One that runs is cancelled first."""
        from mlxoss.api.responses.object import to_deleted_response

        running = self.background.get(response_id)
        if running is not None:
            await running.cancel()
        await self.services.turns.storage.store.delete(response_id)
        self.background.forget(response_id)
        return json_response(to_deleted_response(response_id))

    @serves(
        Endpoint(
            "POST",
            f"{_RESPONSE}/cancel",
            "Cancel a response in the background.",
            _response,
            errors=_GONE,
        )
    )
    async def cancel(self, http: Request, response_id: str) -> HTTPResponse:
        """Background only. One that has ended otherwise cannot be cancelled, as OpenAI has it."""
        from mlxoss.api.responses.answers import ResponseStatus
        from mlxoss.turns.responses.kept import to_object

        running = self.background.get(response_id)
        if running is not None:
            await running.cancel()
        response = await self.services.turns.storage.store.get(response_id)
        if not response.background:
            raise _not_cancelled("synchronous")
        unkept = self.background.get(response_id)
        ended = to_object(response) if unkept is None else unkept.snapshot()
        if ended["status"] != ResponseStatus.CANCELLED:
            raise _not_cancelled(ended["status"])
        return json_response(ended)

    @serves(
        Endpoint(
            "GET",
            f"{_RESPONSE}/input_items",
            "List what a response was given.",
            _items,
            query=PAGE,
            errors=_GONE,
        )
    )
    async def list_input_items(self, http: Request, response_id: str) -> HTTPResponse:
        """A page of its input."""
        store = self.services.turns.storage.store
        return json_response(to_page(await store.input_items(response_id, read_page_request(http))))


class ResponseSocketRoutes(Routes):
    """WebSocket mode."""

    group = "responses"

    @serves(
        Endpoint(
            "GET",
            "/v1/responses",
            "Open a WebSocket: 'response.create' frames, one response after the other.",
            errors=(426,),
            statuses=(101,),
        )
    )
    async def converse(self, http: Request, socket: Websocket) -> None:
        """Answer the frames of one connection until the client closes it."""
        from mlxoss.server.routes.responses import websocket

        await websocket.converse(http, socket, self.services)


def _not_cancelled(kind: str) -> InvalidRequest:
    """The error for a response that is not to be cancelled (any more), in OpenAI's words."""
    return InvalidRequest(
        f"Cannot cancel {'an' if kind == 'incomplete' else 'a'} {kind} response.",
        param="response_id",
        code="response_not_cancellable",
    )


def _starting_after(http: Request) -> int:
    text = read_query(http).get("starting_after", "-1")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdecimal()):
        raise invalid("starting_after", "it should be the sequence number of an event")
    return int(text[:18])
