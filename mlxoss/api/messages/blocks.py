"""Messages and their content blocks, as Anthropic's API has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from mlxoss.api.common import to_parts
from mlxoss.api.validation import StrictModel
from mlxoss.core import JsonObject

TOOL_CHANGES = frozenset({"tool_addition", "tool_removal"})
"""Blocks that bring the model tools in the middle of a conversation, or take them away."""

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
    clear_at: Literal["next_user_message", "never"] | None = None


Placed = tuple[str, Block]
"""A block and the field that it is in."""


def in_turns(messages: Sequence[MessageParam]) -> Iterator[tuple[str, list[Placed]]]:
    """Messages of one role, one after the other, are one turn: clients may split them.

    Texts of the system that are to be cleared at the next user's message are left out once there
    is one; the tools that come or go with them do so all the same.
    """
    role, blocks = "", list[Placed]()
    users = [position for position, message in enumerate(messages) if message.role == "user"]
    last_user = max(users, default=-1)
    for position, message in enumerate(messages):
        if message.role != role and blocks:
            yield role, blocks
            blocks = []
        role = message.role
        is_cleared = message.clear_at == "next_user_message" and position < last_user
        blocks += [
            (f"messages[{position}].content[{i}]", block)
            for i, block in enumerate(message.content)
            if not (is_cleared and role == "system") or block.type in TOOL_CHANGES
        ]
    if blocks:
        yield role, blocks
