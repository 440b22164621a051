"""How many tokens attend at once on Metal, whose attention keeps scores of 5 to 8 and of no more.

Metal has a stand-in: that the engine takes the device for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from mlxoss.core import GenerationRequest
from mlxoss.engine import capacity
from mlxoss.engine.capacity import Sizes, step_bytes, tokens_at_once
from mlxoss.engine.checkpoint.loader import load_folder
from mlxoss.engine.mlx import batch, decode
from mlxoss.engine.mlx.batch import LanguageModel
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from tests.support.checkpoints import TinyModel, write_checkpoint
from tests.support.engine.harness import (
    WatchedModel,
    make_backend,
    make_request,
    random_prompt,
    run_batch,
)
from tests.support.harmony.guarded_turns import MODES

LONGEST = 131_072


@dataclass(frozen=True)
class Of20b:
    """Sizes of gpt-oss-20b."""

    hidden_size: int = 2880
    intermediate_size: int = 2880
    num_attention_heads: int = 64
    num_key_value_heads: int = 8
    head_dim: int = 64
    num_experts_per_tok: int = 4
    vocab_size: int = 201_088


OF_20B: Sizes = Of20b()


@pytest.mark.parametrize("wanted", [1, 2, 3, 4, 9, 10, 32, 2048])
def test_what_the_kernels_take_is_taken_at_any_length(wanted: int) -> None:
    assert tokens_at_once(wanted, 8, LONGEST, OF_20B) == wanted


@pytest.mark.parametrize("wanted", [5, 6, 7, 8])
def test_between_them_only_as_long_as_the_scores_are_small(wanted: int) -> None:
    assert tokens_at_once(wanted, 1, 8_192, OF_20B) == wanted
    assert tokens_at_once(wanted, 8, 2_048, OF_20B) == wanted
    assert tokens_at_once(wanted, 1, LONGEST, OF_20B) == 4
    assert tokens_at_once(wanted, 8, 8_192, OF_20B) == 4


def test_heads_that_are_shared_less_take_more_tokens() -> None:
    assert tokens_at_once(8, 8, LONGEST, Of20b(num_key_value_heads=16)) == 8
    assert tokens_at_once(8, 8, LONGEST, Of20b(num_key_value_heads=1)) == 1


def test_a_step_is_counted_with_the_scores_that_it_may_keep() -> None:
    """2 bytes each, and as many again for what is done to them, of the layers that are encoded
    ahead of the device."""
    scores = max(
        rows * wanted * length * OF_20B.num_attention_heads
        for rows in range(1, 9)
        for length in range(1024, LONGEST + 1, 1024)
        for wanted in [tokens_at_once(8, rows, length, OF_20B)]
        if wanted > 4
    )
    assert step_bytes(OF_20B, 8, 24_576, has_metal=True) > 5 * 4 * scores


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metal, and no room for scores; the tiny model's 2 heads to a key count as gpt-oss's 8."""
    for module in (batch, decode):
        monkeypatch.setattr(module, "computes_on_metal", lambda: True)
    monkeypatch.setattr(capacity, "_UNFUSED_PAIRS", 1)
    monkeypatch.setattr(capacity, "_FEW_QUERIES", 8)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return load_folder(write_checkpoint(tmp_path_factory.mktemp("m"), TinyModel(hidden=16)))


def watched(
    model: LanguageModel, requests: Sequence[GenerationRequest]
) -> tuple[list[list[int]], set[int]]:
    """The answers, and how many tokens per row there were in the forward passes."""
    tokens: set[int] = set()
    seen = WatchedModel(model, lambda rows, count: tokens.add(count))
    outcomes = run_batch(make_backend(seen, max_batch=3), list(requests))
    return [outcome.ids for outcome in outcomes], tokens


def test_forced_runs_stay_within_it(
    full: LanguageModel, guards: GrammarCompiler, request: pytest.FixtureRequest
) -> None:
    plain = make_request(random_prompt(100), 60)
    guarded = replace(plain, grammar=guards.compile(MODES["named"]))
    ids, tokens = watched(full, [guarded])
    assert tokens & {5, 6, 7, 8}
    request.getfixturevalue("narrow")
    again, fewer = watched(full, [guarded])
    assert again == ids
    assert not fewer & {5, 6, 7, 8}
    assert 4 in fewer


@pytest.mark.parametrize("length", [5, 6, 7, 8, 9, 10])
def test_short_prompts_stay_within_it(
    full: LanguageModel, request: pytest.FixtureRequest, length: int
) -> None:
    plain = make_request(random_prompt(length), 3)
    ids, tokens = watched(full, [plain])
    assert max(tokens) == length - 1
    request.getfixturevalue("narrow")
    again, fewer = watched(full, [plain])
    assert again == ids
    assert not fewer & {5, 6, 7, 8}
