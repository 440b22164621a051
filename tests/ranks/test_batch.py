"""The batch's own tests, with a model that two ranks share; ``TEST_RANKS=all`` for all of them."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from mlx.utils import tree_flatten

from mlxoss.engine.backend import SequenceOutput
from mlxoss.engine.mlx.memory import make_room
from mlxoss.engine.ranks.messages import Begin
from mlxoss.engine.ranks.shard import shard_bytes
from tests.engine.test_batch import (
    test_greedy_with_arrivals_and_departures_equals_mlx_lm,
    test_one_token_and_stop_ids,
    test_remove_in_prefill_and_decode,
)
from tests.engine.test_batch_sampling import (
    test_repetition_without_penalty_is_what_the_penalties_prevent,
)
from tests.engine.test_boundaries import (
    test_prompts_in_one_batch_keep_their_own,
    test_what_was_passed_when_its_request_was_cancelled_is_kept,
)
from tests.engine.test_given_up import (
    test_given_up_amid_others,
    test_inside_a_long_message_others_find_what_is_done,
    test_the_next_try_goes_on_where_this_one_ended,
)
from tests.engine.test_prefixes import (
    test_a_batch_of_hits_and_misses_equals_cold_runs,
    test_branches_share_their_beginning,
    test_warming_goes_on_where_it_was_interrupted,
)
from tests.support.engine.harness import greedy_reference, make_backend, make_request, random_prompt
from tests.support.ranks.shared import SharedModel

__all__ = [
    "test_a_batch_of_hits_and_misses_equals_cold_runs",
    "test_branches_share_their_beginning",
    "test_given_up_amid_others",
    "test_greedy_with_arrivals_and_departures_equals_mlx_lm",
    "test_inside_a_long_message_others_find_what_is_done",
    "test_one_token_and_stop_ids",
    "test_prompts_in_one_batch_keep_their_own",
    "test_remove_in_prefill_and_decode",
    "test_repetition_without_penalty_is_what_the_penalties_prevent",
    "test_the_next_try_goes_on_where_this_one_ended",
    "test_warming_goes_on_where_it_was_interrupted",
    "test_what_was_passed_when_its_request_was_cancelled_is_kept",
]

if os.environ.get("TEST_RANKS") == "all":
    from tests.engine.test_batch import (  # noqa: F401
        test_chunks_of_one_token_and_of_more_take_turns,
        test_greedy_alone_equals_mlx_lm,
        test_greedy_in_a_mixed_batch_equals_mlx_lm,
    )
    from tests.engine.test_batch_sampling import (  # noqa: F401
        test_a_seed_does_not_drain_the_batch,
        test_a_seed_gives_the_same_tokens_whatever_runs_beside_it,
        test_logprobs_are_the_models_log_softmax,
        test_penalties_and_bias_as_written_out_in_numpy,
        test_sampled_alike_requests_share_steps_and_differ,
    )
    from tests.engine.test_prefixes import (  # noqa: F401
        test_a_cancel_in_the_prefill_leaves_whole_snapshots,
        test_a_repeat_computes_one_token_and_says_the_same,
        test_a_second_turn_goes_on_after_the_answer,
        test_a_warmed_prompt_computes_one_token_and_says_the_same,
        test_nothing_of_another_prompt_is_used,
        test_random_walks_equal_cold_runs,
        test_the_status_counts_what_was_saved,
        test_warming_ends_where_there_is_no_room,
    )


def test_fifty_random_cancels_change_nothing_for_the_others(model: SharedModel) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201
    rng = random.Random(seed)
    kinds = [make_request(random_prompt(length), 15) for length in (3, 60, 127, 150)]
    expected = [greedy_reference(model.whole, request) for request in kinds]
    backend = make_backend(model, limit_bytes=1 << 24, prefill_step_tokens=64)
    running: dict[int, int] = {}
    got: dict[int, list[int]] = {}
    cancels = 0
    while cancels < 50 or running:
        while cancels < 50 and len(running) < 6:
            uid, kind = len(got), rng.randrange(len(kinds))
            backend.insert(uid, kinds[kind])
            running[uid], got[uid] = kind, []
        if cancels < 50:
            for uid in rng.sample(sorted(running), rng.randrange(3)):
                backend.remove(uid)
                ids = got[uid]
                assert ids == expected[running.pop(uid)][: len(ids)]
                cancels += 1
        for output in backend.step():
            if isinstance(output, SequenceOutput):
                got[output.uid].append(output.token.token_id)
                if output.token.finish is not None:
                    assert got[output.uid] == expected[running.pop(output.uid)]


def test_a_rank_counts_its_own_heads_and_layers(model: SharedModel) -> None:
    total_bytes = 1 << 32
    with model.ranks.working():
        model.ranks.tell(Begin(8, 0))
        shared = make_room(model.shard, total_bytes, 8)
    whole = make_room(model.whole, total_bytes, 8)
    assert shared.sizes.token == whole.sizes.token // 2
    assert shared.sizes.window == whole.sizes.window // 2
    assert shared.most_tokens > whole.most_tokens


def test_a_shard_is_about_as_large_as_the_files_say(model: SharedModel) -> None:
    folder = Path(str(model.ranks.plan.model))
    weights: Any = tree_flatten(model.shard.parameters())
    held = sum(array.nbytes for _, array in weights)
    assert held == pytest.approx(shard_bytes(folder, 2), rel=0.01)
    assert shard_bytes(folder, 1) > shard_bytes(folder, 2)
