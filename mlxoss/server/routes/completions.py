"""``POST /v1/completions``."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import TURN, Endpoint, Shapes
from mlxoss.server.routing import Routes, serves


def _completion() -> Shapes:
    from mlxoss.api.completions.answers import Completion
    from mlxoss.api.completions.request import CompletionRequest

    return Shapes(Completion, CompletionRequest, events=Completion)


class CompletionRoutes(Routes):
    """Completions of raw prompts."""

    group = "completions"

    def preload(self) -> None:
        """Import what turns need."""
        from mlxoss.server.http import answer  # noqa: F401
        from mlxoss.turns import completions  # noqa: F401

    @serves(
        Endpoint("POST", "/v1/completions", "Go on from raw prompts.", _completion, errors=TURN)
    )
    async def complete(self, http: Request) -> HTTPResponse | None:
        """Answer one request, in a stream or as a whole."""
        from mlxoss.api.completions.request import parse_completion_request
        from mlxoss.server.http.answer import answer_turn
        from mlxoss.turns.completions import start_completion

        return await answer_turn(http, self.services, parse_completion_request, start_completion)
