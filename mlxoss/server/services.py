"""What every route needs, made once per app. All of it belongs to the event loop's thread."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.engine.state import EngineState
from mlxoss.errors import ContextLengthExceeded, MemoryExceeded, ModelUnavailable
from mlxoss.server.key_limit import KeyLimit
from mlxoss.server.state import State
from mlxoss.server.turn_records import TurnRecord, TurnRecords

if TYPE_CHECKING:  # openai-harmony takes longer to import than all of the server
    from mlxoss.harmony.encoding import Encoding
    from mlxoss.server.background import BackgroundRun
    from mlxoss.server.metrics import Metrics

logger = logging.getLogger(__name__)


class ServerStatus(StrEnum):
    """The ``status`` of ``/health``."""

    LOADING = "loading"
    OK = "ok"
    UNLOADED = "unloaded"
    FAILED = "failed"
    STOPPING = "stopping"


class EncodingLoader:
    """Loads the encoding on another thread, once, when first started or asked for."""

    def __init__(self, load: Callable[[], Encoding]) -> None:
        self._load = load
        self._task: asyncio.Task[Encoding] | None = None

    def start(self) -> asyncio.Task[Encoding]:
        """Begin to load unless that has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(asyncio.to_thread(self._load))
            self._task.add_done_callback(_log_failure)
        return self._task

    async def get(self) -> Encoding:
        """The encoding, once loaded. Raises ModelUnavailable when it cannot be."""
        task = self.start()
        await asyncio.wait({task})
        if error := task.exception():
            raise ModelUnavailable(f"The vocabulary is not available: {error}")
        return task.result()

    @property
    def is_loaded(self) -> bool:
        """Whether ``get`` returns at once."""
        return self._task is not None and self._task.done() and self.error is None

    @property
    def error(self) -> str | None:
        """Why it cannot be loaded, if so."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        error = self._task.exception()
        return None if error is None else str(error)


def _log_failure(task: asyncio.Task[Encoding]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the vocabulary could not be loaded", exc_info=error)


@dataclass(slots=True)
class Services:
    """The parts and the counters of one server.

    ``heartbeat_s`` is the longest silence of a stream. ``recoveries`` counts, by
    kind, where the parser put the model's output right. ``is_stopping`` refuses
    new turns while those in progress finish. ``state`` is set before the first
    request; ``background`` holds the background responses that run, by id, ``records``
    what is remembered of turns that ended.
    """

    config: Config
    engine: Engine
    model: ModelInfo
    encoding: EncodingLoader
    heartbeat_s: float
    clock: Callable[[], float] = time.monotonic
    recoveries: Counter[str] = field(default_factory=Counter)
    is_stopping: bool = False
    turns_in_progress: int = 0
    state: State = field(init=False)
    key_limit: KeyLimit = field(init=False)
    background: dict[str, BackgroundRun] = field(default_factory=dict)
    records: TurnRecords = field(default_factory=TurnRecords)
    started_at: float = field(init=False)
    _metrics: Metrics | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        engine = self.engine
        self.key_limit = KeyLimit(self.config.max_requests_per_key, lambda: engine.retry_after_s)
        self.started_at = self.clock()

    @property
    def metrics(self) -> Metrics:
        """What ``/metrics`` tells, made when first needed: prometheus-client takes its time."""
        if self._metrics is None:
            from mlxoss.server.metrics import Metrics

            self._metrics = Metrics(self)
        return self._metrics

    def note(self, record: TurnRecord) -> None:
        """A turn ended."""
        self.records.add(record)
        self.metrics.count(record)

    @property
    def context_tokens(self) -> int:
        """The longest sequence served, prompt and answer together.

        What the memory holds is known once the model was loaded; until then the engine cuts.
        """
        return min(self._own_tokens, self.engine.most_tokens or self._own_tokens)

    @property
    def _own_tokens(self) -> int:
        own = self.model.context_tokens
        return min(own, self.config.context_length or own)

    def too_long(self, prompt_tokens: int, param: str) -> ContextLengthExceeded:
        """The error for a prompt that leaves no room for an answer."""
        most = self.context_tokens
        if most < self._own_tokens:
            return MemoryExceeded(prompt_tokens, most, param=param)
        return ContextLengthExceeded(prompt_tokens, most, param=param)

    @property
    def limit_s(self) -> float | None:
        """The longest that a turn may take."""
        return self.config.request_timeout or None

    @property
    def date(self) -> datetime.date:
        """The day the model is told."""
        return self.config.date or datetime.date.today()

    @property
    def status(self) -> ServerStatus:
        """What ``/health`` reports, the engine and the encoding taken together."""
        state = self.engine.status().state
        if self.is_stopping or state is EngineState.CLOSED:
            return ServerStatus.STOPPING
        if state is EngineState.FAILED or self.encoding.error is not None:
            return ServerStatus.FAILED
        if state is EngineState.UNLOADED:
            return ServerStatus.UNLOADED
        if state is EngineState.LOADING or not self.encoding.is_loaded:
            return ServerStatus.LOADING
        return ServerStatus.OK

    @contextlib.contextmanager
    def turn_in_progress(self) -> Iterator[None]:
        """Count a turn from its request to its last byte. Raises ModelUnavailable when stopping."""
        if self.is_stopping:
            raise ModelUnavailable("The server is stopping.")
        self.turns_in_progress += 1
        try:
            yield
        finally:
            self.turns_in_progress -= 1
