"""Batches of events as one SSE answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from sanic import Request

from mlxoss.api.sse import DONE, encode_event, encode_named
from mlxoss.server.http import to_error
from mlxoss.server.request_log import RequestLog
from mlxoss.server.services import Services
from mlxoss.server.stream import EventStream

# Usage counts the reasoning of earlier turns that is in the prompt: Codex need not guess it.
_HEADERS = {"x-reasoning-included": "true"}

Batches = AsyncIterator[Sequence[dict[str, Any]]]


async def send_events(http: Request, services: Services, batches: Batches) -> None:
    """Send named events, and ``[DONE]`` after the last; see ``EventStream.send_batches``."""

    def to_failure(error: Exception) -> bytes:
        return encode_named([{**to_error(http, error).body["error"], "type": "error"}])

    async with EventStream(http, heartbeat_s=services.heartbeat_s, headers=_HEADERS) as stream:
        await stream.send_batches(batches, encode_named, to_failure)
        await stream.send(DONE)


async def send_chunks(http: Request, services: Services, batches: Batches, log: RequestLog) -> None:
    """Send chunks without names, and ``[DONE]`` if nothing failed."""

    def to_failure(error: Exception) -> bytes:
        log.failure = error
        return encode_event(to_error(http, error).body, event="error")

    async with EventStream(http, heartbeat_s=services.heartbeat_s) as stream:
        if await stream.send_batches(batches, _encode_chunks, to_failure):
            await stream.send(DONE)


def _encode_chunks(chunks: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(map(encode_event, chunks))
