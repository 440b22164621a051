"""The backend on MLX: continuous batching by mlx-lm's ``BatchGenerator``.

Only this file and ``decode`` know it. What it does that this file relies on (mlx-lm 0.32.2,
``mlx_lm/generate.py``): each ``next()`` runs one decode step for the sequences that decode, then
one chunk of each prompt that is being prefilled; a decode step hands out the token sampled in the
step before, so processors and samplers run one token ahead of what is delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import mlx.core as mx

from mlxoss.core import FinishReason, GenerationRequest, TokenOutput
from mlxoss.engine.backend import (
    PrefixCacheStatus,
    SequenceFailed,
    SequenceOutput,
    SequencePaused,
    SequencePrefilled,
    StepOutput,
)
from mlxoss.engine.capacity import PREFILL_TOKENS, Room, most_pairs, tokens_at_once
from mlxoss.engine.mlx.decode import GuardedGenerator
from mlxoss.engine.mlx.device import computes_on_metal, spark
from mlxoss.engine.mlx.grammar_cursor import GrammarCursor
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.lm import StopSequences
from mlxoss.engine.mlx.memory import give_back
from mlxoss.engine.mlx.model import LanguageModel, Progress
from mlxoss.engine.mlx.prefill_chunks import PrefillChunks, least_tokens
from mlxoss.engine.mlx.sampling import (
    LogitsProcessor,
    Penalties,
    Samplers,
    os_entropy,
    to_token_logprob,
)
from mlxoss.engine.mlx.sequence import BatchRow, length_after
from mlxoss.engine.mlx.wiring import let_go, unwire, wire_again, wire_weights
from mlxoss.engine.prefix_cache.cache import MOVING_TOKENS, PrefixCache
from mlxoss.engine.wiring import Wiring, wired_bytes
from mlxoss.errors import InvalidRequest, MemoryExceeded
from mlxoss.harmony.encoding import RETURN, VOCAB_SIZE

__all__ = ["WARM_STEP_TOKENS", "LanguageModel", "MlxBackend"]

WARM_STEP_TOKENS = 128
"""What a request that comes while a prompt is warmed has to wait for."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """What clocks and grammars decide of a step: ``chunk_tokens`` of each prompt are prefilled, and
    row by row ``runs`` are fed along with the id that is due."""

    chunk_tokens: int
    runs: list[list[int]]


class MlxBackend:
    """A ``Backend`` for an mlx-lm model. Made, used and closed on one thread.

    ``prefill_step_tokens`` bounds what one step prefills, all prompts together, beside
    ``PrefillChunks``. ``entropy`` gives 64 bits for a request without a seed. ``prefixes`` keeps
    what prompts may have in common (``None``: nothing is kept). ``room`` is what the sequences
    share (``None``: they are not bounded).
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        max_batch: int = 8,
        prefill_step_tokens: int = PREFILL_TOKENS,
        entropy: Callable[[], int] = os_entropy,
        prefixes: PrefixCache | None = None,
        room: Room | None = None,
    ) -> None:
        self._model = model if isinstance(model, LastLogits) else LastLogits(model)
        self._vocab_size = int(model.args.vocab_size)
        self._max_batch = max_batch
        self._prefill_step_tokens = prefill_step_tokens
        self._pace = PrefillChunks(
            prefill_step_tokens,
            most_pairs(has_metal=computes_on_metal()),
            least_tokens(model.args.num_local_experts, model.args.num_experts_per_tok),
        )
        self._room = room
        self._prefixes = prefixes or PrefixCache(limit_bytes=0)
        # MLX streams belong to the thread that made them.
        self._stream = mx.new_stream(mx.default_device())
        self._rows: dict[int, BatchRow] = {}
        self._prefilling: set[int] = set()
        self._paused: dict[int, BatchRow] = {}
        self._samplers = Samplers(entropy)
        self._generator = self._make_generator()

    def wire(self, wiring: Wiring) -> None:
        """Wire the weights if they are to be, until ``close``. Before anything else is done."""
        wire_weights(self._model.network, wiring)

    @property
    def prefix_cache(self) -> PrefixCacheStatus:
        """See ``Backend``."""
        return self._prefixes.status

    @property
    def most_tokens(self) -> int | None:
        """See ``Backend``."""
        return None if self._room is None else self._room.most_tokens

    def has_room(self, request: GenerationRequest) -> bool:
        """See ``Backend``."""
        room = self._room
        if room is None or not self._rows or len(request.prompt_ids) >= room.most_tokens:
            return True
        newest = length_after(self.cut(request), room.soon_tokens)
        return room.holds([*self._lengths(room.soon_tokens), newest])

    def insert(self, uid: int, request: GenerationRequest) -> int:
        """See ``Backend``. Raises ``InvalidRequest`` for ids outside the vocabulary and
        ``ContextLengthExceeded`` for a prompt that the memory cannot hold.
        """
        check_request(request, self._vocab_size)
        wire_again()
        request = self.cut(request)
        paused = self._paused.pop(uid, None)
        self._prefixes.claim(request.cache_key, request.prompt_ids)
        with mx.stream(self._stream):
            row = paused or self._make_row(uid, request)
            row.start(request)
            goes_on = paused is not None
            start = self._prefixes.start(
                request.prompt_ids, self._model.make_cache, goes_on=goes_on
            )
            self._prefixes.release(row.held_ids)
            row.begin(start.length, start.boundaries)
            (key,) = self._generator.insert(
                [list(request.prompt_ids[start.length :])],
                max_tokens=[request.max_tokens],
                caches=[start.caches],
                all_tokens=[list(request.prompt_ids[: start.length])],
                logits_processors=[(row,)],
                stop_sequences=[StopSequences([(stop_id,) for stop_id in request.stop_ids])],
            )
        self._rows[key] = row
        self._prefilling.add(key)
        return start.length

    def _make_row(self, uid: int, request: GenerationRequest) -> BatchRow:
        follower = None
        if request.grammar is not None:
            follower = GrammarCursor(request.grammar.make_matcher())
        processors = self.make_processors(request)
        return BatchRow(uid, request, processors, self._samplers.get(request.sampling), follower)

    def fits(self) -> bool:
        """See ``Backend``."""
        room = self._room
        growth = 1 + self._generator.decoding.longest_run
        return room is None or room.holds(self._lengths(growth))

    def pause(self, uid: int) -> Sequence[StepOutput]:
        """See ``Backend``."""
        (key,) = [key for key, row in self._rows.items() if row.uid == uid]
        row = self._rows[key]
        outputs: list[StepOutput] = []
        row.check(row.highest)
        if row.is_spoiled:
            return self._drop_failed()
        with mx.stream(self._stream):
            row.held_ids, caches = self._generator.held(key)
            self._prefixes.hold(row.held_ids, caches)
            # Sampled already: who samples it again would draw another number.
            due = self._generator.decoding.take_due(key)
            if due is not None:
                outputs.append(self._to_output(due))
            goes_on = key in self._rows
            self._drop(key)
            self._generator.settle()
        if goes_on:
            self._paused[uid] = row
            outputs.append(SequencePaused(uid, row.rest()))
        else:
            self._prefixes.release(row.held_ids)
        return outputs

    def remove(self, uid: int) -> None:
        """See ``Backend``."""
        paused = self._paused.pop(uid, None)
        if paused is not None:
            self._prefixes.release(paused.held_ids)
        for key, row in self._rows.items():
            if row.uid == uid:
                self._give_up(key)
                self._drop(key)
                return

    def step(self) -> Sequence[StepOutput]:
        """See ``Backend``. A failure inside a row's own processors or sampler fails that row."""
        return self.run_step(self.plan_step())

    def plan_step(self) -> StepPlan:
        """What the next step will do; nothing else may come between."""
        return StepPlan(self._chunk_tokens(), self._generator.decoding.plan_runs())

    def run_step(self, plan: StepPlan) -> Sequence[StepOutput]:
        """Do what was planned, here or on another rank."""
        self._generator.prefill_step_size = plan.chunk_tokens
        self._generator.decoding.set_runs(plan.runs)
        prompts, responses = self._generator.next()
        if chunk := self._generator.take_chunk():
            self._pace.measured(*chunk)
        outputs: list[StepOutput] = [self._to_prefilled(prompt) for prompt in prompts]
        self._keep_snapshots(prompts, responses)
        outputs += [self._to_output(response) for response in responses]
        return outputs + self._drop_failed()

    def _drop_failed(self) -> list[StepOutput]:
        """Take out all rows in which something failed."""
        failed: list[StepOutput] = []
        for key in [key for key, row in self._rows.items() if row.error is not None]:
            row = self._rows[key]
            assert row.error is not None
            if row.is_spoiled:
                self.distrust()
            self._drop(key)
            failed.append(SequenceFailed(row.uid, row.error))
        return failed

    def warm(self, prompt_ids: tuple[int, ...]) -> bool:
        """See ``Backend``."""
        if not self.can_warm(prompt_ids):
            return False
        wire_again()
        with mx.stream(self._stream):
            return self._prefixes.advance(prompt_ids, self._model, WARM_STEP_TOKENS)

    def can_warm(self, prompt_ids: tuple[int, ...]) -> bool:
        """Whether the memory holds it."""
        check_ids(prompt_ids, self._vocab_size)
        return self.most_tokens is None or len(prompt_ids) <= self.most_tokens

    def distrust(self) -> None:
        """Forget what was computed since the model was loaded: some of it was no number."""
        self._prefixes.distrust()

    def rest(self) -> None:
        """See ``Backend``."""
        mx.clear_cache()

    def let_go(self) -> None:
        """See ``Backend``: unwire the weights, where what prompts have in common is on the disk."""
        if not wired_bytes():
            return
        with mx.stream(self._stream):
            can = self._prefixes.leave_memory(self._model.make_cache)
        if can:
            # What is still there would be wired next time: log probabilities of the last step too.
            self._generator = self._make_generator()
            give_back()
            let_go()

    def keep_warm(self) -> None:
        """See ``Backend``."""
        with mx.stream(self._stream):
            spark()

    def rebuild(self) -> None:
        """See ``Backend``."""
        self._wait()
        self._rows.clear()
        self._prefilling.clear()
        # Whatever spoiled the batch may have been kept.
        self._prefixes.distrust()
        self._generator = self._make_generator()
        mx.clear_cache()

    def close(self) -> None:
        """See ``Backend``. The object is of no use afterwards."""
        self._generator.close()
        # The next step is already under way; its arrays are free only when it is done.
        self._wait()
        unwire()
        with mx.stream(self._stream):
            self._prefixes.close(
                self._model.make_cache, map(self._generator.held, self._prefilling)
            )
        self._rows.clear()
        self._paused.clear()
        self._samplers.clear()
        del self._generator, self._model
        give_back()

    def _wait(self) -> None:
        """Wait for all that is queued, and drop its failure.

        Metal keeps one until somebody meets it, and what was queued behind work that failed fails
        too, later: the next batch would meet that.
        """
        with suppress(RuntimeError):
            mx.synchronize(self._stream)

    def _make_generator(self) -> GuardedGenerator:
        return GuardedGenerator(
            self._model,
            completion_batch_size=self._max_batch,
            prefill_batch_size=self._max_batch,
            prefill_step_size=self._prefill_step_tokens,
            stream=self._stream,
            plain_caches=self._model.plain_caches,
        )

    def _lengths(self, more: int) -> list[int]:
        """How long the sequences count for as, once each has ``more`` tokens."""
        padding = self._generator.padding
        return [row.length_after(more) + padding for row in self._rows.values()]

    def _chunk_tokens(self) -> int:
        """Tokens per prompt. mlx-lm pads all prompts to the longest chunk, in places that only go
        with the next one that is done: so none is much longer than the shortest.
        """
        rows = [self._rows[key] for key in self._prefilling]
        if not rows:
            return self._prefill_step_tokens
        known = max(row.known_tokens for row in rows)
        beside_decoding = len(self._rows) > len(rows)
        tokens = self._pace.chunk_tokens(len(rows), known, beside_decoding=beside_decoding)
        tokens = self._pace.fit(tokens, self._generator.left_tokens)
        if computes_on_metal():
            tokens = tokens_at_once(tokens, len(rows), known + tokens, self._model.args)
        return tokens

    def cut(self, request: GenerationRequest) -> GenerationRequest:
        """``request`` with an answer that the memory holds."""
        most = self.most_tokens
        if most is None:
            return request
        left = most - len(request.prompt_ids)
        if left < 1:
            raise MemoryExceeded(len(request.prompt_ids), most)
        return replace(request, max_tokens=min(request.max_tokens, left))

    def make_processors(self, request: GenerationRequest) -> Sequence[LogitsProcessor]:
        """The request's logits processors, in their order."""
        if not Penalties.wanted(request.sampling):
            return []
        return [Penalties(request.sampling, self._vocab_size)]

    def _to_prefilled(self, prompt: Progress) -> SequencePrefilled:
        row = self._rows[prompt.uid]
        done, _ = prompt.progress
        tokens = done - row.prefilled_tokens
        row.prefilled_tokens = done
        if prompt.end_of_prompt:
            self._prefilling.discard(prompt.uid)
        return SequencePrefilled(row.uid, tokens)

    def _keep_snapshots(self, prompts: Sequence[Progress], responses: Sequence[Progress]) -> None:
        """Keep what this step brought past a boundary or to an end, or far from the last one."""
        with mx.stream(self._stream):
            for prompt in prompts:
                if not prompt.end_of_prompt:
                    self._keep_progress(prompt)
            for response in responses:
                # What follows an answer is never <|return|> but <|end|>.
                if response.finish_reason is not None and response.token != RETURN:
                    self._prefixes.keep(tuple(response.all_tokens), response.prompt_cache)

    def _keep_progress(self, prompt: Progress) -> None:
        row = self._rows[prompt.uid]
        ids, held = self._generator.held(prompt.uid)
        for length in row.pass_boundaries():
            self._prefixes.keep(ids[:length], held.at(length))
        if row.known_tokens - row.kept_tokens >= MOVING_TOKENS:
            row.kept_tokens = row.known_tokens
            self._prefixes.keep(ids, held, towards=row.request.prompt_ids)

    def _give_up(self, key: int) -> None:
        """Keep what was prefilled of a prompt whose end was not reached: it may come again."""
        if key in self._prefilling:
            with mx.stream(self._stream):
                prompt_ids = self._rows[key].request.prompt_ids
                self._prefixes.give_up(*self._generator.held(key), prompt_ids)

    def _to_output(self, response: Progress) -> SequenceOutput | SequenceFailed:
        row = self._rows[response.uid]
        top = row.request.sampling.top_logprobs
        logprob = None
        if top is not None:
            try:
                logprob = to_token_logprob(response.logprobs, response.token, top)
            except ArithmeticError as error:
                self._drop(response.uid)
                return SequenceFailed(row.uid, error)
        row.say(response.token)
        finish = None
        if response.finish_reason is not None:
            finish = FinishReason(response.finish_reason)
            # It has left the generator; what its row raised one token ahead no longer matters.
            del self._rows[response.uid]
        return SequenceOutput(row.uid, TokenOutput(response.token, finish, logprob))

    def _drop(self, key: int) -> None:
        self._rows.pop(key, None)
        self._prefilling.discard(key)
        with mx.stream(self._stream):
            self._generator.remove([key])


def check_ids(ids: tuple[int, ...], vocab_size: int) -> None:
    """Raise ``ValueError`` for a prompt that is empty or leaves the vocabulary."""
    if not ids:
        raise ValueError("the prompt is empty")
    # MLX does not check indices: one beyond the table reads other memory.
    if min(ids) < 0 or max(ids) >= vocab_size:
        raise ValueError(f"a prompt id is outside the vocabulary of {vocab_size}")


def check_request(request: GenerationRequest, vocab_size: int) -> None:
    """Raise ``ValueError`` as ``check_ids`` does, and ``InvalidRequest`` for a bias of no token."""
    check_ids(request.prompt_ids, vocab_size)
    if request.grammar is not None and vocab_size != VOCAB_SIZE:
        raise ValueError(f"grammars are about {VOCAB_SIZE} tokens, not {vocab_size}")
    for token_id in request.sampling.logit_bias:
        if not 0 <= token_id < vocab_size:
            raise InvalidRequest(
                f"Token id {token_id} is outside the vocabulary of {vocab_size}.",
                param="logit_bias",
            )
