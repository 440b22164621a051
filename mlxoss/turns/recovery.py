"""Background responses that were running when the last process died."""

from __future__ import annotations

import logging

from mlxoss.errors import StoreError
from mlxoss.store.store import Store
from mlxoss.store.values import Failure, StoredResponse

logger = logging.getLogger(__name__)


async def recover(store: Store) -> None:
    """Fail what was running when the last process died. Before the first request.

    Where that cannot be written (a full disk) it is left to the next start.
    """
    try:
        interrupted = await store.fail_interrupted(_to_failure)
    except StoreError as error:
        logger.error("responses that were interrupted still look as if they ran: %s", error)
        return
    if interrupted:
        logger.warning("failed %d background responses that were interrupted", len(interrupted))


def _to_failure(response: StoredResponse, sequence: int) -> Failure:
    # Only where something was interrupted: pydantic's models take their time.
    from mlxoss.turns.responses.kept import to_failure

    return to_failure(response, sequence)
