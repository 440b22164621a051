"""What is told of turns that ended: sizes and times, and words only if asked to."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from mlxoss.api.errors import CLIENT_LEFT, HttpRefusal, to_http_error
from mlxoss.core import JsonObject
from mlxoss.errors import RequestError
from mlxoss.turns.running import to_running

if TYPE_CHECKING:  # it brings Harmony's modules, which a server that starts needs not yet
    from typing import Self

    from mlxoss.api.monitor import RunningRequest
    from mlxoss.api.turn_request import Usage
    from mlxoss.engine.engine import Engine
    from mlxoss.turns.turn import Turn

MOST_RECORDS = 50
LEAST_PREFILLED = 32

_FIELD = r"[a-z_]+(\[\d+\])?"
"""The beginning of a parameter's name, which is the API's and not the client's."""

logger = logging.getLogger(__name__)


class RequestRecord(NamedTuple):
    """One request for a turn, however it ended.

    ``status`` is the answer's, or that of what broke it after it began; ``error`` says what
    that was. ``usage`` and ``wait_s`` are ``None`` where no turn began, ``ttft_s`` where no token
    came. ``ended_at`` is a Unix time in seconds. ``preview`` is raw text, for
    ``debug_raw_preview_chars`` alone. ``client`` is a short name of who asked. An answer of several
    ``rounds`` has no rates: what stands between them is no work of the model's.
    """

    id: str
    endpoint: str
    status: int
    ended_at: float
    total_s: float
    wait_s: float | None = None
    ttft_s: float | None = None
    usage: Usage | None = None
    preview: str | None = None
    error: str | None = None
    client: str = ""
    rounds: int = 1

    @property
    def decode_tokens_per_s(self) -> float | None:
        """Of all choices together, from the first token to the end; one token has no rate."""
        if self.usage is None or self.ttft_s is None or self.rounds > 1:
            return None
        if self.usage.completion_tokens < 2:
            return None
        return (self.usage.completion_tokens - 1) / max(self.total_s - self.ttft_s, 1e-9)

    @property
    def prefill_tokens_per_s(self) -> float | None:
        """Of the tokens that had to be computed, from admission to the first token.

        A few tokens have no rate: what a step takes whatever its length would count as theirs.
        """
        if self.usage is None or self.ttft_s is None or self.wait_s is None or self.rounds > 1:
            return None
        computed = self.usage.prompt_tokens - self.usage.cached_tokens
        if computed < LEAST_PREFILLED:
            return None
        return computed / max(self.ttft_s - self.wait_s, 1e-9)


Observer = Callable[[RequestRecord], None]


class RequestLog:
    """The requests for a turn: a line in the log for each, and the last ``MOST_RECORDS`` of them.

    ``clock`` gives seconds. The event loop's thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._latest: deque[RequestRecord] = deque(maxlen=MOST_RECORDS)
        self._observers: list[Observer] = []
        self._open: dict[LoggedRequest, Turn] = {}

    def on_end(self, observer: Observer) -> None:
        """Have ``observer`` told of every request that ends from here on."""
        self._observers.append(observer)

    def begin(self, id_: str, endpoint: str, client: str) -> LoggedRequest:
        """A request that begins now; ``endpoint`` is its method and path, ``client`` who asks."""
        return LoggedRequest(self, id_, endpoint, client)

    def end(self, record: RequestRecord) -> None:
        """A request ended: it is remembered, the oldest goes."""
        self._latest.appendleft(record)
        for observer in self._observers:
            observer(record)

    def follow(self, request: LoggedRequest, turn: Turn) -> None:
        """``turn`` answers ``request``, which is told of as running until it ends."""
        self._open[request] = turn

    def forget(self, request: LoggedRequest) -> None:
        """It ended."""
        self._open.pop(request, None)

    def running(self, engine: Engine) -> list[RunningRequest]:
        """The requests whose turns wait or run in ``engine``, the oldest first."""
        now = self.clock()
        return [
            {
                **to_running(one.id, one.endpoint, turn, engine),
                "age_s": round(now - one.begun_at, 1),
            }
            for one, turn in self._open.items()
            if not turn.is_closed
        ]

    def to_json(self) -> list[JsonObject]:
        """The newest first, as ``GET /mlxoss/requests`` tells them."""
        return [_to_json(record) for record in self._latest]


class LoggedRequest:
    """One request: writes its line and ends its record when the context ends, whatever ended it."""

    def __init__(self, log: RequestLog, id_: str, endpoint: str, client: str) -> None:
        self.id = id_
        self.endpoint = endpoint
        self._client = client
        self._log = log
        self._usage: Usage | None = None
        self._wait_s = 0.0
        self._rounds = 1
        self._preview: str | None = None
        self._failure: Exception | None = None
        self.begun_at = log.clock()
        self._first_at: float | None = None

    def in_background(self) -> LoggedRequest:
        """The turn of this request, where that is answered before it."""
        return LoggedRequest(self._log, self.id, f"{self.endpoint} background", self._client)

    def follow(self, turn: Turn) -> None:
        """``turn`` answers it."""
        self._log.follow(self, turn)

    def note_tokens(self) -> None:
        """Tokens arrived: the first call ends the time to first token."""
        if self._first_at is None:
            self._first_at = self._log.clock()

    def note_failure(self, error: Exception) -> None:
        """What broke the answer after the stream began."""
        self._failure = error

    def note_turn(
        self, usage: Usage, wait_s: float, preview: str | None = None, *, rounds: int = 1
    ) -> None:
        """The turn's counts at its end; ``preview`` where words may be shown."""
        self._usage, self._wait_s, self._preview = usage, wait_s, preview
        self._rounds = rounds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._log.forget(self)
        record = self._to_record(self._failure or error)
        words = [self.id, self.endpoint, str(_status(error)), *_sizes(record), *_times(record)]
        if record.error is not None:
            words.append(f"({record.error})")
        # A client's text may hold lone surrogates, which no file or terminal takes.
        logger.info("%s", " ".join(words).encode("utf-8", "backslashreplace").decode())
        self._log.end(record)

    def _to_record(self, cause: BaseException | None) -> RequestRecord:
        first_at = None if self._usage is None else self._first_at
        return RequestRecord(
            id=self.id,
            endpoint=self.endpoint,
            status=_status(cause),
            ended_at=time.time(),
            total_s=self._log.clock() - self.begun_at,
            wait_s=None if self._usage is None else self._wait_s,
            ttft_s=None if first_at is None else first_at - self.begun_at,
            usage=self._usage,
            preview=self._preview,
            error=None if cause is None else _reason(cause),
            client=self._client,
            rounds=self._rounds,
        )


def _to_json(record: RequestRecord) -> JsonObject:
    fields = record._asdict()
    fields.pop("usage")
    usage = {} if record.usage is None else asdict(record.usage)
    told = {**fields, **usage, "decode_tokens_per_s": record.decode_tokens_per_s}
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in told.items()
        if value is not None
    }


def _sizes(record: RequestRecord) -> list[str]:
    if record.usage is None:
        return []
    return [
        f"in={record.usage.prompt_tokens}",
        f"cached={record.usage.cached_tokens}",
        f"out={record.usage.completion_tokens}",
    ]


def _times(record: RequestRecord) -> list[str]:
    words = [f"total={record.total_s:.3f}s"]
    if record.wait_s is not None:
        words.append(f"wait={record.wait_s:.3f}s")
    if record.ttft_s is not None:
        words.append(f"ttft={record.ttft_s:.3f}s")
    if record.decode_tokens_per_s is not None:
        words.append(f"{record.decode_tokens_per_s:.1f}tok/s")
    return words


def _reason(error: BaseException) -> str:
    """Why it failed, without what the client wrote: a refusal may quote that."""
    match error:
        case HttpRefusal():
            return error.error.code or "refused"
        case RequestError():
            field = re.match(_FIELD, error.param or "")
            return " ".join(filter(None, [error.code or "refused", field and field[0]]))
        case _:
            return str(error) or type(error).__name__


def _status(error: BaseException | None) -> int:
    match error:
        case None:
            return 200
        case asyncio.CancelledError():
            return CLIENT_LEFT
        case HttpRefusal():
            return error.error.status
        case _:
            return to_http_error(error).status
