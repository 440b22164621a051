"""One submitted request as its caller sees it: an async iterator with exactly one ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mlxoss.core import TokenOutput
from mlxoss.errors import ClientTooSlow, GenerationCancelled, MlxossError

MOST_UNREAD = 65_536
"""Of tokens that nobody has taken yet; each with N alternatives counts as 1 + N of them. They
take some 8 MB then."""


class Generation:
    """The tokens of one sequence, as they come. Belongs to the event loop's thread.

    Iterating yields tuples: all tokens that arrived since the last one, in order, never empty.
    It ends after the token whose ``finish`` is set; or it raises, once the tokens that came
    before are handed out, ``GenerationFailed`` (an exception in this sequence or its step),
    ``ModelUnavailable`` (no model, or the daemon stops), ``ClientTooSlow`` (``most_unread`` tokens
    were not taken, so it was cancelled) or a ``RequestError`` (the engine alone could see that a
    field is out of range). After ``cancel`` it raises ``GenerationCancelled`` at once. One consumer
    at a time.

    ``cached_tokens`` is how many prompt tokens needed no computing, ``wait_s`` the time from
    submission to admission (0.0 until then).
    """

    def __init__(self, on_cancel: Callable[[], None], most_unread: int = MOST_UNREAD) -> None:
        self.cached_tokens = 0
        self.wait_s = 0.0
        self._on_cancel = on_cancel
        self._most_unread = most_unread
        self._tokens: list[TokenOutput] = []
        self._ended = False
        self._error: MlxossError | None = None
        self._news = asyncio.Event()

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> tuple[TokenOutput, ...]:
        await self._news.wait()
        if self._tokens:
            tokens = tuple(self._tokens)
            self._tokens.clear()
            if not self._ended:
                self._news.clear()
            return tokens
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Take the request back; its slot is free within one step. Does nothing once it ended."""
        if self._ended:
            return
        self._tokens.clear()
        self.end(GenerationCancelled("The request was cancelled."))
        self._on_cancel()

    def push(self, token: TokenOutput) -> None:
        """Hand over the next token (the engine's side of this object)."""
        if self._ended:
            return
        self._tokens.append(token)
        self._ended = token.finish is not None
        self._news.set()
        if not self._ended and len(self._tokens) >= self._most_unread:
            self.end(ClientTooSlow("The client read the answer too slowly: it is cut here."))
            self._on_cancel()

    def end(self, error: MlxossError) -> None:
        """End with an error unless it ended already (the engine's side of this object)."""
        if self._ended:
            return
        self._error = error
        self._ended = True
        self._news.set()
