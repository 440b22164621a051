"""One log line and one record per turn: its status, sizes and times, never its words."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from types import TracebackType
from typing import TYPE_CHECKING

from sanic import Request

from mlxoss.api.errors import to_http_error
from mlxoss.api.turn_request import Usage
from mlxoss.errors import RequestError
from mlxoss.server.http import CLIENT_LEFT, HttpRefusal, plain_path, request_id
from mlxoss.server.services import Services
from mlxoss.server.turn_records import TurnRecord

if TYPE_CHECKING:
    from typing import Self

_FIELD = re.compile(r"[a-z_]+(\[\d+\])?")
"""The beginning of a parameter's name, which is the API's and not the client's."""

logger = logging.getLogger(__name__)


class RequestLog:
    """Writes its line and notes its record when the context ends, whatever ended it.

    The route fills in ``usage``, ``wait_s`` and, where words may be shown, ``preview``, calls
    ``note_tokens`` when tokens arrive, and sets ``failure`` for an error after the stream began.
    The turn of a request that was answered before it ``is_background``.
    """

    def __init__(
        self, request: Request, services: Services, *, is_background: bool = False
    ) -> None:
        self.id = request_id(request)
        self.usage: Usage | None = None
        self.wait_s = 0.0
        self.preview: str | None = None
        self.failure: Exception | None = None
        self._endpoint = f"{request.method} {plain_path(request)}{' background' * is_background}"
        self._services = services
        self._begun_at = services.clock()
        self._first_at: float | None = None

    def note_tokens(self) -> None:
        """Tokens arrived: the first call ends the time to first token."""
        if self._first_at is None:
            self._first_at = self._services.clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        record = self._to_record(self.failure or error)
        words = [self.id, self._endpoint, str(_status(error)), *_sizes(record), *_times(record)]
        if record.error is not None:
            words.append(f"({record.error})")
        # A client's text may hold lone surrogates, which no file or terminal takes.
        logger.info("%s", " ".join(words).encode("utf-8", "backslashreplace").decode())
        self._services.note(record)

    def _to_record(self, cause: BaseException | None) -> TurnRecord:
        first_at = None if self.usage is None else self._first_at
        return TurnRecord(
            id=self.id,
            endpoint=self._endpoint,
            status=_status(cause),
            ended_at=time.time(),
            total_s=self._services.clock() - self._begun_at,
            wait_s=None if self.usage is None else self.wait_s,
            ttft_s=None if first_at is None else first_at - self._begun_at,
            usage=self.usage,
            preview=self.preview,
            error=None if cause is None else _reason(cause),
        )


def _sizes(record: TurnRecord) -> list[str]:
    if record.usage is None:
        return []
    return [
        f"in={record.usage.prompt_tokens}",
        f"cached={record.usage.cached_tokens}",
        f"out={record.usage.completion_tokens}",
    ]


def _times(record: TurnRecord) -> list[str]:
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
            field = _FIELD.match(error.param or "")
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
