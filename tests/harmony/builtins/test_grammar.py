"""What a turn's grammar lets the model write to its own tools."""

from __future__ import annotations

import json

import jsonschema
import pytest

from mlxoss.harmony.builtins import BROWSER, PYTHON, to_rules
from mlxoss.harmony.conversation import Builtin, BuiltinCall, FunctionTool
from mlxoss.harmony.encoding import CALL, Encoding
from mlxoss.harmony.grammar.any_order import any_order
from mlxoss.harmony.grammar.compiler import GrammarCompiler
from mlxoss.harmony.grammar.matcher import Free
from mlxoss.harmony.grammar.render import render_grammar
from mlxoss.harmony.grammar.rules import (
    ANY_OBJECT,
    BuiltinRule,
    CallRule,
    FreeText,
    Json,
    TurnRules,
)
from mlxoss.harmony.prompt import render_prompt
from tests.support.harmony.cases.builtins import SAMPLED, TURNS
from tests.support.harmony.cases.case import Case
from tests.support.harmony.conversations import conversation
from tests.support.harmony.walks import accepts, to_ids

RULES = to_rules([BROWSER, PYTHON])
SEARCH, OPEN, FIND, CODE = RULES
F = CallRule("f", ANY_OBJECT)
PYTHON_FUNCTION = CallRule("python", Json({"type": "object", "required": ["code"]}))

ALONE = TurnRules(builtins=RULES)
MIXED = TurnRules(calls=(F, PYTHON_FUNCTION), builtins=RULES, preambles=True)
SINGLE = TurnRules(calls=(F,), builtins=RULES, preambles=True, parallel_calls=False)
MUST = TurnRules(builtins=RULES, must_call=True)
MUST_EITHER = TurnRules(calls=(F,), builtins=RULES, must_call=True)
ONLY_CODE = TurnRules(builtins=(CODE,), must_call=True)
ONLY_SEARCH = TurnRules(calls=(F,), builtins=(SEARCH,))
FUNCTION_ONLY = TurnRules(calls=(PYTHON_FUNCTION,), preambles=True)

THINK = "<|channel|>analysis<|message|>So.<|end|><|start|>assistant"
SAY = "<|channel|>commentary<|message|>Wait.<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>Hi!<|return|>"
RUN = "<|channel|>analysis to=python code<|message|>print(1)\n<|call|>"
LOOK = '<|channel|>analysis to=browser.search code<|message|>{"query":"x"}<|call|>'
CALL_F = "<|channel|>commentary to=functions.f<|message|>{}<|call|>"
CALL_PYTHON = '<|channel|>commentary to=functions.python<|message|>{"code":"1"}<|call|>'
CALL_ON = "<|channel|>commentary to=functions.f<|message|>{}<|end|><|start|>assistant"
GRAMMAR_FORMS = {
    name: case
    for name, case in SAMPLED.items()
    # The parser takes these too, but nobody has seen the model write them.
    if " python'" not in name and "<|constrain|>code" not in name
}

ACCEPTED = {
    "final": (ALONE, THINK + FINAL),
    "code": (ALONE, RUN),
    "thought, code": (ALONE, THINK + THINK + RUN),
    "no code at all": (ALONE, RUN.replace("print(1)\n", "")),
    "preamble, code": (MIXED, SAY + RUN),
    "function": (MIXED, CALL_F),
    "function of the same name": (MIXED, CALL_PYTHON),
    "function, then code": (MIXED, CALL_ON + RUN),
    "single, code": (SINGLE, THINK + RUN),
    "single, function": (SINGLE, CALL_F),
    "forced": (MUST, THINK + LOOK),
    "forced, function": (MUST_EITHER, CALL_F),
    "forced, code": (MUST_EITHER, RUN),
    "forced, function, then final": (MUST_EITHER, CALL_ON + FINAL),
    "allowed": (ONLY_SEARCH, LOOK),
    "allowed function": (ONLY_SEARCH, CALL_F),
    "special names in code": (ALONE, RUN.replace("1", "'<|end |> to=functions.f'")),
    **{f"sampled: {name}": (ALONE, case.turn) for name, case in GRAMMAR_FORMS.items()},
}

REJECTED = {
    "ended by end": (ALONE, RUN.replace("<|call|>", "<|end|><|start|>assistant") + FINAL),
    "ended by end, then code": (MIXED, RUN.replace("<|call|>", "<|end|><|start|>assistant") + RUN),
    "ended by return": (ALONE, RUN.replace("<|call|>", "<|return|>")),
    "on final": (ALONE, RUN.replace("analysis", "final")),
    "single, two": (SINGLE, CALL_ON + RUN),
    "forced, none": (MUST, THINK + FINAL),
    "forced, neither": (MUST_EITHER, THINK + FINAL),
    "function where none is": (ALONE, CALL_F),
    "forced, other": (ONLY_CODE, LOOK),
    "not allowed": (ONLY_SEARCH, RUN),
    "no such tool": (ALONE, LOOK.replace("browser.search", "browser.run")),
    "the browser itself": (ALONE, LOOK.replace("browser.search", "browser")),
    "a longer name": (ALONE, RUN.replace("python", "pythons")),
    "not in the namespace of functions": (ALONE, RUN.replace("python", "functions.python")),
    "nor the browser": (MIXED, LOOK.replace("browser", "functions.browser")),
    "code where arguments belong": (MIXED, CALL_PYTHON.replace('{"code":"1"}', "print(1)")),
    "function without its namespace": (FUNCTION_ONLY, RUN),
    "no object": (ALONE, LOOK.replace('{"query":"x"}', "x")),
}


@pytest.mark.parametrize(("rules", "text"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(guards: GrammarCompiler, encoding: Encoding, rules: TurnRules, text: str) -> None:
    assert accepts(guards, encoding, rules, text)


@pytest.mark.parametrize(("rules", "text"), REJECTED.values(), ids=REJECTED)
def test_rejects(guards: GrammarCompiler, encoding: Encoding, rules: TurnRules, text: str) -> None:
    assert not accepts(guards, encoding, rules, text)


@pytest.mark.parametrize("case", TURNS.values(), ids=TURNS)
def test_takes_what_the_parser_reads(
    guards: GrammarCompiler, encoding: Encoding, case: Case
) -> None:
    guards.compile(MIXED).make_matcher().take(to_ids(encoding, case.turn))


ARGUMENTS = {
    SEARCH: (
        ['{"query":"x"}', '{"topn":3,"query":"日本"}', '{"query":"x","source":"web","topn":10}'],
        ["{}", '{"topn":3}', '{"query":1}', '{"query":"x","site":"y"}', '{"query":"x",}', "[]"],
    ),
    OPEN: (
        [
            "{}",
            '{"id":1,"cursor":0}',
            '{"cursor": 0, "id": 1}',
            '{"id":"https://a.b/c?d=e"}',
            '{"cursor":2,"loc":40,"num_lines":20}',
            '{\n  "cursor": -1,\n  "id": -1,\n  "view_source": true\n}',
        ],
        ['{"id":null}', '{"cursor":"0"}', '{"view_source":1}', '{"url":"https://a.b"}', '{"id":1'],
    ),
    FIND: (
        ['{"pattern":"x"}', '{"cursor":1,"pattern":"x"}', '{"pattern":"x","cursor":1}'],
        ["{}", '{"cursor":1}', '{"pattern":["x"]}'],
    ),
}
SCHEMAS = {f"browser.{tool.name}": tool.parameters for tool in BROWSER.tools}


@pytest.mark.parametrize("rule", ARGUMENTS, ids=lambda rule: rule.recipient)
def test_arguments_come_in_any_order(
    guards: GrammarCompiler, encoding: Encoding, rule: BuiltinRule
) -> None:
    right, wrong = ARGUMENTS[rule]
    head = f"<|channel|>analysis to={rule.recipient} code<|message|>"
    for text in right:
        jsonschema.validate(json.loads(text), SCHEMAS[rule.recipient])
        assert accepts(guards, encoding, ALONE, f"{head}{text}<|call|>"), text
    for text in wrong:
        assert not accepts(guards, encoding, ALONE, f"{head}{text}<|call|>"), text


def test_a_tool_of_no_arguments_takes_any_object(
    guards: GrammarCompiler, encoding: Encoding
) -> None:
    rules = TurnRules(builtins=to_rules([Builtin("clock", "Tells.", (FunctionTool("now"),))]))
    head = "<|channel|>analysis to=clock.now code<|message|>"
    assert accepts(guards, encoding, rules, f'{head}{{"a":1}}<|call|>')
    assert not accepts(guards, encoding, rules, f"{head}now<|call|>")


def test_a_name_with_quotes_stays_a_name(guards: GrammarCompiler, encoding: Encoding) -> None:
    body = any_order({"properties": {'a"\\b\n': {"enum": ['<"@']}}, "required": ['a"\\b\n']})
    rules = TurnRules(builtins=(BuiltinRule("x.y", body),))
    text = json.dumps({'a"\\b\n': '<"@'}, separators=(",", ":"))
    assert accepts(guards, encoding, rules, f" to=x.y<|channel|>analysis<|message|>{text}<|call|>")


def test_code_is_free_text_that_only_a_call_ends(
    guards: GrammarCompiler, encoding: Encoding
) -> None:
    guard = guards.compile(MIXED).make_matcher()
    guard.take(to_ids(encoding, "<|channel|>analysis to=python code<|message|>"))
    assert guard.rule() == Free((CALL,))


def test_a_forced_recipient_is_written_as_the_model_writes_it(
    guards: GrammarCompiler, encoding: Encoding
) -> None:
    guard = guards.compile(ONLY_CODE).make_matcher()
    guard.take(to_ids(encoding, "<|channel|>analysis to"))
    forced = encoding.encode_text("=python")
    assert guard.rule().ids[: len(forced)] == tuple(forced)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "call",
    [
        BuiltinCall("python", "x = {\n"),
        BuiltinCall("browser.open", '{"cursor": 0, "id": 1}'),
        BuiltinCall("browser.find", '{"pattern":"x"}'),
    ],
    ids=lambda call: call.recipient,
)
def test_earlier_calls_are_written_as_new_ones_may_be(
    guards: GrammarCompiler, encoding: Encoding, call: BuiltinCall
) -> None:
    before = render_prompt(encoding, conversation())
    ids = render_prompt(encoding, conversation(call))
    guards.compile(ALONE).make_matcher().take(ids[len(before) : ids.index(CALL) + 1])


def test_must_call_is_met_by_either() -> None:
    assert TurnRules(builtins=(CODE,), must_call=True).must_call
    with pytest.raises(ValueError, match="built-in"):
        TurnRules(must_call=True)


def test_without_built_ins_the_grammar_does_not_know_of_them() -> None:
    """So turns without any are followed in the time that they always took."""
    for rules in (TurnRules(), TurnRules(calls=(F,), preambles=True)):
        text = render_grammar(rules)
        assert "builtin" not in text
        with_them = render_grammar(TurnRules(rules.calls, preambles=True, builtins=(CODE,)))
        assert "builtin" in with_them


def test_the_body_of_code_is_text() -> None:
    assert BuiltinRule("python", FreeText()) == CODE
    assert [rule.recipient for rule in RULES] == [*BROWSER.recipients, *PYTHON.recipients]
