"""The Sanic application: its routes, its limits, its error shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sanic import HTTPResponse, Request, Sanic
from sanic.response import BaseHTTPResponse

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.server.health import add_health_route
from mlxoss.server.http import MAX_DRAINED_BYTES, App, JsonErrorHandler, request_id
from mlxoss.server.models import add_model_routes
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
    called once, on another thread. The engine is started by the caller.
    """
    app: App = Sanic(name, error_handler=JsonErrorHandler(), configure_logging=False)
    app.config.update(
        {
            "ACCESS_LOG": config.http_access_log,
            "MOTD": False,
            "REQUEST_MAX_SIZE": MAX_DRAINED_BYTES,
            # A turn takes as long as it takes; a silent stream has heartbeats.
            "RESPONSE_TIMEOUT": _NEVER_S,
            # It rewrites Sanic's classes for the whole process, so a second app would fail.
            "TOUCHUP": False,
        }
    )
    encoding = EncodingLoader(lambda: _load(load_encoding, engine))
    services = Services(config, engine, model, encoding, heartbeat_s)
    app.ctx.services = services
    _add_chat_route(app, services)
    add_model_routes(app, services)
    add_health_route(app, services)
    app.register_middleware(_add_request_id, "response")
    return app


def _add_chat_route(app: App, services: Services) -> None:
    async def chat(request: Request) -> HTTPResponse | None:
        # Half of the server's imports: not before it listens.
        from mlxoss.server.chat import complete

        return await complete(request, services)

    app.add_route(chat, "/v1/chat/completions", methods=["POST"], stream=True, name="chat")


def _load(load_encoding: Callable[[], Encoding], engine: Engine) -> Encoding:
    """Import what turns need while at it, so that the first one need not on the event loop."""
    import mlxoss.server.chat  # noqa: F401

    encoding = load_encoding()
    if engine.load_guards is not None:
        engine.load_guards().load()
    return encoding


async def _add_request_id(request: Request, response: BaseHTTPResponse) -> None:
    response.headers["x-request-id"] = request_id(request)
