"""What following a grammar costs a token, and what forced ids save.

Run with ``python -m tests.benchmarks.guard``. A random model decodes ``--tokens`` tokens per
stream under each guard in turn, ``--rounds`` times over. Each time is compared with the one
without a guard in the same round, so that a machine's moods cancel out; medians are shown.
``header`` is free text, ``tools`` the arguments of a call, ``schema`` an answer; ``mlx-lm`` is its
own batch generator on the same model. The last lines are whole calls whose arguments are mostly
fixed: ids that are sure go through the model together, or one by one.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from mlxoss.core import GenerationRequest, Grammar, SamplingParams
from mlxoss.engine.backend import SequenceOutput
from mlxoss.engine.batch import LanguageModel, MlxBackend
from mlxoss.engine.loader import load_folder
from mlxoss.engine.sampling import make_sampler
from mlxoss.harmony.encoding import STOP_IDS, load_encoding
from mlxoss.harmony.guard import Guard
from mlxoss.harmony.guards import Guards
from mlxoss.harmony.rules import CallRule, Json, TurnRules
from tests.checkpoints import TinyModel, write_checkpoint
from tests.harmony.walks import to_ids

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

    def make_guard(self) -> Guard:
        guard: Guard = self.grammar.make_guard()
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


def time_guard(model: LanguageModel, grammar: Grammar | None, streams: int, tokens: int) -> float:
    """Seconds per step."""
    request = GenerationRequest(PROMPT, tokens, frozenset(), SamplingParams(), grammar)
    backend = MlxBackend(model, max_batch=streams)
    seconds, count = decode_s(backend, [request] * streams)
    backend.close()
    return seconds * streams / count


def time_mlx_lm(model: LanguageModel, streams: int, tokens: int) -> float:
    """Seconds per step of mlx-lm's own generator."""
    sampler = make_sampler(SamplingParams(), seed=1)
    generator = BatchGenerator(model, sampler=sampler, completion_batch_size=streams)
    generator.insert([list(PROMPT)] * streams, max_tokens=[tokens] * streams)
    began, count = 0.0, 0
    while True:
        prompts, responses = generator.next()
        if responses and not began:
            began = time.perf_counter()
        count += len(responses)
        if not prompts and not responses:
            break
    generator.close()
    return (time.perf_counter() - began) * streams / count


def unchanged(_: mx.array, logits: mx.array) -> mx.array:
    """A processor, which every id of its sequence has to pass by itself."""
    return logits


def time_call(
    model: LanguageModel, guards: Guards, streams: int, *, together: bool
) -> tuple[float, int]:
    """Seconds of a whole turn, and its tokens."""
    request = GenerationRequest(
        PROMPT, 160, STOP_IDS, SamplingParams(0.0), From(guards.compile(CALL), [])
    )
    processors = () if together else (unchanged,)
    backend = MlxBackend(model, max_batch=streams, processors=lambda _: processors)
    seconds, count = decode_s(backend, [request] * streams)
    backend.close()
    return seconds, count // streams


def make_grammars(guards: Guards) -> dict[str, Grammar | None]:
    encoding = load_encoding()
    return {
        name: None if guard is None else From(guards.compile(guard[0]), to_ids(encoding, guard[1]))
        for name, guard in GUARDS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    guards = Guards()
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
        for streams in options.streams:
            report_steps(model, make_grammars(guards), streams, options)
            report_calls(model, guards, streams, options.rounds)


def report_steps(
    model: LanguageModel,
    grammars: dict[str, Grammar | None],
    streams: int,
    options: argparse.Namespace,
) -> None:
    runs: dict[str, Callable[[], float]] = {
        "mlx-lm": lambda: time_mlx_lm(model, streams, options.tokens)
    }
    for name, grammar in grammars.items():
        runs[name] = functools.partial(time_guard, model, grammar, streams, options.tokens)
    steps: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            steps[name].append(run())
    for name, seconds in steps.items():
        pairs = list(zip(seconds, steps["off"], strict=True))
        more = statistics.median(a - b for a, b in pairs) / streams
        ratio = statistics.median(a / b for a, b in pairs)
        print(
            f"{streams} streams, {name:7}: {streams / statistics.median(seconds):7.1f} tokens/s, "
            f"{more * 1e6:+7.0f} µs a token, {ratio:.3f} of off",
            flush=True,
        )


def report_calls(model: LanguageModel, guards: Guards, streams: int, rounds: int) -> None:
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
