"""What following a grammar costs a token, and what forced ids save.

Run with ``python -m tests.benchmarks.guard``. A random model decodes ``--tokens`` tokens per
stream under each guard in turn, ``--rounds`` times over, so that a machine's moods meet all of
them; medians are shown, with the time that a token takes more than without a guard. ``mlx-lm`` is
its own batch generator on the same model. The last lines are whole calls whose arguments are
mostly fixed: ids that are sure go through the model together, or one by one.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
from mlx_lm.generate import BatchGenerator

from mlxoss.core import GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput
from mlxoss.engine.batch import LanguageModel, MlxBackend
from mlxoss.engine.loader import load_folder
from mlxoss.engine.sampling import make_sampler
from mlxoss.harmony.encoding import STOP_IDS
from mlxoss.harmony.guards import Guards
from mlxoss.harmony.rules import CallRule, Json, TurnRules
from tests.checkpoints import TinyModel, write_checkpoint

PROMPT = tuple(range(1000, 1064))
STRINGS = Json({"type": "array", "items": {"type": "string"}, "minItems": 1000})
FIXED = {
    "type": "object",
    "properties": {f"a_rather_long_argument_name_{i}": {"enum": [i, -i]} for i in range(8)},
    "required": [f"a_rather_long_argument_name_{i}" for i in range(8)],
    "additionalProperties": False,
}
CALL = TurnRules(calls=(CallRule("a_long_name", Json(FIXED)),), must_call=True)
GUARDS = {
    "off": None,
    "header": TurnRules(),
    "tools": TurnRules(calls=(CallRule("f", STRINGS),), preambles=True, must_call=True),
    "schema": TurnRules(final=STRINGS),
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


def time_guard(
    model: LanguageModel, guards: Guards, rules: TurnRules | None, streams: int, tokens: int
) -> float:
    """Seconds per step."""
    grammar = None if rules is None else guards.compile(rules)
    stop_ids = STOP_IDS if rules else frozenset[int]()
    request = GenerationRequest(PROMPT, tokens, stop_ids, SamplingParams(), grammar)
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
    request = GenerationRequest(PROMPT, 400, STOP_IDS, SamplingParams(0.0), guards.compile(CALL))
    processors = () if together else (unchanged,)
    backend = MlxBackend(model, max_batch=streams, processors=lambda _: processors)
    seconds, count = decode_s(backend, [request] * streams)
    backend.close()
    return seconds, count // streams


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    options = parser.parse_args()
    guards = Guards()
    with tempfile.TemporaryDirectory() as folder:
        size = TinyModel(hidden=options.hidden, layers=options.layers)
        model = load_folder(write_checkpoint(Path(folder), size))
        for streams in options.streams:
            report(model, guards, streams, options)


def report(model: LanguageModel, guards: Guards, streams: int, options: argparse.Namespace) -> None:
    runs: dict[str, Callable[[], float]] = {
        "mlx-lm": lambda: time_mlx_lm(model, streams, options.tokens)
    }
    for name, rules in GUARDS.items():
        runs[name] = functools.partial(time_guard, model, guards, rules, streams, options.tokens)
    steps: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            steps[name].append(run())
    off = statistics.median(steps["off"])
    for name, seconds in steps.items():
        step = statistics.median(seconds)
        more = statistics.median(a - b for a, b in zip(seconds, steps["off"], strict=True))
        print(
            f"{streams} streams, {name:7}: {streams / step:7.1f} tokens/s, "
            f"{more * 1e6 / streams:+7.0f} µs a token, {more / off:+6.1%}"
        )
    for name, together in (("forced ids together", True), ("one by one", False)):
        times = [
            time_call(model, guards, streams, together=together) for _ in range(options.rounds)
        ]
        print(
            f"{streams} streams, call of {times[0][1]} tokens, {name}: "
            f"{statistics.median(seconds for seconds, _ in times) * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    main()
