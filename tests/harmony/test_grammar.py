"""The grammar of whole turns: every form the model writes, and nothing else."""

from __future__ import annotations

import pytest

from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import FunctionCall
from mlxoss.harmony.encoding import CALL as CALL_ID
from mlxoss.harmony.encoding import CHANNEL, Encoding
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import Choice, Forced, Free, GrammarError
from mlxoss.harmony.grammar.render import FREE_TEXT_MARK, MOST_BODY_CHARS, render_grammar
from mlxoss.harmony.grammar.rules import CallRule, FreeText, Json, Lark, Regex, TurnRules
from mlxoss.harmony.prompt import render_prompt
from tests.support.harmony.conversations import conversation
from tests.support.harmony.walks import accepts, to_ids

ANY = Json({"type": "object"})
PLACE = Json(
    {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
)
EMPTY = Json({"type": "object", "properties": {}, "additionalProperties": False})
F, GET, GET_WEATHER = CallRule("f", ANY), CallRule("get", ANY), CallRule("get_weather", PLACE)

CHAT = TurnRules()
TOOLS = TurnRules(calls=(F, GET, GET_WEATHER), preambles=True)
SINGLE = TurnRules(calls=(F, GET), preambles=True, parallel_calls=False)
NOTHING = TurnRules(calls=(CallRule("f", EMPTY),), preambles=True)
MUST = TurnRules(calls=(F, GET), preambles=True, must_call=True)
MUST_ONE = TurnRules(calls=(F,), preambles=True, must_call=True, parallel_calls=False)
ANSWER = TurnRules(final=PLACE)
CUSTOM = TurnRules(
    calls=(
        CallRule("patch", FreeText()),
        CallRule("sum", Lark('start: NUM ("+" NUM)*\nNUM: /[0-9]+/\n')),
        CallRule("stamp", Regex(r"\d{2}/\d{2}")),
    ),
)

THINK = "<|channel|>analysis<|message|>I think.<|end|><|start|>assistant"
SAY = "<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>Hi!<|return|>"
CALL = "<|channel|>commentary to=functions.f<|message|>{}<|call|>"
CALL_ON = "<|channel|>commentary to=functions.f<|message|>{}<|end|><|start|>assistant"

ACCEPTED = {
    "final": (CHAT, FINAL),
    "empty final": (CHAT, "<|channel|>final<|message|><|return|>"),
    "names of tokens as text": (CHAT, FINAL.replace("Hi!", "<|start |> {}")),
    "analysis": (CHAT, THINK + FINAL),
    "much analysis": (CHAT, THINK * 3 + FINAL),
    "final with type": (CHAT, "<|channel|>final <|constrain|>json<|message|>{}<|return|>"),
    "preamble": (TOOLS, SAY + FINAL),
    "analysis and preambles": (TOOLS, THINK + SAY + THINK + SAY + CALL),
    "tools unused": (TOOLS, THINK + FINAL),
    "call": (TOOLS, CALL),
    "call without arguments": (NOTHING, CALL),
    "two calls": (TOOLS, CALL_ON + CALL),
    "call, analysis, call": (TOOLS, CALL_ON + THINK + CALL),
    "call and final": (TOOLS, CALL_ON + FINAL),
    "prefix of a name": (TOOLS, CALL.replace("functions.f", "functions.get")),
    "schema": (
        TOOLS,
        '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Rom"}<|call|>',
    ),
    "single": (SINGLE, THINK + CALL),
    "single, none": (SINGLE, THINK + FINAL),
    "forced": (MUST, THINK + SAY + CALL),
    "forced, two": (MUST, CALL_ON + CALL),
    "forced, then final": (MUST, CALL_ON + FINAL),
    "forced single": (MUST_ONE, THINK + CALL),
    "answer": (ANSWER, THINK + '<|channel|>final<|message|>{"city":"Rom"}<|return|>'),
    "answer with type": (
        ANSWER,
        '<|channel|>final <|constrain|>json<|message|>{\n  "city": "Rom"\n}<|return|>',
    ),
    "custom text": (
        CUSTOM,
        "<|channel|>commentary to=functions.patch<|message|>*** Begin\n\x00{<|call|>",
    ),
    "custom code": (CUSTOM, "<|channel|>analysis to=functions.patch code<|message|>x<|call|>"),
    "custom lark": (CUSTOM, "<|channel|>commentary to=functions.sum<|message|>1+22<|call|>"),
    "custom regex": (CUSTOM, "<|channel|>commentary to=functions.stamp<|message|>12/34<|call|>"),
    **{
        f"header {channel}{kind!r} {place}": (TOOLS, form + "<|message|>{}<|call|>")
        for channel in ("commentary", "analysis")
        for kind in ("", " <|constrain|>json", "<|constrain|>json", " json", " code")
        for place, form in (
            ("in the role", f" to=functions.f<|channel|>{channel}{kind}"),
            ("in the channel", f"<|channel|>{channel} to=functions.f{kind}"),
        )
    },
}

REJECTED = {
    "nothing but a stop": (CHAT, "<|return|>"),
    "text first": (CHAT, "Hi!<|return|>"),
    "no channel": (CHAT, "<|channel|><|message|>Hi!<|return|>"),
    "unknown channel": (CHAT, "<|channel|>finalx<|message|>Hi!<|return|>"),
    "no message": (CHAT, "<|channel|>final Hi!<|return|>"),
    "special in text": (CHAT, FINAL.replace("Hi!", "<|channel|>final")),
    "final ended by end": (CHAT, "<|channel|>final<|message|>x<|end|><|start|>assistant" + FINAL),
    "analysis ended by return": (CHAT, "<|channel|>analysis<|message|>x<|return|>"),
    "final ended by call": (CHAT, "<|channel|>final<|message|>x<|call|>"),
    "stray text": (CHAT, THINK.replace("<|start|>", "so <|start|>") + FINAL),
    "another role": (CHAT, THINK.replace("assistant", "user") + FINAL),
    "no start": (CHAT, THINK.replace("<|start|>assistant", "") + FINAL),
    "preamble without tools": (CHAT, SAY + FINAL),
    "call without tools": (CHAT, CALL),
    "two finals": (CHAT, FINAL + FINAL),
    "unknown function": (TOOLS, CALL.replace("functions.f", "functions.nope")),
    "longer name": (TOOLS, CALL.replace("functions.f", "functions.ff")),
    "no namespace": (TOOLS, CALL.replace("functions.f", "f")),
    "two recipients": (TOOLS, CALL.replace("<|message|>", " to=functions.f<|message|>")),
    "call on final": (TOOLS, CALL.replace("commentary", "final")),
    "an argument too many": (NOTHING, CALL.replace("{}", '{"a":1}')),
    "nothing where an empty object belongs": (NOTHING, CALL.replace("{}", "")),
    "no object": (TOOLS, CALL.replace("{}", "[]")),
    "no JSON": (TOOLS, CALL.replace("{}", "{a}")),
    "half an object": (TOOLS, CALL.replace("{}", '{"a":')),
    "endless whitespace": (TOOLS, CALL.replace("{}", '{  \n\n\n"a":1}')),
    "against the schema": (TOOLS, CALL.replace("functions.f", "functions.get_weather")),
    "call ended by return": (TOOLS, CALL.replace("<|call|>", "<|return|>")),
    "single, two": (SINGLE, CALL_ON + CALL),
    "single, then final": (SINGLE, CALL_ON + FINAL),
    "forced, none": (MUST, THINK + FINAL),
    "forced, preamble only": (MUST, SAY + FINAL),
    "forced single, other": (MUST_ONE, CALL.replace("functions.f", "functions.get")),
    "answer in text": (ANSWER, FINAL),
    "answer against the schema": (ANSWER, '<|channel|>final<|message|>{"city":1}<|return|>'),
    "answer with a tail": (ANSWER, '<|channel|>final<|message|>{"city":""}x<|return|>'),
    "custom against lark": (CUSTOM, "<|channel|>commentary to=functions.sum<|message|>1+<|call|>"),
    "custom against regex": (
        CUSTOM,
        "<|channel|>commentary to=functions.stamp<|message|>12/345<|call|>",
    ),
    "custom as JSON": (
        CUSTOM,
        "<|channel|>commentary to=functions.patch <|constrain|>json<|message|>{}<|call|>",
    ),
}


@pytest.mark.parametrize(("rules", "text"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(guards: GrammarCompiler, encoding: Encoding, rules: TurnRules, text: str) -> None:
    assert accepts(guards, encoding, rules, text)


@pytest.mark.parametrize(("rules", "text"), REJECTED.values(), ids=REJECTED)
def test_rejects(guards: GrammarCompiler, encoding: Encoding, rules: TurnRules, text: str) -> None:
    assert not accepts(guards, encoding, rules, text)


EARLIER = {
    "function": (TOOLS, FunctionCall("f", "{}")),
    "text": (CUSTOM, FunctionCall("patch", "*** Begin\n{", is_text=True)),
    "Lark": (CUSTOM, FunctionCall("sum", "1+2", is_text=True)),
    "expression": (CUSTOM, FunctionCall("stamp", "12/34", is_text=True)),
}


@pytest.mark.parametrize(("rules", "call"), EARLIER.values(), ids=EARLIER)
def test_earlier_calls_are_written_as_new_ones_may_be(
    guards: GrammarCompiler, encoding: Encoding, rules: TurnRules, call: FunctionCall
) -> None:
    before = render_prompt(encoding, conversation())
    ids = render_prompt(encoding, conversation(call))
    written = ids[len(before) : ids.index(CALL_ID) + 1]
    guards.compile(rules).make_matcher().take(written)


def test_a_rejected_id_is_the_first_wrong_one(guards: GrammarCompiler, encoding: Encoding) -> None:
    guard = guards.compile(CHAT).make_matcher()
    guard.take(to_ids(encoding, "<|channel|>final"))
    with pytest.raises(GrammarError):
        guard.take([CHANNEL])


def test_free_text_stays_free(guards: GrammarCompiler, encoding: Encoding) -> None:
    told, skipped = (guards.compile(TOOLS).make_matcher() for _ in range(2))
    begin = to_ids(encoding, "<|channel|>analysis<|message|>")
    for guard in (told, skipped):
        guard.take(begin)
    assert told.rule() == Free((200007,))
    told.take(encoding.encode_text("any text, \xff of any kind 你"))
    assert told.rule() == skipped.rule() == Free((200007,))
    for guard in (told, skipped):
        guard.take([200007])
        assert guard.rule() == Forced(tuple(to_ids(encoding, "<|start|>assistant")))


def test_forced_ids_are_the_ones_that_the_model_writes(
    guards: GrammarCompiler, encoding: Encoding
) -> None:
    guard = guards.compile(MUST_ONE).make_matcher()
    guard.take(to_ids(encoding, "<|channel|>commentary to"))
    rule = guard.rule()
    assert rule == Forced(tuple(encoding.encode_text("=functions.f")))
    guard.take(rule.ids)
    choice = guard.rule()
    assert isinstance(choice, Choice)
    assert not choice.allowed[FREE_TEXT_MARK]


def test_equal_rules_are_one_grammar(guards: GrammarCompiler) -> None:
    assert render_grammar(TOOLS) == render_grammar(TOOLS)
    assert guards.compile(TOOLS) == guards.compile(TurnRules(TOOLS.calls, preambles=True))


def test_must_call_needs_a_function() -> None:
    with pytest.raises(ValueError, match="function"):
        TurnRules(must_call=True)


UNUSABLE = {
    "unknown keyword": (Json({"type": "object", "not": {}}), "not"),
    "unknown format": (Json({"type": "string", "format": 5}), "format"),
    "impossible": (Json({"type": "integer", "minimum": 3, "maximum": 2}), "minimum"),
    "malformed": (Json({"type": "object", "properties": 3}), "properties"),
    "remote": (Json({"$ref": "https://example.com/schema"}), "example.com"),
    "too long": (Json({"enum": ["x" * MOST_BODY_CHARS]}), "longer"),
    "not JSON": (Json({"const": float("nan")}), "JSON"),
    "surrogate": (Json({"const": "\ud800"}), "surrogate"),
    "no Lark": (Lark("start: nothing\n"), "nothing"),
    "empty Lark": (Lark(""), "start"),
    "special token": (Lark("start: <|call|>\n"), "special token"),
    "special token by number": (Lark("start: <[200012]>\n"), "special token"),
    "every token": (Lark("start: <[*]>\n"), "special token"),
    "another grammar": (Lark("start: @final_body\n"), "another grammar"),
    "options": (Lark('%llguidance {"no_forcing": true}\nstart: "a"\n'), "options"),
    "bad regex": (Regex("(a"), "unclosed"),
    "look-around": (Regex("(?=a)a"), "look-around"),
}


@pytest.mark.parametrize(("body", "reason"), UNUSABLE.values(), ids=UNUSABLE)
def test_names_the_field_that_cannot_be_enforced(
    guards: GrammarCompiler, body: Json | Lark | Regex, reason: str
) -> None:
    rules = TurnRules(calls=(F, CallRule("bad", body, "tools[1].function.parameters")))
    with pytest.raises(InvalidRequest, match=reason) as caught:
        guards.compile(rules)
    assert caught.value.param == "tools[1].function.parameters"
    with pytest.raises(InvalidRequest) as caught:
        guards.compile(TurnRules(final=body, final_param="text.format.schema"))
    assert caught.value.param == "text.format.schema"


def test_lark_may_hold_signs_in_strings(guards: GrammarCompiler, encoding: Encoding) -> None:
    lark = 'start: "<" /[<>]+/ "@" // <|call|> @x\n'
    rules = TurnRules(calls=(CallRule("f", Lark(lark)),))
    text = "<|channel|>commentary to=functions.f<|message|><<>@<|call|>"
    assert accepts(guards, encoding, rules, text)
