"""Models that write nonsense: whatever the ids, every answer is in order and every turn ends."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from mlxoss.config import Config
from mlxoss.core import GenerationRequest, TokenLogprob
from mlxoss.engine.backend import Backend, PrefixCacheStatus, SequenceOutput, StepOutput
from mlxoss.harmony.encoding import STOP_IDS, Encoding
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.http import Answer
from tests.support.server.harness import DATE, ask_chat, running, sse_payloads
from tests.support.waiting import until

pytestmark = pytest.mark.slow

BATCH = 16
FUNCTION: Any = {"type": "function", "function": {"name": "f"}}

# Control tokens but those that end a turn, and the words of headers: these do most harm.
STRUCTURE = (200_003, 200_005, 200_006, 200_007, 200_008, 200_013)
HEADER_WORDS = " analysis commentary final assistant to=functions.f json user"


class Relabelled:
    """A backend whose model knows few ids, each standing for one of ``ids``.

    Sampling from the full vocabulary is slow on a CPU, and hardly ever yields a control token.
    """

    def __init__(self, inner: Backend, ids: Sequence[int]) -> None:
        self._inner = inner
        self._ids = ids
        self._stops = frozenset(i for i, token in enumerate(ids) if token in STOP_IDS)
        self.remove = inner.remove
        self.rest = inner.rest
        self.let_go = inner.let_go
        self.keep_warm = inner.keep_warm
        self.warm = lambda prompt_ids: False
        self.rebuild = inner.rebuild
        self.close = inner.close
        self.has_room = inner.has_room
        self.fits = inner.fits
        self.pause = inner.pause
        self.most_tokens = inner.most_tokens

    @property
    def prefix_cache(self) -> PrefixCacheStatus | None:
        return self._inner.prefix_cache

    def insert(self, uid: int, request: GenerationRequest) -> int:
        prompt = tuple(token % len(self._ids) for token in request.prompt_ids)
        inner = dataclasses.replace(request, prompt_ids=prompt, stop_ids=self._stops)
        return self._inner.insert(uid, inner)

    def step(self) -> Sequence[StepOutput]:
        return [self._relabel(output) for output in self._inner.step()]

    def _relabel(self, output: StepOutput) -> StepOutput:
        if not isinstance(output, SequenceOutput):
            return output
        token = output.token
        logprob = token.logprob
        if logprob is not None:
            top = tuple((self._ids[id_], value) for id_, value in logprob.top)
            logprob = TokenLogprob(logprob.logprob, top)
        renamed = dataclasses.replace(token, token_id=self._ids[token.token_id], logprob=logprob)
        return SequenceOutput(output.uid, renamed)


def make_ids(encoding: Encoding, chance: random.Random, count: int) -> list[int]:
    """``count`` ids to relabel with: a third is structure, the rest is of the whole vocabulary."""
    structure = [*STRUCTURE, *encoding.encode_text(HEADER_WORDS)]
    ids = [*chance.choices(structure, k=count // 3), *STOP_IDS]
    return ids + [chance.randrange(encoding.vocab_size) for _ in range(count - len(ids))]


def load(folder: Path) -> Backend:
    from mlxoss.engine.checkpoint.loader import load_folder
    from mlxoss.engine.mlx.batch import MlxBackend

    return MlxBackend(load_folder(folder), max_batch=BATCH)


def options(chance: random.Random, tokens: int) -> dict[str, Any]:
    """A request of many kinds; its answer has at most ``tokens`` tokens."""
    wanted: dict[str, Any] = {
        "temperature": 1,
        "max_tokens": tokens,
        "stream": chance.random() < 0.5,
        "messages": [{"role": "user", "content": f"Question {chance.random()}"}],
    }
    if chance.random() < 0.5:
        wanted["tools"] = [FUNCTION]
    if chance.random() < 0.2:
        wanted["stop"] = ["e", " a"]
    if chance.random() < 0.2:
        wanted |= {"logprobs": True, "top_logprobs": 2}
    if wanted["stream"] and chance.random() < 0.5:
        wanted["stream_options"] = {"include_usage": True}
    return wanted


def check(answer: Answer, wanted: dict[str, Any]) -> None:
    """Assert that ``answer`` is one the official client accepts, with one ending."""
    assert answer.status == 200, answer.body
    if not wanted["stream"]:
        completion = ChatCompletion.model_validate(answer.json, strict=True)
        assert completion.choices[0].finish_reason in ("stop", "length", "tool_calls")
        assert completion.usage is not None
        assert 1 <= completion.usage.completion_tokens <= wanted["max_tokens"]
        return
    *payloads, done = sse_payloads(answer.body)
    assert done == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate(json.loads(p), strict=True) for p in payloads]
    reasons = [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason]
    assert len(reasons) == 1
    assert (chunks[-1].usage is not None) == ("stream_options" in wanted)


def soak(
    load_backend: Callable[[], Backend], encoding: Encoding, requests: Sequence[dict[str, Any]]
) -> int:
    """Ask everything, check every answer; return how many kinds of recovery there were."""
    config = Config(date=DATE, max_batch=BATCH)
    with (
        running(load_backend, lambda: encoding, config=config) as server,
        ThreadPoolExecutor(24) as pool,
    ):
        answers = pool.map(lambda wanted: ask_chat(server, **wanted), requests)
        for answer, wanted in zip(answers, requests, strict=True):
            check(answer, wanted)
        until(lambda: server.services.engine.status().active == 0)
        return len(server.services.turns.recoveries)


def test_300_turns_of_200_arbitrary_tokens(tmp_path: Path, encoding: Encoding) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    size = TinyModel(vocab_size=1000, hidden=32, seed=seed)
    folder = write_checkpoint(tmp_path / "random", size)
    ids = make_ids(encoding, chance, size.vocab_size)
    requests = [options(chance, 200) for _ in range(300)]
    kinds = soak(lambda: Relabelled(load(folder), ids), encoding, requests)
    assert kinds >= 10


def test_the_whole_vocabulary(tmp_path: Path, encoding: Encoding) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    folder = write_checkpoint(tmp_path / "random", TinyModel(hidden=32, seed=seed))
    bias = {str(token): 8 for token in (*STRUCTURE, *encoding.encode_text(HEADER_WORDS))}
    requests = [options(chance, 20) | {"logit_bias": bias} for _ in range(48)]
    assert soak(lambda: load(folder), encoding, requests) >= 5
