"""``GET /health``: whether the server can work, how busy it is, how much it keeps."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss import __version__
from mlxoss.errors import StoreError
from mlxoss.server.http import App, json_response
from mlxoss.server.services import ServerStatus, Services

_STORE_S = 0.2
"""How long to wait for the store's size: an answer without it beats a late one."""


def add_health_route(app: App, services: Services) -> None:
    """Serve ``/health``: 503 when the model could not be loaded, else 200, while loading too."""

    async def health(request: Request) -> HTTPResponse:
        status = services.status
        report = _to_json(services, status) | await _store_size(services)
        return json_response(report, status=503 if status is ServerStatus.FAILED else 200)

    app.add_route(health, "/health", methods=["GET", "HEAD"], name="health")


async def _store_size(services: Services) -> dict[str, Any]:
    """How much is kept; nothing when the store cannot say so now."""
    try:
        stats = await asyncio.wait_for(services.state.store.stats(), _STORE_S)
    except (StoreError, TimeoutError):
        return {}
    size = {
        "responses": stats.responses,
        "conversations": stats.conversations,
        "bytes": stats.bytes,
    }
    return {"store": size}


def _to_json(services: Services, status: ServerStatus) -> dict[str, Any]:
    engine = services.engine.status()
    report: dict[str, Any] = {
        "status": status.value,
        "model": services.model.name,
        "version": __version__,
        "pid": os.getpid(),
        "uptime_s": round(services.clock() - services.started_at, 3),
        "active_requests": engine.active,
        "queued_requests": engine.waiting,
        "oldest_wait_s": round(engine.oldest_wait_s, 3),
        "refused_requests": engine.refused,
        "decode_tokens_per_s": round(engine.decode_tokens_per_s, 2),
        "prefill_tokens_per_s": round(engine.prefill_tokens_per_s, 2),
        "harmony_recoveries": dict(services.recoveries),
    }
    if status is ServerStatus.FAILED:
        report["error"] = engine.error or services.encoding.error
    return report
