"""A turn's exact ids read back as the items of a conversation."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mlxoss.harmony.conversation import (
    BuiltinCall,
    ExactTurn,
    FinalText,
    FunctionCall,
    Preamble,
    Reasoning,
    TurnItem,
)
from mlxoss.harmony.encoding import Encoding
from mlxoss.harmony.events import (
    Channel,
    ContentDelta,
    MessageEnd,
    MessageStart,
    TurnEndReason,
)
from mlxoss.harmony.parser import TurnParser


def read_turn(
    encoding: Encoding,
    token_ids: Sequence[int],
    functions: Collection[str],
    builtins: Collection[str] = (),
) -> ExactTurn:
    """``token_ids``, which followed ``<|start|>assistant``, with the items they say.

    ``functions`` are the bare names that count as recipients, ``builtins`` the recipients of
    built-in tools: those declared when the turn was written. Reasoning and preambles of no
    token at all are left out, as they are from an answer. Whether a call is a custom tool's
    the ids do not tell: each is taken as a function's. Never raises.
    """
    parser = TurnParser(encoding, functions, builtins)
    events = [event for token_id in token_ids for event in parser.feed(token_id)]
    events += parser.finish(TurnEndReason.LENGTH)
    items: list[TurnItem] = []
    start: MessageStart | None = None
    deltas: list[ContentDelta] = []
    for event in events:
        match event:
            case MessageStart():
                start, deltas = event, []
            case ContentDelta():
                deltas.append(event)
            case MessageEnd() if start is not None:
                if deltas or start.is_call or start.channel is Channel.FINAL:
                    items.append(_to_item(start, deltas))
            case _:
                pass
    return ExactTurn(tuple(token_ids), tuple(items))


def _to_item(start: MessageStart, deltas: Sequence[ContentDelta]) -> TurnItem:
    text = "".join(delta.text for delta in deltas)
    if start.recipient is not None:
        return FunctionCall(start.recipient, text)
    if start.builtin is not None:
        return BuiltinCall(start.builtin, text, start.channel)
    match start.channel:
        case Channel.ANALYSIS:
            ids = tuple(delta.token_id for delta in deltas if delta.token_id is not None)
            return Reasoning(text, ids or None)
        case Channel.COMMENTARY:
            return Preamble(text)
        case Channel.FINAL:
            return FinalText(text)
