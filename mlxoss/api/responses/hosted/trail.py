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
from mlxoss.api.responses.items import (
    CustomCallItem,
    FunctionCallItem,
    Item,
    MessageItem,
    ReasoningItem,
    RecordItem,
)
from mlxoss.api.responses.parse_items import read_items
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


def fill_in(items: Sequence[Item], seal: ContentSeal) -> tuple[Item, ...]:
    """``items`` with the calls among those rounds of which the client sent only what is sealed.

    The AI SDK does so where nothing is stored.
    """
    filled, there = list(items), {item.id for item in items}
    for holder in items:
        for ended in sealed_rounds([holder], seal):
            if not there.issuperset(str(item["id"]) for item in ended.items):
                _fill_in(filled, ended, holder)
    return tuple(filled)


def _fill_in(filled: list[Item], ended: EndedRound, holder: Item) -> None:
    """Each stands behind what the round has before it, or before what holds them all."""
    place = filled.index(holder)
    run = {item.id: item for item in read_items(ended.items)}
    there = {item.id: position for position, item in enumerate(filled)}
    for item_id in ended.item_ids:
        if item_id in there:
            place = there[item_id] + 1
        elif item_id in run:
            filled.insert(place, run[item_id])
            there = {item.id: position for position, item in enumerate(filled)}
            place += 1


def approved_calls(
    history: Sequence[Item], items: Sequence[Item], tools: ToolTable
) -> tuple[ApprovedCall, ...]:
    """The calls that ``items``, the request's own, allow and that were not run yet, in order.

    What the model has answered since is past. Raises InvalidRequest, naming ``input[i]``, for what
    is no word, for one on a call that nobody knows of, or that may not be called any more by
    ``tools``.
    """
    asked: dict[str, RecordItem] = {}
    answered: set[str] = set()
    for item in (*history, *items):
        if isinstance(item, RecordItem) and item.type == REQUEST:
            asked[item.id] = item
        elif isinstance(item, RecordItem) and item.type == "mcp_call":
            answered.add(to_request_id(item.fields))
    found: dict[str, ApprovedCall] = {}
    for position, item in _newest(items):
        if isinstance(item, RecordItem) and item.type == RESPONSE:
            request_id, is_allowed = _read_word(item, f"input[{position}]")
            if request_id in answered or not is_allowed:
                continue
            param = f"input[{position}].approval_request_id"
            request = asked.get(request_id)
            if request is None:
                raise invalid(param, f"no earlier approval request has the id '{request_id}'")
            found[request.id] = _to_approved(request, tools, param)
    return tuple(found.values())


def _newest(items: Sequence[Item]) -> list[tuple[int, Item]]:
    """What stands behind the last that the model said: a word before that is past, whatever it is,
    and no reason to refuse the conversation."""
    said = (position for position, item in enumerate(items) if _is_said(item))
    first = max(said, default=-1) + 1
    return list(enumerate(items))[first:]


def _is_said(item: Item) -> bool:
    if isinstance(item, MessageItem):
        return item.role == "assistant"
    return isinstance(item, ReasoningItem | FunctionCallItem | CustomCallItem)


def _read_word(item: RecordItem, where: str) -> tuple[str, bool]:
    """Which call the client's word is on, and whether it allows it: a text such as "no" does not
    pass for a yes."""
    request_id, is_allowed = item.fields.get("approval_request_id"), item.fields.get("approve")
    if not isinstance(request_id, str):
        raise invalid(f"{where}.approval_request_id", "input should be a valid string")
    if not isinstance(is_allowed, bool):
        raise invalid(f"{where}.approve", "input should be a valid boolean")
    return request_id, is_allowed


def _to_approved(request: RecordItem, tools: ToolTable, param: str) -> ApprovedCall:
    label, tool, arguments = (
        str(request.fields.get(name, "")) for name in ("server_label", "name", "arguments")
    )
    recipient = tools.mcp_names.get((label, tool))
    if recipient is None:
        raise invalid(param, f"'tools' has no server '{label}' with a tool '{tool}'")
    return ApprovedCall(request.id, recipient, label, tool, arguments)
