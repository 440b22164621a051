"""Messages without their end or their ``<|message|>``, and text outside any message."""

from __future__ import annotations

from mlxoss.harmony.recovery import RecoveryKind as R
from tests.support.harmony.cases.case import (
    ANALYSIS,
    CALL,
    FINAL,
    LENGTH,
    PREAMBLE,
    RETURN,
    Case,
    call,
)

ENDS = {
    "end missing before channel": Case(
        "<|channel|>analysis<|message|>a<|channel|>final<|message|>x<|return|>",
        ((ANALYSIS, "a"), (FINAL, "x")),
        RETURN,
        {R.MISSING_END: 1},
    ),
    "end missing before start": Case(
        "<|channel|>analysis<|message|>a<|start|>assistant<|channel|>final<|message|>x<|return|>",
        ((ANALYSIS, "a"), (FINAL, "x")),
        RETURN,
        {R.MISSING_END: 1},
    ),
    "tokens without meaning": Case(
        "<|channel|>fi<|endoftext|>nal<|message|>x<|message|>y<|reserved_200013|><|constrain|>z"
        "<|return|>",
        ((FINAL, "xyz"),),
        RETURN,
        {R.STRAY_TOKEN: 4},
    ),
    "message missing, JSON": Case(
        '<|channel|>final {"a":1}<|return|>', ((FINAL, '{"a":1}'),), RETURN, {R.MISSING_MESSAGE: 1}
    ),
    "message missing, content type": Case(
        '<|channel|>final <|constrain|>json{"a":1}<|return|>',
        ((FINAL, '{"a":1}'),),
        RETURN,
        {R.MISSING_MESSAGE: 1},
    ),
    "message missing, one word": Case(
        "<|channel|>final Yes<|return|>", ((FINAL, "Yes"),), RETURN, {R.MISSING_MESSAGE: 1}
    ),
    "message missing, equals sign": Case(
        "<|channel|>final set goto=5<|return|>",
        ((FINAL, "set goto=5"),),
        RETURN,
        {R.MISSING_MESSAGE: 1},
    ),
    "message missing, call": Case(
        '<|channel|>commentary to=functions.f json{"a": 1}<|call|>',
        ((call("f"), '{"a": 1}'),),
        CALL,
        {R.MISSING_MESSAGE: 1},
    ),
    "message missing, cut": Case(
        "<|channel|>final It is so", ((FINAL, "It is so"),), LENGTH, {R.MISSING_MESSAGE: 1}
    ),
    "message missing, call without arguments": Case(
        "<|channel|>commentary to=functions.f<|call|>",
        ((call("f"), ""),),
        CALL,
        {R.MISSING_MESSAGE: 1},
    ),
    "final and no more": Case(
        "<|channel|>final<|return|>", ((FINAL, ""),), RETURN, {R.MISSING_MESSAGE: 1}
    ),
    "bare answer": Case(
        "Hello there<|return|>", ((FINAL, "Hello there"),), RETURN, {R.MISSING_MESSAGE: 1}
    ),
    "bare reasoning": Case(
        "The user wants harm. Refuse.<|end|>"
        "<|start|>assistant<|channel|>final<|message|>No.<|return|>",
        ((ANALYSIS, "The user wants harm. Refuse."), (FINAL, "No.")),
        RETURN,
        {R.MISSING_MESSAGE: 1},
    ),
    "noise for a header": Case(
        "<|channel|>commentary?commentary?<|end|>"
        "<|start|>assistant<|channel|>final<|message|>x<|return|>",
        ((ANALYSIS, "?commentary?"), (FINAL, "x")),
        RETURN,
        {R.MISSING_MESSAGE: 1},
    ),
    "stray text after an answer": Case(
        "<|channel|>final<|message|>x<|end|> and more",
        ((FINAL, "x"), (FINAL, "and more")),
        LENGTH,
        {R.STRAY_TEXT: 1},
    ),
    "stray text after a preamble": Case(
        "<|channel|>commentary<|message|>x<|end|> and more<|return|>",
        ((PREAMBLE, "x"), (PREAMBLE, "and more")),
        RETURN,
        {R.STRAY_TEXT: 1},
    ),
    "stray answer": Case(
        "<|channel|>analysis<|message|>x<|end|>It is 4.<|return|>",
        ((ANALYSIS, "x"), (FINAL, "It is 4.")),
        RETURN,
        {R.STRAY_TEXT: 1},
    ),
    "stray reasoning": Case(
        "<|channel|>analysis<|message|>x<|end|>and y<|start|>assistant<|channel|>final<|message|>z"
        "<|return|>",
        ((ANALYSIS, "x"), (ANALYSIS, "and y"), (FINAL, "z")),
        RETURN,
        {R.STRAY_TEXT: 1},
    ),
    "stray newline": Case(
        "<|channel|>analysis<|message|>x<|end|>\n<|start|>assistant<|channel|>final<|message|>z"
        "<|return|>",
        ((ANALYSIS, "x"), (FINAL, "z")),
        RETURN,
        {R.STRAY_TEXT: 1},
    ),
    "stray call without tokens": Case(
        "<|channel|>analysis<|message|>x<|end|>"
        'assistantcommentary to=functions.f json{"a":1}<|call|>',
        ((ANALYSIS, "x"), (call("f"), '{"a":1}')),
        CALL,
        {R.STRAY_TEXT: 1, R.MISSING_CHANNEL: 1},
    ),
    "return after end": Case("<|channel|>final<|message|>x<|end|><|return|>", ((FINAL, "x"),)),
    "only a return": Case("<|return|>", (), RETURN, {R.MISSING_MESSAGE: 1}),
    "two starts": Case(
        "<|start|>assistant<|start|>assistant<|channel|>final<|message|>x<|return|>",
        ((FINAL, "x"),),
        RETURN,
        {R.MISSING_MESSAGE: 2},
    ),
}
