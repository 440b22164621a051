"""What sequences take of the memory, by arithmetic, before any of it is taken.

Metal kills the process that asks for more than there is (mlx issue 3186), so no step may need
more. How long an answer becomes nobody knows: a sequence is counted with what it holds and may
soon hold, and before everything admitted would outgrow the memory the youngest pauses. mlx-lm
keeps a batch's keys and values as if each row were as long as the longest
(``mlx_lm/models/cache.py``, ``BatchKVCache``).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_GROWTH_TOKENS = 256
"""mlx-lm's caches grow by so many places at a time."""

SOON_TOKENS = 512
"""By how much more than it holds a sequence is counted when one is admitted beside others: so far
they all get before one has to pause, which is worth what a pause costs."""


@dataclass(frozen=True, slots=True)
class SequenceBytes:
    """What one sequence keeps: ``token`` in all of its tokens together, for each of them, and
    ``window`` whatever its length. ``grow`` of the ``token`` bytes are there twice while a layer's
    cache grows or is put together."""

    token: int
    window: int
    grow: int


@dataclass(frozen=True, slots=True)
class Room:
    """What ``free_bytes`` beside the weights hold. Pure arithmetic.

    ``step_bytes`` is what a step takes for a while, its prefill chunk included. When a sequence is
    admitted each one counts as ``soon_tokens`` longer than it is, if it may become so long.
    """

    free_bytes: int
    step_bytes: int
    sizes: SequenceBytes
    soon_tokens: int = SOON_TOKENS

    def need_bytes(self, lengths: Collection[int]) -> int:
        """What sequences of ``lengths`` tokens, prompt and answer, take in one batch."""
        if not lengths:
            return 0
        places = (max(lengths) // _GROWTH_TOKENS + 2) * _GROWTH_TOKENS
        each = places * (self.sizes.token + self.sizes.grow) + self.sizes.window
        return self.step_bytes + len(lengths) * each

    def holds(self, lengths: Collection[int]) -> bool:
        """Whether they fit."""
        return self.need_bytes(lengths) <= self.free_bytes

    @property
    def most_tokens(self) -> int:
        """The longest sequence that fits by itself; 0 if none does."""
        left = self.free_bytes - self.step_bytes - self.sizes.window
        places = max(0, left) // max(1, self.sizes.token + self.sizes.grow)
        return max(0, (places // _GROWTH_TOKENS - 1) * _GROWTH_TOKENS - 1)
