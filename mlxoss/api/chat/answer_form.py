"""What a chat's answer has to be: OpenAI's response format, vLLM's and llama.cpp's fields.

Sources: OpenAI's API reference (chat completions); vLLM's ``structured_outputs`` and, before
those, ``guided_*``; llama.cpp's server for ``json_schema``, ``grammar`` and a schema beside
``json_object``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.json_body import MAX_DEPTH, is_deeper
from mlxoss.api.params import FormatName, Refused, json_object_format
from mlxoss.api.validation import StrictModel
from mlxoss.core import JsonObject
from mlxoss.harmony.conversation import ResponseFormat
from mlxoss.harmony.grammar.gbnf import to_lark
from mlxoss.harmony.grammar.rules import Body, FreeText, Json, Lark, Regex

_FORMAT_NAME = "output"
_SCHEMA_PARAM = "response_format.json_schema.schema"

SchemaOrText = JsonObject | str
Choices = Annotated[list[str], Field(min_length=1)]


class JsonSchemaFormat(StrictModel):
    """The ``json_schema`` member of a response format."""

    name: FormatName
    schema_: JsonObject = Field(alias="schema")
    description: str | None = None
    strict: bool | None = None


class ResponseFormatParam(StrictModel):
    """``response_format``: shown to the model and enforced on its answer.

    ``schema`` beside the type is llama.cpp's.
    """

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None
    schema_: JsonObject | None = Field(None, alias="schema")


class StructuredOutputs(StrictModel):
    """vLLM's ``structured_outputs``: one of them."""

    json_: SchemaOrText | None = Field(default=None, alias="json")
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: Refused = None
    whitespace_pattern: Refused = None


class AnswerFormFields(StrictModel):
    """The fields that say what an answer has to be; one at most."""

    response_format: ResponseFormatParam | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: SchemaOrText | None = None
    guided_regex: str | None = None
    guided_choice: Choices | None = None
    guided_grammar: str | None = None
    json_schema: SchemaOrText | None = None
    grammar: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What an answer has to be.

    ``param`` is the request's field, ``shown`` what the model reads of it. ``grammar_param`` is
    the field that only a grammar can honour, if there is one.
    """

    body: Body
    param: str
    shown: ResponseFormat | None = None
    grammar_param: str | None = None


def read_answer_form(fields: AnswerFormFields) -> AnswerForm:
    """What the answer has to be. Raises InvalidRequest for two fields that say it, or a wrong one.

    Whether a grammar compiles is found out later.
    """
    forms = list(_read_all(fields))
    if len(forms) > 1:
        raise invalid(forms[1].param, f"the answer's form is already in '{forms[0].param}'")
    return forms[0] if forms else AnswerForm(FreeText(), _SCHEMA_PARAM)


def _read_all(fields: AnswerFormFields) -> Iterator[AnswerForm]:
    if fields.response_format is not None and fields.response_format.type != "text":
        yield _read_response_format(fields.response_format)
    wanted = fields.structured_outputs or StructuredOutputs()
    for name in ("structural_tag", "whitespace_pattern"):
        if getattr(wanted, name) is not None:
            raise unsupported(f"structured_outputs.{name}", "this server has no such constraint")
    if wanted.json_object:
        yield _of_schema({"type": "object"}, "structured_outputs.json_object")
    for param, schema in (
        ("structured_outputs.json", wanted.json_),
        ("guided_json", fields.guided_json),
        ("json_schema", fields.json_schema),
    ):
        if schema is not None:
            yield _of_schema(_to_schema(schema, param), param)
    yield from _read_texts(fields, wanted)


def _read_texts(fields: AnswerFormFields, wanted: StructuredOutputs) -> Iterator[AnswerForm]:
    """What is no JSON: the model reads nothing of it, as on the servers that have these."""
    for param, regex in (
        ("structured_outputs.regex", wanted.regex),
        ("guided_regex", fields.guided_regex),
    ):
        if regex is not None:
            yield AnswerForm(Regex(regex), param, grammar_param=param)
    for param, choices in (
        ("structured_outputs.choice", wanted.choice),
        ("guided_choice", fields.guided_choice),
    ):
        if choices is not None:
            yield AnswerForm(_to_alternatives(choices), param, grammar_param=param)
    for param, grammar in (
        ("structured_outputs.grammar", wanted.grammar),
        ("guided_grammar", fields.guided_grammar),
        ("grammar", fields.grammar),
    ):
        if grammar:
            yield AnswerForm(_to_lark(grammar, param), param, grammar_param=param)


def _read_response_format(wanted: ResponseFormatParam) -> AnswerForm:
    named, beside = wanted.json_schema, wanted.schema_
    if wanted.type == "json_schema" and named is not None:
        shown = ResponseFormat(named.name, named.schema_, named.description)
        strict = "response_format.json_schema.strict" if named.strict else None
        return AnswerForm(Json(shown.schema), _SCHEMA_PARAM, shown, strict)
    if beside is not None:
        return _of_schema(beside, "response_format.schema")
    if wanted.type == "json_schema":
        raise missing("response_format.json_schema")
    shown = json_object_format()
    return AnswerForm(Json(shown.schema), _SCHEMA_PARAM, shown)


def _of_schema(schema: JsonObject, param: str) -> AnswerForm:
    return AnswerForm(Json(schema), param, ResponseFormat(_FORMAT_NAME, schema), param)


def _to_schema(value: SchemaOrText, param: str) -> JsonObject:
    """The schema in ``value``, which may be JSON in a string."""
    if not isinstance(value, str):
        return value
    try:
        schema = json.loads(value)
    except (ValueError, RecursionError):
        schema = None
    if not isinstance(schema, dict) or is_deeper(schema, MAX_DEPTH):
        raise invalid(param, "input should be a JSON schema")
    return schema


def _to_alternatives(choices: list[str]) -> Lark:
    texts = " | ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)
    return Lark(f"start: {texts}\n")


def _to_lark(definition: str, param: str) -> Lark:
    try:
        return Lark(to_lark(definition))
    except ValueError as error:
        raise invalid(param, str(error)) from None
