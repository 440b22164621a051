"""Turns whose calls this server ran itself, with what was answered.

A response may take several turns of the model. Each is kept as any turn with calls is, and the
answers beside it, so that the next prompt has both to the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mlxoss.api.hosted.calls import ToolResult
from mlxoss.core import JsonMapping, JsonObject
from mlxoss.harmony.conversation import BuiltinResult, FunctionResult
from mlxoss.harmony.events import Channel


@dataclass(frozen=True, slots=True)
class EndedRound:
    """A turn and what its calls answered, by the ids of the items that are the calls.

    The rest is as ``replay.KeptTurn`` has it; the id of a call that this server ran is its item's.
    ``items`` are those calls' items without what they answered, where clients are to keep them.
    """

    token_ids: tuple[int, ...]
    item_ids: tuple[str, ...] = ()
    call_ids: tuple[str, ...] = ()
    results: Mapping[str, ToolResult] = field(default_factory=lambda: MappingProxyType({}))
    items: tuple[JsonMapping, ...] = ()


def pack_result(result: ToolResult) -> JsonObject:
    """An answer as JSON. Its ids are those of its text, and not kept."""
    if isinstance(result, FunctionResult):
        return {"function": result.name, "text": result.output}
    return {"author": result.author, "text": result.text, "channel": result.channel.value}


def unpack_result(packed: JsonObject) -> ToolResult:
    """What :func:`pack_result` was given."""
    if "function" in packed:
        return FunctionResult(packed["function"], packed["text"])
    return BuiltinResult(packed["author"], packed["text"], Channel(packed["channel"]))


def pack_round(ended: EndedRound) -> JsonObject:
    """A round as JSON."""
    return {
        "ids": list(ended.token_ids),
        "items": list(ended.item_ids),
        "calls": list(ended.call_ids),
        "results": {item_id: pack_result(one) for item_id, one in ended.results.items()},
        "run": list(ended.items),
    }


def unpack_round(packed: JsonObject) -> EndedRound:
    """What :func:`pack_round` was given."""
    return EndedRound(
        token_ids=tuple(packed["ids"]),
        item_ids=tuple(packed["items"]),
        call_ids=tuple(packed["calls"]),
        results={item_id: unpack_result(one) for item_id, one in packed["results"].items()},
        items=tuple(packed.get("run", ())),
    )
