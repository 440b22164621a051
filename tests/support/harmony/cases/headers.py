"""Headers with too much, too little or something else in them."""

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

HEADERS = {
    "channel missing": Case(
        "<|channel|><|message|>x<|return|>", ((FINAL, "x"),), RETURN, {R.MISSING_CHANNEL: 1}
    ),
    "no header": Case("<|message|>x<|return|>", ((FINAL, "x"),), RETURN, {R.MISSING_CHANNEL: 1}),
    "glued word": Case(
        "<|channel|>finalx<|message|>y<|return|>", ((FINAL, "y"),), RETURN, {R.HEADER_TEXT: 1}
    ),
    "extra words": Case(
        "<|channel|>analysis for the user<|message|>y<|return|>",
        ((ANALYSIS, "y"),),
        RETURN,
        {R.HEADER_TEXT: 1},
    ),
    "unknown channel": Case(
        "<|channel|>summary<|message|>y<|return|>",
        ((FINAL, "y"),),
        RETURN,
        {R.UNKNOWN_CHANNEL: 1, R.HEADER_TEXT: 1},
    ),
    "misspelt channel": Case(
        "<|channel|>analys<|message|>y<|return|>",
        ((ANALYSIS, "y"),),
        RETURN,
        {R.UNKNOWN_CHANNEL: 1},
    ),
    "capital, punctuation": Case(
        "<|channel|>--Commentary<|message|>y<|return|>", ((PREAMBLE, "y"),), RETURN
    ),
    "channel without its token": Case(
        "final<|message|>y<|return|>", ((FINAL, "y"),), RETURN, {R.MISSING_CHANNEL: 1}
    ),
    "channel twice": Case(
        "<|channel|>analysis<|channel|>final<|message|>y<|return|>",
        ((FINAL, "y"),),
        RETURN,
        {R.REPEATED_CHANNEL: 1},
    ),
    "role missing": Case(
        "<|channel|>analysis<|message|>a<|end|><|start|><|channel|>final<|message|>y<|return|>",
        ((ANALYSIS, "a"), (FINAL, "y")),
        RETURN,
        {R.MISSING_ROLE: 1},
    ),
    "start missing": Case(
        "<|channel|>analysis<|message|>a<|end|>assistant<|channel|>final<|message|>y<|return|>",
        ((ANALYSIS, "a"), (FINAL, "y")),
        RETURN,
        {R.MISSING_START: 1},
    ),
    "start and channel missing": Case(
        "<|channel|>analysis<|message|>a<|end|>commentary to=functions.f code<|message|>{}<|call|>",
        ((ANALYSIS, "a"), (call("f"), "{}")),
        CALL,
        {R.MISSING_START: 1, R.MISSING_CHANNEL: 1},
    ),
    "another role": Case(
        "<|channel|>final<|message|>x<|end|><|start|>user<|message|>And?<|end|>"
        "<|start|>functions.f to=assistant<|channel|>commentary<|message|>1<|end|>"
        "<|start|>assistant<|channel|>final<|message|>y<|return|>",
        ((FINAL, "x"), (FINAL, "y")),
        RETURN,
        {R.FOREIGN_ROLE: 2},
    ),
    "another role at the end": Case(
        "<|channel|>final<|message|>x<|end|><|start|>user<|message|>And?",
        ((FINAL, "x"),),
        LENGTH,
        {R.FOREIGN_ROLE: 1},
    ),
    "another role without start": Case(
        "<|channel|>final<|message|>x<|end|>user<|message|>And?<|return|>",
        ((FINAL, "x"),),
        RETURN,
        {R.MISSING_START: 1, R.FOREIGN_ROLE: 1},
    ),
    "message before a channel": Case(
        "<|message|>x<|channel|>final<|message|>y<|return|>",
        ((FINAL, "x"), (FINAL, "y")),
        RETURN,
        {R.MISSING_CHANNEL: 1, R.MISSING_END: 1},
    ),
}
