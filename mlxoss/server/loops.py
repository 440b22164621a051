"""Telling a model that says the same over and over from one that has much to say."""

from __future__ import annotations

from collections.abc import Sequence

CHECK_TOKENS = 128
"""How often a text is looked at: each look takes about as many steps as the text is long."""

LEAST_REPEATS = 8


def is_looping(token_ids: Sequence[int], span: int) -> bool:
    """Whether the last ``span`` tokens are one passage, said at least eight times over.

    Looks only at every 128th token, and never with a ``span`` of 0.
    """
    if not span or len(token_ids) < span or len(token_ids) % CHECK_TOKENS:
        return False
    return _period(token_ids[len(token_ids) - span :]) * LEAST_REPEATS <= span


def _period(ids: Sequence[int]) -> int:
    """The least distance at which ``ids`` repeats itself: Knuth, Morris and Pratt's table."""
    borders = [0] * len(ids)
    border = 0
    for index in range(1, len(ids)):
        while border and ids[index] != ids[border]:
            border = borders[border - 1]
        border += ids[index] == ids[border]
        borders[index] = border
    return len(ids) - border
