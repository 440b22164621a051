"""What the prefix cache saves, as ratios of one run.

Run with ``python -m tests.benchmarks.prefix``. A random model knows a conversation of about
``--tokens`` tokens and is given a prompt that goes on from it. The time to the first token is
shown as a multiple of what the new tokens take by themselves: in the same process, on a KV cache
of mlx-lm's that holds the known ones already, with nothing around it. ``cold`` is the same prompt
without the prefix cache, ``restarted`` with what another one left on the disk before. The cases of
a round take turns, so that a machine's moods meet all of them; medians of ``--rounds`` are shown.
The last lines are the bytes kept of a conversation as it grows, and what a whole copy per snapshot
would take.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import itertools
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.prefix_cache.arrays import read_form
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.engine.prefix_cache.disk import DiskTier
from mlxoss.harmony.conversation import (
    Conversation,
    FinalText,
    FunctionCall,
    FunctionResult,
    Item,
    UserText,
)
from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.harmony.prompt import render_prompt
from tests.support.checkpoints import TinyModel, write_checkpoint

Ids = tuple[int, ...]

LIMIT_BYTES = 1 << 33
ANSWER_TOKENS = 16
NEW = "And what of the boats that lie there without a name and without a colour? " * 12
WORDS = " harbour boat rope sail wind salt gull tide"


@dataclass(frozen=True)
class Case:
    """``asked`` was answered and ``warmed`` computed ahead before ``prompt`` comes.

    ``goes_on`` says that it comes after the answer to ``asked``, whatever that is.
    """

    name: str
    asked: Ids
    prompt: Ids
    warmed: Ids = ()
    goes_on: bool = False


def make_cases(encoding: Encoding, tokens: int) -> list[Case]:
    """The second turns of a conversation of about ``tokens`` tokens."""

    def render(*items: Item, instructions: str | None = None) -> Ids:
        date = datetime.date(2026, 11, 22)
        return tuple(render_prompt(encoding, Conversation(items, date, instructions)))

    part = WORDS * (tokens // 64)
    *history, answer = [kind(f"{n}{part}") for n in range(4) for kind in (UserText, FinalText)]
    call = FunctionCall("look", "{}")
    called, looped = (
        render(*history, call),
        render(*history, call, FunctionResult("look", NEW)),
    )
    instructions = part * 8
    return [
        Case(
            "plain chat, after a final",
            render(*history),
            render(*history, answer, UserText(NEW)),
            render(*history, answer),
        ),
        # The result as it is rendered after a call, without the next <|start|>assistant before it.
        Case("tool loop", render(*history), looped[len(called) - 2 :], goes_on=True),
        Case("edited last message", render(*history), render(*history[:-1], UserText(NEW))),
        Case(
            "shared system prompt",
            render(UserText("Hello."), instructions=instructions),
            render(UserText(NEW), instructions=instructions),
        ),
    ]


def first_token_s(backend: MlxBackend, ids: Ids) -> float:
    """Seconds from the prompt to its first token."""
    began = time.perf_counter()
    backend.insert(0, GenerationRequest(ids, 1, frozenset(), SamplingParams(temperature=0.0)))
    while not any(isinstance(output, SequenceOutput) for output in backend.step()):
        pass
    return time.perf_counter() - began


def answer(backend: MlxBackend, ids: Ids, tokens: int = ANSWER_TOKENS) -> Ids:
    """What the model says to ``ids``: so many ``tokens``."""
    params = SamplingParams(temperature=0.0)
    backend.insert(0, GenerationRequest(ids, tokens, frozenset(), params))
    said: list[int] = []
    while len(said) < tokens:
        said += [o.token.token_id for o in backend.step() if isinstance(o, SequenceOutput)]
    return tuple(said)


def prefill(model: LanguageModel, caches: list[Any], ids: Ids) -> None:
    """Put ``ids`` into ``caches`` as mlx-lm does."""
    for start in range(0, len(ids), 2048):
        model(mx.array([ids[start : start + 2048]]), cache=caches)
        mx.eval([cache.state for cache in caches])


def limit_s(model: LanguageModel, caches: list[Any], new: Ids) -> float:
    """Seconds for ``new`` and the first token after it, on top of ``caches``."""
    own = copy.deepcopy(caches)
    mx.eval([cache.state for cache in own])
    began = time.perf_counter()
    if len(new) > 1:
        prefill(model, own, new[:-1])
    mx.eval(mx.argmax(model(mx.array([new[-1:]]), cache=own)[:, -1], axis=-1))
    return time.perf_counter() - began


class Trial:
    """One case, run over and over."""

    def __init__(self, model: LanguageModel, case: Case) -> None:
        self.name = case.name
        self._model = model
        self._case = case
        self._known = model.make_cache()
        said = answer(MlxBackend(model), case.asked) if case.goes_on else ()
        self.prompt = (*case.asked, *said, *case.prompt) if case.goes_on else case.prompt
        before = max(((*case.asked, *said), case.warmed), key=lambda ids: _common(ids, self.prompt))
        # The last token of a prompt is never known.
        self.known = min(_common(before, self.prompt), len(self.prompt) - 1)
        prefill(model, self._known, self.prompt[: self.known])
        self.seconds: dict[str, list[float]] = {
            name: [] for name in ("limit", "cached", "restarted", "cold")
        }
        self.reused = self.read = 0

    def run(self) -> None:
        """One more round."""
        new = self.prompt[self.known :]
        self.seconds["limit"].append(limit_s(self._model, self._known, new))
        self.reused = self._go_on("cached", self._talk(PrefixCache(LIMIT_BYTES)))
        with tempfile.TemporaryDirectory() as folder:
            self._talk(self._on_disk(folder)).close()
            restarted = MlxBackend(self._model, prefixes=self._on_disk(folder))
            self.read = self._go_on("restarted", restarted)
            restarted.close()
        self._go_on("cold", MlxBackend(self._model))

    def _on_disk(self, folder: str) -> PrefixCache:
        form = read_form(self._model)
        assert form is not None
        return PrefixCache(LIMIT_BYTES, disk=DiskTier(Path(folder), LIMIT_BYTES, "random", form))

    def _talk(self, prefixes: PrefixCache) -> MlxBackend:
        """What comes before the prompt."""
        backend = MlxBackend(self._model, prefixes=prefixes)
        answer(backend, self._case.asked)
        while self._case.warmed and backend.warm(self._case.warmed):
            pass
        return backend

    def _go_on(self, name: str, backend: MlxBackend) -> int:
        """Time the prompt; how much of it was known."""
        before = backend.prefix_cache.hit_tokens
        self.seconds[name].append(first_token_s(backend, self.prompt))
        return backend.prefix_cache.hit_tokens - before

    def report(self) -> None:
        """A line."""
        limit, *others = (statistics.median(times) for times in self.seconds.values())
        cached, restarted, cold = (seconds / limit for seconds in others)
        print(
            f"{self.name:26} {self.known:5} known, {self.reused:5} reused, "
            f"{len(self.prompt) - self.known:4} new: {cached:5.2f} x the new tokens alone, "
            f"restarted {restarted:5.2f} x ({self.read} read), cold {cold:5.2f} x "
            f"({limit * 1e3:.0f} ms)"
        )


def _common(one: Ids, other: Ids) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


def report_bytes(model: LanguageModel, encoding: Encoding, turns: int) -> None:
    """The bytes kept as a conversation grows."""
    backend = MlxBackend(model, prefixes=PrefixCache(LIMIT_BYTES))
    question = tuple(encoding.encode_text(NEW))
    boundary = render_prompt(encoding, Conversation((), datetime.date(2026, 11, 22)))
    ids: Ids = tuple(boundary[:-2])
    copies, sizes = 0, [0]
    for turn in range(1, turns + 1):
        ids = (*ids, boundary[-2], 1428, *question, *boundary[-2:])
        ids = (*ids, *answer(backend, ids))
        sizes.append(backend.prefix_cache.bytes)
        whole = model.make_cache()
        prefill(model, whole, ids)
        copies += sum(cache.nbytes for cache in whole)
        if turn in (1, turns // 2, turns):
            steps = [after - before for before, after in itertools.pairwise(sizes)]
            print(
                f"{turn:3} turns, {len(ids):5} tokens: {sizes[-1] / 1e6:6.2f} MB kept, "
                f"{steps[-1] / 1e6:.2f} MB by the last turn; a copy per turn {copies / 1e6:.1f} MB"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turns", type=int, default=20)
    options = parser.parse_args()
    encoding = load_encoding()
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
    trials = [Trial(model, case) for case in make_cases(encoding, options.tokens)]
    for _ in range(options.rounds):
        for trial in trials:
            trial.run()
    for trial in trials:
        trial.report()
    report_bytes(model, encoding, options.turns)


if __name__ == "__main__":
    main()
