"""``GET /health``: whether the server can work, and how busy it is."""

from __future__ import annotations

import os
from dataclasses import asdict

from sanic import HTTPResponse, Request

from mlxoss import __version__
from mlxoss.api.openapi.endpoint import Endpoint, Shapes
from mlxoss.core import JsonObject
from mlxoss.engine.status import EngineState
from mlxoss.server.http.bodies import json_response
from mlxoss.server.monitor.memory import read_memory
from mlxoss.server.monitor.store_counts import StoreCounts
from mlxoss.server.monitor.tools import read_tools
from mlxoss.server.routing import Routes, serves
from mlxoss.server.services import ServerStatus, Services

MOST_RUNNING = 16
"""Of the requests that wait or run so many are told of; ``/mlxoss/requests`` tells of all."""


def _health() -> Shapes:
    from mlxoss.api.monitor import HealthReport

    return Shapes(HealthReport)


class HealthRoutes(Routes):
    """``/health``: 503 when the model could not be loaded, else 200, while loading too.

    It never waits for the model, and for the disk a hundredth of a second. ``memory`` is as
    ``read_memory`` says. ``store`` counts what is kept (``mlxoss.store.values.Stats``); while
    the disk is slow its figures are those of an earlier moment, or missing before the first.
    ``tools`` is as ``read_tools`` says.
    ``problems`` (``mlxoss.findings.DaemonProblem``) tells what is wrong although the server serves.
    ``prefix_cache`` (``mlxoss.engine.backend.PrefixCacheStatus``) is there once a model is loaded.
    ``ranks`` (``mlxoss.engine.ranks.values.RanksStatus``) is there where several hosts share it.
    Who has no key where one is needed is told the status alone.
    """

    group = "health"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._counts = StoreCounts(services)

    @serves(
        Endpoint(
            "GET",
            "/health",
            "Whether the server can work, and how busy it is.",
            _health,
            statuses=(200, 503),
            has_head=True,
            needs_key=False,
        )
    )
    async def report(self, http: Request) -> HTTPResponse:
        """As much of it as the caller may know."""
        status = self.services.status
        report: JsonObject = {"status": status.value}
        if http.ctx.is_known:
            report = _to_json(self.services, status, await self._counts.latest())
        return json_response(report, status=503 if status is ServerStatus.FAILED else 200)


def _to_json(services: Services, status: ServerStatus, store: dict[str, int] | None) -> JsonObject:
    engine = services.engine.status()
    report: JsonObject = {
        "status": status.value,
        "model": services.model.name,
        "version": __version__,
        "pid": os.getpid(),
        "uptime_s": round(services.clock() - services.started_at, 3),
        "active_requests": engine.active,
        "queued_requests": engine.waiting,
        "paused_requests": engine.paused,
        "pauses": engine.pauses,
        "context_tokens": services.turns.context_tokens,
        "oldest_wait_s": round(engine.oldest_wait_s, 3),
        "running": services.requests.running(services.engine)[:MOST_RUNNING],
        "max_active_requests": services.config.max_batch,
        "max_queued_requests": services.config.max_queue,
        "refused_requests": engine.refused,
        "decode_tokens_per_s": round(engine.decode_tokens_per_s, 2),
        "prefill_tokens_per_s": round(engine.prefill_tokens_per_s, 2),
        "harmony_recoveries": dict(services.turns.recoveries),
        "memory": read_memory(model_is_loaded=engine.state is EngineState.OK),
        "awake": services.turns.awake.to_json(),
        "tools": read_tools(services),
        "problems": [asdict(problem) for problem in services.problems()],
    }
    if engine.prefix_cache is not None:
        report["prefix_cache"] = asdict(engine.prefix_cache)
    if engine.ranks is not None:
        report["ranks"] = asdict(engine.ranks)
    if store is not None:
        report["store"] = store
    if status is ServerStatus.FAILED:
        report["error"] = engine.error or services.turns.encoding.error
    return report
