"""Pauses with a model that two ranks share: all of them take the same sequence out, and back in."""

from __future__ import annotations

import os

from tests.engine.test_pauses import (
    test_a_full_room_pauses_and_all_end_as_alone,
    test_what_a_pause_keeps_is_given_up_last,
)

__all__ = [
    "test_a_full_room_pauses_and_all_end_as_alone",
    "test_what_a_pause_keeps_is_given_up_last",
]

if os.environ.get("TEST_RANKS") == "all":
    from tests.engine.test_pauses import (  # noqa: F401
        test_a_pause_at_every_token_changes_nothing,
        test_a_pause_at_the_last_token_is_its_end,
        test_a_pause_delivers_what_was_sampled_and_computes_one_token,
        test_arrivals_and_cancels_in_a_small_room,
        test_pauses_anywhere_change_nothing,
        test_what_is_prefilled_is_kept,
    )
