"""``POST /mlxoss/load`` and ``/mlxoss/unload``: have the model in memory, or not."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.endpoint import Endpoint
from mlxoss.server.endpoints import add_endpoint
from mlxoss.server.http import App, json_response, refuse_body
from mlxoss.server.memory import read_memory
from mlxoss.server.services import ServerStatus, Services

_LOAD = Endpoint(
    "model",
    "load",
    "POST",
    "/mlxoss/load",
    "Load the model, and answer once it is there.",
    answer="Control",
    is_slow=True,
)
_UNLOAD = Endpoint(
    "model",
    "unload",
    "POST",
    "/mlxoss/unload",
    "Give the model's memory back once the requests that run are answered.",
    answer="Control",
    is_slow=True,
)


def add_control_routes(app: App, services: Services) -> None:
    """Serve both on ``app``. They answer once it is done; a client that leaves gives it up.

    The answer tells the ``status`` that was reached, and ``memory`` as ``/health`` does.
    """

    async def load(request: Request) -> HTTPResponse:
        await refuse_body(request)
        await services.engine.load()
        await services.encoding.get()
        return _done(ServerStatus.OK)

    async def unload(request: Request) -> HTTPResponse:
        await refuse_body(request)
        await services.engine.unload()
        return _done(ServerStatus.UNLOADED)

    add_endpoint(app, _LOAD, load)
    add_endpoint(app, _UNLOAD, unload)


def _done(status: ServerStatus) -> HTTPResponse:
    return json_response({"status": status, "memory": read_memory(model_is_loaded=True)})
