"""What became of a Responses request's tools, and what each is to the client."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from mlxoss.api.hosted.declared import HostedDeclared
from mlxoss.api.params import flatten
from mlxoss.api.responses.client_run.declared import (
    CLIENT_KINDS,
    ClientKind,
    names_of_client_tools,
)
from mlxoss.api.responses.hosted.declared import to_builtin_types
from mlxoss.api.tool_choice import OtherTools
from mlxoss.core import JsonObject
from mlxoss.harmony.conversation import DeveloperText, FunctionTool
from mlxoss.harmony.grammar.rules import CallRule


class ToolKind(Enum):
    """How a call of the tool is given to the client."""

    FUNCTION = "function"
    CUSTOM = "custom"
    SHELL = "shell"
    LOCAL_SHELL = "local_shell"
    APPLY_PATCH = "apply_patch"
    TOOL_SEARCH = "tool_search"
    MCP = "mcp"

    @property
    def is_client_run(self) -> bool:
        """Whether it is one of OpenAI's that the client runs."""
        return self.value in CLIENT_KINDS


@dataclass(frozen=True, slots=True)
class ToolName:
    """A tool as the client named it; one of MCP as its server does, whose label is the namespace.

    A call of one that ``needs_approval`` waits for the client's word.
    """

    kind: ToolKind
    name: str
    namespace: str | None = None
    needs_approval: bool = False

    @property
    def flat(self) -> str:
        """The name that the model sees."""
        return flatten(self.name, self.namespace)


@dataclass(frozen=True, slots=True)
class ToolTable:
    """What became of a request's tools.

    ``functions`` are shown to the model in front, ``later`` the others behind the items of these
    ids; ``calls`` say what it may write to them, ``names`` by their names what they are to the
    client; ``public`` is the response's ``tools``;
    ``dropped`` are the types of the tools that were left out, in order. ``client_run`` are the
    names by which the model knows those tools, declared or not; ``held`` are functions that no
    search has brought yet. ``hosted`` are those that this server runs; ``advice`` says of others
    of these, by their types, how they could be had.
    """

    functions: tuple[FunctionTool, ...] = ()
    later: Mapping[Hashable, DeveloperText] = field(default_factory=lambda: MappingProxyType({}))
    calls: tuple[CallRule, ...] = ()
    names: Mapping[str, ToolName] = field(default_factory=lambda: MappingProxyType({}))
    public: tuple[JsonObject, ...] = ()
    dropped: tuple[str, ...] = ()
    client_run: Mapping[ClientKind, str] = field(default_factory=lambda: names_of_client_tools(()))
    held: frozenset[str] = frozenset()
    hosted: HostedDeclared = field(default_factory=HostedDeclared)
    advice: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def others(self) -> OtherTools:
        """What ``tool_choice`` may name besides functions that can be called."""
        kinds = {tool.kind: name for name, tool in self.names.items() if tool.kind.is_client_run}
        return OtherTools(
            {kind.value: name for kind, name in kinds.items()},
            self.held,
            builtins=to_builtin_types(self.hosted),
            servers=self._servers(),
            advice=self.advice,
        )

    @property
    def mcp_names(self) -> Mapping[tuple[str, str], str]:
        """How the model knows the tools of MCP servers that it may call, by label and name."""
        return {
            (tool.namespace or "", tool.name): name
            for name, tool in self.names.items()
            if tool.kind is ToolKind.MCP
        }

    def _servers(self) -> Mapping[str, Mapping[str, str]]:
        servers: dict[str, dict[str, str]] = {one.label: {} for one in self.hosted.mcp}
        for (label, tool), name in self.mcp_names.items():
            servers[label][tool] = name
        return servers
