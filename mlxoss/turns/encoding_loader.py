"""The vocabulary, loaded while the server already answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from mlxoss.errors import ModelUnavailable

if TYPE_CHECKING:  # openai-harmony takes longer to import than all of the server
    from mlxoss.harmony.encoding import Encoding

logger = logging.getLogger(__name__)


class EncodingLoader:
    """Loads the encoding on another thread, once, when first started or asked for."""

    def __init__(self, load: Callable[[], Encoding]) -> None:
        self._load = load
        self._task: asyncio.Task[Encoding] | None = None

    def start(self) -> asyncio.Task[Encoding]:
        """Begin to load unless that has begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(asyncio.to_thread(self._load))
            self._task.add_done_callback(_log_failure)
        return self._task

    async def get(self) -> Encoding:
        """The encoding, once loaded. Raises ModelUnavailable when it cannot be."""
        task = self.start()
        await asyncio.wait({task})
        if error := task.exception():
            raise ModelUnavailable(f"The vocabulary is not available: {error}")
        return task.result()

    @property
    def is_loaded(self) -> bool:
        """Whether ``get`` returns at once."""
        return self._task is not None and self._task.done() and self.error is None

    @property
    def error(self) -> str | None:
        """Why it cannot be loaded, if so."""
        if self._task is None or not self._task.done() or self._task.cancelled():
            return None
        error = self._task.exception()
        return None if error is None else str(error)


def _log_failure(task: asyncio.Task[Encoding]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.error("the vocabulary could not be loaded", exc_info=error)
