"""A turn's rules as an llguidance grammar of the whole turn.

A turn starts where the prompt ends, after ``<|start|>assistant``: any messages of analysis (and
preambles where tools exist), calls to the functions that may be called, and at most one final,
which ends it. Headers are accepted in every form that gpt-oss was trained to write
(openai/harmony ``docs/format.md``): the recipient before or after the channel, ``<|constrain|>``
before the content type or not. A call may also stand on the analysis channel, where the model
puts those of its built-in tools and, now and then, others. Those of built-in tools, which may stand
on either too, end the turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from mlxoss.core import JsonObject
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import JsonSchema
from mlxoss.harmony.encoding import FIRST_SPECIAL, VOCAB_SIZE
from mlxoss.harmony.grammar.limits import refuse_definition, refuse_schema, to_definition
from mlxoss.harmony.grammar.rules import (
    WHITESPACE,
    Body,
    BuiltinRule,
    CallRule,
    FreeText,
    Json,
    Lark,
    Regex,
    TurnRules,
)
from mlxoss.harmony.grammar.simplify import simplify

FREE_TEXT_MARK = VOCAB_SIZE - 1
"""A reserved id that the grammar allows in free text and nowhere else. It is never sampled: it
tells who reads a mask that every ordinary token leads back to the very same mask."""

MOST_BODY_CHARS = 120_000


def render_grammar(rules: TurnRules) -> str:
    """The grammar in llguidance's JSON form; equal rules give equal texts.

    Nothing is compiled here (``mlxoss.harmony.grammar.compiler`` does that). Raises
    ``InvalidRequest`` for a body that is too long, cannot be written as JSON, or would leave its
    message.
    """
    for param, stated in rules.bodies():
        _check(param, stated)
    lines = [*_turn_lines(rules), *_MESSAGES]
    named: list[JsonObject] = []
    final = _place(rules.final, "final_body", named)
    lines.append(f'final: <|channel|> "final" json_type? <|message|> {final}')
    for index, call in enumerate(rules.calls):
        body = _place(call.body, f"call_body_{index}", named)
        lines += _call_lines(index, call, body)
    for index, builtin in enumerate(rules.builtins):
        body = _place(builtin.body, f"builtin_body_{index}", named)
        lines += _builtin_lines(index, builtin, body)
    return _dump(lines, named)


def render_body_grammar(body: Body) -> str:
    """A grammar of a message with ``body`` and nothing else: to try one body by itself."""
    named: list[JsonObject] = []
    placed = _place(body, "body", named)
    return _dump([f"start: <|message|> {placed} <|end|>", _TEXT], named)


_NEXT = '<|end|> <|start|> "assistant"'
_TEXT = f"text: (<[0-{FIRST_SPECIAL - 1}]> | <[{FREE_TEXT_MARK}]>)*"
_MESSAGES = (
    _TEXT,
    'analysis: <|channel|> "analysis" <|message|> text',
    'preamble: <|channel|> "commentary" <|message|> text',
    'call_channel: "commentary" | "analysis"',
    'json_type: " "? <|constrain|> "json"',
    'arguments_type: json_type | " json" | " code"',
    'input_type: " code" | " text"',
)


def _turn_lines(rules: TurnRules) -> Iterator[str]:
    quiet = "analysis | preamble" if rules.preambles else "analysis"
    yield f"quiet: ({quiet}) {_NEXT}"
    ends = ["call <|call|>"] if rules.calls else []
    if rules.calls and rules.parallel_calls:
        ends.append(f"call {_NEXT} turn")
    if rules.builtins:
        ends.append("builtin <|call|>")
    if rules.must_call:
        yield f"start: quiet* ({' | '.join(ends)})"
    else:
        yield "start: turn"
    yield f"turn: quiet* ({' | '.join([*ends, 'final <|return|>'])})"
    if rules.calls:
        yield "call: " + " | ".join(f"call_{index}" for index in range(len(rules.calls)))
    if rules.builtins:
        names = (f"builtin_{index}" for index in range(len(rules.builtins)))
        yield "builtin: " + " | ".join(names)


def _call_lines(index: int, call: CallRule, body: str) -> Iterator[str]:
    kind = "arguments_type" if isinstance(call.body, Json) else "input_type"
    yield f"head_{index}: {_head(f'functions.{call.name}')}"
    yield f"call_{index}: head_{index} {kind}? <|message|> {body}"


def _builtin_lines(index: int, builtin: BuiltinRule, body: str) -> Iterator[str]:
    kind = '" code"' if isinstance(builtin.body, FreeText) else "arguments_type"
    yield f"builtin_head_{index}: {_head(builtin.recipient)}"
    yield f"builtin_{index}: builtin_head_{index} {kind}? <|message|> {body}"


def _head(recipient: str) -> str:
    to = json.dumps(f" to={recipient}")
    return f"{to} <|channel|> call_channel | <|channel|> call_channel {to}"


def _place(body: Body, name: str, named: list[JsonObject]) -> str:
    """What stands for ``body`` in the turn's rules; its own grammar is added to ``named``.

    A grammar of its own keeps a request's definitions from touching the turn's.
    """
    match body:
        case FreeText():
            return "text"
        case Json(schema):
            named.append({"name": name, "json_schema": _to_schema(schema)})
        case Lark(definition):
            named.append({"name": name, "lark_grammar": definition})
        case Regex(pattern):
            named.append({"name": name, "lark_grammar": to_definition(pattern)})
    return f"@{name}"


def _to_schema(schema: JsonSchema) -> JsonObject | bool:
    options = {"whitespace_pattern": WHITESPACE}
    if isinstance(schema, bool):
        return {"x-guidance": options} if schema else False
    return {**simplify(schema), "x-guidance": options}


def _dump(lines: list[str], named: list[JsonObject]) -> str:
    grammars = [{"lark_grammar": "".join(f"{line}\n" for line in lines)}, *named]
    return json.dumps({"grammars": grammars}, ensure_ascii=False)


def _check(param: str, body: Body) -> None:
    match body:
        case FreeText():
            return
        case Json(schema):
            text = _to_text(schema, param)
            if reason := refuse_schema(schema):
                raise unusable(param, reason)
        case Lark(definition):
            text = definition
            if reason := refuse_definition(definition):
                raise unusable(param, reason)
        case Regex(pattern):
            text = pattern
    if len(text) > MOST_BODY_CHARS:
        raise unusable(param, f"it is longer than {MOST_BODY_CHARS} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise unusable(param, "it holds a lone surrogate, which no text can") from None


def _to_text(schema: JsonSchema, param: str) -> str:
    try:
        return json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise unusable(
            param, "it is nested too deeply or holds a value that JSON does not have"
        ) from None


def unusable(param: str, reason: str) -> InvalidRequest:
    """The error for a schema or a definition that cannot be enforced."""
    return InvalidRequest(
        f"Invalid '{param}': it cannot be enforced: {reason}.", param=param, code="invalid_value"
    )
