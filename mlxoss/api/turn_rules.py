"""What a request asks of its turn's form: tools, ``tool_choice``, response format."""

from __future__ import annotations

from collections.abc import Sequence

from mlxoss.api.errors import invalid
from mlxoss.api.tool_choice import NO_OTHERS, OtherTools, ToolChoice
from mlxoss.core import JsonMapping, JsonObject
from mlxoss.harmony.builtins import to_rules
from mlxoss.harmony.conversation import Builtin, JsonSchema, ResponseFormat
from mlxoss.harmony.grammar.rules import (
    ANY_OBJECT,
    Body,
    CallRule,
    FreeText,
    Json,
    Lark,
    Regex,
    TurnRules,
)
from mlxoss.harmony.json_schema import names_no_arguments

_NO_ARGUMENTS: JsonObject = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}


def function_rule(
    name: str, parameters: JsonSchema | None, *, strict: bool | None, param: str
) -> CallRule:
    """A function tool: its arguments are an object that follows its schema.

    Unless ``strict``, they are any object where that cannot be enforced, or says nothing of them.
    If it is, those of a function without arguments are ``{}``, since it is shown as one that has
    none. Raises InvalidRequest for a strict schema of something else than objects.
    """
    if parameters is None or names_no_arguments(parameters):
        return CallRule(name, Json(_NO_ARGUMENTS) if strict else ANY_OBJECT, param)
    if isinstance(parameters, bool) or not _may_be_object(parameters):
        if strict:
            raise invalid(param, "a function's arguments are always an 'object'")
        return CallRule(name, ANY_OBJECT, param)
    # The type alone keeps references and alternatives to objects too.
    return CallRule(name, Json({**parameters, "type": "object"}), param, is_strict=bool(strict))


def _may_be_object(parameters: JsonMapping) -> bool:
    declared = parameters.get("type", "object")
    return declared == "object" or (isinstance(declared, list) and "object" in declared)


def custom_rule(name: str, syntax: str | None, definition: str | None, *, param: str) -> CallRule:
    """A custom tool: its input is free text unless a grammar is given."""
    body: Body = FreeText()
    if definition is not None:
        body = Regex(definition) if syntax == "regex" else Lark(definition)
    return CallRule(name, body, param)


def describe_custom(description: str | None, syntax: str | None, definition: str | None) -> str:
    """What the model is told of a custom tool: gpt-oss knows none, so it reads of them here."""
    lines = [description] if description else []
    lines.append("The input is free text: write it as it is, without JSON around it.")
    if definition is not None:
        language = "regular expression" if syntax == "regex" else "Lark grammar"
        lines += [f"It has to match this {language}:", definition]
    return "\n".join(lines)


def final_body(response_format: ResponseFormat | None) -> Body:
    """The form of an answer that follows ``response_format``."""
    return FreeText() if response_format is None else Json(response_format.schema)


def to_turn_rules(
    choice: ToolChoice,
    final: Body,
    *,
    parallel_calls: bool | None,
    final_param: str,
    builtins: tuple[Builtin, ...] = (),
) -> TurnRules:
    """The rules of a turn. ``final_param`` is the field that the form of its answer is from;
    ``builtins`` are the built-in tools that the prompt shows."""
    chosen = [one for one in builtins if one.name in choice.builtins]
    return TurnRules(
        calls=choice.calls,
        must_call=choice.must_call,
        parallel_calls=parallel_calls is not False,
        preambles=bool(choice.calls or chosen),
        final=final,
        final_param=final_param,
        builtins=to_rules(chosen),
    )


def needs_grammar(
    choice: ToolChoice,
    declared: Sequence[CallRule],
    strict_param: str | None,
    others: OtherTools = NO_OTHERS,
) -> tuple[str, ...]:
    """The fields that only a grammar can honour; ``strict_param`` is one that asks for it.

    Not among them are a function's ``strict`` and a custom tool's grammar: without grammars the
    model is shown both all the same, and clients that always send them go on working.
    """
    # Without calls there are no tools in the prompt either.
    has_tools = bool(choice.calls or choice.builtins)
    is_restricted = has_tools and choice.is_restricted(declared, others)
    fields = ("tool_choice" if is_restricted else None, strict_param)
    return tuple(field for field in fields if field is not None)
