"""Errors as answers, in the shape that the endpoint's clients know."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import TYPE_CHECKING, Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import MethodNotAllowed, SanicException
from sanic.exceptions import NotFound as NoRoute
from sanic.handlers import ErrorHandler

from mlxoss.api.errors import CLIENT_LEFT, SERVER_FAILURE, HttpError, HttpRefusal, to_http_error
from mlxoss.errors import MlxossError
from mlxoss.ids import new_id
from mlxoss.server.http.bodies import json_response
from mlxoss.server.http.content_encoding import ACCEPTED, UNSUPPORTED_ENCODING

if TYPE_CHECKING:
    from mlxoss.api.answers import Error, MessagesError, OllamaError

logger = logging.getLogger(__name__)

App = Sanic[Any, Any]

OLLAMA = "/api/"
"""What begins every path of Ollama's API, and no other one's."""

OLLAMAS_PATHS = (
    "Of Ollama's API this server has /api/chat, /api/generate (to load and unload the model), "
    "/api/ps, /api/show, /api/tags and /api/version."
)

_MODELS = "/v1/models"

_CODES = {408: "request_timeout", 413: "request_too_large"}

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


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
        if error.code == UNSUPPORTED_ENCODING:
            headers["accept-encoding"] = ACCEPTED
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
            more = f" {OLLAMAS_PATHS}" if speaks_ollama(request) else ""
            message = f"Unknown URL ({request.method} {request.path}).{more}"
            return HttpError(404, message, code="unknown_url")
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


def to_body(request: Request, error: HttpError) -> Error | MessagesError | OllamaError:
    """The JSON of ``error``, in the shape that the endpoint's clients know."""
    if speaks_messages(request):
        return error.to_messages_body(request_id(request))
    if speaks_ollama(request):
        return error.ollama_body
    return error.body


def speaks_messages(request: Request) -> bool:
    """Whether the request is for an endpoint of Anthropic's API, let in or not."""
    path = plain_path(request)
    if asks_as_anthropics(request) and (path == _MODELS or path.startswith(f"{_MODELS}/")):
        return True
    return any(
        named.endpoint.is_messages and named.endpoint.path == path
        for named in request.app.ctx.services.endpoints
    )


def asks_as_anthropics(request: Request) -> bool:
    """Whether a client of Anthropic's asks, where others ask too."""
    return "anthropic-version" in request.headers


def speaks_ollama(request: Request) -> bool:
    """Whether the request is for Ollama's API, whatever of it is served."""
    return request.path.startswith(OLLAMA)


def plain_path(request: Request) -> str:
    """The path as endpoints write it: Sanic's router takes any number of slashes behind one."""
    return request.path.rstrip("/") or "/"


def request_id(request: Request) -> str:
    """The id of ``x-request-id``: the client's own if it is sane, else a new one."""
    known: str | None = getattr(request.ctx, "request_id", None)
    if known is None:
        sent = request.headers.getone("x-request-id", "")
        known = sent if _SANE_ID.fullmatch(sent) else new_id("req_")
        request.ctx.request_id = known
    return known
