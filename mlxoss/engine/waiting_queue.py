"""Who waits for a slot, in order."""

from __future__ import annotations

from collections.abc import Set

from mlxoss.core import GenerationRequest


class WaitingQueue:
    """First come first served, except that background requests let all others go first.

    They also leave one slot of several free, so that whoever comes need not wait for their end.
    Who was paused stands before whoever came later, and behind those who were paused stand those
    who go on from an earlier sequence. Engine's thread.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._waiting: dict[int, GenerationRequest] = {}
        self._background: dict[int, GenerationRequest] = {}
        self._paused: set[int] = set()
        self._next: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._background)

    def put(self, uid: int, request: GenerationRequest, *, is_next: bool = False) -> None:
        """Let ``request`` wait; if it ``is_next``, before all of its kind that did not begin."""
        lane = self._background if request.is_background else self._waiting
        later = {}
        if is_next:
            later = {each: lane.pop(each) for each in list(lane) if not self._has_begun(each)}
            self._next.add(uid)
        lane[uid] = request
        lane.update(later)

    def _has_begun(self, uid: int) -> bool:
        return uid in self._paused or uid in self._next

    def put_back(self, uid: int, request: GenerationRequest) -> None:
        """Let it wait before all others of its kind, as paused; the youngest pauses first."""
        self._paused.add(uid)
        if request.is_background:
            self._background = {uid: request, **self._background}
        else:
            self._waiting = {uid: request, **self._waiting}

    @property
    def paused(self) -> Set[int]:
        """Who was put back."""
        return self._paused

    def drop(self, uid: int) -> None:
        """Take it out; unknown ids are ignored."""
        self._waiting.pop(uid, None)
        self._background.pop(uid, None)
        self._paused.discard(uid)
        self._next.discard(uid)

    def first(
        self, running: int, *, only_paused: bool = False
    ) -> tuple[int, GenerationRequest] | None:
        """Who is next while ``running`` of the slots are taken; ``None``: nobody may go yet.

        With ``only_paused`` all others are left waiting.
        """
        lanes = (self._waiting, self._slots), (self._background, max(1, self._slots - 1))
        for lane, slots in lanes:
            uid = next(iter(lane), None)
            if uid is not None and running < slots and (uid in self._paused or not only_paused):
                return uid, lane[uid]
        return None
