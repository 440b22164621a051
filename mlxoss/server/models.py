"""``GET /v1/models`` and ``GET /v1/models/{id}``."""

from __future__ import annotations

from urllib.parse import unquote

from sanic import HTTPResponse, Request

from mlxoss.api.endpoint import Endpoint
from mlxoss.api.models import to_model, to_model_list
from mlxoss.errors import NotFound
from mlxoss.server.endpoints import add_endpoint
from mlxoss.server.http import App, json_response
from mlxoss.server.services import Services

_LIST = Endpoint(
    "models", "list", "GET", "/v1/models", "List models.", answer="ModelList", has_head=True
)
_MODEL = Endpoint(
    "models",
    "retrieve",
    "GET",
    "/v1/models/<model_id:path>",
    "Tell of a model; its id may hold slashes.",
    answer="Model",
    errors=(404,),
    has_head=True,
)


def add_model_routes(app: App, services: Services) -> None:
    """Serve the list of the one loaded model on ``app``."""

    async def list_models(request: Request) -> HTTPResponse:
        return json_response(to_model_list(services.model, services.context_tokens))

    async def get_model(request: Request, model_id: str) -> HTTPResponse:
        # Names such as mlx-community/gpt-oss-20b hold slashes, sent as they are or as %2F.
        name = unquote(model_id)
        if name != services.model.name:
            raise NotFound(
                f"The model '{name}' does not exist; this server has '{services.model.name}'.",
                param="model",
                code="model_not_found",
            )
        return json_response(to_model(services.model, services.context_tokens))

    add_endpoint(app, _LIST, list_models)
    add_endpoint(app, _MODEL, get_model)
