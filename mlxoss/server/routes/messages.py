"""``POST /v1/messages`` and its counting."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import BODY, TURN, Endpoint, Shapes
from mlxoss.server.http.bodies import json_response, read_json_object
from mlxoss.server.routing import Routes, serves


def _message() -> Shapes:
    from mlxoss.api.answers import MessagesError
    from mlxoss.api.messages.answers import MessagesEvent, MessagesMessage
    from mlxoss.api.messages.request import MessagesRequest

    return Shapes(MessagesMessage, MessagesRequest, MessagesEvent, MessagesError)


def _count() -> Shapes:
    from mlxoss.api.answers import MessagesError
    from mlxoss.api.messages.answers import MessagesTokenCount
    from mlxoss.api.messages.request import MessagesPromptFields

    return Shapes(MessagesTokenCount, MessagesPromptFields, error=MessagesError)


class MessageRoutes(Routes):
    """Messages as Anthropic's API has them."""

    group = "messages"

    def preload(self) -> None:
        """Import what turns need."""
        from mlxoss.server.http import answer  # noqa: F401
        from mlxoss.turns import messages  # noqa: F401

    @serves(
        Endpoint(
            "POST",
            "/v1/messages",
            "Answer messages as Anthropic's API has them.",
            _message,
            errors=TURN,
            is_messages=True,
        )
    )
    async def create(self, http: Request) -> HTTPResponse | None:
        """Answer one request, in a stream or as a whole."""
        from mlxoss.api.messages.attachments import find_files
        from mlxoss.api.messages.request import parse_messages_request
        from mlxoss.server.http.answer import answer_turn
        from mlxoss.turns.messages import start_message

        parse = parse_messages_request
        return await answer_turn(http, self.services, parse, start_message, find_files)

    @serves(
        Endpoint(
            "POST",
            "/v1/messages/count_tokens",
            "Count a prompt's tokens.",
            _count,
            errors=BODY,
            is_messages=True,
        )
    )
    async def count_tokens(self, http: Request) -> HTTPResponse:
        """The length of the prompt, to the token."""
        from mlxoss.api.messages.attachments import find_files
        from mlxoss.api.messages.request import parse_count_tokens_request
        from mlxoss.turns.files import read_files
        from mlxoss.turns.messages import count_tokens

        value = await read_json_object(http)
        await read_files(self.services.turns, find_files(value))
        request = parse_count_tokens_request(value)
        count = await count_tokens(self.services.turns, request)
        return json_response({"input_tokens": count})
