"""``GET /v1/models`` and ``/v1/models/{id}``; ``POST /mlxoss/load`` and ``/mlxoss/unload``."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.models import to_model, to_model_list
from mlxoss.api.openapi.endpoint import Endpoint, QueryParameter, Shapes
from mlxoss.core import JsonObject
from mlxoss.errors import NotFound
from mlxoss.server.http.bodies import json_response, refuse_body
from mlxoss.server.http.query import read_flag
from mlxoss.server.monitor.memory import read_memory
from mlxoss.server.routing import Routes, serves
from mlxoss.server.services import ServerStatus

_WARM = QueryParameter(
    "warm",
    "Compute what most conversations begin with, too, and answer after that.",
    {"type": "boolean", "default": False},
)


def _models() -> Shapes:
    from mlxoss.api.answers import ModelList

    return Shapes(ModelList)


def _model() -> Shapes:
    from mlxoss.api.answers import ModelObject

    return Shapes(ModelObject)


def _control() -> Shapes:
    from mlxoss.api.monitor import ControlReport

    return Shapes(ControlReport)


class ModelRoutes(Routes):
    """The list of the one loaded model."""

    group = "models"

    @serves(Endpoint("GET", "/v1/models", "List models.", _models, has_head=True))
    async def list(self, http: Request) -> HTTPResponse:
        """It alone."""
        services = self.services
        return json_response(to_model_list(services.model, services.turns.context_tokens))

    @serves(
        Endpoint(
            "GET",
            "/v1/models/<model_id:path>",
            "Tell of a model; its id may hold slashes.",
            _model,
            errors=(404,),
            has_head=True,
        )
    )
    async def retrieve(self, http: Request, model_id: str) -> HTTPResponse:
        """Names such as mlx-community/gpt-oss-20b hold slashes, sent as they are or as %2F.

        None at all is the list with a slash behind it, which this path takes from that one.
        """
        services = self.services
        model_id = model_id.rstrip("/")
        if not model_id:
            return await self.list(http)
        if model_id != services.model.name:
            raise NotFound(
                f"The model '{model_id}' does not exist; this server has '{services.model.name}'.",
                param="model",
                code="model_not_found",
            )
        return json_response(to_model(services.model, services.turns.context_tokens))


class ModelControlRoutes(Routes):
    """Have the model in memory, or not.

    They answer once it is done; a client that leaves gives it up. The answer tells the ``status``
    that was reached, and ``memory`` as ``/health`` does.
    """

    group = "model"

    @serves(
        Endpoint(
            "POST",
            "/mlxoss/load",
            "Load the model, and answer once it is there.",
            _control,
            query=(_WARM,),
            is_slow=True,
        )
    )
    async def load(self, http: Request) -> HTTPResponse:
        """Have it in memory; with ``warm``, and what most conversations begin with computed."""
        is_warm = read_flag(http, "warm")
        await refuse_body(http)
        await self.services.engine.load()
        await self.services.turns.encoding.get()
        if not is_warm:
            return _done({"status": ServerStatus.OK})
        warmed = await self.services.turns.warmer.warm_now()
        return _done({"status": ServerStatus.OK, "warmed": warmed})

    @serves(
        Endpoint(
            "POST",
            "/mlxoss/unload",
            "Give the model's memory back once the requests that run are answered.",
            _control,
            is_slow=True,
        )
    )
    async def unload(self, http: Request) -> HTTPResponse:
        """Give its memory back."""
        await refuse_body(http)
        await self.services.engine.unload()
        return _done({"status": ServerStatus.UNLOADED})


def _done(reached: JsonObject) -> HTTPResponse:
    return json_response({**reached, "memory": read_memory(model_is_loaded=True)})
