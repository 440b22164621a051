"""Settings that change how fast it is and no token, and combinations of them.

They are read from the table of settings, so that one that is added is tried by itself: every
switch that is not among ``_OTHERS``, and all that ``mlxoss tune`` tries.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlxoss.config.kinds import BufferSizes, Integer, Kind, OneOf, Switch
from mlxoss.config.table import settings
from mlxoss.tuned import TUNABLE

_OTHERS = ("insecure_no_auth", "fp16", "http_access_log")
"""Switches that say something else, or say it to others."""

_MORE = ("wired",)
"""About speed too, but neither a switch nor tried by ``mlxoss tune``."""

Combination = Mapping[str, Any]
"""Settings by their names."""


def speed_settings() -> dict[str, Sequence[Any]]:
    """The values of each to be tried; the first is what MLX and mlx-lm do by themselves."""
    return {
        name: _values(setting.kind)
        for name, setting in settings().items()
        if name in TUNABLE
        or name in _MORE
        or (isinstance(setting.kind, Switch) and name not in _OTHERS)
    }


def _values(kind: Kind) -> Sequence[Any]:
    match kind:
        case Switch():
            return (False, True)
        case BufferSizes():
            return ("mlx", "1000/400")
        case Integer():  # keep_warm: seconds
            return (0, 60)
        case OneOf(words=words):
            return sorted(words, key=lambda word: word != "off")
    raise AssertionError(f"which values of {kind} are to be tried?")


def all_off() -> Combination:
    """What MLX and mlx-lm do by themselves."""
    return {name: values[0] for name, values in speed_settings().items()}


def all_on() -> Combination:
    """The last value of each."""
    return {name: values[-1] for name, values in speed_settings().items()}


def every(values: Mapping[str, Sequence[Any]]) -> Iterator[Combination]:
    """The product of all."""
    for chosen in itertools.product(*values.values()):
        yield dict(zip(values, chosen, strict=True))


def pairwise(values: Mapping[str, Sequence[Any]]) -> list[Combination]:
    """So many that any two settings meet in each pair of their values: the first of each, the last
    of each, and then whichever brings most new pairs."""
    candidates = list(every(values))
    found = [candidates[0], candidates[-1]]
    left = set().union(*map(_pairs, candidates)).difference(*map(_pairs, found))
    while left:
        best = max(candidates, key=lambda each: len(_pairs(each) & left))
        found.append(best)
        left -= _pairs(best)
    return found


def _pairs(combination: Combination) -> set[Any]:
    return set(itertools.combinations(combination.items(), 2))


def to_name(combination: Combination) -> str:
    """What differs from all off, for the names of tests."""
    off = all_off()
    different = [f"{name} {value}" for name, value in combination.items() if value != off[name]]
    return ", ".join(different) or "all off"
