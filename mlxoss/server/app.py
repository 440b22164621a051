"""The Sanic application: its routes, its limits, its error shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from mlxoss.config import Config
from mlxoss.server.access.middleware import add_access
from mlxoss.server.http.bodies import MAX_BODY_BYTES, MAX_DRAINED_BYTES
from mlxoss.server.http.errors import App, JsonErrorHandler, request_id, speaks_messages
from mlxoss.server.http.http1 import MAX_HEAD_BYTES
from mlxoss.server.http.protocol import BODY_S, HEAD_S, IDLE_S, SEND_S
from mlxoss.server.http.strict_request import StrictRequest
from mlxoss.server.monitor.health import HealthRoutes
from mlxoss.server.monitor.page import PageRoutes
from mlxoss.server.monitor.routes import MonitorRoutes
from mlxoss.server.routes.chat import ChatRoutes
from mlxoss.server.routes.completions import CompletionRoutes
from mlxoss.server.routes.document import DocumentRoutes
from mlxoss.server.routes.messages import MessageRoutes
from mlxoss.server.routes.models import ModelControlRoutes, ModelRoutes
from mlxoss.server.routes.ollama import OllamaRoutes
from mlxoss.server.routes.responses.conversations import ConversationRoutes
from mlxoss.server.routes.responses.responses import ResponseRoutes, ResponseSocketRoutes
from mlxoss.server.routing import Routes, add_routes
from mlxoss.server.services import Services
from mlxoss.turns.context import ServedModel, TurnContext
from mlxoss.turns.encoding_loader import EncodingLoader

if TYPE_CHECKING:
    from mlxoss.harmony.encoding import Encoding

_ROUTES: tuple[type[Routes], ...] = (
    ChatRoutes,
    CompletionRoutes,
    MessageRoutes,
    ResponseRoutes,
    ConversationRoutes,
    ResponseSocketRoutes,
    ModelRoutes,
    OllamaRoutes,
    HealthRoutes,
    DocumentRoutes,
    ModelControlRoutes,
    MonitorRoutes,
    PageRoutes,
)
"""All that is served."""

HEARTBEAT_S = 10.0
"""The longest silence of a stream. The strictest client known waits 15 s for an event, and the way
to it takes some of that."""

_NEVER_S = 10.0**9


def create_app(
    config: Config,
    served: ServedModel,
    load_encoding: Callable[[], Encoding],
    *,
    name: str,
    heartbeat_s: float = HEARTBEAT_S,
) -> App:
    """An app for ``served``; ``app.ctx.services`` holds its parts.

    ``name`` must be unique among the process's apps. ``load_encoding`` is
    called once, on another thread. The caller starts the engine and opens the
    services with a storage.
    """
    app: App = Sanic(
        name,
        error_handler=JsonErrorHandler(),
        request_class=StrictRequest,
        configure_logging=False,
    )
    app.config.update(
        {
            "ACCESS_LOG": config.http_access_log,
            "MOTD": False,
            "REQUEST_MAX_SIZE": MAX_DRAINED_BYTES,
            "REQUEST_MAX_HEADER_SIZE": MAX_HEAD_BYTES,
            "REQUEST_TIMEOUT": HEAD_S,
            "KEEP_ALIVE_TIMEOUT": IDLE_S,
            "BODY_TIMEOUT": BODY_S,
            "SEND_TIMEOUT": SEND_S,
            "WEBSOCKET_MAX_SIZE": MAX_BODY_BYTES,
            # A turn takes as long as it takes; a silent stream has heartbeats.
            "RESPONSE_TIMEOUT": _NEVER_S,
            # It rewrites Sanic's classes for the whole process, so a second app would fail.
            "TOUCHUP": False,
        }
    )
    encoding = EncodingLoader(lambda: _load(app, load_encoding, served))
    services = Services(TurnContext(config, served, encoding), heartbeat_s)
    app.ctx.services = services
    add_access(app, services)
    app.ctx.routes = [make(services) for make in _ROUTES]
    for routes in app.ctx.routes:
        add_routes(app, routes)
    _add_headers(app, services)
    return app


def load_handlers(app: App) -> None:
    """Load what requests need: the first one need not on the event loop, and an upgrade may
    remove the files later.
    """
    for routes in app.ctx.routes:
        routes.preload_once()


def _load(app: App, load_encoding: Callable[[], Encoding], served: ServedModel) -> Encoding:
    load_handlers(app)
    encoding = load_encoding()
    if served.load_grammars is not None:
        served.load_grammars(encoding).load()
    return encoding


def _add_headers(app: App, services: Services) -> None:
    """``x-request-id`` and ``openai-processing-ms`` on every answer."""

    async def begin(request: Request) -> None:
        request.ctx.begun_at = services.clock()

    async def add(request: Request, response: BaseHTTPResponse) -> None:
        begun_at = getattr(request.ctx, "begun_at", None)
        now = services.clock()
        spent_s = 0.0 if begun_at is None else now - begun_at
        response.headers["x-request-id"] = request_id(request)
        if speaks_messages(request):
            response.headers["request-id"] = request_id(request)
        response.headers["openai-processing-ms"] = str(round(spent_s * 1000))

    app.register_middleware(begin, "request")
    app.register_middleware(add, "response")
