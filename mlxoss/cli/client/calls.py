"""What items tell of the calls of tools that the server ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from mlxoss.cli.client.pieces import CallPiece

_Item = Mapping[str, Any]


def read_call(item: _Item) -> Iterator[CallPiece]:
    """What the call did that ``item`` is; nothing for an item of another type."""
    read = _READERS.get(item["type"])
    if read is not None:
        yield read(item)


def _python(item: _Item) -> CallPiece:
    outputs = item.get("outputs") or ()
    return CallPiece(
        "python",
        item.get("code") or "",
        "\n".join(each["logs"] for each in outputs if each["type"] == "logs"),
        tuple(each["url"] for each in outputs if each["type"] == "image"),
        is_failed=_is_failed(item),
    )


def _web(item: _Item) -> CallPiece:
    action = item.get("action") or {}
    url, is_failed = action.get("url") or "", _is_failed(item)
    match action.get("type"):
        case "open_page":
            return CallPiece("opened", url, is_failed=is_failed)
        case "find_in_page":
            asked = f"{action.get('pattern') or ''!r} in {url}"
            return CallPiece("looked for", asked, is_failed=is_failed)
        case _:
            hits = action.get("sources")
            answer = "" if hits is None else f"{len(hits)} page{'' if len(hits) == 1 else 's'}"
            return CallPiece("searched", action.get("query") or "", answer, is_failed=is_failed)


def _mcp(item: _Item) -> CallPiece:
    return CallPiece(
        f"{item['server_label']}.{item['name']}",
        item.get("arguments") or "",
        item.get("output") or "",
        is_failed=_is_failed(item) or bool(item.get("error")),
    )


def _is_failed(item: _Item) -> bool:
    return item.get("status") in ("failed", "incomplete")


_READERS: MappingProxyType[str, Callable[[_Item], CallPiece]] = MappingProxyType(
    {"code_interpreter_call": _python, "web_search_call": _web, "mcp_call": _mcp}
)
