"""Finding the exact turn again behind items that a client sends back.

Theory of operation. A client sends the model's turns back as it knows them: as text, with a call's
arguments perhaps written anew, and often without the reasoning. Encoding that again may give
other ids than the model wrote. Then the prefix cache does not know the turn, and the model reads
what it never said. So the ids of turns are kept, and put back into the prompt as they were:

1. A turn that ended was kept with the ids that its client knows: those of its output items, or of
   its calls (``KeptTurn``; ``mlxoss.turns`` keeps and fetches them).
2. The next request names such an id. ``by_item`` and ``by_call`` give the turn that may be meant.
3. The kept ids are read again by the same parser that made the answer (``ReadTurn``).
4. What they say is compared with what the client sent, item by item. Reasoning may be missing
   altogether; arguments may be spelled otherwise as long as they are the same JSON object.
5. If all is the same the result is an ``ExactTurn``, else ``None``, and the items are rendered
   from their text.

The comparison comes before anything is put back, and it is all or nothing. A client may edit its
history, and a prompt must say what the client sent; an id alone proves nothing. Whether a call is
a function's or a custom tool's is taken from the client, since the ids do not tell.

Where the ids go, and that the reasoning before the last final answer is left out, is the
renderer's (``mlxoss.harmony.prompt``).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol

from mlxoss.api.history.rounds import EndedRound
from mlxoss.api.hosted.calls import BUILTIN_RECIPIENTS, ToolResult
from mlxoss.harmony.conversation import (
    BuiltinCall,
    ExactTurn,
    FinalText,
    FunctionCall,
    PlainItem,
    Preamble,
    Reasoning,
    TurnItem,
)

_NO_RESULTS: Mapping[str, ToolResult] = MappingProxyType({})
_NO_ROUNDS: Mapping[str, Sequence[EndedRound]] = MappingProxyType({})

BETWEEN_MESSAGES = "\n\n"
"""What stands between two messages of a turn where an API has one text for both."""


class ReadTurn(Protocol):
    """``mlxoss.harmony.read_turn.read_turn`` with its encoding filled in: ids, the names that
    count as recipients and those of built-in tools, to the turn."""

    def __call__(
        self, token_ids: Sequence[int], functions: Collection[str], builtins: Collection[str], /
    ) -> ExactTurn:
        """The turn."""


class KeptTurn(Protocol):
    """A turn as it was kept: what followed ``<|start|>assistant``, and what came of it.

    ``item_ids`` are its output items' in order, empty if nothing kept them; ``call_ids``
    those of its calls in order.
    """

    @property
    def token_ids(self) -> tuple[int, ...]:
        """The exact ids."""

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The output items."""

    @property
    def call_ids(self) -> tuple[str, ...]:
        """The calls."""


class ExactTurns:
    """Turns to look up by what a client knows of them: the first item, or a call.

    Nothing is taken on trust: :meth:`matching` compares what the ids say with what the
    client sent. ``results`` are what calls that this server ran were answered, by the ids of the
    items that are these calls. ``before`` are the rounds of answers that clients know as one
    message, by the id of the first call that the message makes.
    """

    def __init__(
        self,
        records: Iterable[KeptTurn],
        read: ReadTurn,
        results: Mapping[str, ToolResult] = _NO_RESULTS,
        before: Mapping[str, Sequence[EndedRound]] = _NO_ROUNDS,
    ) -> None:
        self._read = read
        self._before = before
        self._results = results
        self._by_item: dict[str, KeptTurn] = {}
        self._by_call: dict[str, KeptTurn] = {}
        for record in records:
            if record.item_ids:
                self._by_item[record.item_ids[0]] = record
            for call_id in record.call_ids:
                self._by_call[call_id] = record

    def result(self, item_id: str) -> ToolResult | None:
        """What the call of this item was answered, if this server ran it and knows."""
        return self._results.get(item_id)

    def by_item(self, item_id: str) -> KeptTurn | None:
        """The turn whose first item this is."""
        return self._by_item.get(item_id)

    def by_call(self, call_id: str) -> KeptTurn | None:
        """The turn that made this call."""
        return self._by_call.get(call_id)

    def matching(self, record: KeptTurn, sent: Sequence[PlainItem]) -> ExactTurn | None:
        """The exact turn, if ``sent`` says the same; reasoning may be missing from it, and
        preambles without words do not count."""
        functions = {item.name for item in sent if isinstance(item, FunctionCall)}
        builtins = {item.recipient for item in sent if isinstance(item, BuiltinCall)}
        turn = self._read(record.token_ids, functions, builtins)
        theirs = [item for item in sent if not is_wordless(item)]
        ours = [item for item in turn.items if not is_wordless(item)]
        if not any(isinstance(item, Reasoning) for item in theirs):
            ours = [item for item in ours if not isinstance(item, Reasoning)]
        if len(theirs) != len(ours) or not all(map(_says_the_same, theirs, ours)):
            return None
        return _of_kinds(turn, [item for item in sent if isinstance(item, FunctionCall)])

    def of_message(
        self, calls: Mapping[str, FunctionCall], text: str, reasoning: str
    ) -> tuple[ExactTurn | ToolResult, ...] | None:
        """The exact turn behind one chat message, by its calls' ids, and those before it that were
        part of the same answer, with what this server's tools answered to them.

        ``text`` is all of its preambles, ``reasoning`` the client's own if it sent any,
        each joined by ``BETWEEN_MESSAGES``.
        """
        first = next(iter(calls), "")
        record, rounds = self._by_call.get(first), self._before.get(first, ())
        if record is None or record.call_ids != tuple(calls):
            return None
        names, builtins = {call.name for call in calls.values()}, BUILTIN_RECIPIENTS
        turns = [self._read(one.token_ids, names, builtins) for one in rounds]
        last = self._read(record.token_ids, names, builtins if rounds else ())
        items = [item for turn in (*turns, last) for item in turn.items]
        written = [item for item in items if isinstance(item, FunctionCall)]
        same = (
            len(written) == len(calls)
            and all(map(_says_the_same, calls.values(), written))
            and not any(isinstance(item, FinalText) for item in items)
            and text == _joined(items, Preamble)
            and reasoning in ("", _joined(items, Reasoning))
        )
        if not same:
            return None
        earlier = (
            part
            for turn, one in zip(turns, rounds, strict=True)
            for part in (turn, *one.results.values())
        )
        return (*earlier, _of_kinds(last, calls.values()))


def is_blank(text: str | None) -> bool:
    """Whether a message's text is none: clients put empty messages beside calls."""
    return not text or text.isspace()


def is_wordless(item: PlainItem) -> bool:
    """Whether ``item`` is a preamble that says nothing: as good as absent."""
    return isinstance(item, Preamble) and is_blank(item.text)


def _of_kinds(turn: ExactTurn, calls: Iterable[FunctionCall]) -> ExactTurn:
    """``turn`` with its calls of the kinds of ``calls``: its ids do not tell functions' from
    custom tools'."""
    kinds = iter(calls)
    items = tuple(
        replace(item, is_text=next(kinds).is_text) if isinstance(item, FunctionCall) else item
        for item in turn.items
    )
    return replace(turn, items=items)


def _joined(items: Iterable[TurnItem], kind: type[Preamble] | type[Reasoning]) -> str:
    texts = [item.text for item in items if isinstance(item, kind)]
    return BETWEEN_MESSAGES.join(text for text in texts if not is_blank(text))


def _says_the_same(sent: PlainItem, written: TurnItem) -> bool:
    match sent, written:
        case Reasoning(_, tuple(sent_ids)), Reasoning(_, tuple(written_ids)):
            return sent_ids == written_ids
        case Reasoning(), Reasoning():
            return sent.text == written.text
        case FunctionCall(name, sent_text), FunctionCall(written_name, text):
            return name == written_name and _is_same_json(sent_text, text)
        case BuiltinCall(recipient), BuiltinCall() if recipient != "python":
            return recipient == written.recipient and _asks_the_same(sent.text, written.text)
        case BuiltinCall(), BuiltinCall():
            return (sent.recipient, sent.text) == (written.recipient, written.text)
        case _:
            return sent == written


def _asks_the_same(sent: str, written: str) -> bool:
    """Whether calls of the browser look for the same words. More of one its item does not hold: an
    address stands there for the number of a link."""
    theirs, ours = (json.loads(_canonical(text) or "{}") for text in (sent, written))
    return all(
        str(theirs[name]).split() == str(ours.get(name)).split()
        for name in ("query", "pattern")
        if name in theirs
    )


def _is_same_json(sent: str, written: str) -> bool:
    """Whether both say the same: clients that read a call's arguments write them anew."""
    return sent == written or (_canonical(sent) or "") == _canonical(written)


def _canonical(arguments: str) -> str | None:
    """An object in its one spelling; ``None`` for anything else."""
    try:
        value = json.loads(arguments)
        return json.dumps(value, sort_keys=True) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None
