"""Batches of named events as one SSE answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any

from sanic import Request

from mlxoss.api.sse import DONE, encode_event
from mlxoss.server.http import to_error
from mlxoss.server.services import Services
from mlxoss.server.stream import EventStream

# Usage counts the reasoning of earlier turns that is in the prompt: Codex need not guess it.
_HEADERS = {"x-reasoning-included": "true"}

Batches = AsyncIterator[Sequence[dict[str, Any]]]


async def send_events(http: Request, services: Services, batches: Batches) -> None:
    """Send each batch in one write, and ``[DONE]`` after the last.

    A failure is raised before the first byte; after it, it is an ``error`` event.
    """
    async with EventStream(http, heartbeat_s=services.heartbeat_s, headers=_HEADERS) as stream:
        try:
            async with aclosing(batches) as open_batches:  # type: ignore[type-var]
                async for events in open_batches:
                    await stream.send(b"".join(encode_event(e, event=e["type"]) for e in events))
        except Exception as error:
            if not stream.has_begun:
                raise
            body = to_error(http, error).body["error"]
            event = {**body, "type": "error"}
            await stream.send(encode_event(event, event="error"))
        await stream.send(DONE)
