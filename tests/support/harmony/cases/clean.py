"""Turns in Harmony's form, whole or cut by the token limit."""

from __future__ import annotations

from tests.support.harmony.cases.case import ANALYSIS, CALL, FINAL, LENGTH, PREAMBLE, Case, call

CLEAN = {
    "answer": Case("<|channel|>final<|message|>Hi!<|return|>", ((FINAL, "Hi!"),)),
    "reasoning, answer": Case(
        "<|channel|>analysis<|message|>a b<|end|>"
        "<|start|>assistant<|channel|>final<|message|>x y<|return|>",
        ((ANALYSIS, "a b"), (FINAL, "x y")),
    ),
    "call, recipient in the channel": Case(
        '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>',
        ((call("f"), '{"a": 1}'),),
        CALL,
    ),
    "call, recipient in the role": Case(
        ' to=functions.f<|channel|>commentary <|constrain|>json<|message|>{"a": 1}<|call|>',
        ((call("f"), '{"a": 1}'),),
        CALL,
    ),
    "call, recipient in a later role": Case(
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant to=functions.get_weather"
        "<|channel|>commentary json<|message|>{}<|call|>",
        ((ANALYSIS, "a"), (call("get_weather"), "{}")),
        CALL,
    ),
    "call without a content type": Case(
        "<|channel|>commentary to=functions.f<|message|>{}<|call|>", ((call("f"), "{}"),), CALL
    ),
    "call with a bare content type": Case(
        "<|channel|>commentary to=functions.f code<|message|>{}<|call|>", ((call("f"), "{}"),), CALL
    ),
    "call with a glued constraint": Case(
        "<|channel|>commentary to=functions.f<|constrain|>json<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
    ),
    "preamble, call": Case(
        "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{}<|call|>",
        ((PREAMBLE, "Let me look."), (call("f"), "{}")),
        CALL,
    ),
    "empty answer": Case("<|channel|>final<|message|><|return|>", ((FINAL, ""),)),
    "arguments that are not JSON": Case(
        "<|channel|>commentary to=functions.f code<|message|>*** Begin Patch\n<|call|>",
        ((call("f"), "*** Begin Patch\n"),),
        CALL,
    ),
    "JSON answer": Case(
        "<|channel|>final <|constrain|>json<|message|>{}<|return|>", ((FINAL, "{}"),)
    ),
    "JSON answer, bare content type": Case(
        "<|channel|>final json<|message|>{}<|return|>", ((FINAL, "{}"),)
    ),
    "several scripts": Case(
        "<|channel|>analysis<|message|>日本語 𒀀 🏳️‍🌈<|end|>"
        "<|start|>assistant<|channel|>final<|message|>🧑🏽‍🚀 naïve 你好\n<|return|>",
        ((ANALYSIS, "日本語 𒀀 🏳️‍🌈"), (FINAL, "🧑🏽‍🚀 naïve 你好\n")),
    ),
    "cut answer": Case("<|channel|>final<|message|>half an", ((FINAL, "half an"),), LENGTH),
    "cut reasoning": Case("<|channel|>analysis<|message|>half a", ((ANALYSIS, "half a"),), LENGTH),
    "cut arguments": Case(
        '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a',
        ((call("f"), '{"a'),),
        LENGTH,
    ),
    "cut header": Case("<|channel|>commentary to=functions.f <|constrain|>js", (), LENGTH),
    "cut second header": Case(
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>fin",
        ((ANALYSIS, "a"),),
        LENGTH,
    ),
    "nothing": Case("", (), LENGTH),
}
