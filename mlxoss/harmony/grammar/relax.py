"""Rules of a turn with less in them: any object for calls whose arguments cannot be enforced."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable

from mlxoss.harmony.grammar.rules import ANY_OBJECT, CallRule, TurnRules


def relax(rules: TurnRules, is_relaxed: Callable[[CallRule], bool]) -> TurnRules:
    """``rules`` in which the calls that ``is_relaxed`` holds for take any object.

    Strict ones are not asked about, and stay.
    """
    calls = tuple(
        dataclasses.replace(call, body=ANY_OBJECT, is_strict=True)
        if not call.is_strict and is_relaxed(call)
        else call
        for call in rules.calls
    )
    return dataclasses.replace(rules, calls=calls)


def to_key(call: CallRule) -> bytes:
    """Tells calls apart by their names and bodies."""
    return hashlib.sha256(repr((call.name, call.body)).encode(errors="replace")).digest()
