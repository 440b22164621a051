"""Bodies in, JSON and errors out: what all routes have in common."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import MethodNotAllowed, SanicException
from sanic.exceptions import NotFound as NoRoute
from sanic.handlers import ErrorHandler
from sanic.http import Http

from mlxoss.api.body import parse_json_object
from mlxoss.api.endpoint import MESSAGES_ERROR
from mlxoss.api.errors import SERVER_FAILURE, HttpError, to_http_error
from mlxoss.api.sse import encode_json
from mlxoss.errors import InvalidRequest, MlxossError

logger = logging.getLogger(__name__)

App = Sanic[Any, Any]

MAX_BODY_BYTES = 10 * 1024 * 1024
MAX_DRAINED_BYTES = 1024 * 1024 * 1024
"""A body that is too long is read to its end, up to here: a client that is still
sending would find the connection reset instead of the answer."""

CLIENT_LEFT = 499
"""The status noted for a client that closed the connection (nginx's number for it)."""

_CODES = {408: "request_timeout", 413: "request_too_large"}

_SHOWN_CHARS = 100
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class HttpRefusal(Exception):
    """A request refused for its HTTP, not for what it asks."""

    def __init__(self, error: HttpError) -> None:
        super().__init__(error.message)
        self.error = error


class JsonErrorHandler(ErrorHandler):
    """Every exception of every request as OpenAI's error object; details only in the log."""

    def response(self, request: Request, exception: Exception) -> HTTPResponse:
        """Answer ``exception``, which ended ``request``."""
        error = to_error(request, exception)
        headers: dict[str, str] = {}
        if error.retry_after_s is not None:
            headers["retry-after"] = str(error.retry_after_s)
        if error.status == 504:
            # The openai libraries heed it: the next try would take as long.
            headers["x-should-retry"] = "false"
        if error.status == 401:
            headers["www-authenticate"] = "Bearer"
        if isinstance(exception, MethodNotAllowed):
            headers["allow"] = ", ".join(sorted(exception.headers["Allow"].split(", ")))
        return json_response(to_body(request, error), status=error.status, headers=headers)


def to_error(request: Request, exception: BaseException) -> HttpError:
    """The error to answer ``exception`` with. Logs the ones that nobody expects."""
    match exception:
        case HttpRefusal():
            return exception.error
        case asyncio.CancelledError():
            return HttpError(CLIENT_LEFT, "The client closed the connection.")
        case MlxossError():
            return to_http_error(exception)
        case NoRoute():
            return HttpError(
                404, f"Unknown URL ({request.method} {request.path}).", code="unknown_url"
            )
        case MethodNotAllowed():
            return HttpError(
                405,
                f"{request.method} is not allowed on {request.path}.",
                code="method_not_allowed",
            )
        case SanicException() if exception.status_code < 500:
            status = exception.status_code
            return HttpError(status, str(exception), code=_CODES.get(status))
        case SanicException():
            return HttpError(exception.status_code, SERVER_FAILURE, type="server_error")
        case _:
            logger.error("%s failed", request_id(request), exc_info=exception)
            return to_http_error(exception)


def to_body(request: Request, error: HttpError) -> dict[str, Any]:
    """The JSON of ``error``, in the shape that the endpoint's clients know."""
    if speaks_messages(request):
        return error.to_messages_body(request_id(request))
    return error.body


def speaks_messages(request: Request) -> bool:
    """Whether the request is for an endpoint of Anthropic's API, let in or not."""
    return any(
        endpoint.error == MESSAGES_ERROR and endpoint.path == plain_path(request)
        for endpoint in request.app.ctx.endpoints
    )


def plain_path(request: Request) -> str:
    """The path as endpoints write it: Sanic's router takes any number of slashes behind one."""
    return request.path.rstrip("/") or "/"


def json_response(
    value: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> HTTPResponse:
    """An answer in JSON."""
    return HTTPResponse(
        encode_json(value), status=status, headers=headers, content_type="application/json"
    )


def request_id(request: Request) -> str:
    """The id of ``x-request-id``: the client's own if it is sane, else a new one."""
    known: str | None = getattr(request.ctx, "request_id", None)
    if known is None:
        sent = request.headers.getone("x-request-id", "")
        known = sent if _SANE_ID.fullmatch(sent) else new_id("req_")
        request.ctx.request_id = known
    return known


def new_id(prefix: str) -> str:
    """A fresh id that cannot be guessed."""
    return prefix + secrets.token_hex(12)


async def read_json_object(request: Request) -> dict[str, Any]:
    """The body of a streaming route as a JSON object.

    Raises HttpRefusal (408, 413, 415) or InvalidRequest. Afterwards the connection is
    read again, so that a client that leaves is noticed: Sanic stops reading a
    connection once 64 KiB lie in its buffer and starts again only for the next request.
    """
    _check_content_type(request)
    body = await _read_body(request)
    if isinstance(request.transport, asyncio.ReadTransport):
        request.transport.resume_reading()
    return parse_json_object(body)


async def refuse_body(request: Request) -> None:
    """Raise InvalidRequest if a streaming route's request has a body, which is not read."""
    stream = request.stream
    assert isinstance(stream, Http)
    if await stream.read():
        stop_reading(request, MAX_BODY_BYTES)
        raise InvalidRequest("This request takes no body.")


def stop_reading(request: Request, most_bytes: int) -> None:
    """Of a body that is refused read ``most_bytes`` at most, then close the connection.

    Reading all of it lets a client that is still sending see the answer.
    """
    if isinstance(request.stream, Http):
        request.stream.request_max_size = most_bytes


def _check_content_type(request: Request) -> None:
    sent = request.headers.getone("content-type", "application/json")
    kind = sent.split(";", 1)[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise HttpRefusal(
            HttpError(
                415,
                f"Unsupported content type {kind[:_SHOWN_CHARS]!a}: send the header "
                "'Content-Type: application/json'.",
                code="unsupported_media_type",
            )
        )


async def _read_body(request: Request) -> bytes:
    too_long = HttpRefusal(
        HttpError(
            413,
            f"The body of the request is longer than {MAX_BODY_BYTES} bytes.",
            code="request_too_large",
        )
    )
    stream = request.stream
    assert isinstance(stream, Http)
    if int(request.headers.getone("content-length", "0")) > MAX_BODY_BYTES:
        raise too_long
    body = bytearray()
    while (part := await stream.read()) is not None:
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise too_long
    return bytes(body)
