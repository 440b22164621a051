"""The fields of a Responses request's tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from mlxoss.api.params import FunctionName
from mlxoss.api.responses.client_run.declared import ClientToolParam
from mlxoss.api.responses.hosted.params import CodeInterpreterParam, McpParam, WebSearchParam
from mlxoss.api.validation import StrictModel, read_later
from mlxoss.core import JsonObject


class FunctionToolParam(StrictModel):
    """A declared function; with ``strict`` its arguments follow ``parameters``."""

    type: Literal["function"]
    name: FunctionName
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None
    defer_loading: bool | None = None


class CustomFormat(StrictModel):
    """What a custom tool's input looks like; a grammar is shown to the model."""

    type: Literal["text", "grammar"]
    syntax: Literal["lark", "regex"] | None = None
    definition: str | None = None


class CustomToolParam(StrictModel):
    """A tool whose input is free text."""

    type: Literal["custom"]
    name: FunctionName
    description: str | None = None
    format: CustomFormat | None = None
    defer_loading: bool | None = None


class NamespaceParam(StrictModel):
    """A group of tools."""

    type: Literal["namespace"]
    name: FunctionName
    description: str | None = None
    tools: list[Annotated[Any, read_later(FunctionToolParam | CustomToolParam)]]


class OtherToolParam(StrictModel):
    """A tool that OpenAI alone runs, or that is not enabled here: left out."""

    type: str


ToolParam = Annotated[
    Any,
    read_later(
        FunctionToolParam
        | CustomToolParam
        | NamespaceParam
        | ClientToolParam
        | WebSearchParam
        | CodeInterpreterParam
        | McpParam
        | OtherToolParam
    ),
]
"""A declared tool: ``tools.read_tools`` reads it."""
