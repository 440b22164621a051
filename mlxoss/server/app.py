"""The Sanic application: its routes, its limits, its error shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sanic import Request, Sanic
from sanic.response import BaseHTTPResponse

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.server.bounds import BODY_S, HEAD_S, IDLE_S, MAX_HEAD_BYTES, SEND_S
from mlxoss.server.control import add_control_routes
from mlxoss.server.endpoints import add_document_route
from mlxoss.server.entrance import add_entrance
from mlxoss.server.heads import StrictRequest
from mlxoss.server.health import add_health_route
from mlxoss.server.http import (
    MAX_BODY_BYTES,
    MAX_DRAINED_BYTES,
    App,
    JsonErrorHandler,
    request_id,
    speaks_messages,
)
from mlxoss.server.models import add_model_routes
from mlxoss.server.monitor import add_monitor_routes
from mlxoss.server.page import add_page_routes
from mlxoss.server.routes import add_turn_routes, load_handlers
from mlxoss.server.services import EncodingLoader, Services

if TYPE_CHECKING:
    from mlxoss.harmony.encoding import Encoding

HEARTBEAT_S = 15.0
_NEVER_S = 10.0**9


def create_app(
    config: Config,
    engine: Engine,
    load_encoding: Callable[[], Encoding],
    *,
    model: ModelInfo,
    name: str,
    heartbeat_s: float = HEARTBEAT_S,
) -> App:
    """An app that serves ``engine``; ``app.ctx.services`` holds its parts.

    ``name`` must be unique among the process's apps. ``load_encoding`` is
    called once, on another thread. The caller starts the engine and sets the
    services' ``state``.
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
    encoding = EncodingLoader(lambda: _load(load_encoding, engine))
    services = Services(config, engine, model, encoding, heartbeat_s)
    app.ctx.services = services
    add_entrance(app, services)
    add_turn_routes(app, services)
    add_model_routes(app, services)
    add_health_route(app, services)
    add_document_route(app)
    add_control_routes(app, services)
    add_monitor_routes(app, services)
    add_page_routes(app)
    _add_headers(app, services)
    return app


def _load(load_encoding: Callable[[], Encoding], engine: Engine) -> Encoding:
    """Import what turns need while at it, so that the first one need not on the event loop."""
    load_handlers()
    encoding = load_encoding()
    if engine.load_guards is not None:
        engine.load_guards().load()
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
