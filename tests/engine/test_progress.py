from __future__ import annotations

import itertools
import queue
from collections.abc import Sequence

import pytest

from mlxoss.engine.generation import Callers, Generation
from mlxoss.engine.messages import Close, Command, Delivery, Submit, WentOn
from mlxoss.engine.occupancy import Occupancy
from mlxoss.engine.progress import PromptProgress
from mlxoss.engine.scheduler import Scheduler
from tests.support.clock import Clock
from tests.support.engine.harness import make_request
from tests.support.fakes import ScriptedBackend


def test_rate_and_estimate_are_of_what_was_computed() -> None:
    clock = Clock(50.0)
    prompt = PromptProgress(1000, clock)
    assert (prompt.done_tokens, prompt.tokens_per_s, prompt.left_s) == (0, None, None)
    clock.now += 7  # it waits
    prompt.admit(200)
    assert (prompt.done_tokens, prompt.left_tokens, prompt.left_s) == (200, 800, None)
    clock.now += 4
    prompt.add(400)
    assert (prompt.done_tokens, prompt.left_tokens) == (600, 400)
    assert (prompt.tokens_per_s, prompt.elapsed_s, prompt.left_s) == (100.0, 4.0, 4.0)
    clock.now += 3
    assert prompt.left_s == 1.0
    clock.now += 30
    assert prompt.left_s == 0.0


def test_what_is_computed_twice_counts_once() -> None:
    prompt = PromptProgress(100, Clock(50.0))
    prompt.admit(0)
    for _ in range(3):
        prompt.add(60)
    assert (prompt.done_tokens, prompt.left_tokens) == (100, 0)


@pytest.mark.parametrize("forgets", [False, True])
def test_a_prefill_that_paused_is_as_far_as_it_is(*, forgets: bool) -> None:
    backend = ScriptedBackend(
        lambda request: range(100), chunk_tokens=10, held_tokens=64, forgets=forgets
    )
    commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
    clock = Clock(50.0)
    occupancy = Occupancy(slots=2, places=2, clock=clock)
    callers = Callers(occupancy)
    prompts = [PromptProgress(length, clock) for length in (10, 50)]
    for uid, prompt in enumerate(prompts):
        occupancy.enter(uid)
        callers.add(uid, Generation(uid, prompt, lambda: None))
        commands.put(Submit(uid, make_request(range(prompt.prompt_tokens), 30)))
    seen: list[int] = []
    resumed: list[int] = []

    def deliver(deliveries: Sequence[Delivery]) -> None:
        callers.hand_out(deliveries)
        seen.append(prompts[1].done_tokens)
        resumed.extend(each.uid for each in deliveries if isinstance(each, WentOn))
        if not any((*occupancy.counts()[:2], occupancy.pauses()[0])):
            commands.put(Close())

    Scheduler(commands, deliver, occupancy, max_batch=2, clock=clock).run(backend)
    changes = [new for old, new in itertools.pairwise([-1, *seen]) if new != old]
    before, after = [0, 10, 20, 30, 40], [0, 10, 20, 30, 40, 50] if forgets else [50]
    assert (resumed, changes) == ([1], [*before, *after])
