"""llguidance's view of the vocabulary beside the one that it makes of tiktoken's parts itself."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable

import numpy as np
import pytest
from llguidance import LLTokenizer

from mlxoss.harmony.encoding import (
    END_OF_TEXT,
    FIRST_SPECIAL,
    STOP_IDS,
    VOCAB_SIZE,
    Encoding,
    read_vocabulary,
)
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import Choice, Forced, Free, GrammarMatcher, Rule
from mlxoss.harmony.grammar.rules import CallRule, Json, TurnRules
from tests.support.harmony.guarded_turns import MODES
from tests.support.harmony.walks import SPECIALS

LONG = {
    "type": "object",
    "properties": {
        "short": {"type": "string", "maxLength": 12},
        "long": {"type": "string", "minLength": 40, "maxLength": 400},
        "path": {"type": "string", "pattern": "^[a-z/_.-]+$"},
        "rows": {"type": "array", "items": {"type": "string"}, "minItems": 3},
        "a name that is long enough for several ids": {"const": "and a text, too: été 🙂"},
    },
    "required": ["short", "long", "path", "rows", "a name that is long enough for several ids"],
    "additionalProperties": False,
}
CASES = MODES | {
    "long": TurnRules(calls=(CallRule("f", Json(LONG)),), must_call=True),
    "any object": TurnRules(final=Json({"type": "object"})),
}
PIECES = [
    "the",
    "Bergen",
    "天気",
    "👩‍👩‍👧",
    "é",
    "1234567",
    "f():",
    "//",
    " ",
    "   ",
    "\n",
    "\r\n",
    "\t",
]
PIECES += ["\x00", "\u2028", "\\", '"', "{", "<|start|>", "<|reserved_200013|>", "\ud7ff", "DON'T"]
STEPS = 400
SEED = random.SystemRandom().randrange(2**32)

_LETTERS = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}", r"\p{Ll}\p{Lm}\p{Lo}\p{M}"
_SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PATTERN = "|".join(
    (
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_LETTERS[0]}]*[{_LETTERS[1]}]+{_SUFFIX}",
        rf"[^\r\n\p{{L}}\p{{N}}]?[{_LETTERS[0]}]+[{_LETTERS[1]}]*{_SUFFIX}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)
"""How o200k splits text before it looks for tokens (openai/tiktoken, ``openai_public.py``)."""


@pytest.fixture(scope="module")
def reference() -> GrammarCompiler:
    """Grammars by the tokenizer that llguidance makes, with all of its slices."""
    names = {id_: f"<|reserved_{id_}|>" for id_ in range(FIRST_SPECIAL, VOCAB_SIZE)}
    names |= {id_: name for name, id_ in SPECIALS.items()}
    lines = (line.split() for line in read_vocabulary().splitlines())
    make: Callable[..., LLTokenizer] = LLTokenizer.from_tiktoken  # type: ignore[attr-defined]
    tokenizer = make(
        encoder={base64.b64decode(token): int(id_) for token, id_ in lines},
        special_tokens={name: id_ for id_, name in names.items()},
        pattern=PATTERN,
        eos_token=END_OF_TEXT,
        n_vocab=VOCAB_SIZE,
    )
    return GrammarCompiler(lambda: tokenizer)


@pytest.mark.parametrize("case", CASES)
def test_the_same_may_come_next_step_by_step(
    guards: GrammarCompiler, reference: GrammarCompiler, case: str
) -> None:
    """Masks to the bit, and forced ids, along turns that are drawn at random."""
    seed = f"{SEED} {case}"
    print("seed:", seed)  # noqa: T201
    source = random.Random(seed)
    ours, theirs = guards.compile(CASES[case]), reference.compile(CASES[case])
    steps = 0
    while steps < STEPS:
        steps += _walk(source, ours.make_matcher(), theirs.make_matcher())


def _walk(source: random.Random, ours: GrammarMatcher, theirs: GrammarMatcher) -> int:
    """Follow one turn by both; returns its steps."""
    for step in range(1, STEPS + 1):
        rule = ours.rule()
        _check_equal(rule, theirs.rule())
        ids = _draw(source, rule)
        ours.take(ids)
        theirs.take(ids)
        if ids[-1] in STOP_IDS:
            return step
    return STEPS


def _check_equal(ours: Rule, theirs: Rule) -> None:
    if isinstance(ours, Choice):
        assert isinstance(theirs, Choice)
        assert np.array_equal(ours.allowed, theirs.allowed)
    else:
        assert ours == theirs


def _draw(source: random.Random, rule: Rule) -> tuple[int, ...]:
    match rule:
        case Forced(ids):
            return ids
        case Free(ends):
            return (source.choice(ends),)
        case Choice(allowed):
            return (int(source.choice(np.flatnonzero(allowed))),)


def test_text_has_the_ids_that_the_encoding_gives_it(
    guards: GrammarCompiler, reference: GrammarCompiler, encoding: Encoding
) -> None:
    print("seed:", SEED)  # noqa: T201
    source = random.Random(SEED)
    for _ in range(300):
        text = "".join(source.choices(PIECES, k=12))
        ids = encoding.encode_text(text)
        assert guards.load().tokenize_str(text) == ids
        assert reference.load().tokenize_str(text) == ids


def test_each_id_is_the_same_bytes_and_as_special(
    guards: GrammarCompiler, reference: GrammarCompiler
) -> None:
    ours, theirs = guards.load(), reference.load()
    assert ours.vocab_size == theirs.vocab_size == VOCAB_SIZE
    assert ours.eos_token == theirs.eos_token
    assert ours.is_canonical
    for id_ in range(VOCAB_SIZE):
        assert ours.decode_bytes([id_]) == theirs.decode_bytes([id_])
        assert ours.is_special_token(id_) == theirs.is_special_token(id_)
