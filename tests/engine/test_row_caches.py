"""One row in plain caches computes what it would in a batch's, to the bit, as rows come and go."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceFailed, SequenceOutput, SequencePaused, StepOutput
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend, StepPlan
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.lm import BatchKVCache, BatchRotatingKVCache, KVCache, RotatingKVCache
from mlxoss.engine.mlx.model import LanguageModel
from mlxoss.engine.mlx.row_caches import to_batch, to_row
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint, write_quantised
from tests.support.engine.harness import GREEDY, SMALL_VOCAB, make_request, random_prompt
from tests.support.harmony.guarded_turns import MODES

PLENTY = 1 << 28
DRAWN = SamplingParams(temperature=1.0, seed=7)
PLAIN = {KVCache, RotatingKVCache}

Shape = tuple[int, int]
"""Of a pass: rows and tokens."""


class Recorded(LastLogits):
    """Keeps what each pass gave, and in which kinds of caches."""

    def __init__(self, model: LanguageModel, *, plain_caches: bool) -> None:
        super().__init__(model, plain_caches=plain_caches)
        self.passes: list[tuple[Shape, mx.array]] = []
        self.plain: list[Shape] = []

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        logits = super().__call__(inputs, cache)
        rows, tokens = inputs.shape
        self.passes.append(((rows, tokens), logits))
        kinds = {type(each) for each in cache}
        assert kinds <= PLAIN or not kinds & PLAIN
        if kinds <= PLAIN:
            self.plain.append((rows, tokens))
        return logits


@dataclass
class Play:
    """A backend whose steps and chunks come from ``seed``, not from the clock."""

    backend: MlxBackend
    seed: int
    chunks: Sequence[int] = (5, 40, 200)
    ids: dict[int, list[int]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    paused: dict[int, GenerationRequest] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def insert(self, uid: int, request: GenerationRequest) -> int:
        self.running.add(uid)
        return self.backend.insert(uid, request)

    def pause(self, uid: int) -> None:
        if uid in self.running:
            self._take(self.backend.pause(uid))

    def go_on(self) -> None:
        for uid in sorted(self.paused):
            self.insert(uid, self.paused.pop(uid))

    def remove(self, uid: int) -> None:
        if uid in self.running:
            self.backend.remove(uid)
            self.running.discard(uid)

    def step(self, times: int = 1) -> None:
        for _ in range(times):
            if self.running:
                runs = self.backend.plan_step().runs
                self._take(self.backend.run_step(StepPlan(self.rng.choice(self.chunks), runs)))

    def to_end(self) -> None:
        self.go_on()
        while self.running:
            self.step()

    def _take(self, outputs: Iterable[StepOutput]) -> None:
        for output in outputs:
            match output:
                case SequenceOutput(uid, token):
                    self.ids.setdefault(uid, []).append(token.token_id)
                    if token.finish is not None:
                        self.running.discard(uid)
                case SequencePaused(uid, request):
                    self.running.discard(uid)
                    self.paused[uid] = request
                case SequenceFailed():
                    raise output.error


class Both:
    """The same played with plain caches and without: what comes of it must be the same."""

    def __init__(self, model: LanguageModel, seed: int = 0, **options: Any) -> None:
        self.models = [Recorded(model, plain_caches=plain) for plain in (True, False)]
        self.plays = [
            Play(MlxBackend(each, prefixes=PrefixCache(PLENTY, _cuts)), seed, **options)
            for each in self.models
        ]

    def __getattr__(self, name: str) -> Any:
        def call(*values: Any) -> Any:
            first, second = (getattr(play, name)(*values) for play in self.plays)
            assert first == second
            return first

        return call

    def check(self) -> list[Shape]:
        """The shapes of those passes that had plain caches."""
        self.to_end()
        plain, batch = self.models
        assert batch.plain == []
        assert self.plays[0].ids == self.plays[1].ids
        for number, (one, other) in enumerate(zip(plain.passes, batch.passes, strict=True)):
            assert one[0] == other[0]
            assert mx.array_equal(one[1], other[1]), f"pass {number} of {one[0]}"
        return plain.plain

    @property
    def shapes(self) -> list[Shape]:
        return [shape for shape, _ in self.models[0].passes]


def _cuts(ids: Sequence[int], known: int) -> list[int]:
    return [cut for cut in (len(ids) // 2, len(ids) - 1) if cut > known]


def request(length: int, max_tokens: int, seed: int = 0, **options: Any) -> GenerationRequest:
    return make_request(random_prompt(length, seed), max_tokens, **options)


@pytest.fixture(scope="module", params=["float32", "mxfp4 and 8 bits"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    base = write_checkpoint(tmp_path_factory.mktemp("base"), TinyModel(vocab_size=SMALL_VOCAB))
    if request.param == "float32":
        return load_folder(base)
    where = tmp_path_factory.mktemp("quantised")
    return load_folder(write_quantised(where, base, bits=8, mode="mixed", dtype="bfloat16"))


@pytest.mark.parametrize("length", [1, 127, 128, 300])
def test_one_row_through_its_window(model: LanguageModel, length: int) -> None:
    both = Both(model, length)
    both.insert(0, request(length, 140, sampling=DRAWN))
    assert both.check() == both.shapes


def test_one_row_two_one_three_one(either: Any) -> None:
    both = Both(either)
    both.insert(0, request(200, 90))
    both.step(12)
    both.insert(1, request(150, 12, 1, sampling=DRAWN))
    both.step(30)
    both.insert(2, request(129, 9, 2))
    both.insert(3, request(131, 6, 3, sampling=DRAWN))
    plain, shapes = both.check(), both.shapes
    decoding = [rows for rows, tokens in shapes if tokens == 1]
    seen = [rows for at, rows in enumerate(decoding) if decoding[at - 1 : at] != [rows]]
    assert {1, 2, 3} <= set(seen)
    assert seen.count(1) >= 3
    assert plain == [shape for shape in shapes if shape[0] == 1]


def test_a_short_row_beside_a_long_one_waits_until_it_fills_its_window(
    model: LanguageModel,
) -> None:
    both = Both(model, chunks=[400])
    both.insert(0, request(300, 20))
    both.insert(1, request(30, 130, 1))
    plain, shapes = both.check(), both.shapes
    alone = [shape for shape in shapes if shape == (1, 1)]
    assert 0 < len([shape for shape in plain if shape == (1, 1)]) < len(alone) - 50


def test_chunks_of_one_token_beyond_the_window(model: LanguageModel) -> None:
    both = Both(model, chunks=[130])
    both.insert(0, request(140, 3))
    both.step()
    for play in both.plays:
        play.chunks = [1]
    assert both.check() == both.shapes
    assert both.shapes.count((1, 1)) > 9


def test_rows_that_leave_while_they_are_prefilled(model: LanguageModel) -> None:
    both = Both(model, chunks=[60])
    for uid, length in enumerate((300, 280, 90)):
        both.insert(uid, request(length, 10, uid))
    both.step(2)
    both.remove(1)
    both.step(1)
    both.remove(2)
    assert (1, 60) in both.check()


def test_paused_rows_go_on(model: LanguageModel) -> None:
    both = Both(model)
    for uid, length in enumerate((140, 260)):
        both.insert(uid, request(length, 60, uid, sampling=DRAWN))
    both.step(20)
    both.pause(0)
    both.step(5)
    both.pause(1)
    both.go_on()
    both.step(6)
    both.pause(1)
    both.step(3)
    assert both.check()


def test_beginnings_that_are_restored(model: LanguageModel) -> None:
    """By one that goes on with one token, too: that one's place in a full window is the oldest's,
    which the snapshot holds still."""
    both = Both(model)
    known = []
    for uid in range(4):
        known.append(both.insert(uid, request(200, 20)))
        both.to_end()
    both.insert(5, request(200, 20))
    both.step(4)
    known.append(both.insert(6, request(200, 20)))
    assert known == [0, 199, 199, 199, 199]
    assert both.check()
    answers = {tuple(ids) for ids in both.plays[0].ids.values()}
    assert len(answers) == 1


def test_rows_at_random(model: LanguageModel) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    both = Both(model, seed, chunks=(1, 5, 40, 200))
    for uid in range(8):
        length = rng.choice([1, 2, 5, 60, 127, 128, 129, 250])
        sampling = rng.choice([GREEDY, DRAWN])
        both.insert(
            uid, request(length, rng.randint(1, 60), rng.choice([0, uid]), sampling=sampling)
        )
        both.step(rng.randrange(40))
        if rng.random() < 0.3:
            both.remove(rng.randrange(uid + 1))
        if rng.random() < 0.4:
            both.pause(rng.randrange(uid + 1))
            both.step(rng.randrange(10))
        if rng.random() < 0.5:
            both.go_on()
    both.check()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load_folder(write_checkpoint(tmp_path_factory.mktemp("full"), TinyModel(hidden=16)))


@pytest.mark.parametrize("length", [30, 110, 200])
def test_forced_runs_through_the_window(
    full: LanguageModel, guards: GrammarCompiler, length: int
) -> None:
    both = Both(full, chunks=[500])
    guarded = replace(request(length, 60), grammar=guards.compile(MODES["named"]))
    both.insert(0, guarded)
    both.step(12)
    both.insert(1, replace(request(length + 40, 30, 1), grammar=guards.compile(MODES["named"])))
    plain = both.check()
    prefills = {length - 1, length + 39}
    assert [shape for shape in plain if shape[1] > 1 and shape[1] not in prefills]


@pytest.mark.parametrize("lengths", [(3,), (127, 1), (127, 1, 1), (300,), (300, 1), (100, 90, 1)])
def test_there_and_back_are_the_same_arrays(model: LanguageModel, lengths: Sequence[int]) -> None:
    runs = LastLogits(model)
    caches = runs.make_caches(1)
    for length in lengths:
        mx.eval(runs(mx.array([random_prompt(length)]), cache=caches))
    for cache in caches:
        batch = to_batch(cache)
        assert type(batch) in (BatchKVCache, BatchRotatingKVCache)
        assert to_batch(batch) is batch
        again = to_row(batch, sum(lengths))
        assert (again.keys is cache.keys, again.values is cache.values) == (True, True)
        assert vars(again) == vars(cache)


def peak_of(play: Play) -> int:
    """The most that one step takes beside what is there before it, in bytes."""
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    play.step()
    return mx.get_peak_memory() - before


def test_rows_that_meet_and_part_are_never_there_twice(tmp_path: Path) -> None:
    """Many layers, of which one at a time is put together: joined, and taken apart again."""
    size = TinyModel(vocab_size=SMALL_VOCAB, layers=16)
    play = Play(MlxBackend(LastLogits(load_folder(write_checkpoint(tmp_path, size)))), 0, [1000])
    decoding = play.backend._generator.decoding
    for uid in range(2):
        play.insert(uid, request(700, 40, uid))
        while uid not in play.ids:
            joining = peak_of(play)
    size_of_both = sum(cache.nbytes for cache in decoding.prompt_cache)
    play.remove(1)
    parting = peak_of(play)
    assert {type(cache) for cache in decoding.prompt_cache} == PLAIN
    assert max(joining, parting) < size_of_both / 4
