"""All ways to say something, to compare two engines by: single rows, batches, restored prompts."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from mlxoss.core import GenerationRequest, SamplingParams, TokenOutput
from mlxoss.engine.backend import Backend, SequenceFailed, SequenceOutput
from mlxoss.harmony.encoding import STOP_IDS
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.engine.harness import GREEDY, make_request, random_prompt
from tests.support.engine.pausing import Interrupted
from tests.support.harmony.guarded_turns import MODES

Tokens = Sequence[TokenOutput]
Said = dict[str, list[Tokens]]
"""What was said, token by token with its log probabilities, by the way it came about."""

Open = Callable[[], Backend]
"""Loads the model; what the disk keeps is found again."""

AT_ONE = SamplingParams(temperature=1.0, seed=11)
WINDOW = 128
"""Of the sliding layers."""

GREEDY_ROW = make_request(random_prompt(WINDOW - 10), 20)
"""It leaves the window while it decodes, and is prefilled at once."""

KINDS: Sequence[SamplingParams] = (
    replace(GREEDY, top_logprobs=3),
    GREEDY,
    replace(AT_ONE, temperature=0.7, top_p=0.9, top_k=40, seed=4),
    replace(AT_ONE, top_logprobs=0, seed=5),
    AT_ONE,
    replace(GREEDY, presence_penalty=1.5, frequency_penalty=0.8),
    replace(GREEDY, repetition_penalty=1.3),
    replace(AT_ONE, frequency_penalty=0.5, logit_bias={5: 4.0}, top_logprobs=1, min_p=0.01),
)
"""Of the rows of a batch."""

_LENGTHS = (200, 1, WINDOW - 1, 30, WINDOW, 2, WINDOW + 1, 50)
_MOST_TOKENS = (12, 30, 3, 25, 1, 18, 7, 14)
"""So that rows leave in the middle, and those that wait take their places."""

_FIRST = 5
"""So many rows of a batch begin together, and another one comes every so many steps."""


def say_everything(load: Open) -> Said:
    """Single rows, a batch of 8 of all ``KINDS``, paused rows, and prompts that were restored, from
    memory and after a restart from the disk."""
    backend = load()
    said, turns = say_in_one_life(backend)
    backend.close()
    _restart(load, turns, said)
    return said


def say_in_one_life(backend: Backend) -> tuple[Said, list[GenerationRequest]]:
    """The same without the restart, and the requests that would find something after it."""
    several = [
        make_request(random_prompt(length, 5), most, kind)
        for length, most, kind in zip(_LENGTHS, _MOST_TOKENS, KINDS, strict=True)
    ]
    said: Said = {
        "greedy row": [_say(backend, GREEDY_ROW)],
        "seeded row": [_say(backend, make_request(random_prompt(40), 16, AT_ONE))],
        "batch": _say_in_turn(backend, several),
        "paused": _say_with_pauses(backend, several[1:4]),
    }
    return said, _go_on(backend, said)


def say_briefly(backend: Backend) -> Said:
    """A greedy row and a seeded one, alone and then together."""
    rows = [GREEDY_ROW, make_request(random_prompt(40), 16, AT_ONE)]
    alone = [_say(backend, row) for row in rows]
    return {"alone": alone, "batch": _say_in_turn(backend, rows)}


def say_guarded(backend: Backend, guards: GrammarCompiler) -> Said:
    """Whole turns under grammars: with sure ids that are fed together, in a batch, paused."""
    named, *others = (
        replace(
            make_request(random_prompt(20), 60, sampling, STOP_IDS),
            grammar=guards.compile(MODES[mode]),
        )
        for mode, sampling in (
            ("named", GREEDY),
            ("tools and schema", AT_ONE),
            ("auto", GREEDY),
        )
    )
    return {
        "turn alone": [_say_in_runs(backend, named)],
        "turns": _say_in_turn(backend, [named, *others]),
        "paused turns": _say_with_pauses(backend, [named, others[0]]),
    }


def _say(backend: Backend, request: GenerationRequest) -> Tokens:
    (said,) = _say_in_turn(backend, [request])
    return said


def _say_in_turn(backend: Backend, requests: Sequence[GenerationRequest]) -> list[Tokens]:
    said: list[list[TokenOutput]] = [[] for _ in requests]
    waiting = list(enumerate(requests))
    steps, running = 0, len(requests)
    while running:
        coming = _FIRST if steps == 0 else int(steps % _FIRST == 0)
        for uid, request in waiting[:coming]:
            backend.insert(uid, request)
        waiting = waiting[coming:]
        steps += 1
        for output in backend.step():
            assert not isinstance(output, SequenceFailed), output.error
            if isinstance(output, SequenceOutput):
                said[output.uid].append(output.token)
                running -= output.token.finish is not None
    return list(said)


def _say_in_runs(backend: Backend, request: GenerationRequest) -> Tokens:
    """Ids that are sure to follow are fed together: a step brings several tokens."""
    said: list[TokenOutput] = []
    most = 0
    backend.insert(0, request)
    while not said or said[-1].finish is None:
        brought = [each.token for each in backend.step() if isinstance(each, SequenceOutput)]
        most = max(most, len(brought))
        said += brought
    assert most > 1
    return said


def _say_with_pauses(backend: Backend, requests: Sequence[GenerationRequest]) -> list[Tokens]:
    batch = Interrupted(backend, random.Random(3))
    said: list[Tokens] = list(batch.run(requests, 0.2))
    assert batch.pauses > 0
    return said


def _go_on(backend: Backend, said: Said) -> list[GenerationRequest]:
    """A conversation's second turn finds the first one, and a third what was computed ahead."""
    first = make_request(random_prompt(270, 7), 6)
    said["first turn"] = [_say(backend, first)]
    second = _follow(first, said["first turn"][0], 40)
    said["second turn"] = [_say_restored(backend, second)]
    third = _follow(second, said["second turn"][0], 70)
    while backend.warm(third.prompt_ids):
        pass
    said["third turn"] = [_say_restored(backend, third)]
    return [second, third]


def _follow(request: GenerationRequest, answer: Tokens, more: int) -> GenerationRequest:
    ids = [token.token_id for token in answer]
    prompt = [*request.prompt_ids, *ids, *random_prompt(more, 9)]
    return make_request(prompt, 8, AT_ONE)


def _restart(load: Open, turns: Sequence[GenerationRequest], said: Said) -> None:
    """Another life of the daemon, which finds them on the disk."""
    backend = load()
    said["turns again"] = [_say_restored(backend, turn) for turn in turns]
    assert _status(backend).disk_hits > 0
    backend.close()


def _say_restored(backend: Backend, request: GenerationRequest) -> Tokens:
    before = _status(backend).hit_tokens
    said = _say(backend, request)
    assert _status(backend).hit_tokens - before >= len(request.prompt_ids) // 2
    return said


def _status(backend: Backend) -> Any:
    return backend.prefix_cache
