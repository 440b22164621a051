from __future__ import annotations

from mlxoss.engine.progress import PromptProgress


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_estimate_are_of_what_was_computed() -> None:
    clock = Clock()
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
    prompt = PromptProgress(100, Clock())
    prompt.admit(0)
    for _ in range(3):
        prompt.add(60)
    assert (prompt.done_tokens, prompt.left_tokens) == (100, 0)
