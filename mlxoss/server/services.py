"""What every route needs, made once per app. All of it belongs to the event loop's thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from mlxoss.api.openapi.endpoint import NamedEndpoint
from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.engine.status import EngineState
from mlxoss.findings import DaemonProblem
from mlxoss.server.storage import Storage
from mlxoss.server.usage import UsageLog
from mlxoss.turns.context import TurnContext
from mlxoss.turns.request_log import RequestLog


class ServerStatus(StrEnum):
    """The ``status`` of ``/health``."""

    LOADING = "loading"
    OK = "ok"
    UNLOADED = "unloaded"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(slots=True)
class Services:
    """The parts of one server.

    ``heartbeat_s`` is the longest silence of a stream, ``endpoints`` are what it serves. ``open``
    is called before the first request.
    """

    turns: TurnContext
    heartbeat_s: float
    endpoints: list[NamedEndpoint] = field(default_factory=list)
    requests: RequestLog = field(init=False)
    usage: UsageLog = field(init=False)
    started_at: float = field(init=False)
    storage: Storage = field(init=False)

    def __post_init__(self) -> None:
        self.requests = RequestLog(self.clock)
        self.usage = UsageLog(self.requests, lambda: self.storage.turns.store)
        self.started_at = self.clock()

    def open(self, storage: Storage) -> None:
        """Work with ``storage`` from here on."""
        self.storage = storage
        self.turns.storage = storage.turns

    def problems(self) -> list[DaemonProblem]:
        """What is wrong although it serves. Microseconds, on the event loop's thread."""
        asleep = self.turns.awake.problem()
        return [*self.storage.problems(), *([] if asleep is None else [asleep])]

    @property
    def open_paths(self) -> frozenset[str]:
        """The paths that need no key."""
        return frozenset(
            named.endpoint.path for named in self.endpoints if not named.endpoint.needs_key
        )

    @property
    def config(self) -> Config:
        """The settings in force."""
        return self.turns.config

    @property
    def engine(self) -> Engine:
        """What runs the model."""
        return self.turns.engine

    @property
    def model(self) -> ModelInfo:
        """What is known of the model."""
        return self.turns.model

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds since any moment."""
        return self.turns.clock

    @property
    def status(self) -> ServerStatus:
        """What ``/health`` reports, the engine and the encoding taken together."""
        state, turns = self.engine.status().state, self.turns
        if turns.is_stopping or state is EngineState.CLOSED:
            return ServerStatus.STOPPING
        if state is EngineState.FAILED or turns.encoding.error is not None:
            return ServerStatus.FAILED
        if state is EngineState.UNLOADED:
            return ServerStatus.UNLOADED
        if state is EngineState.LOADING or not turns.encoding.is_loaded:
            return ServerStatus.LOADING
        return ServerStatus.OK
