"""Encrypted contents of requests that this server cannot open."""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger(__name__)


class ForeignContents:
    """Counts them, and says so once. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @property
    def count(self) -> int:
        """How many there were; one that comes again with each request counts each time."""
        return self._count

    def note(self) -> None:
        """There was one."""
        with self._lock:
            self._count += 1
            is_first = self._count == 1
        if is_first:
            logger.warning(
                "a request holds encrypted content that another server, or another content.key, "
                "sealed: it is left out, and the text beside it is read instead where there is "
                "one (said once; mlxoss_foreign_contents_total in /metrics counts on)"
            )
