"""``GET /v1/models`` and ``/v1/models/{id}``; ``POST /mlxoss/load`` and ``/mlxoss/unload``."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.models import to_model, to_model_list
from mlxoss.api.openapi.endpoint import Endpoint, QueryParameter, Shapes
from mlxoss.core import JsonObject
from mlxoss.errors import NotFound
from mlxoss.server.http.bodies import json_response, refuse_body
from mlxoss.server.http.errors import asks_as_anthropics
from mlxoss.server.http.query import read_flag, read_list, read_query
from mlxoss.server.monitor.memory import read_memory
from mlxoss.server.routing import Routes, serves
from mlxoss.server.services import ServerStatus

_ANTHROPICS = "Of the list that 'anthropic-version' asks for"
_PAGE = (
    QueryParameter("after_id", f"{_ANTHROPICS}: begin behind this model.", {"type": "string"}),
    QueryParameter("before_id", f"{_ANTHROPICS}: end before this model.", {"type": "string"}),
    QueryParameter(
        "limit",
        f"{_ANTHROPICS}: how many models.",
        {"type": "integer", "minimum": 1, "maximum": 1000, "default": 20},
    ),
)
_WARM = QueryParameter(
    "warm",
    "Compute what most conversations begin with, too, and answer after that.",
    {"type": "boolean", "default": False},
)


def _models() -> Shapes:
    from mlxoss.api.messages.models import AnyError, AnyModelList

    return Shapes(AnyModelList, error=AnyError)


def _model() -> Shapes:
    from mlxoss.api.messages.models import AnyError, AnyModel

    return Shapes(AnyModel, error=AnyError)


def _control() -> Shapes:
    from mlxoss.api.monitor import ControlReport

    return Shapes(ControlReport)


class ModelRoutes(Routes):
    """The list of the one loaded model, in the shape that the client knows."""

    group = "models"

    def preload(self) -> None:
        """Import what Anthropic's clients need."""
        from mlxoss.api.messages import models  # noqa: F401

    @serves(Endpoint("GET", "/v1/models", "List models.", _models, query=_PAGE, has_head=True))
    async def list(self, http: Request) -> HTTPResponse:
        """It alone."""
        from mlxoss.api.messages import models

        model, context_tokens = self.services.model, self.services.turns.context_tokens
        is_there = models.is_on_page(model, read_query(http), read_list(http, "lifecycle"))
        if not asks_as_anthropics(http):
            return json_response(to_model_list(model, context_tokens))
        told = [models.to_messages_model(model, context_tokens)] if is_there else []
        return json_response(models.to_messages_models(told))

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
        from mlxoss.api.messages.models import to_messages_model

        model = self.services.model
        model_id = model_id.rstrip("/")
        if not model_id:
            return await self.list(http)
        if model_id != model.name:
            raise NotFound(
                f"The model '{model_id}' does not exist; this server has '{model.name}'.",
                param="model",
                code="model_not_found",
            )
        tell = to_messages_model if asks_as_anthropics(http) else to_model
        return json_response(tell(model, self.services.turns.context_tokens))


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
