"""Which beginnings of prompts many conversations share, counted over restarts."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxoss.core import VOCAB_SIZE
from mlxoss.files import replace_file

logger = logging.getLogger(__name__)

LEAST_TOKENS = 256
"""Of a prefix that is worth it: less is computed in no time."""

MOST_TOKENS = 32_768
"""Of all prefixes that are computed ahead: what a slow machine does in two or three minutes."""

MOST_PREFIXES = 8

MOST_COUNTED = 32
"""Prefixes in the table, of ``4 * MOST_TOKENS`` tokens together at most."""

_LEAST_CONVERSATIONS = 2
_FADING = 0.98
"""What a conversation counts once the next one has begun: a half after 34 others."""

_MAX_AGE_S = 30 * 86400.0
_MOST_OPENINGS = 16
_MOST_BYTES = 4 << 20
_VERSION = 1


@dataclass(slots=True)
class _Used:
    score: float
    conversations: int
    used_at: float
    openings: deque[int] = field(default_factory=lambda: deque(maxlen=_MOST_OPENINGS))


class PrefixTable:
    """Prefixes by their token ids, in the file ``path``, which is its owner's alone.

    A file that is damaged counts as none. ``clock`` gives Unix seconds. The event loop's thread;
    the file is written on others.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._table: dict[tuple[int, ...], _Used] = {}
        self._is_dirty = False
        self._is_broken = False
        self._saving: asyncio.Task[None] | None = None
        self._read()

    def __len__(self) -> int:
        return len(self._table)

    def count(self, ids: tuple[int, ...], opening: int) -> None:
        """A conversation begins with ``ids``; ``opening`` is the same whenever it goes on."""
        if not LEAST_TOKENS <= len(ids) <= MOST_TOKENS:
            return
        used = self._table.pop(ids, None) or _Used(0.0, 0, 0.0)
        self._table[ids] = used
        if opening in used.openings:
            return
        for each in self._table.values():
            each.score *= _FADING
        used.openings.append(opening)
        used.score += 1.0
        used.conversations += 1
        used.used_at = self._clock()
        self._forget(but=ids)
        self._save_soon()

    def most_used(self) -> list[tuple[int, ...]]:
        """Those that several conversations share, the most used first: few, and not too long."""
        shared = [
            ids
            for ids, used in self._table.items()
            if used.conversations >= _LEAST_CONVERSATIONS
            and used.used_at >= self._clock() - _MAX_AGE_S
        ]
        chosen: list[tuple[int, ...]] = []
        for ids in sorted(shared, key=lambda ids: self._table[ids].score, reverse=True):
            if sum(map(len, chosen)) + len(ids) <= MOST_TOKENS and len(chosen) < MOST_PREFIXES:
                chosen.append(ids)
        return chosen

    async def saved(self) -> None:
        """Wait until the file holds what was counted."""
        if self._saving is not None:
            await self._saving

    def _forget(self, but: tuple[int, ...]) -> None:
        """Keep the table short."""
        others = sorted((ids for ids in self._table if ids != but), key=self._score)
        tokens = sum(map(len, self._table))
        while others and (len(self._table) > MOST_COUNTED or tokens > 4 * MOST_TOKENS):
            tokens -= len(others[0])
            del self._table[others.pop(0)]

    def _score(self, ids: tuple[int, ...]) -> float:
        return self._table[ids].score

    def _save_soon(self) -> None:
        self._is_dirty = True
        if self._saving is None and not self._is_broken:
            self._saving = asyncio.get_running_loop().create_task(self._save())

    async def _save(self) -> None:
        try:
            while self._is_dirty:
                self._is_dirty = False
                prefixes = [
                    (used.score, used.conversations, used.used_at, ids)
                    for ids, used in self._table.items()
                ]
                await asyncio.to_thread(self._write, prefixes)
        except OSError as error:
            self._is_broken = True
            logger.warning("which prefixes are used is not kept: %s", error)
        finally:
            self._saving = None

    def _write(self, prefixes: Sequence[object]) -> None:
        text = json.dumps({"version": _VERSION, "prefixes": prefixes})
        replace_file(self._path, text.encode())

    def _read(self) -> None:
        try:
            if self._path.stat().st_size > _MOST_BYTES:
                raise ValueError("it is too large")
            found = json.loads(self._path.read_bytes())
            self._table = dict(_read_prefixes(found))
        except FileNotFoundError:
            pass
        except (OSError, ValueError, RecursionError) as error:
            logger.warning("%s is passed over: %s", self._path, error)


def _read_prefixes(found: Any) -> Iterator[tuple[tuple[int, ...], _Used]]:
    """Raises ValueError for anything that ``_write`` did not write."""
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise ValueError("it is not of this version")
    try:
        for score, conversations, used_at, ids in found["prefixes"]:
            if not all(type(one) is int and 0 <= one < VOCAB_SIZE for one in ids):
                raise ValueError("it holds what is no token")
            yield tuple(ids), _Used(float(score), int(conversations), float(used_at))
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError("it has another form") from error
