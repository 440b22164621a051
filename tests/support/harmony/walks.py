"""Walking a grammar: along a given text, or at random as an untrained model would."""

from __future__ import annotations

import random
import re

import numpy as np
from numpy.typing import NDArray

from mlxoss.harmony.encoding import (
    CALL,
    CHANNEL,
    CONSTRAIN,
    END,
    MESSAGE,
    RETURN,
    START,
    STOP_IDS,
    Encoding,
)
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import Choice, Forced, Free, GrammarError, GrammarMatcher
from mlxoss.harmony.grammar.rules import TurnRules

SPECIALS = {
    "<|start|>": START,
    "<|end|>": END,
    "<|message|>": MESSAGE,
    "<|channel|>": CHANNEL,
    "<|constrain|>": CONSTRAIN,
    "<|return|>": RETURN,
    "<|call|>": CALL,
}
_SPECIAL = re.compile(r"(<\|\w+\|>)")


def to_ids(encoding: Encoding, text: str) -> list[int]:
    """Ids of a turn written with special tokens by name."""
    ids: list[int] = []
    for piece in _SPECIAL.split(text):
        ids += [SPECIALS[piece]] if piece in SPECIALS else encoding.encode_text(piece)
    return ids


def accepts(guards: GrammarCompiler, encoding: Encoding, rules: TurnRules, text: str) -> bool:
    """Whether ``text`` is a whole turn under ``rules``."""
    guard = guards.compile(rules).make_matcher()
    ids = to_ids(encoding, text)
    try:
        guard.take(ids)
    except GrammarError:
        return False
    return ids[-1] in STOP_IDS


def random_turn(
    guard: GrammarMatcher, seed: int, *, most: int = 400, text_tokens: int = 6
) -> list[int]:
    """A turn of ids drawn evenly from what is allowed; cut after ``most``.

    Free text ends after ``text_tokens`` on average, and JSON's closing tokens are as likely as
    all others together: an even draw would rarely end anything.
    """
    source = random.Random(seed)
    ids: list[int] = []
    while len(ids) < most:
        rule = guard.rule()
        match rule:
            case Forced(forced):
                ids += forced
                guard.take(forced)
            case Free(ends):
                is_end = source.random() < 1 / text_tokens
                drawn = source.choice(ends) if is_end else source.randrange(199_998)
                ids.append(drawn)
                guard.take([drawn])
            case Choice(allowed):
                drawn = _draw(source, allowed)
                ids.append(drawn)
                guard.take([drawn])
        if ids[-1] in STOP_IDS:
            return ids
    return ids


_CLOSING = [ord(character) - ord("!") for character in '"}]']
"""o200k gives ASCII's visible characters the first ids, in their order."""


def _draw(source: random.Random, allowed: NDArray[np.bool_]) -> int:
    closing = [id_ for id_ in _CLOSING if allowed[id_]]
    if closing and source.random() < 0.5:
        return source.choice(closing)
    return int(source.choice(np.flatnonzero(allowed)))
