"""The batch's own tests, with a model that two ranks share."""

from __future__ import annotations

from tests.engine.test_batch import (
    test_chunks_of_one_token_and_of_more_take_turns,
    test_greedy_alone_equals_mlx_lm,
    test_greedy_in_a_mixed_batch_equals_mlx_lm,
    test_greedy_with_arrivals_and_departures_equals_mlx_lm,
    test_one_token_and_stop_ids,
    test_remove_in_prefill_and_decode,
)
from tests.engine.test_batch_sampling import (
    test_a_seed_does_not_drain_the_batch,
    test_a_seed_gives_the_same_tokens_whatever_runs_beside_it,
    test_logprobs_are_the_models_log_softmax,
    test_penalties_and_bias_as_written_out_in_numpy,
    test_repetition_without_penalty_is_what_the_penalties_prevent,
    test_sampled_alike_requests_share_steps_and_differ,
)
from tests.engine.test_prefixes import (
    test_a_batch_of_hits_and_misses_equals_cold_runs,
    test_a_cancel_in_the_prefill_leaves_whole_snapshots,
    test_a_repeat_computes_one_token_and_says_the_same,
    test_a_second_turn_goes_on_after_the_answer,
    test_a_warmed_prompt_computes_one_token_and_says_the_same,
    test_branches_share_their_beginning,
    test_nothing_of_another_prompt_is_used,
    test_random_walks_equal_cold_runs,
    test_the_status_counts_what_was_saved,
    test_warming_ends_where_there_is_no_room,
    test_warming_goes_on_where_it_was_interrupted,
)

__all__ = [
    "test_a_batch_of_hits_and_misses_equals_cold_runs",
    "test_a_cancel_in_the_prefill_leaves_whole_snapshots",
    "test_a_repeat_computes_one_token_and_says_the_same",
    "test_a_second_turn_goes_on_after_the_answer",
    "test_a_seed_does_not_drain_the_batch",
    "test_a_seed_gives_the_same_tokens_whatever_runs_beside_it",
    "test_a_warmed_prompt_computes_one_token_and_says_the_same",
    "test_branches_share_their_beginning",
    "test_chunks_of_one_token_and_of_more_take_turns",
    "test_greedy_alone_equals_mlx_lm",
    "test_greedy_in_a_mixed_batch_equals_mlx_lm",
    "test_greedy_with_arrivals_and_departures_equals_mlx_lm",
    "test_logprobs_are_the_models_log_softmax",
    "test_nothing_of_another_prompt_is_used",
    "test_one_token_and_stop_ids",
    "test_penalties_and_bias_as_written_out_in_numpy",
    "test_random_walks_equal_cold_runs",
    "test_remove_in_prefill_and_decode",
    "test_repetition_without_penalty_is_what_the_penalties_prevent",
    "test_sampled_alike_requests_share_steps_and_differ",
    "test_the_status_counts_what_was_saved",
    "test_warming_ends_where_there_is_no_room",
    "test_warming_goes_on_where_it_was_interrupted",
]
