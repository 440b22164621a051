"""What every turn leaves behind, however it ended."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mlxoss.harmony.encoding import Encoding
from mlxoss.turns.context import TurnContext
from mlxoss.turns.prewarm import prepare_next_turn
from mlxoss.turns.request_log import LoggedRequest
from mlxoss.turns.turn import Turn

logger = logging.getLogger(__name__)


def close_turn(turn: Turn, context: TurnContext, encoding: Encoding, log: LoggedRequest) -> None:
    """Cancel what still runs; note the turn's counts in ``log`` and ``context``.

    The event loop's thread.
    """
    usage, wait_s, rounds, preview = turn.usage, turn.wait_s, turn.rounds, None
    context.recoveries.update(turn.close())
    prepare_next_turn(turn, context, encoding)
    if turn.prompts and (most_chars := context.config.debug_raw_preview_chars):
        preview = _to_preview(turn, encoding, most_chars)
        _log_raw(log.id, turn, encoding, most_chars)
    log.note_turn(usage, wait_s, preview, rounds=rounds)


def _log_raw(id_: str, turn: Turn, encoding: Encoding, most_chars: int) -> None:
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for index, ids in enumerate(turn.token_ids):
        logger.debug("%s choice %d: %s", id_, index, _beginning(encoding, ids, most_chars))


def _to_preview(turn: Turn, encoding: Encoding, most_chars: int) -> str:
    """The first prompt's end, and what was written first after it."""
    prompt = encoding.decode(turn.prompts[0][-4 * most_chars :])[-most_chars:]
    return prompt + _beginning(encoding, turn.token_ids[0], most_chars)


def _beginning(encoding: Encoding, ids: Sequence[int], most_chars: int) -> str:
    # A token has at least one byte and a character at most four, so this many tokens are enough.
    return encoding.decode(ids[: 4 * most_chars])[:most_chars]
