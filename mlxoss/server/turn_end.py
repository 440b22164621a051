"""What every turn leaves behind, however it ended."""

from __future__ import annotations

import logging

from mlxoss.harmony.encoding import Encoding
from mlxoss.server.next_turn import prepare_next_turn
from mlxoss.server.request_log import RequestLog
from mlxoss.server.services import Services
from mlxoss.server.turn import Turn

logger = logging.getLogger(__name__)


def close_turn(turn: Turn, services: Services, encoding: Encoding, log: RequestLog) -> None:
    """Cancel what still runs; note the turn's counts in ``log`` and ``services``.

    The event loop's thread.
    """
    log.usage, log.wait_s = turn.usage, turn.wait_s
    services.recoveries.update(turn.close())
    prepare_next_turn(turn, services, encoding)
    _log_raw(log.id, turn, encoding, services.config.debug_raw_preview_chars)


def _log_raw(id_: str, turn: Turn, encoding: Encoding, most_chars: int) -> None:
    if not most_chars or not logger.isEnabledFor(logging.DEBUG):
        return
    for index, ids in enumerate(turn.token_ids):
        # A token has at least one byte, so this many tokens are enough.
        text = encoding.decode(ids[: 4 * most_chars])
        logger.debug("%s choice %d: %s", id_, index, text[:most_chars])
