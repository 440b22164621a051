"""Who waits, who runs and how fast it goes: the numbers behind admission and ``/health``."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

WINDOW_S = 60
LONGEST_RETRY_S = 60


class QueuePlace(NamedTuple):
    """A place in the queue: 1 is the next. ``estimate_s`` is by how long sequences ran so far,
    ``None`` before the first has ended.
    """

    number: int
    estimate_s: float | None


class Occupancy:
    """Every open sequence, waiting or running, by its uid. Any thread may call any method.

    A sequence enters as waiting, may be admitted, pause and go on, and leaves once; unknown uids
    are ignored. One that is paused neither waits nor runs, but keeps its place. A held place is
    taken whether a sequence of it is there or not.
    ``clock`` gives seconds that never go back.
    """

    def __init__(self, *, slots: int, places: int, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._capacity = slots + places
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[int, float] = {}
        self._background: set[int] = set()
        self._held: set[int] = set()
        self._place_of: dict[int, int] = {}
        self._going_on: set[int] = set()
        self._running: dict[int, float] = {}
        self._paused: set[int] = set()
        self._pauses = 0
        self._mean_run_s = 0.0

    def enter(self, uid: int, *, is_background: bool = False) -> bool:
        """Take a waiting place; False when slots and waiting places are all taken."""
        with self._lock:
            if self._is_full():
                return False
            self._wait(uid, is_background=is_background)
            return True

    def hold(self, place: int) -> bool:
        """Take a place for sequences that come one after the other; False as ``enter``."""
        with self._lock:
            if self._is_full():
                return False
            self._held.add(place)
            return True

    def enter_held(self, uid: int, place: int, *, is_background: bool, is_next: bool) -> None:
        """A sequence of a held place waits, before all others of its kind if it ``is_next``."""
        with self._lock:
            self._held.discard(place)
            self._place_of[uid] = place
            if is_next:
                self._going_on.add(uid)
            self._wait(uid, is_background=is_background)

    def let_go(self, place: int) -> None:
        """The place is held no more; a sequence that has it keeps it until it leaves."""
        with self._lock:
            self._held.discard(place)
            self._place_of = {uid: of for uid, of in self._place_of.items() if of != place}

    def _is_full(self) -> bool:
        taken = len(self._waiting) + len(self._running) + len(self._held)
        return taken >= self._capacity

    def _wait(self, uid: int, *, is_background: bool) -> None:
        self._waiting[uid] = self._clock()
        if is_background:
            self._background.add(uid)

    def place(self, uid: int) -> QueuePlace | None:
        """Where it stands among those who wait; who runs in the background lets others go first.

        ``None`` where it does not wait.
        """
        with self._lock:
            if uid not in self._waiting:
                return None
            order = sorted(
                self._waiting,
                key=lambda each: (each in self._background, each not in self._going_on),
            )
            number = order.index(uid) + 1
            # A slot that is free takes it at once: only those beyond the slots wait for an end.
            ahead = number + len(self._running) - self._slots
            estimate_s = max(0, ahead) * self._mean_run_s / self._slots
            return QueuePlace(number, estimate_s if self._mean_run_s else None)

    def admit(self, uid: int) -> float:
        """Move a sequence from waiting to running; the seconds that it waited."""
        with self._lock:
            now = self._clock()
            entered = self._waiting.pop(uid, None)
            if entered is None:
                return 0.0
            self._running[uid] = now
            return now - entered

    def pause(self, uid: int) -> None:
        """A running sequence is paused."""
        with self._lock:
            self._pauses += 1
            if uid in self._running:
                self._paused.add(uid)

    def go_on(self, uid: int) -> None:
        """A paused sequence runs again."""
        with self._lock:
            self._paused.discard(uid)

    def leave(self, uid: int) -> None:
        """Give the slot or the waiting place back."""
        with self._lock:
            self._waiting.pop(uid, None)
            self._background.discard(uid)
            self._paused.discard(uid)
            self._going_on.discard(uid)
            place = self._place_of.pop(uid, None)
            if place is not None:
                self._held.add(place)
            admitted = self._running.pop(uid, None)
            if admitted is not None:
                run_s = self._clock() - admitted
                mean_s = self._mean_run_s or run_s
                self._mean_run_s = 0.8 * mean_s + 0.2 * run_s

    def counts(self) -> tuple[int, int, float]:
        """Running, waiting, and the longest present wait in seconds (0.0 when none waits)."""
        with self._lock:
            oldest = next(iter(self._waiting.values()), None)
            oldest_s = 0.0 if oldest is None else self._clock() - oldest
            return len(self._running) - len(self._paused), len(self._waiting), oldest_s

    def pauses(self) -> tuple[int, int]:
        """How many are paused now, and how often one was."""
        with self._lock:
            return len(self._paused), self._pauses

    def retry_after_s(self) -> int:
        """When a place should be free: a running sequence's usual time shared by all slots.

        Whole seconds, 1 to 60, as the ``Retry-After`` header wants them.
        """
        with self._lock:
            return max(1, min(LONGEST_RETRY_S, math.ceil(self._mean_run_s / self._slots)))


class RateMeter:
    """Tokens per second over the last minute, kept as one counter per second.

    One thread adds, any thread reads; a reading during an addition may miss that addition.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started_s = clock()
        self._counts = [0] * WINDOW_S
        self._seconds = [-1] * WINDOW_S

    def add(self, tokens: int) -> None:
        """Count ``tokens`` now."""
        second = int(self._clock())
        slot = second % WINDOW_S
        if self._seconds[slot] != second:
            self._counts[slot] = 0
            self._seconds[slot] = second
        self._counts[slot] += tokens

    def per_second(self) -> float:
        """The mean over the last 60 s, or since the meter was made if that is shorter."""
        now = self._clock()
        oldest = int(now) - WINDOW_S
        total = sum(
            count
            for second, count in zip(self._seconds, self._counts, strict=True)
            if second > oldest
        )
        return total / min(WINDOW_S, max(1.0, now - self._started_s))
