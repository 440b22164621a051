"""What writes the items of calls that this server runs, and what these need to be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlxoss.api.hosted.calls import RunnableCall, builtin_kind
from mlxoss.api.hosted.citations import FindPage
from mlxoss.api.responses.hosted.writers import (
    ApprovalWriter,
    CodeWriter,
    HostedWriter,
    McpCallWriter,
    SearchWriter,
    WrittenCall,
)
from mlxoss.api.responses.tool_table import ToolKind, ToolName
from mlxoss.api.responses.writers import Numbering
from mlxoss.harmony.events import Channel, MessageStart


@dataclass(frozen=True, slots=True)
class HostedSetup:
    """What a response's calls of this server's tools need to be told.

    Code runs in the container of ``container_id``. The ids of ``web_search_call`` items hold
    ``browser_session``. ``cite`` gives the pages that the final text cites (``None``: its marks
    stay as they are). Outputs of code and sources of searches are told if they are included.
    """

    container_id: str = ""
    browser_session: str = ""
    cite: FindPage | None = None
    has_outputs: bool = False
    has_sources: bool = False


@dataclass(frozen=True, slots=True)
class ApprovedCall:
    """A call that the client has allowed: that of the item ``request_id``."""

    request_id: str
    recipient: str
    server_label: str
    tool: str
    arguments: str


@dataclass(frozen=True, slots=True)
class HostedItems:
    """Makes the writers. ``tools`` are ``ToolTable.names``."""

    tools: Mapping[str, ToolName]
    setup: HostedSetup
    make_id: Callable[[str], str]

    def read(self, start: MessageStart) -> WrittenCall | None:
        """The call that begins, if this server is to run it."""
        if (recipient := start.builtin) is not None:
            return WrittenCall(recipient, start.channel, recipient.rpartition(".")[2])
        name = self.tools.get(start.recipient or "")
        if start.recipient is None or name is None or name.kind is not ToolKind.MCP:
            return None
        return WrittenCall(
            start.recipient,
            start.channel,
            name.name,
            name.namespace or "",
            needs_approval=name.needs_approval,
        )

    def open(
        self, call: WrittenCall, numbering: Numbering, index: int
    ) -> HostedWriter | ApprovalWriter:
        """What writes its item: one that asks for the client's word, if that is needed."""
        make_id, setup = self.make_id, self.setup
        if call.needs_approval:
            return ApprovalWriter(numbering, index, make_id("mcpr_"), call=call)
        if call.server_label:
            return McpCallWriter(numbering, index, make_id("mcp_"), call=call)
        if builtin_kind(call.recipient) == "python":
            return CodeWriter(
                numbering,
                index,
                make_id("ci_"),
                call=call,
                container_id=setup.container_id,
                has_outputs=setup.has_outputs,
            )
        item_id = make_id(f"ws_{setup.browser_session}_")
        return SearchWriter(numbering, index, item_id, call=call, has_sources=setup.has_sources)

    def open_approved(
        self, approved: ApprovedCall, numbering: Numbering, index: int
    ) -> McpCallWriter:
        """What writes the item of a call that was asked for earlier."""
        call = WrittenCall(
            approved.recipient, Channel.COMMENTARY, approved.tool, approved.server_label
        )
        return McpCallWriter(
            numbering,
            index,
            self.make_id("mcp_"),
            call=call,
            approval_request_id=approved.request_id,
        )


def to_ignored(call: WrittenCall) -> RunnableCall:
    """A call over the limit: no item, but the model may be told that it was not run."""
    kind = "mcp" if call.server_label else builtin_kind(call.recipient)
    return RunnableCall("", kind, call.recipient, call.tool, "", call.channel, call.server_label)
