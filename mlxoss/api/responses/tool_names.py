"""What the tools of a Responses request are to the client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mlxoss.api.params import flatten
from mlxoss.api.responses.client_run.declared import CLIENT_KINDS


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
