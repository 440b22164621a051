"""From the Responses API's items to a conversation's.

Assistant items that the model itself wrote, and of which the exact ids are known,
become an ``ExactTurn`` where that matters: after the last final answer.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from mlxoss.api.history.encrypted_content import ContentSeal
from mlxoss.api.history.replay import ExactTurns, is_blank, is_wordless
from mlxoss.api.history.tool_loops import CallMade, CallResult, ToolLoops
from mlxoss.api.params import flatten
from mlxoss.api.responses.client_run.calls import (
    kind_of_call,
    kind_of_output,
    to_arguments,
    to_found,
)
from mlxoss.api.responses.client_run.declared import ClientKind, names_of_client_tools
from mlxoss.api.responses.hosted.history import (
    HostedHistory,
    McpNames,
    is_approval,
    is_hosted_call,
)
from mlxoss.api.responses.items import (
    CallOutputItem,
    CompactionItem,
    CustomCallItem,
    FunctionCallItem,
    Item,
    MessageItem,
    ReasoningItem,
    RecordItem,
    TypedItem,
    outlives_compaction,
)
from mlxoss.api.responses.records import (
    SEALED_NOTE,
    is_record,
    to_agent_text,
    to_record,
    to_tool_name,
)
from mlxoss.harmony import conversation as harmony

_MESSAGE_SEPARATOR = "\n\n"
_SUMMARY_HEADING = "Summary of the conversation so far:\n\n"


@dataclass(frozen=True, slots=True)
class ToolsInItems:
    """What items say of tools, beyond their own fields.

    Functions are told ``later`` at the items of these ids; ``client_run`` are the model's names
    of the tools that the client runs, ``mcp`` those of MCP servers' tools.
    """

    later: Mapping[Hashable, harmony.DeveloperText] = field(
        default_factory=lambda: MappingProxyType({})
    )
    client_run: Mapping[ClientKind, str] = field(default_factory=lambda: names_of_client_tools(()))
    mcp: McpNames = field(default_factory=lambda: MappingProxyType({}))


_NO_TOOLS = ToolsInItems()


@dataclass(frozen=True, slots=True)
class _Entry:
    """An API item and what it becomes.

    ``result`` is what this server's tool answered to it. It stands behind the turn that it is of.
    """

    source: Item
    item: harmony.PlainItem
    result: harmony.PlainItem | None = None


def to_conversation_items(
    history: Sequence[Item],
    items: Sequence[Item],
    *,
    seal: ContentSeal,
    turns: ExactTurns,
    tools: ToolsInItems = _NO_TOOLS,
) -> tuple[str | None, tuple[harmony.Item, ...]]:
    """Leading system and developer text, if any, and everything after it.

    ``items`` follow ``history`` and have passed ``check_items``. The last compaction stands for
    what is before it and does not outlive one. Of reasoning that ``seal`` did
    not make its text or summary is read, if it has any. Raises InvalidRequest, naming
    ``input[i]``, for a compaction that ``seal`` did not make.
    """
    given = [*history, *items]
    places = _places_in_force(given)
    everything = [given[place] for place in places]
    first = count_leading(everything)
    leading = [item.text for item in everything[:first] if isinstance(item, MessageItem)]
    in_input = [place - len(history) for place in places]
    hosted = HostedHistory(everything, tools.mcp, turns.result)
    converter = _Converter(everything, in_input=in_input, seal=seal, tools=tools, hosted=hosted)
    entries = [
        entry for position in range(first, len(everything)) for entry in converter.convert(position)
    ]
    spliced = tuple(_splice(entries, turns))
    return (_MESSAGE_SEPARATOR.join(leading) if leading else None), spliced


def count_leading(items: Sequence[Item]) -> int:
    """How many of the items stand in front of the conversation: what it says comes behind them."""
    return next((i for i, item in enumerate(items) if not _is_instruction(item)), len(items))


def issued_call_ids(items: Iterable[Item]) -> tuple[str, ...]:
    """The ids of the calls among ``items``, by which their exact turns may be known."""
    return tuple(call_id for item in items if (call_id := _issued_call_id(item)) is not None)


def _issued_call_id(item: Item) -> str | None:
    """The id of the call that ``item`` is, if it is one of the model's."""
    match item:
        case FunctionCallItem(call_id=call_id) | CustomCallItem(call_id=call_id):
            return call_id
        case RecordItem() if kind_of_call(item.type, item.fields):
            return item.call_id
        case RecordItem() if is_hosted_call(item):
            return item.id
        case _:
            return None


def _places_in_force(items: Sequence[Item]) -> list[int]:
    compactions = (i for i, item in enumerate(items) if isinstance(item, CompactionItem))
    last = max(compactions, default=0)
    return [i for i, item in enumerate(items) if i >= last or outlives_compaction(item)]


def _is_instruction(item: Item) -> bool:
    """Also what is not for the model: it may stand before or between them."""
    if isinstance(item, RecordItem):
        is_call = kind_of_call(item.type, item.fields) is not None or is_approval(item.type)
        return item.type != "agent_message" and not is_call and not is_record(item.type)
    return isinstance(item, MessageItem) and item.role in ("system", "developer")


class _Converter:
    """Knows the whole conversation: what an item becomes depends on those around it.

    ``in_input`` is where each stands in the request's input, negative before that.
    """

    def __init__(
        self,
        everything: Sequence[Item],
        *,
        in_input: Sequence[int],
        seal: ContentSeal,
        tools: ToolsInItems,
        hosted: HostedHistory,
    ) -> None:
        self._everything = everything
        self._in_input = in_input
        self._seal = seal
        self._tools = tools
        self._hosted = hosted
        self._loops = ToolLoops(self._steps())
        self._before_call = self._find_before_call()
        self._last_final = max(filter(self._is_final, range(len(everything))), default=-1)

    def convert(self, position: int) -> Iterator[_Entry]:
        """What the item becomes: mostly one, of a search's output its answer and the tools."""
        item = self._everything[position]
        if not isinstance(item, RecordItem):
            one = self._convert(item, position)
            if one is not None:
                yield _Entry(item, one)
        elif (step := self._hosted.read(item)) is not None:
            if step.call is not None:
                yield _Entry(item, step.call, step.result)
            elif step.result is not None:
                yield _Entry(item, step.result)
        else:
            yield from (_Entry(item, one) for one in self._record(item, position))

    def _convert(self, item: TypedItem, position: int) -> harmony.PlainItem | None:
        match item:
            case MessageItem(role="user", text=text):
                return harmony.UserText(text)
            case MessageItem(role="assistant", text=text):
                is_final = self._is_final(position)
                return harmony.FinalText(text) if is_final else harmony.Preamble(text)
            case MessageItem(text=text):
                return harmony.DeveloperText(text)
            case ReasoningItem() as item:
                return self._reasoning(item, position)
            case FunctionCallItem(arguments=text) | CustomCallItem(input=text) as item:
                name = flatten(item.name, item.namespace)
                return harmony.FunctionCall(name, text, isinstance(item, CustomCallItem))
            case CallOutputItem() as item:
                # Only in a conversation whose call was deleted is there none.
                called = self._loops.names.get(position)
                self._note_sealed(item.text)
                return None if called is None else harmony.FunctionResult(called, item.text)
            case CompactionItem(encrypted_content=content):
                param = self._param(position, "encrypted_content")
                summary = self._seal.open_compaction(content, param=param)
                return harmony.UserText(_SUMMARY_HEADING + summary)

    def _record(self, item: RecordItem, position: int) -> Iterator[harmony.PlainItem]:
        """A call of the client's own tools or what it answered, tools for the model, a text to
        it, or what a tool elsewhere did: what tools say is no instruction."""
        kind = kind_of_call(item.type, item.fields)
        if kind is not None:
            arguments = to_arguments(kind, item.fields)
            yield harmony.FunctionCall(self._tools.client_run[kind], arguments)
        elif item.type == "agent_message":
            text = to_agent_text(item.fields)
            self._note_sealed(text)
            yield harmony.UserText(text)
        elif (told := self._told(item, position)) is not None:
            name = self._loops.names.get(position, to_tool_name(item.type))
            yield harmony.FunctionResult(name, told)
        if item.id in self._tools.later:
            yield self._tools.later[item.id]

    def _told(self, item: RecordItem, position: int) -> str | None:
        if item.type == "tool_search_output":
            # Without its call it is no answer, and brings tools alone.
            return to_found(item.fields) if position in self._loops.names else None
        return to_record(item.type, item.fields)

    def _note_sealed(self, text: str) -> None:
        if SEALED_NOTE in text:
            self._seal.note_foreign()

    def _reasoning(self, item: ReasoningItem, position: int) -> harmony.Reasoning | None:
        """What it holds, sealed or as text. Before the last answer, where reasoning is dropped,
        what is sealed stays so."""
        opened = None
        if item.encrypted_content and position > self._last_final:
            opened = self._seal.open_reasoning(item.encrypted_content)
        return opened or (harmony.Reasoning(item.text) if item.text else None)

    def _is_final(self, position: int) -> bool:
        """Whether the item ends a turn: without a phase, an answer with words, behind which no
        call and no call's output follows."""
        match self._everything[position]:
            case MessageItem(role="assistant", phase=phase, text=text):
                if phase == "commentary" or (phase is None and is_blank(text)):
                    return False
                if phase is not None and not is_blank(text):
                    return True
                return position not in self._before_call and not self._loops.is_open(position)
            case _:
                return False

    def _find_before_call(self) -> set[int]:
        """Where in the same turn a call is to come, or a record of one."""
        found: set[int] = set()
        is_before = False
        for position in reversed(range(len(self._everything))):
            if is_before:
                found.add(position)
            match self._everything[position]:
                case FunctionCallItem() | CustomCallItem():
                    is_before = True
                case RecordItem(type=kind, fields=fields) if kind != "agent_message":
                    is_call = kind_of_call(kind, fields) is not None
                    is_before = is_before or is_call or is_record(kind) or is_approval(kind)
                case ReasoningItem() | MessageItem(role="assistant"):
                    pass
                case _:
                    is_before = False
        return found

    def _steps(self) -> Iterator[CallMade | CallResult]:
        for position, item in enumerate(self._everything):
            match item:
                case FunctionCallItem() | CustomCallItem():
                    name = flatten(item.name, item.namespace)
                    kind = "custom" if isinstance(item, CustomCallItem) else "function"
                    yield CallMade(position, item.call_id, name, kind)
                case RecordItem():
                    yield from self._steps_of_record(item, position)
                case CallOutputItem():
                    kind = item.type.removesuffix("_call_output").removesuffix("_tool")
                    param = self._param(position, "call_id")
                    yield CallResult(position, item.call_id, position, param, kind)

    def _steps_of_record(self, item: RecordItem, position: int) -> Iterator[CallMade | CallResult]:
        """Calls and outputs of the client's tools belong together by their types too, so that
        none is refused. Codex answers one of the local shell as one of a function."""
        kind = kind_of_call(item.type, item.fields)
        answers = kind_of_output(item.type)
        if item.call_id is not None:
            name = to_tool_name(item.type) if kind is None else self._tools.client_run[kind]
            yield CallMade(position, item.call_id, name, "function")
            if kind is not None:
                yield CallMade(position, item.call_id, name, kind)
                yield CallMade(position, item.id, name, kind)
        elif answers is not None and isinstance(call_id := item.fields.get("call_id"), str):
            yield CallResult(position, call_id, position, self._param(position, "call_id"), answers)

    def _param(self, position: int, name: str) -> str:
        index = self._in_input[position]
        return f"input[{index}].{name}" if index >= 0 else "previous_response_id"


def _splice(entries: Sequence[_Entry], turns: ExactTurns) -> Iterator[harmony.Item]:
    after_final = 1 + max(
        (i for i, entry in enumerate(entries) if isinstance(entry.item, harmony.FinalText)),
        default=-1,
    )
    for entry in entries[:after_final]:
        if not is_wordless(entry.item):
            yield entry.item
        yield from _results([entry])
    position = after_final
    is_turn_start = True
    while position < len(entries):
        rest = entries[position:]
        exact = _by_item(rest, turns) or (_by_call(rest, turns) if is_turn_start else None)
        if exact is None:
            item = entries[position].item
            position += 1
            if not is_wordless(item):
                yield item
                # Where a turn's first items do not match, the rest must not bring them back.
                is_turn_start = not isinstance(item, harmony.TurnItem)
            if results := list(_results(rest[:1])):
                yield from results
                is_turn_start = True
        else:
            turn, length = exact
            yield turn
            yield from _results(rest[:length])
            is_turn_start = True
            position += length


def _results(entries: Sequence[_Entry]) -> Iterator[harmony.PlainItem]:
    return (entry.result for entry in entries if entry.result is not None)


def _by_item(entries: Sequence[_Entry], turns: ExactTurns) -> tuple[harmony.ExactTurn, int] | None:
    """The turn that ``entries`` begin with, and how many of them it is."""
    record = turns.by_item(entries[0].source.id)
    if record is None:
        return None
    length = len(record.item_ids)
    if tuple(entry.source.id for entry in entries[:length]) != record.item_ids:
        return None
    turn = turns.matching(record, [entry.item for entry in entries[:length]])
    return None if turn is None else (turn, length)


def _by_call(entries: Sequence[_Entry], turns: ExactTurns) -> tuple[harmony.ExactTurn, int] | None:
    """As :func:`_by_item`, where nothing is known but the calls that were made."""
    calls: list[str] = []
    for length, entry in enumerate(entries, start=1):
        if not isinstance(entry.item, harmony.TurnItem):
            return None
        if isinstance(entry.item, harmony.FunctionCall | harmony.BuiltinCall):
            call_id = _issued_call_id(entry.source)
            if call_id is None:
                return None
            calls.append(call_id)
            record = turns.by_call(calls[0])
            if record is None:
                return None
            if record.call_ids == tuple(calls):
                turn = turns.matching(record, [one.item for one in entries[:length]])
                return None if turn is None else (turn, length)
    return None
