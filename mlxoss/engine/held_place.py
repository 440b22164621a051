"""A place in the engine that one request keeps over several rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mlxoss.core import GenerationRequest
from mlxoss.engine.generation import Generation


class _Submit(Protocol):
    def __call__(self, place: int, request: GenerationRequest, *, is_next: bool) -> Generation:
        """Accept ``request`` for ``place``."""


class HeldPlace:
    """One of the engine's places, taken once: see ``Engine.hold``. The event loop's thread.

    Between two rounds it has no slot, so others run meanwhile, but nobody else gets the place: a
    later round is not refused for want of one, and waits before all others of its kind. One round
    at a time.
    """

    def __init__(self, number: int, submit: _Submit, let_go: Callable[[int], None]) -> None:
        self._number = number
        self._submit = submit
        self._let_go = let_go
        self._has_begun = False
        self._is_held = True

    def submit(self, request: GenerationRequest) -> Generation:
        """The next round. Raises ``ModelUnavailable`` at once."""
        assert self._is_held
        generation = self._submit(self._number, request, is_next=self._has_begun)
        self._has_begun = True
        return generation

    def give_back(self) -> None:
        """It is free once its round, if there is one, has ended. Does nothing when done again."""
        if self._is_held:
            self._is_held = False
            self._let_go(self._number)
