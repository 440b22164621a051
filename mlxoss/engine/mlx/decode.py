"""mlx-lm's batch generation with a decode step of our own, which grammars can keep up with.

Theory of operation. The device computes what is queued while the host goes on, and it must never
wait for the host. So mlx-lm queues all of step n, its forward pass and its sampling, before it
reads what step n - 1 sampled. Nothing that step n chooses may then depend on that token but by
what the device can do itself. A grammar does depend on it. The order here (``_run_step``):

1. Queue the forward pass on the ids that are due. The host has not read them yet.
2. Where no row ``waits``: queue the choice of the next ids (``_choose``), then read the ids that
   were fed and tell them to each row's grammar (``_see``). This is mlx-lm's order.
3. Where a row ``waits``, since its grammar has to know the id being fed before it can tell what
   may follow (inside a header or a schema): start the forward pass, read the ids and tell the
   grammars while the device computes, and only then queue the choice. One such row has all wait,
   since one call samples for all.

Free text never waits: after each ordinary token the same ids are allowed. Its one exception is
settled on the device: after ``<|end|>`` comes ``<|start|>`` (``LogitMask.settle``).

Where a grammar leaves one id only, nothing is sampled; where that holds for every row, nothing is
read from the logits, which are evaluated because they complete the KV caches. Several sure ids in
a row are fed in one forward pass (``plan_runs``), equally many in each row.

What follows from this order, and must stay so:

- The ids that a step chooses are handed out by the next one, which feeds them. Grammars,
  penalties and samplers are one token ahead of what callers have seen.
- A row that pauses takes the id along that is due (``take_due``): sampled again, it would be
  another one.
- What a row raises fails that row alone: it is kept (``BatchRow.error``) while the step goes on,
  and the row leaves between two steps.
- That logits were no numbers is seen one step later, when the id chosen from them is fed
  (``BatchRow.check``), since looking at once would have the device wait.

Written against mlx-lm 0.32.2, ``mlx_lm/generate.py``; the rows travel through it in the place of
logits processors.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from mlxoss.engine.capacity import tokens_at_once
from mlxoss.engine.mlx.device import computes_on_metal
from mlxoss.engine.mlx.lm import (
    BatchGenerator,
    BatchRotatingKVCache,
    GenerationBatch,
    PromptProcessingBatch,
)
from mlxoss.engine.mlx.logit_mask import LogitMask
from mlxoss.engine.mlx.model import LayerCache, Network, Progress
from mlxoss.engine.mlx.row_caches import (
    RowCaches,
    SplitRowCaches,
    start_row,
    tokens_wide,
)
from mlxoss.engine.mlx.sequence import BatchRow, Highest
from mlxoss.engine.mlx.wiring import mlx_lm_without_wiring
from mlxoss.engine.prefix_cache.held import Held


class GuardedGeneration(RowCaches, GenerationBatch):  # type: ignore[misc]
    """Sequences that decode. Every row's processors are a tuple of its ``BatchRow``."""

    _planned: list[list[int]] | None = None

    def plan_runs(self) -> list[list[int]]:
        """Ids that ``next`` will feed along with those that are due; none may leave until then."""
        if self._planned is None:
            self._planned = self._forced_runs() if self.uids else []
        return self._planned

    def set_runs(self, runs: list[list[int]]) -> None:
        """Have ``next`` feed these; none at all for no row if there are no lists."""
        self._planned = runs

    @property
    def longest_run(self) -> int:
        """How many ids ``next`` will feed along with those that are due, the same in each row."""
        if not self.uids:
            return 0
        lefts = zip(self.max_tokens, self._num_tokens, strict=True)
        most: int = min(
            *(row.sure for row in self._rows()), *(most - done - 1 for most, done in lefts)
        )
        if most > 0 and computes_on_metal():
            known = tokens_wide(self.prompt_cache)
            most = tokens_at_once(1 + most, len(self.uids), known, self.model.args) - 1
        return max(0, most)

    def take_due(self, uid: int) -> Progress | None:
        """The response for the id that ``next`` would feed in the row ``uid``, which must leave
        then; ``None`` if it is not here. Waits for the device."""
        if uid not in self.uids:
            return None
        index = self.uids.index(uid)
        logprobs = self._next_logprobs[index]
        if logprobs is not None:
            mx.eval(logprobs)
        (response,) = self._respond(index, (int(self._next_tokens[index].item()),), logprobs)
        return response

    def next(self) -> list[Progress]:
        """Responses of one step: one per row, or one per row and id of the forced runs."""
        if not self.uids:
            return []
        self.settle()
        runs = self.plan_runs() or [[] for _ in self.uids]
        self._planned = None
        ids, logprobs = self._run_step(runs)
        rows = self._rows()
        responses: list[Progress] = []
        keep: list[int] = []
        for index, (first, run) in enumerate(zip(ids, runs, strict=True)):
            if rows[index].is_spoiled:
                keep.append(index)  # its failure is told, and takes it out, with all others
                continue
            taken = self._respond(index, (first, *run), logprobs[index])
            responses += taken
            if taken[-1].finish_reason is None:
                keep.append(index)
        if len(keep) < len(ids):
            self.filter(keep)
        return responses

    def _respond(
        self, index: int, ids: tuple[int, ...], logprobs: mx.array | None
    ) -> list[Progress]:
        responses: list[Progress] = []
        for token_id in ids:
            self._num_tokens[index] += 1
            finish = "length" if self._num_tokens[index] >= self.max_tokens[index] else None
            if self._matchers[index].advance(token_id):
                finish = "stop"
            cache = tokens = None
            if finish is not None:
                cache, tokens = self.extract_cache(index), self.tokens[index]
            uid = self.uids[index]
            responses.append(self.Response(uid, token_id, logprobs, finish, cache, tokens))
            if finish is not None:
                break
        return responses

    def _rows(self) -> list[BatchRow]:
        return [processors[0] for processors in self.logits_processors]

    def _forced_runs(self) -> list[list[int]]:
        """Ids to feed along with those that are due, equally many per row.

        Where one row had more, every other one would be padded: its KV cache moved back into place
        as a whole, and longer by the padding for good (``tests/benchmarks/guard.py`` has figures).
        """
        most = self.longest_run
        return [row.forced_run(most) for row in self._rows()]

    def _step(self) -> tuple[list[int], list[mx.array | None]]:
        return self._run_step([[] for _ in self.uids])

    def _run_step(self, runs: list[list[int]]) -> tuple[list[int], list[mx.array | None]]:
        """Feed the ids that are due and choose the next; the ids fed and their log probabilities.

        ``runs`` follow each row's id in the same forward pass.
        """
        rows = self._rows()
        fed, fed_logprobs = self._next_tokens, self._next_logprobs
        highest = [row.highest for row in rows]
        self._current_tokens, self._current_logprobs = fed, fed_logprobs
        inputs = fed[:, None]
        if any(runs):
            inputs = mx.concatenate([inputs, mx.array(runs, dtype=fed.dtype)], axis=1)
            _put_in_order(self.prompt_cache)
        logits = self.model(inputs, cache=self.prompt_cache)[:, -1, :]
        ids: list[int] | None = None
        if any(row.waits for row in rows):
            mx.async_eval(logits)  # type: ignore[no-untyped-call]
            ids = self._see(rows, fed, highest)
        self._choose(rows, logits, fed)
        if ids is None:
            ids = self._see(rows, fed, highest)
        if wanted := [values for values in fed_logprobs if values is not None]:
            mx.eval(wanted)
        for tokens, token_id, run in zip(self.tokens, ids, runs, strict=True):
            tokens.append(token_id)
            tokens.extend(run)
        return ids, fed_logprobs

    @staticmethod
    def _see(rows: list[BatchRow], fed: mx.array, highest: list[Highest | None]) -> list[int]:
        ids = [int(id_) for id_ in np.asarray(fed)]
        for row, token_id, own in zip(rows, ids, highest, strict=True):
            row.check(own)
            row.see(token_id)
        return ids

    def _choose(self, rows: list[BatchRow], logits: mx.array, fed: mx.array) -> None:
        """Queue the choice of the next ids."""
        restriction = LogitMask([row.plan() for row in rows])
        contexts: list[mx.array] = []
        logits = self._process(rows, logits, fed, contexts)
        wanted: list[mx.array | None] = [None] * len(rows)
        highest: mx.array | None = None
        if restriction.leaves_no_choice and not any(row.needs_every_step for row in rows):
            chosen = restriction.known_ids()
            contexts.append(logits)  # they complete the KV cache
        else:
            wanted = [
                _logprobs(logits[i]) if row.wants_logprobs else None for i, row in enumerate(rows)
            ]
            # Samplers need no sum over the vocabulary, but numbers that are safe to raise e to.
            highest = mx.max(logits, axis=-1, keepdims=True)
            scores = logits - highest
            contexts.append(highest)
            chosen = restriction.settle(_sample(rows, restriction.mask(scores)), fed)
        if not self.model.chooses:
            highest = None
        for index, row in enumerate(rows):
            row.highest = None if highest is None else (highest, index)
        chosen = self.model.agree(chosen, logits)
        self._next_tokens, self._next_logprobs = chosen, wanted
        results = [chosen, *(w for w in wanted if w is not None), *contexts]
        mx.async_eval(results)  # type: ignore[no-untyped-call]

    def _process(
        self, rows: list[BatchRow], logits: mx.array, fed: mx.array, contexts: list[mx.array]
    ) -> mx.array:
        if not any(row.processors for row in rows):
            return logits
        processed = []
        for index, row in enumerate(rows):
            own = logits[index : index + 1]
            if row.processors:
                context = self._token_context[index].update_and_fetch(fed[index : index + 1])
                contexts.append(context)
                own = row.process(context, own)
            processed.append(own)
        return mx.concatenate(processed, axis=0)


def _logprobs(logits: mx.array) -> mx.array:
    return logits - mx.logsumexp(logits)


def _sample(rows: list[BatchRow], scores: mx.array) -> mx.array:
    """One call where the rows share a sampler, else one each."""
    sampler = rows[0].sampler
    if all(row.shares_sampler and row.sampler is sampler for row in rows):
        return sampler(scores)
    return mx.concatenate(
        [row.sample(scores[index : index + 1]) for index, row in enumerate(rows)], axis=0
    )


def _put_in_order(caches: Sequence[LayerCache]) -> None:
    """Turn sliding windows so that their oldest token comes first, before several tokens at once.

    One token at a time goes in round and round; mlx-lm's mask for several takes the window to be
    in order, and where it is not it hides one token too many from rows shorter than the longest.
    """
    for cache in caches:
        if isinstance(cache, BatchRotatingKVCache):
            cache._temporal_order()


def _padding(batch: PromptProcessingBatch | GenerationBatch) -> int:
    longest: int = max(map(len, batch.tokens), default=0)
    return max(0, tokens_wide(batch.prompt_cache) - longest)


class _Prompts(SplitRowCaches, PromptProcessingBatch):  # type: ignore[misc]
    """Prompts being prefilled; those that are done become a ``GuardedGeneration``."""

    last_chunk: tuple[int, float] | None = None

    def prompt(self, tokens: list[list[int]]) -> None:
        """Put the next chunk of each prompt into the caches."""
        self.settle()
        if any(len(ids) > 1 for ids in tokens):
            _put_in_order(self.prompt_cache)
        began = time.perf_counter()
        super().prompt(tokens)
        if tokens:
            longest = max(len(ids) for ids in tokens)
            self.last_chunk = len(tokens) * longest, time.perf_counter() - began

    def generate(self, tokens: list[list[int]]) -> GuardedGeneration:
        if any(len(ids) > 1 for ids in tokens):
            self.prompt([ids[:-1] for ids in tokens])
        generation = GuardedGeneration(
            self.model,
            self.uids,
            mx.array([ids[-1] for ids in tokens], dtype=mx.uint32),
            self.prompt_cache,
            self.tokens,
            self.samplers,
            self.fallback_sampler,
            self.logits_processors,
            self.stop_sequences,
            self.max_tokens,
        )
        generation.plain = self.plain
        return generation


class GuardedGenerator(BatchGenerator):  # type: ignore[misc]
    """mlx-lm's ``BatchGenerator``; insert each sequence with its ``BatchRow`` as its processor.

    ``plain_caches`` is ``RowCaches.plain``. It wires nothing: that is ``wiring``'s.
    """

    def __init__(self, model: Network, *, plain_caches: bool = True, **options: Any) -> None:
        with mlx_lm_without_wiring():
            super().__init__(model, **options)
        self._prompt_batch = _Prompts.empty(
            model, self.sampler, prefill_step_size=self.prefill_step_size
        )
        self._generation_batch = GuardedGeneration.empty(model, self.sampler)
        self._prompt_batch.plain = self._generation_batch.plain = plain_caches

    def _make_batch(self, n: int) -> PromptProcessingBatch:
        waiting = self._unprocessed_sequences
        if n > 1 or not self._prompt_batch.plain:
            return super()._make_batch(n)
        before, caches, after = waiting[0][:3], waiting[0][3], waiting[0][4:]
        waiting[0] = (*before, [], *after)  # of nothing mlx-lm makes no batch caches
        batch = super()._make_batch(n)
        batch.prompt_cache = start_row(caches)
        return batch

    @property
    def decoding(self) -> GuardedGeneration:
        """The sequences that decode."""
        generation: GuardedGeneration = self._generation_batch
        return generation

    @property
    def padding(self) -> int:
        """By how many places the caches are longer than the longest sequence in them."""
        return max(_padding(batch) for batch in (self._prompt_batch, self._generation_batch))

    @property
    def left_tokens(self) -> list[int]:
        """How much of each prompt is left to prefill, where anything is."""
        pieces = [each[0] for each in self._currently_processing]
        pieces += [each[1] for each in self._unprocessed_sequences]
        # The last id of each is a piece of its own, and no part of any chunk.
        return [len(own[0]) for own in pieces if len(own) > 1]

    def held(self, uid: int) -> tuple[tuple[int, ...], Held]:
        """The ids that the caches of a sequence hold, and those caches, to be read at once."""
        ((stage, index),) = self._find_uids([uid]).values()
        if stage == 0:
            caches, tokens = self._unprocessed_sequences[index][3:5]
            return tuple(tokens), Held(caches)
        batch = self._prompt_batch if stage == 1 else self._generation_batch
        return tuple(batch.tokens[index]), Held(batch.prompt_cache, index)

    def settle(self) -> None:
        """After a sequence left give its places back, layer by layer: never are all there twice."""
        for batch in (self._prompt_batch, self._generation_batch):
            batch.settle()

    def take_chunk(self) -> tuple[int, float] | None:
        """The prefill chunk since the last call: its tokens, padding included, and its seconds."""
        prompts: _Prompts = self._prompt_batch
        chunk, prompts.last_chunk = prompts.last_chunk, None
        return chunk
