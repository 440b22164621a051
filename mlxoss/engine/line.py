"""Who waits for a slot, in order."""

from __future__ import annotations

from mlxoss.core import GenerationRequest


class Line:
    """First come first served, except that background requests let all others go first.

    They also leave one slot of several free, so that whoever comes need not wait for their end.
    Engine's thread.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._waiting: dict[int, GenerationRequest] = {}
        self._background: dict[int, GenerationRequest] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting or self._background)

    def put(self, uid: int, request: GenerationRequest) -> None:
        """Let ``request`` wait."""
        (self._background if request.is_background else self._waiting)[uid] = request

    def drop(self, uid: int) -> None:
        """Take it out; unknown ids are ignored."""
        self._waiting.pop(uid, None)
        self._background.pop(uid, None)

    def first(self, running: int) -> tuple[int, GenerationRequest] | None:
        """Who is next while ``running`` of the slots are taken; ``None``: nobody may go yet."""
        if running < self._slots and self._waiting:
            return next(iter(self._waiting.items()))
        if running < max(1, self._slots - 1) and self._background:
            return next(iter(self._background.items()))
        return None
