"""Words of other APIs: served where they mean something here, else refused by name."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

from mlxoss.api.chat.prompt import to_turn_request
from mlxoss.api.chat.request import parse_chat_request
from mlxoss.api.completions.request import parse_completion_request
from mlxoss.api.messages.request import parse_count_tokens_request, parse_messages_request
from mlxoss.api.responses.request import (
    parse_compact_request,
    parse_input_tokens_request,
    parse_responses_request,
)
from mlxoss.api.sampling import to_sampling
from mlxoss.api.turn_request import TurnRequest
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.grammar.rules import FreeText, Json, Lark, Regex

SCHEMA: Any = {"type": "object", "properties": {"a": {"enum": ["b"]}}, "required": ["a"]}
USER: Any = {"role": "user", "content": "Hi"}
FORMAT: Any = {"format": {"type": "json_schema", "name": "a", "schema": SCHEMA}}
PARSERS: dict[str, tuple[Callable[[Any], object], dict[str, Any]]] = {
    "chat": (parse_chat_request, {"messages": [USER]}),
    "completions": (parse_completion_request, {"prompt": "Hi"}),
    "responses": (parse_responses_request, {"input": "Hi"}),
    "messages": (parse_messages_request, {"messages": [USER], "max_tokens": 5}),
}
GRAMMARS: dict[str, Any] = {
    "structured_outputs": {"json": SCHEMA},
    "json_schema": SCHEMA,
    "guided_json": SCHEMA,
    "guided_regex": "a",
    "guided_choice": ["a"],
    "guided_grammar": "start: /a/",
    "grammar": 'root ::= "a"',
}
EVERYWHERE: dict[str, Any] = {
    "continue_final_message": True,
    "add_generation_prompt": False,
    "stop_token_ids": [17],
    "min_tokens": 3,
    "ignore_eos": True,
    "max_new_tokens": 3,
    "num_predict": 3,
    "repeat_penalty": 1.1,
    "typical_p": 0.5,
    "mirostat": 2,
    "use_beam_search": True,
    "bad_words": ["no"],
    "chat_template": "{{ x }}",
    "documents": [{"text": "x"}],
    "options": {"num_ctx": 5},
    "extra_body": {"top_k": 5},
    "background": True,
    "truncate_prompt_tokens": 5,
}
REFUSED: dict[str, dict[str, tuple[Any, str]]] = {
    "chat": {
        "max_output_tokens": (5, "'max_completion_tokens'"),
        "instructions": ("Be brief.", "'system'"),
        "system": ("Be brief.", "'system'"),
        "input": ("Hi", "'messages'"),
        "prompt": ("Hi", "'messages'"),
        "text": (FORMAT, "'response_format'"),
        "output_config": ({"effort": "low"}, "'response_format'"),
        "thinking": ({"type": "disabled"}, "'reasoning_effort'"),
        "previous_response_id": ("resp_1", "whole conversation"),
        "conversation": ("conv_1", "whole conversation"),
        "stop_sequences": (["a"], "'stop'"),
        "truncation": ("auto", "too long"),
    },
    "completions": {
        "response_format": ({"type": "json_object"}, "/v1/chat/completions"),
        "messages": ([USER], "'prompt'"),
        "input": ("Hi", "'prompt'"),
        "tools": ([{"type": "function"}], "/v1/chat/completions"),
        "max_completion_tokens": (5, "'max_tokens'"),
        "max_output_tokens": (5, "'max_tokens'"),
        "reasoning_effort": ("high", "/v1/chat/completions"),
        "stop_sequences": (["a"], "'stop'"),
        "verbosity": ("low", "'prompt'"),
        **{name: (value, "/v1/chat/completions") for name, value in GRAMMARS.items()},
    },
    "responses": {
        "messages": ([USER], "'input'"),
        "max_completion_tokens": (5, "'max_output_tokens'"),
        "response_format": ({"type": "json_object"}, "'text.format'"),
        "output_format": ({"type": "json_schema"}, "'text.format'"),
        "verbosity": ("low", "'text.verbosity'"),
        "reasoning_effort": ("low", "'reasoning.effort'"),
        "thinking": ({"type": "disabled"}, "'reasoning.effort'"),
        "system": ("Be brief.", "'instructions'"),
        "stop": ("a", "no stop strings"),
        "stop_sequences": (["a"], "no stop strings"),
        "functions": ([{"name": "f"}], "'tools'"),
        "n": (2, "one answer"),
        "logprobs": (True, "'top_logprobs'"),
        **dict.fromkeys(("json_schema", "guided_json"), (SCHEMA, "'text.format'")),
        "guided_regex": ("a", "/v1/chat/completions"),
        "grammar": ('root ::= "a"', "/v1/chat/completions"),
    },
    "messages": {
        "stop": (["="], "'stop_sequences'"),
        "max_completion_tokens": (5, "'max_tokens'"),
        "response_format": ({"type": "json_object"}, "'output_config.format'"),
        "text": (FORMAT, "'output_config.format'"),
        "reasoning_effort": ("low", "'output_config.effort'"),
        "reasoning": ({"effort": "low"}, "'output_config.effort'"),
        "verbosity": ("low", "'system'"),
        "instructions": ("Be brief.", "'system'"),
        "input": ("Hi", "'messages'"),
        "parallel_tool_calls": (False, "'tool_choice.disable_parallel_tool_use'"),
        "n": (2, "one answer"),
        "logprobs": (True, "no log probabilities"),
        "previous_response_id": ("resp_1", "whole conversation"),
        "guided_json": (SCHEMA, "'output_config.format'"),
        "guided_choice": (["a"], "/v1/chat/completions"),
    },
}


def refusal(api: str, name: str, value: Any) -> str:
    parse, body = PARSERS[api]
    with pytest.raises(InvalidRequest) as caught:
        parse({"model": "m", **body, name: value})
    assert caught.value.param == name
    return str(caught.value)


@pytest.mark.parametrize("api", PARSERS)
def test_words_of_other_apis_are_refused_with_the_right_one(api: str) -> None:
    for name, (value, advice) in REFUSED[api].items():
        assert advice in refusal(api, name, value), name
    for name, value in EVERYWHERE.items():
        if (api, name) != ("responses", "background"):
            assert name in refusal(api, name, value)


NOTHING: dict[str, tuple[Any, ...]] = {
    "continue_final_message": (False,),
    "add_generation_prompt": (True,),
    "stop_token_ids": ([],),
    "min_tokens": (0,),
    "repeat_penalty": (1, 1.0),
    "mirostat": (0,),
    "previous_response_id": (None, ""),
    "truncation": ("disabled",),
    "modalities": (["text"],),
    "n": (1,),
    "tool_choice": ("auto",),
    "tools": ([],),
    "options": ({},),
    "metadata": ({"a": "b"},),
    "anything": (5,),
}


@pytest.mark.parametrize("api", PARSERS)
def test_what_asks_for_nothing_is_accepted(api: str) -> None:
    parse, body = PARSERS[api]
    for name, values in NOTHING.items():
        for value in (*values, None):
            if not (api == "messages" and (name, value) == ("tool_choice", "auto")):
                parse({"model": "m", **body, name: value})


@pytest.mark.parametrize("api", PARSERS)
def test_the_mass_may_be_nothing(api: str) -> None:
    parse, body = PARSERS[api]
    request: Any = parse({"model": "m", **body, "top_p": 0})
    assert to_sampling(request, logprobs=False).top_p == 0


def test_counting_and_compacting_know_the_same_words() -> None:
    with pytest.raises(InvalidRequest, match="output_config"):
        parse_count_tokens_request({"model": "m", "messages": [USER], "response_format": {"a": 1}})
    parse_count_tokens_request({"model": "m", "messages": [USER], "max_tokens": 5, "stream": True})
    for parse in (parse_input_tokens_request, parse_compact_request):
        with pytest.raises(InvalidRequest, match="'instructions'"):
            parse({"model": "m", "input": "Hi", "system": "Be brief."})
        parse({"model": "m", "input": "Hi", "max_output_tokens": 5})


def chat(**fields: Any) -> TurnRequest:
    request = parse_chat_request({"model": "m", "messages": [USER], **fields})
    return to_turn_request(request, date=datetime.date(2026, 11, 22))


SCHEMAS: dict[str, dict[str, Any]] = {
    "guided_json": {"guided_json": SCHEMA},
    "guided_json as text": {"guided_json": '{"type": "object"}'},
    "structured_outputs.json": {"structured_outputs": {"json": SCHEMA}},
    "structured_outputs.json_object": {"structured_outputs": {"json_object": True}},
    "json_schema": {"json_schema": SCHEMA},
    "response_format.schema": {"response_format": {"type": "json_object", "schema": SCHEMA}},
    "response_format.schema of json_schema": {
        "response_format": {"type": "json_schema", "schema": SCHEMA}
    },
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_schema_in_other_words_is_shown_and_enforced(case: str) -> None:
    turn = chat(**SCHEMAS[case])
    shown = turn.conversation.response_format
    assert shown is not None
    assert turn.rules.final == Json(shown.schema)
    assert shown.schema in (SCHEMA, {"type": "object"})
    assert turn.needs_grammar == (turn.rules.final_param,) == (case.partition(" ")[0],)


TEXTS: dict[str, tuple[dict[str, Any], Lark | Regex]] = {
    "guided_regex": ({"guided_regex": "a+"}, Regex("a+")),
    "structured_outputs.regex": ({"structured_outputs": {"regex": "a+"}}, Regex("a+")),
    "guided_choice": ({"guided_choice": ["a", 'b"']}, Lark('start: "a" | "b\\""\n')),
    "structured_outputs.choice": (
        {"structured_outputs": {"choice": ["ä"]}},
        Lark('start: "ä"\n'),
    ),
    "guided_grammar": ({"guided_grammar": "start: /a/"}, Lark("start: /a/")),
    "structured_outputs.grammar": (
        {"structured_outputs": {"grammar": "start: /a/"}},
        Lark("start: /a/"),
    ),
    "grammar": ({"grammar": 'root ::= "yes" | no\nno ::= "no"'}, Lark('\nstart: "yes"\n')),
}


@pytest.mark.parametrize("param", TEXTS)
def test_a_grammar_in_other_words_is_enforced(param: str) -> None:
    fields, body = TEXTS[param]
    turn = chat(**fields)
    if param != "grammar":
        assert turn.rules.final == body
    assert isinstance(turn.rules.final, Lark | Regex)
    assert turn.conversation.response_format is None
    assert turn.needs_grammar == (turn.rules.final_param,) == (param,)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "two of them": ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
    "one beside a response format": (
        {"response_format": {"type": "json_object"}, "guided_regex": "a"},
        "guided_regex",
    ),
    "two in one": ({"structured_outputs": {"regex": "a", "choice": ["a"]}},
                   "structured_outputs.choice"),
    "no choice": ({"guided_choice": []}, "guided_choice"),
    "no schema": ({"guided_json": "{"}, "guided_json"),
    "a schema too deep": ({"guided_json": '{"not":' * 300 + "{}" + "}" * 300}, "guided_json"),
    "a list as schema": ({"json_schema": "[]"}, "json_schema"),
    "no grammar": ({"grammar": "yes"}, "grammar"),
    "a rule that is not there": ({"grammar": "root ::= other"}, "grammar"),
    "a grammar that ends too soon": ({"grammar": 'root ::= "\\'}, "grammar"),
    "a tag": ({"structured_outputs": {"structural_tag": "{}"}},
              "structured_outputs.structural_tag"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_an_answer_s_form_is_named(case: str) -> None:
    fields, param = WRONG[case]
    with pytest.raises(InvalidRequest) as caught:
        chat(**fields)
    assert caught.value.param == param


def test_no_form_is_free_text() -> None:
    every: tuple[dict[str, Any], ...] = (
        {"response_format": {"type": "text"}},
        {"guided_json": None, "grammar": ""},
        {"structured_outputs": {}},
    )
    for fields in every:
        assert chat(**fields).rules.final == FreeText()


def test_verbosity_is_a_line_of_the_prompt() -> None:
    system = {"role": "system", "content": "Speak French."}
    told = chat(verbosity="high", messages=[system, USER]).conversation.instructions
    assert told is not None
    assert told.startswith("Speak French.\n\nMake the final answer")
    assert chat(verbosity="medium").conversation.instructions is None
