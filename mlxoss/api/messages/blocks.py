"""Messages and their content blocks, as Anthropic's API has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mlxoss.api.common import to_parts
from mlxoss.api.validation import StrictModel
from mlxoss.core import JsonObject

ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,128}$")]


class ResultBlock(StrictModel):
    """A block of any type in a tool's result; the converter takes text and references to tools."""

    type: str
    text: str | None = None
    tool_name: str | None = None


class ChangedTool(StrictModel):
    """The tool that a block adds or removes: by its name, or by its definition, as in ``tools``."""

    type: str
    name: str | None = None
    tool_name: str | None = None
    definition: JsonObject | None = None


class Block(ResultBlock):
    """A content block of any type; the converter takes the ones that a text model can read."""

    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: ToolName | None = None
    input: JsonObject | None = None
    tool_use_id: str | None = None
    content: Annotated[
        list[ResultBlock] | None,
        BeforeValidator(to_parts, json_schema_input_type=str | list[ResultBlock] | None),
    ] = None
    is_error: bool | None = None
    tool: ChangedTool | None = None


Blocks = Annotated[
    list[Block],
    BeforeValidator(to_parts, json_schema_input_type=str | list[Block]),
]


class MessageParam(StrictModel):
    """A message; the converter checks what its role may hold."""

    role: Literal["user", "assistant", "system"]
    content: Blocks


Placed = tuple[str, Block]
"""A block and the field that it is in."""


def in_turns(messages: Sequence[MessageParam]) -> Iterator[tuple[str, list[Placed]]]:
    """Messages of one role, one after the other, are one turn: clients may split them."""
    role, blocks = "", list[Placed]()
    for position, message in enumerate(messages):
        if message.role != role and blocks:
            yield role, blocks
            blocks = []
        role = message.role
        blocks += [
            (f"messages[{position}].content[{i}]", block) for i, block in enumerate(message.content)
        ]
    if blocks:
        yield role, blocks
