"""What every turn needs, made once per server. All of it belongs to the event loop's thread."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlxoss.awake import Awake, find_caffeinate
from mlxoss.config import Config
from mlxoss.core import ModelInfo
from mlxoss.engine.engine import Engine
from mlxoss.errors import ContextLengthExceeded, MemoryExceeded, ModelUnavailable
from mlxoss.store.store import Store
from mlxoss.turns.ahead.warming import Ahead, PrefixWarmer
from mlxoss.turns.encoding_loader import EncodingLoader
from mlxoss.turns.foreign_contents import ForeignContents
from mlxoss.turns.limits.key_limit import KeyLimit

if TYPE_CHECKING:  # llguidance takes its time, and an HTTP client too
    from mlxoss.documents.reader import FileReader
    from mlxoss.harmony.encoding import Encoding
    from mlxoss.harmony.grammar.compiler import GrammarCompiler
    from mlxoss.hosted.tools import HostedTools
    from mlxoss.turns.hosted.runs import ToolRuns

LoadGrammars = Callable[["Encoding"], "GrammarCompiler"]
"""Gives what compiles the requests' grammars, the same object each time, on any thread."""


class ServedModel(NamedTuple):
    """The model that is served: what runs it, and what is known of it before it is loaded.

    Without ``load_grammars`` nothing holds its answers to their form, without ``ahead`` nothing is
    computed before it is asked for. ``tools`` are those that this server runs, if there are any.
    """

    engine: Engine
    info: ModelInfo
    load_grammars: LoadGrammars | None = None
    ahead: Ahead | None = None
    tools: HostedTools | None = None


class Caller(NamedTuple):
    """Who asks: the request's id, and the hash of the API key if one was shown."""

    request_id: str
    key: str | None = None


class TurnStorage(NamedTuple):
    """What is kept of turns, and the key under which ``encrypted_content`` is sealed.

    ``volatile`` is in memory always: turns that must not be stored (``mlxoss.turns.recall``).
    """

    store: Store
    volatile: Store
    key: bytes


@dataclass(slots=True)
class TurnContext:
    """The parts that turns use, and what is counted of them.

    ``recoveries`` counts, by kind, where the parser put the model's output right.
    ``is_stopping`` refuses new turns while those in progress finish. ``storage`` is set before
    the first request. ``awake`` keeps this machine from idle sleep while there are turns. ``tools``
    are those that this server runs for the model.
    """

    config: Config
    served: ServedModel
    encoding: EncodingLoader
    clock: Callable[[], float] = time.monotonic
    recoveries: Counter[str] = field(default_factory=Counter)
    foreign: ForeignContents = field(default_factory=ForeignContents)
    is_stopping: bool = False
    in_progress: int = 0
    storage: TurnStorage = field(init=False)
    key_limit: KeyLimit = field(init=False)
    awake: Awake = field(init=False)
    warmer: PrefixWarmer = field(init=False)
    tools: ToolRuns | None = field(default=None, init=False)
    _idle_since: float = field(init=False)
    _files: FileReader | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        engine = self.engine
        self._idle_since = self.clock()
        self.warmer = PrefixWarmer(engine, self.encoding, self.served.ahead, lambda: self.date)
        is_on = self.config.keep_awake == "on"
        self.awake = Awake(find_caffeinate(sys.platform, os.environ), is_on=is_on)
        if self.served.tools is not None:
            from mlxoss.turns.hosted.runs import ToolRuns

            self.tools = ToolRuns(self.served.tools, self.clock)
        self.key_limit = KeyLimit(self.config.max_requests_per_key, lambda: engine.retry_after_s)

    @property
    def engine(self) -> Engine:
        """What runs the model."""
        return self.served.engine

    @property
    def model(self) -> ModelInfo:
        """What is known of the model."""
        return self.served.info

    @property
    def files(self) -> FileReader:
        """What reads attached files; made when the first request comes."""
        from mlxoss.documents.reader import FileReader

        if self._files is None:
            self._files = FileReader(may_fetch=self.config.allow_fetch)
        return self._files

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

    @contextlib.contextmanager
    def counted(self) -> Iterator[None]:
        """Count a turn from its request to its last byte. Raises ModelUnavailable when stopping."""
        if self.is_stopping:
            raise ModelUnavailable("The server is stopping.")
        self.in_progress += 1
        self._note_change()
        try:
            yield
        finally:
            self.in_progress -= 1
            self._note_change()

    @property
    def idle_s(self) -> float:
        """For how long there has been no turn; 0.0 while there is one."""
        return 0.0 if self.in_progress else self.clock() - self._idle_since

    def _note_change(self) -> None:
        is_busy = self.in_progress > 0
        self._idle_since = self.clock()
        self.awake.want(is_busy)
        self.engine.keep_awake(is_busy and self.awake.is_on)
