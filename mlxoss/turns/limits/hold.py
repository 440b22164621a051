"""What a request that has several rounds keeps from the first one to the last."""

from __future__ import annotations

from mlxoss.turns.context import TurnContext
from mlxoss.turns.limits.time_limit import TimeLimit


class Hold:
    """A count of the request's key, a place in the engine, and the time for all of it.

    Whoever made it closes it at the request's end, whatever happened. Raises TooManyOfKey,
    QueueFull or ModelUnavailable. The event loop's thread.
    """

    def __init__(self, context: TurnContext, key: str | None) -> None:
        self._leave = context.key_limit.enter(key)
        try:
            self.place = context.engine.hold()
        except BaseException:
            self._leave()
            raise
        self.limit = TimeLimit(context.limit_s)

    def close(self) -> None:
        """Give all of it back. Does nothing when called again."""
        self._leave()
        self.place.give_back()
