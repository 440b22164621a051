"""One submitted request as its caller sees it: an async iterator with exactly one ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from mlxoss.core import TokenOutput
from mlxoss.engine.backend import SequenceOutput, SequencePrefilled
from mlxoss.engine.messages import Admitted, Delivery, Ended, WentOn
from mlxoss.engine.occupancy import Occupancy
from mlxoss.engine.progress import PromptProgress
from mlxoss.errors import ClientTooSlow, GenerationCancelled, MlxossError

MOST_UNREAD = 65_536
"""Of tokens that nobody has taken yet; each with N alternatives counts as 1 + N of them. They
take some 8 MB then."""


class Generation:
    """The tokens of one sequence, as they come. Belongs to the event loop's thread.

    Iterating yields tuples: all tokens that arrived since the last one, in order. One is empty only
    where the prefill went on and ``tells_progress`` was set.
    It ends after the token whose ``finish`` is set; or it raises, once the tokens that came
    before are handed out, ``GenerationFailed`` (an exception in this sequence or its step),
    ``ModelUnavailable`` (no model, or the daemon stops), ``ClientTooSlow`` (``most_unread`` tokens
    were not taken, so it was cancelled) or a ``RequestError`` (the engine alone could see that a
    field is out of range). After ``cancel`` it raises ``GenerationCancelled`` at once. One consumer
    at a time.

    ``prompt`` is how far the prefill is, ``wait_s`` the time from submission to admission (0.0
    until then), ``uid`` the number of the sequence.
    """

    def __init__(
        self,
        uid: int,
        prompt: PromptProgress,
        on_cancel: Callable[[], None],
        most_unread: int = MOST_UNREAD,
    ) -> None:
        self.uid = uid
        self.prompt = prompt
        self.wait_s = 0.0
        self.tells_progress = False
        self._on_cancel = on_cancel
        self._most_unread = most_unread
        self._tokens: list[TokenOutput] = []
        self._ended = False
        self._has_begun = False
        self._has_progress = False
        self._error: MlxossError | None = None
        self._news = asyncio.Event()

    @property
    def cached_tokens(self) -> int:
        """How many prompt tokens needed no computing."""
        return self.prompt.cached_tokens

    @property
    def has_begun(self) -> bool:
        """Whether there was a token."""
        return self._has_begun

    def __aiter__(self) -> Generation:
        return self

    async def __anext__(self) -> tuple[TokenOutput, ...]:
        await self._news.wait()
        if self._tokens:
            self._has_progress = False
            tokens = tuple(self._tokens)
            self._tokens.clear()
            if not self._ended:
                self._news.clear()
            return tokens
        if self._error is not None:
            raise self._error
        if self._has_progress:
            self._has_progress = False
            self._news.clear()
            return ()
        raise StopAsyncIteration

    def cancel(self) -> None:
        """Take the request back; its slot is free within one step. Does nothing once it ended."""
        if self._ended:
            return
        self._tokens.clear()
        self.end(GenerationCancelled("The request was cancelled."))
        self._on_cancel()

    def admit(self, wait_s: float, cached_tokens: int) -> None:
        """Its prefill begins after ``wait_s`` seconds (the engine's side of this object)."""
        self.wait_s = wait_s
        self.prompt.admit(cached_tokens)
        self._go_on()

    def resume(self, known_tokens: int) -> None:
        """After a pause it begins anew, but for the first ``known_tokens`` (the engine's side of
        this object)."""
        if not self._has_begun:
            self.prompt.resume(known_tokens)

    def prefill(self, tokens: int) -> None:
        """So many more tokens of the prompt are computed (the engine's side of this object)."""
        if not self._has_begun:  # else it paused, and computes its own tokens again
            self.prompt.add(tokens)
            self._go_on()

    def _go_on(self) -> None:
        if self.tells_progress and not self._ended:
            self._has_progress = True
            self._news.set()

    def push(self, token: TokenOutput) -> None:
        """Hand over the next token (the engine's side of this object)."""
        if self._ended:
            return
        self._has_begun = True
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


class Callers:
    """The open generations by the numbers of their sequences; each leaves exactly once."""

    def __init__(self, occupancy: Occupancy) -> None:
        self._occupancy = occupancy
        self._open: dict[int, Generation] = {}

    def add(self, uid: int, generation: Generation) -> None:
        """Have ``generation`` be given what comes for ``uid``."""
        self._open[uid] = generation

    def cancel(self, uid: int) -> None:
        """Its caller left; nothing is given to it any more."""
        del self._open[uid]
        self._occupancy.leave(uid)

    def end_all(self, make_error: Callable[[], MlxossError]) -> None:
        """End each with an error of its own."""
        for uid, generation in self._open.items():
            self._occupancy.leave(uid)
            generation.end(make_error())
        self._open.clear()

    def hand_out(self, deliveries: Iterable[Delivery]) -> None:
        """Give each what a step brought for it."""
        for delivery in deliveries:
            generation = self._open.get(delivery.uid)
            if generation is None:
                continue
            match delivery:
                case Admitted(_, wait_s, cached_tokens):
                    generation.admit(wait_s, cached_tokens)
                case WentOn(_, known_tokens):
                    generation.resume(known_tokens)
                case SequencePrefilled(_, tokens):
                    generation.prefill(tokens)
                case SequenceOutput(uid, token):
                    generation.push(token)
                    if token.finish is not None:
                        del self._open[uid]
                case Ended(uid, error):
                    del self._open[uid]
                    generation.end(error)
