"""How long a chunk of a prefill is: by the clock, since whoever decodes stands still meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from mlxoss.engine.mlx.fuse import SORTED_PAIRS

BESIDE_DECODING_S = 0.2
"""What a chunk may add between two tokens of the sequences that decode."""

ALONE_S = 1.0
"""What a chunk may take else: a request that comes, or is cancelled, waits for its end."""

_FIRST_TOKENS = 256
_MOST_GROWTH = 2

_SORTED_PAIRS_PER_EXPERT = 4
"""From so many pairs of a token and an expert on for each expert MLX reads every expert once for
all of its tokens; below it reads one anew for each pair (0.32, ``mlx/backend/metal/quantized.cpp``,
``GatherQMM::eval_gpu``)."""


def least_tokens(experts: int, chosen: int) -> int:
    """Of a chunk for a model of so many ``experts`` a layer, ``chosen`` for each token: as many as
    have it compute each expert once. 32 for gpt-oss-20b, 128 for the 120b."""
    pairs = max(SORTED_PAIRS, _SORTED_PAIRS_PER_EXPERT * experts)
    return -(-pairs // chosen)


class PrefillChunks:
    """Measures chunks and says how long the next one is. Engine's thread.

    ``most_tokens`` bounds a chunk, all rows together, and ``most_pairs`` the pairs of a token of
    it and one that it attends to, since these take memory. None is shorter than ``least_tokens``,
    all rows together, but where less is left of a prompt.
    """

    def __init__(self, most_tokens: int, most_pairs: int, least_tokens: int) -> None:
        self._most_tokens = most_tokens
        self._most_pairs = most_pairs
        self._least_tokens = min(least_tokens, most_tokens)
        self._pass = PassTime()
        self._longest = 0

    def chunk_tokens(self, rows: int, known: int, *, beside_decoding: bool) -> int:
        """Tokens per row for ``rows`` prompts of which up to ``known`` tokens are computed.

        A chunk is at most twice as long as any before, so that the first ones do not overshoot.
        """
        tokens = _FIRST_TOKENS
        if self._longest:
            tokens = self._pass.tokens_in(BESIDE_DECODING_S if beside_decoding else ALONE_S)
            tokens = min(tokens, _MOST_GROWTH * self._longest)
        tokens = min(tokens, self._most_tokens, self._most_pairs // (known + 1))
        return max(self._least_tokens, tokens) // max(1, rows) or 1

    def fit(self, tokens: int, left: Sequence[int]) -> int:
        """Of ``tokens`` per row as many as prompts take of which so much is ``left``.

        mlx-lm pads all prompts to the longest chunk, in places that only go with the next one that
        is done: so none is much longer than the shortest. And what is left of a single prompt
        afterwards is nothing or a chunk.
        """
        if not left:
            return tokens
        tokens = min(tokens, max(self._least_tokens, min(left)), max(left))
        rest = max(left) - tokens
        if len(left) == 1 and 0 < rest < self._least_tokens:
            tokens = min(tokens, max(self._least_tokens, max(left) - self._least_tokens))
        return tokens

    def measured(self, tokens: int, seconds: float) -> None:
        """A chunk of ``tokens``, all rows and their padding together, took so long."""
        if tokens < self._least_tokens:
            return  # a handful of tokens takes other ways through the device than a chunk
        self._pass.measured(tokens, seconds)
        self._longest = max(self._longest, tokens)


_MEMORY = 0.5
"""Each chunk counts so much of the one after it: deep in a prompt a token takes longer."""

_LEAST_SPREAD = 0.25
"""By how much of their mean chunks must differ to tell the two parts of a pass apart."""

_MOST_FIXED = 0.9
"""The most of a pass that may be taken for the fixed part: noise must not say that tokens are
free."""


class PassTime:
    """What a pass over the weights takes: a fixed part, since all of them are read whatever the
    chunk's length, and one per token. Least squares over the last chunks.

    Without the fixed part the short tail of a prompt would count as a slow machine.
    """

    def __init__(self) -> None:
        self._fixed_s = 0.0
        self._token_s = 0.0
        # Sums over the chunks: how many, tokens, seconds, tokens squared, tokens times seconds.
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)

    def tokens_in(self, seconds: float) -> int:
        """How many tokens a pass of ``seconds`` has; 0 or less if it has none."""
        return int((seconds - self._fixed_s) / self._token_s)

    def measured(self, tokens: int, seconds: float) -> None:
        """A pass of ``tokens`` took so long."""
        new = (1.0, tokens, seconds, tokens * tokens, tokens * seconds)
        self._sums = count, xs, ys, xxs, xys = tuple(  # type: ignore[assignment]
            _MEMORY * old + one for old, one in zip(self._sums, new, strict=True)
        )
        variance = xxs / count - (xs / count) ** 2
        if variance > (_LEAST_SPREAD * xs / count) ** 2:
            slope = (xys / count - xs * ys / count**2) / variance
            self._fixed_s = ys / count - slope * xs / count
        self._fixed_s = min(max(self._fixed_s, 0.0), _MOST_FIXED * ys / count)
        self._token_s = max((ys - count * self._fixed_s) / xs, 1e-9)
