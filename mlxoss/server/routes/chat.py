"""``POST /v1/chat/completions``."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import TURN, Endpoint, Shapes
from mlxoss.server.routing import Routes, serves


def _completion() -> Shapes:
    from mlxoss.api.chat.answers import ChatCompletion, ChatCompletionChunk
    from mlxoss.api.chat.request import ChatRequest

    return Shapes(ChatCompletion, ChatRequest, ChatCompletionChunk)


class ChatRoutes(Routes):
    """Chat completions."""

    group = "chat"

    def preload(self) -> None:
        """Import what turns need."""
        from mlxoss.server.http import answer  # noqa: F401
        from mlxoss.turns import chat  # noqa: F401

    @serves(Endpoint("POST", "/v1/chat/completions", "Answer a chat.", _completion, errors=TURN))
    async def complete(self, http: Request) -> HTTPResponse | None:
        """Answer one request, in a stream or as a whole."""
        from mlxoss.api.chat.attachments import find_files
        from mlxoss.api.chat.request import parse_chat_request
        from mlxoss.server.http.answer import answer_turn
        from mlxoss.turns.chat import start_chat

        return await answer_turn(http, self.services, parse_chat_request, start_chat, find_files)
