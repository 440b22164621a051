"""A turn answered over HTTP, in a stream or as a whole, whatever the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sanic import HTTPResponse, Request

from mlxoss.api.history.files import Attached
from mlxoss.core import JsonObject
from mlxoss.server.access.clients import name_client
from mlxoss.server.http.bodies import json_response, read_json_object
from mlxoss.server.http.errors import plain_path, request_id
from mlxoss.server.http.event_stream import EventStream
from mlxoss.server.services import Services
from mlxoss.turns.context import Caller, TurnContext
from mlxoss.turns.files import read_files
from mlxoss.turns.request_log import LoggedRequest

if TYPE_CHECKING:  # what turns import is slow
    from mlxoss.turns.answer import TurnAnswer


class TurnBody(Protocol):
    """A request for a turn."""

    @property
    def stream(self) -> bool | None:
        """Whether the answer is to be streamed."""


BodyT = TypeVar("BodyT", bound=TurnBody)


async def _no_other(body: object) -> None:
    """What answers instead where nothing does."""


async def answer_turn(
    http: Request,
    services: Services,
    parse: Callable[[JsonObject], BodyT],
    start: Callable[[TurnContext, BodyT, Caller], Awaitable[TurnAnswer[Any]]],
    find_files: Callable[[JsonObject], Iterable[Attached]] = lambda _: (),
    *,
    instead: Callable[[BodyT], Awaitable[HTTPResponse | None]] = _no_other,
) -> HTTPResponse | None:
    """Answer a request for a turn: the files that ``find_files`` finds in its JSON are read,
    ``parse`` validates it, ``start`` begins the turn.

    ``instead`` answers one that is for something else.
    """
    with log_request(http, services) as log, services.turns.counted():
        value = await read_json_object(http)
        await read_files(services.turns, find_files(value))
        body = parse(value)
        if (other := await instead(body)) is not None:
            return other
        answer = await start(services.turns, body, to_caller(http))
        try:
            if not body.stream:
                return json_response(await answer.fold(log))
            await send_stream(http, services, answer, log)
            return None
        finally:
            answer.close(log)


async def send_stream(
    http: Request,
    services: Services,
    answer: TurnAnswer[Any],
    log: LoggedRequest,
    *,
    at_once: bool = False,
) -> None:
    """Send the events of ``answer``, the first with the first token or ``at_once``.

    What breaks the turn is raised before the first byte; after it, it is an event.
    """
    stream = answer.stream
    async with EventStream(
        http,
        heartbeat_s=services.heartbeat_s,
        beat=stream.beat,
        media=stream.media,
        headers=stream.headers,
    ) as out:
        batches = answer.batches(log, at_once=at_once, is_told=lambda: out.has_begun)
        await out.send_batches(batches, stream.encode)
        if rest := stream.close():
            await out.send(rest)


def log_request(http: Request, services: Services) -> LoggedRequest:
    """The log's entry of a request that begins."""
    key = http.ctx.key
    key_name = None if key is None else services.storage.api_keys.name_of(key)
    client = name_client(http.headers.getone("user-agent", ""), key_name)
    return services.requests.begin(request_id(http), f"{http.method} {plain_path(http)}", client)


def to_caller(http: Request) -> Caller:
    """Who asks."""
    return Caller(request_id(http), http.ctx.key)
