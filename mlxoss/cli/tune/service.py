"""The service beside the measuring: without its model meanwhile, and with it again afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlxoss.cli.client.http import Server
from mlxoss.errors import MlxossError
from mlxoss.service.health import Answered, Health

_LOADED = ("ok", "loading")
_BUSY = ("active_requests", "queued_requests", "paused_requests")


@dataclass(slots=True)
class Beside:
    """Whether the service stayed ``quiet`` while others measured; true without a service."""

    quiet: bool = True
    notes: list[str] = field(default_factory=list)


@contextmanager
def without_model(server: Server, health: Health) -> Iterator[Beside]:
    """Have the service give its memory back for the block, and load the model again if it had.

    Raises ``MlxossError`` while it has requests: their answers would wait, and the figures suffer.
    """
    beside = Beside()
    if not isinstance(health, Answered):
        yield beside
        return
    report = health.document
    busy = sum(_number(report, name) for name in _BUSY)
    if busy:
        what = "1 request" if busy == 1 else f"{busy} requests"
        raise MlxossError(f"The service has {what} in progress: run mlxoss tune when it has none.")
    had = report.get("status") in _LOADED
    if had:
        server.ask("POST", "/mlxoss/unload", patient=True)
    try:
        yield beside
        beside.quiet = _ask_status(server) not in _LOADED
    finally:
        if had:
            server.ask("POST", "/mlxoss/load", patient=True)


def _ask_status(server: Server) -> str:
    return str(server.ask("GET", "/health").get("status"))


def _number(report: Mapping[str, Any], name: str) -> int:
    found = report.get(name, 0)
    return found if isinstance(found, int) else 0
