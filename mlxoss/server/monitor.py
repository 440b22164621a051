"""``GET /metrics`` and ``GET /mlxoss/requests``: what there was to do, in numbers."""

from __future__ import annotations

from sanic import HTTPResponse, Request

from mlxoss.api.endpoint import Endpoint
from mlxoss.server.endpoints import add_endpoint
from mlxoss.server.http import App, json_response
from mlxoss.server.services import Services
from mlxoss.server.store_counts import StoreCounts

_TEXT = "text/plain"
_FORMAT = f"{_TEXT}; version=0.0.4; charset=utf-8"
"""Source: Prometheus, "Exposition formats"."""

_METRICS = Endpoint(
    "monitor", "metrics", "GET", "/metrics", "Figures for Prometheus.", media=_TEXT, has_head=True
)
_REQUESTS = Endpoint(
    "monitor",
    "requests",
    "GET",
    "/mlxoss/requests",
    "The last requests for a turn: sizes and times, and words if the settings ask for them.",
    answer="FinishedRequests",
)


def add_monitor_routes(app: App, services: Services) -> None:
    """Serve both on ``app``."""
    counts = StoreCounts(services)

    async def metrics(request: Request) -> HTTPResponse:
        return HTTPResponse(services.metrics.render(await counts.latest()), content_type=_FORMAT)

    async def requests(request: Request) -> HTTPResponse:
        return json_response({"object": "list", "data": services.records.to_json()})

    add_endpoint(app, _METRICS, metrics)
    add_endpoint(app, _REQUESTS, requests)
