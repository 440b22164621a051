"""A gate for ``ScriptedBackend``: its model goes on step by step."""

from __future__ import annotations

import threading

from tests.support.waiting import HANG_S


class Steps(threading.Event):
    """Lets a step pass for each ``go``, and all of them once it is set."""

    def __init__(self) -> None:
        super().__init__()
        self._allowed = threading.Semaphore(0)

    def go(self, steps: int = 1) -> None:
        self._allowed.release(steps)

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set() or self._allowed.acquire(timeout=HANG_S)

    def clear(self) -> None:
        super().clear()
        self._allowed = threading.Semaphore(0)

    def set(self) -> None:
        super().set()
        self._allowed.release()
