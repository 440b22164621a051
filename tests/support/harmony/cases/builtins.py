"""Calls of the tools that gpt-oss was trained with, in every form that it writes them in.

The parser knows ``BUILTINS`` and the functions of the other tables, and one called ``python``.
"""

from __future__ import annotations

from mlxoss.harmony.events import Channel
from mlxoss.harmony.recovery import RecoveryKind as R
from tests.support.harmony.cases.case import (
    ANALYSIS,
    CALL,
    FINAL,
    LENGTH,
    PREAMBLE,
    RETURN,
    Case,
    builtin,
    call,
)

BUILTINS = ("python", "browser.search", "browser.open", "browser.find")
CODE = 'x = "</p>"\nprint(x)\n'
THINK = "<|channel|>analysis<|message|>Compute.<|end|><|start|>assistant"

_PLACES = {
    "in the channel": "<|channel|>{channel} to={to}{kind}",
    "in the role": " to={to}<|channel|>{channel}{kind}",
}
_KINDS = {
    "python": ("", " code", " python", " <|constrain|>code"),
    "browser.search": ("", " code", " json", " <|constrain|>json", "<|constrain|>json"),
}
_TEXTS = {"python": CODE, "browser.search": '{"query": "x"}'}

SAMPLED = {
    f"{channel} to {to}{kind!r} {place}": Case(
        f"{head.format(channel=channel, to=to, kind=kind)}<|message|>{_TEXTS[to]}<|call|>",
        ((builtin(to, Channel(channel)), _TEXTS[to]),),
        CALL,
    )
    for channel in ("analysis", "commentary")
    for to, kinds in _KINDS.items()
    for kind in kinds
    for place, head in _PLACES.items()
}

TURNS = {
    "reasoning, then code": Case(
        f"{THINK}<|channel|>analysis to=python code<|message|>1+1<|call|>",
        ((ANALYSIS, "Compute."), (builtin("python"), "1+1")),
        CALL,
    ),
    "a preamble, then a search": Case(
        "<|channel|>commentary<|message|>Let me look.<|end|><|start|>assistant"
        '<|channel|>analysis to=browser.search code<|message|>{"query":"x"}<|call|>',
        ((PREAMBLE, "Let me look."), (builtin("browser.search"), '{"query":"x"}')),
        CALL,
    ),
    "a function's call, then code": Case(
        "<|channel|>commentary to=functions.f<|message|>{}<|end|><|start|>assistant"
        "<|channel|>analysis to=python code<|message|>1<|call|>",
        ((call("f"), "{}"), (builtin("python"), "1")),
        CALL,
    ),
    "no code": Case(
        "<|channel|>analysis to=python code<|message|><|call|>", ((builtin("python"), ""),), CALL
    ),
    "code that the token limit cut": Case(
        "<|channel|>analysis to=python code<|message|>pri", ((builtin("python"), "pri"),), LENGTH
    ),
}

ODD = {
    "a function of the same name": Case(
        "<|channel|>analysis to=functions.python code<|message|>{}<|call|>",
        ((call("python", Channel.ANALYSIS), "{}"),),
        CALL,
    ),
    "a function of the same name, prefixed twice": Case(
        "<|channel|>commentary to=functions.functions.python<|message|>{}<|call|>",
        ((call("python"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "a function of the same name as the content type": Case(
        "<|channel|>commentary <|constrain|>functions.python<|message|>{}<|call|>",
        ((call("python"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "a function of the same name, quoted": Case(
        "<|channel|>commentary to='functions.python'<|message|>{}<|call|>",
        ((call("python"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "in the namespace of functions": Case(
        "<|channel|>analysis to=functions.browser.open code<|message|>{}<|call|>",
        ((builtin("browser.open"), "{}"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "a tool that the browser has not": Case(
        "<|channel|>analysis to=browser.run code<|message|>{}<|call|>",
        ((ANALYSIS, "{}"),),
        CALL,
        {R.UNKNOWN_RECIPIENT: 1, R.CALL_END: 1},
    ),
    "the browser itself": Case(
        "<|channel|>commentary to=browser code<|message|>{}<|call|>",
        ((PREAMBLE, "{}"),),
        CALL,
        {R.UNKNOWN_RECIPIENT: 1, R.CALL_END: 1},
    ),
    "a container": Case(
        "<|channel|>analysis to=container.exec code<|message|>{}<|call|>",
        ((ANALYSIS, "{}"),),
        CALL,
        {R.UNKNOWN_RECIPIENT: 1, R.CALL_END: 1},
    ),
    "a glued content type": Case(
        "<|channel|>analysis to=pythoncode<|message|>1<|call|>",
        ((builtin("python"), "1"),),
        CALL,
        {R.RECIPIENT_FORM: 1},
    ),
    "on final": Case(
        "<|channel|>final to=python code<|message|>1<|call|>",
        ((builtin("python"), "1"),),
        CALL,
        {R.CALL_CHANNEL: 1},
    ),
    "without a channel": Case(
        " to=python code<|message|>1<|call|>",
        ((builtin("python"), "1"),),
        CALL,
        {R.MISSING_CHANNEL: 1},
    ),
    "the first of several": Case(
        "<|channel|>analysis to=python to=browser.open code<|message|>1<|call|>",
        ((builtin("python"), "1"),),
        CALL,
        {R.REPEATED_RECIPIENT: 1},
    ),
    "without <|message|>": Case(
        "<|channel|>analysis to=python code\nprint(1)<|call|>",
        ((builtin("python"), "print(1)"),),
        CALL,
        {R.MISSING_MESSAGE: 1},
    ),
    "JSON without <|message|>": Case(
        '<|channel|>analysis to=browser.find code{"pattern":"x"}<|call|>',
        ((builtin("browser.find"), '{"pattern":"x"}'),),
        CALL,
        {R.MISSING_MESSAGE: 1},
    ),
    "ended by return": Case(
        "<|channel|>analysis to=python code<|message|>1<|return|>",
        ((builtin("python"), "1"),),
        RETURN,
        {R.CALL_END: 1},
    ),
    "ended by end": Case(
        "<|channel|>analysis to=python code<|message|>1<|end|><|start|>assistant"
        "<|channel|>final<|message|>It is 1.<|return|>",
        ((builtin("python"), "1"), (FINAL, "It is 1.")),
        RETURN,
        {R.CALL_END: 1},
    ),
    "a result that the model made up": Case(
        "<|channel|>analysis to=python code<|message|>1<|end|><|start|>python to=assistant"
        "<|channel|>analysis<|message|>1<|end|><|start|>assistant"
        "<|channel|>final<|message|>1<|return|>",
        ((builtin("python"), "1"), (FINAL, "1")),
        RETURN,
        {R.CALL_END: 1, R.FOREIGN_ROLE: 1},
    ),
    "text after it": Case(
        "<|channel|>analysis to=python code<|message|>1<|end|>So it is 1.<|return|>",
        ((builtin("python"), "1"), (FINAL, "So it is 1.")),
        RETURN,
        {R.CALL_END: 1, R.STRAY_TEXT: 1},
    ),
    "an answer to the user": Case(
        "<|channel|>final<|message|>Use python.<|return|>", ((FINAL, "Use python."),)
    ),
}

CASES = SAMPLED | TURNS | ODD
