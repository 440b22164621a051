"""How many turns each API key may have in progress."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from mlxoss.errors import TooManyOfKey


class KeyLimit:
    """At most ``most`` turns for each key; 0 is any number. The event loop's thread.

    ``retry_after_s`` tells when one of them may be over.
    """

    def __init__(self, most: int, retry_after_s: Callable[[], int]) -> None:
        self._most = most
        self._retry_after_s = retry_after_s
        self._in_progress: Counter[str] = Counter()

    def enter(self, key: str | None) -> Callable[[], None]:
        """Count a turn of ``key`` (``None``: who needs none); return what ends that, once.

        Raises TooManyOfKey.
        """
        if key is None:
            return lambda: None
        if self._most and self._in_progress[key] >= self._most:
            raise TooManyOfKey(
                f"This API key has {self._most} requests in progress, the most that this server "
                "lets one have (its setting max_requests_per_key). Try again later.",
                retry_after_s=self._retry_after_s(),
            )
        self._in_progress[key] += 1
        entered = [key]

        def leave() -> None:
            if entered:
                self._in_progress[entered.pop()] -= 1
                self._in_progress += Counter()  # forget those without any

        return leave
