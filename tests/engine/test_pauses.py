"""Pauses change no token: whatever is paused, wherever it is, with and without a prefix cache."""

from __future__ import annotations

import random
import secrets
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlxoss.core import FinishReason, GenerationRequest, SamplingParams, TokenOutput
from mlxoss.engine.backend import SequenceOutput, SequencePaused, SequencePrefilled
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx.batch import LanguageModel, MlxBackend
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import (
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
from tests.support.engine.pausing import (
    Interrupted,
    Measured,
    Served,
    alone,
    check_same,
    with_places,
)

PLENTY = 1 << 30
AT_ONE = SamplingParams(temperature=1.0, seed=3)
VARIED = replace(GREEDY, frequency_penalty=1.0)
"""Never ends up in a loop."""
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


def check_all(
    model: LanguageModel, requests: Sequence[GenerationRequest], got: Sequence[Any]
) -> None:
    """Each said what it says alone."""
    for request, tokens in zip(requests, got, strict=True):
        check_same(model, request, tokens, alone(model, request))


def endless(
    request: GenerationRequest, said: Sequence[TokenOutput], most_tokens: int, *, least: int
) -> GenerationRequest:
    """Without ``max_tokens``: it ends by an id of its own, the first after ``least`` tokens."""
    ids = [token.token_id for token in said]
    stop = next(id_ for at, id_ in enumerate(ids) if at > least and id_ not in ids[:at])
    left = most_tokens - len(request.prompt_ids)
    return replace(request, max_tokens=left, stop_ids=frozenset([stop]))


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


@pytest.mark.slow
@pytest.mark.parametrize("limit_bytes", [0, 200_000, PLENTY])
def test_pauses_anywhere_change_nothing(model: LanguageModel, limit_bytes: int) -> None:
    rng = seeded_rng()
    requests = mixed(rng)
    backend = make_backend(model, limit_bytes=limit_bytes, max_batch=9, prefill_step_tokens=40)
    batch = Interrupted(backend, rng)
    check_all(model, requests, batch.run(requests, 0.4))
    assert batch.pauses > 0
    assert batch.pauses_in_prefill > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_pause_at_every_token_changes_nothing(model: LanguageModel, kind: str) -> None:
    request = make_request(random_prompt(120), 20, KINDS[kind])
    batch = Interrupted(make_backend(model, limit_bytes=PLENTY), random.Random(0))
    check_all(model, [request], batch.run([request], 1.0))
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
    assert got == [token.token_id for token in alone(model, request)]


@pytest.mark.parametrize("ends", [FinishReason.LENGTH, FinishReason.STOP])
def test_a_pause_at_the_last_token_is_its_end(model: LanguageModel, ends: FinishReason) -> None:
    request = make_request(random_prompt(30), 6)
    expected = alone(model, request)
    if ends is FinishReason.STOP:
        stop = next(t.token_id for t in expected[3:] if t not in expected[:3])
        request = make_request(random_prompt(30), 50, stop_ids=[stop])
        expected = alone(model, request)
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
    assert drain(backend, [0])[0].tokens == alone(model, request)


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
    check_same(model, requests[0], got, alone(model, requests[0]))


def test_a_full_room_pauses_and_all_end_as_alone(model: LanguageModel) -> None:
    """Four begin together, which do not fit once they are 256 tokens long."""
    room = with_places(4 * 512)
    requests = [
        make_request(random_prompt(235 + n), 40, sampling)
        for n, sampling in enumerate(KINDS.values())
    ]
    for limit_bytes in (0, PLENTY):
        backend = Measured(make_backend(model, limit_bytes=limit_bytes, room=room), room)
        served = Served(requests).run(backend)
        check_all(model, requests, [served.outcomes[uid].tokens for uid in range(len(requests))])
        assert served.most_at_once == 4
        assert served.pauses >= 2
        assert served.admitted == list(range(len(requests)))


@pytest.mark.slow
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
    expected = [alone(model, request) for request in requests]
    times = sorted(rng.randrange(300) for _ in requests)
    cancels = {uid: rng.randrange(1, 100) for uid in range(20) if rng.random() < 0.3}
    limit_bytes = rng.choice((0, 400_000, PLENTY))
    options: dict[str, Any] = {"limit_bytes": limit_bytes, "prefill_step_tokens": 50}
    backend = Measured(make_backend(model, room=room, **options), room)
    served = Served(requests, arrivals=times, cancels=cancels).run(backend)
    for uid, wanted in enumerate(expected):
        got = served.outcomes[uid].tokens
        assert len(got) == min(len(wanted), cancels.get(uid, len(wanted)))
        check_same(model, requests[uid], got, wanted[: len(got)])
    foreground = [uid for uid in served.admitted if not requests[uid].is_background]
    assert foreground == sorted(foreground)


def test_a_prompt_with_many_boundaries_is_not_padded_by_anothers_chunks(
    model: LanguageModel,
) -> None:
    room = with_places(2 * 7 * 256)
    inner = make_backend(
        model,
        limit_bytes=PLENTY,
        boundaries=lambda ids, known: range(max(known + 1, 1000), len(ids) - 1, 40),
        room=room,
    )
    backend = Measured(inner, room)
    first, second = make_request(random_prompt(1250), 5), make_request(random_prompt(1200), 5)
    backend.insert(0, first)
    prefilled = 0
    while prefilled < 1000:
        prefilled += sum(o.tokens for o in backend.step() if isinstance(o, SequencePrefilled))
    assert backend.has_room(second)
    backend.insert(1, second)
    outcomes = drain(backend, [0, 1])
    check_all(model, [first, second], [outcomes[uid].tokens for uid in (0, 1)])


@pytest.mark.slow
def test_a_pause_takes_no_second_batch(tmp_path: Path) -> None:
    """What is copied is never there twice but for a layer."""
    model = load_folder(write_checkpoint(tmp_path, TinyModel(vocab_size=2000, layers=16)))
    backend = make_backend(model, limit_bytes=PLENTY, boundaries=lambda ids, known: [])
    for uid in range(4):
        backend.insert(uid, make_request(random_prompt(1000, uid), 50))
    started: set[int] = set()
    while len(started) < 4:
        started |= {o.uid for o in backend.step() if isinstance(o, SequenceOutput)}
    mx.synchronize()
    batch_bytes = backend._generator.prompt_cache_nbytes
    kept_bytes = backend.prefix_cache.bytes
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    backend.pause(3)
    kept_bytes = backend.prefix_cache.bytes - kept_bytes
    assert kept_bytes > 0
    assert mx.get_peak_memory() - before < kept_bytes + batch_bytes / 4
    assert mx.get_active_memory() < before + kept_bytes - batch_bytes / 8


@pytest.mark.anyio
async def test_four_without_max_tokens_run_together_in_a_room_for_63_000(
    checkpoint: Path, model: LanguageModel
) -> None:
    room = replace(with_places(63_000), soon_tokens=512)
    requests = []
    for uid in range(4):
        request = make_request(random_prompt(30 + uid), 60, VARIED)
        requests.append(endless(request, alone(model, request), room.most_tokens, least=40))
    async with running_engine(lambda: MlxBackend(load_folder(checkpoint), room=room)) as running:
        generations = [running.engine.submit(request) for request in requests]
        await until(lambda: running.engine.status().active == 4)
        assert running.engine.status().waiting == 0
        outcomes = [await collect(generation) for generation in generations]
        assert running.engine.status().pauses == 0
    check_all(model, requests, [outcome.tokens for outcome in outcomes])


@pytest.mark.slow
def test_four_that_outgrow_a_room_for_63_000_end_as_alone(model: LanguageModel) -> None:
    """Long conversations that begin alike, so that only the first one's beginning is computed."""
    room = replace(with_places(63_000), soon_tokens=512)
    assert not room.holds([15_360] * 4)
    beginning = random_prompt(14_800)
    options: dict[str, Any] = {
        "limit_bytes": PLENTY,
        "boundaries": lambda ids, known: [14_800] if known < 14_800 else [],
    }
    one_by_one = make_backend(model, **options)
    requests, expected = [], []
    for uid in range(4):
        request = make_request([*beginning, *random_prompt(20, uid)], 620, VARIED)
        said = run_batch(one_by_one, [request])[0].tokens
        requests.append(endless(request, said, room.most_tokens, least=545))
        (stop,) = requests[-1].stop_ids
        at = [token.token_id for token in said].index(stop)
        assert len(request.prompt_ids) + at > 15_360
        expected.append([*said[:at], TokenOutput(stop, FinishReason.STOP)])
    backend = make_backend(model, room=room, **options)
    served = Served(requests).run(backend)
    for uid in range(4):
        check_same(model, requests[uid], served.outcomes[uid].tokens, expected[uid])
    assert served.most_at_once == 4
    assert served.pauses > 0
