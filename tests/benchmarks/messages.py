"""What the messages of a prompt cost its prefill, as ratios of one run.

Run with ``python -m tests.benchmarks.messages``. A random model prefills prompts such as a coding
agent sends, without knowing any of them: tools, instructions and a question, and the same after
``--messages`` more calls and results of 30 to 60 tokens. Two backends keep the same snapshots. One
is what is served: snapshots are cut out of the chunks. The chunks of the other end wherever one is
kept. Else a chunk is of 1024 tokens, not by the clock, which other work on the machine would move.
They take turns, and medians of ``--rounds`` are shown: forward passes, each of which reads all
weights, and the CPU time to the first token.
"""

from __future__ import annotations

import argparse
import datetime
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlxoss.core import GenerationRequest
from mlxoss.engine.backend import SequencePrefilled, StepOutput
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend, StepPlan
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.harmony.boundaries import find_boundaries
from mlxoss.harmony.conversation import (
    Conversation,
    FunctionCall,
    FunctionResult,
    FunctionTool,
    Item,
    UserText,
)
from mlxoss.harmony.encoding import Encoding, load_encoding
from mlxoss.harmony.prompt import render_prompt
from tests.benchmarks.prefix import LIMIT_BYTES, first_token_s
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import WatchedModel

Ids = tuple[int, ...]

CHUNK = 1024
WORDS = ["harbour", "boat", "rope", "sail", "wind", "salt", "gull", "tide"]


class OneLength(MlxBackend):
    """Its chunks are of one length."""

    def plan_step(self) -> StepPlan:
        return replace(super().plan_step(), chunk_tokens=CHUNK)


class EndingAtBoundaries(OneLength):
    """One prompt at a time, whose chunks end wherever a snapshot is kept."""

    _ends: list[int] = []  # noqa: RUF012 - set for each prompt
    _known = 0

    def insert(self, uid: int, request: GenerationRequest) -> int:
        self._known = super().insert(uid, request)
        self._ends = find_boundaries(request.prompt_ids, self._known)
        return self._known

    def plan_step(self) -> StepPlan:
        plan = super().plan_step()
        left = [end - self._known for end in self._ends if end > self._known]
        return replace(plan, chunk_tokens=min([plan.chunk_tokens, *left]))

    def run_step(self, plan: StepPlan) -> list[StepOutput]:
        outputs = list(super().run_step(plan))
        self._known += sum(o.tokens for o in outputs if isinstance(o, SequencePrefilled))
        return outputs


def some_text(rng: random.Random, tokens: int) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(tokens))


def make_prompts(encoding: Encoding, count: int) -> dict[str, Ids]:
    """By what they are."""
    rng = random.Random(1)
    tools = [FunctionTool(f"tool_{n}", some_text(rng, 60)) for n in range(8)]
    instructions = some_text(rng, 900)
    items: list[Item] = [UserText(some_text(rng, 40))]

    def render() -> Ids:
        date = datetime.date(2026, 11, 22)
        asked = Conversation(tuple(items), date, instructions, tuple(tools))
        return tuple(render_prompt(encoding, asked))

    prompts = {"tools, instructions, a question": render()}
    for _ in range(count // 2):
        items.append(FunctionCall("tool_1", f'{{"a": "{some_text(rng, rng.randint(10, 40))}"}}'))
        items.append(FunctionResult("tool_1", some_text(rng, rng.randint(20, 50))))
    return prompts | {f"and {count} short messages": render()}


@dataclass
class Trial:
    """One of the two ways."""

    make: Callable[..., MlxBackend]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)

    def run(self, model: LanguageModel, prompts: dict[str, Ids]) -> None:
        """One more round."""
        for name, ids in prompts.items():
            lengths: list[int] = []
            watched = WatchedModel(model, lambda _, n, seen=lengths: seen.append(n))  # type: ignore[misc]
            backend = self.make(watched, prefixes=PrefixCache(LIMIT_BYTES))
            began = time.process_time()
            first_token_s(backend, ids)
            self.seconds.setdefault(name, []).append(time.process_time() - began)
            self.passes[name] = sum(n > 1 for n in lengths)
            self.entries[name] = backend.prefix_cache.entries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--messages", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    encoding = load_encoding()
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
    old, new = Trial(EndingAtBoundaries), Trial(OneLength)
    prompts = make_prompts(encoding, options.messages)
    for number in range(options.rounds):
        for trial in (old, new) if number % 2 else (new, old):
            trial.run(model, prompts)
    for name, ids in prompts.items():
        ratios = [n / o for n, o in zip(new.seconds[name], old.seconds[name], strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        assert old.entries[name] == new.entries[name]
        print(
            f"{name:32} {len(ids):5} tokens, {new.entries[name]} snapshots: "
            f"{new.passes[name]} passes instead of {old.passes[name]}, {middle:.2f} x the time "
            f"({low:.2f} to {high:.2f}; {statistics.median(new.seconds[name]) * 1e3:.0f} ms)"
        )


if __name__ == "__main__":
    main()
