"""What the engine's tests share: running an engine, collecting what it says, references."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.generate import generate_step

from mlxoss.core import GenerationRequest, SamplingParams, TokenOutput
from mlxoss.engine.backend import Backend, SequenceFailed, SequenceOutput, StepOutput
from mlxoss.engine.engine import Engine
from mlxoss.engine.generation import Generation
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.cache import Boundaries, PrefixCache
from mlxoss.errors import GenerationCancelled, MlxossError
from mlxoss.harmony.boundaries import find_boundaries
from tests.support.reference.judge import check_likeliest, check_logits

GREEDY = SamplingParams(temperature=0.0)
SMALL_VOCAB = 2000


def make_request(
    prompt: Iterable[int],
    max_tokens: int = 16,
    sampling: SamplingParams = GREEDY,
    stop_ids: Iterable[int] = (),
) -> GenerationRequest:
    return GenerationRequest(tuple(prompt), max_tokens, frozenset(stop_ids), sampling)


def random_prompt(length: int, seed: int = 0) -> list[int]:
    rng = random.Random(f"{length} {seed}")
    return [rng.randrange(SMALL_VOCAB) for _ in range(length)]


@dataclass
class Running:
    """An engine under test; ``fatal`` collects what ``on_fatal`` was told."""

    engine: Engine
    fatal: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def running_engine(load: Callable[[], Backend], **options: Any) -> AsyncIterator[Running]:
    running = Running(Engine(load, **options))
    running.engine.start(asyncio.get_running_loop(), running.fatal.append)
    try:
        async with asyncio.timeout(300):
            yield running
    finally:
        await running.engine.close()


@dataclass(frozen=True)
class Outcome:
    """How a generation went: its tokens and its one ending (None: it finished)."""

    tokens: tuple[TokenOutput, ...]
    error: MlxossError | None

    @property
    def ids(self) -> list[int]:
        return [token.token_id for token in self.tokens]

    @property
    def ending(self) -> str:
        if isinstance(self.error, GenerationCancelled):
            return "cancelled"
        return "finished" if self.error is None else "failed"


async def collect(generation: Generation) -> Outcome:
    tokens: list[TokenOutput] = []
    error = None
    try:
        async for some in generation:
            assert some
            tokens += some
    except MlxossError as ending:
        error = ending
    finishes = [token.finish is not None for token in tokens]
    assert not any(finishes[:-1])
    assert (finishes[-1:] == [True]) == (error is None)
    return Outcome(tuple(tokens), error)


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop run until ``condition`` holds (the caller's timeout bounds it)."""
    while not condition():
        await asyncio.sleep(0.001)


def make_backend(
    model: LanguageModel,
    *,
    limit_bytes: int = 0,
    boundaries: Boundaries = find_boundaries,
    **options: Any,
) -> MlxBackend:
    """A backend for ``model`` with a prefix cache; a model may know how to make its own."""
    make: Callable[..., MlxBackend] | None = getattr(model, "make_backend", None)
    if make is not None:
        return make(limit_bytes=limit_bytes, boundaries=boundaries, **options)
    return MlxBackend(model, prefixes=PrefixCache(limit_bytes, boundaries), **options)


def drain(backend: Backend, uids: Iterable[int]) -> dict[int, Outcome]:
    """Step ``backend`` on this thread until all of ``uids`` have ended; others' tokens are lost."""
    tokens: dict[int, list[TokenOutput]] = {uid: [] for uid in uids}
    ended: dict[int, Outcome] = {}
    while len(ended) < len(tokens):
        for output in backend.step():
            if output.uid not in tokens:
                continue
            match output:
                case SequenceOutput(uid, token):
                    assert uid not in ended
                    tokens[uid].append(token)
                    if token.finish is not None:
                        ended[uid] = Outcome(tuple(tokens[uid]), None)
                case SequenceFailed(uid, error):
                    failure = MlxossError(str(error))
                    ended[uid] = Outcome(tuple(tokens[uid]), failure)
    return ended


def run_batch(backend: Backend, requests: Sequence[GenerationRequest]) -> list[Outcome]:
    """Run ``requests`` as one batch on this thread; outcomes in their order."""
    for uid, request in enumerate(requests):
        backend.insert(uid, request)
    ended = drain(backend, range(len(requests)))
    return [ended[uid] for uid in range(len(requests))]


def tokens_of(outputs: Iterable[StepOutput], uid: int) -> list[int]:
    return [
        output.token.token_id
        for output in outputs
        if isinstance(output, SequenceOutput) and output.uid == uid
    ]


def greedy_reference(model: LanguageModel, request: GenerationRequest) -> list[int]:
    """mlx-lm's own one-sequence generator: what batching must not change.

    Where the model can be judged, its tokens are the reference model's too.
    """
    prompt = mx.array(request.prompt_ids)
    steps = generate_step(prompt, model, max_tokens=request.max_tokens)
    ids = [int(token) for token, _ in steps][: request.max_tokens]
    check_likeliest(model, request.prompt_ids, ids)
    return ids


def logits_after(model: LanguageModel, ids: Sequence[int]) -> Any:
    """The model's logits (vocabulary,) after ``ids``, computed in one go without a cache.

    Where the model can be judged, they are the reference model's too.
    """
    logits = np.array(model(mx.array([list(ids)]))[0, -1].astype(mx.float32), dtype=np.float64)
    check_logits(model, ids, logits)
    return logits


@dataclass
class WatchedModel:
    """A real model that counts its calls and can be held or made to raise from outside.

    ``before`` is called on the calling thread with the shape (rows, tokens) of every call.
    """

    model: LanguageModel
    before: Callable[[int, int], None]

    def __post_init__(self) -> None:
        self.args = self.model.args

    def __call__(self, inputs: mx.array, cache: Any = None) -> mx.array:
        self.before(*inputs.shape)
        return self.model(inputs, cache=cache)

    def make_cache(self) -> list[Any]:
        return self.model.make_cache()


@dataclass
class RaiseOnce:
    """Raises ``error`` at the first call after ``armed`` is set, and never again."""

    error: Exception
    armed: threading.Event = field(default_factory=threading.Event)

    def __call__(self, *_: int) -> None:
        if self.armed.is_set():
            self.armed.clear()
            raise self.error


def with_sampling(request: GenerationRequest, **changes: Any) -> GenerationRequest:
    return replace(request, sampling=replace(request.sampling, **changes))
