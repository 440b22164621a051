"""What a conversation's items tell of where its tools are: container, pages, sealed rounds, words
of the client's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlxoss.api.errors import invalid
from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.responses.hosted.history import REQUEST, RESPONSE, to_request_id
from mlxoss.api.responses.hosted.running import ApprovedCall
from mlxoss.api.responses.items import Item, ReasoningItem, RecordItem
from mlxoss.api.responses.tool_table import ToolTable

_SEARCH_ID = re.compile(r"ws_([0-9a-zA-Z]+)_[0-9a-zA-Z]+")


@dataclass(frozen=True, slots=True)
class BrowserTrail:
    """The browser of a conversation: its session, if it has one, and the number of the next page.

    Each call that was completed has brought a page, whose numbers count on from 0.
    """

    session: str | None = None
    next_cursor: int = 0


def latest_container(items: Sequence[Item]) -> str | None:
    """The container in which the conversation's code ran last."""
    for item in reversed(items):
        if isinstance(item, RecordItem) and item.type == "code_interpreter_call":
            container = item.fields.get("container_id")
            if isinstance(container, str) and container:
                return container
    return None


def follow_browser(items: Iterable[Item]) -> BrowserTrail:
    """The browser as ``items`` leave it. Searches of other servers do not count."""
    trail = BrowserTrail()
    for item in items:
        if not isinstance(item, RecordItem) or item.type != "web_search_call":
            continue
        if (mine := _SEARCH_ID.fullmatch(item.id)) is not None:
            before = trail.next_cursor if trail.session == mine[1] else 0
            has_page = item.fields.get("status") == "completed"
            trail = BrowserTrail(mine[1], before + has_page)
    return trail


def sealed_rounds(items: Iterable[Item], seal: ContentSeal) -> tuple[EndedRound, ...]:
    """The rounds that clients keep for this server in the reasoning among ``items``."""
    return tuple(
        ended
        for item in items
        if isinstance(item, ReasoningItem) and item.encrypted_content
        for ended in seal.open_rounds(item.encrypted_content)
    )


def approved_calls(
    history: Sequence[Item], items: Sequence[Item], tools: ToolTable
) -> tuple[ApprovedCall, ...]:
    """The calls that ``items``, the request's own, allow and that were not run yet, in order.

    Raises InvalidRequest, naming ``input[i]``, for a word on a call that nobody knows of, or that
    may not be called any more by ``tools``.
    """
    requests: dict[str, RecordItem] = {}
    answered: set[str] = set()
    for item in (*history, *items):
        if isinstance(item, RecordItem) and item.type == REQUEST:
            requests[item.id] = item
        elif isinstance(item, RecordItem) and item.type == "mcp_call":
            answered.add(to_request_id(item.fields))
    found: dict[str, ApprovedCall] = {}
    for position, item in enumerate(items):
        if isinstance(item, RecordItem) and item.type == RESPONSE:
            param = f"input[{position}].approval_request_id"
            request_id = to_request_id(item.fields)
            if (request_id and request_id in answered) or not item.fields.get("approve"):
                continue
            request = requests.get(request_id)
            if request is None:
                raise invalid(param, f"no earlier approval request has the id '{request_id}'")
            found[request.id] = _to_approved(request, tools, param)
    return tuple(found.values())


def _to_approved(request: RecordItem, tools: ToolTable, param: str) -> ApprovedCall:
    label, tool, arguments = (
        str(request.fields.get(name, "")) for name in ("server_label", "name", "arguments")
    )
    recipient = tools.mcp_names.get((label, tool))
    if recipient is None:
        raise invalid(param, f"'tools' has no server '{label}' with a tool '{tool}'")
    return ApprovedCall(request.id, recipient, label, tool, arguments)
