"""How far the prefill of one prompt is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class PromptProgress:
    """One prompt's way into the KV cache. The event loop's thread.

    Of its ``prompt_tokens`` the first ``cached_tokens`` needed no computing. Times are those of
    ``clock``, in seconds. A sequence that paused in its prefill may compute some of it again:
    that counts once, and is left to do until then.
    """

    prompt_tokens: int
    clock: Callable[[], float]
    cached_tokens: int = 0
    _computed: int = field(default=0, init=False)
    _began_at: float = field(default=0.0, init=False)
    _latest_at: float = field(default=0.0, init=False)

    def admit(self, cached_tokens: int) -> None:
        """Its prefill begins."""
        self.cached_tokens = cached_tokens
        self._began_at = self._latest_at = self.clock()

    def resume(self, known_tokens: int) -> None:
        """It goes on after a pause, with so many in the cache."""
        self._computed = max(0, known_tokens - self.cached_tokens)

    def add(self, tokens: int) -> None:
        """So many more are computed."""
        self._computed += tokens
        self._latest_at = self.clock()

    @property
    def done_tokens(self) -> int:
        """How many are in the cache, those that were there before among them."""
        return min(self.prompt_tokens, self.cached_tokens + self._computed)

    @property
    def left_tokens(self) -> int:
        """How many are to be computed yet."""
        return self.prompt_tokens - self.done_tokens

    @property
    def elapsed_s(self) -> float:
        """Since its admission, up to the last tokens that were computed."""
        return self._latest_at - self._began_at

    @property
    def tokens_per_s(self) -> float | None:
        """Of what was computed so far; ``None`` before the first."""
        if not self._computed:
            return None
        return self._computed / max(self.elapsed_s, 1e-9)

    @property
    def left_s(self) -> float | None:
        """How long the rest will take at that rate; it is the attention's part that grows."""
        rate = self.tokens_per_s
        if rate is None:
            return None
        since_s = self.clock() - self._latest_at
        return max(0.0, self.left_tokens / rate - since_s)
