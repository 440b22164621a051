"""Following one turn through its grammar: what may come next, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from mlxoss.harmony.encoding import FIRST_SPECIAL, VOCAB_SIZE
from mlxoss.harmony.grammar.render import FREE_TEXT_MARK


@dataclass(frozen=True, slots=True)
class Free:
    """Any ordinary token, or one of ``ends``; so it stays until one of ``ends`` came."""

    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Forced:
    """These ids and no others, in this order; at least one."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """One of the ids that are true in ``allowed``, bool (vocabulary,); at least two."""

    allowed: NDArray[np.bool_]


Rule = Free | Forced | Choice


class GrammarError(Exception):
    """The turn left its grammar, or the grammar is too complex to follow here."""


class GrammarMatcher:
    """One turn on its way through a grammar. Not safe to share between threads.

    It begins where the prompt ends. After the id that ends the turn nothing may be asked.
    """

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def rule(self) -> Rule:
        """What may come next. 10 to 200 µs inside JSON. Raises ``GrammarError``."""
        forced = self._matcher.compute_ff_tokens()
        if forced:
            return Forced(tuple(forced))
        allowed = self._allowed()
        if allowed[FREE_TEXT_MARK]:
            specials = np.flatnonzero(allowed[FIRST_SPECIAL:FREE_TEXT_MARK])
            return Free(tuple(int(index) + FIRST_SPECIAL for index in specials))
        (first, *others) = np.flatnonzero(allowed)[:2]
        return Choice(allowed) if others else Forced((int(first),))

    def take(self, ids: Sequence[int]) -> None:
        """Go on by ``ids``; ordinary ids of free text may be left out, they change nothing.

        Raises ``GrammarError`` for an id that is not allowed.
        """
        if not self._matcher.consume_tokens(list(ids)):
            raise GrammarError(self._matcher.get_error())

    def _allowed(self) -> NDArray[np.bool_]:
        words = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise GrammarError(self._matcher.get_error())
        return np.unpackbits(words, bitorder="little")[:VOCAB_SIZE].view(np.bool_)
