"""Calls that this server has to run itself, and what they answer to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mlxoss.harmony.builtins import BROWSER, PYTHON
from mlxoss.harmony.conversation import BuiltinResult, FunctionResult
from mlxoss.harmony.events import Channel
from mlxoss.outcomes import ToolOutcome

BUILTIN_RECIPIENTS = tuple(name for one in (BROWSER, PYTHON) for name in one.recipients)
"""What calls of the model's built-in tools may be sent to."""

HostedKind = Literal["python", "browser", "mcp"]
ToolResult = BuiltinResult | FunctionResult
"""What the model reads of a call's outcome."""


@dataclass(frozen=True, slots=True)
class RunnableCall:
    """A call that the model has written to its end.

    ``text`` is code for ``python``, JSON for the others. ``recipient`` is how the model calls the
    tool (``python``, ``browser.search``, a function's name), ``tool`` what the tool's owner calls
    it (``python``, ``search``, the MCP server's own name), ``server_label`` whose it is for MCP.
    """

    item_id: str
    kind: HostedKind
    recipient: str
    tool: str
    text: str
    channel: Channel = Channel.ANALYSIS
    server_label: str = ""

    def to_result(self, outcome: ToolOutcome) -> ToolResult:
        """What goes back to the model."""
        if self.kind == "mcp":
            return FunctionResult(self.recipient, outcome.text)
        return BuiltinResult(self.recipient, outcome.text, self.channel)


def builtin_kind(recipient: str) -> HostedKind:
    """The tool behind a built-in's recipient."""
    return "python" if recipient == "python" else "browser"


def call_of_builtin(item_id: str, recipient: str, channel: Channel, text: str) -> RunnableCall:
    """The call that was written to a built-in tool."""
    tool = recipient.rpartition(".")[2]
    return RunnableCall(item_id, builtin_kind(recipient), recipient, tool, text, channel)
