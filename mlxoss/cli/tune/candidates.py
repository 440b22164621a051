"""What is tried: one setting changed at a time, of those that the user has not set himself."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlxoss.config import Config
from mlxoss.engine.command_buffers import ELEMENTS, OPERATIONS, choose
from mlxoss.engine.trial_values import TrialOrder

_LARGE_BYTES = 30 * 10**9
"""A model so large takes so long to load that only command buffers are tried."""

_BUFFERS = {"mlx": 0, "1000/400": 18 << 30, "1000/2000": 32 << 30}
"""And from what memory on they are tried: what they leave behind needs room."""

WARM_S = 60
"""For how long the GPU is kept warm where that gains: an agent's tools take less."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings in the place of the usual ones; none for the control, which all else is held
    against."""

    changes: Mapping[str, Any]

    @property
    def name(self) -> str:
        """For people."""
        words = {True: "on", False: "off"}
        shown = (
            f"{name} {words[value] if isinstance(value, bool) else value}"
            for name, value in self.changes.items()
        )
        return ", ".join(shown) or "as it is"

    def order(self, usual: TrialOrder) -> TrialOrder:
        """What its trial is told."""
        return replace(usual, **self.changes)


CONTROL = Candidate({})


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is tried: the machine's memory, and the environment that the service has."""

    memory_bytes: int
    env: Mapping[str, str]
    platform: str = sys.platform


def find_candidates(config: Config, weights_bytes: int, place: Place) -> list[Candidate]:
    """Without the control."""
    found = list(_buffers(config, weights_bytes, place))
    if weights_bytes <= _LARGE_BYTES:
        found += _switches(config)
        found += _warmth(config, place)
    return found


def _buffers(config: Config, weights_bytes: int, place: Place) -> Iterator[Candidate]:
    """Command buffers, which are Metal's, other than the usual ones; none where the environment
    has MLX's own variables."""
    is_set = "command_buffers" in config.given or {OPERATIONS, ELEMENTS} & set(place.env)
    if place.platform != "darwin" or is_set:
        return
    usual = choose(config.command_buffers, weights_bytes, place.memory_bytes)
    for size, least_bytes in _BUFFERS.items():
        if choose(size, weights_bytes, 0) != usual and place.memory_bytes >= least_bytes:
            yield Candidate({"command_buffers": size})


def _switches(config: Config) -> Iterator[Candidate]:
    for name in ("compiled_layers", "fused_experts", "plain_caches"):
        if name not in config.given:
            yield Candidate({name: not getattr(config, name)})


def _warmth(config: Config, place: Place) -> Iterator[Candidate]:
    """Only a Mac's GPU is known to slow down within a second."""
    if place.platform == "darwin" and "keep_warm" not in config.given:
        yield Candidate({"keep_warm": WARM_S})


def combine(candidates: list[Candidate]) -> Candidate:
    """One with the changes of all; the first of two that change the same."""
    changes: dict[str, Any] = {}
    for candidate in candidates:
        changes = {**candidate.changes, **changes}
    return Candidate(changes)
