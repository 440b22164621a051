"""What a round costs in which a tool of the server's ran, beside its new tokens alone.

Run with ``python -m tests.benchmarks.hosted``. A random model with a conversation of about
``--tokens`` tokens calls an instant tool that answers with about ``--answer`` tokens, and goes on
with what it said. Shown is the time from the turn's last token to the next turn's first, in a
response over a real socket: reading the turn, running the call, encoding what it gave, taking the
place and the slot, and prefilling. It is a multiple of what the same new tokens take behind the
same beginning, on the same engine, from the slot to the first token, with nothing around it. The
two take turns, so that a machine's moods meet both; medians of ``--rounds``, and of the pairs'
ratios, are shown.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlxoss.config import Config
from mlxoss.core import GenerationRequest, ModelInfo
from mlxoss.engine.backend import SequenceOutput, StepOutput
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import MlxBackend
from mlxoss.engine.prefix_cache.cache import PrefixCache
from mlxoss.harmony.boundaries import find_boundaries
from mlxoss.harmony.encoding import FIRST_SPECIAL, Encoding, load_encoding
from mlxoss.harmony.grammar.matcher import Forced, Rule
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.server.harness import DATE, Server, running
from tests.support.server.rounds import CODE, python
from tests.support.server.scripts import final, to_ids
from tests.support.server.tools import Scripted

LIMIT_BYTES = 1 << 33
WORDS = ("harbour", "boat", "rope", "sail", "wind", "salt", "gull", "tide")


@dataclass
class Written:
    """A grammar that holds one turn after the other to what it is to say."""

    turns: list[Sequence[int]]

    def compile(self, rules: object) -> Written:
        return self

    def load(self) -> None:
        """Nothing is to be loaded."""

    def make_matcher(self) -> Following:
        return Following(self.turns.pop(0))


@dataclass
class Following:
    """One of these turns."""

    ids: Sequence[int]

    def rule(self) -> Rule:
        return Forced((self.ids[0],))

    def take(self, ids: Sequence[int]) -> None:
        self.ids = self.ids[len(ids) :]


@dataclass
class Timed:
    """A backend that notes when a sequence got its slot, said its first token, and its last;
    ``new`` are the tokens of each prompt that were not known."""

    backend: Any
    began: dict[int, float] = field(default_factory=dict)
    first: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    requests: list[GenerationRequest] = field(default_factory=list)
    new: list[int] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def insert(self, uid: int, request: GenerationRequest) -> int:
        self.requests.append(request)
        self.began[uid] = time.perf_counter()
        known: int = self.backend.insert(uid, request)
        self.new.append(len(request.prompt_ids) - known)
        return known

    def step(self) -> Sequence[StepOutput]:
        outputs: Sequence[StepOutput] = self.backend.step()
        now = time.perf_counter()
        for output in outputs:
            if isinstance(output, SequenceOutput):
                self.first.setdefault(output.uid, now)
                if output.token.finish is not None:
                    self.last[output.uid] = now
        return outputs


def prose(tokens: int, seed: float) -> str:
    """About so many tokens."""
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(tokens))


@dataclass(frozen=True)
class Bench:
    """One server, its backend, and the conversation that is gone on with."""

    server: Server
    timed: Timed
    grammar: Written
    encoding: Encoding
    question: str

    def round_ms(self) -> float:
        """From the end of a turn that called the tool to the next one's first token."""
        self.grammar.turns[:] = [
            to_ids(self.encoding, python("print(page)")),
            to_ids(self.encoding, final("Yes.")),
        ]
        client = self.server.client()
        client.responses.create(model="any", input=self.question, tools=[CODE], store=False)
        first, second = sorted(self.timed.first)[-2:]
        return 1000 * (self.timed.first[second] - self.timed.last[first])

    def alone_ms(self, known: int) -> float:
        """Of the same words in another order, behind the first ``known`` of the last prompt."""
        last = self.timed.requests[-1]
        words = [one for one in last.prompt_ids[known:] if one < FIRST_SPECIAL]
        random.Random(len(self.timed.requests)).shuffle(words)
        left = iter(words)
        new = (next(left) if one < FIRST_SPECIAL else one for one in last.prompt_ids[known:])
        ids = (*last.prompt_ids[:known], *new)
        self.grammar.turns[:] = [to_ids(self.encoding, final("Yes."))]
        request = replace(last, prompt_ids=ids, max_tokens=1)
        future = asyncio.run_coroutine_threadsafe(self._run(request), self.server.loop)
        uid = future.result(600)
        return 1000 * (self.timed.first[uid] - self.timed.began[uid])

    async def _run(self, request: GenerationRequest) -> int:
        generation = self.server.services.engine.submit(request)
        async for _ in generation:
            pass
        return generation.uid

    @property
    def known(self) -> int:
        """How much of the second round's prompt the first one left."""
        first = self.timed.requests[-2]
        return len(first.prompt_ids) + len(to_ids(self.encoding, python("print(page)")))


def main() -> None:
    """Parse the options, measure by turns, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--answer", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    encoding, grammar = load_encoding(), Written([])
    size = TinyModel(hidden=options.hidden, layers=options.layers)
    tools = Scripted()
    number = iter(range(1_000_000))
    tools.python.answer = lambda code, cells: prose(options.answer, next(number))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(Path(folder) / "model", size)
        prefixes = PrefixCache(LIMIT_BYTES, find_boundaries)
        timed = Timed(None)

        def load() -> Any:
            timed.backend = MlxBackend(load_folder(checkpoint), prefixes=prefixes)
            return timed

        with running(
            load,
            lambda: encoding,
            config=Config(date=DATE),
            model=ModelInfo("random", 100_000, 1),
            guards=grammar,  # type: ignore[arg-type]
            tools=tools.tools,
        ) as server:
            bench = Bench(server, timed, grammar, encoding, prose(options.tokens, 0.5))
            report([pair(bench) for _ in range(options.rounds + 2)][2:])


def pair(bench: Bench) -> tuple[float, float]:
    """A round, and its new tokens alone."""
    together = bench.round_ms()
    return together, bench.alone_ms(bench.known)


def report(pairs: Sequence[tuple[float, float]]) -> None:
    """Print the medians."""
    together, alone = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    print("| a round | its tokens alone | ratio |")
    print("|---|---|---|")
    print(f"| {together:.1f} ms | {alone:.1f} ms | {ratio:.2f} |")


if __name__ == "__main__":
    main()
