"""Pauses change no token: whatever is paused, wherever it is, with and without a prefix cache."""

from __future__ import annotations

import random
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlxoss.core import FinishReason, GenerationRequest, SamplingParams
from mlxoss.engine.backend import SequenceOutput, SequencePaused
from mlxoss.engine.batch import LanguageModel
from tests.engine.harness import (
    GREEDY,
    collect,
    drain,
    make_backend,
    make_request,
    random_prompt,
    run_batch,
    running_engine,
    tokens_of,
    until,
    with_sampling,
)
from tests.engine.pausing import Interrupted, Measured, same, serve, with_places

PLENTY = 1 << 30
AT_ONE = SamplingParams(temperature=1.0, seed=3)
KINDS: dict[str, SamplingParams] = {
    "greedy": GREEDY,
    "seeded": AT_ONE,
    "filtered": replace(AT_ONE, temperature=0.7, top_p=0.9, top_k=40, seed=4),
    "log probabilities": replace(GREEDY, top_logprobs=3),
    "seeded log probabilities": replace(AT_ONE, top_logprobs=0, seed=5),
    "presence": replace(GREEDY, presence_penalty=1.5),
    "frequency": replace(GREEDY, frequency_penalty=0.8),
    "repetition": replace(GREEDY, repetition_penalty=1.3),
    "all": replace(
        AT_ONE,
        presence_penalty=0.5,
        frequency_penalty=0.5,
        repetition_penalty=1.1,
        logit_bias={5: 4.0},
        top_logprobs=1,
    ),
}


def seeded_rng() -> random.Random:
    seed = secrets.randbits(32)
    sys.stdout.write(f"seed {seed}\n")
    return random.Random(seed)


def alone(model: LanguageModel, requests: list[GenerationRequest]) -> list[Any]:
    """What each says when it runs by itself and nothing is kept."""
    return [run_batch(make_backend(model), [request])[0].tokens for request in requests]


def mixed(rng: random.Random, most_tokens: int = 40) -> list[GenerationRequest]:
    """One request of each kind, around the sliding window of 128 tokens."""
    return [
        make_request(
            random_prompt(rng.choice((1, 2, 60, 127, 128, 129, 200))),
            rng.randrange(1, most_tokens),
            sampling,
            stop_ids=range(0, 2000, 50) if rng.random() < 0.3 else (),
        )
        for sampling in KINDS.values()
    ]


@pytest.mark.parametrize("limit_bytes", [0, 200_000, PLENTY])
def test_pauses_anywhere_change_nothing(model: LanguageModel, limit_bytes: int) -> None:
    rng = seeded_rng()
    requests = mixed(rng)
    expected = alone(model, requests)
    backend = make_backend(model, limit_bytes=limit_bytes, max_batch=9, prefill_step_tokens=40)
    batch = Interrupted(backend, rng)
    for got, wanted in zip(batch.run(requests, 0.4), expected, strict=True):
        same(got, wanted)
    assert batch.pauses > 0
    assert batch.pauses_in_prefill > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_pause_at_every_token_changes_nothing(model: LanguageModel, kind: str) -> None:
    request = make_request(random_prompt(120), 20, KINDS[kind])
    (expected,) = alone(model, [request])
    batch = Interrupted(make_backend(model, limit_bytes=PLENTY), random.Random(0))
    (got,) = batch.run([request], 1.0)
    same(got, expected)
    assert batch.pauses > 10


def test_a_pause_delivers_what_was_sampled_and_computes_one_token(model: LanguageModel) -> None:
    backend = make_backend(model, limit_bytes=PLENTY)
    request = make_request(random_prompt(100), 20)
    backend.insert(0, request)
    got: list[int] = []
    while len(got) < 5:
        got += tokens_of(backend.step(), 0)
    *_, paused = outputs = list(backend.pause(0))
    got += tokens_of(outputs, 0)
    assert isinstance(paused, SequencePaused)
    assert paused.request.prompt_ids == (*request.prompt_ids, *got)
    assert paused.request.max_tokens == 20 - len(got)
    assert backend.step() == []
    hits = backend.prefix_cache.hits
    assert backend.insert(0, paused.request) == len(paused.request.prompt_ids) - 1
    assert backend.prefix_cache.hits == hits
    got += drain(backend, [0])[0].ids
    assert got == [token.token_id for token in alone(model, [request])[0]]


@pytest.mark.parametrize("ends", [FinishReason.LENGTH, FinishReason.STOP])
def test_a_pause_at_the_last_token_is_its_end(model: LanguageModel, ends: FinishReason) -> None:
    request = make_request(random_prompt(30), 6)
    (expected,) = alone(model, [request])
    if ends is FinishReason.STOP:
        stop = next(t.token_id for t in expected[3:] if t not in expected[:3])
        request = make_request(random_prompt(30), 50, stop_ids=[stop])
        (expected,) = alone(model, [request])
        assert expected[-1].finish is FinishReason.STOP
    backend = make_backend(model, limit_bytes=PLENTY)
    backend.insert(0, request)
    got: list[int] = []
    while len(got) < len(expected) - 1:
        got += tokens_of(backend.step(), 0)
    (last,) = backend.pause(0)
    assert isinstance(last, SequenceOutput)
    assert last.token == expected[-1]
    assert backend.step() == []
    assert [*got, last.token.token_id] == [token.token_id for token in expected]


def test_what_is_prefilled_is_kept(model: LanguageModel) -> None:
    backend = make_backend(model, limit_bytes=PLENTY, prefill_step_tokens=64)
    request = make_request(random_prompt(400), 5)
    backend.insert(0, request)
    for _ in range(3):
        backend.step()
    (paused,) = backend.pause(0)
    assert isinstance(paused, SequencePaused)
    assert paused.request == request
    assert backend.insert(0, request) == 192
    assert drain(backend, [0])[0].tokens == alone(model, [request])[0]


def test_what_a_pause_keeps_is_given_up_last(model: LanguageModel) -> None:
    """A prefix cache of about three snapshots, through which others' prompts go meanwhile."""
    one = make_backend(model, limit_bytes=PLENTY)
    run_batch(one, [make_request(random_prompt(300), 1)])
    limit_bytes = 3 * one.prefix_cache.bytes // one.prefix_cache.entries
    for cancelled in (False, True):
        backend = make_backend(model, limit_bytes=limit_bytes, boundaries=lambda ids, known: [])
        backend.insert(0, make_request(random_prompt(250), 50))
        got: list[int] = []
        while len(got) < 5:
            got += tokens_of(backend.step(), 0)
        *_, paused = backend.pause(0)
        assert isinstance(paused, SequencePaused)
        if cancelled:
            backend.remove(0)
        for uid in range(1, 7):
            backend.insert(uid, make_request(random_prompt(300, uid), 2))
            drain(backend, [uid])
        kept = backend.insert(9 if cancelled else 0, paused.request)
        assert kept == (0 if cancelled else len(paused.request.prompt_ids) - 1)


def test_what_was_paused_goes_on_after_the_batch_was_lost(model: LanguageModel) -> None:
    requests = [make_request(random_prompt(50), 20, KINDS[kind]) for kind in ("all", "greedy")]
    backend = make_backend(model, limit_bytes=PLENTY)
    for uid, request in enumerate(requests):
        backend.insert(uid, request)
    got: list[Any] = []
    while len(got) < 5:
        got += [o.token for o in backend.step() if isinstance(o, SequenceOutput) and o.uid == 0]
    *tokens, paused = backend.pause(0)
    got += [o.token for o in tokens if isinstance(o, SequenceOutput)]
    backend.rebuild()
    assert isinstance(paused, SequencePaused)
    backend.insert(0, paused.request)
    got += drain(backend, [0])[0].tokens
    same(got, alone(model, requests[:1])[0])


def test_a_full_room_pauses_and_all_end_as_alone(model: LanguageModel) -> None:
    """Four begin together, which do not fit once they are 256 tokens long."""
    room = with_places(4 * 512)
    requests = [
        make_request(random_prompt(235 + n), 40, sampling)
        for n, sampling in enumerate(KINDS.values())
    ]
    expected = alone(model, requests)
    for limit_bytes in (0, PLENTY):
        backend = Measured(make_backend(model, limit_bytes=limit_bytes, room=room), room)
        served = serve(backend, requests)
        for uid, wanted in enumerate(expected):
            same(served.outcomes[uid].tokens, wanted)
        assert served.most_at_once == 4
        assert served.pauses >= 2
        assert served.admitted == list(range(len(requests)))


def test_arrivals_and_cancels_in_a_small_room(model: LanguageModel) -> None:
    rng = seeded_rng()
    room = with_places(rng.choice((1100, 2048, 2600)))
    requests = [
        replace(
            with_sampling(
                make_request(random_prompt(rng.randrange(1, 300), uid), rng.randrange(1, 300)),
                temperature=rng.choice((0.0, 1.0)),
                seed=uid,
                frequency_penalty=rng.choice((0.0, 0.5)),
            ),
            is_background=rng.random() < 0.2,
        )
        for uid in range(20)
    ]
    expected = alone(model, requests)
    times = sorted(rng.randrange(300) for _ in requests)
    cancels = {uid: rng.randrange(1, 100) for uid in range(20) if rng.random() < 0.3}
    limit_bytes = rng.choice((0, 400_000, PLENTY))
    options: dict[str, Any] = {"limit_bytes": limit_bytes, "prefill_step_tokens": 50}
    backend = Measured(make_backend(model, room=room, **options), room)
    served = serve(backend, requests, arrives=times.__getitem__, cancelled=cancels.get)
    for uid, wanted in enumerate(expected):
        got = served.outcomes[uid].tokens
        same(got, wanted[: len(got)])
        assert len(got) == min(len(wanted), cancels.get(uid, len(wanted)))
    foreground = [uid for uid in served.admitted if not requests[uid].is_background]
    assert foreground == sorted(foreground)


@pytest.mark.anyio
async def test_four_without_max_tokens_run_together_in_a_room_for_63_000(
    checkpoint: Path, model: LanguageModel
) -> None:
    from mlxoss.engine.batch import MlxBackend
    from mlxoss.engine.loader import load_folder

    room = replace(with_places(63_000), soon_tokens=512)
    most = room.most_tokens
    requests = []
    for uid in range(4):
        prompt = random_prompt(30 + uid)
        said = alone(model, [make_request(prompt, 60, replace(AT_ONE, seed=uid))])[0]
        ids = [token.token_id for token in said]
        stop = next(id_ for at, id_ in enumerate(ids) if at > 40 and id_ not in ids[:at])
        requests.append(make_request(prompt, most - len(prompt), replace(AT_ONE, seed=uid), [stop]))
    expected = alone(model, requests)
    async with running_engine(lambda: MlxBackend(load_folder(checkpoint), room=room)) as running:
        generations = [running.engine.submit(request) for request in requests]
        await until(lambda: running.engine.status().active == 4)
        assert running.engine.status().waiting == 0
        for generation, wanted in zip(generations, expected, strict=True):
            same((await collect(generation)).tokens, wanted)
        assert running.engine.status().pauses == 0
