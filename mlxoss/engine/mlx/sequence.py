"""One sequence's own part of a batch's step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import mlx.core as mx
import numpy as np

from mlxoss.core import GenerationRequest
from mlxoss.engine.mlx.grammar_cursor import GrammarCursor, StepChoice
from mlxoss.engine.mlx.sampling import LogitsProcessor, Sampler, greedy
from mlxoss.errors import NotANumber

T = TypeVar("T")

Highest = tuple[mx.array, int]
"""The highest logits (rows, 1) of a step, and which of them is the sequence's own. It is no number
where the output is none, which any choice would hide."""


def length_after(request: GenerationRequest, more: int) -> int:
    """How long a sequence is with ``more`` tokens of its answer, or at its end if they are less."""
    return len(request.prompt_ids) + min(more, request.max_tokens)


class BatchRow:
    """A sequence in the batch. What its parts raise is kept and fails this sequence alone.

    ``follower`` is ``None`` for a sequence without a grammar. ``highest`` is the logit behind the
    id that is due, ``None`` where that was known without the logits. ``shares_sampler`` says that
    rows with the very same sampler may be sampled in one call. While it is paused ``held_ids`` are
    what the prefix cache holds for it.
    """

    def __init__(
        self,
        uid: int,
        request: GenerationRequest,
        processors: Sequence[LogitsProcessor],
        sampler: Sampler,
        follower: GrammarCursor | None,
    ) -> None:
        self.uid = uid
        self.highest: Highest | None = None
        self.start(request)
        self.error: Exception | None = None
        self.is_spoiled = False
        self.processors = processors
        self.sampler = sampler
        self.shares_sampler = request.sampling.seed is None or sampler is greedy
        self.is_seeded = not self.shares_sampler
        self.held_ids: tuple[int, ...] = ()
        self._follower = follower

    def start(self, request: GenerationRequest) -> None:
        """Begin with ``request``, or after a pause go on with one that holds what came before."""
        self.request = request
        self.highest = None
        self.cached_tokens = 0
        self.prefilled_tokens = 0
        self.kept_tokens = 0
        self._boundaries: list[int] = []
        self._said: list[int] = []

    def begin(self, cached_tokens: int, boundaries: Sequence[int]) -> None:
        """Its first ``cached_tokens`` were kept from before; later ``boundaries``, which ascend,
        are where snapshots of its prompt are wanted."""
        self.cached_tokens = self.kept_tokens = cached_tokens
        self._boundaries = list(boundaries)

    def pass_boundaries(self) -> list[int]:
        """The boundaries among the tokens that became known since the last call: they are kept."""
        known = self.known_tokens
        passed = [length for length in self._boundaries if length <= known]
        self._boundaries = self._boundaries[len(passed) :]
        self.kept_tokens = max([self.kept_tokens, *passed])
        return passed

    @property
    def known_tokens(self) -> int:
        """How much of its prompt is computed; ``kept_tokens`` of those are in a snapshot."""
        return self.cached_tokens + self.prefilled_tokens

    def say(self, token_id: int) -> None:
        """Count an id as handed out."""
        self._said.append(token_id)

    def length_after(self, more: int) -> int:
        """Its tokens, prompt and answer, once it has ``more`` of them or is at its end."""
        return length_after(self.request, len(self._said) + more)

    def rest(self) -> GenerationRequest:
        """What is left to do, as a request whose prompt is all tokens so far."""
        request, said = self.request, self._said
        return replace(
            request,
            prompt_ids=(*request.prompt_ids, *said),
            max_tokens=request.max_tokens - len(said),
        )

    @property
    def needs_every_step(self) -> bool:
        """Whether each id is chosen in a step of its own, also where it is known beforehand.

        A seeded row draws one random number per id, so that what it draws depends on nothing else.
        """
        return bool(self.processors) or self.is_seeded or self.wants_logprobs

    @property
    def wants_logprobs(self) -> bool:
        """Whether log probabilities are handed out with each token."""
        return self.request.sampling.top_logprobs is not None

    @property
    def waits(self) -> bool:
        """Whether ``plan`` needs to ``see`` the id being fed first."""
        return self.error is None and self._follower is not None and self._follower.waits

    @property
    def sure(self) -> int:
        """How many ids are sure to follow the one being fed and may be fed along with it."""
        if self._follower is None or self.error is not None or self.needs_every_step:
            return 0
        return len(self._follower.ahead)

    def forced_run(self, count: int) -> list[int]:
        """Take the first ``count`` of the ``sure`` ids."""
        if not count:
            return []
        assert self._follower is not None
        run = list(self._follower.ahead)[:count]
        self._follower.skip(count)
        return run

    def check(self, highest: Highest | None) -> None:
        """Fail it, as spoiled, if the id being fed was chosen from no numbers."""
        if highest is not None and self.error is None:
            values, index = highest
            if not np.isfinite(np.asarray(values)[index, 0]):
                self.is_spoiled = True
                self.error = NotANumber()

    def plan(self) -> StepChoice | None:
        """How to choose the next id; ``None`` if any will do."""
        follower = self._follower
        return None if follower is None else self._try(follower.plan, None)

    def see(self, token_id: int) -> None:
        """Learn the id being fed."""
        follower = self._follower
        if follower is not None:
            self._try(lambda: follower.see(token_id), None)

    def process(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        """All ids so far (n,) and logits (1, vocabulary) to new logits."""
        return self._try(lambda: self._processed(token_ids, logits), logits)

    def sample(self, scores: mx.array) -> mx.array:
        """A ``Sampler``'s scores (1, vocabulary) to an id (1,)."""
        sampled = self._try(lambda: self.sampler(scores), None)
        return greedy(scores) if sampled is None else sampled

    def _processed(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        processed = logits
        for processor in self.processors:
            processed = processor(token_ids, processed)
        if processed.shape != logits.shape:
            raise ValueError(f"logits of shape {logits.shape} became {processed.shape}")
        return processed

    def _try(self, call: Callable[[], T], otherwise: T) -> T:
        if self.error is None:
            try:
                return call()
            except Exception as error:  # noqa: BLE001 - one sequence's failure, not the batch's
                self.error = error
        return otherwise
