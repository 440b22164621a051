"""One log line per turn: its status, sizes and times, never its words."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from sanic import Request

from mlxoss.api.errors import to_http_error
from mlxoss.api.turn_request import Usage
from mlxoss.errors import RequestError
from mlxoss.server.http import CLIENT_LEFT, HttpRefusal, request_id

if TYPE_CHECKING:
    from typing import Self

_FIELD = re.compile(r"[a-z_]+(\[\d+\])?")
"""The beginning of a parameter's name, which is the API's and not the client's."""

logger = logging.getLogger(__name__)


class RequestLog:
    """Writes its line when the context ends, whatever ended it.

    The route fills in ``usage`` and ``wait_s``, calls ``note_tokens`` when
    tokens arrive, and sets ``failure`` for an error after the stream began.
    """

    def __init__(self, request: Request, clock: Callable[[], float]) -> None:
        self.id = request_id(request)
        self.usage: Usage | None = None
        self.wait_s = 0.0
        self.failure: Exception | None = None
        self._endpoint = f"{request.method} {request.path}"
        self._clock = clock
        self._begun_at = clock()
        self._first_at: float | None = None

    def note_tokens(self) -> None:
        """Tokens arrived: the first call ends the time to first token."""
        if self._first_at is None:
            self._first_at = self._clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        words = [self.id, self._endpoint, str(_status(error)), *self._sizes(), *self._times()]
        if (cause := self.failure or error) is not None:
            words.append(f"({_reason(cause)})")
        # A client's text may hold lone surrogates, which no file or terminal takes.
        logger.info("%s", " ".join(words).encode("utf-8", "backslashreplace").decode())

    def _sizes(self) -> list[str]:
        if self.usage is None:
            return []
        return [
            f"in={self.usage.prompt_tokens}",
            f"cached={self.usage.cached_tokens}",
            f"out={self.usage.completion_tokens}",
        ]

    def _times(self) -> list[str]:
        now = self._clock()
        words = [f"total={now - self._begun_at:.3f}s"]
        if self.usage is not None:
            words.append(f"wait={self.wait_s:.3f}s")
        if self.usage is not None and self._first_at is not None:
            words.append(f"ttft={self._first_at - self._begun_at:.3f}s")
            decode_s = max(now - self._first_at, 1e-9)
            words.append(f"{max(self.usage.completion_tokens - 1, 0) / decode_s:.1f}tok/s")
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
