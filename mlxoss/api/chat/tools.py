"""Chat's tools and calls: functions, and custom tools that take text.

Source: OpenAI's API reference (chat completions).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from mlxoss.api.errors import invalid, missing
from mlxoss.api.params import FunctionName
from mlxoss.api.turn_rules import custom_rule, describe_custom, function_rule
from mlxoss.api.validation import StrictModel
from mlxoss.core import JsonObject
from mlxoss.errors import InvalidRequest
from mlxoss.harmony.conversation import FunctionTool
from mlxoss.harmony.grammar.rules import CallRule


class CalledFunction(StrictModel):
    """A call's function; ``arguments`` are passed on verbatim."""

    name: FunctionName
    arguments: str


class CalledCustom(StrictModel):
    """A call's custom tool; ``input`` is passed on verbatim."""

    name: FunctionName
    input: str


class _OneOfTwo(StrictModel):
    """Something with the member that its ``type`` names, and without the other."""

    type: Literal["function", "custom"] = "function"

    def check(self, param: str) -> None:
        """Raises InvalidRequest for a member that is missing or too many."""
        other = "custom" if self.type == "function" else "function"
        if getattr(self, self.type) is None:
            raise missing(f"{param}.{self.type}")
        if getattr(self, other) is not None:
            raise invalid(f"{param}.{other}", f"an object of type '{self.type}' has no '{other}'")


class ToolCall(_OneOfTwo):
    """A call in an earlier assistant message."""

    id: Annotated[str, Field(min_length=1)]
    function: CalledFunction | None = None
    custom: CalledCustom | None = None

    @property
    def name(self) -> str:
        """What was called."""
        called = self.function or self.custom
        assert called is not None
        return called.name

    @property
    def text(self) -> str:
        """What it was called with."""
        if self.function is not None:
            return self.function.arguments
        assert self.custom is not None
        return self.custom.input


class FunctionDefinition(StrictModel):
    """A declared function; with ``strict`` its arguments follow ``parameters``."""

    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class CustomGrammar(StrictModel):
    """The grammar of a custom tool's input."""

    syntax: Literal["lark", "regex"]
    definition: str


class ChatCustomFormat(StrictModel):
    """What a custom tool's input looks like; a grammar is shown to the model and enforced."""

    type: Literal["text", "grammar"]
    grammar: CustomGrammar | None = None


class CustomDefinition(StrictModel):
    """A declared custom tool."""

    name: FunctionName
    description: str | None = None
    format: ChatCustomFormat | None = None

    @property
    def grammar(self) -> tuple[str, str] | tuple[None, None]:
        """Syntax and definition, if the input has a grammar."""
        shape = self.format
        if shape is None or shape.type == "text" or shape.grammar is None:
            return None, None
        return shape.grammar.syntax, shape.grammar.definition


class Tool(_OneOfTwo):
    """A declared tool."""

    type: Literal["function", "custom"]
    function: FunctionDefinition | None = None
    custom: CustomDefinition | None = None

    def check(self, param: str) -> None:
        """Raises InvalidRequest for a member or a grammar that is missing, or too many."""
        super().check(param)
        shape = self.custom and self.custom.format
        if shape and shape.type == "grammar" and shape.grammar is None:
            raise missing(f"{param}.custom.format.grammar")

    @property
    def name(self) -> str:
        """The name that the model sees."""
        declared = self.function or self.custom
        assert declared is not None
        return declared.name

    def to_function(self) -> FunctionTool:
        """The tool as the prompt shows it."""
        if self.custom is not None:
            text = describe_custom(self.custom.description, *self.custom.grammar)
            return FunctionTool(self.name, text, {"type": "string"})
        assert self.function is not None
        return FunctionTool(self.name, self.function.description, self.function.parameters)

    def to_rule(self, param: str) -> CallRule:
        """What may be written to it; ``param`` is the tool's own field."""
        if self.custom is not None:
            where = f"{param}.custom.format.grammar.definition"
            return custom_rule(self.name, *self.custom.grammar, param=where)
        assert self.function is not None
        return function_rule(
            self.name,
            self.function.parameters,
            strict=self.function.strict,
            param=f"{param}.function.parameters",
        )


def to_tools(tools: Sequence[Tool]) -> tuple[FunctionTool, ...]:
    """Tools as the prompt shows them. Raises InvalidRequest for a name declared twice."""
    seen: set[str] = set()
    for position, tool in enumerate(tools):
        if tool.name in seen:
            raise InvalidRequest(
                f"Invalid 'tools': the {tool.type} '{tool.name}' is declared twice.",
                param=f"tools[{position}].{tool.type}.name",
                code="invalid_value",
            )
        seen.add(tool.name)
    return tuple(tool.to_function() for tool in tools)


def to_call_rules(tools: Sequence[Tool]) -> list[CallRule]:
    """What may be written to each of ``tools``."""
    return [tool.to_rule(f"tools[{position}]") for position, tool in enumerate(tools)]
