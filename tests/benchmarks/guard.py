"""What following a grammar costs a token, and what forced ids save.

Run with ``python -m tests.benchmarks.guard``. A random model decodes under each guard, ``--block``
steps of one guard after as many of another in changing order, ``--rounds`` times over: a machine's
moods meet all of them alike. Each block is compared with the one without a guard in its round; the
medians are shown, and between which bounds they lie in 19 of 20 cases (by resampling the rounds).
``header`` is free text, ``tools`` the arguments of a call, ``schema`` an answer; ``mlx-lm`` is its
own batch generator on the same model. ``host`` is the engine's thread's own work.

Then whole calls whose arguments are mostly fixed: ids that are sure go through the model together,
or one by one. The last lines are about a mixed batch: what a pass would take in which one row has
some sure ids more and every other row is padded, beside a step.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from mlxoss.core import GenerationRequest, Grammar, SamplingParams
from mlxoss.engine.backend import SequenceOutput, StepOutput
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from mlxoss.engine.mlx.last_logits import LastLogits
from mlxoss.engine.mlx.sampling import LogitsProcessor, make_sampler
from mlxoss.harmony.encoding import STOP_IDS, Encoding, load_encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import GrammarMatcher
from mlxoss.harmony.grammar.rules import CallRule, Json, TurnRules
from mlxoss.harmony.grammar.tokenizer import make_guard_tokenizer
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.harmony.walks import to_ids

PROMPT = tuple(range(1000, 1064))
STRINGS = Json({"type": "array", "items": {"type": "string"}, "minItems": 1000})
FIXED = {
    "type": "object",
    "properties": {f"a_rather_long_argument_name_{i}": {"enum": [i, -i]} for i in range(8)},
    "required": [f"a_rather_long_argument_name_{i}" for i in range(8)],
    "additionalProperties": False,
}
CALL = TurnRules(calls=(CallRule("a_long_name", Json(FIXED)),), must_call=True)


@dataclass(frozen=True)
class From:
    """A grammar from behind ``header`` on."""

    grammar: Grammar
    header: list[int]

    def make_matcher(self) -> GrammarMatcher:
        guard: GrammarMatcher = self.grammar.make_matcher()
        guard.take(self.header)
        return guard


GUARDS = {
    "off": None,
    "header": (TurnRules(), "<|channel|>analysis<|message|>"),
    "tools": (
        TurnRules(calls=(CallRule("f", STRINGS),), preambles=True, must_call=True),
        "<|channel|>commentary to=functions.f<|message|>",
    ),
    "schema": (TurnRules(final=STRINGS), "<|channel|>final<|message|>"),
}


def decode_s(backend: MlxBackend, requests: list[GenerationRequest]) -> tuple[float, int]:
    """Seconds from the first token to the last, and how many came."""
    for uid, request in enumerate(requests):
        backend.insert(uid, request)
    ended = tokens = 0
    began = 0.0
    while ended < len(requests):
        outputs = [o for o in backend.step() if isinstance(o, SequenceOutput)]
        if outputs and not began:
            began = time.perf_counter()
        tokens += len(outputs)
        ended += sum(output.token.finish is not None for output in outputs)
    return time.perf_counter() - began, tokens


class Decoding:
    """Sequences that decode side by side, some steps at a time."""

    def __init__(self, step: Callable[[], int], stream: mx.Stream) -> None:
        self._step = step
        self._stream = stream

    def run(self, steps: int) -> tuple[float, float]:
        """Seconds a step: on the clock, and of this thread."""
        mx.synchronize(self._stream)
        began, own = time.perf_counter(), time.thread_time()
        for _ in range(steps):
            self._step()
        mx.synchronize(self._stream)
        return (time.perf_counter() - began) / steps, (time.thread_time() - own) / steps


def start_guard(
    model: LanguageModel, grammar: Grammar | None, streams: int, tokens: int
) -> Decoding:
    """``streams`` sequences of more than ``tokens`` tokens under ``grammar``."""
    request = GenerationRequest(PROMPT, 2 * tokens, frozenset(), SamplingParams(), grammar)
    backend = MlxBackend(model, max_batch=streams)
    for uid in range(streams):
        backend.insert(uid, request)
    return _begun(lambda: _count(backend.step()), backend._stream)


def start_mlx_lm(model: LanguageModel, streams: int, tokens: int) -> Decoding:
    """The same in mlx-lm's own generator."""
    stream = mx.new_stream(mx.default_device())
    sampler = make_sampler(SamplingParams(), seed=1)
    generator = BatchGenerator(model, sampler=sampler, completion_batch_size=streams, stream=stream)
    generator.insert([list(PROMPT)] * streams, max_tokens=[2 * tokens] * streams)
    return _begun(lambda: len(generator.next()[1]), stream)


def _begun(step: Callable[[], int], stream: mx.Stream) -> Decoding:
    while not step():
        pass
    return Decoding(step, stream)


def _count(outputs: Sequence[StepOutput]) -> int:
    return sum(isinstance(output, SequenceOutput) for output in outputs)


def unchanged(_: mx.array, logits: mx.array) -> mx.array:
    """A processor, which every id of its sequence has to pass by itself."""
    return logits


class OneByOne(MlxBackend):
    """Lets every id pass by itself."""

    def make_processors(self, request: GenerationRequest) -> Sequence[LogitsProcessor]:
        return [unchanged]


def time_call(
    model: LanguageModel, guards: GrammarCompiler, streams: int, *, together: bool
) -> tuple[float, int]:
    """Seconds of a whole turn, and its tokens."""
    request = GenerationRequest(
        PROMPT, 160, STOP_IDS, SamplingParams(0.0), From(guards.compile(CALL), [])
    )
    backend = (MlxBackend if together else OneByOne)(model, max_batch=streams)
    seconds, count = decode_s(backend, [request] * streams)
    backend.close()
    return seconds, count // streams


def make_grammars(guards: GrammarCompiler, encoding: Encoding) -> dict[str, Grammar | None]:
    return {
        name: None if guard is None else From(guards.compile(guard[0]), to_ids(encoding, guard[1]))
        for name, guard in GUARDS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--block", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    encoding = load_encoding()
    guards = GrammarCompiler(lambda: make_guard_tokenizer(encoding))
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
        for streams in options.streams:
            report_steps(model, make_grammars(guards, encoding), streams, options)
            report_calls(model, guards, streams, options.rounds // 3)
            if streams > 1:
                for known in (64, 4096):
                    report_mixed(model, streams, known, options.rounds // 3)


def report_steps(
    model: LanguageModel,
    grammars: dict[str, Grammar | None],
    streams: int,
    options: argparse.Namespace,
) -> None:
    tokens = options.rounds * options.block
    runs = {"mlx-lm": start_mlx_lm(model, streams, tokens)}
    for name, grammar in grammars.items():
        runs[name] = start_guard(model, grammar, streams, tokens)
    steps: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    order = list(runs)
    for _ in range(options.rounds):
        random.shuffle(order)
        for name in order:
            steps[name].append(runs[name].run(options.block))
    for name, taken in steps.items():
        ratios = [a / b for (a, _), (b, _) in zip(taken, steps["off"], strict=True)]
        low, high = bounds(ratios)
        host = statistics.median(own for _, own in taken) / streams
        print(
            f"{streams} streams, {name:7}: {statistics.median(ratios):.3f} of off "
            f"({low:.3f} to {high:.3f}), host {host * 1e6:.0f} µs a token",
            flush=True,
        )


def bounds(values: list[float]) -> tuple[float, float]:
    """Between which the median of ``values`` lies in 19 of 20 resamplings."""
    medians = sorted(statistics.median(random.choices(values, k=len(values))) for _ in range(1000))
    return medians[25], medians[-26]


def report_mixed(model: LanguageModel, streams: int, known: int, rounds: int) -> None:
    """What it would take to feed one row's sure ids at once in a batch that knows ``known`` each.

    The other rows are padded behind their one id, and what the padding left in the KV cache is
    moved out of the way: all of each row's cache is, and stays that much longer.
    """
    run, one = LastLogits(model), model.make_cache()
    run(mx.array([list(range(1000, 1000 + known))]), cache=one)
    for sure in (1, 4):
        seconds: list[tuple[float, float]] = []
        for _ in range(rounds):
            step = _pass_s(run, one, [1] * streams)
            seconds.append((step, _pass_s(run, one, [1 + sure, *[1] * (streams - 1)])))
        cost = statistics.median(padded / step for step, padded in seconds)
        print(
            f"{streams} streams of {known} known tokens, one with {sure} sure ids: together "
            f"{cost:.2f} steps; ahead {1 + sure - cost:+.2f} steps, each other one {1 - cost:+.2f}",
            flush=True,
        )


def _pass_s(run: LastLogits, one: list[Any], lengths: list[int]) -> float:
    """Seconds for ``lengths`` ids per row, each row on top of the cache ``one``."""
    caches = [cache.merge([cache] * len(lengths)) for cache in one]
    mx.eval([(cache.keys, cache.values) for cache in caches])
    padding = [max(lengths) - length for length in lengths]
    began = time.perf_counter()
    if any(padding):
        for cache in caches:
            cache.prepare(lengths=lengths, right_padding=padding)
    logits = run(mx.array([[1000] * max(lengths)] * len(lengths)), cache=caches)
    if any(padding):
        for cache in caches:
            cache.finalize()
    mx.eval(logits, [(cache.keys, cache.values) for cache in caches])
    return time.perf_counter() - began


def report_calls(model: LanguageModel, guards: GrammarCompiler, streams: int, rounds: int) -> None:
    pairs = [
        [time_call(model, guards, streams, together=together) for together in (True, False)]
        for _ in range(max(3, rounds // 3))
    ]
    ratio = statistics.median(one[0] / other[0] for one, other in pairs)
    first, second = (statistics.median(pair[i][0] for pair in pairs) * 1e3 for i in (0, 1))
    print(
        f"{streams} streams, call of {pairs[0][0][1]} tokens: forced ids together {first:.0f} ms, "
        f"one by one {second:.0f} ms, {ratio:.3f} of that",
        flush=True,
    )


if __name__ == "__main__":
    main()
