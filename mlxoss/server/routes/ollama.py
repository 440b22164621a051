"""Ollama's API as far as programs need it that know nothing else; chats, and who has a model."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import BODY, TURN, Endpoint, Shapes
from mlxoss.api.times import to_rfc3339
from mlxoss.core import JsonObject
from mlxoss.engine.status import EngineState
from mlxoss.server.http.bodies import json_response, read_json_object
from mlxoss.server.monitor.memory import read_memory
from mlxoss.server.routing import Routes, serves

if TYPE_CHECKING:  # what shapes import is slow
    from mlxoss.api.ollama.request import KeepAlive, OllamaChatRequest

_NDJSON = "application/x-ndjson"


def _chat() -> Shapes:
    from mlxoss.api.answers import OllamaError
    from mlxoss.api.ollama.answers import OllamaChat, OllamaChatLine
    from mlxoss.api.ollama.request import OllamaChatRequest

    return Shapes(OllamaChat, OllamaChatRequest, OllamaChatLine, OllamaError, _NDJSON)


def _generate() -> Shapes:
    from mlxoss.api.answers import OllamaError
    from mlxoss.api.ollama.answers import OllamaLoaded
    from mlxoss.api.ollama.request import OllamaGenerateRequest

    return Shapes(OllamaLoaded, OllamaGenerateRequest, error=OllamaError)


def _show() -> Shapes:
    from mlxoss.api.answers import OllamaError
    from mlxoss.api.ollama.answers import OllamaModelReport
    from mlxoss.api.ollama.request import OllamaShowRequest

    return Shapes(OllamaModelReport, OllamaShowRequest, error=OllamaError)


def _tags() -> Shapes:
    from mlxoss.api.answers import OllamaError
    from mlxoss.api.ollama.answers import OllamaModelList

    return Shapes(OllamaModelList, error=OllamaError)


def _ps() -> Shapes:
    from mlxoss.api.answers import OllamaError
    from mlxoss.api.ollama.answers import OllamaLoadedModels

    return Shapes(OllamaLoadedModels, error=OllamaError)


def _version() -> Shapes:
    from mlxoss.api.answers import OllamaError
    from mlxoss.api.ollama.answers import OllamaVersion

    return Shapes(OllamaVersion, error=OllamaError)


class OllamaRoutes(Routes):
    """Ollama's door: its chats are chat completions, its model is the one that there is."""

    group = "ollama"

    def preload(self) -> None:
        """Import what turns need."""
        from mlxoss.api.ollama import models  # noqa: F401
        from mlxoss.server.http import answer  # noqa: F401
        from mlxoss.turns import ollama  # noqa: F401

    @serves(Endpoint("POST", "/api/chat", "Answer a chat as Ollama does.", _chat, errors=TURN))
    async def chat(self, http: Request) -> HTTPResponse | None:
        """Answer one request, in a stream or as a whole; without messages load or unload."""
        from mlxoss.api.ollama.request import parse_ollama_chat
        from mlxoss.server.http.answer import answer_turn
        from mlxoss.turns.ollama import start_ollama_chat

        async def change(chat: OllamaChatRequest) -> HTTPResponse | None:
            if chat.messages:
                return None
            reached = await self._load_or_unload(chat.keep_alive)
            return json_response({**reached, "message": {"role": "assistant", "content": ""}})

        return await answer_turn(
            http, self.services, parse_ollama_chat, start_ollama_chat, instead=change
        )

    @serves(
        Endpoint(
            "POST", "/api/generate", "Load or unload the model as Ollama does.", _generate,
            errors=BODY,
        )
    )  # fmt: skip
    async def generate(self, http: Request) -> HTTPResponse:
        """What clients that have no prompt send to have the model in memory, or not."""
        from mlxoss.api.ollama.request import parse_ollama_generate

        request = parse_ollama_generate(await read_json_object(http))
        return json_response({**await self._load_or_unload(request.keep_alive), "response": ""})

    @serves(Endpoint("POST", "/api/show", "Tell of the model as Ollama does.", _show, errors=BODY))
    async def show(self, http: Request) -> HTTPResponse:
        """The model that there is, whatever name was sent."""
        from mlxoss.api.ollama.models import to_model_report
        from mlxoss.api.ollama.request import parse_ollama_show

        parse_ollama_show(await read_json_object(http))
        services = self.services
        return json_response(to_model_report(services.model, services.turns.context_tokens))

    @serves(Endpoint("GET", "/api/tags", "List models as Ollama does.", _tags, has_head=True))
    async def tags(self, http: Request) -> HTTPResponse:
        """It alone."""
        from mlxoss.api.ollama.models import to_ollama_model

        return json_response({"models": [to_ollama_model(self.services.model)]})

    @serves(Endpoint("GET", "/api/ps", "List models in memory as Ollama does.", _ps, has_head=True))
    async def ps(self, http: Request) -> HTTPResponse:
        """It, if it is there."""
        from mlxoss.api.ollama.models import to_loaded_model

        services = self.services
        if services.engine.status().state is not EngineState.OK:
            return json_response({"models": []})
        told = to_loaded_model(
            services.model,
            services.turns.context_tokens,
            held_bytes=read_memory(model_is_loaded=True).get("active_bytes", 0),
            until=self._leaves_at(),
        )
        return json_response({"models": [told]})

    @serves(Endpoint("GET", "/api/version", "Tell whose API it is like.", _version, has_head=True))
    async def version(self, http: Request) -> HTTPResponse:
        """That of Ollama, since clients compare it."""
        from mlxoss.api.ollama.models import VERSION

        return json_response({"version": VERSION})

    async def _load_or_unload(self, keep_alive: KeepAlive | None) -> JsonObject:
        from mlxoss.api.ollama.request import asks_to_unload

        services = self.services
        if is_over := asks_to_unload(keep_alive):
            await services.engine.unload()
        else:
            await services.engine.load()
            await services.turns.encoding.get()
        return {
            "model": services.model.name,
            "created_at": to_rfc3339(time.time()),
            "done": True,
            "done_reason": "unload" if is_over else "load",
        }

    def _leaves_at(self) -> float:
        """When the model leaves the memory if nobody asks, a Unix time in seconds."""
        from mlxoss.api.ollama.models import NEVER

        idle_unload_s = 60.0 * self.services.config.idle_unload
        left_s = max(0.0, idle_unload_s - self.services.turns.idle_s)
        return time.time() + left_s if idle_unload_s else NEVER
