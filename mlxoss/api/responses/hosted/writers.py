"""Items of calls that this server runs: they stay open when the model's turn has ended.

The model writes the call (``begin``, ``add``, ``close_text``), then it is run (``run``), and its
outcome ends the item (``end_with``). ``end`` is for one that is not run to its end.
"""

from __future__ import annotations

import base64
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from mlxoss.api.answers import LogprobEntry
from mlxoss.api.hosted.calls import RunnableCall, call_of_builtin
from mlxoss.api.responses.answers import ResponseEvent
from mlxoss.api.responses.hosted.item_answers import (
    CodeImage,
    CodeLogs,
    ListedAction,
    ListedApprovalRequest,
    ListedCodeCall,
    ListedMcpCall,
    ListedWebSearchCall,
    McpContentError,
    McpProtocolError,
)
from mlxoss.api.responses.item_answers import ItemStatus
from mlxoss.api.responses.writers import ItemWriter, Numbering
from mlxoss.harmony.events import Channel
from mlxoss.outcomes import (
    BrowserOutcome,
    FoundInPage,
    McpFailure,
    McpOutcome,
    OpenedPage,
    PythonOutcome,
    ToolOutcome,
    WebSearch,
)

_UNKNOWN_CODES = {"mcp_protocol_error": -32603, "http_error": 503}
"""Where a failure came without one, though the type wants one: JSON-RPC's "internal error", and
HTTP's "service unavailable"."""

RunStatus = Literal["running", "failed"]


@dataclass(frozen=True, slots=True)
class WrittenCall:
    """Whom a call is to, on which channel."""

    recipient: str
    channel: Channel
    tool: str
    server_label: str = ""
    needs_approval: bool = False


class HostedWriter(ItemWriter):
    """A call that this server runs."""

    _run: RunStatus | None = None

    def __init__(
        self, numbering: Numbering, index: int, item_id: str, *, call: WrittenCall
    ) -> None:
        super().__init__(numbering, index, item_id)
        self._call = call

    @property
    def runnable(self) -> RunnableCall:
        """The call of a built-in tool, once it is written: its text is code, or the arguments."""
        call = self._call
        return call_of_builtin(self._item_id, call.recipient, call.channel, self._text)

    def close_text(self) -> list[ResponseEvent]:
        """The events after the last of the call's text."""
        return list(self._closing())

    def run(self) -> list[ResponseEvent]:
        """The events as it begins to run."""
        self._run = "running"
        return list(self._starting())

    def end_with(self, outcome: ToolOutcome) -> list[ResponseEvent]:
        """The events as it has ended, whichever way; the last one holds the whole item."""
        self._take(outcome)
        return [*self._ending(), self._on_item("done", "completed")]

    def end(self, status: ItemStatus) -> list[ResponseEvent]:
        """The last event of a call that is not run to its end."""
        return [self._on_item("done", status)]

    @abstractmethod
    def _take(self, outcome: ToolOutcome) -> None:
        """Take in the outcome."""

    def _starting(self) -> Iterator[ResponseEvent]:
        return iter(())

    @abstractmethod
    def _ending(self) -> Iterator[ResponseEvent]:
        """The events between the outcome and the item's own end."""

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        return iter(())

    def _closing(self) -> Iterator[ResponseEvent]:
        return iter(())

    def _status(self, status: ItemStatus, running: str) -> Any:
        """The item's word for how it stands, as its kind has one for ``running``."""
        if self._run == "failed" and status == "completed":
            return "failed"
        return running if self._run == "running" and status == "in_progress" else status


class CodeWriter(HostedWriter):
    """A call of Python, in the container of ``container_id``."""

    def __init__(
        self,
        numbering: Numbering,
        index: int,
        item_id: str,
        *,
        call: WrittenCall,
        container_id: str,
        has_outputs: bool,
    ) -> None:
        super().__init__(numbering, index, item_id, call=call)
        self._container_id = container_id
        self._has_outputs = has_outputs
        self._outcome: PythonOutcome | None = None

    def to_item(self, status: ItemStatus) -> ListedCodeCall:
        """The call as it stands."""
        return {
            "id": self._item_id,
            "type": "code_interpreter_call",
            "status": self._status(status, "interpreting"),
            "code": self._text,
            "container_id": self._container_id,
            "outputs": self._outputs(),
        }

    def _outputs(self) -> list[CodeLogs | CodeImage] | None:
        outcome = self._outcome
        if outcome is None or not self._has_outputs:
            return None
        outputs: list[CodeLogs | CodeImage] = []
        if outcome.logs:
            outputs.append({"type": "logs", "logs": outcome.logs})
        for image in outcome.images:
            data = base64.b64encode(image.data).decode()
            outputs.append({"type": "image", "url": f"data:{image.mime_type};base64,{data}"})
        return outputs

    def _opening(self) -> Iterator[ResponseEvent]:
        yield self._make("code_interpreter_call.in_progress")

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        yield self._make("code_interpreter_call_code.delta", delta=text)

    def _closing(self) -> Iterator[ResponseEvent]:
        yield self._make("code_interpreter_call_code.done", code=self._text)

    def _starting(self) -> Iterator[ResponseEvent]:
        yield self._make("code_interpreter_call.interpreting")

    def _take(self, outcome: ToolOutcome) -> None:
        if not isinstance(outcome, PythonOutcome):
            _refuse(outcome)
        self._outcome = outcome
        self._run = "failed" if outcome.is_failed else None

    def _ending(self) -> Iterator[ResponseEvent]:
        # OpenAI has no event for one that failed: the item says it.
        if self._run is None:
            yield self._make("code_interpreter_call.completed")


class SearchWriter(HostedWriter):
    """A call of the browser. What is asked is told once it is known what became of it."""

    def __init__(
        self,
        numbering: Numbering,
        index: int,
        item_id: str,
        *,
        call: WrittenCall,
        has_sources: bool,
    ) -> None:
        super().__init__(numbering, index, item_id, call=call)
        self._has_sources = has_sources
        self._action: ListedAction = _unknown_action(call.tool)

    def to_item(self, status: ItemStatus) -> ListedWebSearchCall:
        """The call as it stands."""
        return {
            "id": self._item_id,
            "type": "web_search_call",
            "status": self._status(status, "searching"),
            "action": self._action,
        }

    def _opening(self) -> Iterator[ResponseEvent]:
        yield self._make("web_search_call.in_progress")

    def _starting(self) -> Iterator[ResponseEvent]:
        yield self._make("web_search_call.searching")

    def _take(self, outcome: ToolOutcome) -> None:
        if not isinstance(outcome, BrowserOutcome):
            _refuse(outcome)
        self._run = "failed" if outcome.is_failed else None
        match outcome.action:
            case WebSearch(query=query, sources=sources):
                self._action = {"type": "search", "query": query, "queries": [query]}
                if self._has_sources:
                    self._action["sources"] = [{"type": "url", "url": url} for url in sources]
            case OpenedPage(url=url):
                self._action = {"type": "open_page", "url": url or None}
            case FoundInPage(pattern=pattern, url=url):
                self._action = {"type": "find_in_page", "pattern": pattern, "url": url}

    def _ending(self) -> Iterator[ResponseEvent]:
        if self._run is None:
            yield self._make("web_search_call.completed")


def _unknown_action(function: str) -> ListedAction:
    match function:
        case "open":
            return {"type": "open_page", "url": None}
        case "find":
            return {"type": "find_in_page", "pattern": "", "url": ""}
        case _:
            return {"type": "search", "query": "", "queries": []}


class McpCallWriter(HostedWriter):
    """A call of an MCP server's tool, after the client's word of that id if it was asked."""

    def __init__(
        self,
        numbering: Numbering,
        index: int,
        item_id: str,
        *,
        call: WrittenCall,
        approval_request_id: str | None = None,
    ) -> None:
        super().__init__(numbering, index, item_id, call=call)
        self._approval_request_id = approval_request_id
        self._outcome = McpOutcome("")

    @property
    def runnable(self) -> RunnableCall:
        """Its text are the arguments."""
        call = self._call
        return RunnableCall(
            self._item_id,
            "mcp",
            call.recipient,
            call.tool,
            self._text,
            call.channel,
            call.server_label,
        )

    def to_item(self, status: ItemStatus) -> ListedMcpCall:
        """The call as it stands."""
        failure = self._outcome.failure
        return {
            "id": self._item_id,
            "type": "mcp_call",
            "status": self._status(status, "calling"),
            "approval_request_id": self._approval_request_id,
            "server_label": self._call.server_label,
            "name": self._call.tool,
            "arguments": self._text,
            "output": self._outcome.output,
            "error": None if failure is None else _to_error(failure),
        }

    def _opening(self) -> Iterator[ResponseEvent]:
        yield self._make("mcp_call.in_progress")

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        yield self._make("mcp_call_arguments.delta", delta=text)

    def _closing(self) -> Iterator[ResponseEvent]:
        yield self._make("mcp_call_arguments.done", arguments=self._text)

    def _take(self, outcome: ToolOutcome) -> None:
        if not isinstance(outcome, McpOutcome):
            _refuse(outcome)
        self._outcome = outcome
        self._run = None if outcome.failure is None else "failed"

    def _ending(self) -> Iterator[ResponseEvent]:
        yield self._make("mcp_call.failed" if self._run == "failed" else "mcp_call.completed")


def _to_error(failure: McpFailure) -> McpContentError | McpProtocolError:
    if failure.kind == "mcp_tool_execution_error":
        return {"type": failure.kind, "content": [{"type": "text", "text": failure.message}]}
    code = _UNKNOWN_CODES[failure.kind] if failure.code is None else failure.code
    return {"type": failure.kind, "code": code, "message": failure.message}


class ApprovalWriter(ItemWriter):
    """A call that waits for the client's word. It is told once it is whole, and not at all if it
    was cut: the client's word would be for half a call."""

    def __init__(
        self, numbering: Numbering, index: int, item_id: str, *, call: WrittenCall
    ) -> None:
        super().__init__(numbering, index, item_id)
        self._call = call

    def to_item(self, status: ItemStatus) -> ListedApprovalRequest:
        """The request."""
        return {
            "id": self._item_id,
            "type": "mcp_approval_request",
            "server_label": self._call.server_label,
            "name": self._call.tool,
            "arguments": self._text,
        }

    def begin(self) -> list[ResponseEvent]:
        """Nothing yet."""
        return []

    def end(self, status: ItemStatus) -> list[ResponseEvent]:
        """The whole of it, or nothing."""
        if status != "completed":
            return []
        return [self._on_item("added", status), self._on_item("done", status)]

    def _deltas(self, text: str, logprob: LogprobEntry | None) -> Iterator[ResponseEvent]:
        return iter(())

    def _closing(self) -> Iterator[ResponseEvent]:
        return iter(())


def _refuse(outcome: ToolOutcome) -> NoReturn:
    raise TypeError(f"{type(outcome).__name__} is another tool's")
