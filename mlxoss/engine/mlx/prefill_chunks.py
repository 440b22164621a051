"""How long a chunk of a prefill is: by the clock, since whoever decodes stands still meanwhile."""

from __future__ import annotations

BESIDE_DECODING_S = 0.2
"""What a chunk may add between two tokens of the sequences that decode."""

ALONE_S = 1.0
"""What a chunk may take else: a request that comes, or is cancelled, waits for its end."""

LEAST_TOKENS = 32
_FIRST_TOKENS = 256
_MOST_GROWTH = 2


class PrefillChunks:
    """Measures chunks and says how long the next one is. Engine's thread.

    ``most_tokens`` bounds a chunk, all rows together, and ``most_pairs`` the pairs of a token of
    it and one that it attends to, since these take memory.
    """

    def __init__(self, most_tokens: int, most_pairs: int) -> None:
        self._most_tokens = most_tokens
        self._most_pairs = most_pairs
        self._token_s: float | None = None
        self._last_tokens = 0

    def chunk_tokens(self, rows: int, known: int, *, beside_decoding: bool) -> int:
        """Tokens per row for ``rows`` prompts of which up to ``known`` tokens are computed.

        A chunk grows at most twofold, so that the first ones do not overshoot.
        """
        limit_s = BESIDE_DECODING_S if beside_decoding else ALONE_S
        tokens = _FIRST_TOKENS if self._token_s is None else int(limit_s / self._token_s)
        if self._last_tokens:
            tokens = min(tokens, _MOST_GROWTH * self._last_tokens)
        tokens = min(tokens, self._most_tokens, self._most_pairs // (known + 1))
        return max(min(LEAST_TOKENS, self._most_tokens), tokens) // max(1, rows) or 1

    def measured(self, tokens: int, seconds: float) -> None:
        """A chunk of ``tokens``, all rows and their padding together, took so long."""
        if tokens < min(LEAST_TOKENS, self._most_tokens):
            return  # what a step takes whatever its length would count as the tokens' own
        self._token_s = seconds / tokens
        self._last_tokens = tokens
