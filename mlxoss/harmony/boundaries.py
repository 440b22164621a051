"""Where a prompt may meet another one again: the ends of its messages."""

from __future__ import annotations

from collections.abc import Sequence

from mlxoss.harmony.encoding import START

SYSTEM = 17360
DEVELOPER = 77944
USER = 1428
"""The one token of each role, as o200k_harmony encodes it."""

APART_TOKENS = 512
"""How far apart the boundaries are that only an edit far back would use: the windows that each one
keeps take as much memory as the keys and values of 128 tokens."""


def find_boundaries(ids: Sequence[int], known: int = 0) -> list[int]:
    """Lengths of the prefixes of the prompt ``ids`` that later prompts are likely to begin with.

    Ascending, longer than ``known``, shorter than ``ids``. Each ends with a message's
    ``<|start|>``, since whatever follows begins with it: where the leading system and developer
    messages end, where the last user's message begins, the prompt but its last id, and of the
    other messages those that begin at least ``APART_TOKENS`` after the one before.
    """
    starts = [index for index in _starts(ids) if 0 < index < len(ids) - 1]
    head = next((index for index in starts if ids[index + 1] not in (SYSTEM, DEVELOPER)), None)
    user = next((index for index in reversed(starts) if ids[index + 1] == USER), None)
    boundaries: list[int] = []
    last = known
    for index in starts:
        length = index + 1
        if length > known and (index in (head, user) or length - last >= APART_TOKENS):
            boundaries.append(length)
            last = length
    if len(ids) - 1 > last:
        boundaries.append(len(ids) - 1)
    return boundaries


def _starts(ids: Sequence[int]) -> list[int]:
    found: list[int] = []
    try:
        while True:
            found.append(ids.index(START, found[-1] + 1 if found else 0))
    except ValueError:
        return found
