"""The endpoints that tell in numbers what there was to do."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from sanic import HTTPResponse, Request

from mlxoss.api.openapi.endpoint import Endpoint, QueryParameter, Shapes
from mlxoss.api.query import read_number
from mlxoss.server.http.bodies import json_response
from mlxoss.server.http.query import read_query
from mlxoss.server.monitor.store_counts import StoreCounts
from mlxoss.server.routing import Routes, serves
from mlxoss.server.services import Services
from mlxoss.store.usage import KEPT_DAYS
from mlxoss.turns.request_log import RequestRecord

if TYPE_CHECKING:
    from mlxoss.server.monitor.metrics import Metrics

_TEXT = "text/plain"
_FORMAT = f"{_TEXT}; version=0.0.4; charset=utf-8"
"""Source: Prometheus, "Exposition formats"."""


def _requests() -> Shapes:
    from mlxoss.api.monitor import RequestsReport

    return Shapes(RequestsReport)


def _usage() -> Shapes:
    from mlxoss.api.monitor import UsageReports

    return Shapes(UsageReports)


_DAYS = QueryParameter(
    "days",
    "How many days, today's among them.",
    {"type": "integer", "minimum": 1, "maximum": KEPT_DAYS, "default": 1},
)


class MonitorRoutes(Routes):
    """Figures of the turns that ended."""

    group = "monitor"

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._counts = StoreCounts(services)
        services.requests.on_end(self._count)

    def preload(self) -> None:
        """Import what counts them."""
        from mlxoss.server.monitor import metrics  # noqa: F401

    @cached_property
    def _metrics(self) -> Metrics:
        """Made when first needed: prometheus-client takes its time."""
        from mlxoss.server.monitor.metrics import Metrics

        return Metrics(self.services)

    def _count(self, record: RequestRecord) -> None:
        self._metrics.count(record)

    @serves(Endpoint("GET", "/metrics", "Figures for Prometheus.", media=_TEXT, has_head=True))
    async def metrics(self, http: Request) -> HTTPResponse:
        """All figures there are."""
        body = self._metrics.render(await self._counts.latest())
        return HTTPResponse(body, content_type=_FORMAT)

    @serves(
        Endpoint(
            "GET",
            "/mlxoss/requests",
            "The last requests for a turn, and those that wait or run: sizes and times, and words "
            "if the settings ask for them.",
            _requests,
        )
    )
    async def requests(self, http: Request) -> HTTPResponse:
        """The last requests, the newest first, and what runs."""
        requests = self.services.requests
        running = requests.running(self.services.engine)
        return json_response({"object": "list", "data": requests.to_json(), "running": running})

    @serves(
        Endpoint(
            "GET",
            "/mlxoss/usage",
            "Tokens by day and client.",
            _usage,
            query=(_DAYS,),
        )
    )
    async def usage(self, http: Request) -> HTTPResponse:
        """The last days, today last."""
        days = read_number(read_query(http), "days", range(1, KEPT_DAYS + 1), default=1)
        rows = await self.services.usage.read(days)
        return json_response({"object": "list", "data": [row.to_json() for row in rows]})
