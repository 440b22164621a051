"""Who waits for an answer: the generations that have not ended. The event loop's thread."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mlxoss.engine.backend import SequenceOutput
from mlxoss.engine.generation import Generation
from mlxoss.engine.occupancy import Occupancy
from mlxoss.engine.scheduler import Admitted, Delivery, Ended
from mlxoss.errors import MlxossError


class Callers:
    """The open generations by the numbers of their sequences; each leaves exactly once."""

    def __init__(self, ledger: Occupancy) -> None:
        self._ledger = ledger
        self._open: dict[int, Generation] = {}

    def add(self, uid: int, generation: Generation) -> None:
        """Have ``generation`` be given what comes for ``uid``."""
        self._open[uid] = generation

    def cancel(self, uid: int) -> None:
        """Its caller left; nothing is given to it any more."""
        del self._open[uid]
        self._ledger.leave(uid)

    def end_all(self, make_error: Callable[[], MlxossError]) -> None:
        """End each with an error of its own."""
        for uid, generation in self._open.items():
            self._ledger.leave(uid)
            generation.end(make_error())
        self._open.clear()

    def hand_out(self, deliveries: Iterable[Delivery]) -> None:
        """Give each what a step brought for it."""
        for delivery in deliveries:
            generation = self._open.get(delivery.uid)
            if generation is None:
                continue
            match delivery:
                case Admitted(_, wait_s, cached_tokens):
                    generation.wait_s = wait_s
                    generation.cached_tokens = cached_tokens
                case SequenceOutput(uid, token):
                    generation.push(token)
                    if token.finish is not None:
                        del self._open[uid]
                case Ended(uid, error):
                    del self._open[uid]
                    generation.end(error)
