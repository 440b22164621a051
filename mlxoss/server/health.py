"""``GET /health``: whether the server can work, and how busy it is."""

from __future__ import annotations

import os
from typing import Any

from sanic import HTTPResponse, Request

from mlxoss import __version__
from mlxoss.server.http import App, json_response
from mlxoss.server.services import ServerStatus, Services


def add_health_route(app: App, services: Services) -> None:
    """Serve ``/health``: 503 when the model could not be loaded, else 200, while loading too.

    Who has no key where one is needed is told the status alone.
    """

    async def health(request: Request) -> HTTPResponse:
        status = services.status
        known = request.ctx.is_known
        report = _to_json(services, status) if known else {"status": status.value}
        return json_response(report, status=503 if status is ServerStatus.FAILED else 200)

    app.add_route(health, "/health", methods=["GET", "HEAD"], name="health")


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
