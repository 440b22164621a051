"""Recipients in odd places and forms, calls in odd channels and with odd ends."""

from __future__ import annotations

from mlxoss.harmony.events import Channel
from mlxoss.harmony.recovery import RecoveryKind as R
from tests.support.harmony.cases.case import ANALYSIS, CALL, FINAL, PREAMBLE, RETURN, Case, call

RECIPIENTS = {
    "repeated": Case(
        "<|channel|>commentary to=f to=f<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
        {R.REPEATED_RECIPIENT: 1, R.RECIPIENT_FORM: 1},
    ),
    "repeated in the channel": Case(
        " to=functions.f<|channel|>commentary to=functions.f code<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
        {R.REPEATED_RECIPIENT: 1},
    ),
    "different": Case(
        "<|channel|>commentary to=assistant to=functions.get<|message|>{}<|call|>",
        ((call("get"), "{}"),),
        CALL,
        {R.REPEATED_RECIPIENT: 1},
    ),
    "odd spacing": Case(
        "  to = functions.f  <|channel|> commentary  <|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
    ),
    "glued to the channel": Case(
        "<|channel|>commentaryto=functions.f code<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
    ),
    "glued content type": Case(
        "<|channel|>commentary to=functions.get_weatherjson<|message|>{}<|call|>",
        ((call("get_weather"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "longest name": Case(
        "<|channel|>commentary to=functions.get_weather<|message|>{}<|call|>",
        ((call("get_weather"), "{}"),),
        CALL,
    ),
    "prefix twice": Case(
        "<|channel|>commentary to=functions.functions.f<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "on analysis": Case(
        "<|channel|>analysis to=functions.f code<|message|>{}<|call|>",
        ((call("f", Channel.ANALYSIS), "{}"),),
        CALL,
    ),
    "on final": Case(
        "<|channel|>final to=functions.f <|constrain|>json<|message|>{}<|call|>",
        ((call("f", Channel.FINAL), "{}"),),
        CALL,
        {R.CALL_CHANNEL: 1},
    ),
    "as the content type": Case(
        "<|channel|>final <|constrain|>functions.f<|message|>{}<|call|>",
        ((call("f", Channel.FINAL), "{}"),),
        CALL,
        {R.CALL_CHANNEL: 1, R.RECIPIENT_FORM: 1},
    ),
    "after the content type": Case(
        "<|channel|>commentary <|constrain|>json to=functions.f<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
    ),
    "without a channel": Case(
        " to=functions.f<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
        {R.MISSING_CHANNEL: 1},
    ),
    "equals sign missing": Case(
        "<|channel|>commentary to functions.f<|message|>{}<|call|>",
        ((call("f"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1, R.HEADER_TEXT: 1},
    ),
    "unknown": Case(
        "<|channel|>commentary to=functions.nope <|constrain|>json<|message|>{}<|call|>",
        ((PREAMBLE, "{}"),),
        CALL,
        {R.UNKNOWN_RECIPIENT: 1, R.CALL_END: 1},
    ),
    "unknown on analysis": Case(
        "<|channel|>analysis to=python code<|message|>print(1)<|call|>",
        ((ANALYSIS, "print(1)"),),
        CALL,
        {R.UNKNOWN_RECIPIENT: 1, R.CALL_END: 1},
    ),
    "built-in on commentary": Case(
        "<|channel|>commentary to=browser.search code<|message|>{}<|call|>",
        ((PREAMBLE, "{}"),),
        CALL,
        {R.UNKNOWN_RECIPIENT: 1, R.CALL_END: 1},
    ),
    "the user": Case(
        "<|channel|>final to=user<|message|>x<|return|>",
        ((FINAL, "x"),),
        RETURN,
        {R.UNKNOWN_RECIPIENT: 1},
    ),
    "call ended by end": Case(
        "<|channel|>commentary to=functions.f<|message|>{}<|end|>"
        "<|start|>assistant<|channel|>commentary to=functions.get<|message|>[]<|call|>",
        ((call("f"), "{}"), (call("get"), "[]")),
        CALL,
    ),
    "call ended by return": Case(
        "<|channel|>commentary to=functions.f<|message|>{}<|return|>",
        ((call("f"), "{}"),),
        RETURN,
        {R.CALL_END: 1},
    ),
    "answer ended by call": Case(
        "<|channel|>final<|message|>x<|call|>", ((FINAL, "x"),), CALL, {R.CALL_END: 1}
    ),
}
