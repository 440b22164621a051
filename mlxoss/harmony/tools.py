"""The developer message's ``# Tools`` and ``# Response Formats`` sections."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from mlxoss.errors import InvalidRequest
from mlxoss.harmony import json_schema as schemas
from mlxoss.harmony.conversation import FunctionTool, ResponseFormat
from mlxoss.harmony.typescript import render_comment, render_type


def render_tools(tools: Iterable[FunctionTool]) -> str:
    """The ``# Tools`` section: one TypeScript type per function, in order.

    The layout is openai-harmony's (``src/encoding.rs``, ``template_tools_section``), but
    a function without arguments is ``() => any`` however it says so (``docs/format.md``
    there, and the model's own chat template). Never raises; see
    ``mlxoss.harmony.typescript`` for what schemas become.
    """
    lines = ["# Tools", "", "## functions", "", "namespace functions {", ""]
    for tool in tools:
        lines += _tool_lines(tool)
    lines.append("} // namespace functions")
    return "\n".join(lines)


def _tool_lines(tool: FunctionTool) -> Iterator[str]:
    if tool.description:
        yield from render_comment(tool.description)
    if tool.parameters is None or schemas.names_no_arguments(tool.parameters):
        yield from render_comment(schemas.description(tool.parameters, tool.parameters))
        yield f"type {tool.name} = () => any;"
    else:
        yield f"type {tool.name} = (_: {render_type(tool.parameters)}) => any;"
    yield ""


def render_response_format(response_format: ResponseFormat) -> str:
    """The ``# Response Formats`` section: the schema as JSON on one line.

    The layout is openai-cookbook's (``articles/openai-harmony.md``). Raises
    ``InvalidRequest`` when the schema cannot be written as JSON (nested too deeply).
    """
    lines = ["# Response Formats", "", f"## {response_format.name}", ""]
    if response_format.description:
        lines += render_comment(response_format.description)
    lines.append(_schema_json(response_format))
    return "\n".join(lines)


def _schema_json(response_format: ResponseFormat) -> str:
    try:
        return json.dumps(
            response_format.schema,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            default=dict,
        )
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(
            f"The schema of the response format {response_format.name!r} cannot be written "
            "as JSON: it is nested too deeply or holds a value that JSON does not have.",
            param="response_format",
        ) from error
