"""The tools of a Messages request, and what its messages do to them.

Sources: Anthropic's API reference (tool search, mid-conversation tool changes) and the types of
its SDKs; Claude Code, whose ToolSearch answers with references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlxoss.api.errors import invalid, missing, unsupported
from mlxoss.api.history.tool_course import (
    Added,
    CallableTool,
    Removed,
    ToolCourse,
    ToolStep,
    follow_tools,
)
from mlxoss.api.messages.blocks import TOOL_CHANGES, Block, Placed, ToolName
from mlxoss.api.turn_rules import function_rule
from mlxoss.api.validation import StrictModel, validate
from mlxoss.core import JsonObject
from mlxoss.harmony.conversation import FunctionTool

REFERENCE = "tool_reference"
_DEFINITION = "tool_definition"
_OF_THEIR_SERVERS = frozenset({"mcp_tool_reference", "mcp_toolset_reference"})
"""References to tools of MCP servers that Anthropic's asked: this server asks none."""
_SEARCHES = "tool_search_tool_"


class MessagesTool(StrictModel):
    """A tool that the client runs; with ``strict`` its input follows ``input_schema``.

    One with ``defer_loading`` is neither shown nor called before a message refers to it.
    """

    name: ToolName
    type: str | None = None
    description: str | None = None
    input_schema: JsonObject | None = None
    strict: bool | None = None
    allowed_callers: list[str] | None = None
    defer_loading: bool | None = None

    @property
    def is_hosted(self) -> bool:
        """Whether Anthropic's servers run it, or know its schema."""
        return self.type not in (None, "custom")

    @property
    def is_for_model(self) -> bool:
        """Whether the model may call it itself, and not only what runs its code elsewhere."""
        return self.allowed_callers is None or "direct" in self.allowed_callers

    def check(self, param: str) -> None:
        """Raises InvalidRequest for a tool that is not described by its own schema."""
        if self.is_hosted:
            raise unsupported(f"{param}.type", self._why_not)
        if self.input_schema is None:
            raise invalid(f"{param}.input_schema", "a tool needs one")
        if self.input_schema.get("type", "object") != "object":
            raise invalid(f"{param}.input_schema.type", "a tool's input is always an 'object'")
        if not self.is_for_model:
            raise unsupported(f"{param}.allowed_callers", "the model alone calls tools here")

    def to_tool(self, param: str) -> CallableTool:
        """As the prompt shows it, and what may be written to it; ``param`` is its own field."""
        where = f"{param}.input_schema"
        rule = function_rule(self.name, self.input_schema, strict=self.strict, param=where)
        return CallableTool(FunctionTool(self.name, self.description, self.input_schema), rule)

    @property
    def _why_not(self) -> str:
        if self.type and self.type.startswith(_SEARCHES):
            return (
                "this server searches no tools: leave it out and send the others without "
                "defer_loading, or answer a tool of your own with tool_reference blocks"
            )
        return f"this server has no tool '{self.type}'"


def follow(
    tools: Sequence[MessagesTool],
    turns: Sequence[tuple[str, Sequence[Placed]]],
    wanted: str | None = None,
) -> ToolCourse:
    """The course of the request's ``tools``; its places are positions in ``turns``.

    One that is deferred may be ``wanted`` by ``tool_choice`` before anything refers to it: it is
    told at the very end. Raises InvalidRequest that names a block which adds or removes no tool.
    """
    declared = [(tool, tool.to_tool(f"tools[{i}]")) for i, tool in enumerate(tools)]
    deferred = [read for tool, read in declared if tool.defer_loading]
    steps = [
        ToolStep(position, [change for place in blocks for change in _changes(*place)])
        for position, (_, blocks) in enumerate(turns)
    ]
    is_removed = any(Removed(wanted) in step.changes for step in steps) if wanted else False
    if not is_removed and any(tool.name == wanted for tool in deferred):
        steps.append(ToolStep(len(turns), [Added(wanted or "")]))
    first = [read for tool, read in declared if not tool.defer_loading]
    return follow_tools(first, steps, deferred=deferred)


def _changes(param: str, block: Block) -> Iterator[Added | Removed]:
    """A search of the client's answers with references, and so did one of another server."""
    if block.type in TOOL_CHANGES:
        yield from _change(param, block)
    elif block.type.endswith("tool_result"):
        for part in block.content or ():
            if part.type == REFERENCE and part.tool_name:
                yield Added(part.tool_name)


def _change(param: str, block: Block) -> Iterator[Added | Removed]:
    tool = block.tool
    if tool is None:
        raise missing(f"{param}.tool")
    name = tool.name or tool.tool_name
    is_new = block.type == "tool_addition"
    if tool.type == REFERENCE:
        if name is None:
            raise missing(f"{param}.tool.name")
        yield Added(name) if is_new else Removed(name)
    elif tool.type == _DEFINITION and is_new:
        yield from _define(f"{param}.tool.definition", tool.definition)
    elif tool.type not in _OF_THEIR_SERVERS:
        raise invalid(f"{param}.tool.type", f"input should be '{REFERENCE}' or '{_DEFINITION}'")


def _define(param: str, definition: JsonObject | None) -> Iterator[Added]:
    """Tools that only Anthropic's servers run, or have called, are left out: a conversation that
    began there may hold them."""
    if definition is None:
        raise missing(param)
    tool = validate(MessagesTool, definition, (param,))
    if not tool.is_hosted and tool.is_for_model:
        tool.check(param)
        yield Added(tool.to_tool(param))
